"""Every typing file on nothing and on a golden case."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake import landing, upsert
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.objects import OBJECT_KINDS, ObjectKind
from marketplace_returns.lake.pull import PullResult, take
from marketplace_returns.lake.tables import CORE_TABLES, LINEAGE
from marketplace_returns_tests.lake import worlds
from marketplace_returns_tests.lake.worlds import copy_of

LINE = "ORDER-1-A-1"
UPDATED = datetime(2026, 10, 2, 10, 0, tzinfo=UTC)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


GOLDEN: dict[str, tuple[str, list[Any], dict[str, list[dict[str, Any]]]]] = {
    "order": (
        "mirakl/order",
        [worlds.mirakl_order()],
        {
            "mirakl__orders": [
                {
                    "order_id": "ORDER-1-A",
                    "commercial_id": "ORDER-1",
                    "price_minor": 4000,
                    "shipping_price_minor": 350,
                    "total_price_minor": 4350,
                    "total_commission_minor": 783,
                    "created_at": instant("2026-10-01T09:00"),
                    "updated_at": UPDATED,
                    "customer_debited_at": None,
                    "has_incident": False,
                    "has_shipping_address": True,
                    "channel_code": "UK",
                }
            ],
            "mirakl__order_lines": [
                {
                    "order_line_id": LINE,
                    "order_id": "ORDER-1-A",
                    "line_index": 1,
                    "quantity": 2,
                    "unit_price": Decimal("20.005"),
                    "price_minor": 4000,
                    "commission_fee_minor": 653,
                    "commission_vat_minor": 130,
                    "product_tax_minor": 667,
                    "shipping_tax_minor": 58,
                    "received_at": None,
                }
            ],
            "mirakl__order_line_taxes": [
                {"order_line_id": LINE, "tax_kind": "product", "tax_code": "VAT20", "amount_minor": 667},
                {"order_line_id": LINE, "tax_kind": "shipping", "tax_code": "VAT20", "amount_minor": 58},
            ],
            "mirakl__refunds": [
                {
                    "refund_id": f"REFUND-{LINE}",
                    "order_line_id": LINE,
                    "amount_minor": 2000,
                    "shipping_amount_minor": 0,
                    "tax_minor": 343,
                    "shipping_tax_minor": 0,
                    "commission_minor": 300,
                    "commission_vat_minor": 60,
                    "paid_at": instant("2026-10-02T09:30"),
                }
            ],
            "mirakl__refund_taxes": [
                {"tax_kind": "product", "tax_code": "ECO", "amount_minor": 10},
                {"tax_kind": "product", "tax_code": "VAT20", "amount_minor": 333},
            ],
            "mirakl__cancelations": [
                {"cancelation_id": f"CANCEL-{LINE}", "quantity": 1, "amount_minor": 2000, "tax_minor": 334}
            ],
        },
    ),
    "return": (
        "mirakl/return",
        [worlds.MIRAKL_RETURN],
        {
            "mirakl__returns": [{"return_id": "RETURN-1", "rma": None, "tracking_number": "TRACK-1"}],
            "mirakl__return_lines": [
                {"order_line_id": "ORDER-1-A-1", "quantity": 1, "compliance": None},
                {"order_line_id": "ORDER-1-A-2", "quantity": 2, "compliance": '[{"compliant":true}]'},
            ],
        },
    ),
    "shipment": (
        "mirakl/shipment",
        [worlds.MIRAKL_SHIPMENT],
        {
            "mirakl__shipments": [{"shipment_id": "SHIPMENT-1", "carrier_code": "dpd", "shipment_state": "SHIPPED"}],
            "mirakl__shipment_lines": [{"quantity": 2, "package_reference": "DESPATCH-1"}],
        },
    ),
    "offer": (
        "mirakl/offer",
        [worlds.MIRAKL_OFFER],
        {
            "mirakl__offers": [
                {
                    "offer_sku": "SKU-1-M",
                    "is_active": False,
                    "inactivity_reasons": '["ZERO_QUANTITY"]',
                    "price_minor": 2000,
                }
            ]
        },
    ),
    "transaction": (
        "mirakl/transaction",
        [worlds.MIRAKL_TRANSACTION],
        {
            "mirakl__transactions": [
                {
                    "transaction_id": "TRANSACTION-1",
                    "amount_minor": -667,
                    "order_line_id": LINE,
                    "refund_id": None,
                    "tax_code": "VAT20",
                    "billing_cycle_id": "CYCLE-1",
                }
            ]
        },
    ),
    "billing cycle": (
        "mirakl/billing_cycle",
        [worlds.MIRAKL_BILLING_CYCLE],
        {
            "mirakl__billing_cycles": [
                {"amount_to_seller_minor": 123456, "pay_out_state": "PAID", "pay_out_at": instant("2026-10-08T10:00")}
            ],
            "mirakl__billing_cycle_totals": [
                {"field": "total_commissions_incl_tax", "amount_minor": -16544},
                {"field": "total_payable_orders_incl_tax", "amount_minor": 140000},
            ],
        },
    ),
    "invoice": (
        "mirakl/invoice",
        [worlds.MIRAKL_INVOICE],
        {"mirakl__invoices": [{"invoice_id": 42, "amount_transferred_minor": 123456, "total_incl_minor": 16544}]},
    ),
    "reason": (
        "mirakl/reason",
        [{"type": "REFUND", "code": "17", "label": "Item returned", "is_shop_right": True}],
        {"mirakl__reasons": [{"reason_type": "REFUND", "code": "17", "is_shop_right": True}]},
    ),
    "carrier": (
        "mirakl/carrier",
        [
            {
                "code": "dpd",
                "label": "DPD",
                "standard_code": None,
                "tracking_url": "https://example.invalid/{trackingId}",
            }
        ],
        {"mirakl__carriers": [{"code": "dpd", "standard_code": None}]},
    ),
    "platform": (
        "mirakl/platform",
        [
            {
                "name": "pc01",
                "settings": {
                    "features": {"shipment": {"multi_shipment": True}, "restricted": ["FRA", "DEU"], "nothing": None},
                    "timezone": "Europe/London",
                },
            },
            {
                "name": "a01",
                "settings": {"payment_details": {"payable_balance": Decimal("12.30")}, "payment_info": {"iban": "x"}},
            },
        ],
        {
            "mirakl__platform": [
                {"setting": "a01.payment_details.payable_balance", "value": "12.30"},
                {"setting": "pc01.features.restricted", "value": '["FRA","DEU"]'},
                {"setting": "pc01.features.shipment.multi_shipment", "value": "true"},
                {"setting": "pc01.timezone", "value": "Europe/London"},
            ]
        },
    ),
    "Reveni return": (
        "reveni/return",
        [worlds.REVENI_RETURN],
        {
            "reveni__returns": [
                {
                    "platform_return_id": "rev-1",
                    "status": "RECEIVED",
                    "return_type": "REFUND",
                    "total_amount_minor": 2000,
                }
            ],
            "reveni__return_items": [
                {
                    "item_id": "item-1",
                    "item_status": "ACCEPTED",
                    "unit_price": Decimal("20.005"),
                    "tax_amount_minor": 333,
                }
            ],
            "reveni__refunds": [{"platform_refund_id": "ref-1", "currency": "GBP", "amount_minor": 2000}],
        },
    ),
    "ReBound return": (
        "rebound/return",
        [worlds.REBOUND_RETURN],
        {
            "rebound__returns": [
                {
                    "platform_return_id": "reb-1",
                    "external_id": "RETURN-1",
                    "order_id": "ORDER-1-A",
                    "status": "processed",
                    "label_url": None,
                    "created_at": instant("2026-10-04T08:01"),
                    "updated_at": instant("2026-10-07T07:00"),
                }
            ],
            "rebound__return_items": [
                {
                    "item_id": "1",
                    "order_line_id": "ORDER-1-A-1",
                    "received_sku": None,
                    "quantity": 2,
                    "received_quantity": None,
                    "reason": "too_big",
                    "disposition": "sellable",
                    "verification_entity": "hub",
                    "inspected_at": None,
                },
                {
                    "item_id": "2",
                    "order_line_id": None,
                    "received_sku": None,
                    "quantity": 1,
                    "received_quantity": None,
                    "reason": None,
                    "disposition": None,
                    "verification_entity": "hub",
                    "inspected_at": None,
                },
            ],
            "rebound__tracking_events": [
                {"status": "created", "occurred_at": instant("2026-10-04T08:01"), "country": "GB"},
                {"status": "processed", "occurred_at": instant("2026-10-07T07:00"), "country": None},
            ],
        },
    ),
    "RMA": (
        "returngo/return",
        [worlds.RETURNGO_RETURN],
        {
            "returngo__rmas": [
                {
                    "platform_return_id": "7000001",
                    "external_id": "RETURN-1",
                    "order_name": "#order-1-a",
                    "platform_order_id": "987654321",
                    "status": "Validated",
                    "is_out_of_policy": False,
                    "carrier": "Carrier",
                    "tracking_number": "TRACK-1",
                    "label_url": "https://example.invalid/label",
                    "updated_at": instant("2026-10-07T08:00"),
                    "read_at": instant("2026-10-03T12:00"),
                }
            ],
            "returngo__rma_items": [
                {
                    "item_id": "101",
                    "external_id": "ORDER-1-A-1",
                    "currency": "GBP",
                    "paid_price": Decimal("20.005"),
                    "is_returned": True,
                    "is_restockable": False,
                    "non_restockable_reason": "Damaged",
                    "validated_at": instant("2026-10-07T08:00"),
                },
                {
                    "item_id": "102",
                    "external_id": None,
                    "currency": None,
                    "paid_price": None,
                    "is_returned": False,
                    "is_restockable": False,
                    "non_restockable_reason": None,
                    "validated_at": None,
                },
            ],
            "returngo__transactions": [
                {
                    "transaction_id": "501",
                    "status": "Requested",
                    "amount_minor": 2000,
                    "external_reference_id": None,
                    "item_ids": '["101"]',
                    "settled_at": None,
                }
            ],
            "returngo__sightings": [
                {"subject": "rma", "subject_id": "7000001", "status": "Validated", "is_outbound": False},
                {"subject": "shipment", "subject_id": "11", "status": "Pending", "is_outbound": True},
                {"subject": "shipment", "subject_id": "12", "status": "Shipped", "is_outbound": False},
            ],
        },
    ),
    "despatch": (
        "peoplevox/despatch",
        [worlds.PEOPLEVOX_DESPATCH],
        {
            "peoplevox__despatches": [
                {
                    "despatch_number": "DESPATCH-1",
                    "row_no": 1,
                    "quantity": 2,
                    "despatched_at": instant("2026-10-01T17:59"),
                }
            ]
        },
    ),
    "warehouse return": (
        "peoplevox/return",
        [worlds.PEOPLEVOX_RETURN],
        {"peoplevox__returns": [{"return_code": "R-1", "quantity": 1, "is_reusable": True, "return_reason": None}]},
    ),
    "stock": (
        "peoplevox/stock",
        [worlds.PEOPLEVOX_STOCK],
        {"peoplevox__stock": [{"item_code": "SKU-1-M", "available": -1, "on_hand": 4}]},
    ),
    "sales order": (
        "peoplevox/sales_order",
        [worlds.PEOPLEVOX_SALES_ORDER],
        {
            "peoplevox__sales_orders": [{"sales_order_number": "ORDER-1-A", "status": "Despatched"}],
        },
    ),
    "purchase order": (
        "peoplevox/purchase_order",
        [worlds.PEOPLEVOX_PURCHASE_ORDER],
        {
            "peoplevox__purchase_orders": [{"purchase_order_number": "RTN-RETURN-1", "reference": None}],
        },
    ),
    "item type": (
        "peoplevox/item_type",
        [worlds.PEOPLEVOX_ITEM_TYPE],
        {"peoplevox__item_types": [{"item_code": "SKU-1-M", "barcode": "0000000000017"}]},
    ),
}


def test_every_core_table_has_one_typing_file_and_one_source() -> None:
    fed = [table.name for kind in OBJECT_KINDS for table in kind.tables]
    files = {path.stem for path in upsert.TYPING.glob("*.sql")} - {"macros"}
    assert sorted(fed) == sorted(table.name for table in CORE_TABLES)
    assert files == set(fed)


@pytest.mark.parametrize("kind", OBJECT_KINDS, ids=lambda kind: f"{kind.source}/{kind.name}")
def test_the_lists_that_rows_come_from_are_lists_of_the_shape(kind: ObjectKind) -> None:
    lists = set(_lists(kind.shape, ""))
    assert {path for paths in kind.rows_from.values() for path in paths} <= lists
    assert set(kind.rows_from) <= {table.name for table in kind.tables[1:]}


def _lists(shape: Any, path: str) -> Iterator[str]:
    for name, below in shape.items() if isinstance(shape, dict) else ():
        if isinstance(below, list):
            yield f"{path}{name}"
            yield from _lists(below[0], f"{path}{name}[].")
        else:
            yield from _lists(below, f"{path}{name}.")


@pytest.mark.parametrize("kind", OBJECT_KINDS, ids=lambda kind: f"{kind.source}/{kind.name}")
def test_typing_of_nothing_gives_the_columns_of_the_declaration(kind: ObjectKind) -> None:
    con = duckdb.connect()
    arrivals = landing.Arrivals("asos_uk", kind, "run-1")
    landing.stage(con, [arrivals])
    upsert.prepare(con)
    landing.make_batch(con, arrivals, only_new=False)
    for table in kind.tables:
        typed = con.execute(upsert.TYPING.joinpath(f"{table.name}.sql").read_text(encoding="utf-8"))
        assert [column[0] for column in typed.description or []] == [column.name for column in table.columns]
        assert typed.fetchall() == []
        upsert.read_rows(con, table, kind.source)
        types = con.execute(f"DESCRIBE SELECT * EXCLUDE (is_doubtful) FROM polled.good_{table.name}").fetchall()
        assert [(name, kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")) for name, kind, *_ in types] == [
            (column.name, column.kind.lake_type.replace(", ", ",")) for column in table.columns
        ]


@dataclass(frozen=True)
class GoldenLake:
    """One lake that has every golden case, for reading only."""

    con: duckdb.DuckDBPyConnection
    results: dict[str, PullResult]


@pytest.fixture(scope="module")
def golden(empty_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoldenLake]:
    lake = copy_of(empty_data_dir, tmp_path_factory.mktemp("golden"))
    con = lake.connect()
    clock = FixedClock(datetime(2026, 10, 3, 12, 0, tzinfo=UTC))
    yield GoldenLake(
        con,
        {
            case: take(lake, stream, "asos_uk", [objects], run_id="run-1", clock=clock, con=con)
            for case, (stream, objects, _) in GOLDEN.items()
        },
    )
    con.close()


@pytest.mark.parametrize("case", GOLDEN)
def test_an_object_is_typed_as_declared(case: str, golden: GoldenLake) -> None:
    _, objects, expected = GOLDEN[case]
    con, result = golden.con, golden.results[case]
    assert result.quarantined == 0, con.execute("SELECT table_name, reason FROM lake.landing.quarantine").fetchall()
    assert result.new == len(objects)
    assert {name: count for name, count in result.rows.items() if count} == {
        name: len(rows) for name, rows in expected.items() if rows
    }
    for name, rows in expected.items():
        assert _read(con, name, rows) == rows


def _read(con: duckdb.DuckDBPyConnection, table: str, like: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = list(like[0])
    found = con.execute(f"SELECT {', '.join(columns)} FROM lake.core.{table} ORDER BY ALL").fetchall()
    return [dict(zip(columns, row, strict=True)) for row in found]


def test_every_row_names_its_payload_its_fetch_and_its_run(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    take(lake, "mirakl/order", "asos_uk", [[worlds.mirakl_order()]], run_id="run-7", clock=clock, con=con)
    ((content_hash,),) = con.execute("SELECT content_hash FROM lake.landing.payloads").fetchall()
    lineage = ", ".join(column.name for column in LINEAGE)
    for table in ("mirakl__orders", "mirakl__order_lines", "mirakl__refunds"):
        rows = con.execute(f"SELECT {lineage} FROM lake.core.{table}").fetchall()
        assert rows == [(content_hash, clock.now(), "run-7")]


def test_a_tax_that_cannot_be_read_leaves_the_line_without_its_sum(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    """The tax itself goes to quarantine; the line is good, and its taxes are asked for where they lie."""
    broken = [{"code": "VAT20", "amount": Decimal("6.675"), "tax_calculation_rule": "NONE"}]
    order = worlds.mirakl_order(order_lines=[worlds.mirakl_line("ORDER-1-A", taxes=broken)])
    take(lake, "mirakl/order", "asos_uk", [[order]], run_id="run-1", clock=clock, con=con)
    sums = con.execute("SELECT product_tax_minor, shipping_tax_minor FROM lake.core.mirakl__order_lines").fetchall()
    assert sums == [(None, 58)]
    aside = con.execute("SELECT table_name FROM lake.landing.quarantine").fetchall()
    assert aside == [("mirakl__order_line_taxes",)]
