"""The customers: when they order, what they keep, what they send back, and what the warehouse then finds in the parcel.

Here: every decision of a person, drawn from the seed by the thing it is about (order, return), so that no decision depends on the
order of calls. Not here: state machines, stock, money rules. Invariant: nobody orders what the offer does not show, and nobody
posts a parcel without a label and an accepted return.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from marketplace_returns.sandbox.catalogue import RETURN_REASONS, Product
from marketplace_returns.sandbox.entities import MarketplaceReturn, Order, OrderLine, Tax, TaxRule
from marketplace_returns.sandbox.money import half_even
from marketplace_returns.sandbox.returns_platform import PlatformReturn

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

# orders per hour of the day, relative: quiet nights, busy evenings
HOUR_WEIGHTS = (2, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6, 7, 8, 7, 6, 6, 7, 8, 9, 11, 12, 11, 8, 4)
SHIPPING_MINOR = 395
FREE_SHIPPING_FROM_MINOR = 5000
GOODS_IN_EVERY = timedelta(days=3)
GIVE_UP_AFTER = timedelta(days=45)


class Customers:
    """The people of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.unserved = 0
        self._instants = self._draw_instants()
        self._next = 0
        self._extra = 0
        self.bound: set[str] = set()
        """Orders whose customer does no more by chance: what becomes of them is told."""

    def begin(self) -> None:
        """Fill the shelves, publish the offers and open the shop."""
        world = self.world
        chance = world.chance.of("stock")
        expected = max(1, round(world.config.orders * world.config.lines_per_order * 1.15 / world.config.skus))
        for sku in world.products:
            scarce = chance.random() < 0.1
            quantity = max(3, expected // 3) if scarce else expected * 2 + chance.randint(10, 40)
            world.warehouse.stock_up(sku, quantity)
            world.offers.set_quantity(sku, quantity)
        world.timeline.at(world.config.start + GOODS_IN_EVERY, self._goods_in)
        self._plan_next_order()

    def _draw_instants(self) -> list[timedelta]:
        chance = self.world.chance.of("instants")
        config = self.world.config
        hours = chance.choices(range(24), HOUR_WEIGHTS, k=config.orders)
        return sorted(
            timedelta(days=chance.randrange(config.days), hours=hour, seconds=chance.randrange(3600)) for hour in hours
        )

    def _plan_next_order(self) -> None:
        if self._next < len(self._instants):
            delay = self.world.paced(self._instants[self._next])
            self.world.timeline.at(self.world.config.start + delay, self._order)

    def _goods_in(self) -> None:
        world = self.world
        chance = world.chance.of("goods_in", world.clock.now().isoformat())
        lowest = sorted(world.products, key=world.warehouse.available)[:3]
        for sku in dict.fromkeys([*lowest, *chance.sample(sorted(world.products), min(2, len(world.products)))]):
            world.warehouse.take_delivery(sku, chance.randint(10, 40))
        world.timeline.after(GOODS_IN_EVERY, self._goods_in)

    def _soon(self, *, days: float = 0.0, hours: float = 0.0) -> timedelta:
        return self.world.paced(timedelta(days=days, hours=hours))

    # -- ordering ----------------------------------------------------------------------------------------------------------

    def order_now(self) -> Order | None:
        """A customer orders at this moment, beside those whose time is drawn; None where nothing they want is there."""
        self._extra += 1
        return self._place(self.world.config.orders + self._extra)

    def deliver_now(self, return_id: str) -> None:
        """A labelled parcel is posted and arrives at this moment, and lies there unopened."""
        self._post(return_id)
        self._take_in(return_id)

    def inspect_now(self, return_id: str, found: Sequence[str] = ()) -> None:
        """A parcel arrives and is opened at this moment; `found` says what of its units, the others are drawn."""
        self.deliver_now(return_id)
        self._inspect(return_id, found)

    def _order(self) -> None:
        self._next += 1
        number = self._next
        self._plan_next_order()
        self._place(number)

    def _place(self, number: int) -> Order | None:
        world = self.world
        chance = world.chance.of("order", number)
        wanted = self._basket(chance)
        taken = [(product, world.offers.take(product.sku, quantity)) for product, quantity in wanted]
        bought = [(product, quantity) for product, quantity in taken if quantity]
        if not bought:
            self.unserved += 1
            return None
        commercial_id = f"{world.config.shop_id}{number:07d}"
        order_id = f"{commercial_id}-A"
        now = world.clock.now()
        goods = sum(product.price_minor * quantity for product, quantity in bought)
        shipping = 0 if goods >= FREE_SHIPPING_FROM_MINOR else SHIPPING_MINOR
        lines = [
            self._line(f"{order_id}-{index}", index, one, shipping if index == 1 else 0, chance)
            for index, one in enumerate(bought, start=1)
        ]
        order = Order(
            id=order_id,
            commercial_id=commercial_id,
            number=number,
            created_at=now,
            updated_at=now,
            state="WAITING_ACCEPTANCE",
            lines=lines,
            customer_number=chance.randint(1, max(2, world.config.orders // 2)),
            shipping_deadline=now + timedelta(days=3),
        )
        world.marketplace.place(order)
        return order

    def _basket(self, chance: random.Random) -> list[tuple[Product, int]]:
        config = self.world.config
        extra = config.lines_per_order - 1
        count = 1
        while count < 5 and chance.random() < extra / (1 + extra):
            count += 1
        products = list(self.world.products.values())
        chosen = chance.sample(products, min(count, len(products)))
        return [(one, chance.choice((2, 2, 3)) if chance.random() < config.multi_unit_rate else 1) for one in chosen]

    def _line(
        self, line_id: str, index: int, bought: tuple[Product, int], shipping: int, chance: random.Random
    ) -> OrderLine:
        config = self.world.config
        product, quantity = bought
        price = product.price_minor * quantity
        rule: TaxRule = "PROPORTIONAL_TO_AMOUNT"
        if config.tax_rules == "none" or (config.tax_rules == "mixed" and chance.random() < 0.3):
            rule = "NONE"
        commission = half_even((price + shipping) * product.commission_percent, 100)
        return OrderLine(
            id=line_id,
            index=index,
            product=product,
            quantity=quantity,
            unit_minor=product.price_minor,
            price_minor=price,
            shipping_minor=shipping,
            taxes=[Tax("VAT20", config.vat_rate_percent, rule, self._tax(price))],
            shipping_taxes=[Tax("VAT20", config.vat_rate_percent, rule, self._tax(shipping))] if shipping else [],
            commission_minor=commission,
            commission_vat_minor=half_even(commission * config.vat_rate_percent, 100),
            state="WAITING_ACCEPTANCE",
            updated_at=self.world.clock.now(),
        )

    def _tax(self, amount: int) -> int:
        rate = self.world.config.vat_rate_percent
        inside = self.world.config.tax_mode == "TAX_INCLUDED"
        return half_even(amount * rate, 100 + rate if inside else 100)

    # -- sending back --------------------------------------------------------------------------------------------------------

    def order_received(self, order: Order) -> None:
        """The goods are at the customer's: decide on returns and incidents."""
        config = self.world.config
        chance = self.world.chance.of("keep", order.id)
        if chance.random() < config.return_rate:
            self.world.timeline.after(self._soon(days=chance.uniform(1, 12)), self._open_return, order.id, 0)
        if chance.random() < config.second_return_rate:
            self.world.timeline.after(self._soon(days=chance.uniform(8, 16)), self._open_return, order.id, 1)
        for line in order.active_lines():
            if chance.random() < config.incident_rate:
                reason = chance.choice(("1", "2", "3"))
                self.world.timeline.after(
                    self._soon(days=chance.uniform(0.5, 3)), self.world.marketplace.open_incident, line.id, reason
                )

    def _open_return(self, order_id: str, attempt: int) -> None:
        world = self.world
        order = world.marketplace.orders[order_id]
        chance = world.chance.of("return", order_id, attempt)
        candidates = [
            line
            for line in order.active_lines()
            if line.state == "RECEIVED"
            and world.returns.returnable(order, line.id) > 0
            and line.refunded_minor() < line.price_minor
        ]
        if not candidates or order.state != "RECEIVED" or order_id in self.bound:
            return
        count = 2 if len(candidates) > 1 and chance.random() < 0.15 else 1
        parts = []
        for line in chance.sample(candidates, count):
            left = world.returns.returnable(order, line.id)
            parts.append(
                (line.id, left if chance.random() < 0.6 else chance.randint(1, left), chance.choice(RETURN_REASONS))
            )
        world.returns.open(order, parts, "RETURN_METHOD_BY_MAIL")

    def return_accepted(self, one: MarketplaceReturn) -> None:
        """The seller accepted: with a label the parcel may go; without a parcel the operator gives up one day."""
        self.consider_posting(one)
        self.world.timeline.after(GIVE_UP_AFTER, self.world.returns.no_reception, one.id)

    def label_issued(self, label: PlatformReturn) -> None:
        """The returns platform has a return for this order: find the marketplace's return it stands for."""
        for one in self.world.returns.by_order(label.order_external_id):
            if self.platform_return_of(one) is label:
                self.consider_posting(one)

    def platform_return_of(self, one: MarketplaceReturn) -> PlatformReturn | None:
        """The platform's return that stands for this one: its external id names it, or its rma names the platform's."""
        return next(iter(self.platform_returns_of(one)), None)

    def platform_returns_of(self, one: MarketplaceReturn) -> list[PlatformReturn]:
        """Every platform return that claims to stand for this one, oldest first (there should be one at most)."""
        return [
            candidate
            for candidate in self.world.platform.returns_of_order(one.order_id)
            if one.id in candidate.external_id or (one.rma and one.rma in {candidate.external_id, candidate.id})
        ]

    def consider_posting(self, one: MarketplaceReturn) -> None:
        """Plan the parcel's posting, once, as soon as the return is accepted and has a label."""
        if one.posting_planned or one.order_id in self.bound:
            return
        if one.state != "IN_PROGRESS" or self.platform_return_of(one) is None:
            return
        one.posting_planned = True
        config = self.world.config
        chance = self.world.chance.of("post", one.id)
        fate = chance.random()
        if fate < config.never_posted_rate:
            return
        if fate < config.never_posted_rate + config.return_canceled_rate:
            self.world.timeline.after(self._soon(hours=chance.uniform(2, 24)), self._change_mind, one.id)
            return
        self.world.timeline.after(self._soon(hours=chance.uniform(6, 48)), self._post, one.id)

    def _change_mind(self, return_id: str) -> None:
        one = self.world.returns.returns[return_id]
        if one.state == "IN_PROGRESS":
            self.world.returns.cancel(return_id)

    def _post(self, return_id: str) -> None:
        one = self.world.returns.returns[return_id]
        label = self.platform_return_of(one)
        if one.state != "IN_PROGRESS" or label is None or one.posted_at is not None:
            return
        one.posted_at = self.world.clock.now()
        self.world.platform.mark_shipped(label)
        days = self.world.chance.of("transit", return_id).uniform(2, 3)
        self.world.timeline.after(self._soon(days=days), self._arrive, return_id)

    def _arrive(self, return_id: str) -> None:
        if not self._take_in(return_id):
            return
        hours = self.world.chance.of("inspect", return_id).uniform(2, 24)
        self.world.timeline.after(self._soon(hours=hours), self._inspect, return_id)

    def _take_in(self, return_id: str) -> bool:
        """The parcel is at the warehouse; false where it was before."""
        one = self.world.returns.returns[return_id]
        if one.arrived_at is not None:
            return False
        one.arrived_at = self.world.clock.now()
        label = self.platform_return_of(one)
        if label is not None and label.status == "shipped":
            self.world.platform.mark_received(label)
        self.world.warehouse.take_in_return(return_id)
        return True

    # -- what is in the parcel ---------------------------------------------------------------------------------------------------

    def _inspect(self, return_id: str, found: Sequence[str] = ()) -> None:
        """The warehouse opens the parcel: one row per line, outcome and item that came; missing units have none."""
        world = self.world
        one = world.returns.returns[return_id]
        if one.inspected_at is not None:
            return
        one.inspected_at = world.clock.now()
        chance = world.chance.of("parcel_content", return_id)
        order = world.marketplace.orders[one.order_id]
        ordered = {line.product.sku for line in order.lines}
        label = self.platform_return_of(one)
        told = iter(found)
        for line in one.lines:
            drawn = [self._outcome(chance) for _ in range(line.quantity)]
            outcomes = [next(told, outcome) for outcome in drawn]
            one.outcomes[line.order_line_id] = outcomes
            for outcome in ("new", "damaged", "wrong_item", "quarantine"):
                quantity = outcomes.count(outcome)
                if not quantity:
                    continue
                sku = line.sku
                if outcome == "wrong_item":
                    sku = chance.choice([other for other in world.products if other not in ordered] or [line.sku])
                    self._report_wrong_item(label, line.order_line_id, sku)
                world.warehouse.record_return(
                    one.order_id,
                    sku,
                    quantity,
                    outcome,
                    reason=line.reason_code,
                    return_id=one.id,
                    order_line_id=line.order_line_id,
                )
        if label is not None:
            world.platform.mark_inspected(label, one.outcomes)

    def _report_wrong_item(self, label: PlatformReturn | None, order_line_id: str, sku: str) -> None:
        for part in label.lines if label else ():
            if part.external_id == order_line_id:
                part.received_sku = sku

    def _outcome(self, chance: random.Random) -> str:
        config = self.world.config
        draw = chance.random()
        for outcome, rate in (
            ("damaged", config.damaged_rate),
            ("wrong_item", config.wrong_item_rate),
            ("missing", config.missing_rate),
            ("quarantine", config.quarantine_rate),
        ):
            if draw < rate:
                return outcome
            draw -= rate
        return "new"
