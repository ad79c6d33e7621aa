"""The marketplace's orders and the states they pass.

Here: OR21, OR23, OR24, OR29, OR30, OR64, the operator's and the payment provider's moves, shipments of ST01. Not here: refunds
(refunds.py), returns (customer_returns.py), what customers decide (generator.py), JSON. Invariant: a state changes only along
the documented table; a refused call changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from marketplace_returns.sandbox.catalogue import CARRIER_BY_CODE, CARRIERS, REASON_BY_CODE
from marketplace_returns.sandbox.entities import Cancelation, Order, OrderLine, Shipment
from marketplace_returns.sandbox.money import share
from marketplace_returns.sandbox.refusals import RefusedError
from marketplace_returns.sandbox.timeline import Changes

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

BEFORE_DEBIT = frozenset({"STAGING", "WAITING_ACCEPTANCE", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT"})
DEBITED = frozenset({"SHIPPING", "SHIPPED", "TO_COLLECT", "RECEIVED", "CLOSED"})
INCIDENT_DAYS_MAX = 10


@dataclass(frozen=True, slots=True)
class Tracking:
    """Tracking details as a client sends them (OR23, ST01, RT04)."""

    carrier_code: str | None = None
    carrier_name: str | None = None
    carrier_standard_code: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None


@dataclass(frozen=True, slots=True)
class CancelationWish:
    """One item of OR30, minor units."""

    line_id: str
    amount_minor: int
    shipping_minor: int
    quantity: int
    reason_code: str


class Marketplace:
    """All orders of the shop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: dict[str, Order] = {}
        self.order_of_line: dict[str, str] = {}
        self.shipments: dict[str, Shipment] = {}
        self.shipments_of_order: dict[str, list[str]] = {}
        self.unheard: set[str] = set()
        """Orders of which a despatch is answered as confirmed and is forgotten."""
        self.changes = Changes()
        self.shipment_changes = Changes()
        self.version = 0

    # -- reads -----------------------------------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order:
        """The order, or RefusedError 404."""
        found = self.orders.get(order_id)
        if found is None:
            raise RefusedError(f"Order with id '{order_id}' not found.", status=404, code="ORDER_NOT_FOUND")
        return found

    def state_of(self, order_id: str) -> str | None:
        """The order's state, None when there is no such order."""
        found = self.orders.get(order_id)
        return found.state if found else None

    def touch(self, order: Order, *lines: OrderLine) -> None:
        """Note that the order (and these lines) changed now."""
        now = self.world.clock.now()
        order.updated_at = now
        for line in lines:
            line.updated_at = now
        self.changes.add(now, order.id)
        self.version += 1

    # -- a customer orders -------------------------------------------------------------------------------------------------

    def place(self, order: Order) -> None:
        """A new order waits for the seller's decision until the operator's time-out."""
        self.orders[order.id] = order
        for line in order.lines:
            self.order_of_line[line.id] = order.id
        self.touch(order)
        self.world.timeline.after(timedelta(hours=self.world.config.acceptance_hours), self._time_out, order.id)

    def _time_out(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.state != "WAITING_ACCEPTANCE":
            return
        order.timed_out = True
        order.decided_at = self.world.clock.now()
        self._set_state(order, "REFUSED")

    # -- OR21 ----------------------------------------------------------------------------------------------------------------

    def accept(self, order_id: str, decisions: Sequence[tuple[str, bool]]) -> None:
        """Decide on every line (OR21); raises RefusedError with the documented codes."""
        order = self.order(order_id)
        order.accept_calls += 1
        if order.state != "WAITING_ACCEPTANCE":
            raise RefusedError(
                f"The order status must be 'WAITING_ACCEPTANCE' but it is '{order.state}'.", code="ORDER_INVALID_STATE"
            )
        given = [line_id for line_id, _ in decisions]
        known = {line.id for line in order.lines}
        for line_id in given:
            if line_id not in known:
                raise RefusedError(f"Order line with id '{line_id}' not found.", code="ORDER_LINE_NOT_FOUND")
        if len(set(given)) < len(given):
            raise RefusedError("An order line is given twice.", code="ORDER_LINE_DUPLICATE_ID")
        if set(given) < known:
            raise RefusedError(
                f"No decision for order lines: {', '.join(sorted(known - set(given)))}.",
                code="ORDER_LINE_ACCEPTANCE_DECISION_MISSING",
            )
        accepted = {line_id for line_id, yes in decisions if yes}
        if accepted and accepted != known and not self.world.config.partial_acceptance:
            raise RefusedError("Partial acceptance is disabled.", code="ORDER_PARTIAL_ACCEPTANCE_DISABLED")
        order.decided_at = self.world.clock.now()
        for line in order.lines:
            line.state = "WAITING_DEBIT" if line.id in accepted else "REFUSED"
        if not accepted:
            order.state = "REFUSED"
            self.touch(order, *order.lines)
            return
        order.state = "WAITING_DEBIT"
        self.touch(order, *order.lines)
        chance = self.world.chance.of("debit", order.id)
        asked = timedelta(seconds=chance.randint(60, 120))
        self.world.timeline.after(asked, self._ask_debit, order.id)
        self.world.timeline.after(asked + timedelta(minutes=chance.randint(10, 90)), self._confirm_debit, order.id)

    def _ask_debit(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.state == "WAITING_DEBIT":
            self._set_state(order, "WAITING_DEBIT_PAYMENT")

    def _confirm_debit(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.state != "WAITING_DEBIT_PAYMENT":
            return
        now = self.world.clock.now()
        order.debited_at = now
        order.transaction_number = f"TX{order.number:08d}"
        for line in order.active_lines():
            line.debited_at = now
            self.world.accounting.book_order_line(order, line)
        self._set_state(order, "SHIPPING")

    # -- OR23, OR24 ------------------------------------------------------------------------------------------------------------

    def set_tracking(self, order_id: str, tracking: Tracking) -> None:
        """Set the order's one tracking (OR23)."""
        order = self.order(order_id)
        if order.state not in {"SHIPPING", "SHIPPED"}:
            raise RefusedError(f"The order status must be 'SHIPPING' but it is '{order.state}'.")
        checked = self.check_tracking(tracking, number_needed=True)
        order.carrier_code, order.carrier_name = checked.carrier_code, checked.carrier_name
        order.carrier_standard_code = checked.carrier_standard_code
        order.tracking_number, order.tracking_url = checked.tracking_number, checked.tracking_url
        self.touch(order)

    def check_tracking(self, tracking: Tracking, *, number_needed: bool) -> Tracking:
        """Complete tracking details from the registered carriers; raises RefusedError where they are not allowed."""
        code = tracking.carrier_code
        if code is None and tracking.carrier_standard_code is not None:
            code = next((c.code for c in CARRIERS if c.standard_code == tracking.carrier_standard_code), None)
        if code is not None:
            carrier = CARRIER_BY_CODE.get(code)
            if carrier is None:
                raise RefusedError(f"The carrier with code '{code}' does not exist.", field="carrier_code")
            if not tracking.tracking_number:
                if number_needed:
                    raise RefusedError(
                        f"The tracking number is mandatory for the carrier '{code}'.", field="tracking_number"
                    )
                return Tracking(carrier.code, carrier.label, carrier.standard_code)
            url = carrier.tracking_url.replace("{trackingId}", tracking.tracking_number)
            return Tracking(carrier.code, carrier.label, carrier.standard_code, tracking.tracking_number, url)
        if not tracking.carrier_name:
            raise RefusedError("The carrier code or the carrier name is required.", field="carrier_code")
        if not self.world.config.alternative_carriers:
            raise RefusedError("Unregistered carriers are not allowed.", field="carrier_name")
        return tracking

    def ship(self, order_id: str) -> None:
        """Confirm the whole order as shipped (OR24)."""
        order = self.order(order_id)
        order.despatch_confirmations += 1
        if order.state != "SHIPPING":
            raise RefusedError(f"The order status must be 'SHIPPING' but it is '{order.state}'.")
        if not order.tracking_number:
            raise RefusedError("Tracking details are mandatory for this shipping method.")
        if order_id in self.unheard:
            return
        for line in order.active_lines():
            line.shipped_quantity = line.quantity
        self._shipped(order)

    def _shipped(self, order: Order) -> None:
        now = self.world.clock.now()
        order.shipped_at = now
        for line in order.active_lines():
            line.shipped_at = now
        self._set_state(order, "SHIPPED")
        days = self.world.chance.of("receive", order.id).uniform(2, 4)
        self.world.timeline.after(self.world.paced(timedelta(days=days)), self.receive, order.id)

    def receive(self, order_id: str) -> None:
        """The operator marks the order received: its money becomes payable; it closes after the operator's delay."""
        order = self.orders[order_id]
        if order.state not in {"SHIPPING", "SHIPPED"}:
            return
        now = self.world.clock.now()
        for line in order.active_lines():
            line.received_at = now
        self._set_state(order, "RECEIVED")
        for line in order.active_lines():
            if line.state != "INCIDENT_OPEN":
                self.world.accounting.release(line)
        self.world.timeline.after(timedelta(days=self.world.config.close_after_days), self.close, order.id)
        self.world.customers.order_received(order)

    def close(self, order_id: str) -> None:
        """The operator closes a received order; one with an open incident stays."""
        order = self.orders[order_id]
        if order.state == "RECEIVED" and not order.has_incident():
            self._set_state(order, "CLOSED")

    def _set_state(self, order: Order, state: str) -> None:
        order.state = state
        for line in order.active_lines():
            if line.state not in {"REFUNDED", "INCIDENT_OPEN"}:
                line.state = state
        self.touch(order, *order.lines)

    # -- OR29, OR30 ------------------------------------------------------------------------------------------------------------

    def can_cancel(self, order: Order) -> bool:
        """Whether the order can still be cancelled: the customer is not debited."""
        return order.state in BEFORE_DEBIT

    def cancel(self, order_id: str) -> None:
        """Cancel the whole order (OR29)."""
        order = self.order(order_id)
        if not self.can_cancel(order):
            raise RefusedError(f"The order cannot be canceled: its status is '{order.state}'.")
        for line in order.active_lines():
            self._cancel_line(line, line.quantity, line.price_minor, line.shipping_minor, "34")
            line.state = "CANCELED"
        order.state = "CANCELED"
        self.touch(order, *order.lines)

    def cancel_debited(self, order_id: str) -> None:
        """The operator cancels an order that the customer has paid, whatever has left of it."""
        order = self.order(order_id)
        for line in order.active_lines():
            line.state = "CANCELED"
        order.state = "CANCELED"
        self.touch(order, *order.lines)

    def cancel_lines(self, wishes: Sequence[CancelationWish]) -> list[tuple[CancelationWish, Cancelation]]:
        """Cancel parts of lines before the debit (OR30); all or nothing."""
        for wish in wishes:
            order, line = self.find_line(wish.line_id)
            check_reason(wish.reason_code, "CANCELATION")
            if not self.can_cancel(order):
                raise RefusedError(f"Order line '{line.id}' cannot be canceled: the order status is '{order.state}'.")
            if wish.quantity < 1 or wish.quantity > line.quantity or wish.amount_minor > line.price_minor:
                raise RefusedError(f"The cancelation exceeds what is left of order line '{line.id}'.")
            if wish.shipping_minor > line.shipping_minor:
                raise RefusedError(f"The shipping amount exceeds what is left of order line '{line.id}'.")
        done = []
        for wish in wishes:
            order, line = self.find_line(wish.line_id)
            cancelation = self._cancel_line(
                line, wish.quantity, wish.amount_minor, wish.shipping_minor, wish.reason_code
            )
            if line.quantity == 0:
                line.state = "CANCELED"
            if not order.active_lines():
                order.state = "CANCELED"
            self.touch(order, line)
            done.append((wish, cancelation))
        return done

    def _cancel_line(self, line: OrderLine, quantity: int, amount: int, shipping: int, reason: str) -> Cancelation:
        base = line.price_minor + line.shipping_minor
        part = amount + shipping
        commission = share(line.commission_minor, part, base) if base else 0
        commission_vat = share(line.commission_vat_minor, part, base) if base else 0
        taxes = {
            tax.code: share(tax.amount_minor, amount, line.price_minor) if line.price_minor else 0 for tax in line.taxes
        }
        shipping_taxes = {
            tax.code: share(tax.amount_minor, shipping, line.shipping_minor) if line.shipping_minor else 0
            for tax in line.shipping_taxes
        }
        for tax in line.taxes:
            tax.amount_minor -= taxes[tax.code]
        for tax in line.shipping_taxes:
            tax.amount_minor -= shipping_taxes[tax.code]
        line.price_minor -= amount
        line.shipping_minor -= shipping
        line.quantity -= quantity
        line.commission_minor -= commission
        line.commission_vat_minor -= commission_vat
        made = Cancelation(
            str(self.world.chance.number("cancelation", 70_001)),
            amount,
            shipping,
            taxes,
            shipping_taxes,
            quantity,
            reason,
            self.world.clock.now(),
            commission,
            commission_vat,
        )
        line.cancelations.append(made)
        return made

    def find_line(self, line_id: str) -> tuple[Order, OrderLine]:
        """The order and line of a line id, or RefusedError."""
        order_id = self.order_of_line.get(line_id)
        line = self.orders[order_id].line(line_id) if order_id else None
        if order_id is None or line is None:
            raise RefusedError(f"Order line with id '{line_id}' not found.", field="order_line_id")
        return self.orders[order_id], line

    # -- incidents ---------------------------------------------------------------------------------------------------------------

    def open_incident(self, line_id: str, reason_code: str) -> None:
        """A customer opens an incident: the line's money waits until it is closed (by the operator after 10 days at the latest)."""
        order, line = self.find_line(line_id)
        if line.state not in {"SHIPPED", "RECEIVED"}:
            return
        line.state, line.incident_reason = "INCIDENT_OPEN", reason_code
        self.world.accounting.hold(line)
        self.touch(order, line)
        self.world.timeline.after(timedelta(days=INCIDENT_DAYS_MAX), self.close_incident, line_id)

    def resolve_incident(self, order_id: str, line_id: str, reason_code: str) -> None:
        """The shop says it is solved (OR64); the operator closes it an hour later."""
        line = self.order(order_id).line(line_id)
        if line is None:
            raise RefusedError(f"Order line with id '{line_id}' not found.", status=404)
        check_reason(reason_code, "INCIDENT_CLOSE")
        if line.state != "INCIDENT_OPEN":
            raise RefusedError(f"The order line status must be 'INCIDENT_OPEN' but it is '{line.state}'.")
        self.world.timeline.after(timedelta(hours=1), self.close_incident, line_id)

    def close_incident(self, line_id: str) -> None:
        """The operator closes an incident; nothing where none is open."""
        order, line = self.find_line(line_id)
        if line.state != "INCIDENT_OPEN":
            return
        line.state, line.incident_reason = order.state, None
        if line.received_at is not None:
            self.world.accounting.release(line)
        self.touch(order, line)

    # -- ST01, ST24 ----------------------------------------------------------------------------------------------------------------

    def create_shipment(
        self,
        order_id: str,
        quantities: Mapping[str, int],
        tracking: Tracking | None,
        *,
        shipped: bool,
        invoice: str | None,
        packages: Mapping[str, str] = MappingProxyType({}),
    ) -> Shipment:
        """Create one parcel of an order (ST01); raises RefusedError with the documented texts."""
        order = self.order(order_id)
        if order.state != "SHIPPING":
            raise RefusedError(f"The order status must be 'SHIPPING' but it is '{order.state}'.")
        planned = self._planned_quantities(order)
        for line_id, quantity in quantities.items():
            line = order.line(line_id)
            if line is None:
                raise RefusedError(f"Order line with id '{line_id}' not found.")
            if quantity < 1 or planned.get(line_id, 0) + quantity > line.quantity:
                raise RefusedError("Shipment quantity is invalid.")
        checked = self.check_tracking(tracking, number_needed=True) if tracking else None
        if shipped and checked is None:
            raise RefusedError("Tracking details are mandatory for this shipping method.")
        now = self.world.clock.now()
        made = Shipment(
            self.world.chance.uuid("shipment"),
            order_id,
            dict(quantities),
            now,
            now,
            invoice_reference=invoice,
            packages=dict(packages),
        )
        if checked is not None:
            made.carrier_code, made.carrier_name = checked.carrier_code, checked.carrier_name
            made.carrier_standard_code = checked.carrier_standard_code
            made.tracking_number, made.tracking_url = checked.tracking_number, checked.tracking_url
        self.shipments[made.id] = made
        self.shipments_of_order.setdefault(order_id, []).append(made.id)
        self.shipment_changes.add(now, made.id)
        self.touch(order)
        if shipped:
            self.ship_shipment(made.id)
        return made

    def _planned_quantities(self, order: Order) -> dict[str, int]:
        planned: dict[str, int] = {}
        for key in self.shipments_of_order.get(order.id, ()):
            for line_id, quantity in self.shipments[key].quantities.items():
                planned[line_id] = planned.get(line_id, 0) + quantity
        return planned

    def ship_shipment(self, shipment_id: str) -> None:
        """Confirm one parcel as shipped (ST24, or ST01 with shipped=true); the last one makes the order SHIPPED."""
        shipment = self.shipments.get(shipment_id)
        if shipment is None:
            raise RefusedError(f"No shipment with id '{shipment_id}'.")
        if shipment.state != "SHIPPING":
            raise RefusedError(f"The shipment status must be 'SHIPPING' but it is '{shipment.state}'.")
        if not shipment.tracking_number:
            raise RefusedError("Tracking details are mandatory for this shipping method.")
        now = self.world.clock.now()
        shipment.state, shipment.shipped_at, shipment.updated_at = "SHIPPED", now, now
        self.shipment_changes.add(now, shipment.id)
        order = self.orders[shipment.order_id]
        order.despatch_confirmations += 1
        for line_id, quantity in shipment.quantities.items():
            line = order.line(line_id)
            if line is not None:
                line.shipped_quantity += quantity
        self.touch(order)
        if all(line.shipped_quantity >= line.quantity for line in order.active_lines()):
            self._shipped(order)


def check_reason(code: str, kind: str) -> None:
    """Refuse a reason that does not exist, is of another type, or that a shop may not use."""
    reason = REASON_BY_CODE.get(code)
    if reason is None or reason.type != kind:
        raise RefusedError(f"The reason with code '{code}' is not of type {kind}.", field="reason_code")
    if not reason.is_shop_right:
        raise RefusedError(f"The reason with code '{code}' cannot be used by a shop.", field="reason_code")
