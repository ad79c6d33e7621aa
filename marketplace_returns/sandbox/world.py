"""One seller's world: the marketplace, the returns platform, the warehouse, the customers and the clock they share.

Here: how the parts are put together, started, advanced and saved. Not here: what each part does (one module each), HTTP.
Invariant: a world has no globals; two worlds in one process know nothing of each other.

The parts, as the HTTP faces use them:
    world.clock.now(), world.advance_to(instant)
    world.marketplace   orders, shipments (marketplace.py); world.refunds: OR28 (refunds.py); world.returns: RT returns (customer_returns.py);
    world.offers        offers and stock imports (offers.py); world.accounting: ledger, cycles, invoices (accounting.py)
    world.platform      the returns platform (returns_platform.py)
    world.warehouse     the warehouse (warehouse.py)
    world.notifications webhooks: publish what happened to whoever subscribed (notifications.py)
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from marketplace_returns.sandbox.accounting import Accounting
from marketplace_returns.sandbox.catalogue import make_products
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.customer_returns import CustomerReturns
from marketplace_returns.sandbox.generator import Customers
from marketplace_returns.sandbox.marketplace import Marketplace
from marketplace_returns.sandbox.notifications import Notifications
from marketplace_returns.sandbox.offers import Offers
from marketplace_returns.sandbox.refunds import Refunds
from marketplace_returns.sandbox.returngo_book import ReturnGoBook
from marketplace_returns.sandbox.returns_platform import ReturnsPlatform
from marketplace_returns.sandbox.timeline import Chance, Clock, Timeline
from marketplace_returns.sandbox.warehouse import Warehouse

__all__ = ["World", "WorldConfig"]


class World:
    """Everything that is true in the sandbox, and the clock."""

    def __init__(self, config: WorldConfig, wall: Callable[[], float] = time.monotonic) -> None:
        """A fresh world at `config.start`; `wall` (seconds) only times how long asynchronous imports and exports take."""
        self.config = config
        self.wall = wall
        self.chance = Chance(config.seed)
        self.clock = Clock(config.start)
        self.timeline = Timeline(self.clock)
        self.products = {product.sku: product for product in make_products(config.skus, self.chance.of("products"))}
        self.notifications = Notifications(self)
        self.warehouse = Warehouse(self)
        self.offers = Offers(self)
        self.accounting = Accounting(self)
        self.marketplace = Marketplace(self)
        self.refunds = Refunds(self)
        self.returns = CustomerReturns(self)
        self.platform = ReturnsPlatform(self)
        self.returngo = ReturnGoBook(self)
        self.customers = Customers(self)
        self.customers.begin()
        self.accounting.begin()

    def advance_to(self, instant: datetime) -> int:
        """Let the world live until `instant` (aware UTC, not before now); returns how many events happened.

        Raises ValueError for an earlier instant. Call it only while no request is being answered (the server does).
        """
        ran = self.timeline.advance_to(instant)
        self.offers.settle_imports()
        return ran

    def advance(self, delay: timedelta) -> int:
        """Let the world live for `delay`; returns how many events happened."""
        return self.advance_to(self.clock.now() + delay)

    def paced(self, delay: timedelta) -> timedelta:
        """How long people, carriers or the warehouse take for something, at this world's pace."""
        return delay / self.config.pace

    def save(self, path: Path) -> None:
        """Write the whole world to `path` (our own file, replaced in one step)."""
        temporary = path.with_suffix(path.suffix + ".part")
        temporary.write_bytes(pickle.dumps(self))
        temporary.replace(path)

    @staticmethod
    def load(path: Path) -> World:
        """Read a world that `save` wrote; only ever open a file that this program wrote itself."""
        return cast("World", pickle.loads(path.read_bytes()))  # noqa: S301 - our own state file
