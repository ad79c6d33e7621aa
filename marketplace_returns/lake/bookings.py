"""Bookings: the transaction log added up per order line and refund, kept as the log lands.

Here lives how ``core.bookings`` follows ``core.mirakl__transactions``: for a batch, and whole. What must not: how an amount
is compared or closed. The invariant: the bookings are what ``bookings.sql`` makes of the whole log, after every transaction;
a subject that a batch touches is added up anew from its lines, never counted on, so that nothing counts twice.

``compare`` reads, outside of a transaction; ``write`` writes, in the transaction that writes the lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marketplace_returns.lake.connection import literal
from marketplace_returns.lake.sql import statement
from marketplace_returns.lake.tables import BOOKINGS, MIRAKL_TRANSACTIONS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.upsert import Moves

LOG: Final = MIRAKL_TRANSACTIONS
PACKAGE: Final = "marketplace_returns.lake"

_COLUMNS: Final = ", ".join(column.name for column in BOOKINGS.columns)
_LINE: Final = ", ".join(column.name for column in LOG.columns)
_SUBJECT: Final = "shop, kind, subject_id, currency"
_KIND: Final = "booked_kind(line.transaction_type, line.order_line_id, line.refund_id)"
_ID: Final = "booked_subject(line.transaction_type, line.order_line_id, line.refund_id, line.transaction_id)"
# All that a line gives its booking.
_GIVEN: Final = f"""
    shop, {_KIND} AS kind, {_ID} AS subject_id, currency, transaction_id, transaction_type, amount_minor, order_id,
    order_line_id, created_at, CASE WHEN transaction_type LIKE 'REFUND_ORDER%' THEN billing_cycle_id END
"""
_BOOKED: Final = "is_booked(transaction_type, payment_state)"


@dataclass(frozen=True)
class Change:
    """What a batch changes: rows of ``bookings_come`` to add and of ``bookings_gone`` to take away first.

    Attributes:
        gone: how many go.
        near: the SQL of which files of the lake can hold them.
    """

    gone: int
    near: str


def compare(con: DuckDBPyConnection, moves: Moves, *, shop: str) -> Change | None:
    """Add up the subjects that a batch of log lines touches, from the lake's lines and the batch's; None where nothing changes.

    Comes after ``upsert.compare`` of the log, which says what moved of ``polled.good_mirakl__transactions``.
    """
    if not moves.new and not moves.changed:
        return None
    con.execute(statement("bookings_words", PACKAGE))
    moved = "" if moves.all_new else f"SEMI JOIN polled.moved_{LOG.name} USING (shop, transaction_id)"
    came = f"SELECT {_LINE} FROM polled.good_{LOG.name} {moved}"
    touched = f"SELECT DISTINCT {_SUBJECT} FROM bookings_come"
    if (
        moves.all_new
    ):  # as most batches are: their bookings are made at once, and stand where none of their subjects has any
        _add_up(con, came, "bookings_come")
    else:
        before = f"SELECT {_GIVEN} FROM polled.kept_{LOG.name} AS line {moved} WHERE {_BOOKED}"
        now = f"SELECT {_GIVEN} FROM ({came}) AS line WHERE {_BOOKED}"
        touched = f"SELECT DISTINCT {_SUBJECT} FROM ((({now}) EXCEPT ({before})) UNION ALL (({before}) EXCEPT ({now})))"
    con.execute(f"CREATE OR REPLACE TEMP TABLE bookings_touched AS {touched}")
    ((subjects, low, high),) = con.execute(
        "SELECT count(*), coalesce(min(subject_id), ''), coalesce(max(subject_id), '') FROM bookings_touched"
    ).fetchall()
    if not subjects:
        return None
    near = f"kept.shop = {literal(shop)} AND kept.subject_id BETWEEN {literal(low)} AND {literal(high)}"
    there = f"FROM {BOOKINGS.path} AS kept SEMI JOIN bookings_touched USING ({_SUBJECT}) WHERE {near}"
    # Most are new, and asking for the keys alone costs a fraction of asking for every column.
    ((kept,),) = con.execute(f"SELECT count(*) {there}").fetchall()
    if not kept and moves.all_new:
        return Change(0, near)
    con.execute(f"CREATE OR REPLACE TEMP TABLE bookings_kept AS SELECT {_COLUMNS} {there}")
    lines = f"SELECT {_LINE} FROM ({came}) AS line SEMI JOIN bookings_touched AS t ON {_is_of('t')}"
    if kept:
        ((since,),) = con.execute("SELECT min(booked_from) FROM bookings_kept").fetchall()
        lines += f"""
            UNION ALL
            SELECT {_LINE} FROM (
                SELECT {_LINE} FROM {LOG.path} WHERE shop = {literal(shop)} AND created_at >= {literal(since)}
            ) AS line
            SEMI JOIN bookings_kept AS t ON {_is_of("t")}
            ANTI JOIN ({came}) AS came USING (shop, transaction_id)
        """
    _add_up(con, lines, "bookings_anew")
    for name, these, others in (
        ("bookings_come", "bookings_anew", "bookings_kept"),
        ("bookings_gone", "bookings_kept", "bookings_anew"),
    ):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {_COLUMNS} FROM {these} EXCEPT SELECT {_COLUMNS} FROM {others}"
        )
    ((come, gone),) = con.execute(
        "SELECT (SELECT count(*) FROM bookings_come), (SELECT count(*) FROM bookings_gone)"
    ).fetchall()
    return Change(gone, near) if come or gone else None


def write(con: DuckDBPyConnection, change: Change) -> None:
    """Bring what ``compare`` found into the lake, inside the transaction that writes the lines."""
    if change.gone:
        same = " AND ".join(f"kept.{name} = gone.{name}" for name in BOOKINGS.key)
        con.execute(f"DELETE FROM {BOOKINGS.path} AS kept USING bookings_gone AS gone WHERE {change.near} AND {same}")
    con.execute(f"INSERT INTO {BOOKINGS.path} ({_COLUMNS}) SELECT {_COLUMNS} FROM bookings_come")


def remake(con: DuckDBPyConnection, shop: str | None = None) -> int:
    """Make the bookings of a shop, or of all, anew from the whole log, inside a transaction; return the rows.

    For a lake whose bookings are not there yet or are wrong, and after the log was typed anew from landing.
    """
    where = "" if shop is None else f"WHERE shop = {literal(shop)}"
    con.execute(statement("bookings_words", PACKAGE))
    con.execute(f"DELETE FROM {BOOKINGS.path} {where}")
    _add_up(con, f"SELECT * FROM {LOG.path} {where}", "bookings_anew")
    # In the order in which they would have come, so that a month's are together.
    ((rows,),) = con.execute(
        f"INSERT INTO {BOOKINGS.path} ({_COLUMNS}) SELECT {_COLUMNS} FROM bookings_anew ORDER BY booked_from"
    ).fetchall()
    con.execute("DROP TABLE bookings_anew")
    return int(rows)


def _add_up(con: DuckDBPyConnection, lines: str, name: str) -> None:
    """Make a table of the bookings of some lines."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW log_lines AS {lines}")
    con.execute(statement("booked", PACKAGE))
    # As many hashes as rows: no subject is booked on in two quarters, as most are not; planning to put them in order costs most.
    ((is_once,),) = con.execute(f"SELECT count(*) = count(DISTINCT hash({_SUBJECT})) FROM booked").fetchall()
    made = "SELECT *, CAST(NULL AS TIMESTAMPTZ) AS booked_until, true AS is_first FROM booked"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {made if is_once else statement('bookings', PACKAGE)}")


def _is_of(subjects: str) -> str:
    """The SQL of whether a ``line`` of the log is of one of some subjects."""
    return f"{subjects}.kind = {_KIND} AND {subjects}.subject_id = {_ID} AND {subjects}.currency = line.currency"
