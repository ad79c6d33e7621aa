"""Resolving the incident of an order line (OR64). The invariant: a line without an open incident counts as resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from marketplace_returns.ledger.executors.orders import Row, line_of, look_at_refused, orders_now
from marketplace_returns.ledger.outcomes import Absent, Confirmed, Found, Outcome, ReadBack, Ready, send_each

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.mirakl.client import MiraklClient


class ResolveIncident:
    """Sends OR64."""

    batch_size: Final = 50

    def __init__(self, mirakl: MiraklClient) -> None:
        self._mirakl = mirakl

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Ready]:
        """Let all go: the marketplace itself refuses where there is no incident."""
        return {intent.intent_id: Ready() for intent in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Resolve each incident; what was refused is looked at once for all."""
        outcomes = send_each(intents, self._resolve, may_start)
        return look_at_refused(
            intents, outcomes, lambda some: orders_now(self._mirakl, some), _is_resolved, lambda each: each.order_id
        )

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the lines have no open incident."""
        orders = orders_now(self._mirakl, intents)
        return {
            intent.intent_id: Found(intent.order_line_id)
            if _is_resolved(intent, orders.get(intent.order_id))
            else Absent()
            for intent in intents
        }

    def _resolve(self, intent: Intent) -> Outcome:
        body = intent.body
        self._mirakl.resolve_incident(body["order_id"], body["order_line_id"], body["reason_code"])
        return Confirmed(body["order_line_id"])


def _is_resolved(intent: Intent, order: Row | None) -> bool:
    line = line_of(order, intent.order_line_id) if order else None
    return line is not None and line["order_line_state"] != "INCIDENT_OPEN"
