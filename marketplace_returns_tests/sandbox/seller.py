"""A plain seller for the sandbox's own tests: it does the whole job over Mirakl's HTTP API, knowing nothing of the product."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx

from marketplace_returns.sandbox.catalogue import CARRIER_BY_WAREHOUSE_NAME
from marketplace_returns.sandbox.returns_platform import NewReturn, NewReturnLine
from marketplace_returns.sandbox.server import RunningSandbox


class Seller:
    """One shop's client; the other two systems are used through the world, on the server's own thread."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        config = self.world.config
        self.http = httpx.Client(
            base_url=f"{sandbox.base_url}/mirakl",
            headers={"Authorization": config.mirakl_api_key},
            timeout=10,
        )
        self._receipts_seen = 0

    def get(self, path: str, **query: object) -> Any:
        reply = self.http.get(path, params=query)
        assert reply.status_code == 200, (path, reply.status_code, reply.text)
        return reply.json()

    def put(self, path: str, body: object = None) -> httpx.Response:
        return self.http.put(path, json=body) if body is not None else self.http.put(path)

    def refusal(self, reply: httpx.Response, status: int = 400) -> str:
        assert reply.status_code == status, (reply.status_code, reply.text)
        assert reply.json()["status"] == status
        return str(reply.json()["message"])

    def orders(self, **query: object) -> list[dict[str, Any]]:
        found = self.get("/api/orders", max=100, **query)
        assert found["total_count"] <= 100, "the test world is small"
        return list(found["orders"])

    def accept_all(self) -> None:
        for order in self.orders(order_state_codes="WAITING_ACCEPTANCE"):
            lines = [{"id": line["order_line_id"], "accepted": True} for line in order["order_lines"]]
            assert self.put(f"/api/orders/{order['order_id']}/accept", {"order_lines": lines}).status_code == 204

    def hand_to_warehouse(self) -> None:
        for order in self.orders(order_state_codes="SHIPPING"):
            if self.world.warehouse.sales_order(order["order_id"]) is None:
                self.sandbox.do(lambda order=order: self._import(order))

    def _import(self, order: dict[str, Any]) -> None:
        warehouse = self.world.warehouse
        number = order["order_id"]
        items = [
            {
                "SalesOrderNumber": number,
                "ItemCode": line["offer_sku"],
                "QuantityOrdered": str(line["quantity"]),
                "Line": line["order_line_id"],
            }
            for line in order["order_lines"]
        ]
        assert warehouse.import_sales_orders([{"SalesOrderNumber": number}]) == ["Success"]
        assert set(warehouse.import_sales_order_items(items)) == {"Success"}

    def confirm_despatches(self) -> None:
        for order in self.orders(order_state_codes="SHIPPING"):
            sales_order = self.world.warehouse.sales_order(order["order_id"])
            if sales_order is None or sales_order.status != "Despatched":
                continue
            row = self.world.warehouse.despatches_of(order["order_id"])[-1]
            tracking = {
                "carrier_code": CARRIER_BY_WAREHOUSE_NAME[row.carrier].code,
                "tracking_number": row.tracking_number,
            }
            assert self.put(f"/api/orders/{order['order_id']}/tracking", tracking).status_code == 204
            assert self.put(f"/api/orders/{order['order_id']}/ship").status_code == 204

    def accept_returns(self) -> None:
        for one in self.get("/api/returns", return_state="WAITING_ACCEPTANCE", limit=100)["data"]:
            reply = self.put("/api/returns/accept", {"returns": [{"id": one["id"], "accepted": True}]})
            assert reply.json()["return_success"] == [{"id": one["id"]}]
            lines = tuple(
                NewReturnLine(line["order_line_id"], "any", line["quantity"], 1000, 0, line["reason_code"])
                for line in one["return_lines"]
            )
            wanted = NewReturn(one["id"], one["order_id"], one["order_id"], self.world.config.currency, lines)
            self.sandbox.do(lambda wanted=wanted: self.world.platform.create_return(wanted))

    def refund(self, line_id: str, units: int, **more: object) -> httpx.Response:
        _, line = self.world.marketplace.find_line(line_id)
        amount = Decimal(line.unit_minor * units).scaleb(-2)
        item = {
            "order_line_id": line_id,
            "amount": float(amount),
            "shipping_amount": 0,
            "quantity": units,
            "reason_code": "17",
            **more,
        }
        return self.put("/api/orders/refund", {"refunds": [item]})

    def refund_and_close(self) -> None:
        rows = self.world.warehouse.return_rows()[self._receipts_seen :]
        self._receipts_seen += len(rows)
        for row in rows:
            if row.outcome == "new" and row.order_line_id:
                reply = self.refund(row.order_line_id, row.quantity)
                assert reply.status_code == 200, reply.text
        for return_id in sorted({row.return_id for row in rows if row.return_id}):
            for step in ("receive", "close"):
                reply = self.put(f"/api/returns/{step}", {"returns": [{"id": return_id}]})
                assert reply.json()["return_errors"] == []

    def push_stock(self) -> str:
        rows = self.world.warehouse.stock_rows()
        lines = "".join(f"{row.item_code};{max(0, row.available)};;update\n" for row in rows)
        return self.upload("offer-sku;quantity;warehouse-code;update-delete\n" + lines)

    def upload(self, text: str) -> str:
        reply = self.http.post("/api/offers/stock/imports", files={"file": ("stock.csv", text)})
        assert reply.status_code == 201, reply.text
        return str(reply.json()["import_id"])

    def work(self, days: float, *, every: timedelta = timedelta(hours=6)) -> None:
        """Do every lane once per `every`, for so many days of the world."""
        for _ in range(round(timedelta(days=days) / every)):
            self.sandbox.advance(every)
            self.accept_all()
            self.hand_to_warehouse()
            self.confirm_despatches()
            self.accept_returns()
            self.refund_and_close()
            self.push_stock()
