"""The returns platform as it is, whichever it is, without its HTTP face.

Here: returns with labels, their way through the post, the merchant's verdicts. Not here: paths, JSON, bearer keys. Invariant: one
return per external id; a line's verdict is given once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from marketplace_returns.sandbox.timeline import Changes

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World


@dataclass(slots=True, frozen=True)
class NewReturnLine:
    """One line of a return to create; money in minor units of the return's currency, per unit."""

    external_id: str
    sku: str
    quantity: int
    unit_price_minor: int
    tax_minor: int
    reason: str


@dataclass(slots=True, frozen=True)
class NewReturn:
    """A return to create; `external_id` is the caller's own key."""

    external_id: str
    order_external_id: str
    order_name: str
    currency: str
    lines: tuple[NewReturnLine, ...]


@dataclass(slots=True)
class PlatformReturnLine:
    """A line of a return; status pending, accepted or rejected; `external_id` is the marketplace's order line id.

    `found` is what the inspection found of each of its units: new, damaged, wrong_item, missing or quarantine.
    """

    id: str
    external_id: str
    sku: str
    quantity: int
    unit_price_minor: int
    tax_minor: int
    reason: str
    status: str = "pending"
    received_sku: str | None = None
    found: list[str] = field(default_factory=list)
    reject_reason: str | None = None
    reject_reason_text: str | None = None
    is_partly_rejected: bool = False


@dataclass(slots=True)
class PlatformRefund:
    """A refund the platform itself executed (only when its refunds are switched on)."""

    id: str
    amount_minor: int
    method: str
    status: str
    executed_at: datetime | None
    is_advance: bool


@dataclass(slots=True)
class PlatformReturn:
    """A return on the platform; statuses in lower case, instants aware UTC, money in minor units."""

    id: str
    external_id: str
    order_external_id: str
    order_name: str
    currency: str
    lines: list[PlatformReturnLine]
    created_at: datetime
    updated_at: datetime
    total_minor: int
    refund_minor: int
    carrier: str
    tracking_number: str
    label_url: str
    status: str = "in_progress"
    type: str = "refund"
    is_instant: bool = False
    shipped_at: datetime | None = None
    received_at: datetime | None = None
    inspected_at: datetime | None = None
    resolved_at: datetime | None = None
    restock_choice: str | None = None
    refunds: list[PlatformRefund] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class Duplicate:
    """The answer to a second creation with the same external id: the return that already stands."""

    existing: PlatformReturn


@dataclass(slots=True, frozen=True)
class LineVerdict:
    """The merchant's verdict on one line: status accepted or rejected, with the reason for a rejection."""

    item_id: str
    quantity: int
    status: str
    reject_reason: str | None = None
    reject_reason_text: str | None = None


class ReturnsPlatform:
    """One store of the returns platform."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.returns: dict[str, PlatformReturn] = {}
        self._by_external_id: dict[str, str] = {}
        self._by_order: dict[str, list[str]] = {}
        self._changes = Changes()

    def find_return(self, return_id: str | None = None, *, external_id: str | None = None) -> PlatformReturn | None:
        """The return with this id (dashes and case ignored) or, failing that, with this external id; None when there is none."""
        if return_id is not None:
            return self.returns.get(return_id.replace("-", "").lower())
        if external_id is not None and external_id in self._by_external_id:
            return self.returns[self._by_external_id[external_id]]
        return None

    def returns_of_order(self, order_external_id: str) -> list[PlatformReturn]:
        """All returns of one marketplace order, oldest first."""
        return [self.returns[key] for key in self._by_order.get(order_external_id, [])]

    def list_returns(self, updated_from: date | None = None, updated_to: date | None = None) -> list[PlatformReturn]:
        """Returns whose last update lies on these UTC days, both inclusive; oldest update first."""
        lower = None
        if updated_from is not None:
            lower = datetime(
                updated_from.year, updated_from.month, updated_from.day, tzinfo=self.world.clock.now().tzinfo
            )
        found = [self.returns[key] for key in self._changes.since(lower)]
        if updated_to is not None:
            found = [one for one in found if one.updated_at.date() <= updated_to]
        return sorted(found, key=lambda one: (one.updated_at, one.id))

    def create_return(self, wanted: NewReturn) -> PlatformReturn | Duplicate:
        """Create a return with a label, or answer which one already has this external id.

        A customer posts the parcel once the label exists and the marketplace's return is IN_PROGRESS.
        """
        if wanted.external_id in self._by_external_id:
            return Duplicate(self.returns[self._by_external_id[wanted.external_id]])
        return self.create_another(wanted)

    def create_another(self, wanted: NewReturn) -> PlatformReturn:
        """Create a return with a label, whether or not one has this external id (platforms that compare nothing)."""
        world = self.world
        now = world.clock.now()
        return_id = world.chance.uuid("platform_return").replace("-", "")
        total = sum(line.quantity * line.unit_price_minor for line in wanted.lines)
        chance = world.chance.of("platform_amount", wanted.external_id)
        differs = chance.random() < world.config.platform_amount_differs_rate
        made = PlatformReturn(
            id=return_id,
            external_id=wanted.external_id,
            order_external_id=wanted.order_external_id,
            order_name=wanted.order_name,
            currency=wanted.currency,
            lines=[
                PlatformReturnLine(
                    world.chance.uuid("platform_line").replace("-", ""),
                    line.external_id,
                    line.sku,
                    line.quantity,
                    line.unit_price_minor,
                    line.tax_minor,
                    line.reason,
                )
                for line in wanted.lines
            ],
            created_at=now,
            updated_at=now,
            total_minor=total,
            refund_minor=max(0, total - 100) if differs else total,
            carrier="Evri",
            tracking_number=f"RT{world.chance.number('return_tracking'):010d}",
            label_url=f"https://labels.invalid/{return_id}.pdf",
        )
        self.returns[return_id] = made
        self._by_external_id.setdefault(wanted.external_id, return_id)
        self._by_order.setdefault(wanted.order_external_id, []).append(return_id)
        self._changes.add(now, return_id)
        world.notifications.return_changed(made, "created")
        world.customers.label_issued(made)
        return made

    def validate_lines(
        self, return_id: str, verdicts: Sequence[LineVerdict], restock_choice: str | None = None
    ) -> PlatformReturn:
        """Record verdicts; once no line is pending the return is accepted, rejected or partly_accepted.

        A line's units may be judged apart, in two verdicts that add up to its quantity; it is accepted then and keeps the
        reason of the rejected ones. Raises KeyError for an unknown return or line, ValueError (with the text for the
        caller) for a wrong status, quantity or a line that already has a verdict; nothing is applied then.
        """
        found = self.returns[return_id]
        lines = {line.id: line for line in found.lines}
        of_line: dict[str, list[LineVerdict]] = {}
        for verdict in verdicts:
            line = lines[verdict.item_id]
            of_line.setdefault(line.id, []).append(verdict)
            if verdict.status not in {"accepted", "rejected"}:
                raise ValueError(f"status '{verdict.status}' is not accepted or rejected")
            if line.status != "pending":
                raise ValueError(f"item {line.id} is already {line.status}")
            if verdict.status == "rejected" and not verdict.reject_reason:
                raise ValueError(f"item {line.id} is rejected without reject_reason")
        for line_id, given in of_line.items():
            judged = sum(verdict.quantity for verdict in given)
            if judged != lines[line_id].quantity:
                raise ValueError(f"item {line_id} has quantity {lines[line_id].quantity}, not {judged}")
        for line_id, given in of_line.items():
            line = lines[line_id]
            rejected = [verdict for verdict in given if verdict.status == "rejected"]
            line.status = "rejected" if len(rejected) == len(given) else "accepted"
            line.is_partly_rejected = 0 < len(rejected) < len(given)
            for verdict in rejected:
                line.reject_reason = verdict.reject_reason
                line.reject_reason_text = verdict.reject_reason_text
        if restock_choice is not None:
            found.restock_choice = restock_choice
        statuses = {line.status for line in found.lines}
        if "pending" not in statuses:
            is_mixed = len(statuses) > 1 or any(line.is_partly_rejected for line in found.lines)
            found.status = "partly_accepted" if is_mixed else statuses.pop()
            found.resolved_at = self.world.clock.now()
            self._execute_refund(found)
        self.touch(found)
        return found

    def mark_shipped(self, found: PlatformReturn) -> None:
        """The customer posted the parcel."""
        found.status = "shipped"
        found.shipped_at = self.world.clock.now()
        self.touch(found)

    def mark_received(self, found: PlatformReturn) -> None:
        """The parcel arrived at the warehouse."""
        found.status = "received"
        found.received_at = self.world.clock.now()
        self.touch(found)

    def mark_inspected(self, found: PlatformReturn, units: Mapping[str, Sequence[str]]) -> None:
        """The parcel was opened; `units` says by order line id what was found of each unit."""
        found.inspected_at = self.world.clock.now()
        left = {line_id: list(outcomes) for line_id, outcomes in units.items()}
        for line in found.lines:  # several lines may stand for the units of one order line
            outcomes = left.get(line.external_id, [])
            line.found, left[line.external_id] = outcomes[: line.quantity], outcomes[line.quantity :]
        self.touch(found)

    def end(self, found: PlatformReturn, status: str) -> None:
        """Somebody ends a return in the platform's own pages, as rejected or cancelled."""
        found.status = status
        found.resolved_at = self.world.clock.now()
        self.touch(found)

    def touch(self, found: PlatformReturn) -> None:
        """Note that the return changed now."""
        found.updated_at = self.world.clock.now()
        self._changes.add(found.updated_at, found.id)
        self.world.notifications.return_changed(found, "updated")

    def _execute_refund(self, found: PlatformReturn) -> None:
        if not self.world.config.platform_refunds or found.status == "rejected":
            return
        refund_id = self.world.chance.uuid("platform_refund").replace("-", "")
        found.refunds.append(
            PlatformRefund(
                refund_id, found.refund_minor, "original", "executed", self.world.clock.now(), is_advance=False
            )
        )
