"""Telling the returns platform what came of each item, after the marketplace refunded.

The invariant: an outcome is told once; before a further try the platform is looked at.
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
    from marketplace_returns.sources.platform import PlatformWrites


class ReportRefundOutcome:
    """Sends the outcome of a return."""

    batch_size: Final = 50

    def __init__(self, platform: PlatformWrites) -> None:
        self._platform = platform

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let first tries go; before a further one look whether it is told already."""
        return {
            intent.intent_id: AlreadyDone(_return_id(intent), "the platform shows the outcome already")
            if intent.attempt_count and self._platform.is_reported(intent.body)
            else Ready()
            for intent in intents
        }

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Tell each outcome; a refusal of one that is told already counts as done."""
        return send_each(intents, self._report, may_start)

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the platform shows the outcome by now."""
        return {
            intent.intent_id: Found(_return_id(intent)) if self._platform.is_reported(intent.body) else Absent()
            for intent in intents
        }

    def _report(self, intent: Intent) -> Outcome:
        try:
            self._platform.report_outcome(intent.body)
        except SourceRefused as refusal:
            outcome = outcome_of(refusal)
            if refusal.status in {400, 409, 422} and self._platform.is_reported(intent.body):
                return Confirmed(_return_id(intent), is_adopted=True)
            return outcome
        return Confirmed(_return_id(intent))


def _return_id(intent: Intent) -> str:
    return str(intent.body["platform_return_id"])
