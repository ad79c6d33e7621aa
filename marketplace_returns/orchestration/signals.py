"""What tells that there is work: small questions, each one indexed query or one call.

Here: the versions that sensors compare and the lists that pages show. Not here: any work. The invariant: equal facts give
an equal version, so that nothing runs twice for the same facts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind, WriteMode

if TYPE_CHECKING:
    from marketplace_returns.ledger.exceptions import OpenException
    from marketplace_returns.orchestration.app import App

_WAITING: Final = "WAITING_ACCEPTANCE"
_TRY_AGAIN_S: Final = 600


def facts_version(app: App, shop_name: str) -> str:
    """Return a name of up to where each stream was read; empty before the first poll."""
    cursors = app.ledger.cursors(app.shop(shop_name).name)
    if not cursors:
        return ""
    return _hash(f"{stream} {watermark.isoformat()}" for stream, (watermark, _) in sorted(cursors.items()))


def writes_due_version(app: App, shop_name: str) -> str:
    """Return a name of the writes that are due, their attempts included; empty when none is.

    A write that was parked for later counts anew when its time comes: no attempt tells it from what it was before. It changes
    every ten minutes too, so that a run that died before its first attempt is followed by another.
    """
    shop = app.shop(shop_name)
    if not app.ledger.has_due(shop):
        return ""
    now = app.clock.now()
    live = [kind for kind in WriteKind if shop.write_mode(kind) is WriteMode.LIVE]
    planned = app.ledger.intents(shop=shop.name, kinds=live, states=(State.PLANNED,))
    unclear = app.ledger.intents(shop=shop.name, states=(State.UNKNOWN, State.SENDING))
    due = [each for each in planned if each.not_before is None or each.not_before <= now]
    due += [each for each in unclear if each.read_back_at is None or each.read_back_at <= now]
    if not due:
        return ""
    period = int(now.timestamp()) // _TRY_AGAIN_S
    parts = (f"{each.intent_id} {each.attempt_count} {each.read_back_count} {each.not_before or ''}" for each in due)
    return _hash([str(period), *parts])


def webhooks_version(app: App, shop_name: str) -> str:
    """Return a name of the webhook events that are due to be looked after, their tries included; empty when none is.

    It changes every ten minutes too, so that a run that died before its first try is followed by another.
    """
    inbox = app.inbox()
    now = app.clock.now()
    due = None if inbox is None else inbox.due(app.shop(shop_name).name, now)
    if due is None:
        return ""
    return _hash([str(int(now.timestamp()) // _TRY_AGAIN_S), *map(str, due)])


def was_read_within(app: App, shop_name: str, stream: str, span: timedelta) -> bool:
    """Tell whether a stream was read so lately."""
    _, read_at = app.ledger.cursors(shop_name).get(stream, (None, None))
    return read_at is not None and app.clock.now() - read_at < span


def waiting_orders(app: App, shop_name: str) -> list[str]:
    """Return the orders that wait for acceptance at the marketplace now (OR11, urgent); raises SourceError."""
    shop = app.shop(shop_name)
    pages = app.client(shop, "mirakl").orders_in_state(_WAITING)
    return sorted(str(order["order_id"]) for page in pages for order in page)


def open_exceptions(app: App, shop_name: str) -> list[OpenException]:
    """Return what waits for a person, the most urgent clock first."""
    return app.ledger.exceptions(shop=app.shop(shop_name).name)


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
