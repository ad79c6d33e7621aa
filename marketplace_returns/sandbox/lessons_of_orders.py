"""Troubles with orders on their way out and with what is on sale, to practise on.

Here: acceptance, the warehouse's orders and catalogue, despatch, cancellation, stock. Not here: what comes back. Invariant: as ``lessons``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from marketplace_returns.sandbox.lesson import Lesson, Room, Stage, place_order
from marketplace_returns.sandbox.warehouse import SUCCESS

DEAR_MINOR: Final = 15_000
"""An order above this waits for a person where the training's policy says so."""
NEW_CARRIER: Final = "Pigeon Post"
MISTAKEN_CARRIER: Final = "Heron Couriers"
"""Its row in the training's ``carriers.csv`` names a code that the marketplace does not know."""
NEW_ITEM: Final = "NEW-SEASON-1"
NEW_OFFER_ID: Final = 990_001
VANISHED: Final = 30
"""So many items vanish from the stock list: a fifth of those on sale, and more."""


def _dear_order(room: Room) -> None:
    """A customer orders for more than the shop accepts by itself."""
    place_order(room, lambda order: sum(line.price_minor for line in order.lines) > DEAR_MINOR)


def _accept(room: Room) -> None:
    order = room.order()
    room.world.marketplace.accept(order.id, [(line.id, True) for line in order.lines])


def _cancelled_meanwhile(room: Room) -> None:
    """The customer cancels between our decision and our acceptance."""
    room.world.marketplace.cancel(room.order().id)


def _an_order(room: Room) -> None:
    """A customer orders."""
    place_order(room)


def _block_item(room: Room) -> None:
    """Somebody blocks an item of the order in the warehouse."""
    room.world.warehouse.blocked_items.add(room.line().product.sku)


def _free_item(room: Room) -> None:
    room.world.warehouse.blocked_items.discard(room.line().product.sku)


def _delete_in_warehouse(room: Room) -> None:
    """Somebody deletes the order in the warehouse as soon as it is there."""
    room.world.warehouse.delete_order(room.order().id)


def _key_in_again(room: Room) -> None:
    order, warehouse = room.order(), room.world.warehouse
    items = [
        {
            "SalesOrderNumber": order.id,
            "Line": str(line.index),
            "ItemCode": line.product.sku,
            "QuantityOrdered": str(line.quantity),
        }
        for line in order.active_lines()
    ]
    said = [
        *warehouse.import_sales_orders([{"SalesOrderNumber": order.id}]),
        *warehouse.import_sales_order_items(items),
    ]
    if set(said) != {SUCCESS}:
        raise ValueError(f"the warehouse refuses the order: {'; '.join(said)}")


def _unlist_item(room: Room) -> None:
    """An item of the order is taken out of the warehouse's catalogue."""
    world, sku = room.world, room.line().product.sku
    world.config = replace(world.config, item_spellings=(*world.config.item_spellings, (sku, "")))
    room.about["item_code"] = sku


def _list_item(room: Room) -> None:
    world = room.world
    kept = tuple(pair for pair in world.config.item_spellings if pair[0] != room.about["item_code"])
    world.config = replace(world.config, item_spellings=kept)


def _offer_without_item(room: Room) -> None:
    """The marketplace lists an offer of something that nobody has entered in the warehouse."""
    model = next(iter(room.world.products.values()))
    product = replace(
        model, sku=NEW_ITEM, product_sku=NEW_ITEM, offer_id=NEW_OFFER_ID, title="New season", barcode="5000000000001"
    )
    room.world.offers.add(product)
    room.about["offer_sku"] = NEW_ITEM


def _enter_item(room: Room) -> None:
    room.world.warehouse.add_item(room.world.offers.by_sku[NEW_ITEM].product)


def _leaves_with(room: Room, carrier: str) -> None:
    warehouse, number = room.world.warehouse, room.order().id
    warehouse.pick_now(number)
    warehouse.rename_carrier(number, carrier)


def _new_carrier(room: Room) -> None:
    """The warehouse sends an order with a carrier that it never used before."""
    _leaves_with(room, NEW_CARRIER)


def _mistaken_carrier(room: Room) -> None:
    """The warehouse sends an order with a carrier whose row in the mapping table is wrong."""
    _leaves_with(room, MISTAKEN_CARRIER)


def _forgotten_despatch(room: Room) -> None:
    """The marketplace will answer the order's despatch as confirmed, and forget it."""
    room.world.marketplace.unheard.add(room.order().id)


def _confirm_despatch(room: Room) -> None:
    market, order_id = room.world.marketplace, room.order().id
    market.unheard.discard(order_id)
    market.ship(order_id)


def _cancelled_and_sent(room: Room) -> None:
    """The parcel leaves while the operator cancels the order."""
    room.world.warehouse.pick_now(room.order().id)
    room.world.marketplace.cancel_debited(room.order().id)


def _offer_to_push(room: Room, place: int) -> str:
    """Choose an offer and have goods delivered for it, so that its quantity is pushed."""
    sku = list(room.world.products)[place]
    room.about["offer_sku"] = sku
    room.world.warehouse.take_delivery(sku, 7)
    return sku


def _withdraw_offer(room: Room) -> None:
    """The operator takes an offer away whose quantity is about to change."""
    room.world.offers.withdrawn.add(_offer_to_push(room, 0))


def _give_offer_back(room: Room) -> None:
    room.world.offers.withdrawn.discard(room.about["offer_sku"])
    room.world.warehouse.take_delivery(room.about["offer_sku"], 1)


def _forgotten_quantity(room: Room) -> None:
    """The marketplace will answer an offer's quantity as taken, and forget it."""
    room.world.offers.unheard.add(_offer_to_push(room, 1))


def _set_quantity(room: Room) -> None:
    offers, sku = room.world.offers, room.about["offer_sku"]
    offers.unheard.discard(sku)
    offers.set_quantity(sku, max(0, room.world.warehouse.available(sku)))


def _vanished_items(room: Room) -> None:
    """Many items vanish from the warehouse's stock list at once."""
    for sku in list(room.world.products)[-VANISHED:]:
        room.world.warehouse.drop_from_list(sku)
    room.about["stream"] = "peoplevox/stock"


def _listed_again(room: Room) -> None:
    for sku in list(room.world.products)[-VANISHED:]:
        room.world.warehouse.put_on_list(sku)


LESSONS: Final[dict[str, Lesson]] = {
    "ACK_OVERDUE": Lesson({Stage.NOW: _dear_order}, "the order is accepted in the marketplace's back office", _accept),
    "ACK_REJECTED": Lesson({Stage.NOW: _an_order, Stage.NOW_DECIDED: _cancelled_meanwhile}),
    "WMS_ORDER_FAILED": Lesson(
        {Stage.TWO_DAYS: _an_order, Stage.HOURS: _block_item}, "the warehouse frees the item", _free_item
    ),
    "WMS_ORDER_MISSING": Lesson(
        {Stage.TWO_DAYS: _an_order, Stage.HOURS_WRITTEN: _delete_in_warehouse},
        "the warehouse keys the order in again, under its number",
        _key_in_again,
    ),
    "SKU_UNMAPPED": Lesson(
        {Stage.TWO_DAYS: _an_order, Stage.HOURS: _unlist_item},
        "the item is put back into the warehouse's catalogue",
        _list_item,
    ),
    "SKU_AUDIT_DIFF": Lesson(
        {Stage.NOW: _offer_without_item}, "product data enters the item in the warehouse", _enter_item
    ),
    "DESPATCH_UNMAPPED_CARRIER": Lesson({Stage.TWO_DAYS: _an_order, Stage.HOURS_WRITTEN: _new_carrier}),
    "DESPATCH_REJECTED": Lesson({Stage.TWO_DAYS: _an_order, Stage.HOURS_WRITTEN: _mistaken_carrier}),
    "DESPATCH_NOT_REFLECTED": Lesson(
        {Stage.THREE_DAYS: _an_order, Stage.TWO_DAYS: _forgotten_despatch},
        "the despatch is confirmed in the marketplace's back office",
        _confirm_despatch,
    ),
    "CANCEL_RACE": Lesson({Stage.TWO_DAYS: _an_order, Stage.HOURS_WRITTEN: _cancelled_and_sent}),
    "STOCK_REJECTED": Lesson(
        {Stage.NOW: _withdraw_offer}, "the operator gives the offer back, and goods come in for it", _give_offer_back
    ),
    "STOCK_DRIFT": Lesson(
        {Stage.HOURS: _forgotten_quantity}, "the offer's quantity is set in the back office", _set_quantity
    ),
    "STOCK_STALE": Lesson(
        {Stage.NOW: _vanished_items}, "the warehouse mends its stock list: the items are on it again", _listed_again
    ),
}
