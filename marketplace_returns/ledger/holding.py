"""Kinds of write that a person holds back, over what the settings say.

Here: the table of them. Not here: what is in effect (``settings.Switches``). The invariant: holding back only ever makes less: what the
settings keep in shadow or off, nobody makes live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from marketplace_returns.ledger import tables
from marketplace_returns.settings import WriteKind, WriteMode


@dataclass(frozen=True, slots=True)
class Held:
    """A kind of write of a shop that is held back: at most ``mode``, by whom, why, since when."""

    shop: str
    kind: WriteKind
    mode: WriteMode
    held_by: str
    reason: str
    held_at: datetime


def held(connection: Connection) -> Mapping[tuple[str, WriteKind], Held]:
    """Return what is held back, by shop and kind."""
    rows = connection.execute(select(tables.held_writes)).all()
    found = [
        Held(row.shop, WriteKind(row.kind), WriteMode(row.mode), row.held_by, row.reason, row.held_at) for row in rows
    ]
    return {(each.shop, each.kind): each for each in found}


def hold(connection: Connection, each: Held) -> None:
    """Hold a kind back from now on; ``live`` lets it go."""
    table = tables.held_writes
    connection.execute(delete(table).where(table.c.shop == each.shop, table.c.kind == each.kind))
    if each.mode is not WriteMode.LIVE:
        values = {"mode": each.mode, "held_by": each.held_by, "reason": each.reason, "held_at": each.held_at}
        connection.execute(table.insert().values(shop=each.shop, kind=each.kind, **values))
