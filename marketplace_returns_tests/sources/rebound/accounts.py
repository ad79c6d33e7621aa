"""A ReBound account of tests: its shop, its client, and a return to create."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from marketplace_returns.clock import FixedClock
from marketplace_returns.sandbox.world import World, WorldConfig
from marketplace_returns.settings import Shop, Timing
from marketplace_returns.sources.budget import Budget, NoBudget
from marketplace_returns.sources.http import NullCallLog
from marketplace_returns.sources.platform import NewReturn, NewReturnLine
from marketplace_returns.sources.rebound import ReboundClient, connect, creation

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
CASSETTES = Path(__file__).parent / "cassettes"
Answerer = Callable[[httpx.Request], httpx.Response]


def world() -> World:
    return World(WorldConfig(start=START, orders=1, skus=5, platform="rebound", rebound_hub_rate=1.0))


def shop(base_url: str, generation: str, **options: object) -> Shop:
    own = {
        "legacy_ir": {"login": "sandbox-login", "api_key": "sandbox-rebound-key"},
        "v2": {
            "client_id": "sandbox-client",
            "api_key": "sandbox-rebound-secret",
            "token_url": f"{base_url}/oauth/token",
        },
    }[generation]
    return Shop.model_validate(
        {
            "name": "asos_uk",
            "marketplace": "asos",
            "currency": "GBP",
            "time_zone": "Europe/London",
            "mirakl": {"base_url": "http://127.0.0.1:9", "shop_id": 1, "call_profile": "sandbox"},
            "returns": {"platform": "rebound", "base_url": base_url, "generation": generation, **own, **options},
        }
    )


def client_of(
    base_url: str, generation: str, answer: Answerer | None = None, budget: Budget | None = None, **options: object
) -> ReboundClient:
    return connect(
        shop(base_url, generation, **options),
        timing=Timing(),
        budget=budget or NoBudget(),
        clock=FixedClock(START),
        log=NullCallLog(),
        transport=None if answer is None else httpx.MockTransport(answer),
    )


def wanted(key: str = "RT-1", lines: int = 1, quantity: int = 1) -> dict[str, Any]:
    skus = list(world().products)
    return creation(
        NewReturn(
            return_id=key,
            order_id="ORDER-1-A",
            currency="GBP",
            lines=tuple(
                NewReturnLine(
                    order_line_id=f"ORDER-1-A-{number}",
                    sku=skus[number],
                    quantity=quantity,
                    unit_price="12.50",
                    tax_amount="2.08",
                    reason="too_big",
                )
                for number in range(lines)
            ),
        )
    )


def inspected(there: World, **found: list[str]) -> None:
    """Let the one return's parcel be posted, arrive and be opened; `found` by order line id."""
    (one,) = there.platform.returns.values()
    there.platform.mark_shipped(one)
    there.platform.mark_received(one)
    for line in one.lines:
        if "wrong_item" in found.get(line.external_id.replace("-", "_"), []):
            line.received_sku = "ANOTHER-SKU"
    there.platform.mark_inspected(one, {line_id.replace("_", "-"): units for line_id, units in found.items()})
