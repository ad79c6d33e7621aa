import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.lanes import LANES
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


def _despatch(
    core: CoreRows, number: str, item: str, quantity: int, carrier: str = "DPD", hours_ago: int = 5, order: str = "O1"
) -> None:
    core.put(
        tables.PEOPLEVOX_DESPATCHES,
        despatch_number=number,
        sales_order_number=order,
        item_code=item,
        row_no=1 if order == "O1" else 2,
        quantity=quantity,
        carrier=carrier,
        tracking_number=f"T-{number}",
        despatched_at=NOW - timedelta(hours=hours_ago),
    )


def _multi_shipment(core: CoreRows) -> None:
    core.put(tables.MIRAKL_PLATFORM, setting="pc01.features.shipment.multi_shipment", value="true")


@pytest.mark.proves("R71", "R85")
def test_a_complete_order_is_confirmed_with_the_marketplaces_carrier_code(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 2, 1000),))
    _despatch(core, "D1", "A", 2)
    plans = core.intents("despatch")
    assert list(plans) == [("confirm_despatch", "O1")]
    body = plans["confirm_despatch", "O1"].body
    assert body["mode"] == "order"
    assert body["tracking"] == {"carrier_code": "DPDUK", "tracking_number": "T-D1"}


@pytest.mark.proves("R91")
def test_a_parcel_goes_by_the_number_of_its_label_wherever_that_was_made(core: CoreRows) -> None:
    """Peoplevox makes no labels: the order sent to it asks for none, and its parcel is confirmed with what the label bears."""
    core.order("O1", "SHIPPING", (("A", 1, 1000),))
    for plan in core.decide("warehouse_orders").intents:
        assert not any("label" in name or "tracking" in name for name in plan.body)
    _despatch(core, "D1", "A", 1)
    core.change(tables.PEOPLEVOX_DESPATCHES, "despatch_number = 'D1'", tracking_number="LABEL-FROM-ELSEWHERE")
    body = core.intents("despatch")["confirm_despatch", "O1"].body
    assert body["tracking"] == {"carrier_code": "DPDUK", "tracking_number": "LABEL-FROM-ELSEWHERE"}


@pytest.mark.proves("R86")
def test_one_parcel_of_two_does_not_close_the_order(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 1, 1000), ("B", 1, 1000)))
    _despatch(core, "D1", "A", 1, hours_ago=30)
    assert core.decide("despatch").intents == ()
    _despatch(core, "D2", "B", 1)
    body = core.intents("despatch")["confirm_despatch", "O1"].body
    assert body["tracking"]["tracking_number"] == "T-D2"
    assert {line["order_line_id"] for line in body["shipment_lines"]} == {"O1-1", "O1-2"}


@pytest.mark.proves("R86")
def test_with_multi_shipment_each_parcel_is_confirmed_by_itself(core: CoreRows) -> None:
    _multi_shipment(core)
    core.order("O1", "SHIPPING", (("A", 3, 3000),))
    _despatch(core, "D1", "A", 1, hours_ago=30)
    _despatch(core, "D2", "A", 2)
    plans = core.intents("despatch")
    assert {key: [line["quantity"] for line in plan.body["shipment_lines"]] for key, plan in plans.items()} == {
        ("confirm_despatch", "O1/D1"): [1],
        ("confirm_despatch", "O1/D2"): [2],
    }


@pytest.mark.proves("R85")
def test_a_parcel_the_marketplace_shows_is_not_confirmed_again(core: CoreRows) -> None:
    _multi_shipment(core)
    core.order("O1", "SHIPPING", (("A", 2, 3000),))
    _despatch(core, "D1", "A", 1)
    core.put(
        tables.MIRAKL_SHIPMENT_LINES,
        shipment_id="S1",
        order_id="O1",
        order_line_id="O1-1",
        quantity=1,
        package_reference="D1",
    )
    assert core.decide("despatch").intents == ()


@pytest.mark.proves("R71", "C14")
@pytest.mark.parametrize(
    ("policy", "tracking"),
    [
        ("hold", None),
        ("unregistered", {"carrier_name": "Pigeon", "tracking_number": "T-D1"}),
    ],
)
def test_an_unmapped_carrier_follows_the_policy(
    make_core: Callable[..., CoreRows], policy: str, tracking: dict[str, str] | None
) -> None:
    core = make_core(policy=f'carrier_unmapped = "{policy}"')
    core.order("O1", "SHIPPING", (("A", 1, 1000),))
    _despatch(core, "D1", "A", 1, carrier="Pigeon")
    decision = core.decide("despatch")
    if tracking is None:
        assert decision.intents == ()
        assert [(found.type, found.cause) for found in decision.exceptions] == [("DESPATCH_UNMAPPED_CARRIER", "pigeon")]
    else:
        assert decision.intents[0].body["tracking"] == tracking


@pytest.mark.proves("R85")
def test_a_parcel_with_an_item_nobody_ordered_is_an_exception(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 1, 1000),))
    _despatch(core, "D1", "Z", 1)
    decision = core.decide("despatch")
    assert decision.intents == ()
    assert [found.type for found in decision.exceptions] == ["DESPATCH_REJECTED"]


@pytest.mark.proves("C14")
def test_the_default_carrier_and_the_tracking_address_of_an_unregistered_one_come_from_the_tables_star_row(
    make_core: Callable[..., CoreRows], tmp_path: Path
) -> None:
    mappings = tmp_path / "own"
    shutil.copytree("mappings", mappings)
    with (mappings / "carriers.csv").open("a") as table:
        table.write("peoplevox,*,OTHER,Other,https://track.invalid/{trackingId}\n")
    core = make_core(policy='carrier_unmapped = "unregistered"', mappings_dir=mappings)
    core.order("O1", "SHIPPING", (("A", 1, 1000),))
    _despatch(core, "D1", "A", 1, carrier="Pigeon")
    assert core.decide("despatch").intents[0].body["tracking"] == {
        "carrier_name": "Pigeon",
        "carrier_url": "https://track.invalid/T-D1",
        "tracking_number": "T-D1",
    }
    policy = core.shop.policy.model_copy(update={"carrier_unmapped": "default_carrier"})
    other = core.shop.model_copy(update={"policy": policy})
    (plan,) = LANES["despatch"](core.con, other, core.mappings, NOW).intents
    assert plan.body["tracking"] == {"carrier_code": "OTHER", "tracking_number": "T-D1"}


@pytest.mark.proves("R86")
def test_a_parcel_entered_late_moves_none_that_is_confirmed_and_one_parcel_may_serve_two_orders(core: CoreRows) -> None:
    _multi_shipment(core)
    core.order("O1", "SHIPPING", (("A", 1, 1000), ("A", 1, 1000)))
    core.order("O2", "SHIPPING", (("A", 1, 1000),))
    _despatch(core, "D2", "A", 1, hours_ago=1)
    _despatch(core, "D2", "A", 1, hours_ago=1, order="O2")
    plans = core.intents("despatch")
    assert {key: plan.body["shipment_lines"][0]["order_line_id"] for (_, key), plan in plans.items()} == {
        "O1/D2": "O1-1",
        "O2/D2": "O2-1",
    }
    core.put(
        tables.MIRAKL_SHIPMENT_LINES,
        shipment_id="S1",
        order_id="O1",
        order_line_id="O1-1",
        quantity=1,
        package_reference="D2",
    )
    _despatch(core, "D1", "A", 1, hours_ago=9)
    plans = core.intents("despatch")
    assert {key: plan.body["shipment_lines"][0]["order_line_id"] for (_, key), plan in plans.items()} == {
        "O1/D1": "O1-2",
        "O2/D2": "O2-1",
    }


@pytest.mark.proves("R54", "R86")
def test_a_despatched_unit_of_a_cancelled_line_neither_closes_the_order_nor_is_confirmed(core: CoreRows) -> None:
    core.order("O1", "SHIPPING", (("A", 1, 1000), ("B", 1, 1000)))
    core.change(tables.MIRAKL_ORDER_LINES, "order_line_id = 'O1-1'", line_state="CANCELED")
    core.put(tables.PEOPLEVOX_SALES_ORDERS, sales_order_number="O1", status="Part despatched")
    for line, item in (("1", "A"), ("2", "B")):
        core.put(tables.PEOPLEVOX_SALES_ORDER_ITEMS, sales_order_number="O1", line=line, item_code=item, quantity=1)
    assert [found.cause for found in core.exceptions("warehouse_orders")] == ["line cancelled 1 x A"]
    assert core.exceptions("cancelations") == []
    _despatch(core, "D1", "A", 1)
    decision = core.decide("despatch")
    assert (decision.intents, decision.exceptions) == ((), ())
    assert core.exceptions("warehouse_orders") == []
    (race,) = core.exceptions("cancelations")
    assert (race.type, race.cause, race.happened) == ("CANCEL_RACE", "part despatched", "1 x A in parcel D1, 0 wanted")
    assert race.happened in race.message
    _despatch(core, "D2", "B", 1)
    (plan,) = core.decide("despatch").intents
    assert [line["order_line_id"] for line in plan.body["shipment_lines"]] == ["O1-2"]
