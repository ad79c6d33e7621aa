"""Anomalies that can be planted, so that a reconciliation can be seen to find them.

Here: one function per anomaly, each returning what it touched (ids, minor units). Not here: finding them. Invariant: a plant goes through
the same books as the real thing, and nothing else in the world is disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from marketplace_returns.sandbox.entities import Order, OrderLine, Refund
from marketplace_returns.sandbox.refunds import RefundWish
from marketplace_returns.sandbox.world import World

STATEMENT_ERROR_MINOR = 1234


def plant(world: World, anomaly: str, options: dict[str, Any]) -> dict[str, Any]:
    """Plant one anomaly by name; options (order_line_id, refund_id, cycle_id, amount_minor) choose where.

    Raises ValueError for an unknown anomaly or when the world holds nothing to plant it on.
    """
    if anomaly not in PLANTS:
        raise ValueError(f"anomaly '{anomaly}' is not one of {', '.join(PLANTS)}")
    return {"anomaly": anomaly, **PLANTS[anomaly](world, options)}


def _lines(world: World, options: dict[str, Any]) -> Iterator[tuple[Order, OrderLine]]:
    """Received lines that nobody refunded, or the one that is asked for."""
    wanted = options.get("order_line_id")
    if wanted is not None:
        yield world.marketplace.find_line(str(wanted))
        return
    for order in world.marketplace.orders.values():
        if order.state == "RECEIVED":
            yield from ((order, line) for line in order.active_lines() if line.state == "RECEIVED" and not line.refunds)


def _first(candidates: Iterator[tuple[Order, OrderLine]], what: str) -> tuple[Order, OrderLine]:
    found = next(candidates, None)
    if found is None:
        raise ValueError(f"there is no {what} to plant this on: advance the clock and let more orders be received")
    return found


def _returned(world: World, order: Order, line: OrderLine, *, inspected: bool | None) -> bool:
    """Whether a live return holds this line (inspected, not yet, or either)."""
    return any(
        (inspected is None or (one.inspected_at is not None) == inspected)
        and any(part.order_line_id == line.id for part in one.lines)
        for one in world.returns.by_order(order.id)
        if one.state not in {"REFUSED", "CANCELED"}
    )


def _refund(world: World, line: OrderLine, amount_minor: int, reason: str, origin: str) -> Refund:
    wish = RefundWish(line.id, amount_minor, 0, reason, quantity=line.quantity)
    return world.refunds.refund([wish], origin)[0]


def _shown(order: Order, line: OrderLine, refund: Refund, expected_minor: int) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "order_line_id": line.id,
        "refund_id": refund.id,
        "amount_minor": refund.amount_minor,
        "expected_minor": expected_minor,
    }


def _wrong_refund(world: World, options: dict[str, Any]) -> dict[str, Any]:
    """A refund one pound (or what is asked) short, as if the seller had sent it; best on a unit that really came back."""
    found = list(_lines(world, options))
    returned = (pair for pair in found if _returned(world, *pair, inspected=True))
    order, line = _first(iter([*returned, *found][:1]), "received line without a refund")
    amount = int(options.get("amount_minor", max(1, line.price_minor - 100)))
    return _shown(order, line, _refund(world, line, amount, "17", "plant"), line.price_minor)


def _manual_portal_refund(world: World, options: dict[str, Any]) -> dict[str, Any]:
    """A person refunds a line by hand in the portal; nothing was returned."""
    candidates = (pair for pair in _lines(world, options) if not _returned(world, *pair, inspected=None))
    order, line = _first(candidates, "received line without a return")
    return _shown(order, line, _refund(world, line, line.price_minor, "19", "portal"), line.price_minor)


def _refund_without_receipt(world: World, options: dict[str, Any]) -> dict[str, Any]:
    """A full refund while the return is still on its way."""
    found = list(_lines(world, options))
    travelling = (pair for pair in found if _returned(world, *pair, inspected=False))
    order, line = _first(iter([*travelling, *found][:1]), "received line without a refund")
    return _shown(order, line, _refund(world, line, line.price_minor, "17", "plant"), 0)


def _receipt_without_refund(world: World, options: dict[str, Any]) -> dict[str, Any]:
    """An inspected unit appears in the warehouse that no open return speaks of."""
    candidates = (pair for pair in _lines(world, options) if not _returned(world, *pair, inspected=None))
    order, line = _first(candidates, "received line without a return")
    row = world.warehouse.record_return(
        order.id, line.product.sku, 1, "new", reason="RETURN_OTHER", return_id=None, order_line_id=line.id
    )
    return {"order_id": order.id, "order_line_id": line.id, "return_code": row.return_code, "item_code": row.item_code}


def _changed_statement(world: World, options: dict[str, Any]) -> dict[str, Any]:
    """A billing cycle's amount and one summary field no longer agree with its lines."""
    cycles = list(world.accounting.cycles.values())
    wanted = options.get("cycle_id")
    cycle = next((one for one in reversed(cycles) if wanted in {None, one.id}), None)
    if cycle is None:
        raise ValueError("there is no billing cycle to plant this on: advance the clock past the next one")
    error = int(options.get("amount_minor", STATEMENT_ERROR_MINOR))
    cycle.amount_minor += error
    for name in ("total_payable_orders_excl_tax", "total_payable_orders_incl_tax"):
        cycle.summary[name] += error
    return {"cycle_id": cycle.id, "error_minor": error, "amount_minor": cycle.amount_minor}


def _missing_commission_credit(world: World, options: dict[str, Any]) -> dict[str, Any]:
    """The commission of a refund is not given back: a paid one's REFUND_COMMISSION_* lines vanish, or (next) are never booked."""
    books = world.accounting
    if options.get("next"):
        books.commission_credits_to_skip += 1
        return {"refund_id": "the next one that is paid"}
    wanted = options.get("refund_id")
    for refund in reversed(world.refunds.by_id.values()):
        if wanted not in {None, refund.id} or refund.state != "REFUNDED":
            continue
        keys = [
            key
            for key in books.lines_of_order_line.get(refund.line_id, ())
            if books.lines[key].refund_id == refund.id and books.lines[key].type.startswith("REFUND_COMMISSION")
        ]
        if keys and all(books.lines[key].cycle_id is None for key in keys):
            removed = [books.remove(key) for key in keys]
            return {
                "order_id": refund.order_id,
                "order_line_id": refund.line_id,
                "refund_id": refund.id,
                "amount_minor": sum(line.amount_minor for line in removed),
                "transaction_ids": keys,
            }
    raise ValueError(
        "there is no paid refund outside a billing cycle to plant this on: advance the clock by a few hours"
    )


PLANTS: dict[str, Callable[[World, dict[str, Any]], dict[str, Any]]] = {
    "wrong_refund": _wrong_refund,
    "manual_portal_refund": _manual_portal_refund,
    "refund_without_receipt": _refund_without_receipt,
    "receipt_without_refund": _receipt_without_refund,
    "changed_statement": _changed_statement,
    "missing_commission_credit": _missing_commission_credit,
}
