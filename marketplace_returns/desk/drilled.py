"""What the desk tells of a number of the books, and the landed payloads behind whatever was looked up (R7).

Here: which of a look-up's facts have a payload, and what names a log line. Not here: how a figure is added up
(``reconciliation.drill_down``). The invariant: what is told is read, never kept, and a payload has no personal fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marketplace_returns.reconciliation import drill_down
from marketplace_returns.reconciliation.drill_down import (
    AddedUp,
    Books,
    ControlAccount,
    Cycle,
    Document,
    Journal,
    NamedBy,
    Payload,
    Thing,
    VatReturn,
)
from marketplace_returns.reconciliation.trace import LogLine, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marketplace_returns.desk.lookup import Desk, LookUp


@dataclass(frozen=True, slots=True)
class NamedLine:
    """A log line and the rows of month-end tables that name it."""

    line: LogLine
    named_by: tuple[NamedBy, ...]


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a number of the books was found to be: log lines, payout cycles, documents, journals, VAT or the control account of a month."""

    log_lines: tuple[NamedLine, ...] = ()
    things: tuple[Thing, ...] = ()


def drill(desk: Desk, found: LookUp) -> Drilled:
    """Return what a number that was looked up is in the books; nothing where an order alone has it."""
    books = Books(desk.con, desk.lake, desk.settings.shops, desk.ledger.period)
    if found.log_lines:
        lines = [NamedLine(each, tuple(drill_down.named_by(books, each))) for each in found.log_lines]
        return Drilled(log_lines=tuple(lines))
    if found.orders:
        return Drilled()
    return Drilled(things=tuple(drill_down.find(books, found.reference)))


def payloads(desk: Desk, found: LookUp, drilled: Drilled) -> list[Payload]:
    """Return every landed payload that a row of what was found was typed from."""
    landed: dict[str, set[tuple[Any, Any]]] = {}
    for order in found.orders:
        for rows in rows_of(desk.con, order.shop, order.order_id).values():
            landed.setdefault(order.shop, set()).update(
                (row["payload_hash"], row["fetched_at"]) for row in rows if "payload_hash" in row
            )
    for shop, content_hash, fetched_at in _said_by(drilled):
        landed.setdefault(shop, set()).add((content_hash, fetched_at))
    return [each for shop in sorted(landed) for each in drill_down.payloads(desk.con, shop, landed[shop])]


def _said_by(drilled: Drilled) -> Iterator[tuple[str, Any, Any]]:
    for named in drilled.log_lines:
        yield _of(named.line)
    for thing in drilled.things:
        if isinstance(thing, Cycle | Document):
            yield _of(thing)
        for part in thing.documents if isinstance(thing, Cycle) else ():
            yield _of(part)
        for added_up in _parts(thing):
            for line in added_up.largest:
                yield _of(line)


def _of(row: LogLine | Cycle | Document) -> tuple[str, Any, Any]:
    return row.shop, row.payload_hash, row.fetched_at


def _parts(thing: Thing) -> list[AddedUp]:
    if isinstance(thing, VatReturn):  # whose documents are looked up by their own ids
        return [part for row in thing.vat for part in (row.net_lines, row.tax_lines)]
    if isinstance(thing, ControlAccount):
        return [row.added_up for row in thing.rows]
    return [line.added_up for line in thing.lines] if isinstance(thing, Journal) else [thing.added_up]
