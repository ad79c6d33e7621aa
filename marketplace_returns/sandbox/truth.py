"""What is really true in the world, held against what was done to it.

Here: the checks behind GET /sandbox/truth, with the sandbox's own arithmetic. Not here: changing anything. Invariant: work that is not due
yet (younger than the grace) is no violation; a wrong effect always is.

The expected refund follows the default policy: each unit that was inspected as new is refunded once, its share of the line's price and
taxes, shipping kept; damaged, wrong, missing and quarantined units are not refunded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from marketplace_returns.sandbox.catalogue import CARRIER_BY_WAREHOUSE_NAME
from marketplace_returns.sandbox.entities import MarketplaceReturn, Order, OrderLine, Refund, Tax
from marketplace_returns.sandbox.marketplace import DEBITED
from marketplace_returns.sandbox.money import share
from marketplace_returns.sandbox.warehouse import SalesOrder
from marketplace_returns.sandbox.world import World

VIOLATIONS_SHOWN = 20


@dataclass(slots=True)
class Check:
    """One promise: how often it should have been kept and was, and where it was broken."""

    name: str
    expected: int = 0
    actual: int = 0
    violations: list[dict[str, Any]] = field(default_factory=list)

    def broken(self, reference: str, problem: str, **facts: object) -> None:
        """Note one violation."""
        self.violations.append({"reference": reference, "problem": problem, **facts})

    def shown(self) -> dict[str, Any]:
        """The check as JSON."""
        return {
            "name": self.name,
            "expected": self.expected,
            "actual": self.actual,
            "violation_count": len(self.violations),
            "violations": self.violations[:VIOLATIONS_SHOWN],
            "ok": not self.violations,
        }


def examine(world: World, grace: timedelta = timedelta(0)) -> dict[str, Any]:
    """Every check over the whole world; things that became due less than `grace` ago need not be done yet."""
    due = world.clock.now() - grace
    checks = [
        _orders_decided(world),
        _warehouse_orders(world, due),
        _despatches(world, due),
        _expected_receipts(world, due),
        _platform_returns(world, due),
        *_refunds(world, due),
        _returns_closed(world, due),
        _stock(world, due),
        _payouts(world),
    ]
    return {
        "now": world.clock.now(),
        "grace_hours": grace.total_seconds() / 3600,
        "checks": [check.shown() for check in checks],
        "facts": _facts(world),
        "ok": all(not check.violations for check in checks),
    }


def _facts(world: World) -> dict[str, Any]:
    orders, returns = world.marketplace.orders.values(), world.returns.returns.values()
    outcomes: Counter[str] = Counter()
    for one in returns:
        for units in one.outcomes.values():
            outcomes.update(units)
    return {
        "orders": len(orders),
        "order_states": dict(Counter(order.state for order in orders)),
        "order_lines": sum(len(order.lines) for order in orders),
        "accept_calls_repeated": sum(max(0, order.accept_calls - 1) for order in orders),
        "ship_calls_repeated": 0
        if world.config.multi_shipment
        else sum(max(0, order.despatch_confirmations - 1) for order in orders),
        "customers_unserved": world.customers.unserved,
        "returns": len(returns),
        "return_states": dict(Counter(one.state for one in returns)),
        "units_inspected": dict(outcomes),
        "platform_returns": len(world.platform.returns),
        "refunds": len(world.refunds.by_id),
        "refund_origins": dict(Counter(refund.origin for refund in world.refunds.by_id.values())),
        "ledger_lines": len(world.accounting.lines),
        "billing_cycles": len(world.accounting.cycles),
        "despatched_lines": len(world.warehouse.despatch_rows()),
    }


def _orders_decided(world: World) -> Check:
    check = Check("every order accepted exactly once, none lost")
    for order in world.marketplace.orders.values():
        if order.state == "WAITING_ACCEPTANCE":
            continue
        check.expected += 1
        if order.timed_out:
            check.broken(order.id, "not accepted in time", created_at=order.created_at)
        else:
            check.actual += 1
    return check


def _debited(order: Order) -> bool:
    return order.state in DEBITED


def _warehouse_orders(world: World, due: datetime) -> Check:
    check = Check("one warehouse order per debited order, none before SHIPPING")
    for order in world.marketplace.orders.values():
        sales_order = world.warehouse.sales_order(order.id)
        if sales_order is None or not sales_order.items:
            if _debited(order) and order.debited_at is not None:
                check.expected += 1
                if order.debited_at <= due and not all(line.state == "REFUNDED" for line in order.active_lines()):
                    check.broken(order.id, "no warehouse order", debited_at=order.debited_at)
            continue
        check.expected += 1
        check.actual += 1
        if sales_order.marketplace_state_at_import not in DEBITED:
            check.broken(order.id, "imported before SHIPPING", state=sales_order.marketplace_state_at_import)
        if order.state in {"CANCELED", "REFUSED"}:
            # its lines are no longer wanted, and the warehouse was to be told
            if sales_order.status == "New" and order.updated_at <= due:
                check.broken(order.id, "cancelled, still open in the warehouse")
            continue
        wanted, got = _units(order), _units_of(sales_order)
        if wanted != got:
            check.broken(order.id, "wrong items", expected=dict(wanted), actual=dict(got))
    for sales_order in world.warehouse.sales_orders():
        if sales_order.number not in world.marketplace.orders:
            check.broken(sales_order.number, "warehouse order without a marketplace order")
    return check


def _units(order: Order) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in order.active_lines():
        units[line.product.sku] += line.quantity
    return units


def _units_of(sales_order: SalesOrder) -> Counter[str]:
    units: Counter[str] = Counter()
    for item in sales_order.items.values():
        units[item.item_code] += item.quantity
    return units


def _despatches(world: World, due: datetime) -> Check:
    check = Check("every despatch confirmed once, with its carrier and tracking, not before it happened")
    for order in world.marketplace.orders.values():
        rows = world.warehouse.despatches_of(order.id)
        sales_order = world.warehouse.sales_order(order.id)
        complete = sales_order is not None and sales_order.status == "Despatched"
        if complete and rows and _debited(order):
            check.expected += 1
        if order.shipped_at is None:
            if complete and rows and rows[-1].despatched_at <= due and order.state == "SHIPPING":
                check.broken(order.id, "despatched, not confirmed", despatched_at=rows[-1].despatched_at)
            continue
        check.actual += 1
        if not rows or order.shipped_at < rows[0].despatched_at:
            check.broken(order.id, "confirmed before the warehouse despatched", confirmed_at=order.shipped_at)
            continue
        expected = {(CARRIER_BY_WAREHOUSE_NAME[row.carrier].code, row.tracking_number) for row in rows}
        for shown in _confirmed_trackings(world, order):
            if shown not in expected:
                check.broken(order.id, "wrong carrier or tracking", expected=sorted(expected), actual=shown)
        if world.config.multi_shipment and len(_confirmed_trackings(world, order)) != len(expected):
            check.broken(order.id, "parcels and shipments differ in number")
    return check


def _expected_receipts(world: World, due: datetime) -> Check:
    """An expected receipt may also be of a parcel that only the returns platform knows (its own return id)."""
    check = Check("every accepted return expected by the warehouse with its items, none that was cancelled")
    for one in world.returns.returns.values():
        order = world.warehouse.purchase_order(f"RTN-{one.id}")
        if one.state in {"WAITING_ACCEPTANCE", "REFUSED"} and order is None:
            continue
        check.expected += 1
        check.actual += order is not None
        if order is None:
            if one.state == "IN_PROGRESS" and one.inspected_at is None and one.updated_at <= due:
                check.broken(one.id, "not expected by the warehouse", state=one.state)
            continue
        if one.state == "CANCELED":
            if order.status == "Pending" and one.updated_at <= due:
                check.broken(one.id, "cancelled, still expected by the warehouse")
            continue
        wanted, got = Counter[str](), Counter[str]()
        for line in one.lines:
            wanted[line.sku] += line.quantity
        for item in order.items.values():
            got[item.item_code] += 0 if item.fields.get("Status") == "Closed" else item.quantity
        if +got != wanted and one.updated_at <= due:
            check.broken(one.id, "expected with other items", expected=dict(wanted), actual=dict(+got))
    for number in world.warehouse.purchase_orders:
        key = number.removeprefix("RTN-")
        if number.startswith("RTN-") and key not in world.returns.returns and key not in world.platform.returns:
            check.broken(number, "expected receipt without a return")
    return check


def _confirmed_trackings(world: World, order: Order) -> list[tuple[str | None, str | None]]:
    if not world.config.multi_shipment:
        return [(order.carrier_code, order.tracking_number)]
    shipments = [world.marketplace.shipments[key] for key in world.marketplace.shipments_of_order.get(order.id, ())]
    return [(one.carrier_code, one.tracking_number) for one in shipments]


def _platform_returns(world: World, due: datetime) -> Check:
    check = Check("one platform return per accepted return, with its lines and quantities")
    claimed: set[str] = set()
    for one in world.returns.returns.values():
        found = world.customers.platform_returns_of(one)
        claimed.update(candidate.id for candidate in found)
        if one.state in {"WAITING_ACCEPTANCE", "REFUSED"} and not found:
            continue
        check.expected += 1
        check.actual += bool(found)
        if len(found) > 1:
            check.broken(one.id, "several platform returns", ids=[candidate.id for candidate in found])
        if not found and one.state != "CANCELED" and one.updated_at <= due:
            check.broken(one.id, "no platform return", state=one.state)
        wanted = Counter({line.order_line_id: line.quantity for line in one.lines})
        for candidate in found[:1]:
            got: Counter[str] = Counter()
            for line in candidate.lines:
                got[line.external_id] += line.quantity
            if got != wanted:
                check.broken(one.id, "wrong lines on the platform", expected=dict(wanted), actual=dict(got))
    for platform_return in world.platform.returns.values():
        if platform_return.id not in claimed:
            check.broken(platform_return.id, "platform return without a marketplace return")
    return check


def _refunds(world: World, due: datetime) -> list[Check]:
    once = Check("every unit inspected as new refunded exactly once")
    exact = Check("every refund exact to the penny, taxes included")
    evidence = Check("no refund without an inspected receipt, none for a unit that may not be refunded")
    total = Check("refunds in total, minor units")
    inspected = _inspected_units(world)
    for order in world.marketplace.orders.values():
        for line in order.lines:
            units = inspected.get(line.id, [])
            if units or line.refunds:
                _check_line(order, line, sorted(units), due, (once, exact, evidence, total))
    if total.expected != total.actual and not (once.violations or exact.violations or evidence.violations):
        total.broken("all", "totals differ", difference_minor=total.actual - total.expected)
    return [once, exact, evidence, total]


def _inspected_units(world: World) -> dict[str, list[datetime]]:
    """For each order line, when each of its refundable units was inspected."""
    found: dict[str, list[datetime]] = {}
    for one in world.returns.returns.values():
        if one.inspected_at is None:
            continue
        for line_id, outcomes in one.outcomes.items():
            found.setdefault(line_id, []).extend([one.inspected_at] * outcomes.count("new"))
    return found


def _check_line(
    order: Order,
    line: OrderLine,
    inspected: list[datetime],
    due: datetime,
    checks: tuple[Check, Check, Check, Check],
) -> None:
    once, exact, evidence, total = checks
    done = 0
    amount_so_far = 0
    for refund in line.refunds:
        units = _units_refunded(line, refund, done)
        amount_so_far += refund.amount_minor
        if refund.origin == "api":
            total.actual += refund.amount_minor
            known = sum(1 for instant in inspected if instant <= refund.created_at)
            if known < done + max(units, 1):
                evidence.broken(
                    line.id,
                    "refunded without a refundable receipt",
                    refund_id=refund.id,
                    amount_minor=refund.amount_minor,
                )
        exact.expected += 1
        if units == 0:
            expected = share(line.price_minor, min(done + 1, line.quantity), line.quantity) - share(
                line.price_minor, done, line.quantity
            )
            exact.broken(
                line.id, "wrong amount", refund_id=refund.id, expected_minor=expected, actual_minor=refund.amount_minor
            )
            units = 1
        elif _taxes_right(line, refund, units, amount_so_far):
            exact.actual += 1
        else:
            exact.broken(line.id, "wrong taxes", refund_id=refund.id, actual=dict(refund.taxes))
        if refund.origin == "api":
            total.expected += share(line.price_minor, min(done + units, line.quantity), line.quantity) - share(
                line.price_minor, done, line.quantity
            )
        done += units
    owed = sum(1 for instant in inspected if instant <= due)
    once.expected += owed
    once.actual += min(done, owed)
    if done < owed and order.state != "CLOSED":
        once.broken(line.id, "not refunded", units=owed - done, inspected_at=inspected[0])
    if done > line.quantity:
        once.broken(line.id, "refunded more units than were sold", units=done)


def _units_refunded(line: OrderLine, refund: Refund, done: int) -> int:
    """How many units, after the `done` first ones, this refund pays exactly; 0 when its amount is no whole number of units."""
    before = share(line.price_minor, done, line.quantity) if done <= line.quantity else line.price_minor
    for units in range(1, line.quantity - done + 1):
        if share(line.price_minor, done + units, line.quantity) - before == refund.amount_minor:
            return units
    return 0


def _taxes_right(line: OrderLine, refund: Refund, units: int, amount_so_far: int) -> bool:
    """Whether each tax is its share, by units (which may be refunded in any order) or by amount (a minor unit may differ)."""

    def right(tax: Tax) -> bool:
        got = refund.taxes.get(tax.code, 0)
        by_units = {
            share(tax.amount_minor, first + units, line.quantity) - share(tax.amount_minor, first, line.quantity)
            for first in range(line.quantity - units + 1)
        }
        by_amount = share(tax.amount_minor, amount_so_far, line.price_minor) - share(
            tax.amount_minor, amount_so_far - refund.amount_minor, line.price_minor
        )
        return got in {*by_units, by_amount}

    return all(right(tax) for tax in line.taxes)


def _returns_closed(world: World, due: datetime) -> Check:
    check = Check("every return whose units all came back as new and were refunded is closed")
    for one in world.returns.returns.values():
        if not _settled(world, one, due):
            continue
        check.expected += 1
        if one.state == "CLOSED":
            check.actual += 1
        else:
            check.broken(one.id, "refunded, not closed", state=one.state)
    return check


def _settled(world: World, one: MarketplaceReturn, due: datetime) -> bool:
    if one.inspected_at is None or any(set(units) != {"new"} for units in one.outcomes.values()):
        return False
    for line_id in one.outcomes:
        _, line = world.marketplace.find_line(line_id)
        if line.refunded_minor() < line.price_minor or line.refunds[-1].created_at > due:
            return False
    return True


def _stock(world: World, due: datetime) -> Check:
    check = Check("every offer shows what the warehouse has available")
    waiting: Counter[str] = Counter()
    for order in world.marketplace.orders.values():
        sales_order = world.warehouse.sales_order(order.id)
        if sales_order is None or not sales_order.items:
            waiting.update(
                {sku: units for sku, units in _units(order).items() if order.state not in {"REFUSED", "CANCELED"}}
            )
    for sku, offer in world.offers.by_sku.items():
        changed_at = world.warehouse.stock_changed_at(sku)
        if changed_at is not None and changed_at > due:
            continue
        check.expected += 1
        available = world.warehouse.available(sku)
        # sold but not yet known to the warehouse: the offer may or may not be lower by these
        lowest, highest = max(0, available - waiting[sku]), max(0, available)
        if lowest <= offer.quantity <= highest:
            check.actual += 1
        else:
            check.broken(
                sku, "offer and warehouse differ", offer=offer.quantity, available=available, waiting=waiting[sku]
            )
    return check


def _payouts(world: World) -> Check:
    check = Check("every payout equals its ledger lines")
    books = world.accounting
    for cycle in books.cycles.values():
        check.expected += cycle.amount_minor
        lines = [books.lines[key] for key in books.lines_of_cycle[cycle.id]]
        booked = sum(line.amount_minor for line in lines if line.type != "PAYMENT")
        check.actual += booked
        if booked != cycle.amount_minor:
            check.broken(
                cycle.id, "statement and ledger differ", statement_minor=cycle.amount_minor, ledger_minor=booked
            )
        paid = sum(line.amount_minor for line in lines if line.type == "PAYMENT")
        if cycle.state == "PAID" and paid != -cycle.amount_minor:
            check.broken(
                cycle.id, "payment and statement differ", payment_minor=paid, statement_minor=cycle.amount_minor
            )
    return check
