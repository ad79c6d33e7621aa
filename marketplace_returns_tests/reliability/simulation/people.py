"""What people do meanwhile: in the marketplace's portal, in the warehouse, at the operator's, and at our own desk.

Here live their acts, each drawn from the seed. Not here: judging them. Invariant: an act goes through the sandbox's own rules,
as the real portal's would; one that is refused there has not happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TypeVar

from marketplace_returns.mappings import Mappings
from marketplace_returns.sandbox.entities import OrderLine
from marketplace_returns.sandbox.marketplace import CancelationWish
from marketplace_returns.sandbox.money import share
from marketplace_returns.sandbox.refunds import RefundWish
from marketplace_returns.sandbox.refusals import RefusedError
from marketplace_returns.sandbox.world import World
from marketplace_returns_tests.reliability.simulation.installation import Installation
from marketplace_returns_tests.reliability.simulation.outside import VirtualClock
from marketplace_returns_tests.reliability.simulation.trouble import Trace

Thing = TypeVar("Thing")


@dataclass
class People:
    """Everyone but the customers."""

    world: World
    clock: VirtualClock
    chance: Random
    trace: Trace
    installation: Installation

    def plan(self, span: timedelta, acts: float) -> None:
        """Spread about so many acts over a span of time, and the spells of a closed balance, right or mapping."""
        begin = self.clock.true_now()
        for _ in range(round(acts * self.chance.uniform(0.5, 1.5))):
            act = self.chance.choice(self._acts())
            self.clock.at(begin + self.chance.random() * span, lambda act=act: self._do(act))  # type: ignore[misc]
        for spell, end in self._spells():
            if self.chance.random() < 0.35:
                start = begin + self.chance.random() * span
                self.clock.at(start, lambda spell=spell: self._do(spell))  # type: ignore[misc]
                until = start + timedelta(minutes=self.chance.uniform(20, 240))
                self.clock.at(until, lambda end=end: self._do(end))  # type: ignore[misc]

    def all_is_well(self) -> None:
        """End every spell."""
        for _, end in self._spells():
            self._do(end)

    def _do(self, act: Callable[[], object]) -> None:
        try:
            what = act()
        except RefusedError as refused:
            what = f"refused: {refused.message}"
        self.trace.note(self.clock.true_now().isoformat(), "people", act.__name__, what)
        if what and not str(what).startswith("refused"):
            self.trace.counts[f"people/{act.__name__}"] += 1

    # -- acts -------------------------------------------------------------------------------------------------------

    def _acts(self) -> list[Callable[[], object]]:
        return [
            self.refund_by_hand,
            self.accept_by_hand,
            self.cancel_order,
            self.cancel_line,
            self.accept_return_by_hand,
            self.close_return_by_hand,
            self.take_delivery,
            self.judge_again,
        ]

    def refund_by_hand(self) -> str:
        """Somebody refunds a unit in the portal; nothing, or not yet, was returned."""
        lines = [line for line in self._lines("RECEIVED") if line.refunded_minor() < line.price_minor]
        line = self._one_of(lines)
        if line is None:
            return ""
        amount = share(line.price_minor, len(line.refunds) + 1, line.quantity) - share(
            line.price_minor, len(line.refunds), line.quantity
        )
        (made,) = self.world.refunds.refund([RefundWish(line.id, amount, 0, "19", quantity=1)], "portal")
        return f"{line.id} {made.id} {amount}"

    def accept_by_hand(self) -> str:
        """Somebody accepts an order in the portal."""
        order = self._one_of([o for o in self.world.marketplace.orders.values() if o.state == "WAITING_ACCEPTANCE"])
        if order is None:
            return ""
        self.world.marketplace.accept(order.id, [(line.id, True) for line in order.lines])
        return order.id

    def cancel_order(self) -> str:
        """The operator cancels an order that is not debited yet."""
        order = self._one_of(
            [o for o in self.world.marketplace.orders.values() if self.world.marketplace.can_cancel(o)]
        )
        if order is None:
            return ""
        self.world.marketplace.cancel(order.id)
        return order.id

    def cancel_line(self) -> str:
        """The operator cancels a unit of an order that is not debited yet."""
        orders = [o for o in self.world.marketplace.orders.values() if self.world.marketplace.can_cancel(o)]
        line = self._one_of([line for order in orders for line in order.active_lines()])
        if line is None:
            return ""
        amount = line.price_minor - share(line.price_minor, line.quantity - 1, line.quantity)
        shipping = line.shipping_minor if line.quantity == 1 else 0
        self.world.marketplace.cancel_lines([CancelationWish(line.id, amount, shipping, 1, "34")])
        return line.id

    def accept_return_by_hand(self) -> str:
        """Somebody accepts a return in the portal."""
        one = self._one_of([r for r in self.world.returns.returns.values() if r.state == "WAITING_ACCEPTANCE"])
        if one is None:
            return ""
        self.world.returns.decide(one.id, accepted=True, rejection_reason=None)
        return one.id

    def close_return_by_hand(self) -> str:
        """Somebody closes a received return in the portal."""
        one = self._one_of([r for r in self.world.returns.returns.values() if r.state == "RECEIVED"])
        if one is None:
            return ""
        self.world.returns.close(one.id)
        return one.id

    def take_delivery(self) -> str:
        """The warehouse books goods in."""
        sku = self.chance.choice(sorted(self.world.products))
        self.world.warehouse.take_delivery(sku, self.chance.randint(1, 20))
        return sku

    def judge_again(self) -> str:
        """The warehouse looks at a damaged unit again and finds it good."""
        row = self._one_of([row for row in self.world.warehouse.return_rows() if row.outcome == "damaged"])
        if row is None or row.return_id is None or row.order_line_id is None:
            return ""
        self.world.warehouse.correct_return(row.return_code, "new")
        outcomes = self.world.returns.returns[row.return_id].outcomes[row.order_line_id]
        outcomes[:] = ["new" if outcome == "damaged" else outcome for outcome in outcomes]
        return row.return_code

    # -- spells -----------------------------------------------------------------------------------------------------

    def _spells(self) -> list[tuple[Callable[[], object], Callable[[], object]]]:
        return [
            (self.balance_is_checked, self.balance_is_not_checked),
            (self.partial_refunds_off, self.partial_refunds_on),
            (self.refunds_forbidden, self.refunds_allowed),
            (self.reason_is_struck, self.mappings_are_mended),
            (self.carrier_is_struck, self.mappings_are_mended),
        ]

    def balance_is_checked(self) -> str:
        """The operator pays out all there is and looks at the balance from now on: refunds are refused for lack of it."""
        self._configure(balance_check=True)
        self.world.accounting._payable.clear()
        return "on"

    def balance_is_not_checked(self) -> str:
        return self._configure(balance_check=False)

    def partial_refunds_off(self) -> str:
        return self._configure(partial_refunds=False)

    def partial_refunds_on(self) -> str:
        return self._configure(partial_refunds=True)

    def refunds_forbidden(self) -> str:
        """Our key loses the right to refund."""
        return self._configure(forbidden_operations=("OR28",))

    def refunds_allowed(self) -> str:
        return self._configure(forbidden_operations=())

    def reason_is_struck(self) -> str:
        """Somebody takes a reason off the mapping tables."""
        reasons = self.installation.mappings.reasons
        struck = self.chance.choice(sorted({row.source_code for row in reasons if row.source_system == "mirakl"}))
        return self._edit(reasons=tuple(row for row in reasons if row.source_code != struck), what=struck)

    def carrier_is_struck(self) -> str:
        """Somebody takes a carrier off the mapping tables."""
        carriers = self.installation.mappings.carriers
        struck = self.chance.choice(sorted({row.source_code for row in carriers}))
        return self._edit(carriers=tuple(row for row in carriers if row.source_code != struck), what=struck)

    def mappings_are_mended(self) -> str:
        self.installation.mappings = self.installation.workshop.mappings
        return "whole"

    def _edit(self, *, what: str, **tables: object) -> str:
        mappings: Mappings = replace(self.installation.mappings, **tables)  # type: ignore[arg-type]
        self.installation.mappings = mappings
        return what

    def _configure(self, **changes: object) -> str:
        self.world.config = replace(self.world.config, **changes)  # type: ignore[arg-type]
        return str(changes)

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _lines(self, state: str) -> list[OrderLine]:
        return [
            line
            for order in self.world.marketplace.orders.values()
            if order.state == state
            for line in order.active_lines()
            if line.state == state
        ]

    def _one_of(self, things: list[Thing]) -> Thing | None:
        return self.chance.choice(things) if things else None
