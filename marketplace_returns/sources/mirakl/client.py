"""The operations of Mirakl's seller API that this package uses, one method each.

Here lives how each call is spelled: path, parameters, limits and the form of its answer. What must not live here:
any decision to call. The invariant: every call names the shop, objects are handed on as Mirakl gave them (amounts as
Decimal), and a write is sent at most once.

Reads raise SourceUnreachable, RateLimited, AuthFailed, SourceRefused or ContractBroken. Writes raise
SourceUnreachable (not sent), RateLimited, AuthFailed or SourceRefused (not applied), or OutcomeUnknown (read back
before sending again).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from marketplace_returns.settings import Shop
from marketplace_returns.sources.answers import Answer
from marketplace_returns.sources.http import READ_WAIT_S_MAX, HttpSource, Params
from marketplace_returns.sources.mirakl import exports, paging, results, stock_imports
from marketplace_returns.sources.mirakl.paging import Page, Row
from marketplace_returns.sources.mirakl.spelling import check_batch, chunks, instant, path_part

ORDERS_PAGE_MAX = 100
RETURNS_PAGE_MAX = 100
TRANSACTIONS_PAGE_MAX = 2000
CYCLES_PAGE_MAX = 1000
PAGE_PATIENCE_S = 330.0  # a poll that began is finished, even where each page of RT11 has to wait its five minutes
IDS_MAX = 100  # more ids in one filter are answered 400
RETURN_ITEMS_MAX = 100
SHIPMENTS_MAX = 1000
STOCK_ROWS_MAX = 200_000
# A longer list is fetched as a file, which has no size: OR11 may be called 5 times in 5 minutes, by a partner's key 4 times an hour.
ORDERS_BY_PAGE_MAX = {"seller": 300, "external_partner": 100, "sandbox": 2000}
ORDER_EXPORT_POLL_S = 10.0
TRANSACTION_EXPORT_POLL_S = 60.0
EXPORT_ITEMS_PER_FILE = 10_000


class MiraklClient:
    """One shop's calls to Mirakl over one HttpSource."""

    def __init__(self, shop: Shop, http: HttpSource) -> None:
        self.shop = shop
        self._http = http
        self._shop_id: dict[str, str | int | Sequence[str]] = {"shop_id": shop.mirakl.shop_id}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # Reading orders and shipments.

    def orders(self, updated_from: datetime, updated_to: datetime) -> Iterator[Page]:
        """Read the orders updated in a window, page by page (OR11), or as a file when there are many (OR13-OR15).

        Mirakl itself reaches back a little before the start, so an order may come again: upsert by ``order_id``.
        """
        window = {"start_update_date": instant(updated_from), "end_update_date": instant(updated_to)}
        first = self._orders_page(window, 0, turn_s_max=PAGE_PATIENCE_S)
        if (paging.total_count(first) or 0) > ORDERS_BY_PAGE_MAX[self.shop.mirakl.call_profile]:
            yield from self.orders_export(updated_from, updated_to)
            return
        yield from paging.offset_pages(
            lambda offset: self._orders_page(window, offset, patience_s=PAGE_PATIENCE_S),
            field="orders",
            key="order_id",
            first=first,
        )

    def orders_in_state(self, state: str) -> Iterator[Page]:
        """Read the orders of one state now (OR11); RateLimited where the call budget does not allow it now."""
        return paging.offset_pages(
            lambda offset: self._orders_page({"order_state_codes": state}, offset, turn_s_max=0.0),
            field="orders",
            key="order_id",
        )

    def orders_by_id(self, order_ids: Sequence[str], *, spare: bool = False) -> Iterator[Page]:
        """Read known orders (OR11), 100 ids a call; RateLimited where the call budget does not allow it now.

        The fresh read before a write and the read-back after an unclear one are urgent; ``spare`` only hurries what the next poll shows.
        """
        for ids in chunks(order_ids, IDS_MAX):
            answer = self._orders_page({"order_ids": ",".join(ids)}, 0, urgent=not spare, spare=spare, turn_s_max=0.0)
            if rows := paging.rows_of(answer, "orders"):
                yield rows

    def orders_export(self, updated_from: datetime, updated_to: datetime) -> Iterator[Page]:
        """Read the orders updated in a window as files, a page per file of up to 10,000 (OR13, OR14, OR15).

        The only route that scales; at most every five minutes, one at a time per shop, a window of at most a year.
        """
        asked = self._read(
            "OR13",
            "/api/orders/async-export",
            method="POST",
            json={
                "start_update_date": instant(updated_from),
                "end_update_date": instant(updated_to),
                "items_per_chunk": EXPORT_ITEMS_PER_FILE,
            },
            turn_s_max=PAGE_PATIENCE_S,
        )
        path = f"/api/orders/async-export/status/{path_part(exports.tracking_id(asked))}"
        urls = exports.await_files(lambda: self._read("OR14", path), self._http.clock, poll_s_max=ORDER_EXPORT_POLL_S)
        return exports.file_rows(urls, lambda url: self._file("OR15", url), field="orders")

    def shipments(
        self,
        order_ids: Sequence[str] = (),
        *,
        updated_from: datetime | None = None,
        updated_to: datetime | None = None,
    ) -> Iterator[Page]:
        """Read shipments of some orders, or those updated in a window (ST11); 404 where multi-shipment is off (PC01)."""
        window: dict[str, str | int | Sequence[str]] = {"limit": RETURNS_PAGE_MAX}
        if updated_from is not None:
            window["last_updated_from"] = instant(updated_from)
        if updated_to is not None:
            window["last_updated_to"] = instant(updated_to)
        for ids in chunks(order_ids, IDS_MAX) if order_ids else [()]:
            yield from self._seek("ST11", "/api/shipments", window | ({"order_id": ids} if ids else {}))

    # Reading returns.

    def returns(self, updated_from: datetime, updated_to: datetime) -> Iterator[Page]:
        """Read the returns updated in a window, page by page (RT11)."""
        window: Params = {
            "return_last_updated_from": instant(updated_from),
            "return_last_updated_to": instant(updated_to),
            "limit": RETURNS_PAGE_MAX,
        }
        return self._seek("RT11", "/api/returns", window, turn_s_max=PAGE_PATIENCE_S)

    def returns_by_id(self, return_ids: Sequence[str], *, spare: bool = False) -> Iterator[Page]:
        """Read known returns (RT11), 100 ids a call; urgent or ``spare``, as ``orders_by_id``."""
        for ids in chunks(return_ids, IDS_MAX):
            asked: Params = {"return_id": ids, "limit": RETURNS_PAGE_MAX}
            yield from self._seek("RT11", "/api/returns", asked, urgent=not spare, spare=spare, turn_s_max=0.0)

    # Reading offers and money.

    def offers(self) -> Iterator[Page]:
        """Read all offers of the shop, page by page (OF21)."""
        return paging.offset_pages(
            lambda offset: self._read("OF21", "/api/offers", {"max": ORDERS_PAGE_MAX, "offset": offset}),
            field="offers",
            key="offer_id",
        )

    def offer_quantities(self, skus: Iterable[str]) -> dict[str, int]:
        """Read what some offers have on sale now, by SKU (OF21); one that the marketplace does not show is absent."""
        found: dict[str, int] = {}
        for sku in sorted(set(skus)):
            answer = self._read("OF21", "/api/offers", {"sku": sku, "max": 1})
            for row in paging.rows_of(answer, "offers"):
                if row.get("shop_sku") != sku:
                    continue
                if not isinstance(row.get("quantity"), int) or isinstance(row["quantity"], bool):
                    raise answer.broken(f"has no whole quantity of offer {sku}")
                found[sku] = row["quantity"]
        return found

    def transactions(self, updated_from: datetime, updated_to: datetime) -> Iterator[Page]:
        """Read ledger lines by update time, oldest first (TL02); the last page may reach beyond ``updated_to``.

        TL02 takes no end of the update window, so the reading stops at the first page that begins after it. Lines that
        change meanwhile move to the end, so none is jumped over.
        """
        window: Params = {
            "last_updated_from": instant(updated_from),
            "sort": "lastUpdated,ASC",
            "limit": TRANSACTIONS_PAGE_MAX,
        }
        # A further page is counted here, for the ceiling is stated in calls (20 a minute, 60 an hour).
        for page in self._seek("TL02", "/api/sellerpayment/transactions_logs", window, counts_pages=True):
            yield page
            last = _instant_of(page[-1].get("last_updated"))
            if last is not None and last > updated_to:
                return

    def transactions_export(self, created_from: datetime, created_to: datetime) -> Iterator[Page]:
        """Read the ledger lines created in a window as files (TL03, TL04, TL05); at most once a day."""
        asked = self._read(
            "TL03",
            "/api/sellerpayment/transactions_logs/async",
            method="POST",
            json={
                "date_created_from": instant(created_from),
                "date_created_to": instant(created_to),
                "format": "JSON",
                "items_per_chunk": EXPORT_ITEMS_PER_FILE,
            },
        )
        path = f"/api/sellerpayment/transactions_logs/async/status/{path_part(exports.tracking_id(asked))}"
        urls = exports.await_files(
            lambda: self._read("TL04", path), self._http.clock, poll_s_max=TRANSACTION_EXPORT_POLL_S
        )
        return exports.file_rows(urls, lambda url: self._file("TL05", url), field="data")

    def billing_cycles(self, created_from: datetime, created_to: datetime) -> Iterator[Page]:
        """Read the payout statements created in a window, both ends included (SBC11)."""
        window: Params = {
            "start_date": instant(created_from),
            "end_date": instant(created_to),
            "limit": CYCLES_PAGE_MAX,
        }
        return self._seek("SBC11", "/api/seller-billing-cycles", window)

    def invoices(self, created_from: datetime, created_to: datetime) -> Iterator[Page]:
        """Read invoices and credit notes of every type created in a window (IV01; its default is AUTO_INVOICE only)."""
        window = {"type": "ALL", "start_date": instant(created_from), "end_date": instant(created_to)}
        return paging.offset_pages(
            lambda offset: self._read(
                "IV01",
                "/api/invoices",
                {**window, "max": ORDERS_PAGE_MAX, "offset": offset},
                counted=offset == 0,
            ),
            field="invoices",
            key="id",
        )

    # Reading the account and the platform.

    def account(self) -> Row:
        """Read the shop's account with its balances (A01)."""
        return self._read("A01", "/api/account").json_object()

    def platform_configuration(self) -> Row:
        """Read the platform's features and flags (PC01)."""
        return self._read("PC01", "/api/platform/configuration").json_object()

    def reasons(self) -> list[Row]:
        """Read all reason codes with their types and whether the seller may use them (RE01)."""
        return paging.rows_of(self._read("RE01", "/api/reasons"), "reasons")

    def carriers(self) -> list[Row]:
        """Read the registered carriers (SH21)."""
        return paging.rows_of(self._read("SH21", "/api/shipping/carriers"), "carriers")

    # Changing orders.

    def accept_order(self, order_id: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Accept or refuse every line of an order: ``{"id", "accepted"}`` each (OR21)."""
        self._write(
            "OR21", "PUT", f"/api/orders/{path_part(order_id)}/accept", {"order_lines": list(lines)}, urgent=True
        )

    def set_tracking(
        self,
        order_id: str,
        *,
        carrier_code: str = "",
        carrier_name: str = "",
        carrier_url: str = "",
        tracking_number: str = "",
    ) -> None:
        """Set an order's carrier and tracking number (OR23); a registered carrier by code, another by name and address."""
        given = {
            "carrier_code": carrier_code,
            "carrier_name": carrier_name,
            "carrier_url": carrier_url,
            "tracking_number": tracking_number,
        }
        body = {name: value for name, value in given.items() if value}
        self._write("OR23", "PUT", f"/api/orders/{path_part(order_id)}/tracking", body)

    def ship_order(self, order_id: str) -> None:
        """Say that a whole order is shipped (OR24); refused with 400 unless it is in SHIPPING."""
        self._write("OR24", "PUT", f"/api/orders/{path_part(order_id)}/ship")

    def refund(self, body: Mapping[str, Any]) -> list[results.RefundReference]:
        """Refund lines of one order (OR28); ``body`` is sent as it is, amounts as Decimal in units of the order's currency.

        There is no idempotency key (G1): after OutcomeUnknown read the order back before anything is sent again (R48).
        """
        lines = [refund["order_line_id"] for refund in body["refunds"]]
        answer = self._write("OR28", "PUT", "/api/orders/refund", body)
        made = results.refund_references(answer)
        if sorted(reference.order_line_id for reference in made) != sorted(lines):
            raise answer.unclear("names other lines than were sent")
        return made

    def cancel_order(self, order_id: str) -> None:
        """Cancel a whole order that the customer has not paid yet (OR29)."""
        self._write("OR29", "PUT", f"/api/orders/{path_part(order_id)}/cancel")

    def cancel_lines(self, body: Mapping[str, Any]) -> list[results.CancelationReference]:
        """Cancel parts of lines that the customer has not paid yet (OR30); ``body`` is sent as it is."""
        return results.cancelation_references(self._write("OR30", "PUT", "/api/orders/cancel", body))

    def resolve_incident(self, order_id: str, order_line_id: str, reason_code: str) -> None:
        """Say that the incident of a line is resolved (OR64); the reason is of type INCIDENT_CLOSE."""
        path = f"/api/orders/{path_part(order_id)}/lines/{path_part(order_line_id)}/resolve_incident"
        self._write("OR64", "PUT", path, {"reason_code": reason_code})

    # Changing shipments.

    def create_shipments(self, shipments: Sequence[Mapping[str, Any]]) -> dict[str, results.ItemOutcome]:
        """Create shipments, at most one per order in a call (ST01); outcomes by order id, the shipment in ``row``.

        Errors name the order only, so two parcels of one order go in two calls. Not idempotent: after OutcomeUnknown
        read the order's shipments (ST11) back.
        """
        order_ids = [str(shipment["order_id"]) for shipment in shipments]
        check_batch("ST01", order_ids, SHIPMENTS_MAX)
        answer = self._write("ST01", "POST", "/api/shipments", {"shipments": list(shipments)})
        return results.item_outcomes(answer, "shipment", order_ids, key="order_id")

    def ship_shipments(self, shipment_ids: Sequence[str]) -> dict[str, results.ItemOutcome]:
        """Say that shipments have left (ST24)."""
        check_batch("ST24", shipment_ids, SHIPMENTS_MAX)
        body = {"shipments": [{"id": shipment_id} for shipment_id in shipment_ids]}
        return results.item_outcomes(self._write("ST24", "PUT", "/api/shipments/ship", body), "shipment", shipment_ids)

    # Changing returns: each call answers 200 with what succeeded and what did not.

    def returns_by_rma(self, rma: str) -> Iterator[Page]:
        """Read the returns that carry a key of ours (RT11)."""
        return self._seek("RT11", "/api/returns", {"return_rma": rma, "limit": RETURNS_PAGE_MAX})

    def create_return(self, body: Mapping[str, Any]) -> results.ItemOutcome:
        """Open one return for a customer (RT01); the outcome's id is the commercial order's, the return is its ``row``.

        Not idempotent: after OutcomeUnknown look for the ``rma`` before anything is sent again.
        """
        key = str(body["order_commercial_id"])
        answer = self._write("RT01", "POST", "/api/returns", {"returns": [dict(body)]})
        return results.item_outcomes(answer, "return", [key], key="order_commercial_id")[key]

    def patch_returns(self, items: Sequence[Mapping[str, Any]]) -> dict[str, results.ItemOutcome]:
        """Set ``rma``, ``label_url``, ``tracking`` or ``return_address`` of returns (RT04)."""
        return self._change_returns("RT04", "", items)

    def accept_returns(self, items: Sequence[Mapping[str, Any]]) -> dict[str, results.ItemOutcome]:
        """Accept or refuse returns: ``{"id", "accepted", "rejection_reason_code"}`` each (RT21)."""
        return self._change_returns("RT21", "/accept", items)

    def receive_returns(self, return_ids: Sequence[str]) -> dict[str, results.ItemOutcome]:
        """Say that returns have arrived (RT25)."""
        return self._change_returns("RT25", "/receive", [{"id": return_id} for return_id in return_ids])

    def report_compliance(self, items: Sequence[Mapping[str, Any]]) -> dict[str, results.ItemOutcome]:
        """Report for every line of returns whether it is as it should be (RT26); it refunds nothing."""
        return self._change_returns("RT26", "/compliance", items)

    def close_returns(self, return_ids: Sequence[str]) -> dict[str, results.ItemOutcome]:
        """Close returns (RT27)."""
        return self._change_returns("RT27", "/close", [{"id": return_id} for return_id in return_ids])

    # Stock.

    def import_stock(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Send absolute quantities, ``{"offer_sku", "quantity"}`` each, as one file (STO01); returns the import's id.

        Accepting the file is not accepting its lines: ask STO02 and STO03 (G10). Touches quantities only. Waits for nothing: RateLimited
        where the minute of the last file is not over.
        """
        check_batch("STO01", [str(row["offer_sku"]) for row in rows], STOCK_ROWS_MAX)
        answer = self._http.write(
            "STO01",
            "POST",
            "/api/offers/stock/imports",
            params=self._shop_id,
            files={"file": ("stock.csv", stock_imports.stock_file(rows), "text/csv")},
            urgent=True,
            turn_s_max=0.0,
        )
        return stock_imports.import_id(answer)

    def stock_import_status(self, import_id: str) -> stock_imports.StockImport:
        """Ask how far a stock file is (STO02). Waits for nothing: RateLimited where its frequency does not allow the call now."""
        path = f"/api/offers/stock/imports/{path_part(import_id)}/status"
        return stock_imports.stock_import(self._read("STO02", path, patience_s=0.0))

    def stock_import_errors(self, import_id: str) -> list[stock_imports.StockImportError]:
        """Read the refused lines of a stock file (STO03). Waits for nothing, as ``stock_import_status``."""
        path = f"/api/offers/stock/imports/{path_part(import_id)}/error_report"
        return stock_imports.stock_import_errors(self._read("STO03", path, accept="text/csv", patience_s=0.0))

    # How a call is made.

    def _orders_page(self, filters: Mapping[str, str], offset: int, **how: Any) -> Answer:
        # Sorted by creation: the one order that updates do not change, so the list keeps its sequence while it is read.
        params: Params = {**filters, "sort": "dateCreated", "order": "asc", "max": ORDERS_PAGE_MAX, "offset": offset}
        return self._read("OR11", "/api/orders", params, **how)

    def _seek(
        self,
        operation: str,
        path: str,
        params: Params,
        *,
        urgent: bool = False,
        spare: bool = False,
        turn_s_max: float | None = None,
        counts_pages: bool = False,
    ) -> Iterator[Page]:
        def fetch(token: str | None) -> Answer:
            if token is None:
                return self._read(operation, path, params, urgent=urgent, spare=spare, turn_s_max=turn_s_max)
            # With a token Mirakl ignores every filter: they live inside it.
            further: Params = {"page_token": token, "limit": params["limit"]}
            return self._read(operation, path, further, urgent=urgent, counted=counts_pages, patience_s=PAGE_PATIENCE_S)

        return paging.seek_pages(fetch)

    def _read(
        self,
        operation: str,
        path: str,
        params: Params | None = None,
        *,
        method: str = "GET",
        json: object | None = None,
        accept: str = "application/json",
        urgent: bool = False,
        spare: bool = False,
        counted: bool = True,
        patience_s: float = READ_WAIT_S_MAX,
        turn_s_max: float | None = None,
    ) -> Answer:
        return self._http.read(
            operation,
            method,
            path,
            params={**(params or {}), **self._shop_id},
            json=json,
            headers={"Accept": accept},
            urgent=urgent,
            spare=spare,
            counted=counted,
            patience_s=patience_s,
            turn_s_max=turn_s_max,
        )

    def _file(self, operation: str, url: str) -> Answer:
        return self._http.read(operation, "GET", url, headers={"Accept": "*/*"})

    def _write(
        self, operation: str, method: str, path: str, body: Mapping[str, Any] | None = None, *, urgent: bool = False
    ) -> Answer:
        return self._http.write(operation, method, path, params=self._shop_id, json=body, urgent=urgent)

    def _change_returns(
        self, operation: str, action: str, items: Sequence[Mapping[str, Any]]
    ) -> dict[str, results.ItemOutcome]:
        ids = [str(item["id"]) for item in items]
        check_batch(operation, ids, RETURN_ITEMS_MAX)
        answer = self._write(operation, "PUT", f"/api/returns{action}", {"returns": list(items)})
        return results.item_outcomes(answer, "return", ids)


def _instant_of(value: object) -> datetime | None:
    """Read an instant of an answer; None where it is none, which is for the lake to say."""
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return instant if instant is not None and instant.tzinfo is not None else None
