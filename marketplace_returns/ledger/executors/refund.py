"""Refunding one return unit (OR28): fresh pre-read, one call, exact read-back (R48, R101, R102, I7).

OR28 has no idempotency key (G1). So the order is read just before: what is on it is the baseline, an unexplained refund of
the same money is taken as ours, and the caps are held. One read serves the refunds that follow each other on an order within
seconds: those made since are known from their answers. After an unclear answer the order is read again and compared with
that baseline. The invariant: no refund leaves while another of its order is on its way, and none that could be a second one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.clock import Clock
from marketplace_returns.errors import SourceRefused
from marketplace_returns.ledger.executors.orders import Row, line_of, orders_now
from marketplace_returns.ledger.executors.refund_caps import money_of, over_cap, unknown_taxes
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Blocked,
    Confirmed,
    Conflicting,
    Found,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    outcome_of,
    send_each,
)

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.ledger.restores import Restore
    from marketplace_returns.sources.mirakl.client import MiraklClient

BALANCE_WAIT_S: Final = 6 * 3600.0
"""A refund refused for lack of balance waits for further sales this long before its next try (R101)."""

CAP_WAIT_S: Final = 60.0
"""A refund refused as too much, for the first time: somebody may have refunded just before, and the next pre-read tells (R48)."""

READ_IS_FRESH: Final = timedelta(seconds=10)
"""So long a pre-read serves further refunds of its orders: a read of its own for each line of a parcel would use up OR11's calls (G5)."""

CLOCK_SKEW: Final = timedelta(minutes=2)
_NOT_REFUNDABLE: Final = frozenset({"CLOSED", "REFUSED", "CANCELED"})

# What the words of a refusal mean: first match wins. (pattern, exception type, root cause, seconds to wait or None)
_REFUSALS: Final = (
    (re.compile(r"balance", re.IGNORECASE), "REFUND_REJECTED_BALANCE", "balance", BALANCE_WAIT_S),
    (
        re.compile(r"permission|not allowed to|unauthori[sz]ed|forbidden|partial refund", re.IGNORECASE),
        "REFUND_REJECTED_PERMISSION",
        "permission",
        None,
    ),
    (re.compile(r"reason", re.IGNORECASE), "REFUND_REJECTED_REASON", "mapping", None),
    (re.compile(r"\btax", re.IGNORECASE), "REFUND_REJECTED_TAX", "validation", None),
    (
        re.compile(r"exceed|greater than|remaining|too high|more than", re.IGNORECASE),
        "REFUND_OVER_CAP",
        "validation",
        None,
    ),
)

SpentRefunds = Callable[[str, Sequence[str]], "list[Intent]"]
"""Gives the refunds of a shop's order lines that count as spent (``Ledger.spent_refunds``)."""


RestoresOf = Callable[[str], "list[Restore]"]
"""Gives the restores of a shop's ledger (``Ledger.restores``)."""


class Refund:
    """Sends OR28, one line a call."""

    batch_size: Final = 50

    def __init__(
        self,
        mirakl: MiraklClient,
        spent_refunds: SpentRefunds,
        restores: RestoresOf,
        clock: Clock,
        *,
        answer_s_max: float,
    ) -> None:
        self._mirakl = mirakl
        self._spent_refunds = spent_refunds
        self._restores = restores
        self._clock = clock
        self._answer_s_max = answer_s_max
        self._read_at: datetime | None = None
        self._read: dict[str, Row] = {}

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Read the orders, take over what is refunded already, hold the caps, and keep the baseline."""
        orders = self._just_read(intents)
        spent = self._spent(intents)
        restores = self._restores(intents[0].shop)
        return {
            intent.intent_id: _preparation(
                intent, orders.get(intent.order_id), spent.get(intent.order_line_id, []), restores
            )
            for intent in intents
        }

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Send each refund once."""
        return send_each(intents, self._refund, may_start)

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """Compare each order with its baseline (reliability rules, section 3 step 6)."""
        now = self._clock.now()
        orders = orders_now(self._mirakl, intents)
        spent = self._spent(intents)
        return {
            intent.intent_id: self._seen(intent, orders.get(intent.order_id), spent.get(intent.order_line_id, []), now)
            for intent in intents
        }

    def _just_read(self, intents: Sequence[Intent]) -> Mapping[str, Row]:
        now = self._clock.now()
        is_fresh = self._read_at is not None and timedelta(0) <= now - self._read_at <= READ_IS_FRESH
        if not is_fresh or not self._read.keys() >= {intent.order_id for intent in intents}:
            self._read, self._read_at = orders_now(self._mirakl, intents), now
        return self._read

    def _spent(self, intents: Sequence[Intent]) -> dict[str, list[Intent]]:
        lines = sorted({intent.order_line_id for intent in intents})
        own: dict[str, list[Intent]] = {}
        for each in self._spent_refunds(intents[0].shop, lines):
            own.setdefault(each.order_line_id, []).append(each)
        return own

    def _refund(self, intent: Intent) -> Outcome:
        try:
            made = self._mirakl.refund(intent.body)
        except SourceRefused as refusal:
            outcome = outcome_of(refusal)
            if not isinstance(outcome, Rejected):
                return outcome
            explained = explain(outcome, f"{refusal.excerpt} {refusal}")
            if explained.exception_type == "REFUND_OVER_CAP" and intent.attempt_count == 1:
                return _with(explained, "REFUND_OVER_CAP", explained.root_cause, CAP_WAIT_S)
            return explained
        return Confirmed(made[0].refund_id)

    def _seen(self, intent: Intent, order: Row | None, spent: Sequence[Intent], now: datetime) -> ReadBack:
        line = line_of(order, intent.order_line_id) if order else None
        if line is None:
            return Absent(is_fresh=False)
        sent_at = intent.sent_at or now
        known = {*intent.baseline.get("refund_ids", ()), *_refs(spent)}
        new = [refund for refund in line.get("refunds") or () if str(refund["id"]) not in known]
        if not new:
            # The server may still be working on the request: only a read after its worst time proves anything.
            return Absent(is_fresh=now >= sent_at + timedelta(seconds=self._answer_s_max))
        if len(new) > 1:
            return Conflicting(f"{len(new)} new refunds on the line: {', '.join(str(each['id']) for each in new)}")
        wanted = intent.body["refunds"][0]
        is_ours = (
            money_of(new[0]) == money_of(wanted)
            and str(new[0].get("reason_code")) == str(wanted["reason_code"])
            and _created_at(new[0]) >= sent_at - CLOCK_SKEW
        )
        if not is_ours:
            return Conflicting(f"refund {new[0]['id']} is new on the line and is not the one that was sent")
        return Found(str(new[0]["id"]))


def _preparation(
    intent: Intent, order: Row | None, spent: Sequence[Intent], restores: Sequence[Restore]
) -> Preparation:
    line = line_of(order, intent.order_line_id) if order else None
    if order is None or line is None:
        return Rejected("OR11", "the marketplace does not show the order line", "validation", "REFUND_REJECTED_STATE")
    if order["order_state"] in _NOT_REFUNDABLE:
        text = (
            f"order is {order['order_state']}: the marketplace takes no refund by API; open a ticket with the operator"
        )
        return Rejected("OR11", text, "validation", "REFUND_REJECTED_STATE")
    wanted = intent.body["refunds"][0]
    refunds = line.get("refunds") or []
    own = _refs(spent)
    strange = sorted((each for each in refunds if str(each["id"]) not in own), key=_created_at)
    same = [each for each in strange if money_of(each) == money_of(wanted)]
    if same:
        return _taken_over(same[0], wanted, restores)
    # What appeared between a backup and its restore is of this program's time too, whenever this intent was planned.
    if late := [each for each in strange if _created_at(each) >= intent.planned_at or _is_in_gap(each, restores)]:
        text = f"refund {late[0]['id']} of another amount appeared on the line after this one was planned"
        return Blocked("REFUND_CONFLICT", text)
    shown = {str(each["id"]) for each in refunds}
    unseen = [
        each.body["refunds"][0]
        for each in spent
        if each.external_ref not in shown and each.intent_id != intent.intent_id
    ]
    if unfit := _unfit(line, [*refunds, *unseen], wanted):
        return unfit
    everywhere = [str(each["id"]) for each_line in order["order_lines"] for each in each_line.get("refunds") or ()]
    return Ready(
        {
            "refund_ids": sorted(everywhere),
            "order_state": order["order_state"],
            "order_updated_at": order.get("last_updated_date") or "",
            "can_refund": line.get("can_refund"),
        }
    )


def _unfit(line: Row, spent: Sequence[Row], wanted: Row) -> Rejected | Blocked | None:
    """Say where a refund does not fit its order line: a tax that the line has not, or more than is left of it."""
    if strange := unknown_taxes(line, wanted):
        return Rejected("OR11", f"the order line has no {', '.join(strange)}", "validation", "REFUND_REJECTED_TAX")
    if excess := over_cap(line, spent, wanted):
        return Blocked("REFUND_OVER_CAP", excess, "validation")
    return None


def explain(refused: Rejected, text: str) -> Rejected:
    """Say what kind of refusal it is, from its words; permission by status, the rest is about the order's state."""
    if refused.root_cause == "permission":
        return _with(refused, "REFUND_REJECTED_PERMISSION", "permission", None)
    for pattern, exception_type, root_cause, wait_s in _REFUSALS:
        if pattern.search(text):
            return _with(refused, exception_type, root_cause, wait_s)
    return _with(refused, "REFUND_REJECTED_STATE", "validation", None)


def _with(refused: Rejected, exception_type: str, root_cause: str, wait_s: float | None) -> Rejected:
    return Rejected(refused.code, refused.message, root_cause, exception_type, wait_s, refused.request_id)


def _refs(spent: Sequence[Intent]) -> set[str]:
    return {each.external_ref for each in spent if each.external_ref}


def _taken_over(refund: Row, wanted: Mapping[str, Any], restores: Sequence[Restore]) -> AlreadyDone:
    """Take a refund of the same money for this one; a person is told unless it is what was sent before a restore."""
    ref = str(refund["id"])
    if str(refund.get("reason_code")) == str(wanted["reason_code"]) and _is_in_gap(refund, restores):
        return AlreadyDone(ref, "it was sent before the ledger was restored")
    text = f"refund {ref} of the same amount is on the line and was not sent from here"
    return AlreadyDone(ref, text, "REFUND_MANUAL_ADOPTED")


def _is_in_gap(refund: Mapping[str, Any], restores: Sequence[Restore]) -> bool:
    created_at = _created_at(refund)
    return any(each.holds(created_at + CLOCK_SKEW) or each.holds(created_at - CLOCK_SKEW) for each in restores)


def _created_at(refund: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(refund["created_date"])
