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
_SUBJECT: Final = "shop, kind, subject_id, currency"
_KEY: Final = ", ".join(BOOKINGS.key)
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

    Comes after ``upsert.compare`` of the log, which says what moved of ``good_mirakl__transactions``.
    """
    if not moves.new and not moves.changed:
        return None
    con.execute(statement("bookings_words", PACKAGE))
    _find_touched(con, moves)
    ((touched, low, high),) = con.execute(
        "SELECT count(*), coalesce(min(subject_id), ''), coalesce(max(subject_id), '') FROM bookings_touched"
    ).fetchall()
    if not touched:
        return None
    near = f"kept.shop = {literal(shop)} AND kept.subject_id BETWEEN {literal(low)} AND {literal(high)}"
    there = f"FROM {BOOKINGS.path} AS kept SEMI JOIN bookings_touched USING ({_SUBJECT}) WHERE {near}"
    ((kept,),) = con.execute(f"SELECT count(*) {there}").fetchall()
    came = f"SELECT * FROM good_{LOG.name} {'' if moves.all_new else f'SEMI JOIN moved_{LOG.name} USING (shop, transaction_id)'}"
    if not kept:  # as most are: nothing was booked on any of them before
        _add_up(
            con, f"SELECT * FROM ({came}) AS line SEMI JOIN bookings_touched AS t ON {_is_of('t')}", "bookings_come"
        )
        return Change(0, near)
    con.execute(f"CREATE OR REPLACE TEMP TABLE bookings_kept AS SELECT {_COLUMNS} {there}")
    ((since,),) = con.execute("SELECT min(booked_from) FROM bookings_kept").fetchall()
    names = ", ".join(column.name for column in LOG.columns)
    lines = f"""
        SELECT {names} FROM ({came}) AS line SEMI JOIN bookings_touched AS t ON {_is_of("t")}
        UNION ALL
        SELECT {names} FROM (
            SELECT {names} FROM {LOG.path} AS kept WHERE kept.shop = {literal(shop)} AND kept.created_at >= {literal(since)}
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
    ((rows,),) = con.execute(
        f"INSERT INTO {BOOKINGS.path} ({_COLUMNS}) SELECT {_COLUMNS} FROM bookings_anew"
    ).fetchall()
    con.execute("DROP TABLE bookings_anew")
    return int(rows)


def _find_touched(con: DuckDBPyConnection, moves: Moves) -> None:
    """Make ``bookings_touched``: the subjects on which the batch's lines book something else than before."""
    good, moved, given = f"good_{LOG.name}", f"moved_{LOG.name}", f"SELECT {_GIVEN}"
    if moves.all_new:
        lines = f"{given} FROM {good} AS line WHERE {_BOOKED}"
    else:
        same = "USING (shop, transaction_id)"
        now = f"{given} FROM {good} AS line SEMI JOIN {moved} {same} WHERE {_BOOKED}"
        before = f"{given} FROM kept_rows AS line SEMI JOIN {moved} {same} WHERE {_BOOKED}"
        lines = f"(({now}) EXCEPT ({before})) UNION ALL (({before}) EXCEPT ({now}))"
    con.execute(f"CREATE OR REPLACE TEMP TABLE bookings_touched AS SELECT DISTINCT {_SUBJECT} FROM ({lines})")


def _add_up(con: DuckDBPyConnection, lines: str, name: str) -> None:
    """Make a table of what ``bookings.sql`` makes of some lines."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW log_lines AS {lines}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {statement('bookings', PACKAGE)}")


def _is_of(subjects: str) -> str:
    """The SQL of whether a ``line`` of the log is of one of some subjects."""
    return f"{subjects}.kind = {_KIND} AND {subjects}.subject_id = {_ID} AND {subjects}.currency = line.currency"
