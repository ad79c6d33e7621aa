"""ReBound's newer API: a token for a client and its secret, return orders as JSON.

Here: the token's life, paths, paging, documents. Not here: the life of a parcel (`rebound_parcel`).

Invariants: a token that ran out is answered with 401 and nothing is done; an order may have several return orders, the newest
first; what was announced and what came are two figures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from marketplace_returns.sandbox import rebound_parcel
from marketplace_returns.sandbox.money import from_wire
from marketplace_returns.sandbox.returns_platform import NewReturn, NewReturnLine, PlatformReturn, PlatformReturnLine

if TYPE_CHECKING:
    from starlette.requests import Request

    from marketplace_returns.sandbox.world import World

TOKEN_LIFE: Final = timedelta(minutes=30)
PAGE_SIZE_DEFAULT: Final = 25
PAGE_SIZE_MAX: Final = 100
MILESTONES: Final[Mapping[rebound_parcel.Stage, str]] = {
    "created": "Return Order Created",
    "in_transit": "Entered Our Network",
    "at_hub": "Arrived at Our Hub",
    "delivered": "Delivered",
    "processed": "Return processed in ReBound hub",
}

Endpoint = Callable[["Request"], Awaitable[Response]]


class RefusedError(Exception):
    """The call is answered with `status` and `body`."""

    def __init__(self, status: int, body: Mapping[str, object]) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


class _NewLine(msgspec.Struct):
    sku: str
    quantity_expected: int
    unit_price: str = "0"
    reason: str = ""
    external_reference: str = ""


class _NewReturnOrder(msgspec.Struct):
    order_number: str
    lines: list[_NewLine]
    external_reference: str = ""


@dataclass
class CurrentFace:
    """One client's API over one world, and the tokens that were given out."""

    world: World
    tokens: dict[str, datetime] = field(default_factory=dict)

    async def token(self, request: Request) -> Response:
        """A token for 30 minutes, by client_credentials."""
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        config = self.world.config
        if form.get("grant_type") != "client_credentials":
            return _json({"error": "unsupported_grant_type"}, 400)
        if (form.get("client_id"), form.get("client_secret")) != (
            config.rebound_client_id,
            config.rebound_client_secret,
        ):
            return _json({"error": "invalid_client"}, 401)
        token = self.world.chance.uuid("rebound_token").replace("-", "")
        self.tokens[token] = self.world.clock.now() + TOKEN_LIFE
        return _json(
            {"access_token": token, "token_type": "Bearer", "expires_in": int(TOKEN_LIFE.total_seconds())}, 200
        )

    async def list_return_orders(self, request: Request) -> Response:
        """One page of return orders: changed since an instant, or of one order; the newest first."""
        query = request.query_params
        page = _whole_number(query.get("page", "1"), "page", 1_000_000)
        page_size = _whole_number(query.get("page_size", str(PAGE_SIZE_DEFAULT)), "page_size", PAGE_SIZE_MAX)
        since = _instant(query.get("updated_since"))
        found = [
            one
            for one in self.world.platform.returns.values()
            if (since is None or one.updated_at >= since)
            and query.get("order_number") in {None, one.order_external_id}
            and query.get("external_reference") in {None, one.external_id}
        ]
        found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
        pages = -(-len(found) // page_size)
        return _json(
            {
                "items": [self._shown(one) for one in found[(page - 1) * page_size : page * page_size]],
                "page": page,
                "pages": pages,
            },
            200,
        )

    async def get_return_order(self, request: Request) -> Response:
        """One return order by id."""
        found = self.world.platform.find_return(request.path_params["return_id"])
        if found is None:
            raise RefusedError(404, {"message": "Not found."})
        return _json(self._shown(found), 200)

    async def create_return_order(self, request: Request) -> Response:
        """A new return order: 201, even under a reference that is there."""
        try:
            wanted = msgspec.json.decode(await request.body(), type=_NewReturnOrder)
        except msgspec.DecodeError as error:
            raise RefusedError(422, {"errors": [{"field": "", "message": str(error)}]}) from error
        if not wanted.lines or not wanted.order_number:
            raise RefusedError(422, {"errors": [{"field": "lines", "message": "order_number and lines are needed"}]})
        made = rebound_parcel.new_return(
            self.world,
            NewReturn(
                external_id=wanted.external_reference,
                order_external_id=wanted.order_number,
                order_name=wanted.order_number,
                currency=self.world.config.currency,
                lines=tuple(self._new_line(line) for line in wanted.lines),
            ),
        )
        return _json(self._shown(made), 201)

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint` behind a token that has not run out, its refusals as JSON."""

        async def answer(request: Request) -> Response:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            runs_out = self.tokens.get(token)
            if runs_out is None or runs_out <= self.world.clock.now():
                return _json({"message": "The token is not valid or has run out."}, 401)
            try:
                return await endpoint(request)
            except RefusedError as refusal:
                return _json(refusal.body, refusal.status)

        return answer

    def _new_line(self, line: _NewLine) -> NewReturnLine:
        def refused(name: str, message: str) -> RefusedError:
            return RefusedError(422, {"errors": [{"field": f"lines[].{name}", "message": message}]})

        if line.sku not in self.world.products:
            raise refused("sku", f"'{line.sku}' is not a product of this store")
        if line.quantity_expected < 1:
            raise refused("quantity_expected", "must be at least 1")
        try:
            price = from_wire(line.unit_price, self.world.config.currency)
        except ValueError as error:
            raise refused("unit_price", str(error)) from error
        return NewReturnLine(line.external_reference, line.sku, line.quantity_expected, price, 0, line.reason)

    def _shown(self, one: PlatformReturn) -> dict[str, Any]:
        stage = rebound_parcel.steps(self.world, one)[-1].stage
        return {
            "id": one.id,
            "order_number": one.order_external_id,
            "external_reference": one.external_id,
            "status": "processed" if stage == "processed" else "open",
            "milestone": MILESTONES[stage],
            "created_at": _shown_instant(one.created_at),
            "updated_at": _shown_instant(one.updated_at),
            "customer": {"name": f"Customer {one.id[:6]}", "email": f"customer-{one.id[:6]}@customers.invalid"},
            "parcels": [
                {"tracking_number": one.tracking_number, "carrier": one.carrier, "label_url": one.label_url},
            ],
            "lines": [self._shown_line(one, line) for line in one.lines],
        }

    def _shown_line(self, one: PlatformReturn, line: PlatformReturnLine) -> dict[str, Any]:
        inspected_at = _shown_instant(one.inspected_at) if line.found else None
        return {
            "line_id": line.id,
            "external_reference": line.external_id,
            "sku": line.sku,
            "quantity_expected": line.quantity,
            "quantity_received": None if not line.found else len(line.found) - line.found.count("missing"),
            "reason": line.reason,
            "resolution": "refund",
            "disposition": rebound_parcel.disposition(line) or None,
            "disposition_at": inspected_at,
            "received_sku": rebound_parcel.received_sku(line) or None,
        }


def _shown_instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusedError(
            422, {"errors": [{"field": "updated_since", "message": "is not an instant in ISO 8601"}]}
        ) from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _whole_number(text: str, name: str, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= maximum:
        message = f"must be a whole number from 1 to {maximum}"
        raise RefusedError(422, {"errors": [{"field": name, "message": message}]})
    return int(text)


def _json(body: object, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def routes(world: World) -> list[BaseRoute]:
    """The routes of the newer API, to be mounted at /rebound."""
    face = CurrentFace(world)
    return [
        Route("/oauth/token", face.token, methods=["POST"]),
        Route("/return-orders", face.guarded(face.list_return_orders), methods=["GET"]),
        Route("/return-orders", face.guarded(face.create_return_order), methods=["POST"]),
        Route("/return-orders/{return_id}", face.guarded(face.get_return_order), methods=["GET"]),
    ]
