from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


def _expected(core: CoreRows, parcel_id: str, *items: tuple[str, int], status: str = "Pending") -> None:
    """The warehouse shows an expected receipt with these lines, as it was read an hour ago."""
    number = f"RTN-{parcel_id}"
    core.put(
        tables.PEOPLEVOX_PURCHASE_ORDERS,
        purchase_order_number=number,
        status=status,
        fetched_at=NOW - timedelta(hours=1),
    )
    for place, (item, quantity) in enumerate(items, start=1):
        core.put(
            tables.PEOPLEVOX_PURCHASE_ORDER_ITEMS,
            purchase_order_number=number,
            line=str(place),
            item_code=item,
            quantity=quantity,
            status="Pending",
        )


@pytest.mark.proves("R52", "R90")
def test_each_partial_return_and_each_parcel_only_the_platform_knows_has_an_expected_receipt_of_its_own(
    core: CoreRows,
) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 2000), ("B", 1, 1000)))
    core.returned("R1", lines=(("O1-1", 1), ("O1-2", 1)))
    core.returned("R2", lines=(("O1-1", 1),))
    core.returned("R3", state="WAITING_ACCEPTANCE", lines=(("O1-1", 1),))
    for key, created_at in (("EXCHANGE", NOW - timedelta(hours=1)), ("JUST-MADE", NOW - timedelta(minutes=5))):
        core.put(
            tables.REVENI_RETURNS,
            platform_return_id=key,
            order_id="O1",
            status="IN_PROGRESS",
            currency="GBP",
            created_at=created_at,
        )
        core.put(tables.REVENI_RETURN_ITEMS, platform_return_id=key, item_id="I1", sku="B", quantity=1, currency="GBP")
    plans = core.intents("expected_receipts")
    told = {
        plan.body["purchase_order_number"]: [(item["item_code"], item["quantity"]) for item in plan.body["items"]]
        for plan in plans.values()
    }
    assert told == {"RTN-R1": [("A", 1), ("B", 1)], "RTN-R2": [("A", 1)], "RTN-EXCHANGE": [("B", 1)]}
    _expected(core, "R1", ("A", 1), ("B", 1))
    assert ("create_expected_receipt", "R1") not in core.intents("expected_receipts"), "it is there already"


@pytest.mark.proves("R52")
def test_a_changed_return_changes_its_expected_receipt_and_a_cancelled_one_takes_it_back(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 2000), ("B", 1, 1000)))
    core.returned("R1", lines=(("O1-2", 1),))
    _expected(core, "R1", ("A", 2))
    core.returned("R2", state="CANCELED", lines=(("O1-1", 1),))
    _expected(core, "R2", ("A", 1))
    core.returned("R3", state="CANCELED", lines=(("O1-1", 1),))
    _expected(core, "R3", ("A", 1), status="Received")
    plans = core.intents("expected_receipts")
    seen = (NOW - timedelta(hours=1)).isoformat()
    assert set(plans) == {("create_expected_receipt", f"R1@{seen}"), ("create_expected_receipt", "R2/cancel")}
    change = plans["create_expected_receipt", f"R1@{seen}"].body
    assert change["action"] == "change"
    assert change["items"] == [
        {"line": "1", "item_code": "A", "quantity": 2, "status": "Closed"},
        {"line": "2", "item_code": "B", "quantity": 1, "status": "Pending"},
    ]
    assert plans["create_expected_receipt", "R2/cancel"].body["action"] == "cancel"


@pytest.mark.proves("R52", "R86")
def test_an_expected_receipt_that_was_saved_without_its_lines_is_given_them(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 2000),))
    core.returned("R1", lines=(("O1-1", 1),))
    _expected(core, "R1")
    (plan,) = core.intents("expected_receipts").values()
    assert plan.body["action"] == "change"
    assert plan.body["items"] == [{"line": "1", "item_code": "A", "quantity": 1, "status": "Pending"}]


@pytest.mark.proves("R52")
def test_an_expected_receipt_of_which_something_came_is_neither_changed_nor_taken_back(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 2000),))
    core.returned("R1")
    _expected(core, "R1", ("A", 2))
    core.inspected(item="A")
    assert core.decide("expected_receipts").intents == ()
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R1'", return_state="CANCELED")
    assert core.decide("expected_receipts").intents == ()


@pytest.mark.proves("R52")
def test_a_return_that_the_platform_has_twice_under_our_key_is_one_parcel(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 2000),))
    core.returned("R1")
    for key in ("P1", "P2"):
        core.put(
            tables.REVENI_RETURNS,
            platform_return_id=key,
            external_id="R1",
            order_id="O1",
            status="IN_PROGRESS",
            currency="GBP",
        )
        core.put(tables.REVENI_RETURN_ITEMS, platform_return_id=key, item_id="I1", sku="A", quantity=1, currency="GBP")
    assert list(core.intents("expected_receipts")) == [("create_expected_receipt", "R1")]


@pytest.mark.proves("R52")
def test_a_parcel_the_platform_says_arrived_unannounced_is_told_and_announced_while_nothing_of_it_was_inspected(
    core: CoreRows,
) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.on_platform("R1", status="RECEIVED", received_at=NOW - timedelta(hours=1))
    decision = core.decide("expected_receipts")
    assert [(found.type, found.entity["parcel_id"]) for found in decision.exceptions] == [("ASN_MISSING", "R1")]
    assert [plan.natural_key for plan in decision.intents] == ["R1"]


@pytest.mark.proves("R52", "R90")
def test_a_parcel_that_came_unannounced_is_told_and_one_that_was_links_to_its_expected_receipt(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 2000),))
    core.returned("R1", lines=(("O1-1", 1),))
    core.inspected(item="A")
    decision = core.decide("expected_receipts")
    assert [(found.type, found.entity["parcel_id"]) for found in decision.exceptions] == [("ASN_MISSING", "R1")]
    assert decision.intents == (), "what was inspected is not announced any more"
    _expected(core, "R1", ("A", 1))
    core.put(
        tables.PEOPLEVOX_GOODS_IN,
        goods_in_reference="GI1",
        purchase_order_number="RTN-R1",
        item_code="A",
        row_no=1,
        delivered_at=NOW - timedelta(hours=4),
    )
    assert core.decide("expected_receipts").exceptions == ()
    assert core.rows("SELECT expected_receipt, disposition FROM model.return_units") == [("RTN-R1", "sellable")]
    assert core.rows("SELECT return_id, arrived_quantity, is_open FROM model.expected_receipts") == [("R1", 1, False)]
