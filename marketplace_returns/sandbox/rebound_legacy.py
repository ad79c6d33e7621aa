"""ReBound's older API: a form with login, key and a JSON document, answered by `success` or `error`.

Here: who may call, paths, documents, and how everything is told as text. Not here: the life of a parcel (`rebound_parcel`).

Invariants: every answer has HTTP status 200; a refusal is `{"error": {"code", "message"}}` and changes nothing; an address
that gave wrong credentials too often is blocked for a while, whatever it then gives; there is no filter by change.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from marketplace_returns.sandbox import rebound_parcel
from marketplace_returns.sandbox.money import from_wire, to_decimal
from marketplace_returns.sandbox.returns_platform import NewReturn, NewReturnLine, PlatformReturn, PlatformReturnLine

if TYPE_CHECKING:
    from starlette.requests import Request

    from marketplace_returns.sandbox.world import World

BAD_LOGINS_MAX: Final = 5
BLOCKED_FOR: Final = timedelta(hours=1)
TEXT_MAX: Final = 255
LABEL: Final = b"%PDF-1.4 synthetic label of the sandbox, for no real parcel\n" * 8

Json = dict[str, Any]


class RefusedError(Exception):
    """The call is answered with an error of this code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class LegacyFace:
    """One account's API over one world."""

    world: World
    bad_logins: dict[str, int] = field(default_factory=dict)
    blocked_until: dict[str, datetime] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        """Serve any call."""
        calls: Mapping[tuple[str, str], Callable[[Json], Any]] = {
            ("returns", "search"): self.search,
            ("returns", "get"): self.get,
            ("returns", "items"): self.items,
            ("returns", "create"): self.create,
            ("tracking", "get"): self.tracking,
        }
        try:
            form = parse_qs((await request.body()).decode(), keep_blank_values=True)
            self._admit(request.client.host if request.client else "", form)
            path = request.path_params
            call = calls.get((path["section"], path["call"])) if path["form"] == "json" else None
            return _json({"success": (call or _unknown)(_document(form))})
        except RefusedError as refusal:
            return _json({"error": {"code": refusal.code, "message": str(refusal)}})

    def search(self, document: Json) -> Json:
        """The ids of returns created on some days, of an order, or under the caller's own key."""
        filters = _part(document, "filter")
        if not set(filters) & {"date_from", "date_to", "order_reference", "external_id"}:
            raise RefusedError("request_wrong", "The filter is empty.")
        first = _day(filters.get("date_from"), date.min)
        last = _day(filters.get("date_to"), date.max)
        found = [
            one
            for one in self.world.platform.returns.values()
            if first <= one.created_at.date() <= last
            and filters.get("order_reference") in {None, one.order_external_id}
            and filters.get("external_id") in {None, one.external_id}
        ]
        if not found:
            raise RefusedError("empty", "Nothing was found.")
        return {"id": [one.id for one in sorted(found, key=lambda one: (one.created_at, one.id))]}

    def get(self, document: Json) -> Json:
        """One return, its label with it."""
        return self._shown(self._found(document))

    def items(self, document: Json) -> Json:
        """The items of a return alone."""
        return {"item": self._shown(self._found(document))["item"]}

    def create(self, document: Json) -> Json:
        """A new return with a label, even under a key that is there."""
        wanted = _part(document, "return")
        items = wanted.get("item")
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise RefusedError("request_wrong", "return.item must be a list of items.")
        made = rebound_parcel.new_return(
            self.world,
            NewReturn(
                external_id=_text(wanted, "external_id", needed=False),
                order_external_id=_text(wanted, "order_reference"),
                order_name=_text(wanted, "order_reference"),
                currency=self.world.config.currency,
                lines=tuple(self._new_line(item) for item in items),
            ),
        )
        return {"id": made.id, "label": _label(), "tracking": made.tracking_number, "carrier": made.carrier}

    def tracking(self, document: Json) -> Json:
        """The scans of a parcel."""
        code = _text(_part(document, "tracking"), "code")
        found = next((one for one in self.world.platform.returns.values() if one.tracking_number == code), None)
        if found is None:
            raise RefusedError("empty", "Nothing was found.")
        return {
            "pallet_number": "",
            "source_country": "GB",
            "carrier_name": found.carrier,
            "service_id": "",
            "external_id": found.external_id,
            "order_reference": found.order_external_id,
            "track": [
                {
                    "dt": _wall_time(step.at),
                    "status": step.stage,
                    "location": {"country": "GB", "state": "", "city": "Testtown"},
                }
                for step in rebound_parcel.steps(self.world, found)
            ],
        }

    def _admit(self, address: str, form: Mapping[str, list[str]]) -> None:
        now, config = self.world.clock.now(), self.world.config
        if self.blocked_until.get(address, now) > now:
            raise RefusedError("ip_blocked", "This address is blocked.")
        for name in ("login", "api_key"):
            if not form.get(name, [""])[0]:
                raise RefusedError(f"{name}_empty", f"{name} is empty.")
        if (form["login"][0], form["api_key"][0]) == (config.rebound_login, config.rebound_api_key):
            self.bad_logins.pop(address, None)
            return
        self.bad_logins[address] = self.bad_logins.get(address, 0) + 1
        if self.bad_logins[address] >= BAD_LOGINS_MAX:
            self.blocked_until[address] = now + BLOCKED_FOR
            self.bad_logins.pop(address)
        raise RefusedError("access_denied", "Login or API key is wrong.")

    def _found(self, document: Json) -> PlatformReturn:
        wanted = _part(document, "return")
        if wanted.get("type") != "id":
            raise RefusedError("request_wrong", "return.type must be id.")
        found = self.world.platform.find_return(_text(wanted, "id"))
        if found is None:
            raise RefusedError("empty", "Nothing was found.")
        return found

    def _new_line(self, item: Json) -> NewReturnLine:
        sku, quantity = _text(item, "sku_code"), _text(item, "quantity")
        if sku not in self.world.products:
            raise RefusedError("request_wrong", f"sku_code {sku} is not known.")
        if not quantity.isascii() or not quantity.isdigit() or int(quantity) < 1:
            raise RefusedError("request_wrong", "quantity must be a whole number of at least 1.")
        try:
            price = from_wire(_text(item, "price"), self.world.config.currency)
        except ValueError as error:
            raise RefusedError("request_wrong", f"price {error}") from error
        reasons = item.get("reason")
        reason = reasons[0].get("reason", "") if isinstance(reasons, list) and reasons else ""
        custom = item.get("custom_fields")
        key = custom.get("field2", "") if isinstance(custom, dict) else ""
        return NewReturnLine(str(key), sku, int(quantity), price, 0, str(reason))

    def _shown(self, one: PlatformReturn) -> Json:
        """A return as it is told: all of it text."""
        steps = rebound_parcel.steps(self.world, one)
        return {
            "id": one.id,
            "order_reference": one.order_external_id,
            "date_added": _wall_time(one.created_at),
            "display_id": one.id[:8].upper(),
            "external_id": one.external_id,
            "name": f"Customer {one.id[:6]}",
            "company_name": "",
            "email": f"customer-{one.id[:6]}@customers.invalid",
            "phone": "+44 0000 000000",
            "addr1": "1 Test Lane",
            "addr2": "",
            "addr3": "",
            "city": "Testtown",
            "state": "",
            "zip": "TE1 1ST",
            "country": "GB",
            "carrier": one.carrier,
            "tracking": one.tracking_number,
            "tracking_last_update": _wall_time(steps[-1].at),
            "current_tracking_status": steps[-1].stage,
            "verification_entity": rebound_parcel.inspected_by(self.world, one),
            "final_dest_id": "1",
            "final_dest_name": "Returns desk",
            "final_dest_country": "GB",
            "label": _label(),
            "item": [self._shown_item(one, line) for line in one.lines],
        }

    def _shown_item(self, one: PlatformReturn, line: PlatformReturnLine) -> Json:
        return {
            "sku_code": line.sku,
            "sku_desc": self.world.products[line.sku].title,
            "quantity": str(line.quantity),
            "price": str(to_decimal(line.unit_price_minor, one.currency)),
            "weight": "0.4",
            "weight_uom": "kg",
            "country_code": "GB",
            "tracking": "",
            "verification_entity": rebound_parcel.inspected_by(self.world, one),
            "final_disposition": rebound_parcel.disposition(line),
            "custom_fields": {
                "field1": rebound_parcel.received_sku(line),
                "field2": line.external_id,
                "field3": "",
                "field4": "",
                "field5": "",
            },
            "reason": [
                {
                    "action": "return",
                    "reason": line.reason,
                    "wish": "refund",
                    "additional": {"title": "In your words", "value": "It was a gift for A. Customer"},
                }
            ],
        }


def _unknown(_: Json) -> Json:
    raise RefusedError("unknown_call", "The call is not known.")


def _document(form: Mapping[str, list[str]]) -> Json:
    text = form.get("request", [""])[0]
    if not text:
        raise RefusedError("request_empty", "The request is empty.")
    try:
        document = msgspec.json.decode(text, type=Json)
    except msgspec.DecodeError as error:
        raise RefusedError("json_invalid", "The request is not a JSON object.") from error
    _check_texts(document)
    return document


def _check_texts(value: object) -> None:
    if isinstance(value, str) and len(value) > TEXT_MAX:
        raise RefusedError("request_wrong", f"A text is longer than {TEXT_MAX} characters.")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_texts(part)


def _part(document: Json, name: str) -> Json:
    part = document.get(name)
    if not isinstance(part, dict):
        raise RefusedError("request_wrong", f"{name} is missing.")
    return part


def _text(part: Json, name: str, *, needed: bool = True) -> str:
    value = part.get(name)
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
        return str(value)
    if needed:
        raise RefusedError("request_wrong", f"{name} is missing.")
    return ""


def _day(text: object, absent: date) -> date:
    if text is None:
        return absent
    try:
        return datetime.strptime(str(text), "%Y/%m/%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise RefusedError("request_wrong", f"{text} is not a day of the form YYYY/MM/DD.") from error


def _wall_time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _label() -> str:
    return base64.b64encode(LABEL).decode()


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), 200, media_type="application/json")


def routes(world: World) -> list[BaseRoute]:
    """The routes of the older API, to be mounted at /rebound."""
    face = LegacyFace(world)
    return [Route("/api/{section}/{call}/{form}", face.answer, methods=["POST"])]
