"""Troubles to practise on: each is caused in the world, and the part of its cure that lies outside the product can be done in it.

Here: one class per trouble, by the exception type it leads to. Not here: the exception, which the product must find by itself, nor what a
person does in the product. Invariant: cause and cure go through the same books as the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from marketplace_returns.sandbox.entities import MarketplaceReturn, Order
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.sandbox.gate import Gate
from marketplace_returns.sandbox.plants import plant
from marketplace_returns.sandbox.world import World

DEAR_MINOR: Final = 15_000
"""An order above this waits for a person where the training's policy says so."""
NEW_REASON: Final = "RETURN_ARRIVED_TOO_LATE"
NEW_CARRIER: Final = "Pigeon Post"
NEW_TYPE: Final = "PACKAGING_FEE"
_TRIES: Final = 200

About = dict[str, str]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A trouble: what causes it, what somebody does about it in another system (in words and deed), if anything."""

    cause: Callable[[World, Gate], About]
    outside_words: str = ""
    outside: Callable[[World, Gate, About], None] | None = None


def _found(candidates: Iterator[Any], what: str) -> Any:
    found = next(candidates, None)
    if found is None:
        raise ValueError(f"there is no {what} in this world to practise on: let it live longer, or give it more orders")
    return found


def _dear_order(world: World, _gate: Gate) -> About:
    """A customer orders for more than the shop accepts by itself."""
    placed = (world.customers.order_now() for _ in range(_TRIES))
    is_dear = (one for one in placed if one is not None and sum(line.price_minor for line in one.lines) > DEAR_MINOR)
    order: Order = _found(is_dear, "dear order")
    return {"order_id": order.id}


def _accept(world: World, _gate: Gate, about: About) -> None:
    order = world.marketplace.order(about["order_id"])
    world.marketplace.accept(order.id, [(line.id, True) for line in order.lines])


def _returnable(world: World) -> Iterator[tuple[Order, str]]:
    return (
        (order, line.id)
        for order in world.marketplace.orders.values()
        for line in order.active_lines()
        if not world.returns.by_order(order.id) and not line.refunds and world.returns.returnable(order, line.id)
    )


def _new_reason(world: World, _gate: Gate) -> About:
    """A customer opens a return with a reason that the marketplace has added to its list."""
    order, line_id = _found(_returnable(world), "received order without a return")
    made = world.returns.open(order, [(line_id, 1, NEW_REASON)], "RETURN_METHOD_BY_MAIL")
    return {"order_id": order.id, "return_id": made.id}


def _new_carrier(world: World, _gate: Gate) -> About:
    """The warehouse sends an order with a carrier that it never used before."""
    waiting = (one for one in world.warehouse.orders.values() if one.picking_planned and not one.parcels)
    number: str = _found(waiting, "order to be picked").number
    world.warehouse.pick_now(number)
    world.warehouse.rename_carrier(number, NEW_CARRIER)
    return {"order_id": number}


def _unannounced(world: World, _gate: Gate) -> About:
    """Goods come back for which no return was opened."""
    return {name: str(value) for name, value in plant(world, "receipt_without_refund", {}).items()}


def _announce(world: World, _gate: Gate, about: About) -> None:
    order = world.marketplace.order(about["order_id"])
    parts = [(about["order_line_id"], 1, "RETURN_CHANGED_MIND")]
    world.returns.open(order, parts, "RETURN_METHOD_BY_MAIL", accepted=True)


def _no_refunds(world: World, _gate: Gate) -> About:
    """The operator takes the right to refund from the key, and a parcel is inspected."""
    posted = (one for one in world.returns.returns.values() if _is_on_its_way(world, one))
    found: MarketplaceReturn = _found(posted, "return on its way")
    world.config = replace(world.config, forbidden_operations=("OR28",))
    world.customers.inspect_now(found.id)
    return {"order_id": found.order_id, "return_id": found.id}


def _is_on_its_way(world: World, one: MarketplaceReturn) -> bool:
    labelled = (
        one.state == "IN_PROGRESS" and one.inspected_at is None and bool(world.customers.platform_returns_of(one))
    )
    order = world.marketplace.order(one.order_id)
    return labelled and order.state == "RECEIVED" and not any(line.refunds for line in order.lines)


def _refunds_again(world: World, _gate: Gate, _about: About) -> None:
    world.config = replace(world.config, forbidden_operations=())


def _silent_source(_world: World, gate: Gate) -> About:
    """The marketplace's invoices answer with errors only."""
    gate.rules.append(FaultRule("http_500_before", operation="IV01"))
    return {"stream": "mirakl/invoice"}


def _source_answers(_world: World, gate: Gate, _about: About) -> None:
    gate.rules[:] = [rule for rule in gate.rules if rule.operation != "IV01"]


def _new_type(world: World, _gate: Gate) -> About:
    """The marketplace books a fee of a kind that it never booked before."""
    world.accounting.charge(NEW_TYPE, 250)
    return {"transaction_type": NEW_TYPE}


LESSONS: Final[dict[str, Lesson]] = {
    "ACK_OVERDUE": Lesson(_dear_order, "the order is accepted in the marketplace's back office", _accept),
    "DESPATCH_UNMAPPED_CARRIER": Lesson(_new_carrier),
    "REASON_UNMAPPED": Lesson(_new_reason),
    "RECEIPT_UNEXPECTED": Lesson(_unannounced, "the customer opens a return for what they sent", _announce),
    "REFUND_REJECTED_PERMISSION": Lesson(_no_refunds, "the operator gives the key its right back", _refunds_again),
    "SOURCE_STALE": Lesson(_silent_source, "the marketplace mends its invoices", _source_answers),
    "TL_UNMAPPED_TYPE": Lesson(_new_type),
}


class Classroom:
    """The troubles of one world: which were caused, and about what."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.world = world
        self.gate = gate
        self.about: dict[str, About] = {}

    def cause(self, name: str) -> About:
        """Cause a trouble; raises ValueError for an unknown one, or where the world holds nothing to cause it on."""
        self.about[name] = self._lesson(name).cause(self.world, self.gate)
        return self.about[name]

    def outside(self, name: str) -> str:
        """Do what is done about a trouble in another system and say it; raises ValueError where nothing is."""
        lesson = self._lesson(name)
        if lesson.outside is None:
            raise ValueError(f"{name} is cured in the product alone: nothing is to be done in another system")
        if name not in self.about:
            raise ValueError(f"{name} was not caused in this world")
        lesson.outside(self.world, self.gate, self.about[name])
        return lesson.outside_words

    @staticmethod
    def _lesson(name: str) -> Lesson:
        if name not in LESSONS:
            raise ValueError(f"'{name}' cannot be practised here: use one of {', '.join(LESSONS)}")
        return LESSONS[name]
