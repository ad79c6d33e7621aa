"""What ReturnGO reports, in the model's words: the order by its name, units by their validation, money by its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.settings import load_settings
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows

RETURNGO = 'platform = "returngo"\nshop_name = "shop.test"\n'


def made(folder: Path, returns: str = "", **options: Any) -> CoreRows:
    """A shop whose returns are ReturnGO's, with further settings of its returns section."""
    core = CoreRows.make(folder, **options)
    config = folder / "shops.toml"
    text = config.read_text().replace('platform = "reveni"\n', RETURNGO + returns)
    config.write_text(text.replace('store_id = "store"\n', ""))
    core.settings = load_settings(config)
    return core


@pytest.fixture
def core(tmp_path: Path) -> Iterator[CoreRows]:
    world = made(tmp_path)
    yield world
    world.con.close()


def rma(core: CoreRows, number: str = "7", **values: Any) -> None:
    core.put(
        tables.RETURNGO_RMAS,
        **{
            "platform_return_id": number,
            "order_name": "O1",
            "status": "Approved",
            "updated_at": NOW - timedelta(hours=5),
            **values,
        },
    )


def unit(core: CoreRows, item_id: str, number: str = "7", **values: Any) -> None:
    core.put(
        tables.RETURNGO_RMA_ITEMS,
        **{"platform_return_id": number, "item_id": item_id, "sku": "SKU-A", "external_id": "O1-1", **values},
    )


def money(core: CoreRows, number: str, *, status: str, items: str = "[]", **values: Any) -> None:
    core.put(
        tables.RETURNGO_TRANSACTIONS,
        **{
            "transaction_id": number,
            "platform_return_id": "7",
            "transaction_type": "RefundToPaymentMethod",
            "status": status,
            "currency": "GBP",
            "amount_minor": 2500,
            "item_ids": items,
            **values,
        },
    )


def seen(core: CoreRows, subject: str, status: str, hours_ago: int, **values: Any) -> None:
    core.put(
        tables.RETURNGO_SIGHTINGS,
        **{
            "platform_return_id": "7",
            "subject": subject,
            "subject_id": subject,
            "status": status,
            "fetched_at": NOW - timedelta(hours=hours_ago),
            **values,
        },
    )


@pytest.mark.proves("R47", "R73")
@pytest.mark.parametrize(
    ("returns", "order_name", "order_id"),
    [
        ("", "O1", "O1"),
        ("", " #o1 ", "O1"),
        ("order_name_fold_case = false\n", "#o1", "o1"),
        ('order_name_strip = ""\n', "#O1", "#O1"),
        ("", "O1-unknown", "O1-unknown"),
    ],
)
def test_the_order_is_the_one_of_that_name_as_the_settings_read_it(
    tmp_path: Path, returns: str, order_name: str, order_id: str
) -> None:
    core = made(tmp_path, returns)
    core.order()
    rma(core, order_name=order_name)
    assert core.rows("SELECT order_id FROM reported.returns") == [(order_id,)]
    core.con.close()


def test_a_name_that_fits_two_orders_is_taken_as_it_is_written(core: CoreRows) -> None:
    core.order("O1")
    core.order("o1")
    rma(core, order_name="#O1")
    assert core.rows("SELECT count(*), min(order_id) FROM reported.returns") == [(1, "O1")]
    rma(core, "8", order_name="#o1")
    assert core.rows("SELECT order_id FROM reported.returns ORDER BY 1") == [("O1",), ("o1",)]


@pytest.mark.proves("R13", "R66")
@pytest.mark.parametrize(
    ("flags", "code", "disposition"),
    [
        ({"validated_at": None, "is_returned": False, "is_restockable": False}, None, None),
        ({"is_returned": True, "is_restockable": True}, "restockable", "sellable"),
        ({"is_returned": True, "is_restockable": False}, "not_restockable|", "damaged"),
        (
            {"is_returned": True, "is_restockable": False, "non_restockable_reason": "Wrong item"},
            "not_restockable|wrong item",
            "wrong_item",
        ),
        (
            {"is_returned": True, "is_restockable": False, "non_restockable_reason": "Never heard"},
            "not_restockable|never heard",
            None,
        ),
        ({"is_returned": False, "is_restockable": False}, "not_returned", "missing"),
    ],
)
def test_a_unit_is_inspected_once_it_was_validated(
    tmp_path: Path, flags: dict[str, Any], code: str | None, disposition: str | None
) -> None:
    core = made(tmp_path, policy='inspected_by = "platform"')
    core.order()
    rma(core)
    unit(core, "71", **({"validated_at": NOW} | flags))
    assert core.rows("SELECT disposition_code, quantity FROM reported.items") == [(code, 1)]
    receipts = core.rows("SELECT disposition, item_code, order_id FROM model.receipts")
    assert receipts == ([] if code is None else [(disposition, "SKU-A", "O1")])
    core.con.close()


def test_the_warehouse_inspects_where_the_shop_has_one(core: CoreRows) -> None:
    core.order()
    rma(core)
    unit(core, "71", validated_at=NOW, is_returned=True, is_restockable=True)
    assert core.rows("SELECT * FROM model.receipts") == []


def test_a_unit_waits_for_its_outcome_while_a_transaction_of_its_does(core: CoreRows) -> None:
    core.order()
    rma(core)
    for item_id in ("71", "72", "73"):
        unit(core, item_id)
    money(core, "1", status="Requested", items='["71"]')
    money(core, "2", status="Success", items='["72"]')
    assert core.rows("SELECT item_id FROM reported.items WHERE is_outcome_due") == [("71",)]
    assert len(core.rows("SELECT * FROM reported.items")) == 3


def test_a_unit_without_our_key_is_of_the_only_line_with_its_sku(core: CoreRows) -> None:
    core.order(lines=(("SKU-A", 2, 5000), ("SKU-B", 1, 100), ("SKU-B", 1, 100)))
    rma(core, order_name="#o1")
    unit(core, "71", external_id=None)
    unit(core, "72", external_id=None)
    unit(core, "73", external_id=None, sku="SKU-B")
    assert core.rows("SELECT item_id, order_line_id FROM reported.items ORDER BY 1") == [
        ("71", "O1-1"),
        ("72", "O1-1"),
        ("73", None),
    ]


@pytest.mark.proves("R7", "R37")
def test_times_that_returngo_does_not_give_are_those_of_the_first_sight(core: CoreRows) -> None:
    core.order()
    rma(core)
    seen(core, "shipment", "LabelCreated", 40)
    assert core.rows("SELECT shipped_at, received_at, status FROM model.platform_returns") == [(None, None, "approved")]
    seen(core, "shipment", "Shipped", 30)
    ((shipped_at, status),) = core.rows("SELECT shipped_at, status FROM model.platform_returns")
    assert (shipped_at, status) == (NOW - timedelta(hours=30), "in_transit")
    seen(core, "rma", "Received", 20)
    seen(core, "rma", "Done", 4)
    core.change(tables.RETURNGO_RMAS, "true", status="Done")
    ((received_at, resolved_at, status),) = core.rows(
        "SELECT received_at, resolved_at, status FROM model.platform_returns"
    )
    assert (received_at, status) == (NOW - timedelta(hours=20), "completed")
    assert resolved_at == NOW - timedelta(hours=5), "the last update was before it was seen"


def test_a_reopened_rma_is_not_resolved_any_more(core: CoreRows) -> None:
    core.order()
    rma(core, status="Received")
    seen(core, "rma", "Done", 9)
    assert core.rows("SELECT resolved_at, status FROM model.platform_returns") == [(None, "received")]


def test_money_is_told_by_its_outcome_and_an_invoice_is_no_refund(core: CoreRows) -> None:
    core.order()
    rma(core)
    for number, status in enumerate(("Requested", "Success", "Failed", "Unheard of"), start=1):
        money(core, str(number), status=status)
    money(core, "5", status="Success", transaction_type="InvoicePayment")
    assert core.rows("SELECT status, amount_minor FROM reported.refunds ORDER BY platform_refund_id") == [
        ("PENDING", 2500),
        ("EXECUTED", 2500),
        ("FAILED", 2500),
        ("PENDING", 2500),
    ]
    assert core.rows("SELECT refund_amount_minor, currency FROM reported.returns") == [(10_000, "GBP")]


@pytest.mark.proves("C4")
def test_a_refund_of_the_marketplace_that_we_told_is_no_refund_of_the_portal(core: CoreRows) -> None:
    core.order()
    rma(core)
    core.refunded("F1", "O1-1")
    money(core, "1", status="Success", external_reference_id="F1")
    money(core, "2", status="Success", external_reference_id="its own")
    assert core.rows("SELECT status FROM reported.refunds ORDER BY platform_refund_id") == [
        ("RECORDED",),
        ("EXECUTED",),
    ]


@pytest.mark.proves("R57", "R59")
def test_the_outcome_of_a_line_of_several_units_names_each_of_them(core: CoreRows) -> None:
    core.order(lines=(("SKU-A", 2, 5000),))
    core.returned(state="RECEIVED", lines=(("O1-1", 2),))
    rma(core, external_id="R1", status="Validated")
    unit(core, "71")
    unit(core, "72")
    money(core, "1", status="Requested", items='["71","72"]')
    core.inspected(quantity=1)
    core.inspected("RET2", condition="DAMAGED", reusable=False)
    core.refunded("F1", "O1-1", 2500)
    core.change(tables.MIRAKL_RETURN_LINES, "true", compliance='[{"compliant":false}]')
    plan = core.intents("closing")["report_refund_outcome", "7"]
    assert plan.body == {
        "platform_return_id": "7",
        "items": [
            {"item_id": "71", "is_refunded": True, "refund_ids": ["F1"]},
            {"item_id": "72", "is_refunded": False, "refund_ids": []},
        ],
    }
