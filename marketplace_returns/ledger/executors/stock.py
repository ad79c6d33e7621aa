"""Pushing stock: every due value in one file (STO01), proven by STO02 and STO03 (R104, G10).

The invariant: accepting the file is not accepting a line. A value is absolute, so an unclear one is simply planned again: a
newer value of the SKU supersedes it before it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from marketplace_returns.clock import Clock
from marketplace_returns.errors import SourceError
from marketplace_returns.ledger.outcomes import (
    Absent,
    Confirmed,
    NotSent,
    Outcome,
    ReadBack,
    Ready,
    Rejected,
    Unknown,
    outcome_of,
)
from marketplace_returns.sources.mirakl.stock_imports import StockImport, StockImportState

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.mirakl.client import MiraklClient

POLL_WAITS_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 15.0, 15.0, 15.0, 30.0)
"""Waits between the looks at a file; together the bound. STO02's own frequency is held by the call budget."""

FAILED_WAIT_S: Final = 900.0


class PushStock:
    """Sends STO01."""

    batch_size: Final = 10_000

    def __init__(self, mirakl: MiraklClient, clock: Clock) -> None:
        self._mirakl = mirakl
        self._clock = clock

    def prepare(self, intents: Sequence[Intent]) -> Mapping[str, Ready]:
        """Let all go: a value that is there already is set to itself."""
        return {intent.intent_id: Ready() for intent in intents}

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        """Send one file and wait, within a bound, for what became of each line."""
        if not may_start():
            return {intent.intent_id: NotSent("the batch's time was over", 0.0) for intent in intents}
        try:
            import_id = self._mirakl.import_stock([intent.body for intent in intents])
        except SourceError as error:
            return {intent.intent_id: outcome_of(error) for intent in intents}
        try:
            return self._result(import_id, intents)
        except SourceError as error:  # a read: the file itself is with the marketplace
            return {intent.intent_id: Unknown(f"file {import_id} was taken, then: {error}") for intent in intents}

    def read_back(self, intents: Sequence[Intent]) -> Mapping[str, ReadBack]:
        """Say that the values are to be planned again: setting a value twice changes nothing."""
        return {intent.intent_id: Absent() for intent in intents}

    def _result(self, import_id: str, intents: Sequence[Intent]) -> dict[str, Outcome]:
        status = self._finished(import_id)
        if status is None:
            return {each.intent_id: Unknown(f"file {import_id} was not done within the bound") for each in intents}
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

    def _finished(self, import_id: str) -> StockImport | None:
        for wait_s in POLL_WAITS_S:
            status = self._mirakl.stock_import_status(import_id)
            if status.is_finished:
                return status
            self._clock.wait(wait_s)
        return None
