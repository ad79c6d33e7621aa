"""Pushing stock: every due value in one file (STO01), proven by STO02 and STO03 (R104, G10).

The invariant: accepting the file is not accepting a line. A file that is not done at the first look is left unclear under its
import id and read back by it, so that no other write waits for the marketplace. Where no id came back, a value is simply
planned again, for it is absolute: a newer value of the SKU supersedes it before it leaves. An addition (C6) is not: the file
takes absolute quantities only, so the offer is read just before, and what it was and shall be is the baseline. An addition
without an id is settled by that baseline and by what was sold since; while one is unclear, nothing more is added to its offer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.clock import Clock
from marketplace_returns.errors import RateLimited, SourceError, SourceRefused
from marketplace_returns.ledger.outcomes import (
    Absent,
    Confirmed,
    Conflicting,
    Found,
    NotSent,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    Unknown,
    outcome_of,
)
from marketplace_returns.sources.mirakl.stock_imports import StockImportState

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.mirakl.client import MiraklClient

FIRST_LOOK_S: Final = 0.3
"""A small file may be done by then; whatever takes longer is looked for by the read-backs."""

FAILED_WAIT_S: Final = 900.0

UnclearPushes = Callable[[str], "list[Intent]"]
"""Gives the stock pushes of a shop that are on their way or unclear (``Ledger.unclear_pushes``)."""


class PushStock:
    """Sends STO01."""

    batch_size: Final = 10_000

    def __init__(self, mirakl: MiraklClient, clock: Clock, unclear_pushes: UnclearPushes) -> None:
        self._mirakl = mirakl
        self._clock = clock
        self._unclear_pushes = unclear_pushes

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Preparation]:
        """Let values go, for one that is there already is set to itself; read the offers that something is added to."""
        prepared: dict[str, Preparation] = {each.intent_id: Ready() for each in intents if not _is_addition(each)}
        additions = [each for each in intents if _is_addition(each)]
        if not additions:
            return prepared
        held = {each.body["offer_sku"] for each in self._unclear_pushes(additions[0].shop) if _is_addition(each)}
        read_at = self._clock.now()
        shown = self._mirakl.offer_quantities({each.body["offer_sku"] for each in additions} - held)
        added: Counter[str] = Counter()
        for each in additions:
            sku = each.body["offer_sku"]
            if sku in shown and sku not in held:
                added[sku] += each.body["delta"]
        for each in additions:
            sku = each.body["offer_sku"]
            if sku in held:
                prepared[each.intent_id] = NotSent("an earlier addition to this offer is not clear yet")
            elif sku not in shown:
                prepared[each.intent_id] = Rejected("OF21", f"the marketplace does not show offer {sku}")
            else:
                before = shown[sku]
                prepared[each.intent_id] = Ready(
                    {"before": before, "after": before + added[sku], "read_at": read_at.isoformat()}
                )
        return prepared

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Send one file and look once what became of each line."""
        if not may_start():
            return {
                intent.intent_id: NotSent("the batch was stopped before this write began", 0.0) for intent in intents
            }
        try:
            import_id = self._mirakl.import_stock(list({row["offer_sku"]: row for row in map(_row, intents)}.values()))
        except SourceError as error:
            return {intent.intent_id: outcome_of(error) for intent in intents}
        self._clock.wait(FIRST_LOOK_S)
        try:
            return self._result(import_id, intents)
        except SourceError as error:  # a read: the file itself is with the marketplace
            unclear = Unknown(f"file {import_id} was taken, then: {error}", ref=import_id)
            return {intent.intent_id: unclear for intent in intents}

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """Look at the files whose id is known; of the others, plan values again and look for additions by their offers."""
        seen: dict[str, ReadBack] = {}
        for import_id in {each.external_ref: None for each in intents if each.external_ref}:
            seen |= self._file_seen(import_id, [each for each in intents if each.external_ref == import_id])
        left = [each for each in intents if each.intent_id not in seen]
        seen |= {each.intent_id: Absent() for each in left if not _is_addition(each)}
        if additions := [each for each in left if _is_addition(each)]:
            shown = self._mirakl.offer_quantities(each.body["offer_sku"] for each in additions)
            sold = self._sold_since(min(_read_at(each) for each in additions))
            seen |= {each.intent_id: _seen(each, shown, sold) for each in additions}
        return seen

    def _sold_since(self, since: datetime) -> list[tuple[str, datetime, int]]:
        """Return (SKU, when, units) of every order line placed since then."""
        return [
            (str(line["offer_sku"]), placed_at, int(line["quantity"]))
            for page in self._mirakl.orders(since, self._clock.now())
            for order in page
            if (placed_at := datetime.fromisoformat(order["created_date"])) >= since
            for line in order["order_lines"]
        ]

    def _file_seen(self, import_id: str, intents: Sequence[Intent]) -> dict[str, ReadBack]:
        """Say what became of a file's lines; nothing where the marketplace does not know the file (any more)."""
        try:
            result = self._result(import_id, intents)
        except RateLimited:  # the other writes of this look are not held up by it
            return {each.intent_id: Absent(is_fresh=False) for each in intents}
        except SourceRefused as error:
            if error.status == 404:
                return {}
            raise
        return {key: _read(outcome) for key, outcome in result.items()}

    def _result(self, import_id: str, intents: Sequence[Intent]) -> dict[str, Confirmed | Rejected | Unknown]:
        status = self._mirakl.stock_import_status(import_id)
        if not status.is_finished:
            unclear = Unknown(f"file {import_id} is not done yet", ref=import_id)
            return {each.intent_id: unclear for each in intents}
        if status.state is StockImportState.FAILED:
            failed = Rejected("STO02", f"file {import_id} failed as a whole", retry_after_s=FAILED_WAIT_S)
            return {each.intent_id: failed for each in intents}
        has_errors = status.has_error_report or status.lines_in_error > 0
        errors = self._mirakl.stock_import_errors(import_id) if has_errors else []
        reasons = {error.offer_sku: error.reason for error in errors}
        return {
            each.intent_id: Rejected("STO03", reasons[sku])
            if (sku := each.body["offer_sku"]) in reasons
            else Confirmed(import_id)
            for each in intents
        }


def _read(outcome: Confirmed | Rejected | Unknown) -> ReadBack:
    match outcome:
        case Confirmed(ref):
            return Found(ref)
        case Rejected():
            return outcome
        case Unknown():
            return Absent(is_fresh=False)


def _is_addition(intent: Intent) -> bool:
    return "delta" in intent.body


def _row(intent: Intent) -> dict[str, Any]:
    """Return what the file says of an intent: its own value, or what its offer shall have after all additions."""
    if not _is_addition(intent):
        return intent.body
    return {"offer_sku": intent.body["offer_sku"], "quantity": intent.baseline["after"]}


def _read_at(intent: Intent) -> datetime:
    return datetime.fromisoformat(intent.baseline["read_at"])


def _seen(intent: Intent, shown: Mapping[str, int], sold: Sequence[tuple[str, datetime, int]]) -> ReadBack:
    """Say by what an offer has now, with what was sold since it was read, whether an addition was applied."""
    sku, before, after = intent.body["offer_sku"], intent.baseline["before"], intent.baseline["after"]
    since = sum(units for of_sku, placed_at, units in sold if of_sku == sku and placed_at >= _read_at(intent))
    now = shown[sku] + since if sku in shown else None
    if now == after:
        return Found(sku)
    if now == before:
        return Absent()
    return Conflicting(
        f"offer {sku} had {before} and was to have {after}; with {since} sold since, it shows {shown.get(sku, 'nothing')}"
    )
