"""Refunds of order lines (OR28) from the request to the payment.

Here: what may be refunded, the amounts Mirakl computes (proportional taxes, commission given back), the states of a refund. Not
here: whether the goods came back (a return never refunds, and a refund never asks), JSON. Invariant: per line, refunds never
exceed price, shipping or any tax; a refused call creates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from marketplace_returns.sandbox.entities import Order, OrderLine, Refund, Tax
from marketplace_returns.sandbox.marketplace import DEBITED, check_reason
from marketplace_returns.sandbox.money import half_even, share
from marketplace_returns.sandbox.refusals import RefusedError

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

REFUNDABLE_STATES = ("SHIPPING", "SHIPPED", "RECEIVED")


@dataclass(frozen=True, slots=True)
class RefundWish:
    """One item of OR28, minor units; taxes by code, None where the client sent none."""

    line_id: str
    amount_minor: int
    shipping_minor: int
    reason_code: str
    quantity: int = 0
    taxes: Mapping[str, int] | None = None
    shipping_taxes: Mapping[str, int] | None = None
    excluded_from_shipment: bool = False


@dataclass(slots=True)
class _Pending:
    """What the earlier items of the same call take from a line."""

    amount: int = 0
    shipping: int = 0
    total: dict[str, int] = field(default_factory=dict)


class Refunds:
    """All refunds of the shop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.by_id: dict[str, Refund] = {}
        self.held: dict[str, str] = {}
        """Order lines of which no refund is taken by API at the moment, and the operator's words for it."""
        self._waiting_minor = 0

    def refund(self, wishes: Sequence[RefundWish], origin: str = "api") -> list[Refund]:
        """Create refunds, all or none (OR28); raises RefusedError with the documented texts.

        `origin` says who does it: api, portal, plant, or the operator, who may in any state of the order.

        Refunds of one order in one call share an `order_refund_id`. Taxes under PROPORTIONAL_TO_AMOUNT are computed when not
        sent; under NONE a tax that is not sent is not refunded.
        """
        if not wishes:
            raise RefusedError("Error with field refunds. Please check the field datatype.", field="refunds")
        pending: dict[str, _Pending] = {}
        for wish in wishes:
            self._check(wish, pending.setdefault(wish.line_id, _Pending()), origin)
        self._check_balance(wishes)
        groups: dict[str, str] = {}
        made = []
        for wish in wishes:
            order, line = self.world.marketplace.find_line(wish.line_id)
            group = groups.setdefault(order.id, "") or self.world.chance.uuid("order_refund")
            groups[order.id] = group
            made.append(self._create(order, line, wish, group, origin))
        return made

    def _check(self, wish: RefundWish, pending: _Pending, origin: str) -> None:
        order, line = self.world.marketplace.find_line(wish.line_id)
        check_reason(wish.reason_code, "REFUND")
        if line.debited_at is None:
            raise RefusedError(f"The order line '{line.id}' has not been debited yet.")
        if origin == "api" and line.id in self.held:
            raise RefusedError(self.held[line.id])
        if origin != "operator" and order.state not in REFUNDABLE_STATES:
            states = ", ".join(REFUNDABLE_STATES)
            raise RefusedError(f"The order status must be one of {states} but it is '{order.state}'.")
        if wish.amount_minor < 0 or wish.shipping_minor < 0:
            raise RefusedError("A refund amount cannot be negative.", field="amount")
        taxed = any(wish.taxes or ()) or any(wish.shipping_taxes or ())
        if wish.amount_minor + wish.shipping_minor == 0 and not taxed:
            raise RefusedError("A refund amount must be above 0.", field="amount")
        pending.amount += wish.amount_minor
        pending.shipping += wish.shipping_minor
        if line.refunded_minor() + pending.amount > line.price_minor:
            raise RefusedError(
                f"The refund amount exceeds what is left to refund on order line '{line.id}'.", field="amount"
            )
        if line.refunded_shipping_minor() + pending.shipping > line.shipping_minor:
            raise RefusedError(
                f"The refund shipping amount exceeds what is left to refund on order line '{line.id}'.",
                field="shipping_amount",
            )
        if not self.world.config.partial_refunds and wish.amount_minor < line.price_minor:
            raise RefusedError("Partial refunds are not allowed on this platform.")
        self._check_taxes(line, line.taxes, wish.taxes, pending, "taxes")
        self._check_taxes(line, line.shipping_taxes, wish.shipping_taxes, pending, "shipping_taxes")

    def _check_taxes(
        self, line: OrderLine, taxes: Sequence[Tax], sent: Mapping[str, int] | None, pending: _Pending, name: str
    ) -> None:
        known = {tax.code: tax for tax in taxes}
        for code, amount in (sent or {}).items():
            if code not in known:
                raise RefusedError(f"The tax with code '{code}' does not exist on order line '{line.id}'.", field=name)
            key = f"{name}:{code}"
            pending.total[key] = pending.total.get(key, 0) + amount
            done = line.refunded_tax_minor(code) if name == "taxes" else line.refunded_shipping_tax_minor(code)
            if amount < 0 or done + pending.total[key] > known[code].amount_minor:
                raise RefusedError(
                    f"The amount of tax '{code}' exceeds what is left to refund on order line '{line.id}'.", field=name
                )

    def _check_balance(self, wishes: Sequence[RefundWish]) -> None:
        if not self.world.config.balance_check:
            return
        accounting = self.world.accounting
        wanted = {"payable": 0, "pending": 0}
        for wish in wishes:
            order, _ = self.world.marketplace.find_line(wish.line_id)
            side = "payable" if order.state == "RECEIVED" else "pending"
            wanted[side] += wish.amount_minor + wish.shipping_minor
        if wanted["payable"] and wanted["payable"] + self._waiting_minor > accounting.payable_minor:
            raise RefusedError("The shop does not have a sufficient payable balance for the refund")
        if wanted["pending"] and wanted["pending"] > accounting.pending_minor:
            raise RefusedError("The shop does not have a sufficient pending balance for the refund")

    def _create(self, order: Order, line: OrderLine, wish: RefundWish, group: str, origin: str) -> Refund:
        world = self.world
        base = line.price_minor + line.shipping_minor
        part = wish.amount_minor + wish.shipping_minor
        commission = share(line.commission_minor, part, base) if base else 0
        refund = Refund(
            id=str(world.chance.number("refund", 100_001)),
            order_refund_id=group,
            order_id=order.id,
            line_id=line.id,
            amount_minor=wish.amount_minor,
            shipping_minor=wish.shipping_minor,
            taxes={
                tax.code: self._tax_part(
                    tax,
                    wish.taxes,
                    line.refunded_minor() + wish.amount_minor,
                    line.price_minor,
                    line.refunded_tax_minor(tax.code),
                )
                for tax in line.taxes
            },
            shipping_taxes={
                tax.code: self._tax_part(
                    tax,
                    wish.shipping_taxes,
                    line.refunded_shipping_minor() + wish.shipping_minor,
                    line.shipping_minor,
                    line.refunded_shipping_tax_minor(tax.code),
                )
                for tax in line.shipping_taxes
            },
            quantity=wish.quantity,
            reason_code=wish.reason_code,
            created_at=world.clock.now(),
            commission_minor=commission,
            commission_vat_minor=half_even(commission * world.config.vat_rate_percent, 100),
            origin=origin,
        )
        line.refunds.append(refund)
        self.by_id[refund.id] = refund
        if order.state == "RECEIVED":
            self._waiting_minor += part
        world.marketplace.touch(order, line)
        world.timeline.after(timedelta(minutes=10), self._ask_payment, refund.id)
        minutes = world.chance.of("refund_payment", refund.id).randint(60, 180)
        world.timeline.after(timedelta(minutes=minutes), self._confirm_payment, refund.id)
        return refund

    @staticmethod
    def _tax_part(tax: Tax, sent: Mapping[str, int] | None, cumulative: int, whole: int, already: int) -> int:
        if sent is not None and tax.code in sent:
            return sent[tax.code]
        if tax.rule == "NONE" or whole == 0:
            return 0
        return max(0, share(tax.amount_minor, cumulative, whole) - already)

    def reverse(self, refund_id: str) -> None:
        """The operator takes a refund back before it is paid: it shows no more. Raises ValueError once it is paid."""
        refund = self.by_id[refund_id]
        if refund.state == "REFUNDED":
            raise ValueError(f"refund {refund_id} is paid and can not be taken back")
        order, line = self.world.marketplace.find_line(refund.line_id)
        line.refunds.remove(refund)
        del self.by_id[refund_id]
        if order.state == "RECEIVED":
            self._waiting_minor = max(0, self._waiting_minor - refund.amount_minor - refund.shipping_minor)
        self.world.marketplace.touch(order, line)

    def _ask_payment(self, refund_id: str) -> None:
        refund = self.by_id.get(refund_id)
        if refund is None:  # taken back
            return
        order, line = self.world.marketplace.find_line(refund.line_id)
        refund.state = "WAITING_REFUND_PAYMENT"
        self.world.marketplace.touch(order, line)

    def _confirm_payment(self, refund_id: str) -> None:
        refund = self.by_id.get(refund_id)
        if refund is None:  # taken back
            return
        order, line = self.world.marketplace.find_line(refund.line_id)
        refund.state = "REFUNDED"
        refund.transaction_at = self.world.clock.now()
        refund.transaction_number = f"RF{refund.id}"
        if order.state in DEBITED - {"SHIPPING", "SHIPPED"}:
            self._waiting_minor = max(0, self._waiting_minor - refund.amount_minor - refund.shipping_minor)
        self.world.accounting.book_refund(order, line, refund)
        paid = sum(one.amount_minor for one in line.refunds if one.state == "REFUNDED")
        if paid >= line.price_minor and line.state != "REFUNDED":
            line.state = "REFUNDED"
            if line.received_at is not None:
                self.world.accounting.release(line)
        self.world.marketplace.touch(order, line)
        if all(one.state == "REFUNDED" for one in order.active_lines()):
            # nothing is left to deliver: the operator moves the order on
            self.world.marketplace.receive(order.id)
