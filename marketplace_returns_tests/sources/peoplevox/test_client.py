"""The Peoplevox client against the sandbox's recorded answers: every operation, and the round of an order."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace_returns.sources.peoplevox.orders import (
    Address,
    PurchaseOrder,
    PurchaseOrderItem,
    Refused,
    SalesOrder,
    SalesOrderItem,
    Saved,
)
from marketplace_returns_tests.sources.peoplevox.conftest import START, Warehouse


def sales_order(number: str, *item_codes: str, quantity: int = 1) -> SalesOrder:
    return SalesOrder(
        number=number,
        customer="ASOS",
        contact_name='Test "Quoted", Person\nSecond line',
        ship_to=Address(line_1="1 Synthetic Street, Flat 2", city="Testford", postcode="ZZ1 1ZZ", country="GB"),
        created_at=START,
        items=tuple(
            SalesOrderItem(line=str(place), item_code=code, quantity=quantity, sale_price=Decimal("12.50"))
            for place, code in enumerate(item_codes, start=1)
        ),
    )


def test_a_saved_order_is_found_with_its_lines(warehouse: Warehouse) -> None:
    order = sales_order("ORDER-1-A", *warehouse.item_codes[:2])
    assert warehouse.client.save_sales_orders([order]) == {"ORDER-1-A": Saved("ORDER-1-A")}
    (found,) = warehouse.client.sales_orders(["ORDER-1-A", "ORDER-2-A"])
    assert found["sales_order_number"] == "ORDER-1-A"
    assert found["status"] == "New"
    assert found["created_at"] == "2026-07-01T08:00:00Z"
    lines = warehouse.client.sales_order_items(["ORDER-1-A"])
    assert [(line["line"], line["item_code"], line["quantity"]) for line in lines] == [
        ("1", warehouse.item_codes[0], "1"),
        ("2", warehouse.item_codes[1], "1"),
    ]


def test_nothing_personal_of_an_order_is_read_back(warehouse: Warehouse) -> None:
    warehouse.client.save_sales_orders([sales_order("ORDER-1-A", warehouse.item_codes[0])])
    (found,) = warehouse.client.sales_orders(["ORDER-1-A"])
    assert "Synthetic" not in str(found)
    assert "Person" not in str(found)


def test_saving_an_order_twice_leaves_one_order(warehouse: Warehouse) -> None:
    order = sales_order("ORDER-1-A", warehouse.item_codes[0])
    for _ in range(2):
        assert warehouse.client.save_sales_orders([order]) == {"ORDER-1-A": Saved("ORDER-1-A")}
    assert len(warehouse.client.sales_orders(["ORDER-1-A"])) == 1
    assert len(warehouse.client.sales_order_items(["ORDER-1-A"])) == 1


def test_of_a_batch_only_the_bad_order_is_refused(warehouse: Warehouse) -> None:
    code = warehouse.item_codes[0]
    outcomes = warehouse.client.save_sales_orders(
        [
            sales_order("ORDER-1-A", code),
            sales_order("ORDER-2-A", code, "NO-SUCH-ITEM"),
            sales_order("X" * 31, code),
            sales_order("ORDER-4-A"),
            sales_order("ORDER-5-A", code, quantity=0),
        ]
    )
    assert outcomes["ORDER-1-A"] == Saved("ORDER-1-A")
    half = outcomes["ORDER-2-A"]
    assert isinstance(half, Refused)
    assert half.is_header_saved
    assert "NO-SUCH-ITEM" in half.text
    for number in ("X" * 31, "ORDER-4-A", "ORDER-5-A"):
        refused = outcomes[number]
        assert isinstance(refused, Refused)
        assert not refused.is_header_saved


def test_despatches_are_read_with_utc_instants_and_row_numbers(warehouse: Warehouse) -> None:
    code = warehouse.item_codes[0]
    warehouse.client.save_sales_orders([sales_order("ORDER-1-A", code, warehouse.item_codes[1])])
    warehouse.outside.advance(days=4)
    pages = list(warehouse.client.despatches(START, START + timedelta(days=5)))
    rows = [row for page in pages for row in page]
    assert {row["sales_order_number"] for row in rows} == {"ORDER-1-A"}
    assert {row["item_code"] for row in rows} == set(warehouse.item_codes[:2])
    assert all(row["row_no"] == 1 and row["site"] == "MAIN" and row["tracking_number"] for row in rows)
    assert all(row["despatched_at"].endswith("Z") and row["despatched_at"] > "2026-07-01T08" for row in rows)
    assert set(rows[0]) == {
        "despatch_number", "sales_order_number", "item_code", "row_no", "quantity", "carrier", "service",
        "tracking_number", "site", "despatched_at",
    }  # fmt: skip
    assert list(warehouse.client.despatches(START - timedelta(days=9), START - timedelta(days=8))) == []


def test_inspected_returns_are_read_in_pages(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse.client, "_page_size", 2)
    code = warehouse.item_codes[0]
    for outcome in ("new", "damaged", "wrong_item"):
        warehouse.outside.arrange(
            lambda world, outcome=outcome: world.warehouse.record_return(
                "ORDER-1-A", code, 1, outcome, "Too big", None, None
            )
        )
    pages = list(warehouse.client.returns(START - timedelta(hours=1), START + timedelta(hours=1)))
    assert [len(page) for page in pages] == [2, 1]
    rows = [row for page in pages for row in page]
    assert [(row["return_condition"], row["is_reusable"]) for row in rows] == [
        ("NEW", "True"), ("Damaged", "False"), ("Wrong item", "True"),
    ]  # fmt: skip
    assert {row["returned_at"] for row in rows} == {"2026-07-01T08:00:00Z"}
    assert {row["return_reason"] for row in rows} == {"Too big"}


def test_stock_is_read_whole_or_for_some_items(warehouse: Warehouse) -> None:
    everything = [row for page in warehouse.client.stock() for row in page]
    assert {row["item_code"] for row in everything} == set(warehouse.item_codes)
    assert all(row["site"] == "MAIN" and row["available"].lstrip("-").isdigit() for row in everything)
    some = [row for page in warehouse.client.stock(warehouse.item_codes[:2]) for row in page]
    assert {row["item_code"] for row in some} == set(warehouse.item_codes[:2])
    assert list(warehouse.client.stock([])) == []


def test_the_catalogue_is_read(warehouse: Warehouse) -> None:
    rows = [row for page in warehouse.client.item_types() for row in page]
    assert {row["item_code"] for row in rows} == set(warehouse.item_codes)
    assert all(row["name"] and row["barcode"] for row in rows)


def test_an_expected_return_is_saved_and_found(warehouse: Warehouse) -> None:
    order = PurchaseOrder("RTN-1", (PurchaseOrderItem("1", warehouse.item_codes[0], 2),), reference="RT-1")
    assert warehouse.client.save_purchase_orders([order]) == {"RTN-1": Saved("RTN-1")}
    (found,) = warehouse.client.purchase_orders(["RTN-1"])
    assert (found["status"], found["reference"]) == ("Pending", "RT-1")
    (line,) = warehouse.client.purchase_order_items(["RTN-1"])
    assert (line["item_code"], line["quantity"]) == (warehouse.item_codes[0], "2")


def test_an_expired_session_is_renewed_and_the_call_replayed(warehouse: Warehouse) -> None:
    assert list(warehouse.client.item_types())
    warehouse.outside.advance(minutes=31)
    assert list(warehouse.client.item_types())
    warehouse.outside.advance(minutes=31)
    order = sales_order("ORDER-1-A", warehouse.item_codes[0])
    assert warehouse.client.save_sales_orders([order]) == {"ORDER-1-A": Saved("ORDER-1-A")}
    assert len(warehouse.client.sales_order_items(["ORDER-1-A"])) == 1


@pytest.mark.proves("R85")
def test_what_left_and_came_back_of_some_orders_is_read_by_their_numbers(warehouse: Warehouse) -> None:
    code = warehouse.item_codes[0]
    warehouse.client.save_sales_orders([sales_order("ORDER-1-A", code), sales_order("ORDER-2-A", code)])
    warehouse.outside.advance(days=4)
    warehouse.outside.arrange(
        lambda world: world.warehouse.record_return("ORDER-2-A", code, 1, "damaged", "Too big", None, None)
    )
    left = [row for page in warehouse.client.despatches_of(["ORDER-2-A", "ORDER-9-A"]) for row in page]
    assert [row["sales_order_number"] for row in left] == ["ORDER-2-A"]
    assert [row for page in warehouse.client.parcels([left[0]["despatch_number"]]) for row in page] == left
    back = [row for page in warehouse.client.returns_of(["ORDER-1-A", "ORDER-2-A"]) for row in page]
    assert [(row["sales_order_number"], row["is_reusable"]) for row in back] == [("ORDER-2-A", "False")]
    assert list(warehouse.client.despatches_of([])) == []


@pytest.mark.proves("R52")
def test_a_returned_parcel_is_booked_in_against_its_expected_receipt(warehouse: Warehouse) -> None:
    order = PurchaseOrder("RTN-R1", (PurchaseOrderItem("1", warehouse.item_codes[0], 2),), reference="O1")
    warehouse.client.save_purchase_orders([order])
    warehouse.outside.arrange(lambda world: world.warehouse.take_in_return("R1"))
    (page,) = warehouse.client.goods_in(START - timedelta(hours=1), START + timedelta(hours=1))
    (row,) = page
    assert (row["purchase_order_number"], row["item_code"], row["quantity"], row["delivered_at"]) == (
        "RTN-R1",
        warehouse.item_codes[0],
        "2",
        "2026-07-01T08:00:00Z",
    )
    (found,) = warehouse.client.whole_purchase_orders(["RTN-R1"])
    assert (found["status"], [item["quantity"] for item in found["items"]]) == ("Received", ["2"])
    outcomes = warehouse.client.cancel_purchase_orders(["RTN-R1"])
    assert isinstance(outcomes["RTN-R1"], Refused), "what has arrived is not taken back"


@pytest.mark.proves("R54")
def test_an_order_is_cancelled_until_something_of_it_has_left(warehouse: Warehouse) -> None:
    code = warehouse.item_codes[0]
    warehouse.client.save_sales_orders([sales_order("ORDER-1-A", code), sales_order("ORDER-2-A", code)])
    assert warehouse.client.cancel_sales_orders(["ORDER-1-A"]) == {"ORDER-1-A": Saved("ORDER-1-A")}
    warehouse.outside.advance(days=4)
    assert isinstance(warehouse.client.cancel_sales_orders(["ORDER-2-A"])["ORDER-2-A"], Refused)
    assert {row["sales_order_number"]: row["status"] for row in warehouse.client.sales_orders(
        ["ORDER-1-A", "ORDER-2-A"]
    )} == {"ORDER-1-A": "Cancelled", "ORDER-2-A": "Despatched"}  # fmt: skip
