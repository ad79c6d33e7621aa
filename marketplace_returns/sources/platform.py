"""What every returns platform must be able to do for us, whichever it is.

Here: the facts that cross the border to a platform's own package, and the protocol its package fulfils. Not here: any
platform's paths or bodies (``sources/<platform>``), nor which platforms there are (``sources/platforms``).
Invariant: amounts are decimal strings of one unit, shown to the customer and never the base of a refund (R3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReturnLine:
    """One line of a return to create: what one unit costs, and the reason in the platform's own vocabulary."""

    order_line_id: str
    sku: str
    quantity: int
    unit_price: str
    tax_amount: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReturn:
    """A return to create on the platform; ``return_id`` is our key there (R1)."""

    return_id: str
    order_id: str
    currency: str
    lines: tuple[NewReturnLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemOutcome:
    """What came of one item of the platform: units accepted and rejected, and the marketplace's refunds for its line."""

    item_id: str
    order_line_id: str
    accepted: int
    rejected: int
    reject_reason: str | None
    refund_ids: tuple[str, ...]


class Creation(Protocol):
    """Builds the exact body that creates a return."""

    def __call__(self, wanted: NewReturn) -> dict[str, Any]:
        """Return the body: no personal data, JSON values only."""


class OutcomeReport(Protocol):
    """Builds the exact body that tells the platform what came of a return."""

    def __call__(self, platform_return_id: str, items: Sequence[ItemOutcome]) -> dict[str, Any]:
        """Return the body; it holds all that ``PlatformWrites`` needs to send it and to see it again."""


class PlatformWrites(Protocol):
    """The writes of a platform, as the executors use them; errors are those of ``HttpSource``."""

    def find(self, key: str, order_id: str) -> list[str]:
        """Return the platform's ids of every return that stands under our key."""

    def create(self, body: Mapping[str, Any]) -> str:
        """Create a return and give its id; one that stands under the key already is given instead."""

    def report_outcome(self, body: Mapping[str, Any]) -> None:
        """Tell the platform what came of a return."""

    def is_reported(self, body: Mapping[str, Any]) -> bool:
        """Tell whether the platform shows that outcome."""
