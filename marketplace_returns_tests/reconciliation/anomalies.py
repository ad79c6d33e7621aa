"""Anomalies of every variance code, planted into a generated month, and what a close must then show: that and nothing else.

Here: what is planted, and the row and code that answers to it, written down before anything is closed. Not here: the months
(``generate``), their seeds (``seeds``). The invariant: each anomaly has a line, a refund or a cycle of its own, so that none hides
another; what the marketplace did wrong is in its statements too, what we failed to read is not.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from marketplace_returns.lake.connection import snapshot_of
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns_tests.reconciliation.generate import SHOP, Shape, restate
from marketplace_returns_tests.reconciliation.worlds import World

_T: Final = "lake.core.mirakl__transactions"
_R: Final = "lake.core.mirakl__refunds"
_L: Final = "lake.core.mirakl__order_lines"
_WMS: Final = "lake.core.peoplevox__returns"
_FOREIGN: Final = "CHF"
_LINEAGE: Final = "payload_hash, fetched_at, run_id"

Found = tuple[str, str, str]
"""Where something stands that a person should see: the table, the row's key, the code."""

CODES: Final = {
    "CANCEL_RACE": ("despatch_vs_revenue", "DESPATCHED_NOT_SHIPPED"),
    "COMMISSION_CREDIT_MISSING": ("commission_variance", "COMMISSION_CREDIT_MISSING"),
    "COMMISSION_RATE": ("commission_variance", "COMMISSION_RATE"),
    "DUPLICATE_REFUND": ("exceptions", "DUPLICATE_REFUND"),
    "FX": ("exceptions", "FX"),
    "LATE_ITEM": ("exceptions", "LATE_ITEM"),
    "MANUAL_PORTAL_REFUND": ("exceptions", "MANUAL_PORTAL_REFUND"),
    "MISSING_EXTRACT": ("exceptions", "MISSING_EXTRACT"),
    "OPERATOR_ADJUSTMENT": ("manual_portal_actions", "manual_credit"),
    "PAYOUT": ("exceptions", "PAYOUT"),
    "PAYOUT_FAILED_KYC": ("exceptions", "PAYOUT_FAILED_KYC"),
    "PENALTY_FEE": ("control_roll_forward", "penalty"),
    "RECEIPT_WITHOUT_ORDER": ("exceptions", "RECEIPT_WITHOUT_ORDER"),
    "RECEIPT_WITHOUT_REFUND": ("exceptions", "RECEIPT_WITHOUT_REFUND"),
    "REFUND_WITHOUT_RECEIPT": ("exceptions", "REFUND_WITHOUT_RECEIPT"),
    "REFUND_WITHOUT_RECEIPT (SLA_FORCED)": ("exceptions", "REFUND_WITHOUT_RECEIPT (SLA_FORCED)"),
    "RESERVE": ("control_roll_forward", "reserve"),
    "ROUNDING": ("exceptions", "ROUNDING"),
    "SHIPPING_NOT_REFUNDED": ("exceptions", "SHIPPING_NOT_REFUNDED"),
    "SHORT_RECEIPT": ("returns_physical_roll", "received_missing"),
    "SUBSCRIPTION": ("control_roll_forward", "subscription"),
    "TAX_CODE": ("exceptions", "TAX_CODE"),
    "TIMING_CUTOFF": ("refund_three_way", "TIMING_CUTOFF"),
    "TIMING_REFUND_PENDING": ("refund_three_way", "TIMING_REFUND_PENDING"),
    "UNMAPPED_TYPE": ("exceptions", "UNMAPPED_TYPE"),
    "WRONG_ITEM": ("returns_physical_roll", "received_wrong_item"),
}
"""Every code of a variance, and where it is counted: a table and what the row says there. UNKNOWN is none: it is what has no code."""

# Components whose lines say by themselves what they are, and how their types begin: what they add up to in the month is known.
_BY_COMPONENT: Final = {"subscription": "SUBSCRIPTION_", "penalty": "SELLER_PENALTY_", "reserve": "RESERVE_"}
_BY_HAND: Final = ("MANUAL_", "INVOICEABLE_ONE_OFF_")
# The exceptions that a row of these tables opens; of time alone (TIMING_*) none.
_OPEN_EXCEPTIONS: Final = ("order_vs_ledger", "refund_three_way")


@dataclass(slots=True)
class Planted:
    """What was planted: before the marketplace made its statements, after that, and what must be found of it.

    ``booked`` adds up the lines of the log by transaction type that say by themselves what they are.
    """

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    expected: Counter[Found] = field(default_factory=Counter)
    booked: Counter[str] = field(default_factory=Counter)

    def expect(self, table: str, key: str, code: str, *, exception: str = "", about: str = "") -> None:
        """Expect a row, with its age, and the exception that comes of it where it needs a person, ``about`` the row unless said."""
        self.expected[table, key, code] += 1
        if table in _OPEN_EXCEPTIONS and not code.startswith("TIMING"):
            self.expected["exceptions", about or key, exception or code] += 1
        if table in {*_OPEN_EXCEPTIONS, "payout_proof"}:
            aged = {"VARIANCE": "PAYOUT", "OPEN": "PAYOUT_OPEN"}.get(code, code)
            self.expected["aged_unmatched", key, aged] += 1


@dataclass(frozen=True, slots=True)
class Unit:
    """A line of one unit that came back in the middle of the month, refunded and booked in it."""

    order_id: str
    line: str
    is_on_top: bool
    refunded_shipping: int
    created_at: datetime

    @property
    def refund(self) -> str:
        return f"R{self.line}"


class Planter:
    """Plants anomalies into a world that is generated and not yet closed with them."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world, self.shape, self.planted = world, shape, Planted()
        self.start, self.end = shape.bounds
        self._random = random.Random(shape.seed)
        self._units, self._shipped = self._returned()
        self._sold = self._unreturned()
        self._names = iter(range(1, 10_000))

    # -- what is there to be hit

    def _returned(self) -> tuple[list[Unit], list[Unit]]:
        found = self.world.rows(
            f"""SELECT r.order_id, r.order_line_id AS line, o.order_tax_mode = 'TAX_EXCLUDED' AS is_on_top,
                r.shipping_amount_minor AS refunded_shipping, r.created_at
            FROM {_R} AS r INNER JOIN {_L} AS l USING (order_line_id) INNER JOIN lake.core.mirakl__orders AS o ON o.order_id = r.order_id
            WHERE l.quantity = 1 AND r.paid_at < {_at(self.end - timedelta(days=3))}
                AND r.created_at BETWEEN {_at(self.start + timedelta(days=6))} AND {_at(self.end - timedelta(days=4))}
                AND l.price_minor > 400 AND l.debited_at < {_at(self.end - timedelta(days=8))}
            ORDER BY r.order_line_id"""
        )
        units = [Unit(**row) for row in found]
        self._random.shuffle(units)
        plain = [unit for unit in units if not unit.refunded_shipping]
        return plain, [unit for unit in units if unit.refunded_shipping]

    def _unreturned(self) -> list[Unit]:
        found = self.world.rows(
            f"""SELECT l.order_id, l.order_line_id AS line, o.order_tax_mode = 'TAX_EXCLUDED' AS is_on_top, 0 AS refunded_shipping, l.created_at
            FROM {_L} AS l INNER JOIN lake.core.mirakl__orders AS o ON o.order_id = l.order_id
            ANTI JOIN lake.core.mirakl__return_lines AS r ON r.order_line_id = l.order_line_id
            WHERE l.quantity = 1 AND l.price_minor > 400 AND l.shipping_price_minor = 0
                AND l.debited_at BETWEEN {_at(self.start + timedelta(days=1))} AND {_at(self.end - timedelta(days=12))}
            ORDER BY l.order_line_id"""
        )
        lines = [Unit(**row) for row in found]
        self._random.shuffle(lines)
        return lines

    def _name(self, letter: str) -> str:
        return f"{letter}X{next(self._names):03d}"

    def _cycles(self) -> dict[str, bool]:
        """Return the cycles of the month, and whether each is paid after it."""
        found = self.world.rows(
            f"""SELECT c.billing_cycle_id, t.created_at >= {_at(self.end)} AS is_paid_later
            FROM lake.core.mirakl__billing_cycles AS c
            INNER JOIN {_T} AS t ON t.billing_cycle_id = c.billing_cycle_id AND t.transaction_type = 'PAYMENT'
            WHERE c.created_at >= {_at(self.start)} AND c.created_at < {_at(self.end)} ORDER BY c.billing_cycle_id"""
        )
        return {row["billing_cycle_id"]: row["is_paid_later"] for row in found}

    # -- refunds: what we intended, what the marketplace made, what it booked

    def manual(self) -> None:
        """Refunded by hand: the marketplace and the log have it, we intended none."""
        unit = self._units.pop()
        self.planted.before.append(f"DELETE FROM gen_intents WHERE order_line_id = '{unit.line}'")
        self._by_hand(unit.refund, "MANUAL_PORTAL_REFUND")

    def manual_booked_otherwise(self) -> None:
        """Refunded by hand, and the log has another tax than the marketplace shows."""
        unit = _first(self._units, lambda unit: unit.is_on_top)
        if unit is None:
            return
        self.planted.before += [
            f"DELETE FROM gen_intents WHERE order_line_id = '{unit.line}'",
            f"UPDATE {_T} SET amount_minor = amount_minor - 9 WHERE refund_id = '{unit.refund}' AND transaction_type = 'REFUND_ORDER_AMOUNT_TAX'",
        ]
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "TAX_CODE")
        self.planted.expect("manual_portal_actions", unit.refund, "refund")

    def manual_without_return(self) -> None:
        """Refunded by hand for goods that no return announced."""
        unit, refund = self._sold.pop(), self._name("R")
        at = self.start + timedelta(days=14)
        self._refund(refund, f"SELECT * FROM {_L} WHERE order_line_id = '{unit.line}'", at)
        self._by_hand(refund, "MANUAL_PORTAL_REFUND")

    def duplicate(self) -> None:
        """The same line refunded once more by hand, without a second unit."""
        unit, refund = self._units.pop(), self._name("R")
        at = "created_at + INTERVAL 1 HOUR AS created_at, paid_at + INTERVAL 1 HOUR AS paid_at"
        self.planted.before += [
            f"INSERT INTO {_R} SELECT * REPLACE ('{refund}' AS refund_id, {at}) FROM {_R} WHERE refund_id = '{unit.refund}'",
            f"""INSERT INTO lake.core.mirakl__refund_taxes SELECT * REPLACE ('{refund}' AS refund_id) FROM lake.core.mirakl__refund_taxes
            WHERE refund_id = '{unit.refund}'""",
            f"""INSERT INTO {_T} SELECT * REPLACE ('D' || transaction_id AS transaction_id, '{refund}' AS refund_id, NULL AS billing_cycle_id,
            'PENDING' AS payment_state, created_at + INTERVAL 1 HOUR AS created_at) FROM {_T} WHERE refund_id = '{unit.refund}'""",
        ]
        self._by_hand(refund, "DUPLICATE_REFUND")

    def refunded_before_receipt(self) -> None:
        unit = self._units.pop()
        self.planted.before.append(
            f"UPDATE gen_intents SET sent_at = sent_at - INTERVAL 5 DAY WHERE order_line_id = '{unit.line}'"
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "REFUND_WITHOUT_RECEIPT")

    def forced_by_deadline(self) -> None:
        """Refunded because the deadline came, and the parcel never did."""
        unit = self._units.pop()
        self._never_came(unit)
        self.planted.before.append(
            f"""UPDATE gen_intents SET evidence = '{{"evidence_class":"SLA_FORCED"}}' WHERE order_line_id = '{unit.line}'"""
        )
        code = "REFUND_WITHOUT_RECEIPT"
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", code, exception=f"{code} (SLA_FORCED)")

    def by_hand_in_transit(self) -> None:
        """Refunded by hand while the parcel was on its way, and it never came."""
        unit = self._units.pop()
        self._never_came(unit)
        self.planted.before.append(f"DELETE FROM gen_intents WHERE order_line_id = '{unit.line}'")
        self._by_hand(unit.refund, "REFUND_WITHOUT_RECEIPT")

    def credit_missing(self) -> None:
        """The commission was stated as given back, and was not booked."""
        unit = self._units.pop()
        self.planted.before.append(
            f"DELETE FROM {_T} WHERE refund_id = '{unit.refund}' AND transaction_type LIKE 'REFUND_COMMISSION%'"
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "COMMISSION_CREDIT_MISSING")
        self.planted.expect("commission_variance", unit.line, "COMMISSION_CREDIT_MISSING")

    def credit_halved(self) -> None:
        """Half of the commission was given back, and stated so."""
        unit = self._units.pop()
        self.planted.before += [
            f"UPDATE {_R} SET commission_minor = commission_minor // 2 WHERE refund_id = '{unit.refund}'",
            f"""UPDATE {_T} SET amount_minor = amount_minor // 2
            WHERE refund_id = '{unit.refund}' AND transaction_type = 'REFUND_COMMISSION_FEE'""",
        ]
        self.planted.expect("commission_variance", unit.line, "COMMISSION_CREDIT_MISSING")
        self.planted.expect("exceptions", unit.line, "COMMISSION_CREDIT_MISSING")

    def credit_partly_booked(self) -> None:
        """The commission was stated as given back, and half of it was booked."""
        unit = self._units.pop()
        self.planted.before.append(
            f"""UPDATE {_T} SET amount_minor = amount_minor // 2
            WHERE refund_id = '{unit.refund}' AND transaction_type = 'REFUND_COMMISSION_FEE'"""
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "COMMISSION_CREDIT_MISSING")
        self.planted.expect("commission_variance", unit.line, "COMMISSION_CREDIT_MISSING")

    def refund_not_named(self) -> None:
        """The log books a refund without saying which."""
        unit = self._units.pop()
        of_refund = f"refund_id = '{unit.refund}'"
        for line in self.world.rows(f"SELECT transaction_id AS id FROM {_T} WHERE {of_refund}"):
            self.planted.expect("refund_three_way", f"log:{line['id']}", "MISSING_EXTRACT", about=unit.line)
        self.planted.before.append(f"UPDATE {_T} SET refund_id = NULL WHERE {of_refund}")
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "MISSING_EXTRACT")

    def not_shown(self) -> None:
        """We hold the marketplace's confirmation, and it shows no refund at all."""
        unit = self._units.pop()
        self.planted.before += self._without_refund(unit)
        about = f"refund:{unit.refund}"
        self.planted.expect("refund_three_way", f"intent:I{unit.line}", "MISSING_EXTRACT", about=about)

    def not_booked(self) -> None:
        """Paid, and the log never shows it."""
        unit = self._units.pop()
        self.planted.before.append(f"DELETE FROM {_T} WHERE refund_id = '{unit.refund}'")
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "MISSING_EXTRACT")

    def refund_tax(self) -> None:
        """The log's tax of the refund is another one; taxes are only logged where they come on top."""
        unit = _first(self._units, lambda unit: unit.is_on_top)
        if unit is None:
            return
        self.planted.before.append(
            f"UPDATE {_T} SET amount_minor = amount_minor - 7 WHERE refund_id = '{unit.refund}' AND transaction_type = 'REFUND_ORDER_AMOUNT_TAX'"
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "TAX_CODE")

    def shipping_not_made(self) -> None:
        """Shipping was to be refunded, and the marketplace did not."""
        unit = self._units.pop()
        self.planted.before.append(
            f"""UPDATE gen_intents SET amount_minor = amount_minor + 350, body = '{{"refunds":[{{"shipping_amount":"3.50"}}]}}'
            WHERE order_line_id = '{unit.line}'"""
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "SHIPPING_NOT_REFUNDED")

    def shipping_not_booked(self) -> None:
        """Shipping was refunded, and the log has the goods alone."""
        unit = _first(self._shipped, lambda unit: unit.refunded_shipping > 1)
        if unit is None:
            return
        self.planted.before.append(
            f"DELETE FROM {_T} WHERE refund_id = '{unit.refund}' AND transaction_type LIKE 'REFUND_ORDER_SHIPPING%'"
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "SHIPPING_NOT_REFUNDED")

    def rounding_of_ours(self) -> None:
        unit = self._units.pop()
        self.planted.before.append(
            f"UPDATE gen_intents SET amount_minor = amount_minor + 1 WHERE order_line_id = '{unit.line}'"
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "ROUNDING")

    def rounding_of_the_log(self) -> None:
        unit = self._units.pop()
        self.planted.before.append(
            f"UPDATE {_T} SET amount_minor = amount_minor - 1 WHERE refund_id = '{unit.refund}' AND transaction_type = 'REFUND_ORDER_AMOUNT'"
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "ROUNDING")

    def booked_next_month(self) -> None:
        """Paid in the month, booked an hour after it."""
        unit = self._units.pop()
        self.planted.before.append(
            f"""UPDATE {_T} SET created_at = {_at(self.end + timedelta(hours=1))}, billing_cycle_id = NULL, payment_state = 'PENDING'
            WHERE refund_id = '{unit.refund}'"""
        )
        self.planted.expect("refund_three_way", f"refund:{unit.refund}", "TIMING_CUTOFF")

    def refund_booked_in_other_currency(self) -> None:
        unit = self._units.pop()
        self._rebook(f"refund_id = '{unit.refund}'")
        self._expect_in_both("refund_three_way", f"refund:{unit.refund}")

    def credit_booked_in_other_currency(self) -> None:
        """The refund is booked as it was made, and its commission is given back in another currency."""
        unit = self._units.pop()
        self._rebook(f"refund_id = '{unit.refund}' AND transaction_type LIKE 'REFUND_COMMISSION%'")
        self._expect_in_both("refund_three_way", f"refund:{unit.refund}")

    def refund_by_hand_in_other_currency(self) -> None:
        """Refunded by hand, and booked in another currency."""
        unit = self._units.pop()
        self.planted.before.append(f"DELETE FROM gen_intents WHERE order_line_id = '{unit.line}'")
        self._rebook(f"refund_id = '{unit.refund}'")
        self._expect_in_both("refund_three_way", f"refund:{unit.refund}")
        self.planted.expect("manual_portal_actions", unit.refund, "refund")

    def refund_made_in_other_currency(self) -> None:
        """The marketplace made our refund in another currency than we asked for and it booked."""
        unit = self._units.pop()
        self.planted.before.append(f"UPDATE {_R} SET currency = '{_FOREIGN}' WHERE refund_id = '{unit.refund}'")
        self._expect_in_both("refund_three_way", f"refund:{unit.refund}")

    def refund_intended_in_other_currency(self) -> None:
        unit = self._units.pop()
        self.planted.before.append(
            f"UPDATE gen_intents SET currency = '{_FOREIGN}' WHERE order_line_id = '{unit.line}'"
        )
        about = f"refund:{unit.refund}"
        self.planted.expect("refund_three_way", about, "FX")
        self.planted.expect("refund_three_way", f"intent:I{unit.line}", "FX", about=about)

    # -- goods

    def unit_overdue(self) -> None:
        self._unrefunded_since(self.start + timedelta(days=2), "RECEIPT_WITHOUT_REFUND")

    def unit_recent(self) -> None:
        self._unrefunded_since(self.end - timedelta(days=2), "TIMING_REFUND_PENDING")

    def receipt_unannounced(self) -> None:
        """Goods of a known order that no return announced."""
        self._unexpected(self._sold.pop().order_id, "RECEIPT_WITHOUT_REFUND")

    def receipt_of_nobody(self) -> None:
        self._unexpected("700-NOBODY", "RECEIPT_WITHOUT_ORDER")

    def wrong_item(self) -> None:
        """Another item than announced came: the unit is not refunded, and counted as such."""
        unit = self._units.pop()
        self.planted.before += [
            *self._without_refund(unit, with_intent=True),
            f"""UPDATE lake.core.receipt_assignments SET matched_by = 'wrong_item' WHERE return_unit_id = '{unit.line}#1'""",
        ]
        self.planted.expect("returns_physical_roll", "received_wrong_item", "1")

    def short_receipt(self) -> None:
        """The parcel came without the unit."""
        unit = self._units.pop()
        self.planted.before += [
            *self._without_refund(unit, with_intent=True),
            f"UPDATE {_WMS} SET return_condition = 'Missing', is_reusable = false WHERE return_code = 'C{unit.line}'",
        ]
        self.planted.expect("returns_physical_roll", "received_missing", "1")

    def despatches(self) -> None:
        """Despatched and shown as shipped, the one alone, the other alone; and cancelled after it left (CANCEL_RACE)."""
        both, left, shown, cancelled = (self._sold.pop() for _ in range(4))
        at = self.start + timedelta(days=20)
        names = ", ".join(f"'{unit.line}'" for unit in (both, left, cancelled))
        self.planted.before += [
            f"""INSERT INTO lake.core.peoplevox__despatches (shop, despatch_number, sales_order_number, item_code, row_no, quantity,
            despatched_at, {_LINEAGE}) SELECT shop, 'D' || order_line_id, order_id, offer_sku, 1, 1, {_at(at)}, {_LINEAGE}
            FROM {_L} WHERE order_line_id IN ({names})""",
            f"UPDATE {_L} SET shipped_at = {_at(at)} WHERE order_line_id IN ('{both.line}', '{shown.line}')",
            f"UPDATE {_L} SET line_state = 'CANCELED' WHERE order_line_id = '{cancelled.line}'",
        ]
        self.planted.expect("despatch_vs_revenue", left.line, "DESPATCHED_NOT_SHIPPED")
        self.planted.expect("despatch_vs_revenue", cancelled.line, "DESPATCHED_NOT_SHIPPED")
        self.planted.expect("despatch_vs_revenue", shown.line, "SHIPPED_NOT_DESPATCHED")

    # -- order lines

    def commission_booked_higher(self) -> None:
        """The log charges more commission than the order says."""
        line = self._sold.pop().line
        self._change_booking(line, "COMMISSION_FEE", -40)
        self.planted.expect("order_vs_ledger", line, "COMMISSION_RATE")
        self.planted.expect("commission_variance", line, "COMMISSION_RATE")

    def commission_against_contract(self) -> None:
        """Order and log agree on a commission of 25 %, the contract does not."""
        line = self._sold.pop().line
        self.planted.before += [
            f"UPDATE {_L} SET commission_fee_minor = (price_minor + shipping_price_minor) // 4 WHERE order_line_id = '{line}'",
            f"""UPDATE {_T} SET amount_minor = (SELECT -commission_fee_minor FROM {_L} WHERE order_line_id = '{line}')
            WHERE order_line_id = '{line}' AND transaction_type = 'COMMISSION_FEE'""",
        ]
        self.planted.expect("commission_variance", line, "COMMISSION_RATE")
        self.planted.expect("exceptions", line, "COMMISSION_RATE")

    def order_rounding(self) -> None:
        line = self._sold.pop().line
        self._change_booking(line, "ORDER_AMOUNT", 1)
        self.planted.expect("order_vs_ledger", line, "ROUNDING")

    def order_tax(self) -> None:
        unit = _first(self._sold, lambda unit: unit.is_on_top)
        if unit is None:
            return
        self._change_booking(unit.line, "ORDER_AMOUNT_TAX", 9)
        self.planted.expect("order_vs_ledger", unit.line, "TAX_CODE")

    def order_not_booked(self) -> None:
        line = self._sold.pop().line
        self.planted.before.append(f"DELETE FROM {_T} WHERE order_line_id = '{line}'")
        self.planted.expect("order_vs_ledger", line, "MISSING_EXTRACT")

    def order_line_not_named(self) -> None:
        """The log books a sale without saying of which order line."""
        line = self._sold.pop().line
        for booked in self.world.rows(f"SELECT transaction_id AS id FROM {_T} WHERE order_line_id = '{line}'"):
            self.planted.expect("order_vs_ledger", f"log:{booked['id']}", "MISSING_EXTRACT", about=booked["id"])
        self.planted.before.append(f"UPDATE {_T} SET order_line_id = NULL WHERE order_line_id = '{line}'")
        self.planted.expect("order_vs_ledger", line, "MISSING_EXTRACT")

    def line_booked_in_other_currency(self) -> None:
        line = self._sold.pop().line
        self._rebook(f"order_line_id = '{line}'")
        self._expect_in_both("order_vs_ledger", line)

    def commission_booked_in_other_currency(self) -> None:
        """The sale is booked as ordered, and its commission in another currency."""
        line = self._sold.pop().line
        self._rebook(f"order_line_id = '{line}' AND transaction_type LIKE 'COMMISSION%'")
        self._expect_in_both("order_vs_ledger", line)

    def line_ordered_in_other_currency(self) -> None:
        line = self._sold.pop().line
        self.planted.before.append(f"UPDATE {_L} SET currency = '{_FOREIGN}' WHERE order_line_id = '{line}'")
        self._expect_in_both("order_vs_ledger", line)

    # -- the log

    def unmapped_type(self) -> None:
        """A type that nobody mapped, in a cycle of the month."""
        cycle = self._random.choice(list(self._cycles()))
        self._book("BRAND_NEW_FEE", -123, cycle=cycle)
        self.planted.expect("payout_components", cycle, "UNMAPPED")
        self.planted.expect("exceptions", "BRAND_NEW_FEE", "UNMAPPED_TYPE")

    def by_operator(self) -> None:
        """A credit, a penalty, a subscription and a reserve that the marketplace's people booked."""
        line = self._book("MANUAL_CREDIT", self._random.randint(1, 900))
        self.planted.expect("manual_portal_actions", line, "manual_credit")
        for kind in ("SELLER_PENALTY_FEE", "SUBSCRIPTION_FEE", "RESERVE_FUNDING"):
            self._book(kind, -self._random.randint(1, 900))

    def cancelation(self) -> None:
        name = self._name("C")
        unit = self._sold.pop()
        at = self.start + timedelta(days=9)
        self.planted.before.append(
            f"""INSERT INTO lake.core.mirakl__cancelations (shop, cancelation_id, order_id, order_line_id, currency, amount_minor,
            shipping_amount_minor, tax_minor, created_at, updated_at, {_LINEAGE}) VALUES ('{SHOP}', '{name}', '{unit.order_id}', '{unit.line}',
            '{self.shape.currency}', 1000, 350, 270, {_at(at)}, {_at(at)}, 'h', {_at(self.shape.seen_at)}, 'r')"""
        )
        self.planted.expect("manual_portal_actions", name, "cancelation")

    def late(self) -> None:
        """Of the month before, which is signed: a line that came since, and one that was corrected."""
        line = self._book("MANUAL_INVOICE", -654, at=self.start - timedelta(days=3), read_at=self._after_signing)
        self.planted.expect("prior_period_adjustments", line, "late manual_invoice")
        self.planted.expect("exceptions", line, "LATE_ITEM")
        # What was paid out by then is paid: the statement that is made anew must not change that payment.
        (changed,) = self.world.rows(
            f"""SELECT t.transaction_id AS id, t.order_line_id AS line FROM {_T} AS t ANTI JOIN lake.core.mirakl__return_lines AS r ON r.order_line_id = t.order_line_id
            ANTI JOIN (FROM {_T} WHERE transaction_type = 'PAYMENT' AND created_at < {_at(self.start)}) AS p ON p.billing_cycle_id = t.billing_cycle_id
            WHERE t.transaction_type = 'COMMISSION_VAT' AND t.created_at < {_at(self.start - timedelta(days=1))} ORDER BY 1 LIMIT 1"""
        )
        self.planted.before.append(
            f"UPDATE {_T} SET amount_minor = amount_minor - 11, fetched_at = {_at(self._after_signing)} WHERE transaction_id = '{changed['id']}'"
        )
        self.planted.expect("prior_period_adjustments", changed["id"], "changed commission_vat")
        # Its line agreed with the order before, and does not any more.
        self.planted.expect("order_vs_ledger", changed["line"], "COMMISSION_RATE")
        self.planted.expect("exceptions", changed["id"], "LATE_ITEM")

    # -- payouts: one cycle has one of them

    def payout(self) -> None:
        """Plant on each cycle of the month one thing that is wrong with its payout."""
        wrong = [
            self._payout_short,
            self._payout_failed,
            self._statement_missing,
            self._line_missing,
            self._foreign_line,
        ]
        shift = self.shape.seed % len(wrong)
        for place, (cycle, is_paid_later) in enumerate(self._cycles().items()):
            chosen = wrong[(place + shift) % len(wrong)]
            # Without a statement it would be a cycle of the month in which it is paid.
            if is_paid_later and chosen == self._statement_missing:
                chosen = self._line_missing
            chosen(cycle)

    def _payout_short(self, cycle: str) -> None:
        payment = f"transaction_type = 'PAYMENT' AND billing_cycle_id = '{cycle}'"
        self.planted.after.append(
            f"UPDATE {_T} SET amount_minor = amount_minor + 500, fetched_at = {_at(self._after_signing)} WHERE {payment}"
        )
        self.planted.expect("payout_proof", cycle, "VARIANCE")
        self.planted.expect("exceptions", cycle, "PAYOUT")
        # A cycle of the month may have been paid before it began.
        for paid in self.world.rows(
            f"SELECT transaction_id AS id FROM {_T} WHERE {payment} AND created_at < {_at(self.start)}"
        ):
            self.planted.expect("prior_period_adjustments", paid["id"], "changed payment")
            self.planted.expect("exceptions", paid["id"], "LATE_ITEM")

    def _payout_failed(self, cycle: str) -> None:
        self.planted.after += [
            f"DELETE FROM {_T} WHERE transaction_type = 'PAYMENT' AND billing_cycle_id = '{cycle}'",
            f"UPDATE lake.core.mirakl__billing_cycles SET pay_out_state = 'FAILED' WHERE billing_cycle_id = '{cycle}'",
        ]
        self.planted.expect("payout_proof", cycle, "OPEN")
        self.planted.expect("exceptions", cycle, "PAYOUT_FAILED_KYC")

    def _statement_missing(self, cycle: str) -> None:
        """The log names a cycle that we have no statement of."""
        self.planted.after += [
            f"DELETE FROM lake.core.mirakl__{table} WHERE billing_cycle_id = '{cycle}'"
            for table in ("billing_cycles", "billing_cycle_totals", "invoices")
        ]
        self.planted.expect("payout_proof", cycle, "VARIANCE")
        self.planted.expect("exceptions", cycle, "MISSING_EXTRACT")

    def _line_missing(self, cycle: str) -> None:
        """The statement has a fee that our log lacks."""
        line = self._book("SELLER_PENALTY_FEE", -333, cycle=cycle, is_read=False)
        self.planted.after.append(f"DELETE FROM {_T} WHERE transaction_id = '{line}'")
        self.planted.expect("payout_proof", cycle, "VARIANCE")
        self.planted.expect("exceptions", cycle, "PAYOUT")

    def _foreign_line(self, cycle: str) -> None:
        """A line of the cycle is in another currency."""
        line = self._book("MANUAL_CREDIT", 250, cycle=cycle, currency=_FOREIGN, is_after=True)
        self.planted.expect("manual_portal_actions", line, "manual_credit")
        self.planted.expect("payout_proof", cycle, "VARIANCE")
        self.planted.expect("exceptions", cycle, "FX")

    # -- helpers

    @property
    def _after_signing(self) -> datetime:
        return self.shape.seen_at + timedelta(hours=2)

    def _by_hand(self, refund: str, code: str) -> None:
        self.planted.expect("refund_three_way", f"refund:{refund}", code)
        self.planted.expect("manual_portal_actions", refund, "refund")

    def _never_came(self, unit: Unit) -> None:
        self.planted.before += [
            f"DELETE FROM {_WMS} WHERE return_code = 'C{unit.line}'",
            f"DELETE FROM lake.core.receipt_assignments WHERE return_unit_id = '{unit.line}#1'",
        ]

    def _without_refund(self, unit: Unit, *, with_intent: bool = False) -> list[str]:
        tables = (_R, "lake.core.mirakl__refund_taxes", _T)
        statements = [f"DELETE FROM {table} WHERE refund_id = '{unit.refund}'" for table in tables]
        if with_intent:
            statements.append(f"DELETE FROM gen_intents WHERE order_line_id = '{unit.line}'")
        return statements

    def _unrefunded_since(self, at: datetime, code: str) -> None:
        unit = self._units.pop()
        self.planted.before += [
            *self._without_refund(unit, with_intent=True),
            f"UPDATE {_WMS} SET returned_at = {_at(at)} WHERE return_code = 'C{unit.line}'",
        ]
        self.planted.expect("refund_three_way", f"unit:{unit.line}#1", code)

    def _unexpected(self, order_id: str, code: str) -> None:
        name, at = self._name("C"), self.start + timedelta(days=11)
        self.planted.before.append(
            f"""INSERT INTO {_WMS} (shop, return_code, sales_order_number, item_code, row_no, quantity, return_condition, is_reusable,
            returned_at, {_LINEAGE}) VALUES ('{SHOP}', '{name}', '{order_id}', 'SKU-1', 1, 1, 'New', true, {_at(at)}, 'h', {_at(self.shape.seen_at)}, 'r')"""
        )
        self.planted.expect("refund_three_way", f"receipt:peoplevox:{name}:SKU-1:1#1", code, about=order_id)

    def _rebook(self, where: str) -> None:
        """Let lines of the log be in another currency, and in no cycle yet."""
        self.planted.before.append(
            f"""UPDATE {_T} SET currency = '{_FOREIGN}', amount_minor = amount_minor * 3, billing_cycle_id = NULL, payment_state = 'PENDING'
            WHERE {where}"""
        )

    def _expect_in_both(self, table: str, key: str) -> None:
        """Expect a row in each of two currencies."""
        for _ in range(2):
            self.planted.expect(table, key, "FX")

    def _change_booking(self, line: str, kind: str, by: int) -> None:
        self.planted.before.append(
            f"UPDATE {_T} SET amount_minor = amount_minor + {by} WHERE order_line_id = '{line}' AND transaction_type = '{kind}'"
        )

    def _book(
        self,
        kind: str,
        amount: int,
        *,
        cycle: str = "",
        currency: str = "",
        at: datetime | None = None,
        read_at: datetime | None = None,
        is_after: bool = False,
        is_read: bool = True,
    ) -> str:
        """Book a line of the log in the month, or ``at``; ``is_after`` the statements were made."""
        name, at = self._name("T"), at or self.start + timedelta(days=self._random.randint(1, 20))
        statements = self.planted.after if is_after else self.planted.before
        statements.append(
            f"""INSERT INTO {_T} (shop, transaction_id, transaction_type, payment_state, currency, amount_minor, billing_cycle_id, created_at,
            updated_at, {_LINEAGE}) VALUES ('{SHOP}', '{name}', '{kind}', '{"PAID" if cycle else "PENDING"}', '{currency or self.shape.currency}',
            {amount}, {f"'{cycle}'" if cycle else "NULL"}, {_at(at)}, {_at(at)}, 'h', {_at(read_at or self.shape.seen_at)}, 'r')"""
        )
        if is_read:
            self.planted.booked[kind] += amount
        return name

    def _refund(self, refund: str, of_line: str, at: datetime) -> None:
        """Refund a whole line, with its taxes and its commission, as the marketplace states and books it."""
        self.planted.before += [
            f"""INSERT INTO {_R} (shop, refund_id, order_id, order_line_id, refund_state, reason_code, quantity, currency, amount_minor,
            shipping_amount_minor, tax_minor, shipping_tax_minor, commission_minor, commission_vat_minor, created_at, paid_at, updated_at, {_LINEAGE})
            SELECT shop, '{refund}', order_id, order_line_id, 'REFUNDED', 'REFUND_1', 1, currency, price_minor, 0, product_tax_minor, 0,
                commission_fee_minor, commission_vat_minor, {_at(at)}, {_at(at)}, {_at(at)}, {_LINEAGE} FROM ({of_line})""",
            f"""INSERT INTO lake.core.mirakl__refund_taxes BY NAME
            SELECT t.* EXCLUDE (order_id, rate, calculation_rule), '{refund}' AS refund_id FROM lake.core.mirakl__order_line_taxes AS t
            SEMI JOIN ({of_line}) AS l ON l.order_line_id = t.order_line_id WHERE t.tax_kind = 'product'""",
            f"""INSERT INTO {_T} (shop, transaction_id, transaction_type, payment_state, currency, amount_minor, order_id, order_line_id, refund_id,
            created_at, updated_at, {_LINEAGE})
            SELECT l.shop, '{refund}-' || part.type, part.type, 'PENDING', l.currency, part.amount, l.order_id, l.order_line_id, '{refund}',
                {_at(at)}, {_at(at)}, l.payload_hash, l.fetched_at, l.run_id
            FROM (SELECT *, unnest([
                {{'type': 'REFUND_ORDER_AMOUNT', 'amount': -price_minor}},
                {{'type': 'REFUND_ORDER_AMOUNT_TAX', 'amount': -product_tax_minor}},
                {{'type': 'REFUND_COMMISSION_FEE', 'amount': commission_fee_minor}},
                {{'type': 'REFUND_COMMISSION_VAT', 'amount': commission_vat_minor}}
            ]) AS part FROM ({of_line})) AS l
            INNER JOIN lake.core.mirakl__orders AS o ON o.order_id = l.order_id
            WHERE o.order_tax_mode = 'TAX_EXCLUDED' OR part.type <> 'REFUND_ORDER_AMOUNT_TAX'""",
        ]


ANOMALIES: Final[tuple[Callable[[Planter], None], ...]] = (
    Planter.manual,
    Planter.manual_without_return,
    Planter.manual_booked_otherwise,
    Planter.duplicate,
    Planter.refunded_before_receipt,
    Planter.forced_by_deadline,
    Planter.by_hand_in_transit,
    Planter.credit_missing,
    Planter.credit_halved,
    Planter.credit_partly_booked,
    Planter.refund_not_named,
    Planter.not_shown,
    Planter.not_booked,
    Planter.refund_tax,
    Planter.shipping_not_made,
    Planter.shipping_not_booked,
    Planter.rounding_of_ours,
    Planter.rounding_of_the_log,
    Planter.booked_next_month,
    Planter.refund_booked_in_other_currency,
    Planter.credit_booked_in_other_currency,
    Planter.refund_by_hand_in_other_currency,
    Planter.refund_made_in_other_currency,
    Planter.refund_intended_in_other_currency,
    Planter.unit_overdue,
    Planter.unit_recent,
    Planter.receipt_unannounced,
    Planter.receipt_of_nobody,
    Planter.wrong_item,
    Planter.short_receipt,
    Planter.despatches,
    Planter.commission_booked_higher,
    Planter.commission_against_contract,
    Planter.order_rounding,
    Planter.order_tax,
    Planter.order_not_booked,
    Planter.order_line_not_named,
    Planter.line_booked_in_other_currency,
    Planter.commission_booked_in_other_currency,
    Planter.line_ordered_in_other_currency,
    Planter.unmapped_type,
    Planter.by_operator,
    Planter.cancelation,
    Planter.late,
    Planter.payout,
)


def plant(world: World, shape: Shape) -> tuple[Planted, SignedMonth]:
    """Plant every anomaly; return them and the month before as it was signed before they came."""
    signed = SignedMonth(snapshot_of(world.con), shape.seen_at + timedelta(hours=1))
    planter = Planter(world, shape)
    planted = planter.planted
    planted.expected.update(_by_itself(world, shape))
    planted.booked.update(_booked(world, shape))
    for anomaly in ANOMALIES:
        anomaly(planter)
    world.plant(*planted.before)
    restate(world.lake, world.con, shape)
    world.plant(*planted.after)
    for component, begin in _BY_COMPONENT.items():
        amount = sum(amount for kind, amount in planted.booked.items() if kind.startswith(begin))
        planted.expected["control_roll_forward", component, str(amount)] += 1
    return planted, signed


def by_code(rows: Counter[Found]) -> Counter[str]:
    """Count rows by the variance code that they show; a code that no row shows is not there."""
    counted = {
        name: sum(count for (table, key, code), count in rows.items() if table == where and word in {key, code})
        for name, (where, word) in CODES.items()
    }
    return +Counter(counted)


def found_in(world: World, shape: Shape, exceptions: Sequence[ExceptionPlan]) -> Counter[Found]:
    """Return all that a closed month shows to people, in the words of ``Planted.expected``."""
    where = f"WHERE shop = '{SHOP}' AND month = '{shape.month}'"
    queries = {
        "payout_proof": "SELECT billing_cycle_id, status FROM {} AND status <> 'PROVEN'",
        "payout_components": "SELECT billing_cycle_id, component FROM {} AND component = 'UNMAPPED'",
        "order_vs_ledger": "SELECT order_line_id, variance_code FROM {} AND variance_code <> ''",
        "refund_three_way": "SELECT match_key, verdict FROM {} AND verdict <> 'MATCHED'",
        "returns_physical_roll": "SELECT stage, CAST(quantity AS VARCHAR) FROM {} AND stage LIKE 'received_%' AND stage <> 'received_sellable'",
        "control_roll_forward": f"SELECT component, CAST(amount_minor AS VARCHAR) FROM {{}} AND component IN {tuple(_BY_COMPONENT)}",
        "commission_variance": "SELECT order_line_id, variance_code FROM {} AND variance_code <> 'ROUNDING'",
        "despatch_vs_revenue": "SELECT order_line_id, state FROM {} AND state <> 'BOTH'",
        "aged_unmatched": "SELECT reference, kind FROM {}",
        "manual_portal_actions": "SELECT reference, kind FROM {}",
        "prior_period_adjustments": "SELECT reference, kind FROM {}",
    }
    found: Counter[Found] = Counter()
    for table, query in queries.items():
        rows = world.con.execute(query.format(f"lake.recon.{table} {where}")).fetchall()
        found.update((table, key, code) for key, code in rows)
    for plan in exceptions:
        if "invariant" not in plan.entity:
            found["exceptions", _about(plan.entity), plan.cause] += 1
    return found


def _about(entity: dict[str, str]) -> str:
    for name, kind in (("refund_id", "refund:"), ("return_unit_id", "unit:")):
        if name in entity:
            return f"{kind}{entity[name]}"
    names = ("order_line_id", "billing_cycle_id", "transaction_id", "transaction_type", "order_id")
    return next(entity[name] for name in names if name in entity)


def _booked(world: World, shape: Shape) -> dict[str, int]:
    start, end = shape.bounds
    rows = world.rows(
        f"""SELECT transaction_type AS kind, CAST(sum(amount_minor) AS BIGINT) AS amount FROM {_T}
        WHERE created_at >= {_at(start)} AND created_at < {_at(end)} AND order_line_id IS NULL GROUP BY 1"""
    )
    return {row["kind"]: row["amount"] for row in rows}


def _by_itself(world: World, shape: Shape) -> Counter[Found]:
    """Return what a clean month shows by itself: what is open at its end, and what people book each month."""
    end = _at(shape.bounds[1])
    found: Counter[Found] = Counter()
    waiting = world.rows(
        f"SELECT 'refund:' || refund_id AS key FROM {_R} WHERE created_at < {end} AND (paid_at IS NULL OR paid_at >= {end})"
        f" UNION ALL SELECT 'unit:' || i.return_unit_id FROM gen_intents AS i INNER JOIN {_WMS} AS w ON w.return_code = 'C' || substr(i.intent_id, 2)"
        f" WHERE w.returned_at < {end} AND i.confirmed_at >= {end}"
    )
    for row in waiting:
        found["refund_three_way", row["key"], "TIMING_REFUND_PENDING"] += 1
        found["aged_unmatched", row["key"], "TIMING_REFUND_PENDING"] += 1
    for row in world.rows(f"SELECT transaction_id, transaction_type FROM {_T}"):
        if row["transaction_type"].startswith(_BY_HAND):
            found["manual_portal_actions", row["transaction_id"], row["transaction_type"].lower()] += 1
    return found


def _first(units: list[Unit], is_wanted: Callable[[Unit], bool]) -> Unit | None:
    """Take the first unit that is wanted; None where there is none, and no anomaly of that kind is planted."""
    for place, unit in enumerate(units):
        if is_wanted(unit):
            return units.pop(place)
    return None


def _at(instant: datetime) -> str:
    return f"TIMESTAMPTZ '{instant.isoformat()}'"
