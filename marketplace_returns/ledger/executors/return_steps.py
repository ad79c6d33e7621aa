"""Moving a marketplace return on: link (RT21, RT04, or RT01), receive (RT25), report compliance (RT26), close (RT27).

Here live the four kinds that change returns a hundred at a time. The invariants: a return is opened (RT01) only when none carries
our key, for RT01 has no other; a 200 is never believed as a whole; each
return has an outcome of its own, and a refusal of what is done already counts as done, after the return was looked at (G8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.errors import SourceError
from marketplace_returns.lanes.plan import LATE_LABEL
from marketplace_returns.ledger.executors import forms
from marketplace_returns.ledger.executors.orders import Row, look_at_refused, returns_now
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Confirmed,
    Found,
    NotSent,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    Unknown,
    outcome_of,
    send_each,
)
from marketplace_returns.sources.mirakl.results import ItemOutcome, ItemState

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.mirakl.client import MiraklClient

_ENDED: Final = frozenset({"REFUSED", "CANCELED"})
Call = Callable[["MiraklClient", Sequence["Intent"]], Mapping[str, ItemOutcome]]


@dataclass(frozen=True)
class ReturnStep:
    """One kind: ``call`` sends it for many returns, ``is_done`` tells from the return (RT11) that it is done."""

    mirakl: MiraklClient
    operation: str
    call: Call
    is_done: Callable[[Intent, Row | None], bool]
    batch_size: int = 100

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Ready]:
        """Let all go: the marketplace itself refuses a step that is done."""
        return {intent.intent_id: Ready() for intent in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Send all in one call; what was refused is looked at once for all."""
        if not may_start():
            return {
                intent.intent_id: NotSent("the batch was stopped before this write began", 0.0) for intent in intents
            }
        outcomes = call_many(self.operation, intents, lambda some: self.call(self.mirakl, some))
        return look_at_refused(
            intents, outcomes, lambda some: returns_now(self.mirakl, some), self.is_done, lambda each: each.return_id
        )

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the returns show the step."""
        shown = returns_now(self.mirakl, intents)
        return {
            intent.intent_id: Found(intent.return_id) if self.is_done(intent, shown.get(intent.return_id)) else Absent()
            for intent in intents
        }


@dataclass(frozen=True)
class LinkReturn:
    """Accepts returns that wait (RT21), then writes our key, label and tracking on them (RT04); opens those there are none of (RT01)."""

    mirakl: MiraklClient
    batch_size: int = 100

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let links go, for both calls may be repeated; of a return to open, look whether one carries our key."""
        return {
            intent.intent_id: AlreadyDone(found, "the marketplace has this return already")
            if _is_creation(intent) and (found := self._opened(intent))
            else Ready()
            for intent in intents
        }

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Open what is to be opened one by one, and link the others."""
        opened = send_each([each for each in intents if _is_creation(each)], self._open, may_start)
        links = [each for each in intents if not _is_creation(each)]
        return {**opened, **(self._link(links, may_start) if links else {})}

    def _link(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Accept, then link what is accepted; an acceptance refused because it was made before is no obstacle."""
        waiting = [intent for intent in intents if intent.body["accept"]]
        accepted: dict[str, Outcome] = {}
        if waiting:
            if not may_start():
                return {
                    intent.intent_id: NotSent("the batch was stopped before this write began", 0.0)
                    for intent in intents
                }
            accepted = call_many("RT21", waiting, self._accept)
            accepted = look_at_refused(
                waiting, accepted, lambda some: returns_now(self.mirakl, some), _is_open, lambda each: each.return_id
            )
        linkable = [each for each in intents if isinstance(accepted.get(each.intent_id, Confirmed()), Confirmed)]
        if not linkable:
            return accepted
        if not may_start():
            return accepted | {
                each.intent_id: NotSent("the batch was stopped before this write began", 0.0) for each in linkable
            }
        return accepted | call_many("RT04", linkable, self._patch)

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """See whether the returns carry our key."""
        links = [each for each in intents if not _is_creation(each)]
        shown = returns_now(self.mirakl, links) if links else {}
        seen: dict[str, ReadBack] = {
            each.intent_id: Found(each.body["rma"]) if is_linked(each, shown.get(each.return_id)) else Absent()
            for each in links
        }
        for each in intents:
            if _is_creation(each):
                found = self._opened(each)
                seen[each.intent_id] = Found(found) if found else Absent()
        return seen

    def _opened(self, intent: Intent) -> str:
        """Return the id of the live return that carries our key, or nothing."""
        found = (row for page in self.mirakl.returns_by_rma(intent.body["rma"]) for row in page)
        rows = forms.sound(found, forms.Return, "RT11")
        return next((str(row["id"]) for row in rows if row["state"] not in _ENDED), "")

    def _open(self, intent: Intent) -> Outcome:
        made = self.mirakl.create_return({name: value for name, value in intent.body["create"].items() if value})
        outcome = _outcome("RT01", made)
        return Confirmed(str(made.row["id"])) if isinstance(outcome, Confirmed) and made.row.get("id") else outcome

    def _accept(self, intents: Sequence[Intent]) -> Mapping[str, ItemOutcome]:
        return self.mirakl.accept_returns([{"id": each.return_id, "accepted": True} for each in intents])

    def _patch(self, intents: Sequence[Intent]) -> Mapping[str, ItemOutcome]:
        return self.mirakl.patch_returns([_patch_of(each) for each in intents])


def call_many(
    operation: str, intents: Sequence[Intent], call: Callable[[Sequence[Intent]], Mapping[str, ItemOutcome]]
) -> dict[str, Outcome]:
    """Send one call for many returns and give each its outcome by intent id."""
    try:
        answered = call(intents)
    except SourceError as error:
        return {intent.intent_id: outcome_of(error) for intent in intents}
    return {intent.intent_id: _outcome(operation, answered[intent.return_id]) for intent in intents}


def receive(mirakl: MiraklClient) -> ReturnStep:
    """Make the executor of ``receive_return`` (RT25)."""
    return ReturnStep(mirakl, "RT25", _receive, _is_received)


def report_compliance(mirakl: MiraklClient) -> ReturnStep:
    """Make the executor of ``report_compliance`` (RT26)."""
    return ReturnStep(mirakl, "RT26", _report_compliance, _is_compliance_known)


def close(mirakl: MiraklClient) -> ReturnStep:
    """Make the executor of ``close_return`` (RT27)."""
    return ReturnStep(mirakl, "RT27", _close, _is_closed)


def is_linked(intent: Intent, shown: Row | None) -> bool:
    """Tell whether a return carries our key and is accepted, and the label where that came later."""
    if shown is None or not _is_open(intent, shown) or shown.get("rma") != intent.body["rma"]:
        return False
    return bool(shown.get("label_url")) or not intent.natural_key.endswith(LATE_LABEL)


def _outcome(operation: str, item: ItemOutcome) -> Outcome:
    match item.state:
        case ItemState.DONE:
            return Confirmed(item.item_id)
        case ItemState.REFUSED:
            return Rejected(operation, item.message or "refused without a reason")
        case ItemState.UNCLEAR:
            return Unknown(f"{operation} named this return neither among its successes nor its errors")


def _patch_of(intent: Intent) -> dict[str, Any]:
    body = intent.body
    facts = {"rma": body["rma"], "label_url": body.get("label_url"), "tracking": body.get("tracking")}
    return {"id": intent.return_id, **{name: value for name, value in facts.items() if value}}


def _receive(mirakl: MiraklClient, intents: Sequence[Intent]) -> Mapping[str, ItemOutcome]:
    return mirakl.receive_returns([each.return_id for each in intents])


def _report_compliance(mirakl: MiraklClient, intents: Sequence[Intent]) -> Mapping[str, ItemOutcome]:
    return mirakl.report_compliance(
        [{"id": each.return_id, "return_lines": each.body["return_lines"]} for each in intents]
    )


def _close(mirakl: MiraklClient, intents: Sequence[Intent]) -> Mapping[str, ItemOutcome]:
    return mirakl.close_returns([each.return_id for each in intents])


def _is_creation(intent: Intent) -> bool:
    return "create" in intent.body


def _is_open(_intent: Intent, shown: Row | None) -> bool:
    return shown is not None and shown["state"] not in {"WAITING_ACCEPTANCE", *_ENDED}


def _is_received(_intent: Intent, shown: Row | None) -> bool:
    return shown is not None and shown["state"] in {"RECEIVED", "CLOSED"}


def _is_compliance_known(_intent: Intent, shown: Row | None) -> bool:
    return shown is not None and all(line.get("compliance") for line in shown.get("return_lines") or ())


def _is_closed(_intent: Intent, shown: Row | None) -> bool:
    return shown is not None and shown["state"] == "CLOSED"
