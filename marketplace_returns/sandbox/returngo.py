"""The ReturnGO face of the sandbox: two headers, a daily quota, RMAs, transactions and webhooks.

Here: who may call and how often, filters, cursors, what a request must hold, the shape of the answers with their drift (0 and 1 for
booleans here and there, numbers for ids, nulls). Not here: what a return goes through (`returns_platform`, `returngo_book`).

Invariant: a refusal is `{"message": str}` with 400, 401, 403, 404 or 429 and changes nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketplace_returns.sandbox.entities import Order
from marketplace_returns.sandbox.money import to_decimal
from marketplace_returns.sandbox.returngo_book import REASONS, STATUSES, Rma, Transaction, Unit
from marketplace_returns.sandbox.returns_platform import NewReturn, NewReturnLine
from marketplace_returns.sandbox.world import World

PAGE_SIZE_MAX: Final = 500
OPERATORS: Final = {"lt": lt, "lte": le, "gt": gt, "gte": ge, "eq": eq, "neq": ne}
CALLS_PER_SECOND: Final = 100
DAY: Final = timedelta(days=1)
EVENT_NAMES: Final = frozenset(
    {
        "RMA_CREATED",
        "RMA_STATUS_UPDATED",
        "SHIPMENT_CREATED",
        "SHIPMENT_STATUS_UPDATED",
        "SHIPMENT_TRACKER_STATUS_UPDATED",
        "TRANSACTION_CREATED",
        "REFUND_CREATED",
    }
)

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")

Json = Mapping[str, object]
Endpoint = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """The call is answered with `status` and the message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class ReturnGoFace:
    """One shop's API over one world; its webhooks are the world's subscriptions."""

    world: World
    webhooks: dict[int, Json] = field(default_factory=dict)
    _calls: deque[datetime] = field(default_factory=deque)

    async def list_rmas(self, request: Request) -> Response:
        """A page of RMAs by number, after the cursor; rows hold the summary only."""
        size, after = _page(request, "returns.id:")
        statuses = _names(request, "status")
        order_names = _names(request, "order_name")
        found = [
            rma
            for rma in self.world.returngo.rmas()
            if rma.number > after
            and (not statuses or rma.status in statuses)
            and (not order_names or rma.returned.order_name in order_names)
            and _within(request, "rma_created_at", rma.returned.created_at)
            and _within(request, "rma_updated_at", rma.updated_at)
        ]
        page = found[:size]
        cursor = _cursor(f"returns.id:{page[-1].number}") if len(found) > size else None
        return _json({"rmas": [_summary(rma) for rma in page], "next_cursor": cursor})

    async def get_rma(self, request: Request) -> Response:
        """One RMA whole."""
        return _json(self._detail(self._found(request)))

    async def create_by_policy(self, request: Request) -> Response:
        """A new RMA of an order that is with the customer, for units that no other RMA has: 201 with its id."""
        body = await _body(request)
        name = _text(body, "order_name")
        order = self.world.marketplace.orders.get(name)
        if order is None:
            raise RefusedError(400, f"order {name} was not found")
        items = body.get("items")
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise RefusedError(400, "items must be a list of at least one object")
        wanted = NewReturn(
            external_id=str(body.get("externalId") or f"none-{self.world.chance.number('returngo_nameless')}"),
            order_external_id=order.id,
            order_name=name,
            currency=self.world.config.currency,
            lines=tuple(self._eligible(order, item) for item in items),
        )
        rma = self.world.returngo.create(wanted)
        return _json({"rmaId": f"RMA{rma.number}"}, 201)

    async def set_status(self, request: Request) -> Response:
        """Set an RMA's status."""
        rma = self._found(request)
        status = _text(await _body(request), "status")
        if status not in STATUSES:
            raise RefusedError(400, f"status must be one of {', '.join(STATUSES)}")
        self.world.returngo.set_status(rma, status)
        return _json({"rmaId": f"RMA{rma.number}", "status": status})

    async def list_transactions(self, request: Request) -> Response:
        """A page of money movements by id, after the cursor."""
        size, after = _page(request, "")
        rma_ids = {_number(name) for name in _names(request, "rma_ids")}
        statuses = _names(request, "statuses")
        self.world.returngo.rmas()
        found = [
            one
            for one in self.world.returngo.transactions.values()
            if one.number > after
            and (not rma_ids or one.rma.number in rma_ids)
            and (not statuses or one.status in statuses)
            and _within(request, "created_at", one.created_at)
            and _within(request, "updated_at", one.updated_at)
        ]
        page = found[:size]
        cursor = _cursor(str(page[-1].number)) if len(found) > size else None
        rows = [self._transaction(one) | {"rmaId": f"RMA{one.rma.number}"} for one in page]
        return _json({"transactions": rows, "next_cursor": cursor})

    async def update_transaction(self, request: Request) -> Response:
        """Say what came of a transaction that waits; a settled one stays as it is."""
        self.world.returngo.rmas()
        one = self.world.returngo.transactions.get(_number(request.path_params["transaction_id"]))
        if one is None:
            raise RefusedError(404, "transaction was not found")
        body = await _body(request)
        status = _text(body, "status")
        if status not in {"Success", "Failed"}:
            raise RefusedError(400, "status must be Success or Failed")
        if one.status != "Requested":
            raise RefusedError(400, f"transaction {one.number} is {one.status} already")
        if status == "Success":
            self.world.returngo.settle(
                one, status, _text(body, "externalReferenceId"), _text(body, "externalReferenceType")
            )
        else:
            self.world.returngo.settle(one, status, "", "")
        return _json(self._transaction(one))

    async def list_webhooks(self, _: Request) -> Response:
        """The registered webhooks."""
        return _json({"webhooks": list(self.webhooks.values())})

    async def create_webhook(self, request: Request) -> Response:
        """Register an address for an event."""
        body = await _body(request)
        event_name, url = _text(body, "eventName"), _text(body, "url")
        if event_name not in EVENT_NAMES:
            raise RefusedError(400, f"eventName must be one of {', '.join(sorted(EVENT_NAMES))}")
        number = self.world.chance.number("returngo_webhook")
        self.webhooks[number] = {"id": number, "eventName": event_name, "url": url}
        self.world.notifications.subscribe("returngo", [event_name], url, subscription_id=str(number))
        return _json(self.webhooks[number], 201)

    async def delete_webhook(self, request: Request) -> Response:
        """Forget a webhook."""
        number = _number(request.path_params["webhook_id"])
        if self.webhooks.pop(number, None) is None:
            raise RefusedError(404, "webhook was not found")
        self.world.notifications.unsubscribe("returngo", str(number))
        return Response(status_code=204)

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint` behind the two headers and the quota, its refusals as JSON, with the headers of a gateway."""

        async def answer(request: Request) -> Response:
            config = self.world.config
            try:
                self._admit(request)
                response = await endpoint(request)
            except RefusedError as refusal:
                response = _json({"message": refusal.message}, refusal.status)
                if refusal.status == 429:
                    response.headers["Retry-After"] = str(self._wait_s())
            response.headers["x-ratelimit-limit"] = str(config.returngo_calls_per_day)
            response.headers["x-ratelimit-remaining"] = str(max(0, config.returngo_calls_per_day - len(self._calls)))
            response.headers["x-amzn-requestid"] = self.world.chance.uuid("returngo_request")
            return response

        return answer

    def _admit(self, request: Request) -> None:
        """Look at both headers and count the call; refused where the quota is enforced and used up."""
        config, now = self.world.config, self.world.clock.now()
        if request.headers.get("x-api-key") != config.returngo_api_key:
            raise RefusedError(401, "Unauthorized")
        if request.headers.get("x-shop-name") != config.returngo_shop_name:
            raise RefusedError(403, "the shop is not one of this key's")
        while self._calls and self._calls[0] <= now - DAY:
            self._calls.popleft()
        if config.strict_frequency and self._wait_s():
            raise RefusedError(429, "Too Many Requests")
        self._calls.append(now)

    def _wait_s(self) -> int:
        """Whole seconds until a call fits both quotas; 0 when it does."""
        now = self.world.clock.now()
        per_day = self.world.config.returngo_calls_per_day
        wait = 0.0
        for count, window in ((CALLS_PER_SECOND, timedelta(seconds=1)), (per_day, DAY)):
            if len(self._calls) >= count:
                wait = max(wait, (self._calls[-count] + window - now).total_seconds())
        return max(1, round(wait)) if wait > 0 else 0

    def _found(self, request: Request) -> Rma:
        rma = self.world.returngo.find(_number(request.path_params["rma_id"]))
        if rma is None:
            raise RefusedError(404, "RMA was not found")
        return rma

    def _eligible(self, order: Order, item: Mapping[str, Any]) -> NewReturnLine:
        """One line of an RMA to create; refused where the shop's policy does not allow it."""
        sku, line_id = _text(item, "sku"), str(item.get("externalId") or "")
        quantity = item.get("quantity")
        if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 1:
            raise RefusedError(400, "quantity must be a whole number of at least 1")
        bought = [line for line in order.lines if line.product.sku == sku and line.received_at is not None]
        if not bought:
            raise RefusedError(400, f"item {sku} of order {order.id} is not eligible: it is not with the customer")
        taken = sum(
            line.quantity
            for returned in self.world.platform.returns_of_order(order.id)
            for line in returned.lines
            if line.sku == sku
        )
        if taken + quantity > sum(line.quantity for line in bought):
            raise RefusedError(400, f"item {sku} of order {order.id} is not eligible: it is in another RMA")
        return NewReturnLine(
            external_id=line_id,
            sku=sku,
            quantity=quantity,
            unit_price_minor=bought[0].unit_minor,
            tax_minor=0,
            reason=_text(item, "returnReason"),
        )

    def _detail(self, rma: Rma) -> Json:
        returned = rma.returned
        return {
            "externalId": rma.external_id,
            "rmaSummary": _summary(rma),
            "orderDetails": {"orderId": 900_000 + rma.number, "order_name": returned.order_name},
            "shipments": [self._shipment(rma)],
            "items": [self._item(rma, unit) for unit in rma.units()],
            "exchangeItems": [],
            "exchangeOrders": [],
            "comments": [
                {
                    "commentType": "system",
                    "triggeredBy": "ReturnGO",
                    "htmlText": "<p>Label sent to customer@example.invalid</p>",
                    "datetime": _instant(returned.created_at),
                }
            ],
            "transactions": [self._transaction(one) for one in rma.transactions],
            "cancellationFee": 0,
            "createdAt": _instant(returned.created_at),
            "lastUpdated": _instant(rma.updated_at),
            "isOutOfPolicy": 0,
        }

    def _shipment(self, rma: Rma) -> Json:
        returned = rma.returned
        address = {
            "name": "Customer",
            "street1": "1 Test Lane",
            "street2": None,
            "city": "Testtown",
            "state": None,
            "zip": "TE1 1ST",
            "country": "GB",
            "phone": "+44 0000 000000",
            "email": f"rma-{rma.number}@customer.invalid",
        }
        return {
            "shipmentId": 5_000_000 + rma.number,
            "status": "Shipped" if returned.shipped_at is not None else "LabelCreated",
            "carrierName": returned.carrier,
            "requestedServiceLevel": None,
            "actualServiceLevel": None,
            "trackingNumber": returned.tracking_number,
            "trackingURL": None,
            "labelURL": returned.label_url,
            "customerAddress": address,
            "returnAddress": {**address, "name": "Warehouse", "email": "warehouse@shop.invalid"},
            "isOutbound": False,
        }

    def _item(self, rma: Rma, unit: Unit) -> Json:
        line = unit.line
        is_returned = unit.found not in {"", "missing"}
        inspected_at = rma.returned.inspected_at if unit.found else None
        return {
            "shopLineItemId": 100 * rma.number,
            "returnedItemId": unit.number,
            "externalId": line.external_id,
            "productName": line.sku,
            "sku": line.sku,
            "paidPrice": self._money(line.unit_price_minor),
            "paidTax": self._money(line.tax_minor),
            "taxIncluded": True,
            "returnReason": line.reason,
            "extendedReason": f" > {line.reason}",
            "resolutionName": "Refund",
            "resolutionType": "RefundToPaymentMethod",
            "policyRuleName": "Default",
            "isAutoApprove": 1,
            "restockingFee": 0,
            "returnFee": 0,
            "shipmentFee": 0,
            "shipmentId": 5_000_000 + rma.number,
            "returnMethod": {"type": "Ship with any carrier", "name": "Post"},
            "itemValidationStatusResponse": {
                "returnedItemId": unit.number,
                "isRestockable": unit.found == "new",
                "isReturned": is_returned,
                "nonRestockableReason": REASONS.get(unit.found) if is_returned else None,
                "nonReturnedReason": REASONS["missing"] if unit.found == "missing" else None,
                "storeLocationId": None,
                "lastValidationDate": _instant(inspected_at),
                "lastValidatedBy": "warehouse@shop.invalid" if inspected_at else None,
                "thirdPartyName": None,
                "userDetails": None,
            },
            "exchangeItems": [],
            "followUpQuestions": [{"type": "text", "name": "Tell us more", "answer": {}}],
        }

    def _transaction(self, one: Transaction) -> dict[str, object]:
        has_bank = one.number % 3 == 0
        return {
            "id": one.number,
            "type": "RefundToPaymentMethod",
            "externalReferenceId": one.reference_id or None,
            "externalReferenceType": one.reference_type or None,
            "amount": self._money(one.amount_minor),
            "status": one.status,
            "processor": "Shopify",
            "bankAccountDetails": {"iban": "XX00 TEST", "firstName": "Customer", "lastName": "Name"}
            if has_bank
            else None,
            "returnItemIds": list(one.unit_numbers),
            "createdAt": _instant(one.created_at),
            "lastUpdated": _instant(one.updated_at),
        }

    def _money(self, minor: int) -> Json:
        """An amount twice: in the shopper's currency and in the shop's, which is the same here."""
        currency = self.world.config.currency
        amount = to_decimal(minor, currency)
        return {"amount": amount, "currency": currency, "shopAmount": amount, "shopCurrency": currency}


def _summary(rma: Rma) -> Json:
    created = _instant(rma.returned.created_at)
    event = {"eventDate": created, "triggeredVia": "Return Portal", "storeLocationId": None, "userDetails": None}
    return {
        "rmaId": f"RMA{rma.number}",
        "status": rma.status,
        "order_name": rma.returned.order_name,
        "events": [{"eventName": "RMA_CREATED", **event}, {"eventName": "RMA_APPROVED", **event}],
    }


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds")


def _page(request: Request, key: str) -> tuple[int, int]:
    """Page size, which must be given, and the number after which the page begins."""
    text = request.query_params.get("pagesize", "")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= PAGE_SIZE_MAX:
        raise RefusedError(400, f"pagesize must be given, from 1 to {PAGE_SIZE_MAX}")
    cursor = request.query_params.get("cursor")
    if not cursor:
        return int(text), 0
    try:
        plain = base64.b64decode(cursor, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as bad:
        raise RefusedError(400, "cursor is not valid") from bad
    if not plain.startswith(key) or not plain.removeprefix(key).isdigit():
        raise RefusedError(400, "cursor is not valid")
    return int(text), int(plain.removeprefix(key))


def _cursor(plain: str) -> str:
    return base64.b64encode(plain.encode()).decode()


def _names(request: Request, name: str) -> set[str]:
    """The values of a comma list, empty where it is not given."""
    return {part.strip() for part in request.query_params.get(name, "").split(",") if part.strip()}


def _within(request: Request, name: str, value: datetime) -> bool:
    """Whether an instant passes every `<op>:<YYYY-MM-DDTHH:mm:ss>` given under this name."""
    for text in request.query_params.getlist(name):
        word, _, moment = text.partition(":")
        try:
            bound = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        except ValueError as bad:
            raise RefusedError(400, f"{name} must be <op>:<YYYY-MM-DDTHH:mm:ss>") from bad
        if word not in OPERATORS:
            raise RefusedError(400, f"{name} must begin with one of {', '.join(OPERATORS)}")
        if not OPERATORS[word](value.replace(microsecond=0), bound):
            return False
    return True


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise RefusedError(400, f"'{text}' is not a number")
    return int(text)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(400, f"{name} is required")
    return value


async def _body(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except msgspec.DecodeError as bad:
        raise RefusedError(400, f"the body is not a JSON object: {bad}") from bad


def _json(body: object, status: int = 200) -> Response:
    return Response(_ENCODER.encode(body), status, media_type="application/json")


def routes(world: World) -> Sequence[Route]:
    """The routes of one shop, for a mount at /returngo."""
    face = ReturnGoFace(world)
    paths: list[tuple[str, str, Endpoint]] = [
        ("GET", "/rmas", face.list_rmas),
        ("POST", "/rma/createByPolicy", face.create_by_policy),
        ("GET", "/rma/{rma_id}", face.get_rma),
        ("PUT", "/rma/{rma_id}/status", face.set_status),
        ("GET", "/transactions", face.list_transactions),
        ("PUT", "/transaction/{transaction_id}", face.update_transaction),
        ("GET", "/webhooks", face.list_webhooks),
        ("POST", "/webhook", face.create_webhook),
        ("DELETE", "/webhook/{webhook_id}", face.delete_webhook),
    ]
    return [Route(path, face.guarded(endpoint), methods=[method]) for method, path, endpoint in paths]
