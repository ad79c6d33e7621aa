"""Troubles with refunds and with the month's money, to practise on.

Here: what the marketplace says to a refund, refunds by hand, payouts and fees. Not here: parcels. Invariant: as ``lessons``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from marketplace_returns.sandbox.entities import OrderLine
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.sandbox.lesson import (
    Act,
    Lesson,
    Room,
    Stage,
    comes_back,
    found_first,
    is_being_returned,
    open_return,
    received_line,
)
from marketplace_returns.sandbox.plants import plant
from marketplace_returns.sandbox.refunds import RefundWish

NEW_TYPE: Final = "PACKAGING_FEE"
MISTAKEN_REASON: Final = "RETURN_COLOUR_FADES"
"""Its row for refunds in the training's ``reasons.csv`` names a code that the marketplace does not know."""
BOOKS_BEHIND: Final = timedelta(days=2)
"""The month that is closed is that of so long ago: the month before it can then be read to its end, also on a first."""
_BY_HAND: Final = "19"
_PARTS: Final = 10


def _free_of_shipping(line: OrderLine) -> bool:
    return line.quantity == 1 and not line.shipping_minor


def _is_being_returned_free(room: Room) -> None:
    """A customer opens a return of an item that nothing was paid for to ship."""
    open_return(room, received_line(room, _free_of_shipping))


def _mistaken_reason(room: Room) -> None:
    """A customer opens a return with a reason whose row in the mapping table is wrong."""
    open_return(room, received_line(room), MISTAKEN_REASON)


def _refuse_with(words: str) -> Act:
    """The parcel comes back, and the marketplace refuses its refund with these words."""

    def act(room: Room) -> None:
        room.world.refunds.held[room.line().id] = words
        comes_back(room)

    return act


def _allow(room: Room) -> None:
    room.world.refunds.held.pop(room.line().id, None)


def _lose_the_answer(room: Room) -> None:
    """The parcel comes back; its refund will be made, and the answer lost."""
    room.gate.rules.append(FaultRule("reset_after", operation="OR28", about=f'"{room.line().id}"', times=1))
    comes_back(room)


def _by_hand(part: int, origin: str = "portal") -> Callable[[Room], str]:
    """Refund so many tenths of the line by hand."""

    def act(room: Room) -> str:
        line = room.line()
        wish = RefundWish(line.id, line.price_minor * part // _PARTS, 0, _BY_HAND, quantity=line.quantity)
        return room.world.refunds.refund([wish], origin)[0].id

    return act


def _another_by_hand(room: Room) -> None:
    """Between our decision and our refund somebody refunds a part by hand."""
    room.about["refund_id"] = _by_hand(3)(room)


def _reverse(room: Room) -> None:
    room.world.refunds.reverse(room.about["refund_id"])


def _refunded_before(room: Room) -> None:
    """Somebody refunded all of it by hand before the parcel came back."""
    room.about["refund_id"] = _by_hand(_PARTS)(room)
    comes_back(room)


def _refunded_in_part(room: Room) -> None:
    """Somebody refunds most of it by hand hours before the parcel comes back."""
    room.about["refund_id"] = _by_hand(6)(room)


def _closed_order(room: Room) -> None:
    """The operator closes the order, and then the parcel comes back."""
    room.world.marketplace.close(room.about["order_id"])
    comes_back(room)


def _operator_refunds(room: Room) -> None:
    _by_hand(_PARTS, "operator")(room)


def _day_of_the_books(room: Room) -> datetime:
    """Return the local day whose month is closed at the end of the training."""
    return (room.world.clock.now() - BOOKS_BEHIND).astimezone(ZoneInfo(room.world.config.time_zone))


def _wrong_payout(room: Room) -> None:
    """The marketplace pays another amount than the lines of its statement add up to."""
    day = _day_of_the_books(room)
    cycles = [
        cycle.id
        for cycle in room.world.accounting.cycles.values()
        if cycle.created_at.astimezone(day.tzinfo).month == day.month
    ]
    chosen = found_first(reversed(cycles), "billing cycle of the month")
    room.about["billing_cycle_id"] = str(plant(room.world, "changed_statement", {"cycle_id": chosen})["cycle_id"])


def _right_payout(room: Room) -> None:
    plant(room.world, "changed_statement", {"cycle_id": room.about["billing_cycle_id"], "amount_minor": -1234})


def _new_type(room: Room) -> None:
    """The marketplace books a fee of a kind that it never booked before."""
    room.world.accounting.charge(NEW_TYPE, 250, created_at=room.world.clock.now() - BOOKS_BEHIND)
    room.about["transaction_type"] = NEW_TYPE


def _late_fee(room: Room) -> None:
    """The marketplace books a penalty that it dates into the month that is signed."""
    dated = _day_of_the_books(room).replace(day=1) - timedelta(days=3)
    late = room.world.accounting.charge("SELLER_PENALTY_FEE", 700, created_at=dated.astimezone(UTC))
    room.about["transaction_id"] = late.id


_RETURNED: Final = {Stage.TWO_DAYS: is_being_returned}

LESSONS: Final[dict[str, Lesson]] = {
    "REFUND_UNKNOWN": Lesson({**_RETURNED, Stage.NOW: _lose_the_answer}),
    "REFUND_CONFLICT": Lesson(
        {**_RETURNED, Stage.NOW: comes_back, Stage.NOW_DECIDED: _another_by_hand},
        "the operator takes the refund by hand back",
        _reverse,
    ),
    "REFUND_REJECTED_BALANCE": Lesson(
        {**_RETURNED, Stage.NOW: _refuse_with("The shop does not have a sufficient payable balance for the refund")},
        "the shop pays in",
        _allow,
    ),
    "REFUND_REJECTED_STATE": Lesson(
        {**_RETURNED, Stage.NOW: _closed_order},
        "the operator makes the refund that the ticket asks for",
        _operator_refunds,
    ),
    "REFUND_REJECTED_PERMISSION": Lesson(
        {**_RETURNED, Stage.NOW: _refuse_with("You have no permission to refund this order.")},
        "the operator gives the key its right back",
        _allow,
    ),
    "REFUND_REJECTED_TAX": Lesson(
        {**_RETURNED, Stage.NOW: _refuse_with("The tax of the order line is being changed by the operator.")},
        "the operator has mended the tax of the order line",
        _allow,
    ),
    "REFUND_REJECTED_REASON": Lesson({Stage.TWO_DAYS: _mistaken_reason, Stage.NOW: comes_back}),
    "REFUND_MANUAL_ADOPTED": Lesson({Stage.TWO_DAYS: _is_being_returned_free, Stage.NOW: _refunded_before}),
    "REFUND_OVER_CAP": Lesson({**_RETURNED, Stage.HOURS: _refunded_in_part, Stage.NOW: comes_back}),
    "PAYOUT_VARIANCE": Lesson(
        {Stage.NOW: _wrong_payout}, "the marketplace takes the claim and corrects its statement", _right_payout
    ),
    "TL_UNMAPPED_TYPE": Lesson({Stage.NOW: _new_type}),
    "PERIOD_LATE_ITEM": Lesson({Stage.NOW: _late_fee}),
}
