"""Who ticked which check of the checklist, in the history: a tick is an event and nothing else.

Here: writing one, and reading the last of each check. Not here: which checks there are and when they are due (``monitoring.checklist``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, func, select

from marketplace_returns.ledger import tables
from marketplace_returns.ledger.audit import Event, Happening

CHECKED: Final = "checked"


def event(shop: str, key: str, by: str, facts: Mapping[str, Any]) -> Event:
    """Return the tick of a check."""
    return Event(shop, CHECKED, _subject(key), by, facts)


def last(connection: Connection, shop: str, keys: Collection[str]) -> dict[str, Happening]:
    """Return the last tick of each of these checks that has one, by its key."""
    log = tables.audit_log
    subjects = {_subject(key): key for key in keys}
    newest = (
        select(log.c.shop, func.max(log.c.position).label("position"))
        .where(log.c.subject.in_(list(subjects)), log.c.shop == shop, log.c.event == CHECKED)
        .group_by(log.c.shop, log.c.subject)
        .subquery()
    )
    at_it = and_(log.c.shop == newest.c.shop, log.c.position == newest.c.position)
    return {subjects[row.subject]: Happening.of(row) for row in connection.execute(select(log).join(newest, at_it))}


def began_at(connection: Connection, shop: str) -> datetime | None:
    """Return when the history of a shop began; None where nothing is told of it yet."""
    log = tables.audit_log.c
    found: datetime | None = connection.execute(select(log.at).where(log.shop == shop, log.position == 1)).scalar()
    return found


def _subject(key: str) -> str:
    return f"check {key}"
