"""What Mirakl's writes answer.

Here live the typed results of writes: refund references, and the per-item outcomes of calls that may half succeed.
What must not live here: sending. The invariant: an item counts as done only when the answer names it as done; an item
that the answer does not name is unclear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from marketplace_returns.sources.answers import Answer
from marketplace_returns.sources.redaction import excerpt


class ItemState(StrEnum):
    """What came of one item of a call for several."""

    DONE = "done"
    REFUSED = "refused"
    UNCLEAR = "unclear"  # named neither among the successes nor among the errors: read it back


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """One item's result; ``message`` is Mirakl's words (redacted) when refused, ``row`` the object returned when done."""

    item_id: str
    state: ItemState
    message: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundReference:
    """A refund that OR28 created: the line it was for, its own id, and the id of the group it was made in."""

    order_line_id: str
    refund_id: str
    order_refund_id: str


@dataclass(frozen=True, slots=True)
class CancelationReference:
    """A cancelation that OR30 created."""

    order_line_id: str
    cancelation_id: str


def item_outcomes(answer: Answer, prefix: str, sent_ids: Iterable[str], *, key: str = "id") -> dict[str, ItemOutcome]:
    """Read a partial success: ``<prefix>_success[]`` and ``<prefix>_errors[]`` inside one 2xx (RT*, ST*; Mirakl fact G8).

    Returns one outcome per id sent, in the order sent. Raises OutcomeUnknown when the answer has not that form.
    """
    document = answer.json_or_none()
    succeeded = document.get(f"{prefix}_success") or [] if isinstance(document, dict) else None
    failed = document.get(f"{prefix}_errors") or [] if isinstance(document, dict) else None
    if not isinstance(succeeded, list) or not isinstance(failed, list):
        raise answer.unclear(f"has no lists named {prefix}_success and {prefix}_errors")
    outcomes = {item_id: ItemOutcome(item_id, ItemState.UNCLEAR) for item_id in sent_ids}
    for row in succeeded:
        if isinstance(row, dict) and row.get(key) in outcomes:
            outcomes[row[key]] = ItemOutcome(row[key], ItemState.DONE, row=row)
    for row in failed:
        if isinstance(row, dict) and row.get(key) in outcomes:
            # An id in both lists is a contradiction: unclear, so that it is read back.
            known = outcomes[row[key]].state
            state = ItemState.REFUSED if known is ItemState.UNCLEAR else ItemState.UNCLEAR
            outcomes[row[key]] = ItemOutcome(row[key], state, message=excerpt(str(row.get("message", "")).encode()))
    return outcomes


def refund_references(answer: Answer) -> list[RefundReference]:
    """Read OR28's answer; raises OutcomeUnknown when it does not name every refund it made."""
    return [
        RefundReference(
            order_line_id=_text(answer, row, "order_line_id"),
            refund_id=_text(answer, row, "refund_id"),
            order_refund_id=str(row.get("order_refund_id") or ""),
        )
        for row in _rows(answer, "refunds")
    ]


def cancelation_references(answer: Answer) -> list[CancelationReference]:
    """Read OR30's answer; raises OutcomeUnknown when it does not name every cancelation it made."""
    return [
        CancelationReference(_text(answer, row, "order_line_id"), _text(answer, row, "cancelation_id"))
        for row in _rows(answer, "cancelations")
    ]


def _rows(answer: Answer, name: str) -> list[dict[str, Any]]:
    document = answer.json_or_none()
    rows = document.get(name) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise answer.unclear(f"has no list of objects named {name!r}")
    return rows


def _text(answer: Answer, row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str | int) or value == "":
        raise answer.unclear(f"has a row without {name!r}")
    return str(value)
