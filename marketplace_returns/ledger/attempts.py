"""Every try of every write: when it began, when it ended, what came of it.

Here lives the table of attempts alone. The invariant: an attempt is committed before its first byte leaves, and is never
changed after it ended, nor deleted (R113).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from marketplace_returns.errors import EXCERPT_MAX
from marketplace_returns.ledger import tables
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import Confirmed, NotSent, Outcome, Rejected, Unknown


def start(connection: Connection, leaving: Sequence[Intent], worker: str, now: datetime) -> None:
    """Open attempt n of each intent that is about to leave."""
    if leaving:
        connection.execute(
            tables.attempts.insert(),
            [
                {
                    "intent_id": each.intent_id,
                    "number": each.attempt_count,
                    "worker": worker,
                    "started_at": now,
                    "outcome": "SENDING",
                }
                for each in leaving
            ],
        )


def end(connection: Connection, ended: Sequence[tuple[Intent, str, Outcome | None]], now: datetime) -> None:
    """Close the newest attempt of each intent with its outcome, or with a word where there is none."""
    if not ended:
        return
    table = tables.attempts
    connection.execute(
        update(table)
        .where(table.c.intent_id == bindparam("key"), table.c.number == bindparam("attempt"))
        .values(
            ended_at=now,
            outcome=bindparam("new_outcome"),
            request_id=bindparam("new_request_id"),
            excerpt=bindparam("new_excerpt"),
        ),
        [_end_row(each, word, outcome) for each, word, outcome in ended],
    )


def _end_row(each: Intent, word: str, outcome: Outcome | None) -> dict[str, object]:
    excerpt, request_id = "", ""
    match outcome:
        case Confirmed(ref, request_id, is_adopted):
            word, excerpt = "CONFIRMED", f"adopted {ref}" if is_adopted else ref
        case Rejected():
            word, excerpt, request_id = "REJECTED", f"{outcome.code} {outcome.message}".strip(), outcome.request_id
        case NotSent():
            word, excerpt, request_id = "NOT_SENT", outcome.reason, outcome.request_id
        case Unknown(reason, request_id):
            word, excerpt = "UNKNOWN", reason
        case None:
            excerpt = "no outcome was recorded"
    return {
        "key": each.intent_id,
        "attempt": each.attempt_count,
        "new_outcome": word,
        "new_request_id": request_id,
        "new_excerpt": excerpt[:EXCERPT_MAX],
    }
