"""What a trouble to practise on is made of, and where in the world one may be put.

Here: the stages of a training, the record of one trouble, and the choice of orders for it. Not here: any trouble. The invariant: an
order is chosen for one trouble only, and its customer then does no more by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TypeVar

from marketplace_returns.sandbox.entities import MarketplaceReturn, Order, OrderLine
from marketplace_returns.sandbox.gate import Gate
from marketplace_returns.sandbox.returns_platform import PlatformReturn
from marketplace_returns.sandbox.world import World

CHANGED_MIND = "RETURN_CHANGED_MIND"
MODERATE_MINOR = 10_000
"""An order up to this is accepted by whatever policy a training has."""
_TRIES = 200


class Stage(Enum):
    """When something is done: so many hours before the training begins, and before or after the product looks and writes."""

    WEEK = (160, "before")
    FIVE_DAYS = (120, "before")
    THREE_DAYS = (80, "before")
    TWO_DAYS = (40, "before")
    HOURS = (8, "before")
    HOURS_WRITTEN = (8, "written")
    NOW = (0, "before")
    NOW_DECIDED = (0, "decided")

    @property
    def before(self) -> timedelta:
        """How long before the training begins."""
        return timedelta(hours=self.value[0])


@dataclass(frozen=True, slots=True)
class Room:
    """Where a trouble is caused: a world, the gate before it, and what the trouble is about, as ids by name."""

    world: World
    gate: Gate
    about: dict[str, str] = field(default_factory=dict)

    def order(self) -> Order:
        """The order that it is about."""
        return self.world.marketplace.order(self.about["order_id"])

    def line(self) -> OrderLine:
        """The line that it is about, or else the first of that order."""
        order = self.order()
        return order.line(self.about.get("order_line_id", "")) or order.lines[0]

    def returned(self) -> MarketplaceReturn:
        """The return that it is about."""
        return self.world.returns.get(self.about["return_id"])

    def label(self) -> PlatformReturn:
        """What the returns platform has of that return."""
        return found_first(iter(self.world.customers.platform_returns_of(self.returned())), "return on the platform")


Act = Callable[[Room], None]
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A trouble: its causes by stage, and what somebody does about it in another system (in words and deed), if anything."""

    acts: Mapping[Stage, Act]
    outside_words: str = ""
    outside: Act | None = None


def found_first(candidates: Iterator[Thing], what: str) -> Thing:
    """Return the first candidate; raises ValueError where the world has none."""
    found = next(candidates, None)
    if found is None:
        raise ValueError(f"there is no {what} in this world to practise on: let it live longer, or give it more orders")
    return found


def place_order(room: Room, wanted: Callable[[Order], bool] | None = None) -> Order:
    """A customer orders now; where nothing else is wanted, for so little that no policy holds it."""
    fits = wanted or (lambda order: sum(line.price_minor for line in order.lines) <= MODERATE_MINOR)
    placed = (room.world.customers.order_now() for _ in range(_TRIES))
    order = found_first((one for one in placed if one is not None and fits(one)), "such order")
    _bind(room, order)
    return order


def received_line(room: Room, wanted: Callable[[OrderLine], bool] = lambda line: line.quantity == 1) -> OrderLine:
    """Choose a line of an order that was received, of which nothing came back and nothing was refunded."""
    world = room.world
    free = (
        order
        for order in world.marketplace.orders.values()
        if order.state == "RECEIVED"
        and order.id not in world.customers.bound
        and not world.returns.by_order(order.id)
        and not world.warehouse.returns_of(order.id)
        and all(line.state == "RECEIVED" and not line.refunds for line in order.lines)
    )
    order, line = found_first(((one, line) for one in free for line in one.lines if wanted(line)), "received order")
    _bind(room, order)
    room.about["order_line_id"] = line.id
    return line


def open_return(room: Room, line: OrderLine, reason: str = CHANGED_MIND, *, is_accepted: bool = True) -> None:
    """The customer opens a return of all units of a line."""
    order = room.world.marketplace.order(room.about["order_id"])
    parts = [(line.id, line.quantity, reason)]
    made = room.world.returns.open(order, parts, "RETURN_METHOD_BY_MAIL", accepted=is_accepted)
    room.about["return_id"] = made.id


def is_being_returned(room: Room) -> None:
    """A customer opens a return of one unit that they received."""
    open_return(room, received_line(room))


def comes_back(room: Room) -> None:
    """The parcel of the return arrives, and all is in it as it was sold."""
    one = room.returned()
    room.world.customers.inspect_now(one.id, ["new"] * sum(line.quantity for line in one.lines))


def lies_unopened(room: Room) -> None:
    """The parcel of the return arrives, and nobody opens it."""
    room.world.customers.deliver_now(room.returned().id)


def _bind(room: Room, order: Order) -> None:
    room.world.customers.bound.add(order.id)
    room.about["order_id"] = order.id
