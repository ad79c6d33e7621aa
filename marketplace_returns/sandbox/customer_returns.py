"""Returns on the marketplace (RT) and the states they pass.

Here: opening, RT01, RT04, RT12's quantities, RT21, RT25, RT26, RT27, RT29. Not here: what the customer decides (generator.py),
money (a return never refunds), JSON. Invariant: a state changes only from the documented one; else `Return is in invalid state`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marketplace_returns.sandbox.catalogue import NON_COMPLIANCE_REASONS, REJECTION_REASONS
from marketplace_returns.sandbox.entities import MarketplaceReturn, Order, ReturnLine
from marketplace_returns.sandbox.refusals import RefusedError
from marketplace_returns.sandbox.timeline import Changes

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

INVALID_STATE = "Return is in invalid state"
ENDED = frozenset({"REFUSED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class Compliance:
    """RT26's word on one line."""

    order_line_id: str
    compliant: bool
    reason_code: str | None = None
    info: str | None = None


class CustomerReturns:
    """All RT returns of the shop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.returns: dict[str, MarketplaceReturn] = {}
        self.returns_of_order: dict[str, list[str]] = {}
        self.changes = Changes()

    def get(self, return_id: str) -> MarketplaceReturn:
        """The return, or RefusedError with the documented text."""
        found = self.returns.get(return_id)
        if found is None:
            raise RefusedError("The return does not exist.")
        return found

    def by_order(self, order_id: str) -> list[MarketplaceReturn]:
        """All returns of an order, oldest first."""
        return [self.returns[key] for key in self.returns_of_order.get(order_id, ())]

    def returnable(self, order: Order, line_id: str) -> int:
        """Units of a line that can still be returned (RT12): received and in no other live return."""
        line = order.line(line_id)
        if line is None or line.received_at is None or order.state not in {"RECEIVED", "CLOSED"}:
            return 0
        returned = sum(
            part.quantity
            for one in self.by_order(order.id)
            if one.state not in ENDED
            for part in one.lines
            if part.order_line_id == line_id
        )
        return line.quantity - returned

    def open(
        self,
        order: Order,
        parts: Sequence[tuple[str, int, str]],
        method_code: str,
        *,
        accepted: bool = False,
        is_checked: bool = True,
    ) -> MarketplaceReturn:
        """Open a return of (order line id, quantity, reason) parts; raises RefusedError where units cannot be returned.

        Without `is_checked` the marketplace lets by what it should refuse.
        """
        for line_id, quantity, _ in parts if is_checked else ():
            if quantity < 1 or quantity > self.returnable(order, line_id):
                raise RefusedError(f"The quantity to return is invalid for the order line '{line_id}'")
        now = self.world.clock.now()
        lines = []
        for line_id, quantity, reason in parts:
            _, line = self.world.marketplace.find_line(line_id)
            lines.append(ReturnLine(line_id, line.product.sku, quantity, reason))
        made = MarketplaceReturn(
            id=self.world.chance.uuid("return"),
            order_id=order.id,
            order_commercial_id=order.commercial_id,
            state="IN_PROGRESS" if accepted else "WAITING_ACCEPTANCE",
            method_code=method_code,
            lines=lines,
            created_at=now,
            updated_at=now,
            reason_code=parts[0][2],
        )
        self.returns[made.id] = made
        self.returns_of_order.setdefault(order.id, []).append(made.id)
        self.touch(made)
        return made

    def touch(self, one: MarketplaceReturn) -> None:
        """Note that the return changed now."""
        one.updated_at = self.world.clock.now()
        self.changes.add(one.updated_at, one.id)

    def decide(self, return_id: str, *, accepted: bool, rejection_reason: str | None) -> None:
        """RT21: WAITING_ACCEPTANCE -> IN_PROGRESS or REFUSED."""
        one = self._in_state(return_id, "WAITING_ACCEPTANCE")
        if not accepted and rejection_reason not in REJECTION_REASONS:
            raise RefusedError(f"The rejection reason '{rejection_reason}' does not exist")
        one.state = "IN_PROGRESS" if accepted else "REFUSED"
        one.rejection_reason = None if accepted else rejection_reason
        self.touch(one)
        if accepted:
            self.world.customers.return_accepted(one)

    def receive(self, return_id: str) -> None:
        """RT25: IN_PROGRESS -> RECEIVED."""
        one = self._in_state(return_id, "IN_PROGRESS")
        one.state = "RECEIVED"
        self.touch(one)

    def set_compliance(self, return_id: str, words: Sequence[Compliance]) -> None:
        """RT26: say of every line whether it is compliant; the state stays (IN_PROGRESS or RECEIVED)."""
        one = self._in_state(return_id, "IN_PROGRESS", "RECEIVED")
        by_line = {word.order_line_id: word for word in words}
        missing = [line.order_line_id for line in one.lines if line.order_line_id not in by_line]
        if missing:
            raise RefusedError(
                f"The compliance has not been specified on the following order lines: {', '.join(missing)}"
            )
        unknown = set(by_line) - {line.order_line_id for line in one.lines}
        if unknown:
            raise RefusedError(f"The order line '{min(unknown)}' is not part of the return")
        for word in words:
            if not word.compliant and word.reason_code not in NON_COMPLIANCE_REASONS:
                raise RefusedError(f"The non compliance reason '{word.reason_code}' does not exist")
        for line in one.lines:
            word = by_line[line.order_line_id]
            line.compliant = word.compliant
            line.non_compliance_reason = None if word.compliant else word.reason_code
            line.non_compliance_info = word.info
        self.touch(one)

    def close(self, return_id: str) -> None:
        """RT27: RECEIVED (or IN_PROGRESS, returnless) -> CLOSED."""
        one = self._in_state(return_id, "RECEIVED", "IN_PROGRESS", "NO_RECEPTION")
        one.state = "CLOSED"
        self.touch(one)

    def cancel(self, return_id: str) -> None:
        """RT29, or the customer: WAITING_ACCEPTANCE or IN_PROGRESS -> CANCELED."""
        one = self._in_state(return_id, "WAITING_ACCEPTANCE", "IN_PROGRESS")
        one.state = "CANCELED"
        self.touch(one)

    def no_reception(self, return_id: str) -> None:
        """The operator's time-out for a parcel that never came."""
        one = self.returns[return_id]
        if one.state == "IN_PROGRESS" and one.posted_at is None:
            one.state = "NO_RECEPTION"
            self.touch(one)

    def patch(self, return_id: str, values: Mapping[str, str], address: Mapping[str, str] | None) -> None:
        """RT04: set rma, label_url, tracking fields and the return address; the state stays."""
        one = self.get(return_id)
        if one.state in ENDED | {"CLOSED"}:
            raise RefusedError(INVALID_STATE)
        for name, value in values.items():
            setattr(one, name, value)
        if address is not None:
            one.return_address = dict(address)
        self.touch(one)
        self.world.customers.consider_posting(one)  # an rma may be what ties the platform's label to this return

    def _in_state(self, return_id: str, *states: str) -> MarketplaceReturn:
        one = self.get(return_id)
        if one.state not in states:
            raise RefusedError(INVALID_STATE)
        return one
