"""The warehouse's integration service, one method per operation.

Here: paging, which template answers what, and what became of each order saved. Not here: envelopes, CSV, why an order
is sent. Rows are dicts under our column names with text values, dates as ISO 8601 UTC, and the tenant's other columns
under their own captions. Invariant: a page shorter than the service said is an error, never a shorter result.
"""

from __future__ import annotations

import csv
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from marketplace_returns.errors import BadSettings, ContractBroken, OutcomeUnknown, SourceRefused
from marketplace_returns.sources.budget import SingleCeiling
from marketplace_returns.sources.http import HttpSource
from marketplace_returns.sources.peoplevox import captions, clauses, orders
from marketplace_returns.sources.peoplevox.dialect import read_table, write_table
from marketplace_returns.sources.peoplevox.session import Session, refused
from marketplace_returns.sources.peoplevox.soap import is_xml
from marketplace_returns.sources.peoplevox.throttle import ANY_OPERATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import httpx

    from marketplace_returns.clock import Clock
    from marketplace_returns.settings import Shop, Timing, WarehouseSettings
    from marketplace_returns.sources.budget import Budget
    from marketplace_returns.sources.http import CallLog
    from marketplace_returns.sources.peoplevox.captions import Reading, Template
    from marketplace_returns.sources.peoplevox.soap import IntegrationAnswer

SYSTEM = captions.SYSTEM
PAGES_MAX = 4_000  # two million rows in one read: more is a paging that never ends
READS_MAX = 3  # of one table that loses rows while it is read
ACTION_NONE = 0

NUMBERED_FROM = timedelta(days=1)
"""Rows of one parcel or return are entered within this time of each other (an assumption, nobody documents it)."""

FOLD = timedelta(hours=1)
"""A date in the hour that comes twice is read as the earlier one, so up to this much too early."""

EVENT_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "AvailabilityChanges": "ItemCode={ItemCode}",
        "SalesOrderStatusChanges": "SalesOrderNumber={SalesOrderNumber}",
        "DespatchPackageDespatched": "DespatchNumber={DespatchNumber}",
    }
)
"""What an event is to tell us: the id to read again. Placeholders of the other events are not documented."""

Page = list[dict[str, Any]]
OrderT = TypeVar("OrderT", orders.SalesOrder, orders.PurchaseOrder)


def connect(
    shop: Shop,
    *,
    timing: Timing,
    budget: Budget,
    clock: Clock,
    log: CallLog,
    transport: httpx.BaseTransport | None = None,
) -> PeoplevoxClient:
    """Make the client of a shop's warehouse; `budget` is the tenant's own and is counted as one (see `throttle`).

    Raises BadSettings where the shop has no warehouse; a missing password is found at the first call.
    """
    settings = shop.warehouse
    if settings is None:
        raise BadSettings(f"shops.{shop.name} has no [warehouse] section: add it to use the warehouse")
    http = HttpSource(
        SYSTEM,
        settings.base_url,
        {},
        timing=timing,
        budget=SingleCeiling(budget, ANY_OPERATION),
        clock=clock,
        log=log,
        shop=shop.name,
        transport=transport,
        is_readable=is_xml,
    )
    return PeoplevoxClient(settings, http)


class _Shrunk(Exception):
    """The table lost rows between two of its pages, so that a row may have slipped over their border unseen."""


class PeoplevoxClient:
    """The sites of one tenant that serve a shop.

    All methods raise the SourceError tree; a refusal of the service itself (HTTP 200, ResponseId -1) is SourceRefused
    with its text.
    """

    def __init__(self, settings: WarehouseSettings, http: HttpSource) -> None:
        self._http = http
        self._sites = settings.sites
        self._zone = ZoneInfo(settings.time_zone)
        self._session = Session(settings, http)
        self._aliases = settings.captions
        self._page_size = settings.page_size
        self._reports: dict[str, Reading] = {}
        self._save_headers: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        """Close the connections; the session ends by itself."""
        self._http.close()

    # -- reports ------------------------------------------------------------------------------------------------------

    def despatches(self, since: datetime, until: datetime) -> Iterator[Page]:
        """Yield pages of the sites' despatched item lines in [since, until), and a little more (`Despatch summary`)."""
        return self._window(captions.DESPATCHES, since, until)

    def despatches_of(self, order_numbers: Iterable[str]) -> Iterator[Page]:
        """Yield pages of all that left for these sales orders, whenever it did."""
        return self._of_orders(captions.DESPATCHES, order_numbers)

    def parcels(self, despatch_numbers: Iterable[str]) -> Iterator[Page]:
        """Yield pages of all that left under these despatch numbers, which is what a despatch event names."""
        return self._whole_parcels(captions.DESPATCHES, despatch_numbers)

    def returns(self, since: datetime, until: datetime) -> Iterator[Page]:
        """Yield pages of the sites' inspected return lines in [since, until), and a little more (`Return summary`)."""
        return self._window(captions.RETURNS, since, until)

    def returns_of(self, order_numbers: Iterable[str]) -> Iterator[Page]:
        """Yield pages of all that came back of these sales orders, whenever it did."""
        return self._of_orders(captions.RETURNS, order_numbers)

    def goods_in(self, since: datetime, until: datetime) -> Iterator[Page]:
        """Yield pages of the sites' deliveries in [since, until), and a little more (`Goods in summary`)."""
        return self._window(captions.GOODS_IN, since, until)

    def stock(self, item_codes: Sequence[str] | None = None) -> Iterator[Page]:
        """Yield pages of the sites' stock, a row per item and site: every item, or those named (`Item inventory summary`).

        Raises ContractBroken where no site is set and there is more than one: which of them serve the shop is not ours
        to guess.
        """
        reading = self._report(captions.STOCK)
        code = clauses.caption(reading.captions["item_code"])
        sites: set[str] = set()
        for clause in self._clauses_of_keys(reading, "item_code", item_codes):
            for page in self._report_pages(reading, clause, code):
                sites.update(str(row["site"]) for row in page)
                if not self._sites and len(sites) > 1:
                    raise _broken(reading.template, f"has rows of sites {sorted(sites)}; set the warehouse's site")
                # A row that names no site, though those of a site were asked for, would be added to that site's figure.
                yield [row | {"site": ""} if self._sites and row["site"] == captions.ANY_SITE else row for row in page]

    # -- templates ----------------------------------------------------------------------------------------------------

    def sales_orders(self, numbers: Iterable[str]) -> Page:
        """Return those of the sales orders that exist; read before any order is sent again (R86)."""
        return self._by_number(captions.SALES_ORDERS, "SalesOrderNumber", numbers)

    def sales_order_items(self, numbers: Iterable[str]) -> Page:
        """Return the lines of those sales orders: an order whose lines are missing was saved by half."""
        return self._by_number(captions.SALES_ORDER_ITEMS, "SalesOrderNumber", numbers)

    def whole_sales_orders(self, numbers: Iterable[str]) -> Page:
        """Return those of the sales orders that exist, each with its lines as `items`."""
        return _with_items(numbers, self.sales_orders, self.sales_order_items, "sales_order_number")

    def purchase_orders(self, numbers: Iterable[str]) -> Page:
        """Return those of the purchase orders that exist."""
        return self._by_number(captions.PURCHASE_ORDERS, "PurchaseOrderNumber", numbers)

    def purchase_order_items(self, numbers: Iterable[str]) -> Page:
        """Return the lines of those purchase orders."""
        return self._by_number(captions.PURCHASE_ORDER_ITEMS, "PurchaseOrderNumber", numbers)

    def whole_purchase_orders(self, numbers: Iterable[str]) -> Page:
        """Return those of the purchase orders that exist, each with its lines as `items`."""
        return _with_items(numbers, self.purchase_orders, self.purchase_order_items, "purchase_order_number")

    def item_types(self) -> Iterator[Page]:
        """Yield pages of the warehouse's catalogue: every item code there is, of all sites."""
        return self._data_pages(captions.ITEM_TYPES, "")

    # -- saves --------------------------------------------------------------------------------------------------------

    def save_sales_orders(self, sales_orders: Sequence[orders.SalesOrder]) -> dict[str, orders.Outcome]:
        """Save orders with their lines and return what became of each, by number.

        Headers go first, then the lines of those taken. Both are upserts by key, so saving an order again mends one
        that was saved by half and doubles nothing. Raises SourceRefused where a whole batch was refused or cannot be
        written into the tenant's template, OutcomeUnknown where it is unclear what was saved.
        """
        sound, outcomes = _sound(sales_orders)
        self._save(
            outcomes,
            ("Sales orders", [orders.sales_order_row(order, self._zone) for order in sound]),
            ("Sales order items", [row for order in sound for row in orders.sales_order_item_rows(order)]),
            key="SalesOrderNumber",
        )
        return outcomes

    def save_purchase_orders(self, purchase_orders: Sequence[orders.PurchaseOrder]) -> dict[str, orders.Outcome]:
        """Save expected returns with their lines and return what became of each, by number; as `save_sales_orders`."""
        sound, outcomes = _sound(purchase_orders)
        self._save(
            outcomes,
            ("Purchase orders", [orders.purchase_order_row(order) for order in sound]),
            ("Purchase order items", [row for order in sound for row in orders.purchase_order_item_rows(order)]),
            key="PurchaseOrderNumber",
        )
        return outcomes

    def cancel_sales_orders(self, numbers: Sequence[str]) -> dict[str, orders.Outcome]:
        """Set sales orders to Cancelled, the only status that may be imported, and return what became of each."""
        return self._cancel("Sales orders", "SalesOrderNumber", numbers)

    def cancel_purchase_orders(self, numbers: Sequence[str]) -> dict[str, orders.Outcome]:
        """Set expected returns to Cancelled and return what became of each; as `cancel_sales_orders`."""
        return self._cancel("Purchase orders", "PurchaseOrderNumber", numbers)

    # -- events -------------------------------------------------------------------------------------------------------

    def subscribe(self, event_type: str, url: str) -> str:
        """Have events of a type posted to an address, with the id of the object only, and return the subscription's id.

        The service fills placeholders of ours; those that hold a shopper's data are never asked for. There is no list of
        subscriptions. Raises SourceRefused with the service's text, OutcomeUnknown where no id came.
        """
        parameters: dict[str, str | int] = {
            "eventType": event_type,
            "filter": "",
            "postUrl": f"{url}?event={event_type}",
            "postParams": EVENT_PARAMETERS.get(event_type, ""),
            "encodeParameterData": "true",
        }
        answer = self._session.write("SubscribePostEvent", parameters)
        if answer.is_refusal:
            raise refused("SubscribePostEvent", answer)
        if not answer.detail.strip():
            raise OutcomeUnknown(
                f"{SYSTEM} SubscribePostEvent: the answer names no subscription; subscribe again",
                system=SYSTEM,
                operation="SubscribePostEvent",
                request_id=answer.request_id,
            )
        return answer.detail.strip()

    def unsubscribe(self, subscription_id: str) -> None:
        """Take a subscription back; SourceRefused where there is none of that id."""
        answer = self._session.write("UnsubscribeEvent", {"subscriptionId": subscription_id})
        if answer.is_refusal:
            raise refused("UnsubscribeEvent", answer)

    # -- how reads work -----------------------------------------------------------------------------------------------

    def _window(self, template: Template, since: datetime, until: datetime) -> Iterator[Page]:
        """Yield what happened in a window, rows numbered from a day earlier, and the rows of that day left out.

        Counted from the window's own start, the second row of a parcel whose first lies before it would be its first.
        """
        reading = self._report(template)
        date = clauses.caption(reading.captions[template.window])
        window = clauses.within(date, since - NUMBERED_FROM, until, self._zone)
        # Oldest first: what comes in meanwhile is added behind the pages already read.
        pages = self._report_pages(reading, clauses.all_of(window, self._at_site(reading)), date)
        kept_from = (since - FOLD).strftime("%Y-%m-%dT%H:%M:00Z")
        for page in pages:
            kept = [row for row in page if not _is_before(row.get(template.window, ""), kept_from)]
            if kept:
                yield kept

    def _of_orders(self, template: Template, order_numbers: Iterable[str]) -> Iterator[Page]:
        """Yield the rows of some orders, matched exactly and oldest first; a parcel of two orders is read as a whole.

        The row numbers are of the parcel, so its number is what is asked for in the end.
        """
        reading = self._report(template)
        date = clauses.caption(reading.captions[template.window])
        parcel, wanted = template.row_key[0], set(order_numbers)
        numbers: set[str] = set()
        for clause in self._clauses_of_keys(reading, "sales_order_number", sorted(wanted)):
            for page in self._report_pages(reading, clause, date):
                numbers.update(str(row[parcel]) for row in page if row.get("sales_order_number") in wanted)
        yield from self._whole_parcels(template, numbers)

    def _whole_parcels(self, template: Template, numbers: Iterable[str]) -> Iterator[Page]:
        """Yield all rows of some parcels, deliveries or returns, matched exactly and oldest first."""
        reading = self._report(template)
        date = clauses.caption(reading.captions[template.window])
        parcel, wanted = template.row_key[0], set(numbers)
        for clause in self._clauses_of_keys(reading, parcel, sorted(wanted)):
            for page in self._report_pages(reading, clause, date):
                kept = [row for row in page if row.get(parcel) in wanted]
                if kept:
                    yield kept

    def _clauses_of_keys(self, reading: Reading, column: str, keys: Sequence[str] | None) -> list[str]:
        """Return the clauses of the rows with these keys at our sites; the one of all rows where no keys are given."""
        at_site = self._at_site(reading)
        if keys is None:
            return [at_site]
        field = clauses.caption(reading.captions[column])
        return [clauses.all_of(clauses.any_of(field, chunk), at_site) for chunk in clauses.chunks(keys)]

    def _report(self, template: Template) -> Reading:
        """Return how the tenant's report is read, asking it once for its captions, which clauses must name exactly."""
        if template.name not in self._reports:
            answer = self._ask_report(template, "", "", "", page=1, size=1)
            self._reports[template.name] = captions.read_captions(template, _table(template, answer)[0], self._aliases)
        return self._reports[template.name]

    def _at_site(self, reading: Reading) -> str:
        """Return the clause of our sites: rows of other sites are other stock."""
        if not self._sites:
            return ""
        if "site" not in reading.captions:
            raise _broken(
                reading.template, "has no site column, and a site is set; show `Site reference` to the integration user"
            )
        return clauses.any_of(clauses.caption(reading.captions["site"]), self._sites)

    def _report_pages(self, reading: Reading, clause: str, order_by: str) -> Iterator[Page]:
        """Yield the pages of a report, rows numbered; read again from the start where it lost rows meanwhile."""
        # Only the columns we know: the rest of a report is the shopper's e-mail, name and phone.
        columns = ",".join(clauses.caption(caption) for caption in reading.captions.values())

        def ask(number: int) -> IntegrationAnswer:
            return self._ask_report(
                reading.template, clause, columns, f"{order_by} asc", page=number, size=self._page_size
            )

        for _ in range(READS_MAX):
            numbers = captions.RowNumbers(reading.template)
            try:
                for page in self._pages(reading.template, ask):
                    yield numbers.number(page)
            except _Shrunk:
                continue
            return
        raise _broken(reading.template, f"lost rows in each of {READS_MAX} readings; read it again later")

    def _pages(self, template: Template, ask: Callable[[int], IntegrationAnswer]) -> Iterator[Page]:
        """Yield the pages that `ask` gives by number, as long as the last answer says that there are more."""
        total = 0
        for number in range(1, PAGES_MAX + 1):
            answer = ask(number)
            if answer.total_count < total:
                raise _Shrunk
            total = answer.total_count
            page = self._page(template, answer, number)
            if page:
                yield page
            if not self._page_size or number * self._page_size >= total:
                return
        raise _broken(template, f"has still more rows after {PAGES_MAX} pages; ask for a shorter window or fewer keys")

    def _ask_report(
        self, template: Template, clause: str, columns: str, order_by: str, *, page: int, size: int
    ) -> IntegrationAnswer:
        parameters: dict[str, str | int] = {
            "TemplateName": template.name,
            "PageNo": page,
            "ItemsPerPage": size,
            "SearchClause": clause,
            "FilterClause": "",
            "Columns": columns,
            "OrderBy": order_by,
        }
        return self._session.read("GetReportData", parameters, wrapper="getReportRequest")

    def _by_number(self, template: Template, field: str, numbers: Iterable[str]) -> Page:
        wanted = set(numbers)
        found: Page = []
        for chunk in clauses.chunks(sorted(wanted)):
            for page in self._data_pages(template, clauses.any_of(clauses.bare(field), chunk)):
                # Compared exactly: the service may match without case or padding, and a near match is another order.
                found += [row for row in page if row.get(template.columns[0].name) in wanted]
        return found

    def _data_pages(self, template: Template, clause: str) -> Iterator[Page]:
        def ask(number: int) -> IntegrationAnswer:
            parameters: dict[str, str | int] = {
                "TemplateName": template.name,
                "PageNo": number,
                "ItemsPerPage": self._page_size,
                "SearchClause": clause,
            }
            return self._session.read("GetData", parameters, wrapper="getRequest")

        for _ in range(READS_MAX):
            try:
                yield from self._pages(template, ask)
            except _Shrunk:
                continue
            return
        raise _broken(template, f"lost rows in each of {READS_MAX} readings; read it again later")

    def _page(self, template: Template, answer: IntegrationAnswer, number: int) -> Page:
        header, rows = _table(template, answer)
        size = self._page_size
        promised = min(size, max(answer.total_count - (number - 1) * size, 0)) if size else answer.total_count
        if len(rows) < promised:
            raise _broken(
                template, f"page {number} has {len(rows)} of {promised} rows; read again, and report it if it stays so"
            )
        if not header:
            return []
        reading = captions.read_captions(template, header, self._aliases)
        return [reading.row(cells, self._zone) for cells in rows]

    # -- how saves work -----------------------------------------------------------------------------------------------

    def _save(
        self,
        outcomes: dict[str, orders.Outcome],
        headers: tuple[str, list[orders.Row]],
        lines: tuple[str, list[orders.Row]],
        *,
        key: str,
    ) -> None:
        """Save headers, then the lines of those taken, and write what became of each order into `outcomes`."""
        for template, rows in (
            headers,
            lines,
        ):  # what the tenant's template cannot take is known before anything is sent
            if rows:
                self._tenant_headers(template, orders.used_headers(rows))
        template, header_rows = headers
        statuses = self._save_rows(template, header_rows)
        taken = {row[key] for row, status in zip(header_rows, statuses, strict=True) if _is_success(status)}
        for row, status in zip(header_rows, statuses, strict=True):
            if row[key] not in taken:
                outcomes[row[key]] = orders.Refused(row[key], status or "refused without a reason")
        template, all_lines = lines
        line_rows = [row for row in all_lines if row[key] in taken]
        outcomes.update({number: orders.Saved(number) for number in taken})
        for row, status in zip(line_rows, self._save_rows(template, line_rows), strict=True):
            if not _is_success(status):
                text = f"line {row['Line']}: {status or 'refused without a reason'}"
                outcomes[row[key]] = orders.Refused(row[key], text, is_header_saved=True)

    def _cancel(self, template: str, key: str, numbers: Sequence[str]) -> dict[str, orders.Outcome]:
        rows = [{key: number, "Status": orders.CANCELLED} for number in dict.fromkeys(numbers)]
        return {
            row[key]: orders.Saved(row[key])
            if _is_success(status)
            else orders.Refused(row[key], status or "refused without a reason")
            for row, status in zip(rows, self._save_rows(template, rows), strict=True)
        }

    def _save_rows(self, template: str, rows: list[orders.Row]) -> list[str]:
        """Save rows of one template and return a status for each."""
        if not rows:
            return []
        used = orders.used_headers(rows)
        tenant_headers = self._tenant_headers(template, used)
        parameters: dict[str, str | int] = {
            "TemplateName": template,
            "CsvData": write_table(tenant_headers, ([row[header] for header in used] for row in rows)),
            "Action": ACTION_NONE,
        }
        answer = self._session.write("SaveData", parameters, wrapper="saveRequest")
        if len(answer.statuses) == len(rows):
            return list(answer.statuses)
        if answer.is_refusal and not answer.statuses:
            raise refused("SaveData", answer)
        raise OutcomeUnknown(
            f"{SYSTEM} SaveData {template!r}: {len(answer.statuses)} statuses for {len(rows)} rows; read the orders "
            "back before any resend",
            system=SYSTEM,
            operation="SaveData",
            request_id=answer.request_id,
        )

    def _tenant_headers(self, template: str, used: Sequence[str]) -> list[str]:
        """Return the tenant's own spelling of the headers. Raises SourceRefused where its template lacks one."""
        if template not in self._save_headers:
            answer = self._session.read("GetSaveTemplate", {"templateName": template})
            known, _ = read_table(answer.detail)
            own = {captions.normalised(header): header for header in known}
            aliases = {captions.normalised(theirs): captions.normalised(ours) for theirs, ours in self._aliases.items()}
            self._save_headers[template] = {
                **own,
                **{ours: own[theirs] for theirs, ours in aliases.items() if theirs in own},
            }
        headers = self._save_headers[template]
        for header in used:
            if captions.normalised(header) not in headers:
                raise SourceRefused(
                    f"{SYSTEM} GetSaveTemplate {template!r}: the tenant's template has no column {header!r}; add it in "
                    "Peoplevox, or name its own caption in the warehouse's captions setting. Nothing was sent.",
                    system=SYSTEM,
                    operation="GetSaveTemplate",
                )
        return [headers[captions.normalised(header)] for header in used]


def _sound(given: Sequence[OrderT]) -> tuple[list[OrderT], dict[str, orders.Outcome]]:
    """Split off the orders that must not leave; they are refused by number with the reason."""
    outcomes: dict[str, orders.Outcome] = {}
    sound: dict[str, OrderT] = {}
    for order in given:
        fault = orders.fault_of(order)
        if fault:
            outcomes[order.number] = orders.Refused(order.number, fault)
        else:
            sound[order.number] = order
    return [order for number, order in sound.items() if number not in outcomes], outcomes


def _with_items(
    numbers: Iterable[str],
    headers: Callable[[Iterable[str]], Page],
    lines: Callable[[Iterable[str]], Page],
    key: str,
) -> Page:
    """Return headers, each with its lines in the order of their keys, so that equal orders are equal objects."""
    found = headers(numbers)
    items: dict[str, Page] = {row[key]: [] for row in found}
    for line in lines(items) if items else ():
        items[line.pop(key)].append(line)
    return [{**row, "items": sorted(items[row[key]], key=lambda line: str(line.get("line", "")))} for row in found]


def _is_before(date: str, bound: str) -> bool:
    """Tell whether an ISO date in UTC lies before another; what is no date is not before anything."""
    return date.endswith("Z") and date < bound


def _is_success(status: str) -> bool:
    return status.strip().casefold() == "success"


def _table(template: Template, answer: IntegrationAnswer) -> tuple[list[str], list[list[str]]]:
    try:
        return read_table(answer.detail)
    except csv.Error as error:
        raise _broken(template, f"is not readable CSV ({error}); report it to the warehouse's support") from error


def _broken(template: Template, reason: str) -> ContractBroken:
    return ContractBroken(
        f"{SYSTEM} {template.operation} {template.name!r} {reason}", system=SYSTEM, operation=template.operation
    )
