"""Planted anomalies: each touches what it says, and the truth sees it where the truth can."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace_returns.sandbox.plants import PLANTS, plant
from marketplace_returns.sandbox.world import World, WorldConfig
from marketplace_returns_tests.sandbox.conftest import SellerMaker
from marketplace_returns_tests.sandbox.seller import Seller


@pytest.fixture
def seller(make_seller: SellerMaker) -> Seller:
    """A shop in the middle of its month."""
    made = make_seller(orders=40, days=16, return_rate=0.7)
    made.work(26)
    return made


@pytest.mark.parametrize("anomaly", list(PLANTS))
def test_a_plant_says_what_it_touched(seller: Seller, anomaly: str) -> None:
    touched = seller.sandbox.do(lambda: plant(seller.world, anomaly, {}))
    assert touched["anomaly"] == anomaly
    assert len(touched) > 2


@pytest.mark.parametrize("anomaly", ["wrong_refund", "changed_statement"])
def test_the_truth_sees_wrong_money(seller: Seller, anomaly: str) -> None:
    seller.sandbox.do(lambda: plant(seller.world, anomaly, {}))
    broken = [check["name"] for check in seller.sandbox.truth()["checks"] if not check["ok"]]
    assert any("exact" in name or "payout" in name for name in broken)


def test_a_missing_commission_credit_is_gone_from_the_log(seller: Seller) -> None:
    touched = seller.sandbox.do(lambda: plant(seller.world, "missing_commission_credit", {}))
    lines = seller.get("/api/sellerpayment/transactions_logs", order_line_id=touched["order_line_id"], limit=100)[
        "data"
    ]
    assert "REFUND_ORDER_AMOUNT" in {line["type"] for line in lines}
    assert not any(line["type"].startswith("REFUND_COMMISSION") for line in lines)


def test_a_plant_without_ground_says_what_to_do() -> None:
    world = World(WorldConfig(orders=1))
    for anomaly in PLANTS:
        with pytest.raises(ValueError, match="advance the clock"):
            plant(world, anomaly, {})
    world.advance(timedelta(days=1))
