"""A shop whose outside is a running sandbox: real HTTP, real clients, the real ledger, one clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

from marketplace_returns.clock import Clock
from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.dispatch import DrainResult, drain, read_backs
from marketplace_returns.ledger.executors import Clients, build
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import Executor
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns.settings import Settings, Shop, Timing, WriteKind
from marketplace_returns.sources import reveni
from marketplace_returns.sources.budget import NoBudget
from marketplace_returns.sources.mirakl import connect as mirakl
from marketplace_returns.sources.peoplevox import client as peoplevox
from marketplace_returns_tests.ledger.world import SHOP, decision

ADDRESS = {
    "customer.shipping_address.street_1": "1 Sample Street",
    "customer.shipping_address.city": "Sampletown",
    "customer.shipping_address.zip_code": "SA1 1AA",
    "customer.shipping_address.country_iso_code": "GBR",
    "customer.shipping_address.firstname": "Sam",
    "customer.shipping_address.lastname": "Sample",
}


@dataclass(frozen=True)
class SandboxClock:
    """The world's own clock, which goes in whole seconds; waiting lets the world live on."""

    sandbox: RunningSandbox

    def now(self) -> datetime:
        return self.sandbox.do(self.sandbox.world.clock.now)

    def wait(self, seconds: float) -> None:
        self.sandbox.advance(timedelta(seconds=ceil(seconds)))


def shop_of(sandbox: RunningSandbox) -> Shop:
    """The shop whose outside is a sandbox, with every kind of write live."""
    told = sandbox.settings()
    shown, secrets = told["shop"], told["secrets"]
    for key, secret in secrets.items():
        section, _, name = key.partition(".")
        shown[section][name] = secret
    return Shop.model_validate({"name": SHOP, **shown, "writes": {"default": "live"}})


@dataclass
class Inside:
    """Our own side: the ledger, the clients of one shop, and what sends its writes."""

    shop: Shop
    ledger: Ledger
    clients: Clients
    reveni: reveni.ReveniClient

    def executors(self) -> dict[WriteKind, Executor]:
        return build(
            self.shop,
            self.clients,
            ledger=self.ledger,
            personal_fields=lambda order_ids: dict.fromkeys(order_ids, ADDRESS),
        )


@contextmanager
def connected(folder: Path, shop: Shop, clock: Clock, timing: Timing | None = None) -> Iterator[Inside]:
    """Open the ledger in a folder and a shop's clients."""
    timing = timing or Timing()
    settings = Settings(data_dir=folder, mappings_dir=folder / "none", shops={shop.name: shop}, timing=timing)
    with Ledger.open(settings, clock) as ledger:
        shared: dict[str, Any] = {"timing": timing, "budget": NoBudget(), "clock": clock, "log": ledger}
        platform = reveni.connect(shop, **shared)
        clients = Clients(
            mirakl=mirakl.connect(settings, shop, clock=clock, log=ledger),
            platform=reveni.ReveniWrites(platform),
            peoplevox=peoplevox.connect(shop, **shared),
        )
        yield Inside(shop, ledger, clients, platform)
        clients.mirakl.close()
        platform.close()


@dataclass
class Place(Inside):
    """Everything a test needs to act and to look."""

    sandbox: RunningSandbox
    clock: SandboxClock

    def plan(self, *plans: IntentPlan, lane: str = "test") -> None:
        self.ledger.apply(decision(*plans, lane=lane), self.shop)

    def send(self, *kinds: WriteKind) -> DrainResult:
        return drain(self.ledger, self.shop, self.executors(), self.clock, kinds=kinds or None, worker="w1")

    def look(self) -> DrainResult:
        return read_backs(self.ledger, self.shop, self.executors(), worker="w1")

    def fault(self, kind: str, operation: str, times: int = 1) -> None:
        self.sandbox.add_fault(FaultRule(kind=kind, operation=operation, times=times, delay_s=0.01))

    def orders(self, state: str) -> list[dict[str, Any]]:
        return [row for page in self.clients.mirakl.orders_in_state(state) for row in page]

    def order(self, order_id: str) -> dict[str, Any]:
        return next(row for page in self.clients.mirakl.orders_by_id([order_id]) for row in page)

    def intent(self, natural_key: str) -> Intent:
        (found,) = [each for each in self.ledger.intents() if each.natural_key == natural_key]
        return found

    def calls(self, operation: str) -> int:
        self.ledger.flush_calls()
        counts = self.sandbox.do(lambda: dict(self.sandbox.gate.calls))
        return sum(count for (_, found), count in counts.items() if found == operation)

    def exception_types(self) -> list[str]:
        return sorted(each.type for each in self.ledger.exceptions())

    def accept_all(self) -> list[dict[str, Any]]:
        waiting = self.orders("WAITING_ACCEPTANCE")
        self.plan(*(acceptance(order) for order in waiting), lane="accept_orders")
        self.send(WriteKind.ACCEPT_ORDER)
        return waiting

    def shipping(self) -> list[dict[str, Any]]:
        """Orders that were accepted and debited."""
        self.accept_all()
        self.sandbox.advance(timedelta(hours=3))
        return self.orders("SHIPPING")


def acceptance(order: dict[str, Any]) -> IntentPlan:
    lines = [{"id": line["order_line_id"], "accepted": True} for line in order["order_lines"]]
    return plan(
        WriteKind.ACCEPT_ORDER, order["order_id"], {"order_id": order["order_id"], "order_lines": lines}, order=order
    )


def refund(order: dict[str, Any], share: str = "1", **more: Any) -> IntentPlan:
    line = order["order_lines"][0]
    amount = (Decimal(str(line["price"])) * Decimal(share)).quantize(Decimal("0.01"))
    body = {
        "order_tax_mode": order["order_tax_mode"],
        "refunds": [
            {
                "order_line_id": line["order_line_id"],
                "amount": amount,
                "shipping_amount": Decimal("0.00"),
                "quantity": 1,
                "reason_code": "17",
                "currency_iso_code": "GBP",
            }
        ],
    }
    key = more.pop("key", f"{line['order_line_id']}#1")
    return plan(
        WriteKind.REFUND,
        key,
        body,
        order=order,
        order_line_id=line["order_line_id"],
        return_unit_id=key,
        amount_minor=int(amount * 100),
        currency="GBP",
    )


def plan(
    kind: WriteKind, key: str, body: dict[str, Any], order: dict[str, Any] | None = None, **more: Any
) -> IntentPlan:
    order_id = order["order_id"] if order else ""
    return IntentPlan(shop=SHOP, kind=kind, natural_key=key, body=body, evidence={}, order_id=order_id, **more)


@contextmanager
def place(tmp_path: Path, **config: Any) -> Iterator[Place]:
    """Start a sandbox of a small world, twelve hours in, and everything around it."""
    with running_sandbox(WorldConfig(**{"orders": 60, "days": 3, "seed": 5, **config})) as sandbox:
        clock = SandboxClock(sandbox)
        sandbox.advance(timedelta(hours=12))
        with connected(tmp_path, shop_of(sandbox), clock) as inside:
            yield Place(inside.shop, inside.ledger, inside.clients, inside.reveni, sandbox, clock)
