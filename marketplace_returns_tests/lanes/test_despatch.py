from collections.abc import Callable
from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


def _despatch(core: CoreRows, number: str, item: str, quantity: int, carrier: str = "DPD", hours_ago: int = 5) -> None:
    core.put(
        tables.PEOPLEVOX_DESPATCHES,
        despatch_number=number,
        sales_order_number="O1",
        item_code=item,
        row_no=1,
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
