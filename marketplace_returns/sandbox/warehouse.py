"""The warehouse (Peoplevox) as it is, without its SOAP face.

Here: stock per item and site, sales orders and their despatch, purchase orders, goods in, inspected returns. Not here: envelopes,
CSV, clauses, local time (the SOAP face renders those; every instant here is aware UTC). Invariant: on hand never goes below
zero and available = on hand - allocated, whatever is imported in whatever order.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from marketplace_returns.sandbox.catalogue import CARRIERS, Product

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

SUCCESS = "Success"

Row = TypeVar("Row")

# What the inspection found, as the tenant writes it: Return condition and Is Reusable.
_CONDITIONS = {
    "new": ("NEW", True),
    "damaged": ("Damaged", False),
    "wrong_item": ("Wrong item", True),
    "quarantine": ("Quarantine", False),
}


@dataclass(slots=True)
class SalesOrderItem:
    """One line of a sales order, keyed by (sales order number, line)."""

    number: str
    line: str
    item_code: str
    quantity: int
    fields: dict[str, str]
    despatched: int = 0
    is_allocated: bool = True


@dataclass(slots=True)
class SalesOrder:
    """A sales order; `fields` holds its columns as last imported, under the default template headers."""

    number: str
    fields: dict[str, str]
    created_at: datetime
    updated_at: datetime
    status: str = "New"
    items: dict[str, SalesOrderItem] = field(default_factory=dict)
    marketplace_state_at_import: str | None = None
    picking_planned: bool = False
    parcels: int = 0


@dataclass(slots=True, frozen=True)
class DespatchRow:
    """One despatched item line (report `Despatch summary`)."""

    sales_order_number: str
    despatch_number: str
    carrier: str
    service: str
    despatched_at: datetime
    tracking_number: str
    item_code: str
    item_name: str
    line: str
    quantity: int
    site: str


@dataclass(slots=True, frozen=True)
class ReturnRow:
    """One inspected item and condition (report `Return summary`); the three last fields are the truth, shown to no client."""

    return_code: str
    returned_at: datetime
    sales_order_number: str
    item_code: str
    item_name: str
    quantity: int
    condition: str
    is_reusable: bool
    reason: str
    comments: str
    site: str
    despatched_at: datetime | None
    return_id: str | None
    order_line_id: str | None
    outcome: str


@dataclass(slots=True, frozen=True)
class StockRow:
    """Stock of one item at one site (report `Item inventory summary`)."""

    item_code: str
    item_name: str
    site: str
    on_hand: int
    allocated: int
    available: int


@dataclass(slots=True)
class PurchaseOrderItem:
    """One line of a purchase order."""

    number: str
    line: str
    item_code: str
    quantity: int
    fields: dict[str, str]


@dataclass(slots=True)
class PurchaseOrder:
    """A purchase order; the product's expected returns come as these (number `RTN-...`)."""

    number: str
    fields: dict[str, str]
    created_at: datetime
    updated_at: datetime
    status: str = "Pending"
    items: dict[str, PurchaseOrderItem] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class GoodsInRow:
    """One delivery of one item (report `Goods in summary`)."""

    reference: str
    delivered_at: datetime
    item_code: str
    item_name: str
    quantity: int
    site: str
    purchase_order_number: str


@dataclass(slots=True)
class _Stock:
    on_hand: int = 0
    allocated: int = 0
    changed_at: datetime | None = None


class Warehouse:
    """One warehouse site of one seller."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: dict[str, SalesOrder] = {}
        self.purchase_orders: dict[str, PurchaseOrder] = {}
        self._stock: dict[str, _Stock] = {sku: _Stock() for sku in world.products}
        self._despatches: list[DespatchRow] = []
        self._despatches_of: dict[str, list[DespatchRow]] = {}
        self._returns: list[ReturnRow] = []
        self._goods_in: list[GoodsInRow] = []
        self._unlisted: set[str] = set()
        self._elsewhere: dict[tuple[str, str], int] = {}
        self.blocked_items: set[str] = set()
        """Item types that no import may name."""

    # -- reads ------------------------------------------------------------------------------------------------------

    def sales_order(self, number: str) -> SalesOrder | None:
        """The sales order of that number, or None."""
        return self.orders.get(number)

    def sales_orders(self) -> Iterable[SalesOrder]:
        """All sales orders, oldest import first."""
        return self.orders.values()

    def purchase_order(self, number: str) -> PurchaseOrder | None:
        """The purchase order of that number, or None."""
        return self.purchase_orders.get(number)

    def despatch_rows(self, since: datetime | None = None) -> list[DespatchRow]:
        """Despatched item lines at or after `since` (all when None), oldest first."""
        return _since(self._despatches, "despatched_at", since)

    def despatches_of(self, number: str) -> list[DespatchRow]:
        """Despatched item lines of one sales order, oldest first."""
        return self._despatches_of.get(number, [])

    def return_rows(self, since: datetime | None = None) -> list[ReturnRow]:
        """Inspected returns at or after `since` (all when None), oldest first."""
        return _since(self._returns, "returned_at", since)

    def returns_of(self, number: str) -> list[ReturnRow]:
        """Inspected returns of one sales order, oldest first."""
        return [row for row in self._returns if row.sales_order_number == number]

    def goods_in_rows(self, since: datetime | None = None) -> list[GoodsInRow]:
        """Deliveries at or after `since` (all when None), oldest first."""
        return _since(self._goods_in, "delivered_at", since)

    def stock_rows(self, site: str | None = None) -> list[StockRow]:
        """Stock of every listed item at `site`; empty for a site the tenant does not have; None means all sites."""
        own_site = self.world.config.site
        products = self.world.products
        rows = [
            StockRow(
                code, products[code].title, own_site, stock.on_hand, stock.allocated, stock.on_hand - stock.allocated
            )
            for code, stock in self._stock.items()
            if code not in self._unlisted
        ]
        rows += [
            StockRow(code, products[code].title, other, quantity, 0, quantity)
            for (other, code), quantity in self._elsewhere.items()
        ]
        return rows if site is None else [row for row in rows if row.site == site]

    def item_types(self) -> list[Product]:
        """Every item the warehouse's catalogue lists; `sku` is its item code."""
        config, products = self.world.config, self.world.products
        spellings = dict(config.item_spellings)
        listed = [replace(one, sku=spellings.get(one.sku, one.sku)) for one in products.values()]
        model = next(iter(products.values()))
        return [*(one for one in listed if one.sku), *(replace(model, sku=code) for code in config.extra_items)]

    def available(self, item_code: str) -> int:
        """On hand minus allocated at the main site; may be negative when more was ordered than is there.

        Nothing for an item that the stock list no longer has.
        """
        if item_code in self._unlisted:
            return 0
        stock = self._stock[item_code]
        return stock.on_hand - stock.allocated

    def stock_changed_at(self, item_code: str) -> datetime | None:
        """When the availability of this item last changed, None since the start of the world."""
        return self._stock[item_code].changed_at

    # -- imports (SaveData) -----------------------------------------------------------------------------------------

    def import_sales_orders(self, rows: Sequence[Mapping[str, str]]) -> list[str]:
        """Upsert sales orders by SalesOrderNumber; one status per row, `Success` or the reason it was refused.

        Rows carry the default headers of template `Sales orders`. Of the statuses only Cancelled may be imported.
        """
        return [self._import_sales_order(row) for row in rows]

    def import_sales_order_items(self, rows: Sequence[Mapping[str, str]], *, allocate: bool = True) -> list[str]:
        """Upsert order lines by (SalesOrderNumber, Line); one status per row.

        Lines imported with `allocate` off take no stock and are not picked until they are imported again with it on.
        """
        seen: set[tuple[str, str]] = set()
        return [self._import_sales_order_item(row, seen, allocate) for row in rows]

    def import_purchase_orders(self, rows: Sequence[Mapping[str, str]]) -> list[str]:
        """Upsert purchase orders by PurchaseOrderNumber; one status per row (statuses Pending, Cancelled, Deleted)."""
        return [self._import_purchase_order(row) for row in rows]

    def import_purchase_order_items(self, rows: Sequence[Mapping[str, str]]) -> list[str]:
        """Upsert purchase order lines by (PurchaseOrderNumber, Line); one status per row."""
        seen: set[tuple[str, str]] = set()
        return [self._import_purchase_order_item(row, seen) for row in rows]

    def _import_sales_order(self, row: Mapping[str, str]) -> str:
        number = row.get("SalesOrderNumber", "").strip()
        if not number:
            return "SalesOrderNumber is required"
        if len(number) > 30:
            return "SalesOrderNumber is longer than 30 characters"
        status = row.get("Status", "").strip()
        if status not in {"", "New", "Cancelled"}:
            return f"Status '{status}' cannot be imported"
        now = self.world.clock.now()
        order = self.orders.get(number)
        if order is None:
            state = self.world.marketplace.state_of(number)
            order = SalesOrder(number, {}, now, now, marketplace_state_at_import=state)
            self.orders[number] = order
        if status == "Cancelled" and order.parcels:
            return f"Sales order '{number}' is already despatched"
        if status != "Cancelled" and order.status == "Cancelled":
            return f"Sales order '{number}' is cancelled"
        order.fields.update(row)
        order.updated_at = now
        if status == "Cancelled":
            self._cancel(order)
        self._tell_status(order)
        return SUCCESS

    def _cancel(self, order: SalesOrder) -> None:
        if order.status in {"Cancelled", "Despatched"}:
            return
        order.status = "Cancelled"
        for item in order.items.values():
            if item.is_allocated:
                self._allocate(item.item_code, item.despatched - item.quantity)

    def _import_sales_order_item(self, row: Mapping[str, str], seen: set[tuple[str, str]], allocate: bool) -> str:
        number = row.get("SalesOrderNumber", "").strip()
        item_code = row.get("ItemCode", "").strip()
        order = self.orders.get(number)
        if order is None:
            return f"Sales order '{number}' does not exist"
        quantity = _whole_number(row.get("QuantityOrdered", ""))
        if reason := self._item_error(item_code, quantity, "QuantityOrdered", row):
            return reason
        line = row.get("Line", "").strip() or item_code
        if (number, line) in seen:
            return f"Duplicate item line '{line}' for sales order '{number}'"
        seen.add((number, line))
        if order.status == "Cancelled":
            return f"Sales order '{number}' is cancelled"
        item = order.items.get(line)
        if item is not None and item.despatched:
            return f"Line '{line}' of sales order '{number}' is already despatched"
        if item is not None and item.is_allocated:
            self._allocate(item.item_code, -item.quantity)
        order.items[line] = SalesOrderItem(number, line, item_code, quantity, dict(row), is_allocated=allocate)
        order.updated_at = self.world.clock.now()
        if allocate:
            self._allocate(item_code, quantity)
            self._plan_picking(order)
        return SUCCESS

    def _import_purchase_order(self, row: Mapping[str, str]) -> str:
        number = row.get("PurchaseOrderNumber", "").strip()
        if not number:
            return "PurchaseOrderNumber is required"
        status = row.get("Status", "").strip() or "Pending"
        if status not in {"Pending", "Cancelled", "Deleted"}:
            return f"Status '{status}' cannot be imported"
        now = self.world.clock.now()
        order = self.purchase_orders.setdefault(number, PurchaseOrder(number, {}, now, now))
        if order.status == "Received":
            return f"Purchase order '{number}' is received"
        if order.status != "Pending" and status == "Pending":
            return f"Purchase order '{number}' is {order.status.lower()}"
        order.fields.update(row)
        order.status = status
        order.updated_at = now
        return SUCCESS

    def _import_purchase_order_item(self, row: Mapping[str, str], seen: set[tuple[str, str]]) -> str:
        number = row.get("PurchaseOrderNumber", "").strip()
        item_code = row.get("ItemCode", "").strip()
        order = self.purchase_orders.get(number)
        if order is None:
            return f"Purchase order '{number}' does not exist"
        quantity = _whole_number(row.get("Quantity", ""))
        if reason := self._item_error(item_code, quantity, "Quantity", row):
            return reason
        line = row.get("Line", "").strip() or item_code
        if (number, line) in seen:
            return f"Duplicate item line '{line}' for purchase order '{number}'"
        seen.add((number, line))
        if order.status != "Pending":
            return f"Purchase order '{number}' is {order.status.lower()}"
        order.items[line] = PurchaseOrderItem(number, line, item_code, quantity, dict(row))
        order.updated_at = self.world.clock.now()
        return SUCCESS

    def _item_error(self, item_code: str, quantity: int, column: str, row: Mapping[str, str]) -> str | None:
        if item_code not in self._stock:
            return f"Item type '{item_code}' does not exist"
        if item_code in self.blocked_items:
            return f"Item type '{item_code}' is blocked"
        if quantity < 1:
            return f"{column} '{row.get(column, '')}' is not a whole number above 0"
        return None

    # -- what the people in the warehouse do --------------------------------------------------------------------------

    def stock_up(self, item_code: str, quantity: int) -> None:
        """Put goods on hand without a delivery (the start of the world)."""
        self._stock[item_code].on_hand += quantity

    def take_delivery(self, item_code: str, quantity: int) -> None:
        """Goods come in: on hand rises, one goods-in row."""
        reference = f"GI{self.world.chance.number('goods_in'):06d}"
        now = self.world.clock.now()
        self._goods_in.append(
            GoodsInRow(
                reference,
                now,
                item_code,
                self.world.products[item_code].title,
                quantity,
                self.world.config.site,
                f"PO-{reference}",
            )
        )
        self._put_on_hand(item_code, quantity)
        self.world.notifications.publish("peoplevox", "GoodsReceived", {"ItemCode": item_code})

    def take_in_return(self, return_id: str) -> None:
        """A returned parcel arrives: booked against its expected receipt into quarantine, where there is an open one.

        Nothing goes on hand before it is inspected.
        """
        order = self.purchase_orders.get(f"RTN-{return_id}")
        if order is None or order.status != "Pending":
            return
        now = self.world.clock.now()
        order.status = "Received"
        order.updated_at = now
        reference = f"GI{self.world.chance.number('goods_in'):06d}"
        for item in order.items.values():
            if item.fields.get("Status") == "Closed":
                continue
            title = self.world.products[item.item_code].title
            row = GoodsInRow(reference, now, item.item_code, title, item.quantity, self.world.config.site, order.number)
            self._goods_in.append(row)

    def stock_elsewhere(self, site: str, item_code: str, quantity: int) -> None:
        """Say what another site of the tenant has of an item."""
        self._elsewhere[site, item_code] = quantity

    def add_item(self, product: Product) -> None:
        """Somebody enters an item into the catalogue; nothing of it is on hand."""
        self.world.products[product.sku] = product
        self._stock[product.sku] = _Stock(changed_at=self.world.clock.now())

    def delete_order(self, number: str) -> None:
        """Somebody deletes a sales order of which nothing has left."""
        order = self.orders.pop(number)
        for item in order.items.values():
            if item.is_allocated:
                self._allocate(item.item_code, -item.quantity)

    def drop_from_list(self, item_code: str) -> None:
        """The item is taken off the site: the stock list no longer has a row for it."""
        self._unlisted.add(item_code)
        self._stock[item_code].changed_at = self.world.clock.now()

    def put_on_list(self, item_code: str) -> None:
        """The stock list has a row for the item again."""
        self._unlisted.discard(item_code)
        self._stock[item_code].changed_at = self.world.clock.now()

    def correct_return(self, return_code: str, outcome: str) -> ReturnRow:
        """A second look changes what was written of an inspected row; stock follows, its date and code stay."""
        place = next(place for place, row in enumerate(self._returns) if row.return_code == return_code)
        before = self._returns[place]
        condition, is_reusable = _CONDITIONS[outcome]
        row = replace(before, condition=condition, is_reusable=is_reusable, outcome=outcome)
        self._returns[place] = row
        if row.is_reusable != before.is_reusable:
            on_hand = self._stock[row.item_code].on_hand
            self._put_on_hand(row.item_code, row.quantity if row.is_reusable else -min(row.quantity, on_hand))
        return row

    def rename_carrier(self, number: str, carrier: str) -> None:
        """A sales order's parcels went with another carrier than was planned."""
        for rows in (self._despatches, self._despatches_of.get(number, [])):
            rows[:] = [replace(row, carrier=carrier) if row.sales_order_number == number else row for row in rows]

    def enter_late(self, row: DespatchRow) -> None:
        """Somebody enters a parcel that left earlier: the report shows it at the minute it left."""
        insort(self._despatches, row, key=attrgetter("despatched_at"))
        insort(self._despatches_of.setdefault(row.sales_order_number, []), row, key=attrgetter("despatched_at"))

    def record_return(  # noqa: PLR0917 - one row of a report, in the report's order
        self,
        sales_order_number: str,
        item_code: str,
        quantity: int,
        outcome: str,
        reason: str,
        return_id: str | None,
        order_line_id: str | None,
    ) -> ReturnRow:
        """Write one inspected row; reusable goods go on hand at once as the item that really came.

        `outcome` is new, damaged, wrong_item or quarantine; `item_code` is what came. Missing units have no row.
        """
        condition, is_reusable = _CONDITIONS[outcome]
        despatches = self.despatches_of(sales_order_number)
        row = ReturnRow(
            return_code=f"RET{self.world.chance.number('return_row')}",
            returned_at=self.world.clock.now(),
            sales_order_number=sales_order_number,
            item_code=item_code,
            item_name=self.world.products[item_code].title,
            quantity=quantity,
            condition=condition,
            is_reusable=is_reusable,
            reason=reason,
            comments="" if outcome == "new" else f"Inspected: {condition.lower()}",
            site=self.world.config.site,
            despatched_at=despatches[0].despatched_at if despatches else None,
            return_id=return_id,
            order_line_id=order_line_id,
            outcome=outcome,
        )
        self._returns.append(row)
        if is_reusable:
            self._put_on_hand(item_code, quantity)
        self.world.notifications.publish("peoplevox", "Returns", {})
        return row

    def _plan_picking(self, order: SalesOrder) -> None:
        if order.picking_planned:
            return
        order.picking_planned = True
        hours = self.world.chance.of("pick", order.number).uniform(4, 24)
        self.world.timeline.after(self.world.paced(timedelta(hours=hours)), self._pick, order.number)

    def pick_now(self, number: str) -> None:
        """Pack an order whose picking is planned at this moment, instead of when its time was drawn."""
        self._pick(number)

    def _pick(self, number: str) -> None:
        """Despatch what is there; a split order's second parcel and short stock follow a day later."""
        order = self.orders.get(number)
        if order is None:  # deleted
            return
        order.picking_planned = False
        if order.status == "Cancelled":
            return
        chance = self.world.chance.of("parcel", number, order.parcels)
        allocated = [item for item in order.items.values() if item.is_allocated]
        open_items = [item for item in allocated if item.despatched < item.quantity]
        units = sum(item.quantity - item.despatched for item in open_items)
        budget = units
        if order.parcels == 0 and units > 1 and chance.random() < self.world.config.split_parcel_rate:
            budget = units // 2
        picked = self._take_from_shelf(open_items, budget)
        if picked:
            self._despatch(order, picked, chance.choice(CARRIERS).warehouse_name)
        if any(item.despatched < item.quantity for item in allocated):
            order.status = "Part despatched" if order.parcels else "New"
            order.picking_planned = True
            self.world.timeline.after(self.world.paced(timedelta(hours=chance.uniform(18, 30))), self._pick, number)
        else:
            order.status = "Despatched"
        order.updated_at = self.world.clock.now()
        self._tell_status(order)

    def _take_from_shelf(self, items: list[SalesOrderItem], budget: int) -> list[tuple[SalesOrderItem, int]]:
        picked = []
        for item in items:
            stock = self._stock[item.item_code]
            wanted = min(item.quantity - item.despatched, budget)
            if stock.on_hand < wanted:
                self.take_delivery(item.item_code, 20)  # the buyer re-orders what customers wait for
            if wanted:
                stock.on_hand -= wanted
                stock.allocated -= wanted
                item.despatched += wanted
                budget -= wanted
                picked.append((item, wanted))
        return picked

    def _despatch(self, order: SalesOrder, picked: list[tuple[SalesOrderItem, int]], carrier_name: str) -> None:
        order.parcels += 1
        despatch_number = f"D{self.world.chance.number('despatch'):07d}"
        service = next(carrier.warehouse_service for carrier in CARRIERS if carrier.warehouse_name == carrier_name)
        tracking = f"TRK{self.world.config.seed % 1000:03d}{self.world.chance.number('tracking'):09d}"
        for item, quantity in picked:
            row = DespatchRow(
                order.number,
                despatch_number,
                carrier_name,
                service,
                self.world.clock.now(),
                tracking,
                item.item_code,
                self.world.products[item.item_code].title,
                item.line,
                quantity,
                self.world.config.site,
            )
            self._despatches.append(row)
            self._despatches_of.setdefault(order.number, []).append(row)
        facts = {
            "DespatchNumber": despatch_number,
            "TrackingNumber": tracking,
            "ServiceType.Name": service,
            "Picks.SalesOrder.SalesOrderNumber": order.number,
        }
        for event_type in ("TrackingNumberReceived", "DespatchPackageDespatched"):
            self.world.notifications.publish("peoplevox", event_type, facts)

    def _tell_status(self, order: SalesOrder) -> None:
        facts = {"SalesOrderNumber": order.number, "SalesOrderStatu.Name": order.status}
        self.world.notifications.publish("peoplevox", "SalesOrderStatusChanges", facts)

    def _tell_available(self, item_code: str) -> None:
        facts = {"ItemCode": item_code, "Available": self.available(item_code)}
        self.world.notifications.publish("peoplevox", "AvailabilityChanges", facts)

    def _allocate(self, item_code: str, quantity: int) -> None:
        stock = self._stock[item_code]
        stock.allocated += quantity
        stock.changed_at = self.world.clock.now()
        self._tell_available(item_code)

    def _put_on_hand(self, item_code: str, quantity: int) -> None:
        stock = self._stock[item_code]
        stock.on_hand += quantity
        stock.changed_at = self.world.clock.now()
        self._tell_available(item_code)


def _since(rows: list[Row], attribute: str, since: datetime | None) -> list[Row]:
    if since is None:
        return list(rows)
    return rows[bisect_left(rows, since, key=attrgetter(attribute)) :]


def _whole_number(text: str) -> int:
    """The number, 0 when it is none (a quantity is never 0)."""
    try:
        return int(text.strip())
    except ValueError:
        return 0
