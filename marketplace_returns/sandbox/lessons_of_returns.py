"""Troubles with what comes back, to practise on.

Here: returns, incidents, parcels and their inspection. Not here: the money of a return. Invariant: as ``lessons``.
"""

from __future__ import annotations

from typing import Final

from marketplace_returns.sandbox.catalogue import REJECTION_REASONS
from marketplace_returns.sandbox.lesson import (
    CHANGED_MIND,
    Lesson,
    Room,
    Stage,
    comes_back,
    is_being_returned,
    lies_unopened,
    open_return,
    place_order,
    received_line,
)
from marketplace_returns.sandbox.plants import plant

NEW_REASON: Final = "RETURN_ARRIVED_TOO_LATE"
NEW_STATUS: Final = "under_way"


def _no_label(room: Room) -> None:
    """The returns platform has no address of the return's label."""
    label = room.label()
    room.about["label_url"], label.label_url = label.label_url, ""
    room.world.platform.touch(label)


def _make_label(room: Room) -> None:
    label = room.label()
    label.label_url = room.about["label_url"]
    room.world.platform.touch(label)


def _an_order(room: Room) -> None:
    """A customer orders."""
    place_order(room)


def _return_too_early(room: Room) -> None:
    """The customer opens a return of an order that has not left yet."""
    _open_unchecked(room)


def _open_unchecked(room: Room) -> None:
    line = room.line()
    parts = [(line.id, line.quantity, CHANGED_MIND)]
    made = room.world.returns.open(room.order(), parts, "RETURN_METHOD_BY_MAIL", is_checked=False)
    room.about["return_id"] = made.id


def _send(room: Room) -> None:
    room.world.warehouse.pick_now(room.order().id)


def _return_twice(room: Room) -> None:
    """The marketplace lets the customer open a second return of the same unit."""
    _open_unchecked(room)


def _refuse(room: Room) -> None:
    room.world.returns.decide(room.about["return_id"], accepted=False, rejection_reason=REJECTION_REASONS[0])


def _new_reason(room: Room) -> None:
    """A customer opens a return with a reason that the marketplace has added to its list."""
    open_return(room, received_line(room), NEW_REASON, is_accepted=False)


def _end_on_platform(room: Room) -> None:
    """Somebody cancels the return in the platform's own pages."""
    room.world.platform.end(room.label(), "cancelled")


def _cancel(room: Room) -> None:
    room.world.returns.cancel(room.about["return_id"])


def _incident(room: Room) -> None:
    """A customer opens an incident and returns nothing."""
    room.world.marketplace.open_incident(received_line(room).id, "3")


def _close_incident(room: Room) -> None:
    room.world.marketplace.close_incident(room.about["order_line_id"])


def _refused_announcement(room: Room) -> None:
    """A customer returns an item that somebody has blocked in the warehouse."""
    is_being_returned(room)
    room.world.warehouse.blocked_items.add(room.line().product.sku)


def _free_item(room: Room) -> None:
    room.world.warehouse.blocked_items.discard(room.line().product.sku)


def _unannounced(room: Room) -> None:
    """Goods come back for which no return was opened."""
    line = received_line(room)
    planted = plant(room.world, "receipt_without_refund", {"order_line_id": line.id})
    room.about["return_code"] = str(planted["return_code"])


def _announce(room: Room) -> None:
    line = room.line()
    parts = [(line.id, 1, CHANGED_MIND)]
    room.world.returns.open(room.order(), parts, "RETURN_METHOD_BY_MAIL", accepted=True)


def _wrong_item(room: Room) -> None:
    """The parcel holds another item than one of those that were announced, and the rest is not in it."""
    units = room.line().quantity
    room.world.customers.inspect_now(room.about["return_id"], ["wrong_item", *["missing"] * (units - 1)])


def _close(room: Room) -> None:
    room.world.returns.close(room.about["return_id"])


def _two_units(room: Room) -> None:
    """A customer opens a return of several units."""
    open_return(room, received_line(room, lambda line: line.quantity > 1))


def _one_came(room: Room) -> None:
    """One of the announced units is in the parcel."""
    units = room.line().quantity
    room.world.customers.inspect_now(room.about["return_id"], ["new", *["missing"] * (units - 1)])


def _others_turn_up(room: Room) -> None:
    line, order_id = room.line(), room.about["order_id"]
    room.world.warehouse.record_return(
        order_id, line.product.sku, line.quantity - 1, "new", CHANGED_MIND, room.about["return_id"], line.id
    )


def _new_status(room: Room) -> None:
    """The returns platform shows the return in a state that it never used before."""
    label = room.label()
    room.about["status"] = label.status = NEW_STATUS
    room.world.platform.touch(label)


LESSONS: Final[dict[str, Lesson]] = {
    "RETURN_CREATE_FAILED": Lesson(
        {Stage.TWO_DAYS: is_being_returned, Stage.HOURS: _no_label}, "the returns platform makes the label", _make_label
    ),
    "RETURN_WAITING_ORDER": Lesson(
        {Stage.HOURS: _an_order, Stage.NOW: _return_too_early}, "the warehouse sends the order", _send
    ),
    "RETURN_INELIGIBLE": Lesson(
        {Stage.TWO_DAYS: is_being_returned, Stage.NOW: _return_twice},
        "the second return is refused in the marketplace's back office",
        _refuse,
    ),
    "REASON_UNMAPPED": Lesson({Stage.NOW: _new_reason}),
    "STATUS_DRIFT": Lesson(
        {Stage.THREE_DAYS: is_being_returned, Stage.TWO_DAYS: _end_on_platform},
        "the return is cancelled in the marketplace's back office too",
        _cancel,
    ),
    "INCIDENT_DRIFT": Lesson(
        {Stage.THREE_DAYS: _incident}, "the customer is answered, and the operator closes the incident", _close_incident
    ),
    "ASN_MISSING": Lesson({Stage.NOW: _refused_announcement}, "the warehouse frees the item", _free_item),
    "RECEIPT_UNEXPECTED": Lesson(
        {Stage.NOW: _unannounced}, "the customer opens a return for what they sent", _announce
    ),
    "RECEIPT_WRONG_ITEM": Lesson(
        {Stage.TWO_DAYS: _two_units, Stage.NOW: _wrong_item},
        "it is agreed with the customer, and the return is closed in the marketplace's back office",
        _close,
    ),
    "RECEIPT_SHORT": Lesson(
        {Stage.FIVE_DAYS: _two_units, Stage.THREE_DAYS: _one_came},
        "the warehouse finds what was missing and books it to the order",
        _others_turn_up,
    ),
    "INSPECTION_OVERDUE": Lesson(
        {Stage.WEEK: is_being_returned, Stage.FIVE_DAYS: lies_unopened}, "the warehouse opens the parcel", comes_back
    ),
    "REFUND_DUE_SOON": Lesson(
        {Stage.FIVE_DAYS: is_being_returned, Stage.THREE_DAYS: lies_unopened},
        "the warehouse opens the parcel",
        comes_back,
    ),
    "REFUND_OVERDUE": Lesson(
        {Stage.WEEK: is_being_returned, Stage.FIVE_DAYS: lies_unopened}, "the warehouse opens the parcel", comes_back
    ),
    "ENUM_NEW": Lesson({Stage.TWO_DAYS: is_being_returned, Stage.NOW: _new_status}),
}
