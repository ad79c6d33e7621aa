"""The world: repeatable, moved only by its clock, saved and loaded whole, judged by its own truth."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marketplace_returns.sandbox import truth
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.entities import Refund
from marketplace_returns.sandbox.server import running_sandbox
from marketplace_returns.sandbox.truth import examine
from marketplace_returns.sandbox.world import World
from marketplace_returns_tests.sandbox.conftest import SellerMaker
from marketplace_returns_tests.sandbox.seller import Seller


def test_two_worlds_of_one_seed_are_the_same_and_of_two_seeds_are_not() -> None:
    def orders(seed: int) -> list[tuple[str, datetime, int]]:
        world = World(WorldConfig(seed=seed, orders=50, days=3))
        world.advance(timedelta(days=3))
        return [
            (line.id, order.created_at, line.price_minor)
            for order in world.marketplace.orders.values()
            for line in order.lines
        ]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_an_order_nobody_accepts_is_lost_after_48_hours_and_the_truth_says_so() -> None:
    world = World(WorldConfig(orders=5, days=1))
    world.advance(timedelta(days=4))
    assert {order.state for order in world.marketplace.orders.values()} == {"REFUSED"}
    verdict = examine(world)
    assert not verdict["ok"]
    assert verdict["checks"][0]["violation_count"] == 5


def test_the_clock_never_goes_back() -> None:
    world = World(WorldConfig(orders=1))
    with pytest.raises(ValueError, match="cannot go back"):
        world.advance_to(datetime(2025, 1, 1, tzinfo=UTC))


def test_a_config_without_time_zone_or_with_impossible_rates_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        WorldConfig(start=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="more than 1"):
        WorldConfig(damaged_rate=0.9, missing_rate=0.9)


def test_a_diligent_seller_leaves_nothing_undone(worked: Seller) -> None:
    verdict = worked.sandbox.truth()
    broken = [check for check in verdict["checks"] if not check["ok"]]
    assert not broken
    facts = verdict["facts"]
    assert facts["refunds"] > 20
    assert facts["billing_cycles"] >= 2
    assert set(facts["units_inspected"]) > {"new"}


@pytest.mark.parametrize("mode", ["TAX_INCLUDED", "TAX_EXCLUDED"])
def test_the_truth_holds_in_both_tax_modes_and_with_many_units(make_seller: SellerMaker, mode: str) -> None:
    seller = make_seller(tax_mode=mode, multi_unit_rate=0.9, return_rate=1.0, second_return_rate=0.5, seed=3)
    seller.work(32)
    assert [check for check in seller.sandbox.truth()["checks"] if not check["ok"]] == []


def test_no_customer_orders_what_the_offer_does_not_show() -> None:
    world = World(WorldConfig(orders=300, skus=3, days=5))
    for sku in world.products:
        world.offers.set_quantity(sku, 2)
    world.advance(timedelta(days=5))
    sold = sum(line.quantity for order in world.marketplace.orders.values() for line in order.lines)
    assert sold == 6
    assert world.customers.unserved > 200


def test_a_stopped_sandbox_comes_back_with_the_same_world(tmp_path: Path) -> None:
    state = tmp_path / "world.state"
    config = WorldConfig(orders=10, days=2)
    with running_sandbox(config, state_path=state) as sandbox:
        sandbox.advance(timedelta(days=1))
        before = {key: order.state for key, order in sandbox.world.marketplace.orders.items()}
    with running_sandbox(config, state_path=state) as sandbox:
        assert {key: order.state for key, order in sandbox.world.marketplace.orders.items()} == before
        assert sandbox.world.clock.now() == config.start + timedelta(days=1)
        sandbox.advance(timedelta(days=3))
        assert len(sandbox.world.marketplace.orders) == 10


def test_a_faster_world_sells_the_same_in_less_time() -> None:
    def sold(pace: float) -> list[str]:
        world = World(WorldConfig(orders=20, days=2, pace=pace))
        world.advance(timedelta(days=2) / pace)
        return sorted(world.marketplace.orders)

    assert sold(24) == sold(1)
    assert len(sold(24)) > 10


def test_the_units_of_a_line_may_be_refunded_in_any_order() -> None:
    world = World(WorldConfig(orders=60, days=1, multi_unit_rate=1.0, seed=4))
    world.advance(timedelta(days=1))
    line = next(
        line
        for order in world.marketplace.orders.values()
        for line in order.lines
        if line.quantity == 2 and line.taxes[0].amount_minor % 2
    )
    whole, half = line.taxes[0].amount_minor, line.taxes[0].amount_minor // 2
    shares = {half, whole - half}
    for order_of_units in (sorted(shares), sorted(shares, reverse=True)):
        so_far = 0
        for tax in order_of_units:
            so_far += line.price_minor // 2
            refund = Refund(
                **{each.name: None for each in fields(Refund)}  # type: ignore[arg-type]
                | {"amount_minor": line.price_minor // 2, "taxes": {line.taxes[0].code: tax}}
            )
            assert truth._taxes_right(line, refund, 1, so_far)
    wrong = replace(refund, taxes={line.taxes[0].code: whole - half + 1})
    assert not truth._taxes_right(line, wrong, 1, line.price_minor)
