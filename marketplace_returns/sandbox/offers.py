"""The shop's offers and the stock imports that set their quantities.

Here: offer quantities, STO01 imports and when they take effect. Not here: the warehouse's stock (warehouse.py), CSV over HTTP
beyond its lines. Invariant: an accepted import changes nothing until it is COMPLETE; each good line is applied once.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from marketplace_returns.sandbox.catalogue import Product
from marketplace_returns.sandbox.refusals import RefusedError

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

QUANTITY_MAX = 1_000_000_000


@dataclass(slots=True)
class Offer:
    """One offer; its quantity goes down when a customer orders and is set by stock imports."""

    product: Product
    quantity: int
    updated_at: datetime


@dataclass(slots=True)
class StockImport:
    """One STO01 file; `started_wall` is in seconds of the process's clock, `errors` pairs a line number with a reason."""

    id: str
    created_at: datetime
    started_wall: float
    header: list[str]
    rows: list[list[str]]
    status: str = "WAITING"
    lines_in_success: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)


class Offers:
    """All offers of the shop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.by_sku = {sku: Offer(product, 0, world.clock.now()) for sku, product in world.products.items()}
        self.by_id = {offer.product.offer_id: offer for offer in self.by_sku.values()}
        self.withdrawn: set[str] = set()
        """SKUs whose offer the operator took away: a quantity for one is refused."""
        self.unheard: set[str] = set()
        """SKUs of which a quantity is answered as taken and is forgotten."""
        self.imports: dict[str, StockImport] = {}
        self._running: list[StockImport] = []

    def take(self, sku: str, wanted: int) -> int:
        """A customer takes up to `wanted` units off the offer; returns how many there were."""
        offer = self.by_sku[sku]
        taken = min(wanted, offer.quantity)
        if taken:
            self.set_quantity(sku, offer.quantity - taken)
        return taken

    def set_quantity(self, sku: str, quantity: int) -> None:
        """Set an offer's quantity now."""
        offer = self.by_sku[sku]
        offer.quantity = quantity
        offer.updated_at = self.world.clock.now()

    def add(self, product: Product) -> None:
        """The marketplace has an offer of something that the warehouse does not know, with nothing on sale."""
        offer = Offer(product, 0, self.world.clock.now())
        self.by_sku[product.sku] = self.by_id[product.offer_id] = offer

    def start_import(self, text: str) -> StockImport:
        """Accept a STO01 file (`offer-sku;quantity;warehouse-code;update-delete`); raises RefusedError for no or a bad header."""
        rows = [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";") if row]
        header = [name.strip().lower() for name in rows[0]] if rows else []
        missing = {"offer-sku", "quantity"} - set(header)
        if missing:
            raise RefusedError(f"The file has no column {', '.join(sorted(missing))}; use the separator ';'")
        number = self.world.chance.number("stock_import", 9001)
        started = StockImport(str(number), self.world.clock.now(), self.world.wall(), header, rows[1:])
        self.imports[started.id] = started
        self._running.append(started)
        return started

    def settle_imports(self) -> None:
        """Apply the imports whose time has come: real seconds since the upload, or any step of the world's clock."""
        while self._running:
            first = self._running[0]
            elapsed = self.world.wall() - first.started_wall
            stepped = self.world.clock.now() > first.created_at
            # a loaded world may find the process's clock behind the one it was saved with: then the wait is over
            if 0 <= elapsed < self.world.config.import_delay_s and not stepped:
                if elapsed >= self.world.config.import_delay_s / 2:
                    first.status = "RUNNING"
                return
            self._running.pop(0)
            self._apply(first)

    def _apply(self, running: StockImport) -> None:
        for number, row in enumerate(running.rows, start=2):
            values = dict(zip(running.header, (cell.strip() for cell in row), strict=False))
            reason = self._line_error(values)
            if reason:
                running.errors.append((number, reason))
            else:
                running.lines_in_success += 1
                quantity = 0 if values.get("update-delete", "").lower() == "delete" else int(values["quantity"])
                if values["offer-sku"] not in self.unheard:
                    self.set_quantity(values["offer-sku"], quantity)
        running.status = "COMPLETE"

    def _line_error(self, values: dict[str, str]) -> str | None:
        sku = values.get("offer-sku", "")
        if sku not in self.by_sku or sku in self.withdrawn:
            return f"The offer with sku '{sku}' does not exist"
        if values.get("warehouse-code"):
            return f"The warehouse with code '{values['warehouse-code']}' does not exist"
        if values.get("update-delete", "").lower() not in {"", "update", "delete"}:
            return f"The value '{values['update-delete']}' of update-delete is invalid"
        text = values.get("quantity", "")
        if not text.isascii() or not text.isdigit() or int(text) > QUANTITY_MAX:
            return f"The quantity '{text}' is invalid"
        return None
