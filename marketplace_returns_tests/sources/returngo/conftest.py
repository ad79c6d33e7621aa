"""A client on a cassette recorded from the sandbox, with two orders that are with the customer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.sandbox import returngo as sandbox_returngo
from marketplace_returns.sandbox.entities import Order
from marketplace_returns.sandbox.world import World, WorldConfig
from marketplace_returns.settings import Shop, Timing
from marketplace_returns.sources.budget import NoBudget
from marketplace_returns.sources.http import CallLog, NullCallLog
from marketplace_returns.sources.returngo.client import ReturnGoClient, connect
from marketplace_returns_tests.sources.recorded import Outside, outside

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
NOW = START + timedelta(days=2)
CASSETTES = Path(__file__).parent / "cassettes"
Answerer = Callable[[httpx.Request], httpx.Response]


def delivered() -> World:
    """A world two days old whose orders are all with their customers, two units of a line each."""
    world = World(
        WorldConfig(
            start=START, orders=4, days=1, skus=5, platform="returngo", multi_unit_rate=1.0, lines_per_order=1.0
        )
    )
    world.advance(NOW - START)
    for order in world.marketplace.orders.values():
        for line in order.lines:
            line.received_at = world.clock.now()
    return world


@cache
def orders() -> list[Order]:
    """The orders of that world, which are the same in every one of it."""
    return list(delivered().marketplace.orders.values())


def wanted(key: str = "RT-1", order: int = 0, quantity: int = 1) -> dict[str, Any]:
    """The body that creates an RMA."""
    bought = orders()[order]
    item = {
        "sku": bought.lines[0].product.sku,
        "quantity": quantity,
        "returnReason": "too_big",
        "externalId": bought.lines[0].id,
    }
    return {"order_name": bought.id, "externalId": key, "items": [item]}


def inspected(world: World, *found: str) -> None:
    """Let the newest RMA's parcel be posted, arrive and be opened."""
    returned = list(world.platform.returns.values())[-1]
    world.platform.mark_shipped(returned)
    world.advance(timedelta(hours=1))
    world.platform.mark_received(returned)
    world.advance(timedelta(hours=1))
    world.platform.mark_inspected(returned, {line.external_id: found for line in returned.lines})


def shop(base_url: str, **returns: Any) -> Shop:
    """A shop whose returns are ReturnGO's."""
    return Shop.model_validate(
        {
            "name": "asos_uk",
            "marketplace": "asos",
            "currency": "GBP",
            "time_zone": "Europe/London",
            "mirakl": {"base_url": "http://127.0.0.1:9", "shop_id": 1, "call_profile": "sandbox"},
            "returns": {
                "platform": "returngo",
                "base_url": base_url,
                "shop_name": "sandbox.shop.test",
                "api_key": "sandbox-returngo-key",
            }
            | returns,
        }
    )


def client_of(base_url: str, answer: Answerer | None = None, log: CallLog | None = None) -> ReturnGoClient:
    """A client; `answer` stands for the outside where it is given."""
    return connect(
        shop(base_url),
        timing=Timing(),
        budget=NoBudget(),
        clock=FixedClock(NOW),
        log=log or NullCallLog(),
        transport=None if answer is None else httpx.MockTransport(answer),
    )


def answering(status: int, body: object = None, **headers: str) -> ReturnGoClient:
    """A client to whom everything is answered alike."""
    return client_of("https://returngo.example", lambda _: httpx.Response(status, json=body, headers=headers))


@pytest.fixture
def there(request: pytest.FixtureRequest) -> Iterator[Outside]:
    name = request.node.name.removeprefix("test_")
    routes = lambda world: list(sandbox_returngo.routes(world))  # noqa: E731
    with outside(CASSETTES / f"{name}.yaml", "/returngo", delivered, routes) as system:
        yield system


@pytest.fixture
def client(there: Outside) -> ReturnGoClient:
    return client_of(there.base_url)
