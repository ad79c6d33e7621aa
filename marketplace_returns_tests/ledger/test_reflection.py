"""Every reflection query on empty typed tables and on a case of its own, in a real lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.tables import CORE_TABLES, Kind
from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.ledger import balance
from marketplace_returns.ledger.dispatch import drain, read_backs
from marketplace_returns.ledger.ledger import Ledger
from marketplace_returns.ledger.outcomes import Confirmed, Found, Rejected, Unknown
from marketplace_returns.ledger.reflection import EXCEPTION_OF_KIND, reflect
from marketplace_returns.ledger.states import State
from marketplace_returns.model import attach_reported
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.lake.worlds import StorageSettings, copy_of
from marketplace_returns_tests.ledger.world import NOW, SHOP, Outside, decision, open_ledger, shop

FILLERS = {
    Kind.TEXT: "x",
    Kind.INTEGER: 1,
    Kind.MONEY: 1,
    Kind.DECIMAL: 1,
    Kind.BOOLEAN: True,
    Kind.INSTANT: NOW,
    Kind.JSON: "{}",
}

# kind: (ids of the write, table that shows it, row not showing it yet, row showing it)
CASES: dict[WriteKind, tuple[dict[str, str], str, dict[str, Any], dict[str, Any]]] = {
    WriteKind.ACCEPT_ORDER: (
        {"order_id": "O1"},
        "mirakl__orders",
        {"order_id": "O1", "order_state": "WAITING_ACCEPTANCE"},
        {"order_id": "O1", "order_state": "WAITING_DEBIT"},
    ),
    WriteKind.CREATE_WAREHOUSE_ORDER: (
        {"order_id": "O1"},
        "peoplevox__sales_orders",
        {"sales_order_number": "O2"},
        {"sales_order_number": "O1"},
    ),
    WriteKind.CONFIRM_DESPATCH: (
        {"order_id": "O1"},
        "mirakl__shipments",
        {"shipment_id": "other"},
        {"shipment_id": "ref"},
    ),
    WriteKind.CREATE_PLATFORM_RETURN: (
        {"return_id": "R1"},
        "reveni__returns",
        {"platform_return_id": "other", "external_id": "R2"},
        {"platform_return_id": "p1", "external_id": "R1"},
    ),
    WriteKind.LINK_RETURN: (
        {"return_id": "R1"},
        "mirakl__returns",
        {"return_id": "R1", "return_state": "WAITING_ACCEPTANCE", "rma": "p1"},
        {"return_id": "R1", "return_state": "IN_PROGRESS", "rma": "p1"},
    ),
    WriteKind.CREATE_EXPECTED_RECEIPT: (
        {"return_id": "R1"},
        "peoplevox__purchase_orders",
        {"purchase_order_number": "other"},
        {"purchase_order_number": "ref"},
    ),
    WriteKind.RECEIVE_RETURN: (
        {"return_id": "R1"},
        "mirakl__returns",
        {"return_id": "R1", "return_state": "IN_PROGRESS"},
        {"return_id": "R1", "return_state": "RECEIVED"},
    ),
    WriteKind.REPORT_COMPLIANCE: (
        {"return_id": "R1"},
        "mirakl__return_lines",
        {"return_id": "R1", "compliance": None},
        {"return_id": "R1", "compliance": "[{}]"},
    ),
    WriteKind.REFUND: ({"order_id": "O1"}, "mirakl__refunds", {"refund_id": "other"}, {"refund_id": "ref"}),
    WriteKind.REPORT_REFUND_OUTCOME: (
        {},
        "reveni__return_items",
        {"platform_return_id": "key@1", "item_status": "PENDING"},
        {"platform_return_id": "key@1", "item_status": "ACCEPTED"},
    ),
    WriteKind.RESOLVE_INCIDENT: (
        {"order_line_id": "L1"},
        "mirakl__order_lines",
        {"order_line_id": "L1", "line_state": "INCIDENT_OPEN"},
        {"order_line_id": "L1", "line_state": "RECEIVED"},
    ),
    WriteKind.CLOSE_RETURN: (
        {"return_id": "R1"},
        "mirakl__returns",
        {"return_id": "R1", "return_state": "RECEIVED"},
        {"return_id": "R1", "return_state": "CLOSED"},
    ),
    WriteKind.PUSH_STOCK: (
        {},
        "mirakl__offers",
        {"offer_sku": "key", "quantity": 9, "fetched_at": NOW - timedelta(hours=1)},
        {"offer_sku": "key", "quantity": 1, "fetched_at": NOW - timedelta(hours=1)},
    ),
}


@pytest.fixture(scope="module")
def empty_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("empty") / "data"
    Lake.open(StorageSettings(data_dir))
    return data_dir


@pytest.fixture
def con(empty_data_dir: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with copy_of(empty_data_dir, tmp_path / "lake").connect() as connection:
        attach_reported(connection, ["reveni"])
        yield connection


def insert(con: duckdb.DuckDBPyConnection, name: str, facts: dict[str, Any]) -> None:
    table = next(table for table in CORE_TABLES if table.name == name)
    row = {column.name: FILLERS.get(column.kind) for column in table.columns} | {"shop": SHOP} | facts
    con.execute(f"DELETE FROM {table.path}")
    marks = ", ".join("?" for _ in row)
    con.execute(f"INSERT INTO {table.path} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def test_every_kind_has_its_query_and_its_exception() -> None:
    names = {path.name for path in (resources.files("marketplace_returns.ledger") / "reflection").iterdir()}
    assert {f"{kind}.sql" for kind in WriteKind} <= names
    assert set(EXCEPTION_OF_KIND) == set(WriteKind) == set(CASES)


@pytest.mark.proves("R31", "R39", "R72", "R85")
@pytest.mark.parametrize("kind", list(WriteKind))
def test_a_write_is_reflected_only_when_the_lake_shows_it(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, kind: WriteKind
) -> None:
    ids, table, before, after = CASES[kind]
    clock = FixedClock(NOW)
    body = {"offer_sku": "key", "quantity": 1}
    write = IntentPlan(shop=SHOP, kind=kind, natural_key="key@1", body=body, evidence={}, **ids)  # type: ignore[arg-type]
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(write), shop())
        drain(ledger, shop(), {kind: Outside(answer=lambda _: Confirmed("ref"))}, clock, worker="w")
        assert reflect(ledger, con, shop(), clock.now()).reflected == 0
        insert(con, table, before)
        ledger.set_cursor(SHOP, "mirakl/offer", clock.now())
        assert reflect(ledger, con, shop(), clock.now()).reflected == 0
        clock.wait(7 * 3600)
        assert reflect(ledger, con, shop(), clock.now()).late == 1
        assert [each.type for each in ledger.exceptions()] == [EXCEPTION_OF_KIND[kind]]
        insert(con, table, after)
        assert reflect(ledger, con, shop(), clock.now()).reflected == 1
        assert [each.state for each in ledger.intents()] == [State.REFLECTED]
        assert ledger.exceptions() == []


@pytest.mark.proves("R39", "R117")
def test_a_label_that_was_written_later_is_reflected_by_the_label(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    clock = FixedClock(NOW)
    linked = {"return_id": "R1", "return_state": "IN_PROGRESS", "rma": "p1"}
    write = IntentPlan(
        shop=SHOP, kind=WriteKind.LINK_RETURN, natural_key="R1/label", body={}, evidence={}, return_id="R1"
    )
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(write), shop())
        drain(ledger, shop(), {WriteKind.LINK_RETURN: Outside()}, clock, worker="w")
        insert(con, "mirakl__returns", linked | {"label_url": ""})
        assert reflect(ledger, con, shop(), clock.now()).reflected == 0
        insert(con, "mirakl__returns", linked | {"label_url": "http://127.0.0.1/label"})
        assert reflect(ledger, con, shop(), clock.now()).reflected == 1


@pytest.mark.proves("R39", "R83")
def test_an_offer_that_sold_before_its_file_was_read_back_is_no_drift(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    clock = FixedClock(NOW)
    body = {"offer_sku": "key", "quantity": 5}
    write = IntentPlan(shop=SHOP, kind=WriteKind.PUSH_STOCK, natural_key="key@1", body=body, evidence={})
    outside = {
        WriteKind.PUSH_STOCK: Outside(
            answer=lambda _: Unknown("not done yet", ref="file"), shown=lambda _: Found("file")
        )
    }
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(write), shop())
        drain(ledger, shop(), outside, clock, worker="w")
        sold_at = NOW + timedelta(seconds=10)
        insert(con, "mirakl__offers", {"offer_sku": "key", "quantity": 4, "fetched_at": sold_at})
        clock.wait(31)
        read_backs(ledger, shop(), outside, worker="w")
        ledger.set_cursor(SHOP, "mirakl/offer", clock.now())
        assert reflect(ledger, con, shop(), clock.now()).reflected == 1


@pytest.mark.proves("R101")
def test_a_refund_that_waits_for_balance_is_tried_again_once_after_each_payable_sale(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    clock = FixedClock(NOW)
    write = IntentPlan(shop=SHOP, kind=WriteKind.REFUND, natural_key="L1#1", order_id="O1", body={}, evidence={})
    outside = Outside(answer=lambda _: Rejected("400", "balance", "balance", "REFUND_REJECTED_BALANCE", 6 * 3600.0))
    sale = {"transaction_type": "ORDER_AMOUNT", "payment_state": "PAYABLE"}

    def passed(ledger: Ledger) -> int:
        balance.wake(ledger, con, shop())
        drain(ledger, shop(), {WriteKind.REFUND: outside}, clock, worker="w")
        return len(outside.sent)

    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(write), shop())
        insert(con, "mirakl__transactions", {**sale, "updated_at": NOW - timedelta(hours=1)})
        assert passed(ledger) == 1
        clock.wait(600)
        assert passed(ledger) == 1, "an older sale is no reason to ask again"
        insert(con, "mirakl__transactions", {**sale, "payment_state": "PENDING", "updated_at": clock.now()})
        assert passed(ledger) == 1, "what is pending pays for nothing yet"
        fee = {"transaction_type": "COMMISSION_FEE", "updated_at": clock.now()}
        insert(con, "mirakl__transactions", {**sale, **fee})
        assert passed(ledger) == 1, "a fee that became payable fills no balance"
        insert(con, "mirakl__transactions", {**sale, "updated_at": clock.now()})
        assert passed(ledger) == 2
        clock.wait(600)
        assert passed(ledger) == 2, "one try for one sale"
        clock.wait(6 * 3600)
        assert passed(ledger) == 3, "and without any sale at its own time"


def test_a_refund_settles_when_all_its_ledger_lines_are_in_a_payout(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    clock = FixedClock(NOW)
    write = IntentPlan(shop=SHOP, kind=WriteKind.REFUND, natural_key="L1#1", order_id="O1", body={}, evidence={})
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(write), shop())
        drain(ledger, shop(), {WriteKind.REFUND: Outside(answer=lambda _: Confirmed("ref"))}, clock, worker="w")
        insert(con, "mirakl__refunds", {"refund_id": "ref"})
        insert(con, "mirakl__transactions", {"refund_id": "ref", "billing_cycle_id": None})
        assert reflect(ledger, con, shop(), clock.now()).settled == 0
        insert(con, "mirakl__transactions", {"refund_id": "ref", "billing_cycle_id": "C1"})
        assert reflect(ledger, con, shop(), clock.now()).settled == 1
        assert [each.state for each in ledger.intents()] == [State.SETTLED]
