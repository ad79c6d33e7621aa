"""Which exception a stuck write opens, in words for the person who owns it.

Here lives the choice of the type and the message. What must not live here: storing it. The invariant: a message names the
write, the ids, what was answered and what to do; it holds no personal data. Where the write's evidence has a ``due_at`` (the
despatch deadline), that is the exception's clock (R82).
"""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import Final

from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind

TYPE_OF_KIND: Final = MappingProxyType(
    {
        WriteKind.ACCEPT_ORDER: "ACK_REJECTED",
        WriteKind.CREATE_WAREHOUSE_ORDER: "WMS_ORDER_FAILED",
        WriteKind.CONFIRM_DESPATCH: "DESPATCH_REJECTED",
        WriteKind.CREATE_PLATFORM_RETURN: "RETURN_CREATE_FAILED",
        WriteKind.LINK_RETURN: "STATUS_DRIFT",
        WriteKind.CREATE_EXPECTED_RECEIPT: "ASN_MISSING",
        WriteKind.RECEIVE_RETURN: "STATUS_DRIFT",
        WriteKind.REPORT_COMPLIANCE: "STATUS_DRIFT",
        WriteKind.REFUND: "REFUND_REJECTED_STATE",
        WriteKind.CLOSE_RETURN: "STATUS_DRIFT",
        WriteKind.RESOLVE_INCIDENT: "INCIDENT_DRIFT",
        WriteKind.REPORT_REFUND_OUTCOME: "STATUS_DRIFT",
        WriteKind.PUSH_STOCK: "STOCK_REJECTED",
    }
)
"""The type a kind of write opens where the outcome names none."""

_WHAT_NEXT: Final = MappingProxyType(
    {
        State.PLANNED: "It is tried again by itself",
        State.UNKNOWN: "It is being read back; nothing is sent again until that is clear",
        State.REJECTED: "Mend the cause, then retry it",
        State.CONFLICT: "Compare both sides by hand, then retry it to have it read back",
        State.CONFIRMED: "It counts as done and nothing was sent; check that this was meant",
    }
)


def alarm(intent: Intent, exception_type: str, detail: str) -> ExceptionPlan:
    """Make the exception of a write: its type (or the kind's own where empty), ids, money at risk and what comes next."""
    ids = {
        "order_id": intent.order_id,
        "order_line_id": intent.order_line_id,
        "return_id": intent.return_id,
        "return_unit_id": intent.return_unit_id,
    }
    entity = {name: value for name, value in ids.items() if value}
    if intent.natural_key not in entity.values():  # a parcel of several, say: each write is somebody's by itself
        entity["natural_key"] = intent.natural_key
    about = ", ".join(f"{name} {value}" for name, value in entity.items())
    return ExceptionPlan(
        shop=intent.shop,
        type=exception_type or TYPE_OF_KIND[intent.kind],
        entity=entity,
        cause=str(intent.kind),
        message=f"{intent.kind} ({about}): {detail or 'no reason was given'}. {_WHAT_NEXT.get(intent.state, 'See its trace')}.",
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        evidence={"intent_id": intent.intent_id, "attempts": intent.attempt_count, "state": str(intent.state)},
        due_at=datetime.fromisoformat(intent.evidence["due_at"]) if intent.evidence.get("due_at") else None,
        root_cause=intent.root_cause,
    )
