"""The Reveni face of the sandbox: one store's REST paths, bearer key and JSON.

Here: who may call, paging, what a request must hold, the shape of the answers (lower-case statuses, money as decimal
strings, instants in UTC). Not here: what a return goes through (`returns_platform`).

Invariant: a refusal is `{"detail": str}` or `{"errors": [...]}` with 401, 404, 409 or 422 and changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketplace_returns.sandbox.money import from_wire, to_decimal
from marketplace_returns.sandbox.returns_platform import (
    Duplicate,
    LineVerdict,
    NewReturn,
    NewReturnLine,
    PlatformReturn,
)
from marketplace_returns.sandbox.world import World

PAGE_SIZE_DEFAULT: Final = 25
PAGE_SIZE_MAX: Final = 100
EVENT_TYPES: Final = frozenset({"return.created", "return.updated"})
RESTOCK_CHOICES: Final = frozenset({"restock", "quarantine", "dispose"})

Json = Mapping[str, object]
Endpoint = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """The call is answered with `status` and `body`."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


@dataclass
class ReveniFace:
    """One store's API over one world."""

    world: World

    async def list_returns(self, request: Request) -> Response:
        """One page of returns by whole days of their last update, status and the creator's own key."""
        query = request.query_params
        page = _whole_number(query.get("page", "1"), "page", PAGE_SIZE_MAX**3)
        page_size = _whole_number(query.get("page_size", str(PAGE_SIZE_DEFAULT)), "page_size", PAGE_SIZE_MAX)
        external_id = query.get("external_id")
        days = (_day(query.get("updated_from"), "updated_from"), _day(query.get("updated_to"), "updated_to"))
        if external_id is None:
            found = self.world.platform.list_returns(*days)
        else:
            one = self.world.platform.find_return(external_id=external_id)
            found = [] if one is None or not _updated_within(one, *days) else [one]
        if "status" in query:
            wanted = {status.strip().lower() for status in query["status"].split(",")}
            found = [one for one in found if one.status in wanted]
        first, end = (page - 1) * page_size, page * page_size
        if first and first >= len(found):
            raise RefusedError(404, {"detail": "Invalid page."})
        return _json(
            {
                "count": len(found),
                "next": str(request.url.include_query_params(page=page + 1)) if end < len(found) else None,
                "previous": str(request.url.include_query_params(page=page - 1)) if page > 1 else None,
                "results": [_return_json(one) for one in found[first:end]],
            }
        )

    async def get_return(self, request: Request) -> Response:
        """One return by id."""
        return _json(_return_json(self._found(request)))

    async def create_return(self, request: Request) -> Response:
        """A new return with a label: 201; 409 with the id of the one that already has this external_id."""
        outcome = self.world.platform.create_return(self._new_return(await _body(request)))
        if isinstance(outcome, Duplicate):
            detail = f"A return with external_id {outcome.existing.external_id} already exists."
            return _json({"detail": detail, "id": outcome.existing.id}, 409)
        return _json(_return_json(outcome), 201)

    async def partial_validate(self, request: Request) -> Response:
        """The merchant's verdict per line; with the last one the return is accepted, partly_accepted or rejected."""
        found = self._found(request)
        fields = _Fields(await _body(request))
        verdicts = [
            LineVerdict(
                item_id=item.text("item_id"),
                quantity=item.quantity(),
                status=item.text("status"),
                reject_reason=item.optional_text("reject_reason"),
                reject_reason_text=item.optional_text("reject_reason_text"),
            )
            for item in fields.items("items")
        ]
        restock_choice = fields.optional_text("restock_choice")
        if restock_choice is not None and restock_choice not in RESTOCK_CHOICES:
            fields.refuse("restock_choice", f"must be one of {', '.join(sorted(RESTOCK_CHOICES))}")
        fields.check()
        try:
            return _json(_return_json(self.world.platform.validate_lines(found.id, verdicts, restock_choice)))
        except KeyError as error:
            message = f"item {error.args[0]} is not part of return {found.id}"
            raise RefusedError(422, {"errors": [{"field": "items", "message": message}]}) from error
        except ValueError as error:
            raise RefusedError(422, {"errors": [{"field": "items", "message": str(error)}]}) from error

    async def get_settings(self, _: Request) -> Response:
        """Whether accepting a return pays the customer by itself, and the store's currency."""
        config = self.world.config
        return _json({"auto_refund": config.platform_refunds, "currency": config.currency})

    async def create_webhook(self, request: Request) -> Response:
        """Keep a subscription of the store."""
        fields = _Fields(await _body(request))
        url = fields.text("url")
        given = fields.raw.get("event_types")
        event_types = [str(each) for each in given] if isinstance(given, list) else []
        if not event_types or not set(event_types) <= EVENT_TYPES:
            fields.refuse("event_types", f"must be a list of {', '.join(sorted(EVENT_TYPES))}")
        if url and not url.startswith(("http://", "https://")):
            fields.refuse("url", "must be an http or https address")
        fields.check()
        webhook_id = self.world.chance.uuid("platform_webhook").replace("-", "")
        self.world.notifications.subscribe("reveni", event_types, url, subscription_id=webhook_id)
        return _json({"id": webhook_id, "url": url, "event_types": event_types}, 201)

    async def delete_webhook(self, request: Request) -> Response:
        """Forget a subscription."""
        if not self.world.notifications.unsubscribe("reveni", request.path_params["webhook_id"]):
            raise RefusedError(404, {"detail": "Not found."})
        return Response(status_code=204)

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint` behind the bearer key and the store id, its refusals as JSON."""

        async def answer(request: Request) -> Response:
            config = self.world.config
            if request.headers.get("authorization") != f"Bearer {config.reveni_api_key}":
                return _json({"detail": "Authentication credentials were not provided or are invalid."}, 401)
            if request.path_params["store_id"] != config.reveni_store_id:
                return _json({"detail": "Not found."}, 404)
            try:
                return await endpoint(request)
            except RefusedError as refusal:
                return _json(refusal.body, refusal.status)

        return answer

    def _found(self, request: Request) -> PlatformReturn:
        found = self.world.platform.find_return(request.path_params["return_id"])
        if found is None:
            raise RefusedError(404, {"detail": "Not found."})
        return found

    def _new_return(self, body: Json) -> NewReturn:
        fields = _Fields(body)
        order = fields.part("order")
        currency = fields.text("currency")
        if currency and currency != self.world.config.currency:
            fields.refuse("currency", f"must be the store's currency {self.world.config.currency}")
        wanted = NewReturn(
            external_id=fields.text("external_id"),
            order_external_id=order.text("external_id"),
            order_name=order.text("name"),
            currency=currency,
            lines=tuple(self._new_line(item, currency) for item in fields.items("return_items")),
        )
        fields.check()
        return wanted

    def _new_line(self, item: "_Fields", currency: str) -> NewReturnLine:
        sku = item.text("sku")
        if sku and sku not in self.world.products:
            item.refuse("sku", f"'{sku}' is not a product of this store")
        return NewReturnLine(
            external_id=item.text("external_id"),
            sku=sku,
            quantity=item.quantity(),
            unit_price_minor=item.money("unit_price", currency),
            tax_minor=item.money("tax_amount", currency),
            reason=item.text("return_reason"),
        )


class _Fields:
    """Reads one JSON object field by field and gathers what is wrong; `check` then refuses with all of it at once."""

    def __init__(self, raw: Json, place: str = "", errors: list[Json] | None = None) -> None:
        self.raw = raw
        self._place = place
        self._errors: list[Json] = [] if errors is None else errors

    def text(self, name: str) -> str:
        value = self.raw.get(name)
        if isinstance(value, str) and value.strip():
            return value
        self.refuse(name, "is required" if value is None else "must be a text")
        return ""

    def optional_text(self, name: str) -> str | None:
        return None if self.raw.get(name) is None else self.text(name)

    def quantity(self) -> int:
        value = self.raw.get("quantity")
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self.refuse("quantity", "is required" if value is None else "must be a whole number of at least 1")
        return 1

    def money(self, name: str, currency: str) -> int:
        """Minor units of a decimal string; numbers are refused, since JSON numbers are floats to many readers."""
        text = self.text(name)
        if not text:
            return 0
        try:
            minor = from_wire(text, currency)
        except ValueError as error:
            self.refuse(name, str(error))
            return 0
        if minor < 0:
            self.refuse(name, "must not be negative")
        return minor

    def part(self, name: str) -> "_Fields":
        value = self.raw.get(name)
        if not isinstance(value, dict):
            self.refuse(name, "is required" if value is None else "must be an object")
            value = {}
        return _Fields(value, f"{self._place}{name}.", self._errors)

    def items(self, name: str) -> list["_Fields"]:
        value = self.raw.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.refuse(name, "is required" if value is None else "must be a list of at least one object")
            return []
        return [_Fields(item, f"{self._place}{name}[{index}].", self._errors) for index, item in enumerate(value)]

    def refuse(self, name: str, message: str) -> None:
        self._errors.append({"field": f"{self._place}{name}", "message": message})

    def check(self) -> None:
        if self._errors:
            raise RefusedError(422, {"errors": self._errors})


def _return_json(one: PlatformReturn) -> Json:
    """A return as the platform shows it; list rows and the single return have the same shape."""

    def money(minor: int) -> str:
        return str(to_decimal(minor, one.currency))

    return {
        "id": one.id,
        "status": one.status,
        "type": one.type,
        "is_instant": one.is_instant,
        "created_at": _instant(one.created_at),
        "updated_at": _instant(one.updated_at),
        "shipped_at": _instant(one.shipped_at),
        "received_at": _instant(one.received_at),
        "resolved_at": _instant(one.resolved_at),
        "currency": one.currency,
        "total_amount": money(one.total_minor),
        "refund_amount": money(one.refund_minor),
        "order": {"external_id": one.order_external_id, "name": one.order_name},
        "restock_choice": one.restock_choice,
        "return_items": [
            {
                "id": line.id,
                "sku": line.sku,
                "received_sku": line.received_sku,
                "quantity": line.quantity,
                "unit_price": money(line.unit_price_minor),
                "tax_amount": money(line.tax_minor),
                "return_reason": line.reason,
                "exchange": None,
                "status": line.status,
                "reject_reason": line.reject_reason,
                "reject_reason_text": line.reject_reason_text,
            }
            for line in one.lines
        ],
        "delivery": {
            "carrier": one.carrier,
            "tracking_number": one.tracking_number,
            "label_url": one.label_url,
        },
        "refunds": [
            {
                "id": refund.id,
                "amount": money(refund.amount_minor),
                "currency": one.currency,
                "method": refund.method,
                "status": refund.status,
                "executed_at": _instant(refund.executed_at),
                "is_advance": refund.is_advance,
            }
            for refund in one.refunds
        ],
    }


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _updated_within(one: PlatformReturn, updated_from: date | None, updated_to: date | None) -> bool:
    day = one.updated_at.date()
    return (updated_from is None or day >= updated_from) and (updated_to is None or day <= updated_to)


def _day(text: str | None, name: str) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        message = f"'{text}' is not a day of the form YYYY-MM-DD"
        raise RefusedError(422, {"errors": [{"field": name, "message": message}]}) from error


def _whole_number(text: str, name: str, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= maximum:
        message = f"must be a whole number from 1 to {maximum}"
        raise RefusedError(422, {"errors": [{"field": name, "message": message}]})
    return int(text)


async def _body(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise RefusedError(422, {"detail": f"The body is not a JSON object: {error}"}) from error


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def routes(world: World) -> list[Route]:
    """The routes of one store, for a mount at /reveni."""
    face = ReveniFace(world)
    store = "/merchants/v0/stores/{store_id}"
    paths: list[tuple[str, str, Endpoint]] = [
        ("GET", "/returns", face.list_returns),
        ("POST", "/returns", face.create_return),
        ("GET", "/returns/{return_id}", face.get_return),
        ("POST", "/returns/{return_id}/partial_validate", face.partial_validate),
        ("GET", "/settings", face.get_settings),
        ("POST", "/webhooks", face.create_webhook),
        ("DELETE", "/webhooks/{webhook_id}", face.delete_webhook),
    ]
    return [Route(store + path, face.guarded(endpoint), methods=[method]) for method, path, endpoint in paths]
