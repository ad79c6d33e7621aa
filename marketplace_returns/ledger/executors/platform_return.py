"""Creating the return on the returns platform, once per marketplace return.

The invariant: our key goes along and is searched before any further try, so a lost reply makes no second
return (R1; reliability rules, section 3 step 9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Confirmed,
    Conflicting,
    Found,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    send_each,
)

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.platform import PlatformWrites


class CreatePlatformReturn:
    """Sends the creation of a return."""

    batch_size: Final = 50

    def __init__(self, platform: PlatformWrites) -> None:
        self._platform = platform

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let first tries go; before a further one search by our key."""
        prepared: dict[str, Preparation] = {}
        for intent in intents:
            known = self._platform.find(intent.return_id, intent.order_id) if intent.attempt_count else []
            prepared[intent.intent_id] = (
                AlreadyDone(known[0], "the platform has this return already") if known else Ready()
            )
        return prepared

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Create each return; one that is there under our key is taken as the answer."""
        return send_each(intents, self._create, may_start)

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """Search each return by our key."""
        return {intent.intent_id: self._seen(intent) for intent in intents}

    def _create(self, intent: Intent) -> Outcome:
        return Confirmed(self._platform.create(intent.body))

    def _seen(self, intent: Intent) -> ReadBack:
        known = self._platform.find(intent.return_id, intent.order_id)
        if len(known) > 1:
            return Conflicting(f"the platform shows {len(known)} returns under one key")
        return Found(known[0]) if known else Absent()
