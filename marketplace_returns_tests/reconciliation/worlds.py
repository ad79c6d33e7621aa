"""Small closed months for the tests: a lake of its own, a generated month, anomalies planted before the close."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from marketplace_returns import model
from marketplace_returns.lake import bookings
from marketplace_returns.lake.connection import Lake
from marketplace_returns.mappings import Mappings, load_mappings
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import MonthResult, SignedMonth, close_month
from marketplace_returns.settings import Settings, Shop, load_settings
from marketplace_returns_tests.reconciliation.generate import MONTH, SHOP, Shape, generate, intents_of

MAPPINGS = Path(__file__).parents[2] / "mappings"
OCTOBER = Month.parse(MONTH)


@dataclass
class World:
    """A lake with one shop; ``close`` closes a month of it."""

    lake: Lake
    con: duckdb.DuckDBPyConnection
    settings: Settings
    mappings: Mappings
    result: MonthResult | None = None
    lines: dict[str, str] = field(default_factory=dict)

    @property
    def shop(self) -> Shop:
        return self.settings.shops[SHOP]

    def plant(self, *statements: str) -> None:
        """Change core tables (as ``lake.core.x``) or intents (``gen_intents``), as if they had landed so."""

        def work(con: duckdb.DuckDBPyConnection) -> None:
            for each in statements:
                con.execute(each)
            bookings.remake(con, SHOP)

        self.lake.transact(self.con, "test", "plant", work)

    def close(
        self,
        month: Month = OCTOBER,
        run_id: str = "test",
        *,
        before: SignedMonth | None = None,
        explained: Sequence[str] = (),
    ) -> MonthResult:
        has_intents = self.con.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'gen_intents'"
        ).fetchone()
        intents = intents_of(self.con).to_batches() if has_intents and has_intents[0] else []
        self.result = close_month(
            self.lake,
            self.con,
            intents,
            self.shop,
            month,
            self.mappings,
            run_id=run_id,
            before=before,
            explained=explained,
        )
        return self.result

    def rows(self, query: str) -> list[dict[str, Any]]:
        cursor = self.con.execute(query)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def make_world(
    folder: Path,
    *,
    lines: int,
    tax_mode: str = "TAX_INCLUDED",
    shape: Shape | None = None,
    plant: Callable[[World], None] | None = None,
) -> World:
    """Make a lake with a generated month, of ``shape`` or of ``tax_mode``; ``plant`` changes it before anything is closed."""
    shape = shape or Shape(tax_mode=tax_mode)
    settings = load_settings(MAPPINGS / "shops.toml")
    shop = settings.shops[SHOP].model_copy(update={"currency": shape.currency, "time_zone": shape.time_zone})
    settings = settings.model_copy(update={"data_dir": folder, "shops": {SHOP: shop}})
    mappings = load_mappings(MAPPINGS)
    lake = Lake.open(settings)
    world = World(lake, lake.connect(), settings, mappings)
    if lines:
        generate(lake, world.con, lines=lines, shape=shape)
    model.attach(world.con, settings, mappings)
    if plant is not None:
        plant(world)
    return world
