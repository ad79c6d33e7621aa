"""What the ledger's tests are made of: a shop, a clock, plans, and an outside that counts what reaches it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command, config
from sqlalchemy import Engine, text

from marketplace_returns.clock import FixedClock
from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.connection import LEDGER_FILE, LEDGER_MIGRATIONS, open_engine, transaction
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import Confirmed, Outcome, Preparation, ReadBack, Ready
from marketplace_returns.settings import Settings, Shop, WriteKind

NOW = datetime(2026, 10, 5, 9, tzinfo=UTC)
SHOP = "asos_uk"


def settings(tmp_path: Path, ledger_url: str = "") -> Settings:
    return Settings(data_dir=tmp_path, mappings_dir=tmp_path / "none", ledger_url=ledger_url, shops={})


def shop(**writes: str) -> Shop:
    return Shop.model_validate(
        {
            "name": SHOP,
            "marketplace": "asos",
            "currency": "GBP",
            "time_zone": "Europe/London",
            "mirakl": {"base_url": "https://example.mirakl.net", "shop_id": 2001},
            "returns": {"platform": "reveni", "base_url": "https://api.reveni.io", "store_id": "store"},
            "writes": {"default": "live", **writes},
        }
    )


@cache
def _empty_ledger() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        open_engine(Path(folder), "").dispose()
        return (Path(folder) / LEDGER_FILE).read_bytes()


def put_empty_ledger(folder: Path, ledger_url: str = "") -> None:
    """Put a ledger's file in its newest form where there is none: migrating one takes longer than most tests."""
    if not ledger_url and not (folder / LEDGER_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LEDGER_FILE).write_bytes(_empty_ledger())


def make_of_version(engine: Engine, version: str) -> None:
    """Make an opened ledger's database anew as it was in an older form."""
    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        else:
            for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).fetchall():
                connection.execute(text(f"DROP TABLE {name}"))
    with transaction(engine) as connection:
        made = config.Config()
        made.set_main_option("script_location", str(LEDGER_MIGRATIONS.folder))
        made.attributes["connection"] = connection
        command.upgrade(made, version)


def open_ledger(tmp_path: Path, clock: FixedClock | None = None, ledger_url: str = "") -> Ledger:
    put_empty_ledger(tmp_path, ledger_url)
    return Ledger.open(settings(tmp_path, ledger_url), clock or FixedClock(NOW))


def refund(unit: str = "L1#1", order: str = "O1", amount_minor: int = 1000, **more: Any) -> IntentPlan:
    return IntentPlan(
        shop=SHOP,
        kind=WriteKind.REFUND,
        natural_key=unit,
        order_id=order,
        order_line_id=unit.partition("#")[0],
        return_unit_id=unit,
        amount_minor=amount_minor,
        currency="GBP",
        body={"refunds": [{"order_line_id": unit.partition("#")[0], "amount": amount_minor}], **more.pop("body", {})},
        evidence={"rule": "test"},
        **more,
    )


def acceptance(order: str = "O1", **more: Any) -> IntentPlan:
    return IntentPlan(
        shop=SHOP,
        kind=WriteKind.ACCEPT_ORDER,
        natural_key=order,
        order_id=order,
        body={"order_id": order, "order_lines": [{"id": f"{order}-1", "accepted": True}]},
        evidence={},
        **more,
    )


def stock(sku: str, at: str, quantity: int) -> IntentPlan:
    return IntentPlan(
        shop=SHOP,
        kind=WriteKind.PUSH_STOCK,
        natural_key=f"{sku}@{at}",
        body={"offer_sku": sku, "quantity": quantity},
        evidence={},
    )


def problem(order: str = "O1", cause: str = "late", **more: Any) -> ExceptionPlan:
    return ExceptionPlan(
        shop=SHOP, type="ACK_OVERDUE", entity={"order_id": order}, cause=cause, message=f"Order {order} waits.", **more
    )


def decision(*plans: IntentPlan, lane: str = "refunds", exceptions: Sequence[ExceptionPlan] = ()) -> LaneDecision:
    return LaneDecision(
        lane=lane, shop=SHOP, intents=plans, exceptions=tuple(exceptions), considered=len(plans) + len(exceptions)
    )


@dataclass
class Outside:
    """An executor whose outside is in memory: it counts what it was sent and answers what it is told."""

    batch_size: int = 10
    answer: Callable[[Intent], Outcome] = lambda each: Confirmed(f"ref-{each.natural_key}")
    before: Callable[[Intent], Preparation] = lambda _each: Ready({"refund_ids": []})
    shown: Callable[[Intent], ReadBack] | None = None
    sent: list[str] = field(default_factory=list)
    on_send: Callable[[Sequence[Intent]], None] = lambda _intents: None

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        return {each.intent_id: self.before(each) for each in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        assert may_start()
        self.on_send(intents)
        outcomes = {}
        for each in intents:
            self.sent.append(each.natural_key)
            outcomes[each.intent_id] = self.answer(each)
        return outcomes

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        assert self.shown is not None
        return {each.intent_id: self.shown(each) for each in intents}
