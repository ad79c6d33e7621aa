"""The marketplace's accounting: transaction log, balances, billing cycles, invoices.

Here: what is booked when, and how a cycle sweeps it. Not here: when orders are received or refunds paid (marketplace.py,
refunds.py call in), JSON. Invariant: for every cycle, the sum of its lines without PAYMENT equals amount_transferred_to_seller,
and a line belongs to at most one cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from marketplace_returns.sandbox.entities import Order, OrderLine, Refund
from marketplace_returns.sandbox.money import half_even
from marketplace_returns.sandbox.timeline import Changes

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

VAT_CODE = "VAT20"

# summary field stem -> (types of the _excl_tax amount, further types of the _incl_tax amount)
SUMMARY_PAIRS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "total_commissions": (("COMMISSION_FEE",), ("COMMISSION_VAT",)),
    "total_fee": (("ORDER_FEE_AMOUNT",), ()),
    "total_fee_operator_remitted": (("OPERATOR_REMITTED_ORDER_FEE_AMOUNT",), ()),
    "total_non_payable_orders": ((), ()),
    "total_operator_paid_shipping_charges": (
        ("OPERATOR_PAID_ORDER_SHIPPING_AMOUNT",),
        ("OPERATOR_PAID_ORDER_SHIPPING_AMOUNT_TAX",),
    ),
    "total_other_credits": (("MANUAL_CREDIT",), ("MANUAL_CREDIT_VAT",)),
    "total_other_invoices": (("MANUAL_INVOICE",), ("MANUAL_INVOICE_VAT",)),
    "total_payable_orders": (
        ("ORDER_AMOUNT", "ORDER_SHIPPING_AMOUNT"),
        ("ORDER_AMOUNT_TAX", "ORDER_SHIPPING_AMOUNT_TAX"),
    ),
    "total_refund_commissions": (("REFUND_COMMISSION_FEE",), ("REFUND_COMMISSION_VAT",)),
    "total_refund_fee": (("REFUND_ORDER_FEE_AMOUNT",), ()),
    "total_refund_fee_operator_remitted": (("OPERATOR_REMITTED_REFUND_ORDER_FEE_AMOUNT",), ()),
    "total_refund_non_payable_orders": ((), ()),
    "total_refund_operator_paid_shipping_charges": (
        ("OPERATOR_PAID_REFUND_ORDER_SHIPPING_AMOUNT",),
        ("OPERATOR_PAID_REFUND_ORDER_SHIPPING_AMOUNT_TAX",),
    ),
    "total_refund_orders": (
        ("REFUND_ORDER_AMOUNT", "REFUND_ORDER_SHIPPING_AMOUNT"),
        ("REFUND_ORDER_AMOUNT_TAX", "REFUND_ORDER_SHIPPING_AMOUNT_TAX"),
    ),
    "total_refund_payable_orders": (
        ("REFUND_ORDER_AMOUNT", "REFUND_ORDER_SHIPPING_AMOUNT"),
        ("REFUND_ORDER_AMOUNT_TAX", "REFUND_ORDER_SHIPPING_AMOUNT_TAX"),
    ),
    "total_seller_fees_on_orders": (("SELLER_FEE_ON_ORDER",), ("SELLER_FEE_ON_ORDER_TAX",)),
    "total_seller_penalty_fees": (("SELLER_PENALTY_FEE",), ("SELLER_PENALTY_FEE_TAX",)),
    "total_subscription": (("SUBSCRIPTION_FEE",), ("SUBSCRIPTION_VAT",)),
}
SUMMARY_SINGLES: dict[str, tuple[str, ...]] = {
    "total_operator_remitted_taxes": (
        "OPERATOR_REMITTED_ORDER_AMOUNT_TAX",
        "OPERATOR_REMITTED_ORDER_SHIPPING_AMOUNT_TAX",
    ),
    "total_refund_operator_remitted_taxes": (
        "OPERATOR_REMITTED_REFUND_ORDER_AMOUNT_TAX",
        "OPERATOR_REMITTED_REFUND_ORDER_SHIPPING_AMOUNT_TAX",
    ),
    "total_purchase_taxes": ("PURCHASE_ORDER_AMOUNT_TAX", "PURCHASE_ORDER_SHIPPING_AMOUNT_TAX"),
    "total_refund_purchase_taxes": ("REFUND_PURCHASE_ORDER_AMOUNT_TAX", "REFUND_PURCHASE_ORDER_SHIPPING_AMOUNT_TAX"),
}
# what the marketplace charges, and so what its own invoice lists
INVOICED = {
    "COMMISSION_FEE": ("Commissions", "COMMISSION_VAT"),
    "REFUND_COMMISSION_FEE": ("Refunded commissions", "REFUND_COMMISSION_VAT"),
    "SUBSCRIPTION_FEE": ("Subscription", "SUBSCRIPTION_VAT"),
    "SELLER_PENALTY_FEE": ("Penalty fees", "SELLER_PENALTY_FEE_TAX"),
}


@dataclass(slots=True)
class LedgerLine:
    """One transaction-log line; amount in minor units, + to the seller."""

    id: str
    type: str
    amount_minor: int
    state: str
    created_at: datetime
    updated_at: datetime
    balance_minor: int
    order_id: str | None = None
    line_id: str | None = None
    refund_id: str | None = None
    tax_code: str | None = None
    cycle_id: str | None = None
    document_id: str | None = None
    document_number: str | None = None
    document_at: datetime | None = None
    manual_document: str | None = None
    transaction_number: str | None = None
    transaction_at: datetime | None = None


@dataclass(slots=True)
class Cycle:
    """One billing cycle (SBC11); the summary maps the 40 field names to minor units."""

    id: str
    created_at: datetime
    amount_minor: int
    summary: dict[str, int]
    voucher: str
    state: str = "TO_PAY"
    reference: str | None = None
    paid_at: datetime | None = None


@dataclass(slots=True)
class InvoiceDetail:
    """One position of an invoice, minor units."""

    description: str
    excl_minor: int
    tax_minor: int
    quantity: int = 1


@dataclass(slots=True)
class Invoice:
    """An accounting document (IV01)."""

    invoice_id: int
    id: str
    type: str
    created_at: datetime
    details: list[InvoiceDetail]
    cycle_id: str | None = None
    start_at: datetime | None = None
    payment_state: str = "PENDING"
    payment_reference: str | None = None
    paid_at: datetime | None = None


@dataclass(slots=True)
class _Balances:
    minor: dict[str, int] = field(default_factory=lambda: {"PENDING": 0, "PAYABLE": 0, "PAID": 0})


class Accounting:
    """The books of one shop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lines: dict[str, LedgerLine] = {}
        self.changes = Changes()
        self.lines_of_cycle: dict[str, list[str]] = {}
        self.lines_of_order_line: dict[str, list[str]] = {}
        self.cycles: dict[str, Cycle] = {}
        self.invoices: list[Invoice] = []
        self.paid_out_minor = 0
        self.commission_credits_to_skip = 0  # planted: see plants.py
        self._payable: dict[str, None] = {}
        self._held: dict[str, dict[str, None]] = {}
        self._balances = _Balances()
        self._running_minor = 0
        self._last_cycle_at = world.config.start

    def begin(self) -> None:
        """Plan the cycles, the monthly subscription, one penalty and one credit."""
        start = self.world.config.start
        self._plan_cycle(start)
        timeline = self.world.timeline
        timeline.at(start + timedelta(hours=6), self._charge_subscription)
        timeline.at(start + timedelta(days=7, hours=10), self._charge_penalty)
        timeline.at(start + timedelta(days=14, hours=15), self._grant_credit)

    # -- balances ------------------------------------------------------------------------------------------------------

    @property
    def pending_minor(self) -> int:
        """Money of orders not yet received (or with an open incident)."""
        return self._balances.minor["PENDING"]

    @property
    def payable_minor(self) -> int:
        """Money that the next cycle would pay out."""
        return self._balances.minor["PAYABLE"]

    # -- booking ---------------------------------------------------------------------------------------------------------

    def book_order_line(self, order: Order, line: OrderLine) -> None:
        """Book a line at the customer's debit; everything is PENDING until it is received."""
        self._book("ORDER_AMOUNT", line.price_minor, order, line)
        if line.shipping_minor:
            self._book("ORDER_SHIPPING_AMOUNT", line.shipping_minor, order, line)
        if self.world.config.tax_mode == "TAX_EXCLUDED":
            for tax in line.taxes:
                self._book("ORDER_AMOUNT_TAX", tax.amount_minor, order, line, tax_code=tax.code)
            for tax in line.shipping_taxes:
                if tax.amount_minor:
                    self._book("ORDER_SHIPPING_AMOUNT_TAX", tax.amount_minor, order, line, tax_code=tax.code)
        self._book("COMMISSION_FEE", -line.commission_minor, order, line)
        self._book("COMMISSION_VAT", -line.commission_vat_minor, order, line, tax_code=VAT_CODE)

    def book_refund(self, order: Order, line: OrderLine, refund: Refund) -> None:
        """Book a refund once it is paid, with the commission given back."""
        if refund.amount_minor:
            self._book("REFUND_ORDER_AMOUNT", -refund.amount_minor, order, line, refund)
        if refund.shipping_minor:
            self._book("REFUND_ORDER_SHIPPING_AMOUNT", -refund.shipping_minor, order, line, refund)
        if self.world.config.tax_mode == "TAX_EXCLUDED":
            for code, amount in refund.taxes.items():
                if amount:
                    self._book("REFUND_ORDER_AMOUNT_TAX", -amount, order, line, refund, tax_code=code)
            for code, amount in refund.shipping_taxes.items():
                if amount:
                    self._book("REFUND_ORDER_SHIPPING_AMOUNT_TAX", -amount, order, line, refund, tax_code=code)
        if refund.commission_minor and self.commission_credits_to_skip:
            self.commission_credits_to_skip -= 1
            return
        if refund.commission_minor:
            self._book("REFUND_COMMISSION_FEE", refund.commission_minor, order, line, refund)
        if refund.commission_vat_minor:
            self._book("REFUND_COMMISSION_VAT", refund.commission_vat_minor, order, line, refund, tax_code=VAT_CODE)

    def release(self, line: OrderLine) -> None:
        """Make a received line's money PAYABLE."""
        for key in list(self._held.pop(line.id, ())):
            self._set_state(self.lines[key], "PAYABLE")
            self._payable[key] = None

    def hold(self, line: OrderLine) -> None:
        """An incident opened: what no cycle has taken yet goes back to PENDING."""
        held = self._held.setdefault(line.id, {})
        for key in self.lines_of_order_line.get(line.id, ()):
            if key in self._payable:
                del self._payable[key]
                self._set_state(self.lines[key], "PENDING")
                held[key] = None

    def remove(self, key: str) -> LedgerLine:
        """Take a line that no cycle has swept out of the log (an anomaly for tests); raises ValueError when it was swept."""
        line = self.lines[key]
        if line.cycle_id is not None:
            raise ValueError(f"transaction {key} already belongs to billing cycle {line.cycle_id}")
        del self.lines[key]
        self._payable.pop(key, None)
        self._balances.minor[line.state] -= line.amount_minor
        if line.line_id is not None:
            self.lines_of_order_line[line.line_id].remove(key)
            self._held.get(line.line_id, {}).pop(key, None)
        return line

    def _book(
        self,
        kind: str,
        amount_minor: int,
        order: Order | None = None,
        line: OrderLine | None = None,
        refund: Refund | None = None,
        *,
        tax_code: str | None = None,
        state: str | None = None,
    ) -> LedgerLine:
        now = self.world.clock.now()
        if state is None:
            received = line is None or (line.received_at is not None and line.state != "INCIDENT_OPEN")
            state = "PAYABLE" if received else "PENDING"
        self._running_minor += amount_minor
        booked = LedgerLine(
            self.world.chance.uuid("ledger"),
            kind,
            amount_minor,
            state,
            now,
            now,
            self._running_minor,
            order_id=order.id if order else None,
            line_id=line.id if line else None,
            refund_id=refund.id if refund else None,
            tax_code=tax_code,
        )
        if refund is not None:
            booked.transaction_number, booked.transaction_at = refund.transaction_number, refund.transaction_at
        elif order is not None:
            booked.transaction_number, booked.transaction_at = order.transaction_number, order.debited_at
        self.lines[booked.id] = booked
        self.changes.add(now, booked.id)
        self._balances.minor[state] += amount_minor
        if line is not None:
            self.lines_of_order_line.setdefault(line.id, []).append(booked.id)
        if state == "PAYABLE":
            self._payable[booked.id] = None
        elif state == "PENDING" and line is not None:
            self._held.setdefault(line.id, {})[booked.id] = None
        return booked

    def _set_state(self, line: LedgerLine, state: str) -> None:
        self._balances.minor[line.state] -= line.amount_minor
        self._balances.minor[state] += line.amount_minor
        line.state = state
        line.updated_at = self.world.clock.now()
        self.changes.add(line.updated_at, line.id)

    # -- fees ------------------------------------------------------------------------------------------------------------

    def _vat(self, amount_minor: int) -> int:
        return half_even(amount_minor * self.world.config.vat_rate_percent, 100)

    def charge(self, kind: str, amount_minor: int, *, created_at: datetime | None = None) -> LedgerLine:
        """Book a fee of any kind, outside of orders; `created_at` where it is entered later than it is dated."""
        booked = self._book(kind, -amount_minor)
        booked.created_at = created_at or booked.created_at
        return booked

    def _charge_subscription(self) -> None:
        amount = self.world.config.subscription_minor
        self._book("SUBSCRIPTION_FEE", -amount)
        self._book("SUBSCRIPTION_VAT", -self._vat(amount), tax_code=VAT_CODE)
        following = (self.world.clock.now().replace(day=1) + timedelta(days=32)).replace(day=1)
        self.world.timeline.at(following, self._charge_subscription)

    def _charge_penalty(self) -> None:
        amount = self.world.config.penalty_minor
        self._book("SELLER_PENALTY_FEE", -amount)
        self._book("SELLER_PENALTY_FEE_TAX", -self._vat(amount), tax_code=VAT_CODE)

    def _grant_credit(self) -> None:
        amount = self.world.config.credit_minor
        document = self._document("MANUAL_CREDIT", [InvoiceDetail("Commercial gesture", amount, self._vat(amount))])
        for kind, part, code in (("MANUAL_CREDIT", amount, None), ("MANUAL_CREDIT_VAT", self._vat(amount), VAT_CODE)):
            line = self._book(kind, part, tax_code=code)
            line.manual_document = f"MC{document.invoice_id}"

    # -- cycles ----------------------------------------------------------------------------------------------------------

    def _plan_cycle(self, after: datetime) -> None:
        day = after.date()
        while True:
            instant = datetime.combine(day, time(0, 10), tzinfo=after.tzinfo)
            if day.day in self.world.config.cycle_days and instant > after:
                self.world.timeline.at(instant, self._run_cycle)
                return
            day += timedelta(days=1)

    def _run_cycle(self) -> None:
        """Sweep every PAYABLE line, both signs, if the total is above zero."""
        now = self.world.clock.now()
        self._plan_cycle(now)
        total = sum(self.lines[key].amount_minor for key in self._payable)
        if total <= 0:
            return
        keys = list(self._payable)
        self._payable.clear()
        cycle_id = self.world.chance.uuid("cycle")
        sums: dict[str, int] = {}
        for key in keys:
            line = self.lines[key]
            sums[line.type] = sums.get(line.type, 0) + line.amount_minor
        invoice = self._document("AUTO_INVOICE", _invoice_details(sums), cycle_id, self._last_cycle_at)
        for key in keys:
            line = self.lines[key]
            line.cycle_id = cycle_id
            line.document_id, line.document_number, line.document_at = invoice.id, f"INV{invoice.invoice_id}", now
            self._set_state(line, "PAID")
        self.lines_of_cycle[cycle_id] = keys
        voucher = f"PV{self.world.chance.number('voucher'):06d}"
        self.cycles[cycle_id] = Cycle(cycle_id, now, total, summarise(sums), voucher)
        self._last_cycle_at = now
        self.world.timeline.after(timedelta(days=2, hours=9), self._pay_out, cycle_id)

    def _pay_out(self, cycle_id: str) -> None:
        """The bank transfer: the cycle is PAID and one PAYMENT line of minus the amount is booked under the same cycle."""
        cycle = self.cycles[cycle_id]
        now = self.world.clock.now()
        cycle.state, cycle.paid_at = "PAID", now
        cycle.reference = f"PAYOUT{self.world.chance.number('payout'):06d}"
        payment = self._book("PAYMENT", -cycle.amount_minor, state="PAID")
        payment.cycle_id = cycle_id
        payment.transaction_number, payment.transaction_at = cycle.reference, now
        self.lines_of_cycle[cycle_id].append(payment.id)
        self.paid_out_minor += cycle.amount_minor
        for invoice in self.invoices:
            if invoice.cycle_id == cycle_id:
                invoice.payment_state, invoice.payment_reference, invoice.paid_at = "PAID", cycle.reference, now

    def _document(
        self, kind: str, details: list[InvoiceDetail], cycle_id: str | None = None, start_at: datetime | None = None
    ) -> Invoice:
        invoice = Invoice(
            self.world.chance.number("invoice", 30_001),
            self.world.chance.uuid("document"),
            kind,
            self.world.clock.now(),
            details,
            cycle_id,
            start_at,
        )
        self.invoices.append(invoice)
        return invoice


def summarise(sums: dict[str, int]) -> dict[str, int]:
    """The 40 summary fields of a cycle from its sums by transaction type; deductions stay negative."""
    summary = {}
    for stem, (excl, incl) in SUMMARY_PAIRS.items():
        net = sum(sums.get(kind, 0) for kind in excl)
        summary[f"{stem}_excl_tax"] = net
        summary[f"{stem}_incl_tax"] = net + sum(sums.get(kind, 0) for kind in incl)
    for name, kinds in SUMMARY_SINGLES.items():
        summary[name] = sum(sums.get(kind, 0) for kind in kinds)
    return summary


def _invoice_details(sums: dict[str, int]) -> list[InvoiceDetail]:
    return [
        InvoiceDetail(description, -sums[kind], -sums.get(tax, 0))
        for kind, (description, tax) in INVOICED.items()
        if kind in sums
    ]
