"""Telling the returns platform the verdict per item (Reveni partial_validate), after the marketplace refunded.

The invariant: a verdict is given once; before a further try the return is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from marketplace_returns.errors import SourceRefused
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Confirmed,
    Found,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    outcome_of,
    send_each,
)

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.reveni.client import ReveniClient


class ReportRefundOutcome:
    """Sends POST /returns/{id}/partial_validate."""

    batch_size: Final = 50

    def __init__(self, reveni: ReveniClient) -> None:
        self._reveni = reveni

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let first tries go; before a further one look whether the items are judged already."""
        return {
            intent.intent_id: AlreadyDone(_return_id(intent), "the platform shows the verdict already")
            if intent.attempt_count and self._is_judged(intent)
            else Ready()
            for intent in intents
        }

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Give each verdict; a refusal of one that is given already counts as done."""
        return send_each(intents, self._judge, may_start)

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the items are judged by now."""
        return {
            intent.intent_id: Found(_return_id(intent)) if self._is_judged(intent) else Absent() for intent in intents
        }

    def _judge(self, intent: Intent) -> Outcome:
        try:
            self._reveni.validate(_return_id(intent), intent.body["items"])
        except SourceRefused as refusal:
            outcome = outcome_of(refusal)
            if refusal.status in {400, 409, 422} and self._is_judged(intent):
                return Confirmed(_return_id(intent), is_adopted=True)
            return outcome
        return Confirmed(_return_id(intent))

    def _is_judged(self, intent: Intent) -> bool:
        items = {item["id"]: item for item in self._reveni.return_by_id(_return_id(intent)).get("return_items") or ()}
        wanted = [str(item["item_id"]) for item in intent.body["items"]]
        return all(str(items.get(key, {}).get("status", "pending")).lower() != "pending" for key in wanted)


def _return_id(intent: Intent) -> str:
    return str(intent.body["platform_return_id"])
