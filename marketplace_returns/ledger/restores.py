"""Ledgers that were restored from a backup: what happened after the backup is outside, and this ledger does not know it.

Here live the marks of restores and the first step after one. What must not live here: looking outside (``dispatch``). The
invariant: from the restore on until a shop is reconciled, nothing of it is sent; and for ever after, what appeared outside in
the gap is taken for ours until shown otherwise.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select, update

from marketplace_returns.ledger import intents, steps, tables
from marketplace_returns.ledger.states import State
from marketplace_returns.ledger.steps import Step
from marketplace_returns.settings import Timing


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore of a shop: the gap is from ``backed_up_at`` to ``restored_at``; reconciled once that is known again."""

    shop: str
    restored_at: datetime
    backed_up_at: datetime
    reconciled_at: datetime | None

    def holds(self, instant: datetime) -> bool:
        """Tell whether something outside may have come from us in the gap: up to when it was reconciled, for replies are late."""
        return self.backed_up_at <= instant and (self.reconciled_at is None or instant <= self.reconciled_at)


def mark(connection: Connection, shops: Collection[str], backed_up_at: datetime, restored_at: datetime) -> list[str]:
    """Mark shops as restored, those with writes too, unless they are already; each is to be reconciled before it sends."""
    table = tables.restores
    known = connection.execute(select(tables.intents.c.shop).distinct()).scalars()
    marked = connection.execute(select(table.c.shop).where(table.c.restored_at == restored_at)).scalars()
    wanted = sorted({*shops, *known})
    rows = [
        {"shop": shop, "restored_at": restored_at, "backed_up_at": backed_up_at}
        for shop in wanted
        if shop not in set(marked)
    ]
    if rows:
        connection.execute(table.insert(), rows)
    return wanted


def of_shop(connection: Connection, shop: str) -> list[Restore]:
    """Return the restores of a shop, the newest first."""
    table = tables.restores
    rows = connection.execute(select(table).where(table.c.shop == shop).order_by(table.c.restored_at.desc()))
    return [Restore(**row) for row in rows.mappings()]


def unsettle(connection: Connection, restore: Restore, now: datetime, timing: Timing) -> list[Step]:
    """Make every write that was on its way in the backup unclear and due to be read back now; the workers of then are gone."""
    left = intents.find(connection, shop=restore.shop, states=(State.SENDING, State.UNKNOWN))
    held = intents.load(connection, [each.intent_id for each in left if each.updated_at <= restore.restored_at])
    taken = []
    for each in held.values():
        is_sending = each.state is State.SENDING
        step = steps.unclear(each, "the ledger was restored", now, timing) if is_sending else steps.retried(each, now)
        taken.append(
            replace(
                step, intent=replace(step.intent, read_back_at=now, updated_at=now, lease_owner="", lease_until=None)
            )
        )
    return taken


def reconcile(connection: Connection, shop: str, now: datetime) -> None:
    """End the restores of a shop: what happened in the gap is known."""
    table = tables.restores
    connection.execute(
        update(table).where(table.c.shop == shop, table.c.reconciled_at.is_(None)).values(reconciled_at=now)
    )
