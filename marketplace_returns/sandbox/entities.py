"""What the marketplace knows: orders, lines, refunds, shipments, returns.

Here: plain records, no behaviour beyond sums over their own parts. Not here: state changes (marketplace.py,
customer_returns.py), JSON. Invariant: money is integer minor units of the world's currency, instants are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from marketplace_returns.sandbox.catalogue import Product

TaxRule = Literal["PROPORTIONAL_TO_AMOUNT", "NONE"]


@dataclass(slots=True)
class Tax:
    """A tax of a line: in TAX_EXCLUDED on top of the price, in TAX_INCLUDED contained in it."""

    code: str
    rate_percent: int
    rule: TaxRule
    amount_minor: int


@dataclass(slots=True)
class Refund:
    """A refund of one order line; `taxes` maps tax code to minor units; `origin` (api, portal, plant) is the truth's."""

    id: str
    order_refund_id: str
    order_id: str
    line_id: str
    amount_minor: int
    shipping_minor: int
    taxes: dict[str, int]
    shipping_taxes: dict[str, int]
    quantity: int
    reason_code: str
    created_at: datetime
    commission_minor: int
    commission_vat_minor: int
    origin: str
    state: str = "WAITING_REFUND"
    transaction_at: datetime | None = None
    transaction_number: str | None = None


@dataclass(slots=True)
class Cancelation:
    """A quantity taken off a line before the customer was debited."""

    id: str
    amount_minor: int
    shipping_minor: int
    taxes: dict[str, int]
    shipping_taxes: dict[str, int]
    quantity: int
    reason_code: str
    created_at: datetime
    commission_minor: int
    commission_vat_minor: int


@dataclass(slots=True)
class OrderLine:
    """A line of an order; `price_minor` is price without shipping of the quantity that is left."""

    id: str
    index: int
    product: Product
    quantity: int
    unit_minor: int
    price_minor: int
    shipping_minor: int
    taxes: list[Tax]
    shipping_taxes: list[Tax]
    commission_minor: int
    commission_vat_minor: int
    state: str
    updated_at: datetime
    debited_at: datetime | None = None
    shipped_at: datetime | None = None
    received_at: datetime | None = None
    incident_reason: str | None = None
    refunds: list[Refund] = field(default_factory=list)
    cancelations: list[Cancelation] = field(default_factory=list)
    shipped_quantity: int = 0

    def refunded_minor(self) -> int:
        """Product part refunded so far."""
        return sum(refund.amount_minor for refund in self.refunds)

    def refunded_shipping_minor(self) -> int:
        """Shipping part refunded so far."""
        return sum(refund.shipping_minor for refund in self.refunds)

    def refunded_tax_minor(self, code: str) -> int:
        """Product tax of one code refunded so far."""
        return sum(refund.taxes.get(code, 0) for refund in self.refunds)

    def refunded_shipping_tax_minor(self, code: str) -> int:
        """Shipping tax of one code refunded so far."""
        return sum(refund.shipping_taxes.get(code, 0) for refund in self.refunds)


@dataclass(slots=True)
class Order:
    """A logistic order of the shop."""

    id: str
    commercial_id: str
    number: int
    created_at: datetime
    updated_at: datetime
    state: str
    lines: list[OrderLine]
    customer_number: int
    shipping_deadline: datetime
    decided_at: datetime | None = None
    debited_at: datetime | None = None
    transaction_number: str | None = None
    carrier_code: str | None = None
    carrier_name: str | None = None
    carrier_standard_code: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    accept_calls: int = 0
    timed_out: bool = False
    despatch_confirmations: int = 0
    shipped_at: datetime | None = None

    def line(self, line_id: str) -> OrderLine | None:
        """The line with this id, or None."""
        return next((line for line in self.lines if line.id == line_id), None)

    def active_lines(self) -> list[OrderLine]:
        """The lines that count in the order's totals (refused and cancelled ones do not)."""
        return [line for line in self.lines if line.state not in {"REFUSED", "CANCELED"}]

    def has_incident(self) -> bool:
        """Whether any line has an open incident."""
        return any(line.state == "INCIDENT_OPEN" for line in self.lines)


@dataclass(slots=True)
class Shipment:
    """A parcel confirmed with ST01; `quantities` maps order line id to units, `packages` to the seller's reference."""

    id: str
    order_id: str
    quantities: dict[str, int]
    created_at: datetime
    updated_at: datetime
    state: str = "SHIPPING"
    shipped_at: datetime | None = None
    carrier_code: str | None = None
    carrier_name: str | None = None
    carrier_standard_code: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    invoice_reference: str | None = None
    packages: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ReturnLine:
    """A line of an RT return; compliant is None until RT26."""

    order_line_id: str
    sku: str
    quantity: int
    reason_code: str
    compliant: bool | None = None
    non_compliance_reason: str | None = None
    non_compliance_info: str | None = None


@dataclass(slots=True)
class MarketplaceReturn:
    """An RT return; the fields after `tracking_url` are the truth's and shown to no client."""

    id: str
    order_id: str
    order_commercial_id: str
    state: str
    method_code: str
    lines: list[ReturnLine]
    created_at: datetime
    updated_at: datetime
    reason_code: str | None = None
    rejection_reason: str | None = None
    rma: str | None = None
    label_url: str | None = None
    description: str | None = None
    return_address: dict[str, str] | None = None
    carrier_code: str | None = None
    carrier_name: str | None = None
    carrier_standard_code: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    posting_planned: bool = False
    posted_at: datetime | None = None
    arrived_at: datetime | None = None
    inspected_at: datetime | None = None
    outcomes: dict[str, list[str]] = field(default_factory=dict)
