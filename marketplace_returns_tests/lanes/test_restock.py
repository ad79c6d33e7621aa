"""What a returned unit adds to its offer under ``returns_delta``, and what adds nothing."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.lanes.plan import LaneDecision
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows

DELTA = {"stock_authority": "returns_delta"}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoreRows]:
    world = CoreRows.make(tmp_path_factory.mktemp("restock"))
    for sku in ("A", "B", "Z"):
        world.put(tables.MIRAKL_OFFERS, offer_sku=sku, quantity=3, currency="GBP")
        world.put(tables.PEOPLEVOX_STOCK, item_code=sku, site="*", available=3, is_listed=True)
    for name, came, condition, reusable, ago in (
        ("good", "A", "NEW", True, 3),
        ("pair", "A", "NEW", True, 3),
        ("damaged", "A", "Damaged", False, 3),
        ("wrongword", "A", "Wrong item", True, 3),
        ("missing", "A", "Missing", False, 3),
        ("odd", "A", "Slightly odd", True, 3),
        ("other", "Z", "NEW", True, 3),
        ("nobody", "Y", "NEW", True, 3),
        ("old", "B", "NEW", True, 100),
    ):
        units = 2 if name == "pair" else 1
        ordered = "B" if name == "old" else "A"
        world.order(f"O-{name}", "RECEIVED", ((ordered, units, 1000),))
        world.returned(f"R-{name}", f"O-{name}", lines=((f"O-{name}-1", units),), created_at=NOW - timedelta(days=9))
        world.inspected(
            f"C-{name}", f"O-{name}", came, condition, reusable, units, returned_at=NOW - timedelta(hours=ago)
        )
    world.inspected("C-stray", "O-good", "B", returned_at=NOW - timedelta(hours=2))
    world.assign()
    yield world
    world.con.close()


def _added(decision: LaneDecision) -> dict[str, dict[str, object]]:
    return {plan.natural_key: dict(plan.body) for plan in decision.intents}


@pytest.mark.proves("C6", "R13", "R32", "R68", "R76", "I10")
def test_only_a_sellable_unit_adds_and_to_the_offer_of_the_item_that_came(core: CoreRows) -> None:
    assert _added(core.under("restock", **DELTA)) == {
        "delta:peoplevox:C-good:A:1#1": {"offer_sku": "A", "delta": 1},
        "delta:peoplevox:C-pair:A:1#1": {"offer_sku": "A", "delta": 1},
        "delta:peoplevox:C-pair:A:1#2": {"offer_sku": "A", "delta": 1},
        "delta:peoplevox:C-other:Z:1#1": {"offer_sku": "Z", "delta": 1},
    }


@pytest.mark.proves("C6")
def test_what_no_offer_sells_and_what_was_inspected_long_ago_is_told_and_not_added(core: CoreRows) -> None:
    found = core.under("restock", **DELTA).exceptions
    assert {(plan.type, plan.cause) for plan in found} == {
        ("SKU_UNMAPPED", "no offer"),
        ("STOCK_DRIFT", "receipts seen late"),
    }
    (late,) = (plan for plan in found if plan.type == "STOCK_DRIFT")
    assert late.evidence["receipt_event_ids"] == ["peoplevox:C-old:B:1"]


@pytest.mark.proves("C6")
def test_never_both_ways_of_counting(core: CoreRows) -> None:
    absolute, delta = {"stock_authority": "wms_absolute"}, DELTA
    core.change(tables.PEOPLEVOX_STOCK, "item_code = 'A'", available=9)
    core.assign()
    assert (bool(core.under("stock", **absolute).intents), core.under("restock", **absolute).intents) == (True, ())
    assert (core.under("stock", **delta).intents, bool(core.under("restock", **delta).intents)) == ((), True)
