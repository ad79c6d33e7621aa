"""The warehouse's own truth: what an inspection, its correction and a returned parcel do to stock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.world import World


@pytest.fixture
def world() -> World:
    return World(WorldConfig(start=datetime(2026, 7, 1, 8, tzinfo=UTC), orders=1, skus=4))


@pytest.mark.proves("R13")
def test_of_an_inspection_only_the_sellable_item_that_came_changes_stock(world: World) -> None:
    ordered, came, *_ = world.products
    for outcome, item_code in (("new", ordered), ("damaged", ordered), ("quarantine", ordered), ("wrong_item", came)):
        before = {sku: world.warehouse.available(sku) for sku in world.products}
        world.warehouse.record_return("O1", item_code, 1, outcome, "Too big", "R1", "L1")
        changed = {sku for sku in world.products if world.warehouse.available(sku) != before[sku]}
        assert changed == ({item_code} if outcome in {"new", "wrong_item"} else set())


def test_a_corrected_inspection_moves_stock_both_ways_and_keeps_its_code_and_date(world: World) -> None:
    sku = next(iter(world.products))
    before = world.warehouse.available(sku)
    row = world.warehouse.record_return("O1", sku, 1, "new", "Too big", "R1", "L1")
    for outcome, more in (("damaged", 0), ("new", 1), ("damaged", 0)):
        corrected = world.warehouse.correct_return(row.return_code, outcome)
        assert world.warehouse.available(sku) == before + more
        assert (corrected.return_code, corrected.returned_at) == (row.return_code, row.returned_at)


def test_an_item_off_the_list_has_no_row_and_other_sites_have_rows_of_their_own(world: World) -> None:
    first, second, *_ = world.products
    world.warehouse.drop_from_list(first)
    world.warehouse.stock_elsewhere("NORTH", second, 7)
    rows = {(row.site, row.item_code): row.available for row in world.warehouse.stock_rows()}
    assert ("MAIN", first) not in rows
    assert rows["NORTH", second] == 7
    assert world.warehouse.available(first) == 0
