"""One order's own small lake: its rows of every table, in memory, under the names the model reads.

Here: which rows of which table belong to an order, and the copying. Not here: what they mean (the model's views run on the copy
as they run on the lake). The invariant: what is copied is of one snapshot, and every row of the order is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import duckdb

from marketplace_returns import model
from marketplace_returns.lake import tables
from marketplace_returns.lake.connection import CATALOG, literal, open_memory, side_by_side, table_ddl

if TYPE_CHECKING:
    import pyarrow as pa

    from marketplace_returns.lake.connection import Lake
    from marketplace_returns.lake.tables import Table
    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Settings, Shop

ORDER_ID: Final = "order_id"
_OF_ORDER: Final = (
    (tables.MIRAKL_REFUNDS, ORDER_ID),
    (tables.MIRAKL_CANCELATIONS, ORDER_ID),
    (tables.MIRAKL_RETURN_LINES, ORDER_ID),
    (tables.MIRAKL_TRANSACTIONS, ORDER_ID),
)
_OF_WAREHOUSE: Final = (
    (tables.PEOPLEVOX_SALES_ORDERS, "sales_order_number"),
    (tables.PEOPLEVOX_DESPATCHES, "sales_order_number"),
    (tables.PEOPLEVOX_RETURNS, "sales_order_number"),
    (tables.MIRAKL_SHIPMENT_LINES, ORDER_ID),
)
_OF_PLATFORM: Final[Mapping[str, tuple[Table, tuple[Table, ...]]]] = MappingProxyType(
    {
        "reveni": (tables.REVENI_RETURNS, (tables.REVENI_RETURN_ITEMS, tables.REVENI_REFUNDS)),
        "rebound": (tables.REBOUND_RETURNS, (tables.REBOUND_RETURN_ITEMS, tables.REBOUND_TRACKING_EVENTS)),
        "returngo": (
            tables.RETURNGO_RMAS,
            (tables.RETURNGO_RMA_ITEMS, tables.RETURNGO_TRANSACTIONS, tables.RETURNGO_SIGHTINGS),
        ),
    }
)
"""A platform's returns, and what hangs on them by ``platform_return_id``."""
_OF_NO_ORDER: Final = frozenset({"stock", "warehouse_stock"})
"""Views of the model that say nothing of an order."""


@dataclass(slots=True)
class OrderMemory:
    """The memory that an order's rows are copied into: made at the first look, empty after each, and kept for the next.

    It belongs to one thread. Making it, with its tables and the mappings, costs a sixth of a look.
    """

    _kept: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def lent(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the memory, empty; what failed over it is not kept."""
        con, self._kept = self._kept or _empty_memory(), None
        try:
            yield con
            filled = con.execute(
                f"SELECT table_name FROM duckdb_tables() WHERE database_name = '{CATALOG}' AND estimated_size > 0"
            ).fetchall()
            for (name,) in filled:  # deleted rows would stay in memory, and be passed over at every look
                con.execute(f"DROP TABLE {CATALOG}.core.{name}")
            _make_tables(con, [name for (name,) in filled])
        except BaseException:
            con.close()
            raise
        self._kept = con

    def close(self) -> None:
        """Give the memory up."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _empty_memory() -> duckdb.DuckDBPyConnection:
    con = open_memory()
    con.execute(f"ATTACH ':memory:' AS {CATALOG}")
    con.execute(f"CREATE SCHEMA {CATALOG}.core")
    _make_tables(con, [table.name for table in tables.LAKE_TABLES])
    return con


def _make_tables(con: duckdb.DuckDBPyConnection, names: Collection[str]) -> None:
    for table in tables.LAKE_TABLES:
        if table.schema == "core" and table.name in names:
            con.execute(table_ddl(table, None)[0])


@contextmanager
def order_slice(
    memory: OrderMemory,
    lake: Lake,
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    mappings: Mappings,
    *,
    shop: Shop,
    order_id: str,
    facts: model.LedgerFacts,
) -> Iterator[duckdb.DuckDBPyConnection | None]:
    """Give a connection whose model is computed of this order and no other; None where the shop has no such order.

    ``con`` has the lake attached and is only read; ``memory`` is what is given, filled. ``facts`` are the ledger's of this order
    (which platform returns our writes made).
    """
    with memory.lent() as small:

        def copied(copy: Callable[[_Copy], bool], side: duckdb.DuckDBPyConnection) -> bool:
            return copy(_Copy(side, small.cursor(), shop, lake.metadata))

        _, is_there = side_by_side(
            con,
            [
                partial(copied, lambda side: side.own_rows(order_id)),
                partial(copied, lambda side: side.what_hangs_on_it(order_id, facts)),
            ],
        )
        if not is_there:
            yield None
            return
        model.attach_facts(small, settings, mappings, facts)
        model.compute(small, shop.name, is_lake=False, without=_OF_NO_ORDER)
        yield small


@dataclass(frozen=True, slots=True)
class _Copy:
    """Copies rows of one shop from the lake into memory."""

    con: duckdb.DuckDBPyConnection
    small: duckdb.DuckDBPyConnection
    shop: Shop
    metadata: str
    empty: set[str] = field(default_factory=set)
    copied: dict[str, list[pa.Table]] = field(default_factory=dict)
    """What was copied by the name of its table: it is looked into here, where no statement is to be planned."""

    def own_rows(self, order_id: str) -> bool:
        """Copy the rows that name the order, of the tables that nothing else is found by; and their billing cycles."""
        self.leave_out_empty_tables()
        has_warehouse = self.shop.warehouse is not None
        for table, column in (*_OF_ORDER, *(_OF_WAREHOUSE if has_warehouse else ())):
            self.rows(table, {column: [order_id]})
        self.rows(
            tables.MIRAKL_BILLING_CYCLES, {"billing_cycle_id": self.all("billing_cycle_id", tables.MIRAKL_TRANSACTIONS)}
        )
        return True

    def what_hangs_on_it(self, order_id: str, facts: model.LedgerFacts) -> bool:
        """Copy the order, its lines and returns, and what hangs on those by other ids; return whether there is such an order."""
        if not self.rows(tables.MIRAKL_ORDERS, {ORDER_ID: [order_id]}):
            return False
        self.leave_out_empty_tables()
        for table in (tables.MIRAKL_ORDER_LINES, tables.MIRAKL_RETURNS):
            self.rows(table, {ORDER_ID: [order_id]})
        self.rows(
            tables.RETURN_UNIT_ASSIGNMENTS, {"order_line_id": self.all("order_line_id", tables.MIRAKL_ORDER_LINES)}
        )
        self.rows(tables.RECEIPT_ASSIGNMENTS, {"return_unit_id": self.all_units()})
        returns = self.all("return_id", tables.MIRAKL_RETURNS)
        platform_returns = self.platform_returns(order_id, returns, facts)
        if self.shop.warehouse is not None:
            names = {*returns, *self.all("return_id", tables.RETURN_UNIT_ASSIGNMENTS)}
            numbers = [f"RTN-{name}" for name in (*names, *platform_returns)]
            self.rows(tables.PEOPLEVOX_PURCHASE_ORDERS, {"purchase_order_number": numbers})
            self.rows(
                tables.PEOPLEVOX_GOODS_IN,
                {"purchase_order_number": self.all("purchase_order_number", tables.PEOPLEVOX_PURCHASE_ORDERS)},
            )
        return True

    def leave_out_empty_tables(self) -> None:
        """Remember which tables never had a row: of such a one DuckLake asks its catalog once for each column.

        Asked after the snapshot was taken, so that what it shows is among the tables that had one.
        """
        rows = self.con.execute(
            f"SELECT t.table_name FROM {self.metadata}.ducklake_table AS t "
            f"ANTI JOIN {self.metadata}.ducklake_table_stats AS s ON s.table_id = t.table_id WHERE t.end_snapshot IS NULL"
        )
        self.empty.update(name for (name,) in rows.fetchall())

    def platform_returns(self, order_id: str, returns: Sequence[str], facts: model.LedgerFacts) -> list[str]:
        """Copy the platform's returns: those that name the order, carry our key, or that our writes or RT04 name."""
        table, parts = _OF_PLATFORM[str(self.shop.returns.platform)]
        made = facts.platform_links.column("platform_return_id").to_pylist()
        wanted: dict[str, Iterable[str]] = {}
        if table is tables.RETURNGO_RMAS:
            name = f"ltrim(trim(order_name), {literal(self.shop.returns.order_name_strip)})"
            wanted[f"lower({name})" if self.shop.returns.order_name_fold_case else name] = [
                order_id.lower() if self.shop.returns.order_name_fold_case else order_id
            ]
        else:
            wanted[ORDER_ID] = [order_id]
        self.rows(table, wanted)
        # Files are not sorted by these, so they are asked for what the order's name did not find.
        named = {*self.all("rma", tables.MIRAKL_RETURNS), *made}
        self.rows(
            table,
            {
                "platform_return_id": named.difference(self.all("platform_return_id", table)),
                "external_id": set(returns).difference(self.all("external_id", table)),
            },
        )
        found = self.all("platform_return_id", table)
        for part in parts:
            self.rows(part, {"platform_return_id": found})
        return found

    def rows(self, table: Table, wanted: Mapping[str, Iterable[str]]) -> int:
        """Copy the rows of which one of the columns has one of its values; return how many.

        The planner must see the values to leave files unread, and sees through no OR: a question for each column.
        """
        questions = [
            f"SELECT {', '.join(each.name for each in table.columns)} FROM {table.path} "
            f"WHERE shop = {literal(self.shop.name)} AND {column} IN ({', '.join(literal(value) for value in values)})"
            for column, values in ((column, sorted(set(values))) for column, values in wanted.items())
            if values
        ]
        if not questions or table.name in self.empty:
            return 0
        found = self.con.execute(" UNION ".join(questions)).to_arrow_table()
        if found.num_rows:
            self.copied.setdefault(table.name, []).append(found)
            self.small.register("copied", found)
            self.small.execute(f"INSERT INTO {table.path} BY NAME SELECT * FROM copied")
            self.small.unregister("copied")
        return int(found.num_rows)

    def all(self, column: str, table: Table) -> list[str]:
        """Return the values of a column in what was copied of a table."""
        return sorted(
            {
                value
                for part in self.copied.get(table.name, ())
                for value in part.column(column).to_pylist()
                if value is not None
            }
        )

    def all_units(self) -> list[str]:
        """Return the ids of the order's return units."""
        given = self.copied.get(tables.RETURN_UNIT_ASSIGNMENTS.name, ())
        return [f"{each['order_line_id']}#{each['ordinal']}" for part in given for each in part.to_pylist()]
