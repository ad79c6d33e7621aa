"""The Peoplevox face of the sandbox: one SOAP endpoint, its sessions, paging and throttle.

Here: who may call and how an operation is answered. Not here: envelopes (`peoplevox_soap`), the CSV dialect
(`peoplevox_csv`), clauses (`peoplevox_clauses`), what tables and imports hold (`peoplevox_tables`,
`peoplevox_imports`), the warehouse itself (`warehouse`).

Invariant: whatever the warehouse refuses is HTTP 200 with ResponseId -1 and a text in Detail, an expired session
included; only an envelope that cannot be served is a SOAP fault.
"""

import base64
import binascii
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketplace_returns.sandbox import peoplevox_csv
from marketplace_returns.sandbox.peoplevox_clauses import BadClauseError, Clause, conditions, matches, parse, renamed
from marketplace_returns.sandbox.peoplevox_csv import BadCsvError, Value
from marketplace_returns.sandbox.peoplevox_imports import IMPORTS, BadBatchError, save
from marketplace_returns.sandbox.peoplevox_soap import (
    IntegrationResponse,
    SoapCall,
    SoapFaultError,
    media_type,
    read_call,
    write_fault,
    write_response,
)
from marketplace_returns.sandbox.peoplevox_tables import REPORTS, TEMPLATES, Table, tenant_zone
from marketplace_returns.sandbox.peoplevox_wsdl import write_wsdl
from marketplace_returns.sandbox.world import World

SESSION_IDLE_MAX: Final = timedelta(minutes=30)
THROTTLE_CALLS: Final = 15
THROTTLE_WINDOW: Final = timedelta(seconds=15)
EVENT_TYPES: Final = frozenset(
    {
        "AvailabilityChanges",
        "SalesOrderStatusChanges",
        "GoodsReceived",
        "TrackingNumberReceived",
        "IncrementalChanges",
        "Returns",
        "DespatchPackageTrackingNumberReceived",
        "DespatchPackageDespatched",
        "OnDespatchOrderReceived",
    }
)

_INVALID_SESSION: Final = "System : Security - Invalid Session"
_SESSION_EXPIRED: Final = "System : Security - Session Expired"
_INVALID_LOGIN: Final = "System : Security - Invalid Login"
_ORDER_BY = re.compile(r"\s*\[?(?P<caption>[^\[\]]+?)\]?(?:\s+(?P<direction>asc|desc))?\s*", re.IGNORECASE)


class RefusedError(Exception):
    """The warehouse refuses the call; the text goes into Detail."""


@dataclass
class PeoplevoxFace:
    """One tenant's integration service over one world.

    Subscriptions cannot be listed over the wire, as with the real service; their `filter` is not understood here.
    """

    world: World
    _last_call: dict[str, datetime] = field(default_factory=dict)
    _recent_calls: deque[datetime] = field(default_factory=deque)
    _session_count: int = 0

    async def post(self, request: Request) -> Response:
        """Answer one SOAP call."""
        body = await request.body()
        try:
            call = read_call(body, request.headers.get("content-type", ""), request.headers.get("soapaction"))
            wait_s = self._throttled_s()
            if wait_s:
                # How the real service throttles is not documented; 429 with Retry-After is the sandbox's choice.
                return Response(status_code=429, headers={"Retry-After": str(wait_s)})
            try:
                answer = self._answer(call, request.path_params["client_id"], request.scope.get("sandbox_fault"))
            except RefusedError as refusal:
                answer = IntegrationResponse(-1, 0, str(refusal), statuses=[] if call.operation == "SaveData" else None)
        except SoapFaultError as fault:
            return Response(write_fault(fault), fault.http_status, media_type=media_type(fault.version))
        return Response(write_response(call, answer), media_type=media_type(call.version))

    async def get(self, request: Request) -> Response:
        """The WSDL for `?wsdl`; anything else is 404."""
        if "wsdl" not in {key.lower() for key in request.query_params}:
            return Response("Append ?wsdl for the service description.", 404, media_type="text/plain")
        return Response(write_wsdl(str(request.url.replace(query=""))), media_type="text/xml")

    def _answer(self, call: SoapCall, client_id: str, fault: str | None) -> IntegrationResponse:
        """What the operation answers; `fault` is what the gate wants to go wrong in this very call (see `faults`)."""
        if call.operation == "Authenticate":
            return self._authenticate(call, client_id)
        session_id = self._check_session(call, client_id)
        if fault == "session_expired":
            del self._last_call[session_id]
            raise RefusedError(_SESSION_EXPIRED)
        handlers: Mapping[str, Callable[[SoapCall], IntegrationResponse]] = {
            "GetData": partial(self._read, TEMPLATES),
            "GetDataWithSitesFilters": partial(self._read, TEMPLATES),
            "GetReportData": partial(self._read, REPORTS),
            "GetSaveTemplate": self._save_template,
            "SaveData": self._save,
            "SubscribeEvent": partial(self._subscribe, "GET", "callbackUrl"),
            "SubscribePostEvent": partial(self._subscribe, "POST", "postUrl"),
            "UnsubscribeEvent": self._unsubscribe,
        }
        answer = handlers[call.operation](call)
        is_table = call.operation.startswith("Get") and call.operation != "GetSaveTemplate"
        if fault == "malformed_row" and is_table:
            return replace(answer, detail=peoplevox_csv.with_short_row(answer.detail))
        return answer

    # -- sessions -----------------------------------------------------------------------------------------------------

    def _authenticate(self, call: SoapCall, client_id: str) -> IntegrationResponse:
        config, arguments = self.world.config, call.arguments
        given = (arguments.get("clientId"), arguments.get("username"), _from_base64(arguments.get("password", "")))
        known = (config.warehouse_client_id, config.warehouse_username, config.warehouse_password)
        if client_id != config.warehouse_client_id or given != known:
            return IntegrationResponse(-1, 0, _INVALID_LOGIN)
        now = self.world.clock.now()
        # Sessions long out of use go, so that their number stays bounded; a while after expiry they are just unknown.
        self._last_call = {key: last for key, last in self._last_call.items() if now - last < timedelta(days=1)}
        self._session_count += 1
        session_id = self.world.chance.uuid("warehouse_session")
        self._last_call[session_id] = now
        return IntegrationResponse(0, 1, f"{config.warehouse_client_id},{session_id}")

    def _check_session(self, call: SoapCall, client_id: str) -> str:
        """The id of the call's session, whose idle time starts anew. Raises RefusedError."""
        now = self.world.clock.now()
        session = call.session
        if session is None or session.client_id != client_id or session.session_id not in self._last_call:
            raise RefusedError(_INVALID_SESSION)
        if now - self._last_call[session.session_id] >= SESSION_IDLE_MAX:
            raise RefusedError(_SESSION_EXPIRED)
        self._last_call[session.session_id] = now
        return session.session_id

    def _throttled_s(self) -> int:
        """Whole seconds to wait under the call limit, 0 when the call may go on (and is then counted)."""
        if not self.world.config.strict_frequency:
            return 0
        now = self.world.clock.now()
        while self._recent_calls and now - self._recent_calls[0] >= THROTTLE_WINDOW:
            self._recent_calls.popleft()
        if len(self._recent_calls) >= THROTTLE_CALLS:
            return int((self._recent_calls[0] + THROTTLE_WINDOW - now).total_seconds()) + 1
        self._recent_calls.append(now)
        return 0

    # -- reads --------------------------------------------------------------------------------------------------------

    def _read(self, tables: Mapping[str, Table], call: SoapCall) -> IntegrationResponse:
        name = call.arguments.get("TemplateName", "")
        table = tables.get(name)
        if table is None:
            raise RefusedError(f"Template '{name}' does not exist")
        names = _ColumnNames(name, table, self.world.config.renamed_captions)
        columns = names.chosen(call.arguments.get("Columns", ""))
        order_by = names.order(call.arguments.get("OrderBy", ""))
        filters = [call.arguments.get("SearchClause", ""), call.arguments.get("FilterClause", "")]
        records = self._select(table, [names.clause(text, is_report=tables is REPORTS) for text in filters])
        if not self._is_site_wanted(call.arguments.get("SitesFilter", "")):
            records = []
        if order_by is not None:
            caption, is_descending = order_by
            read = table.columns[caption]
            records.sort(key=lambda record: _sort_key(read(self.world, record)), reverse=is_descending)
        page = _page(records, _integer(call, "PageNo", default=1), _integer(call, "ItemsPerPage", default=0))
        rows = [[table.columns[caption](self.world, record) for caption in columns] for record in page]
        headers = [names.shown(caption) for caption in columns]
        return IntegrationResponse(0, len(records), peoplevox_csv.render(headers, rows, self._zone()))

    def _select(self, table: Table, clauses: Iterable[Clause | None]) -> list[Any]:
        wanted = [clause for clause in clauses if clause is not None]
        if not wanted:
            return list(table.records(self.world, None))
        zone = self._zone()
        fields = {condition.field for clause in wanted for condition in conditions(clause)}
        reads = {name: table.columns[name] for name in fields}
        found = []
        try:
            # The first clause narrows the search; each of them is then tested in full.
            for record in table.records(self.world, wanted[0]):
                row = {name: read(self.world, record) for name, read in reads.items()}
                if all(matches(clause, row, zone) for clause in wanted):
                    found.append(record)
        except BadClauseError as error:
            raise RefusedError(f"SearchClause: {error}") from error
        return found

    def _is_site_wanted(self, text: str) -> bool:
        """Whether the tenant's one site passes a sites filter such as `Site.Reference = "MAIN"`."""
        try:
            clause = parse(text)
        except BadClauseError as error:
            raise RefusedError(f"SitesFilter: {error}") from error
        if clause is None:
            return True
        if {condition.field for condition in conditions(clause)} != {"Site.Reference"}:
            raise RefusedError("SitesFilter: only Site.Reference can be asked for")
        return matches(clause, {"Site.Reference": self.world.config.site}, self._zone())

    # -- writes -------------------------------------------------------------------------------------------------------

    def _save_template(self, call: SoapCall) -> IntegrationResponse:
        name = call.arguments.get("templateName", "")
        if name not in IMPORTS:
            raise RefusedError(f"Template '{name}' does not exist")
        shown = _renamed(name, self.world.config.renamed_captions)
        headers = [shown.get(header, header) for header in IMPORTS[name].headers]
        return IntegrationResponse(0, len(headers), ",".join(headers))

    def _save(self, call: SoapCall) -> IntegrationResponse:
        name = call.arguments.get("TemplateName", "")
        if name not in IMPORTS:
            raise RefusedError(f"Template '{name}' does not exist")
        # Only the tenant's own captions are headers here, unlike in clauses.
        shown = _renamed(name, self.world.config.renamed_captions)
        defaults = {shown.get(header, header): header for header in IMPORTS[name].headers}
        action = _integer(call, "Action", default=0)
        try:
            given, rows = peoplevox_csv.parse(call.arguments.get("CsvData", ""))
            statuses = save(self.world, IMPORTS[name], given, rows, defaults=defaults, action=action)
        except (BadCsvError, BadBatchError) as error:
            raise RefusedError(str(error)) from error
        accepted = statuses.count("Success")
        return IntegrationResponse(0, accepted, f"{accepted} of {len(statuses)} rows imported", statuses=statuses)

    # -- events -------------------------------------------------------------------------------------------------------

    def _subscribe(self, method: str, address_field: str, call: SoapCall) -> IntegrationResponse:
        arguments = call.arguments
        event_type, address = arguments.get("eventType", ""), arguments.get(address_field, "")
        if event_type not in EVENT_TYPES:
            raise RefusedError(f"Event type '{event_type}' does not exist")
        if not address.startswith(("http://", "https://")):
            raise RefusedError(f"'{address}' is not an http or https address")
        number = self.world.notifications.subscribe(
            "peoplevox",
            [event_type],
            address,
            method=method,
            parameters=arguments.get("postParams", ""),
            encode=arguments.get("encodeParameterData", "").lower() == "true",
        )
        return IntegrationResponse(0, 1, number)

    def _unsubscribe(self, call: SoapCall) -> IntegrationResponse:
        number = _integer(call, "subscriptionId")
        if not self.world.notifications.unsubscribe("peoplevox", str(number)):
            raise RefusedError(f"Subscription {number} does not exist")
        return IntegrationResponse(0, 1, "True")

    def _zone(self) -> ZoneInfo:
        return tenant_zone(self.world)


class _ColumnNames:
    """The captions of one table as this tenant names them; default captions are understood in clauses as well."""

    def __init__(self, table_name: str, table: Table, renames: Sequence[tuple[str, str, str]]) -> None:
        self._columns = table.columns
        self._shown = _renamed(table_name, renames)
        self._defaults = {caption: caption for caption in table.columns}
        self._defaults |= {new: default for default, new in self._shown.items()}

    def shown(self, caption: str) -> str:
        return self._shown.get(caption, caption)

    def chosen(self, text: str) -> list[str]:
        """`[A],[B]` or `A,B`; all columns when blank."""
        if not text.strip():
            return list(self._columns)
        return [self._known(part.strip().removeprefix("[").removesuffix("]"), "Columns") for part in text.split(",")]

    def order(self, text: str) -> tuple[str, bool] | None:
        """`[A] asc` or `[A] desc` as (column, is descending)."""
        if not text.strip():
            return None
        match = _ORDER_BY.fullmatch(text)
        if match is None:
            raise RefusedError(f"OrderBy: '{text}' is not of the form [Column] asc")
        return self._known(match["caption"], "OrderBy"), (match["direction"] or "asc").lower() == "desc"

    def clause(self, text: str, *, is_report: bool) -> Clause | None:
        """The clause over default captions.

        A report's clause without brackets silently does nothing, as one public client found out.
        """
        try:
            clause = parse(text)
        except BadClauseError as error:
            raise RefusedError(f"SearchClause: {error}") from error
        if clause is None or (is_report and not all(condition.bracketed for condition in conditions(clause))):
            return None
        return renamed(clause, lambda name: self._known(name, "SearchClause"))

    def _known(self, name: str, place: str) -> str:
        if name not in self._defaults:
            raise RefusedError(f"{place}: No property or field '{name}' exists")
        return self._defaults[name]


def _renamed(table_name: str, renames: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    return {default: new for template, default, new in renames if template == table_name}


def _integer(call: SoapCall, name: str, default: int | None = None) -> int:
    text = call.arguments.get(name, "").strip()
    if not text and default is not None:
        return default
    try:
        return int(text)
    except ValueError as error:
        message = f"Server was unable to read request: {name} '{text}' is not an integer."
        raise SoapFaultError(message, version=call.version) from error


def _page(records: Sequence[Any], page_no: int, items_per_page: int) -> Sequence[Any]:
    if items_per_page < 0 or (items_per_page and page_no < 1):
        raise RefusedError("PageNo starts at 1 and ItemsPerPage at 0 (everything)")
    if items_per_page == 0:
        return records
    return records[(page_no - 1) * items_per_page : page_no * items_per_page]


def _sort_key(value: Value) -> tuple[bool, Any]:
    """Empty values first; a column holds values of one type besides."""
    return (value is not None and value != "", value if value is not None and value != "" else 0)


def _from_base64(text: str) -> str | None:
    try:
        return base64.b64decode(text.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def routes(world: World) -> list[Route]:
    """The routes of one tenant, for a mount at /peoplevox."""
    face = PeoplevoxFace(world)
    path = "/{client_id}/resources/integrationservicev4.asmx"
    return [Route(path, face.post, methods=["POST"]), Route(path, face.get, methods=["GET"])]
