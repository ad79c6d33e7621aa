"""Ingest of orders from a running sandbox: our pull beside the bare limit and beside dlt's REST source.

All read the same pages (OR11, 100 orders each) of one sandbox process and end with committed rows on disk. Ours keeps
every payload, splits off personal fields, types six tables, checks each row, and upserts by key. The bare limit does
none of that: a request per page, msgspec, four tables of plain rows, one insert each into a DuckDB file. Measured is
from the first request to the commit; opening connections, making tables and importing are not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import httpx
import msgspec
import pyarrow as pa
from dlt.sources.rest_api import rest_api_source
from rich.console import Console

from marketplace_returns.clock import SystemClock
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.pull import begin
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.refunds import RefundWish
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import Settings
from marketplace_returns.sources.http import NullCallLog
from marketplace_returns.sources.mirakl import client as mirakl_client
from marketplace_returns.sources.mirakl.connect import connect
from marketplace_returns_tests.benchmarks.contest import best_of, measure, show
from marketplace_returns_tests.reconciliation.worlds import MAPPINGS

MODULE = "marketplace_returns_tests.benchmarks.ingest"
TARGET = "Targets: ours at least half the rate of the bare limit, and ahead of dlt."
REPEATS = 3
SHOP = "asos_uk"
PAGE = 100
DAYS = 10
REFUNDED_EVERY = 3  # one order of so many has its lines refunded
_ACCEPT_EVERY = timedelta(hours=12)  # well within the two days after which an order is refused


def bench_ingest(console: Console, orders: int) -> None:
    """Print one table: each contestant's orders per second."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder,
        running_sandbox(WorldConfig(orders=orders, days=DAYS)) as sandbox,
    ):
        sandbox.do(lambda: _live(sandbox.world))
        Path(folder, "sandbox.json").write_text(json.dumps(_told(sandbox)))
        runs = best_of(REPEATS, MODULE, tuple(CONTESTANTS), folder)
        show(console, f"Ingest of {runs[0].rows:,} orders from the sandbox's pages", "orders", runs, TARGET)


def ours(folder: Path) -> Generator[int, None, None]:
    """Pull the stream ``mirakl/order`` into a new lake."""
    told = json.loads(Path(folder, "sandbox.json").read_text())
    shop = {name: dict(section) if isinstance(section, dict) else section for name, section in told["shop"].items()}
    shop["mirakl"]["api_key"] = told["key"]
    # By pages however many they are, as the others read them; the product would ask for a file (OR13).
    mirakl_client.ORDERS_BY_PAGE_MAX["sandbox"] = sys.maxsize
    with tempfile.TemporaryDirectory(dir=folder) as data_dir:
        settings = Settings(data_dir=Path(data_dir), mappings_dir=MAPPINGS, shops={SHOP: shop})
        clock = SystemClock()
        lake = Lake.open(settings)
        con = lake.connect()
        client = connect(settings, settings.shops[SHOP], clock=clock, log=NullCallLog())
        yield 0
        window = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
        reading = begin(lake, "mirakl/order", SHOP, client, window, run_id="bench", clock=clock, con=con)
        result = reading.settle()
        yield result.rows["mirakl__orders"]
        con.close()


def bare_limit(folder: Path) -> Generator[int, None, None]:
    """Read every page, make plain rows of four tables, insert each once."""
    told = json.loads(Path(folder, "sandbox.json").read_text())
    with (
        tempfile.TemporaryDirectory(dir=folder) as data_dir,
        httpx.Client(headers={"Authorization": told["key"]}, timeout=60) as http,
        duckdb.connect(Path(data_dir, "bare.duckdb")) as con,
    ):
        yield 0
        tables: dict[str, list[dict[str, Any]]] = {"orders": [], "lines": [], "taxes": [], "refunds": []}
        offset, total = 0, 1
        while offset < total:
            params = {"max": PAGE, "offset": offset, "shop_id": told["shop"]["mirakl"]["shop_id"]}
            page = msgspec.json.decode(http.get(f"{told['orders']}", params=params).content)
            for order in page["orders"]:
                _plain_rows(order, tables)
            offset, total = offset + PAGE, page["total_count"]
        for name, rows in tables.items():
            arrow = pa.Table.from_pylist(rows)
            con.execute(f"CREATE TABLE {name} AS FROM arrow")
            del arrow
        yield len(tables["orders"])


def with_dlt(folder: Path) -> Generator[int, None, None]:
    """Run dlt's declarative REST source into a DuckDB file."""
    told = json.loads(Path(folder, "sandbox.json").read_text())
    dlt.config["runtime.dlthub_telemetry"] = False
    with tempfile.TemporaryDirectory(dir=folder) as data_dir:
        file = Path(data_dir, "dlt.duckdb")
        pipeline = dlt.pipeline(
            "bench", pipelines_dir=data_dir, destination=dlt.destinations.duckdb(str(file)), dataset_name="bench"
        )
        base_url, _, path = told["orders"].rpartition("/")
        source = rest_api_source(
            {
                "client": {
                    "base_url": base_url,
                    "headers": {"Authorization": told["key"]},
                    "paginator": {
                        "type": "offset",
                        "limit": PAGE,
                        "limit_param": "max",
                        "total_path": "total_count",
                    },
                },
                "resources": [
                    {
                        "name": "orders",
                        "primary_key": "order_id",
                        "endpoint": {
                            "path": path,
                            "params": {"shop_id": told["shop"]["mirakl"]["shop_id"]},
                            "data_selector": "orders",
                        },
                    }
                ],
            }
        )
        yield 0
        pipeline.run(source).raise_on_failed_jobs()
        with duckdb.connect(file, read_only=True) as con:
            ((orders,),) = con.execute("SELECT count(*) FROM bench.orders").fetchall()
        yield int(orders)


def _plain_rows(order: dict[str, Any], tables: dict[str, list[dict[str, Any]]]) -> None:
    """Make rows of an order; amounts by the quick way, through a float."""
    order_id, currency = order["order_id"], order["currency_iso_code"]
    tables["orders"].append(
        {
            "order_id": order_id,
            "commercial_id": order["commercial_id"],
            "order_state": order["order_state"],
            "currency": currency,
            "price_minor": round(order["price"] * 100),
            "shipping_price_minor": round(order["shipping_price"] * 100),
            "total_price_minor": round(order["total_price"] * 100),
            "created_at": datetime.fromisoformat(order["created_date"]),
            "updated_at": datetime.fromisoformat(order["last_updated_date"]),
        }
    )
    for line in order["order_lines"]:
        line_id = line["order_line_id"]
        tables["lines"].append(
            {
                "order_line_id": line_id,
                "order_id": order_id,
                "line_state": line["order_line_state"],
                "offer_sku": line["offer_sku"],
                "quantity": line["quantity"],
                "currency": currency,
                "price_minor": round(line["price"] * 100),
                "shipping_price_minor": round(line["shipping_price"] * 100),
                "commission_fee_minor": round(line["commission_fee"] * 100),
                "updated_at": datetime.fromisoformat(line["last_updated_date"]),
            }
        )
        tables["taxes"] += (
            {
                "order_line_id": line_id,
                "tax_kind": kind,
                "tax_code": tax["code"],
                "amount_minor": round(tax["amount"] * 100),
                "rate": tax["rate"],
            }
            for kind in ("taxes", "shipping_taxes")
            for tax in line[kind]
        )
        tables["refunds"] += (
            {
                "refund_id": refund["id"],
                "order_line_id": line_id,
                "refund_state": refund["state"],
                "amount_minor": round(refund["amount"] * 100),
                "shipping_amount_minor": round(refund["shipping_amount"] * 100),
                "created_at": datetime.fromisoformat(refund["created_date"]),
            }
            for refund in line["refunds"]
        )


def _live(world: World) -> None:
    """Let the days pass for a seller who accepts everything, and refunds some of it once it has arrived."""
    market = world.marketplace
    until = world.clock.now() + timedelta(days=DAYS + 1)
    while world.clock.now() < until:
        world.advance(_ACCEPT_EVERY)
        for order in market.orders.values():
            if order.state == "WAITING_ACCEPTANCE":
                market.accept(order.id, [(line.id, True) for line in order.lines])
    world.advance(timedelta(hours=2))  # debits are confirmed within it
    for number, order in enumerate(list(market.orders.values())):
        market.receive(order.id)
        if number % REFUNDED_EVERY == 0:
            wishes = [RefundWish(line.id, line.price_minor, 0, "17", line.quantity) for line in order.active_lines()]
            world.refunds.refund(wishes)


def _told(sandbox: RunningSandbox) -> dict[str, Any]:
    """Return what a contestant must know to call the sandbox."""
    told = sandbox.settings()
    return {
        "shop": told["shop"],
        "key": told["secrets"]["mirakl.api_key"],
        "orders": f"{told['shop']['mirakl']['base_url']}/api/orders",
    }


CONTESTANTS = {"ours": ours, "bare limit": bare_limit, "dlt": with_dlt}

if __name__ == "__main__":
    contestant = CONTESTANTS[sys.argv[1]](Path(sys.argv[2]))
    next(contestant)  # all is set up
    measure(lambda: next(contestant))
    contestant.close()
