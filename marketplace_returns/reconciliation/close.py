"""Closes a month: makes its tables from the lake and the ledger, and keeps them in the lake.

Here: what a close needs in its connection, the order of the tables, the proof of keys, and the one short transaction that
replaces (shop, month). Not here: what a table means (``<table>.sql``) or whether a month may be closed (the ledger's
period states). The invariant: the same inputs give the same rows, and a month's tables in the lake are of one close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pyarrow import csv

from marketplace_returns.errors import ContractBroken
from marketplace_returns.lake.connection import (
    UNSAFE_OPTIMIZERS,
    add_file,
    all_threads,
    is_short_of_memory,
    literal,
    one_snapshot,
    side_by_side,
    snapshot_of,
    table_ddl,
)
from marketplace_returns.lanes.plan import DELTA_KEY
from marketplace_returns.lanes.restock import OLD_AFTER
from marketplace_returns.model import statement
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.reconciliation.codes import code_owners
from marketplace_returns.reconciliation.tables import MONTHS, PACK_TABLES, SCHEMA, STOCK_PROOF
from marketplace_returns.settings import ROUNDING_MINOR, WriteKind, WriteMode

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake
    from marketplace_returns.lake.tables import Table
    from marketplace_returns.ledger.periods import Period
    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

PACKAGE = "marketplace_returns.reconciliation"
CLOSING = "memory.closing"
"""Where a close makes its tables: schema of the connection's memory, gone when the close ends."""

INTENTS = pa.schema(
    [
        ("kind", pa.string()),
        ("natural_key", pa.string()),
        ("intent_id", pa.string()),
        ("state", pa.string()),
        ("order_id", pa.string()),
        ("order_line_id", pa.string()),
        ("return_id", pa.string()),
        ("return_unit_id", pa.string()),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("external_ref", pa.string()),
        ("body", pa.string()),
        ("evidence", pa.string()),
        ("planned_at", pa.timestamp("us", tz="UTC")),
        ("sent_at", pa.timestamp("us", tz="UTC")),
        ("confirmed_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The columns of the ledger's intents that month-end tables read (``confirmed_refunds.sql``, ``stock_pushes.sql``)."""
INTENT_KINDS = (WriteKind.REFUND, WriteKind.PUSH_STOCK)
"""The kinds that they read."""

# Columns that a month-end table joins by, each proven unique as soon as it is there (R107), and the table whose rows they are.
_JOIN_KEYS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "order_modes": ("order_id", "core.mirakl__orders"),
        "lines": ("order_line_id", "core.mirakl__order_lines"),
        "refunds": ("refund_id", "core.mirakl__refunds"),
        "cycles": ("billing_cycle_id", "core.mirakl__billing_cycles"),
        "units": ("return_unit_id", "core.return_unit_assignments"),
    }
)
_LOG_BOUNDS, _LOG_PROOF = "log_bounds", "bookings_proof"
_STEPS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("late_lines", "late_documents", "brought_forward", "log_sums", "cycles"),
        ("order_modes", "lines", "refunds"),
        ("receipts",),
    ),
    (("currency_mismatches",), (_LOG_BOUNDS, "platform_returns")),
    (
        ("units", "refunded_units", "refund_three_way"),
        (
            _LOG_PROOF,
            "late_vat",
            "order_vs_ledger",
            "vat_documents",
            "vat_parts",
            "vat_summary",
            "payout_proof",
            "payout_components",
            "control_roll_forward",
            "reserve_roll_forward",
            "prior_period_adjustments",
            "journal_lines",
        ),
    ),
    # Each by itself, the longest first, so that neither core waits for the other.
    (
        ("refund_accrual_bridge", "returns_physical_roll"),
        ("stock_proof",),
        ("commission_variance",),
        ("manual_portal_actions",),
        ("timing_differences",),
        ("despatch_vs_revenue",),
        ("returns_by_week",),
        ("aged_unmatched",),
    ),
)
"""The month's tables and what several of them read (a table of the lake costs 20 ms to ask, whatever it holds), in steps of lines
that are made side by side: each needs nothing but what is before it in its line and in the steps before."""
_FIRST_OF_INTENTS = 1
"""The first step that reads intents."""
_TABLES = MappingProxyType({pack_table.name: pack_table for pack_table in PACK_TABLES})
_KEPT = (*(pack_table.table for pack_table in PACK_TABLES), MONTHS)
_SHOWN_MAX = 5
# What came late for a signed month: all that differs from the version that holds it, among the rows read since.
_LATE = ("late_lines", "late_documents", "late_vat")
_VAT_DOCUMENTS = "vat_documents"
SIDE_BY_SIDE_LINES_MAX = 20_000_000
"""Above so many log lines tables are made one after the other: two at once leave each too little memory, and spill."""
LANDED_WITHIN = timedelta(days=2)
"""What was read so long before a month was closed may have landed after it; wider costs time, never a row."""
SMALL_LOG_LINES_MAX = 1_000_000
"""Above so many log lines the two tables that a close makes at once use all cores and order their joins by size. Below, planning is most of
what a table costs."""


@dataclass(frozen=True, slots=True)
class SignedMonth:
    """The signed month before the one that is closed: what came for it since is posted in this one (R111).

    Attributes:
        lake_version: snapshot of the lake that holds it.
        prepared_at: when it was closed; what was read since, or shortly before, may be late.
    """

    lake_version: int
    prepared_at: datetime

    @classmethod
    def of(cls, period: Period) -> SignedMonth | None:
        """Return where a month that was closed is kept, whether or not it is signed yet; None where it is open."""
        if period.prepared_at is None or not period.lake_snapshot:
            return None
        return cls(int(period.lake_snapshot), period.prepared_at)


@dataclass(frozen=True)
class MonthResult:
    """What a close made.

    Attributes:
        rows: rows per table.
        codes: rows per table and code, for tables that have one (verdicts, variance codes, proof status).
        lake_version: snapshot of the lake that holds the tables.
    """

    shop: str
    month: Month
    rows: dict[str, int]
    codes: dict[str, dict[str, int]]
    lake_version: int


def close_month(  # noqa: PLR0917 - the parts of a close, in the order they are opened
    lake: Lake,
    con: DuckDBPyConnection,
    intents: Iterable[pa.RecordBatch],
    shop: Shop,
    month: Month,
    mappings: Mappings,
    *,
    run_id: str,
    before: SignedMonth | None = None,
    explained: Iterable[str] = (),
    ready: Callable[[], None] | None = None,
) -> MonthResult:
    """Make the month's tables of a shop and replace them in ``lake.recon`` in one transaction.

    Args:
        lake: where the tables are kept.
        con: a connection that has been through ``model.attach``.
        intents: the shop's intents of ``INTENT_KINDS``, columns of ``INTENTS`` (``ledger.intent_batches``).
        shop: gives the time zone that cuts the month, and the refund deadline.
        month: the accounting month.
        mappings: give component and account of every transaction type.
        run_id: named by the lake's snapshot.
        before: the month before, where it is signed.
        explained: references of unmatched items of earlier months (``aged_unmatched``) that a person gave a reason for: they stay with
            the month that has them. Asked for once the words are staged.
        ready: called before the month is replaced, when no other writer can come; what it raises leaves the month as it was.

    Raises:
        ContractBroken: a key that rows are matched by is there twice (R107), or the bookings are not what the log adds up
            to; nothing was written.
        LakeBusy: no turn; nothing was written.
    """
    files = {pack_table.name: lake.new_file(pack_table.table) for pack_table in PACK_TABLES if pack_table.is_file}
    with con.cursor() as own, ThreadPoolExecutor(1) as beside:
        # In memory, while the other core reads the lake's catalog.
        worded = beside.submit(stage_words, own, mappings, [shop])
        ensure_tables(lake, con)
        with one_snapshot(con):
            parameters = _late_parameters(shop, month, before) | _carried(con, shop, month)
            making = _Making(shop, files, before, parameters, _log_lines(con))
        worded.result()
    _keep(con, "stage.explained", pa.table({"reference": pa.array(explained, pa.string())}))
    con.execute(f"CREATE SCHEMA {CLOSING}")
    try:
        with con.cursor() as own, ThreadPoolExecutor(1) as beside:
            # Not in the transaction of a step, which would hold all its rows twice; the first steps read none of them.
            staged = beside.submit(_stage_intents, own, intents)
            _compute(con, making, staged.result)
        replace = partial(_replace_month, shop=shop.name, month=str(month), files=files)
        with _joined_as_written(con):
            lake.transact(con, run_id, f"close {month} of {shop.name}", replace, ready=ready)
        rows, codes = {}, {}
        for pack_table in PACK_TABLES:
            if pack_table.code_column:
                codes[pack_table.name] = _count_by(con, pack_table.name, pack_table.code_column)
                rows[pack_table.name] = sum(codes[pack_table.name].values())
            else:
                rows[pack_table.name] = _count(con, pack_table.name)
    finally:
        con.execute(f"DROP SCHEMA {CLOSING} CASCADE")
    return MonthResult(shop.name, month, rows, codes, snapshot_of(con))


def stage(
    con: DuckDBPyConnection, intents: Iterable[pa.RecordBatch], mappings: Mappings, shops: Iterable[Shop]
) -> None:
    """Put what a close reads besides the lake and the model into the connection's memory: intents, and ``stage_words``."""
    stage_words(con, mappings, shops)
    _stage_intents(con, intents)


def stage_words(con: DuckDBPyConnection, mappings: Mappings, shops: Iterable[Shop]) -> None:
    """Put what the statements of a close and of its pack are worded by into the connection's memory: types, statement maps, macros.

    ``shops`` give their tolerances.
    """
    for schema in ("stage", "ledger", "mapping"):
        con.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{schema}")
    _keep(con, "mapping.transaction_types", mappings.frames()["transaction_types"])
    _keep(con, "stage.code_owners", code_owners(mappings))
    for name in ("statement_fields", "statement_components"):
        _keep(con, f"stage.{name}", _package_data(name))
    con.execute(statement("component_types", PACKAGE))
    con.execute(statement("bookings_words", "marketplace_returns.lake"))
    stage_tolerances(con, shops)
    con.execute(statement("macros", PACKAGE))


def stage_tolerances(con: DuckDBPyConnection, shops: Iterable[Shop], schema: str = "stage") -> None:
    """Make the macro ``<schema>.tolerance(shop, check, currency)``: minor units by which two sides differ as rounding (settings ``tolerances``).

    Written out, so that where nothing is set it is a constant to the planner.
    """
    known = " ".join(
        f"WHEN of_shop = {literal(shop.name)} AND of_check = {literal(check)} AND of_currency = {literal(currency)} THEN {minor:d}"
        for shop in shops
        for check, currency, minor in shop.tolerances.in_minor_units()
    )
    tolerance = f"CASE {known} ELSE {ROUNDING_MINOR} END" if known else ROUNDING_MINOR
    con.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{schema}")
    con.execute(f"CREATE OR REPLACE MACRO memory.{schema}.tolerance(of_shop, of_check, of_currency) AS ({tolerance})")


def _stage_intents(con: DuckDBPyConnection, intents: Iterable[pa.RecordBatch]) -> None:
    """Make ``memory.ledger.confirmed_refunds`` and ``stock_pushes`` of the intents, batch by batch."""
    queries = {f"memory.ledger.{name}": statement(name, PACKAGE) for name in ("confirmed_refunds", "stock_pushes")}
    con.register("incoming_frame", INTENTS.empty_table())
    for table, query in queries.items():
        con.execute(f"CREATE OR REPLACE TABLE {table} AS {query}")
    for batch in intents:
        con.register("incoming_frame", pa.Table.from_batches([batch]))
        for table, query in queries.items():
            con.execute(f"INSERT INTO {table} {query}")
    con.unregister("incoming_frame")


@dataclass(frozen=True)
class _Making:
    """Makes the month's tables: the small ones in the schema ``closing`` of memory, named as in the lake, the others in ``files``, with a view.

    Raises:
        ContractBroken: a key that rows are matched by is there twice (R107), the bookings are not what the log adds up to,
            or a required column is empty.
    """

    shop: Shop
    files: Mapping[str, str]
    before: SignedMonth | None
    parameters: dict[str, Any]
    """What the statements are bound to; the log's bounds are added when they are known."""
    log_lines: int

    @property
    def is_large(self) -> bool:
        """The log is long enough for all cores to be quicker than one (``is_large``)."""
        return self.log_lines > SMALL_LOG_LINES_MAX

    def line(self, names: Sequence[str], con: DuckDBPyConnection) -> int:
        """Make some tables, on a connection of their own; return the snapshot of the lake they are of."""
        con.execute(statement("bookings_words", "marketplace_returns.lake"))
        con.execute(f"SET search_path = '{CLOSING},memory.main'")
        for name in names:
            if name == _LOG_BOUNDS:
                self._bound_log(con)
            elif name == _LOG_PROOF:
                _prove_bookings(con, self.shop.name, self.parameters)
            else:
                self._make(con, name)
        return snapshot_of(con)

    def _make(self, con: DuckDBPyConnection, name: str) -> None:
        pack_table = _TABLES.get(name)
        if pack_table is None:
            run_query(con, self._staging(name), self.parameters)
        elif pack_table.is_file:
            file = self.files[name]
            run_query(con, statement(name, PACKAGE), {**self.parameters, "file": file})
            con.execute(f"CREATE OR REPLACE VIEW {CLOSING}.{name} AS FROM read_parquet({literal(file)})")
            _prove_filled(con, pack_table.table, file, self.shop.name)
        else:
            run_query(con, _making(name, self.shop), self.parameters)
        if name in _JOIN_KEYS:
            key, origin = _JOIN_KEYS[name]
            _prove_key(con, f"{CLOSING}.{name}", key, origin, self.shop.name)

    def _staging(self, name: str) -> str:
        """Return the statement of a staged table; in a view, and of a version of the lake, values can only be written out."""
        if name == _VAT_DOCUMENTS or (name == "lines" and self.is_large):
            # To copy millions of lines takes longer than to read them where they are, and memory that joins need.
            return _as_view(name, self.parameters)
        return _late(name, self.before) if name in _LATE else statement(name, PACKAGE)

    def _bound_log(self, con: DuckDBPyConnection) -> None:
        """Find the instants between which the log has to be read."""
        _prove_key(con, "mapping.transaction_types", "type", "mapping.transaction_types", self.shop.name)
        bounds = run_query(con, statement(_LOG_BOUNDS, PACKAGE), self.parameters)
        names = [column[0] for column in bounds.description]
        self.parameters.update(zip(names, bounds.fetchone() or (), strict=True))


def _compute(con: DuckDBPyConnection, making: _Making, staged: Callable[[], None]) -> None:
    """Make all tables of one state of the lake; the words come first, and the intents (``staged``) before what reads them."""
    # Side by side, for what one line plans on one core the other can use to read and join. Where there are few rows planning is most
    # of the time: then one core does each line, and a third quicker as written.
    with all_threads(con) if making.is_large else _joined_as_written(con):
        seen: set[int] = set()
        try:
            for number, step in enumerate(_STEPS if making.log_lines <= SIDE_BY_SIDE_LINES_MAX else ()):
                if number == _FIRST_OF_INTENTS:
                    staged()
                seen.update(side_by_side(con, [partial(making.line, names) for names in step]))
        except duckdb.Error as error:
            if not is_short_of_memory(error):
                raise
            seen.clear()
    if len(seen) == 1:
        return
    # One after the other: each has all memory, and all see one state of the lake, which changed meanwhile.
    staged()
    every = [name for step in _STEPS for names in step for name in names]
    with all_threads(con):
        side_by_side(con, [partial(making.line, every)])


def _making(name: str, shop: Shop) -> str:
    """Return the statement of a small table; how stock is proven depends on whose figure is on sale."""
    return statement(f"{name}_{shop.policy.stock_authority}" if name == STOCK_PROOF.name else name, PACKAGE)


def run_query(con: DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> DuckDBPyConnection:
    """Run the statements of a file with those of the parameters that each names; return the connection to fetch the last from."""
    for parsed in con.extract_statements(query):
        con.execute(parsed, {name: parameters[name] for name in parsed.named_parameters})
    return con


def stage_vat_documents(con: DuckDBPyConnection, shop: Shop, month: Month, before: SignedMonth | None) -> None:
    """Make the view ``vat_documents`` of a month as its close had it; ``con`` is of its own, on the version of the lake that is asked.

    Args:
        con: gets the view, and what it reads, into its memory.
        shop: gives the time zone that cuts the month.
        month: the accounting month.
        before: the month before, where what came late for it is asked for too.
    """
    parameters = _late_parameters(shop, month, before)
    con.execute("CREATE SCHEMA IF NOT EXISTS memory.stage")
    con.execute(statement("macros", PACKAGE))
    run_query(con, statement("order_modes", PACKAGE), parameters)
    for name in ("lines", "refunds"):
        run_query(con, _as_view(name, parameters), parameters)
    run_query(con, _late("late_vat", before), parameters)
    run_query(con, _as_view(_VAT_DOCUMENTS, parameters), parameters)


def stage_posted_lines(
    con: DuckDBPyConnection, shop: Shop, month: Month, before: SignedMonth | None, transaction_types: pa.Table
) -> None:
    """Make the view ``posted_lines`` of a month as its close added it up, and ``cycles``; ``con`` is of its own, on the version of the lake that is asked.

    Args:
        con: gets the view, and what it reads, into its memory.
        shop: gives the time zone that cuts the month.
        month: the accounting month.
        before: the month before, where it is closed: what came late for it is posted in this one.
        transaction_types: the type mapping.
    """
    parameters = _late_parameters(shop, month, before)
    con.execute("CREATE SCHEMA IF NOT EXISTS memory.mapping")
    _keep(con, "mapping.transaction_types", transaction_types)
    con.execute(statement("bookings_words", "marketplace_returns.lake"))
    for name in ("late_lines", "late_documents"):
        run_query(con, _late(name, before), parameters)
    run_query(con, statement("cycles", PACKAGE), parameters)
    run_query(con, _as_view("posted_lines", parameters), parameters)


def _late_parameters(shop: Shop, month: Month, before: SignedMonth | None) -> dict[str, Any]:
    """Return what the month's queries are bound to, and since when what came late for the month before was read."""
    return month_parameters(shop, month) | {"locked_at": before.prepared_at - LANDED_WITHIN if before else None}


def _as_view(name: str, parameters: Mapping[str, Any]) -> str:
    """Return the statement of a staged table as one of a view, in which values can only be written out."""
    query = statement(name, PACKAGE).replace(f"TABLE {name} AS", f"VIEW {name} AS")
    for parameter in ("shop", "month_start", "month_end"):
        query = query.replace(f"${parameter}", literal(parameters[parameter]))
    return query


def _late(name: str, before: SignedMonth | None) -> str:
    """Return the statement of what came late for the month before; of a version of the lake, which can only be written out."""
    if before is None:
        return statement(f"no_{name}", PACKAGE)
    return statement(name, PACKAGE).replace("$locked_version", str(int(before.lake_version)))


def month_parameters(shop: Shop, month: Month) -> dict[str, Any]:
    """Return what the month's queries are bound to: shop, month, its bounds in UTC, and the refund deadline's cut."""
    start, end = month_bounds(month, shop.time_zone)
    return {
        "shop": shop.name,
        "currency": shop.currency,
        "inspector": "peoplevox" if shop.inspected_by == "warehouse" else str(shop.returns.platform),
        "month": str(month),
        "previous_month": str(month.previous()),
        "month_start": start,
        "month_end": end,
        # A unit inspected this long before the month's end and still without a refund is late, not in time.
        "refund_due_before": end - timedelta(hours=shop.policy.refund_deadline_hours),
        "time_zone": shop.time_zone,
        "accrue_requested": shop.accruals.requested,
        "accrue_in_transit": shop.accruals.in_transit,
        "accrue_expected": shop.accruals.expected,
        "stock_buffer": shop.policy.stock_buffer,
        # A shop that pushes no stock leaves it to somebody else, and there is nothing to prove.
        "is_pushing": shop.write_mode(WriteKind.PUSH_STOCK) is WriteMode.LIVE,
        "delta_key": DELTA_KEY,
        "old_after_s": int(OLD_AFTER.total_seconds()),
        "expected_from_start": start - timedelta(days=shop.accruals.return_window_days),
        "expected_from_end": end - timedelta(days=shop.accruals.return_window_days),
    }


def _carried(con: DuckDBPyConnection, shop: Shop, month: Month) -> dict[str, Any]:
    """Return the last month before this one that was closed, and its end: what it left unmatched is looked at again."""
    query = f"SELECT max(month) FROM {MONTHS.path} WHERE shop = ? AND month < ?"
    (found,) = con.execute(query, [shop.name, str(month)]).fetchone() or (None,)
    if found is None:
        return {"carried_from": None, "carried_end": None}
    return {"carried_from": found, "carried_end": month_bounds(Month.parse(found), shop.time_zone)[1]}


def ensure_tables(lake: Lake, con: DuckDBPyConnection) -> None:
    """Create the month-end tables and columns that the lake does not have yet."""
    try:
        with one_snapshot(con):
            for table in _KEPT:
                con.execute(f"SELECT {_names(table)} FROM {table.path} LIMIT 0")
    except (duckdb.CatalogException, duckdb.BinderException):
        lake.transact(con, "open", "create month-end tables", _create_missing)


def _create_missing(con: DuckDBPyConnection) -> None:
    con.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{SCHEMA}")
    there: dict[str, set[str]] = {}
    for table_name, column in con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = ?",
        [SCHEMA],
    ).fetchall():
        there.setdefault(table_name, set()).add(column)
    for table in _KEPT:
        # Not partitioned: each close writes files of its own, whose statistics name the month, and a third quicker.
        for ddl in table_ddl(table, there.get(table.name)):
            con.execute(ddl)
    if MONTHS.name not in there:
        closed = " UNION ALL ".join(f"SELECT shop, month FROM {pack_table.table.path}" for pack_table in PACK_TABLES)
        con.execute(f"INSERT INTO {MONTHS.path} ({_names(MONTHS)}) SELECT DISTINCT shop, month FROM ({closed})")


@contextmanager
def _joined_as_written(con: DuckDBPyConnection) -> Iterator[None]:
    """Let joins stay in the order of the statements: to choose another, DuckDB asks the lake's catalog three questions a table."""
    con.execute(f"SET disabled_optimizers = '{UNSAFE_OPTIMIZERS},join_order'")
    try:
        yield
    finally:
        con.execute(f"SET disabled_optimizers = '{UNSAFE_OPTIMIZERS}'")


def is_large(con: DuckDBPyConnection) -> bool:
    """Tell whether the log is long enough for all cores to be quicker than one."""
    return _log_lines(con) > SMALL_LOG_LINES_MAX


def _log_lines(con: DuckDBPyConnection) -> int:
    """Return how many lines the log has, of all shops; read from the catalog alone."""
    (lines,) = con.execute("SELECT count(*) FROM lake.core.mirakl__transactions").fetchone() or (0,)
    return int(lines)


def _replace_month(con: DuckDBPyConnection, *, shop: str, month: str, files: Mapping[str, str]) -> None:
    bound = {"shop": shop, "month": month}
    found = con.execute(f"SELECT 1 FROM {MONTHS.path} WHERE shop = $shop AND month = $month", bound)
    is_closed_before = found.fetchone() is not None
    for pack_table in PACK_TABLES:
        path, names = pack_table.table.path, _names(pack_table.table)
        if is_closed_before:
            con.execute(f"DELETE FROM {path} WHERE shop = $shop AND month = $month", bound)
        if pack_table.is_file:
            add_file(con, pack_table.table, files[pack_table.name])
        else:
            con.execute(f"INSERT INTO {path} ({names}) SELECT {names} FROM {CLOSING}.{pack_table.name}")
    if not is_closed_before:
        con.execute(f"INSERT INTO {MONTHS.path} ({_names(MONTHS)}) VALUES ($shop, $month)", bound)


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


def _prove_key(con: DuckDBPyConnection, table: str, key: str, origin: str, shop: str) -> None:
    # Equal keys have equal hashes: as many hashes as rows proves every key unique, at a third of the cost.
    proven = con.execute(f"SELECT count(*) = count(DISTINCT hash({key})) FROM {table}").fetchone()
    if proven and proven[0]:
        return
    twice = con.execute(
        f"SELECT {key}, count(*) FROM {table} GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT {_SHOWN_MAX}"
    ).fetchall()
    if twice:
        shown = ", ".join(f"{value} ({count} rows)" for value, count in twice)
        raise ContractBroken(
            f"{origin} of {shop} is not unique by {key}: {shown}. Nothing was closed, because amounts would be counted "
            f"twice; rebuild the table for these dates with 'marketplace-returns backfill'",
            system="lake",
            operation="close",
        )


def _prove_bookings(con: DuckDBPyConnection, shop: str, parameters: Mapping[str, Any]) -> None:
    """Hold the bookings, which the tables read, against the whole log (``log_sums``)."""
    differing = run_query(con, statement(_LOG_PROOF, PACKAGE), parameters).fetchone()
    if differing:
        _, instant, currency, is_refund, *_ = differing
        raise ContractBroken(
            f"the bookings of {shop} are not what its transaction log adds up to ({'refunds' if is_refund else 'sales'} in "
            f"{currency} as of {instant}). Nothing was closed; make them anew from the log with "
            f"'marketplace-returns lake rebuild --from landing --shop {shop}', then close again",
            system="lake",
            operation="close",
        )


def _prove_filled(con: DuckDBPyConnection, table: Table, file: str, shop: str) -> None:
    """Hold a file against the table's NOT NULL, which the lake does not when it takes a file; read from the file's footer."""
    required = [column.name for column in table.columns if column.required]
    empty = con.execute(
        "SELECT DISTINCT path_in_schema FROM parquet_metadata($file) "
        "WHERE path_in_schema IN (SELECT unnest($required)) AND coalesce(stats_null_count, 1) > 0 ORDER BY ALL",
        {"file": file, "required": required},
    ).fetchall()
    if empty:
        raise ContractBroken(
            f"{table.path} of {shop} would have rows without {', '.join(name for (name,) in empty)}. Nothing was closed; "
            f"rebuild the tables for these dates with 'marketplace-returns backfill'",
            system="lake",
            operation="close",
        )


def _count(con: DuckDBPyConnection, name: str) -> int:
    ((count,),) = con.execute(f"SELECT count(*) FROM {CLOSING}.{name}").fetchall()
    return int(count)


def _count_by(con: DuckDBPyConnection, name: str, column: str) -> dict[str, int]:
    return dict(
        con.execute(f"SELECT {column}, count(*) FROM {CLOSING}.{name} GROUP BY {column} ORDER BY {column}").fetchall()
    )


def _package_data(name: str) -> pa.Table:
    """Read ``<name>.csv`` of this package as text; an empty cell is null."""
    with resources.files(PACKAGE).joinpath(f"{name}.csv").open("rb") as file:
        table = csv.read_csv(file, convert_options=csv.ConvertOptions(strings_can_be_null=True, null_values=[""]))
    return table.cast(pa.schema([(column, pa.string()) for column in table.column_names]))


def _keep(con: DuckDBPyConnection, name: str, frame: pa.Table) -> None:
    """Make ``memory.<name>`` hold exactly the rows of a frame."""
    con.register("incoming_frame", frame)
    con.execute(f"CREATE OR REPLACE TABLE memory.{name} AS SELECT * FROM incoming_frame")
    con.unregister("incoming_frame")
