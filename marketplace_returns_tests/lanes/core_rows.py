"""A small world written straight into a real lake's core tables, for tests of the model and the lanes."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa

from marketplace_returns import model
from marketplace_returns.lake import tables
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lanes import LANES
from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.mappings import Mappings, load_mappings
from marketplace_returns.settings import Settings, Shop, load_settings

SHOP = "asos_uk"
NOW = datetime(2026, 10, 12, 9, 0, tzinfo=UTC)
_DEFAULTS: dict[tables.Kind, Any] = {
    tables.Kind.TEXT: "x",
    tables.Kind.INTEGER: 1,
    tables.Kind.MONEY: 0,
    tables.Kind.BOOLEAN: False,
    tables.Kind.INSTANT: NOW - timedelta(days=2),
    tables.Kind.JSON: "{}",
}
SETTINGS = """
data_dir = "{data_dir}"
mappings_dir = "mappings"
[shops.asos_uk]
marketplace = "asos"
currency = "GBP"
time_zone = "Europe/London"
[shops.asos_uk.mirakl]
base_url = "http://127.0.0.1:1/mirakl"
shop_id = 2001
call_profile = "sandbox"
[shops.asos_uk.returns]
platform = "reveni"
base_url = "http://127.0.0.1:1/reveni"
store_id = "store"
{warehouse}
[shops.asos_uk.policy]
{policy}
"""
WAREHOUSE = """
[shops.asos_uk.warehouse]
system = "peoplevox"
base_url = "http://127.0.0.1:1/peoplevox"
client_id = "client"
username = "user"
site = "MAIN"
"""


@cache
def empty_lake() -> Path:
    """Make an empty lake once; a copy of it costs a tenth of making one.

    Each table had a row, so that the catalog has statistics of it as of every table in use: without them every question
    asks it once per column, which is half of what these tests cost.
    """
    folder = Path(tempfile.mkdtemp(prefix="empty-lake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lake = Lake.open(SimpleNamespace(data_dir=folder, lake_catalog="", lake_storage="", lake_memory_mb=2_600))  # type: ignore[arg-type]
    con = lake.connect()
    lake.transact(con, "test", "a row each", _fill)
    lake.transact(con, "test", "and no more", _clear)
    con.close()
    return folder / "lake"


def _fill(con: duckdb.DuckDBPyConnection) -> None:
    for table in tables.LAKE_TABLES:
        places = ", ".join("?" for _ in table.columns)
        row = [_DEFAULTS.get(column.kind) for column in table.columns]
        con.execute(f"INSERT INTO {table.path} VALUES ({places})", row)


def _clear(con: duckdb.DuckDBPyConnection) -> None:
    for table in tables.LAKE_TABLES:
        con.execute(f"DELETE FROM {table.path}")


def _gathered(statements: list[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    """Make rows of one table that no change comes between one statement: each statement writes a file."""
    gathered: list[tuple[str, list[Any]]] = []
    rows: dict[str, list[Any]] = {}
    for statement, parameters in [*statements, ("", [])]:
        if statement.startswith("INSERT"):
            rows.setdefault(statement, []).append(parameters)
            continue
        for insert, values in rows.items():
            head, _, places = insert.partition(" VALUES ")
            gathered.append(
                (f"{head} VALUES {', '.join([places] * len(values))}", [each for row in values for each in row])
            )
        rows = {}
        if statement:
            gathered.append((statement, parameters))
    return gathered


@dataclass
class CoreRows:
    """Writes core rows and asks the lanes; one shop, all amounts in GBP pence."""

    lake: Lake
    settings: Settings
    mappings: Mappings
    con: duckdb.DuckDBPyConnection
    links: list[tuple[str, str]] = field(default_factory=list)
    pending: list[tuple[str, list[Any]]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    @classmethod
    def make(
        cls, folder: Path, *, policy: str = "", warehouse: bool = True, mappings_dir: Path = Path("mappings")
    ) -> CoreRows:
        config = folder / "shops.toml"
        config.write_text(
            SETTINGS.format(data_dir=folder / "data", policy=policy, warehouse=WAREHOUSE if warehouse else "")
        )
        settings = load_settings(config)
        shutil.copytree(empty_lake(), folder / "data" / "lake")
        lake = Lake.open(settings)
        return cls(lake, settings, load_mappings(mappings_dir), lake.connect())

    @property
    def shop(self) -> Shop:
        return self.settings.shop(SHOP)

    def put(self, table: tables.Table, **values: Any) -> None:
        """Insert one row; required columns that are not named get a harmless value."""
        row = {
            column.name: values.pop(column.name, _DEFAULTS.get(column.kind) if column.required else None)
            for column in table.columns
        }
        row["shop"] = SHOP
        assert not values, f"{table.name} has no columns {sorted(values)}"
        self.pending.append((f"INSERT INTO {table.path} VALUES ({', '.join('?' for _ in row)})", list(row.values())))

    def change(self, table: tables.Table, where: str, **values: Any) -> None:
        """Change rows, with the next question."""
        parts = ", ".join(f"{name} = ?" for name in values)
        self.pending.append((f"UPDATE {table.path} SET {parts} WHERE {where}", list(values.values())))

    def write(self) -> None:
        """Write what is pending in one transaction: a commit is what costs."""
        statements, self.pending = _gathered(self.pending), []

        def work(con: duckdb.DuckDBPyConnection) -> None:
            for statement, parameters in statements:
                con.execute(statement, parameters)

        self.written += [statement for statement, _ in statements if statement.startswith("INSERT")]
        if statements:
            self.lake.transact(self.con, "test", "write", work)

    def order(
        self, order_id: str = "O1", state: str = "RECEIVED", lines: tuple[tuple[str, int, int], ...] = ()
    ) -> None:
        """Put an order; lines are (sku, quantity, price in pence), numbered O1-1, O1-2..."""
        lines = lines or (("SKU-A", 1, 2500),)
        total = sum(price for _, _, price in lines)
        self.put(
            tables.MIRAKL_ORDERS,
            order_id=order_id,
            commercial_id=order_id,
            order_state=state,
            order_tax_mode="TAX_INCLUDED",
            currency="GBP",
            price_minor=total,
            total_price_minor=total,
            has_shipping_address=state not in ("WAITING_ACCEPTANCE", "WAITING_DEBIT"),
            created_at=NOW - timedelta(hours=1),
            customer_debited_at=NOW - timedelta(hours=1),
            payload_hash=f"hash-{order_id}",
        )
        for index, (sku, quantity, price) in enumerate(lines, start=1):
            self.put(
                tables.MIRAKL_ORDER_LINES,
                order_line_id=f"{order_id}-{index}",
                order_id=order_id,
                line_index=index,
                line_state=state,
                offer_sku=sku,
                quantity=quantity,
                currency="GBP",
                price_minor=price,
                total_price_minor=price,
                shipped_at=NOW - timedelta(days=1) if state in ("SHIPPED", "RECEIVED", "CLOSED") else None,
            )

    def tax(self, line_id: str, code: str, amount_minor: int, rule: str, kind: str = "product") -> None:
        self.put(
            tables.MIRAKL_ORDER_LINE_TAXES,
            order_line_id=line_id,
            order_id=line_id.rsplit("-", 1)[0],
            tax_kind=kind,
            tax_code=code,
            currency="GBP",
            amount_minor=amount_minor,
            calculation_rule=rule,
        )

    def returned(
        self,
        return_id: str = "R1",
        order_id: str = "O1",
        state: str = "IN_PROGRESS",
        lines: tuple[tuple[str, int], ...] = (("O1-1", 1),),
        reason: str = "RETURN_CHANGED_MIND",
        created_at: datetime = NOW - timedelta(days=1),
        **values: Any,
    ) -> None:
        """Put a marketplace return; lines are (order line id, quantity), ``values`` further columns of it."""
        self.put(
            tables.MIRAKL_RETURNS,
            return_id=return_id,
            order_id=order_id,
            order_commercial_id=order_id,
            return_state=state,
            created_at=created_at,
            **values,
        )
        for line_id, quantity in lines:
            self.put(
                tables.MIRAKL_RETURN_LINES,
                return_id=return_id,
                order_id=order_id,
                order_line_id=line_id,
                quantity=quantity,
                reason_code=reason,
            )

    def on_platform(self, return_id: str = "R1", platform_return_id: str = "P1", **values: Any) -> None:
        """Put the twin of a return on the platform, linked by what our confirmed write made."""
        self.put(
            tables.REVENI_RETURNS,
            **{
                "platform_return_id": platform_return_id,
                "status": "IN_PROGRESS",
                "currency": "GBP",
                "label_url": "http://127.0.0.1/label",
                **values,
            },
        )
        self.links.append((return_id, platform_return_id))

    def inspected(
        self,
        code: str = "RET1",
        order_id: str = "O1",
        item: str = "SKU-A",
        condition: str = "NEW",
        reusable: bool = True,
        quantity: int = 1,
        returned_at: datetime = NOW - timedelta(hours=3),
    ) -> None:
        self.put(
            tables.PEOPLEVOX_RETURNS,
            return_code=code,
            sales_order_number=order_id,
            item_code=item,
            row_no=1,
            quantity=quantity,
            return_condition=condition,
            is_reusable=reusable,
            returned_at=returned_at,
        )

    def refunded(self, refund_id: str = "F1", line_id: str = "O1-1", amount_minor: int = 2500) -> None:
        self.put(
            tables.MIRAKL_REFUNDS,
            refund_id=refund_id,
            order_id=line_id.rsplit("-", 1)[0],
            order_line_id=line_id,
            refund_state="REFUNDED",
            currency="GBP",
            amount_minor=amount_minor,
        )

    def attach(self) -> None:
        """Make the model's views over the rows."""
        self.write()
        model.attach(self.con, self.settings, self.mappings, self._facts())

    def ready(self) -> None:
        """Make all that the model is computed from."""
        self.write()
        model.attach_facts(self.con, self.settings, self.mappings, self._facts())

    def _facts(self) -> model.LedgerFacts:
        links = pa.table(
            {
                "shop": pa.array([SHOP for _ in self.links], pa.string()),
                "return_id": pa.array([link[0] for link in self.links], pa.string()),
                "platform_return_id": pa.array([link[1] for link in self.links], pa.string()),
            }
        )
        return model.LedgerFacts(links)

    def assign(self) -> int:
        """Compute the model and extend the assignments, as every pass does."""
        self.ready()
        return model.assign_return_units(self.lake, self.con, SHOP, "test", NOW)

    def decide(self, lane: str, now: datetime = NOW) -> LaneDecision:
        self.assign()
        return LANES[lane](self.con, self.shop, self.mappings, now)

    def under(self, lane: str, now: datetime = NOW, **policy: Any) -> LaneDecision:
        """Ask a lane under another policy, on the model as it was computed last."""
        shop = self.shop.model_copy(update={"policy": self.shop.policy.model_copy(update=policy)})
        return LANES[lane](self.con, shop, self.mappings, now)

    def intents(self, lane: str, now: datetime = NOW) -> dict[tuple[str, str], IntentPlan]:
        return {(str(plan.kind), plan.natural_key): plan for plan in self.decide(lane, now).intents}

    def exceptions(self, lane: str, now: datetime = NOW) -> list[ExceptionPlan]:
        return list(self.decide(lane, now).exceptions)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        self.attach()
        return self.con.execute(query).fetchall()
