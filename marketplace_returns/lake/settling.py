"""Settling: what was read of one or more streams goes into the lake, in one short transaction.

Here lives the one way from arrivals to landed payloads and core rows. What must not: where the arrivals come from, or what a
table holds. The invariants: a batch is in the lake whole, payloads and rows, or not at all; all reading is done before the
transaction, and again in its turn where another writer came between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import duckdb

from marketplace_returns.clock import Clock
from marketplace_returns.lake import bookings, landing, listing, references, upsert
from marketplace_returns.lake.connection import Lake, one_snapshot, side_by_side, snapshot_of

_NAMED_MAX: Final = 3  # streams that a snapshot's message names


@dataclass(frozen=True)
class Settled:
    """What settling one stream's arrivals did: payloads that were new, rows by table, and rows and objects set aside."""

    new: int
    rows: dict[str, int]
    aside: int


@dataclass(frozen=True)
class _Typed:
    """A stream's arrivals that are typed, and how much of them is in ``aside``."""

    arrivals: landing.Arrivals
    rows: tuple[upsert.TypedRows, ...]
    aside: int


@dataclass(frozen=True)
class _Compared:
    """How typed batches differ from one snapshot of the lake.

    Attributes:
        moves: what is new and changed, with the rows it is of.
        booked: what that changes of the log's bookings; None where it changes none.
        held: the sources and tables that quarantine holds rows of.
        seen: the snapshot; None where not all of it is of one.
    """

    moves: tuple[tuple[upsert.TypedRows, upsert.Moves], ...]
    booked: bookings.Change | None
    held: frozenset[tuple[str, str]]
    seen: int | None


def settle(
    lake: Lake,
    con: duckdb.DuckDBPyConnection,
    batches: Sequence[landing.Arrivals],
    clock: Clock,
    *,
    has_landed: bool = False,
) -> list[Settled]:
    """Type the arrivals of streams of one shop and run and write them in one transaction; return what that did, in their order.

    No two batches are of one stream. Their payloads are written too, unless they have landed before (``has_landed``).

    Raises:
        LakeBusy: the lake stayed locked; nothing was written.
    """
    shop, run_id = batches[0].shop, batches[0].run_id
    # First, for a payload that is known is not taken again: if we die here, the next poll brings both.
    lake.personal.keep([row for each in batches for row in each.personal])
    erased = lake.personal.erased(shop)
    for each in batches if erased else ():
        each.cut_down(erased)
    landing.stage(con, batches)
    with one_snapshot(con):
        seen, known, held = _look(con, batches, has_landed=has_landed)
        due = [each for each in batches if has_landed or _is_news(con, each, known[each.kind.stream], held)]
        if not due:
            return [Settled(0, {}, 0) for _ in batches]
        if len(due) < len(batches):
            landing.stage(con, due)
        upsert.prepare(con)
        typed = [_type(con, each, has_landed=has_landed) for each in due]
    compared = _compare(con, typed, held, seen)

    def look_again() -> None:
        nonlocal seen, known, held, compared
        if snapshot_of(con) == compared.seen:
            return
        with one_snapshot(con):
            seen, known, held = _look(con, due, has_landed=has_landed)
        compared = _compare(con, typed, held, seen)

    def work(inside: duckdb.DuckDBPyConnection) -> dict[str, int]:
        if snapshot_of(inside) != compared.seen:
            raise duckdb.TransactionException("conflict: another writer wrote out of its turn")
        if not has_landed:
            landing.write(inside, due)
        moved = {rows.table.name: upsert.merge_rows(inside, rows, moves, shop=shop) for rows, moves in compared.moves}
        references.write(inside, compared.moves)
        if compared.booked is not None:
            bookings.write(inside, compared.booked)
        every = [rows for rows, _ in compared.moves]
        if compared.held or any(each.aside for each in typed):
            upsert.merge_aside(inside, every, compared.held, shop=shop, quarantined_at=clock.now())
        return moved

    merged: dict[str, int] = {}
    if (
        compared.held
        or any(moves.new or moves.changed for _, moves in compared.moves)
        or any(each.aside or known.get(each.arrivals.kind.stream, 0) < each.arrivals.contents for each in typed)
    ):
        merged = lake.transact(con, run_id, f"pull {_names(due)}", work, ready=look_again)
    aside = {each.arrivals.kind.stream: each.aside for each in typed}
    return [
        Settled(
            0 if has_landed or each.kind.stream not in aside else each.contents - known[each.kind.stream],
            {table.name: merged.get(table.name, 0) for table in each.kind.tables},
            aside.get(each.kind.stream, 0),
        )
        for each in batches
    ]


def _look(
    con: duckdb.DuckDBPyConnection, batches: Sequence[landing.Arrivals], *, has_landed: bool
) -> tuple[int, dict[str, int], frozenset[tuple[str, str]]]:
    """Return the snapshot that is seen, what of the staged batches it knows, and the tables that quarantine holds rows of."""
    known = {} if has_landed else landing.find_known(con, batches)
    return snapshot_of(con), known, upsert.held_tables(con, shop=batches[0].shop)


def _is_news(
    con: duckdb.DuckDBPyConnection, arrivals: landing.Arrivals, known: int, held: frozenset[tuple[str, str]]
) -> bool:
    """Tell whether anything of a batch may be other than what the lake has.

    What is known was typed when it landed. Of objects that do not tell their version only the content that came last is
    known, so one that went back to an earlier content is news. A row in quarantine is told again at each reading.
    """
    kind = arrivals.kind
    if known < arrivals.contents or kind.types_known:
        return True
    if kind.changed_field:
        return False
    if arrivals.faulty or any((kind.source, table.name) in held for table in kind.tables):
        return True
    return listing.has_listing(kind) and listing.is_any_unlisted(con, kind, arrivals.shop)


def _type(con: duckdb.DuckDBPyConnection, arrivals: landing.Arrivals, *, has_landed: bool) -> _Typed:
    kind = arrivals.kind
    only_new = bool(kind.changed_field) and not kind.types_known and not has_landed
    landing.make_batch(con, arrivals, only_new=only_new)
    fed = [table for table in kind.tables if kind.has_rows(table, arrivals.filled)]
    rows = tuple(upsert.read_rows(con, table, kind.source) for table in fed)
    faulty = upsert.set_aside_objects(con, arrivals, only_new=only_new) if arrivals.faulty else 0
    return _Typed(arrivals, rows, sum(each.aside for each in rows) + faulty)


def _compare(
    con: duckdb.DuckDBPyConnection, typed: Sequence[_Typed], held: frozenset[tuple[str, str]], seen: int
) -> _Compared:
    """Compare table by table, side by side; of no snapshot where another writer came since ``seen``."""
    shop = typed[0].arrivals.shop
    every = [rows for each in typed for rows in each.rows]

    def compared(rows: upsert.TypedRows, own: duckdb.DuckDBPyConnection) -> upsert.Moves:
        return upsert.compare(own, rows, shop=shop)

    moves = tuple(zip(every, side_by_side(con, [partial(compared, rows) for rows in every]), strict=True))
    log = next((change for rows, change in moves if rows.table is bookings.LOG), None)
    ours = held & {(rows.source, rows.table.name) for rows in every}
    with one_snapshot(con):
        booked = None if log is None else bookings.compare(con, log, shop=shop)
        # Nothing came between if the newest snapshot is still that of before.
        return _Compared(moves, booked, ours, seen if snapshot_of(con) == seen else None)


def _names(batches: Sequence[landing.Arrivals]) -> str:
    names = [each.kind.stream for each in batches]
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
