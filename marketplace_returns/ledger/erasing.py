"""Taking a customer's words out of the ledger's texts.

Here: texts of an order's writes and exceptions, and the event that says so. Not here: whose words they are. The invariants:
amounts, ids and states stay; the history stays as it was and its chain whole: what was planned is followed by what is left of it.

No write's body holds a person by design (``executors/warehouse_order``); this is for what came in by an answer's text or by the
words of a person who worked an exception.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select, update

from marketplace_returns.ledger import exceptions, tables
from marketplace_returns.ledger.audit import Event, Journal, planned_facts
from marketplace_returns.ledger.connection import chunks
from marketplace_returns.ledger.intents import decode, digest

ERASED: Final = "erased"
SEEN: Final = "seen"
EXPORTED: Final = "exported"
HIDDEN: Final = "[erased]"
_INTENT_TEXTS: Final = ("body", "evidence", "baseline", "last_error")
_EXCEPTION_TEXTS: Final = ("entity", "cause", "message", "evidence", "resolution")


@dataclass(frozen=True, slots=True)
class Redacted:
    """How many writes and exceptions lost words, and how many events of the history hold some: those cannot change."""

    intents: int
    exceptions: int
    history: int


def redact(
    connection: Connection,
    journal: Journal,
    shop: str,
    order_id: str,
    *,
    words: Collection[str],
    numbers: Mapping[str, Collection[str]],
) -> Redacted:
    """Take words out of the texts of an order's writes and exceptions, and follow each changed write up in the history.

    ``numbers`` as in ``exceptions.of_order``.
    """
    if not words:
        return Redacted(0, 0, 0)
    pattern = _pattern(words)
    found = connection.execute(
        select(tables.intents).where(tables.intents.c.shop == shop, tables.intents.c.order_id == order_id)
    ).all()
    changed_intents = 0
    for row in found:
        changes = _changes(pattern, row._asdict(), _INTENT_TEXTS)
        if not changes:
            continue
        changed_intents += 1
        if "body" in changes:
            changes["body_hash"] = digest(changes["body"])
        own = tables.intents.c.intent_id == row.intent_id
        connection.execute(update(tables.intents).where(own).values(**changes))
        journal.add(Event(shop, "redacted", row.intent_id, "", planned_facts({**row._asdict(), **changes})))
    # Before their entities change: the history is searched for the same exceptions.
    events = history(connection, shop, order_id, numbers)
    table = tables.exceptions
    changed_exceptions = 0
    for each in exceptions.of_order(connection, shop, order_id, numbers):
        own = table.c.exception_id == each.exception_id
        row = connection.execute(select(table).where(own)).one()
        if changes := _changes(pattern, row._asdict(), _EXCEPTION_TEXTS):
            changed_exceptions += 1
            connection.execute(update(table).where(own).values(**changes))
    told = [each for each in events if pattern.search(str(each["facts"]))]
    return Redacted(changed_intents, changed_exceptions, len(told))


def without(text: str, words: Collection[str]) -> str:
    """Return a text without words."""
    return _pattern(words).sub(HIDDEN, text) if words else text


def event(shop: str, order_id: str, by: str, facts: Mapping[str, Any]) -> Event:
    """Return what the history keeps of an erasure: whose order, who did it and how much it was, and nothing personal."""
    return Event(shop, ERASED, _subject(order_id), by, facts)


def disclosed(shop: str, order_id: str, name: str, by: str, note: str) -> Event:
    """Return what the history keeps of personal data of an order that a person was shown or given: whose order, who, why."""
    return Event(shop, name, _subject(order_id), by, {"note": note})


def is_noted(connection: Connection, shop: str, order_id: str) -> bool:
    """Tell whether the history has an erasure of that order."""
    log = tables.audit_log.c
    query = select(log.position).where(log.shop == shop, log.subject == _subject(order_id), log.event == ERASED)
    return connection.execute(query).first() is not None


def history(
    connection: Connection, shop: str, order_id: str, numbers: Mapping[str, Collection[str]]
) -> list[dict[str, Any]]:
    """Return the events of an order's writes, of its exceptions (what people did and noted), and of itself, oldest first.

    ``numbers`` as in ``exceptions.of_order``.
    """
    writes = tables.intents.c
    of_order = select(writes.intent_id).where(writes.shop == shop, writes.order_id == order_id)
    subjects = [_subject(order_id), *connection.execute(of_order).scalars()]
    cases = exceptions.of_order(connection, shop, order_id, numbers)
    subjects += [exceptions.subject(each.exception_id) for each in cases]
    log = tables.audit_log.c
    told: dict[int, dict[str, Any]] = {}
    for some in chunks(subjects):
        rows = connection.execute(
            select(log.position, log.at, log.event, log.subject, log.actor, log.facts).where(
                log.shop == shop, log.subject.in_(some)
            )
        )
        for row in rows:
            told[row.position] = {
                "at": row.at,
                "event": row.event,
                "subject": row.subject,
                "actor": row.actor,
                "facts": decode(row.facts),
            }
    return [told[position] for position in sorted(told)]


def _subject(order_id: str) -> str:
    return f"order {order_id}"


def _pattern(words: Collection[str]) -> re.Pattern[str]:
    """Match the words as they stand in a text and in JSON, the longest first, and no part of a longer word."""
    forms = {form for word in words for form in (word, msgspec.json.encode(word).decode()[1:-1])}
    listed = "|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))
    return re.compile(rf"(?<!\w)(?:{listed})(?!\w)", re.IGNORECASE)


def _changes(pattern: re.Pattern[str], row: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    less = {name: pattern.sub(HIDDEN, row[name]) for name in names}
    return {name: text for name, text in less.items() if text != row[name]}
