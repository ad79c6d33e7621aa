"""What a refund looks like from here when the line to the marketplace breaks, and what really happened there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace_returns.errors import OutcomeUnknown, RateLimited
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns.sandbox.world import WorldConfig
from marketplace_returns.sources.mirakl.client import MiraklClient

from .conftest import client_for


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(WorldConfig(orders=6, days=1, skus=3, return_rate=0.0)) as running:
        running.advance(timedelta(days=1))
        yield running


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[MiraklClient]:
    made = client_for(f"{sandbox.base_url}/mirakl")
    yield made
    sandbox.clear_faults()
    made.close()


def paid_line(sandbox: RunningSandbox, client: MiraklClient) -> tuple[str, str]:
    for page in client.orders_in_state("WAITING_ACCEPTANCE"):
        for order in page:
            client.accept_order(
                order["order_id"], [{"id": line["order_line_id"], "accepted": True} for line in order["order_lines"]]
            )
    sandbox.advance(timedelta(hours=6))
    order = next(order for page in client.orders_in_state("SHIPPING") for order in page)
    return order["order_id"], order["order_lines"][0]["order_line_id"]


def refunds_of(client: MiraklClient, order_id: str) -> int:
    (page,) = client.orders_by_id([order_id])
    return sum(len(line["refunds"]) for line in page[0]["order_lines"])


@pytest.mark.parametrize(
    ("fault", "error", "refunds"),
    [
        ("reset", OutcomeUnknown, 0),
        ("reset_after", OutcomeUnknown, 1),
        ("http_500_before", OutcomeUnknown, 0),
        ("http_500_after", OutcomeUnknown, 1),
        ("http_502_html", OutcomeUnknown, 0),
        ("truncated", OutcomeUnknown, 1),
        ("http_429", RateLimited, 0),
        ("http_429_no_retry_after", RateLimited, 0),
    ],
)
def test_a_refund_whose_reply_is_lost_is_unknown_and_was_sent_once(
    sandbox: RunningSandbox, client: MiraklClient, fault: str, error: type[Exception], refunds: int
) -> None:
    order_id, line_id = paid_line(sandbox, client)
    before = refunds_of(client, order_id)
    sandbox.add_fault(FaultRule(fault, system="mirakl", operation="OR28"))
    with pytest.raises(error):
        client.refund(
            {
                "refunds": [
                    {
                        "order_line_id": line_id,
                        "amount": Decimal("0.50"),
                        "shipping_amount": Decimal(0),
                        "reason_code": "17",
                        "currency_iso_code": "GBP",
                    }
                ]
            }
        )
    assert refunds_of(client, order_id) - before == refunds


@pytest.mark.parametrize("fault", ["reset", "http_500_before", "http_502_html", "truncated", "http_429"])
def test_a_read_gets_through_a_passing_trouble(sandbox: RunningSandbox, client: MiraklClient, fault: str) -> None:
    sandbox.add_fault(FaultRule(fault, system="mirakl", operation="RE01", times=2))
    assert client.reasons()
