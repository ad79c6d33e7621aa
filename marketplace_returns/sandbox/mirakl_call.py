"""A Mirakl call and its reply: reading parameters and bodies, writing JSON, both paging styles.

Here: the conventions all operations share. Not here: any one operation. Invariant: bad input becomes a RefusedError that names the
parameter; a page token carries its filters by pointing at the list that was matched when the first page was asked for.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec

from marketplace_returns.sandbox.money import from_wire
from marketplace_returns.sandbox.refusals import RefusedError
from marketplace_returns.sandbox.world import World

LIST_VALUES_MAX = 100
OFFSET_PAGE_MAX = 100
SNAPSHOTS_MAX = 200

_encoder = msgspec.json.Encoder(decimal_format="number")
encode = _encoder.encode


@dataclass(slots=True)
class Reply:
    """What goes back: status, body, further headers."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"


@dataclass(slots=True)
class Export:
    """An asynchronous export: its files are fixed when it is asked for; ready after `config.export_delay_s` real seconds."""

    id: str
    started_wall: float
    created_at: datetime
    files: list[bytes]
    content_type: str


@dataclass(slots=True)
class Desk:
    """What the marketplace's front remembers between calls (not part of the world, lost at a restart)."""

    snapshots: OrderedDict[str, list[str]] = field(default_factory=OrderedDict)
    offset_matches: OrderedDict[str, list[str]] = field(default_factory=OrderedDict)
    exports: OrderedDict[str, Export] = field(default_factory=OrderedDict)
    counter: int = 0


@dataclass(slots=True)
class Call:
    """One request as an operation sees it."""

    world: World
    desk: Desk
    query: dict[str, list[str]]
    arguments: tuple[str, ...]
    body: bytes
    content_type: str
    url: str  # absolute, without the query
    root: str  # absolute address under which /api lies

    # -- query parameters ------------------------------------------------------------------------------------------------

    def text(self, name: str) -> str | None:
        """A single parameter, None when absent or empty."""
        values = self.query.get(name)
        return values[0].strip() or None if values else None

    def texts(self, name: str) -> set[str]:
        """A list parameter, repeated or comma-joined or both; empty when absent; more than 100 values are refused."""
        values = {part.strip() for value in self.query.get(name, ()) for part in value.split(",")} - {""}
        if len(values) > LIST_VALUES_MAX:
            raise RefusedError(f"The limit of {LIST_VALUES_MAX} is exceeded for parameter {name}", field=name)
        return values

    def instant(self, name: str) -> datetime | None:
        """A date-time parameter as aware UTC (zone-less is taken as UTC)."""
        value = self.text(name)
        if value is None:
            return None
        return parse_instant(value, name)

    def flag(self, name: str) -> bool | None:
        """A boolean parameter."""
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in {"true", "false"}:
            raise RefusedError(f"The value '{value}' of parameter {name} is not a boolean", field=name)
        return value.lower() == "true"

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole-number parameter within bounds."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError as bad:
            raise RefusedError(f"The value '{value}' of parameter {name} is not a number", field=name) from bad
        if not least <= number <= most:
            raise RefusedError(f"The value {number} of parameter {name} must be between {least} and {most}", field=name)
        return number

    # -- bodies ------------------------------------------------------------------------------------------------------------

    def json(self) -> dict[str, Any]:
        """The JSON object of the body."""
        try:
            body = msgspec.json.decode(self.body)
        except msgspec.DecodeError as bad:
            raise RefusedError("The request body is not valid JSON") from bad
        if not isinstance(body, dict):
            raise RefusedError("The request body must be a JSON object")
        return body

    def objects(self, name: str, most: int) -> list[dict[str, Any]]:
        """The required list of objects called `name` in the JSON body, 1 to `most` long."""
        items = self.json().get(name)
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise RefusedError(f"Error with field {name}. Please check the field datatype.", field=name)
        if len(items) > most:
            raise RefusedError(f"The limit of {most} is exceeded for {name}", field=name)
        return items

    # -- pages ---------------------------------------------------------------------------------------------------------------

    def offset_page(self, match: Callable[[], list[str]]) -> tuple[list[str], int, tuple[tuple[str, str], ...]]:
        """One page by offset and max: its keys, the total count, and the Link header.

        The matched list is kept as long as nothing changed, so that a reader of many pages costs one match.
        """
        size = self.number("max", 10, 0, OFFSET_PAGE_MAX)
        offset = self.number("offset", 0, 0, 2**31)
        filters = sorted((name, values) for name, values in self.query.items() if name not in {"max", "offset"})
        world = self.world
        key = f"{self.url} {filters} {world.marketplace.version} {world.clock.now()}"
        matches = self.desk.offset_matches
        if key not in matches:
            matches[key] = match()
            while len(matches) > 20:
                matches.popitem(last=False)
        found = matches[key]
        links = []
        if offset > 0:
            links.append(self._link(size, max(0, offset - size), "previous"))
        if size and offset + size < len(found):
            links.append(self._link(size, offset + size, "next"))
        headers = (("Link", ", ".join(links)),) if links else ()
        return found[offset : offset + size], len(found), headers

    def _link(self, size: int, offset: int, rel: str) -> str:
        query = {name: values for name, values in self.query.items() if name not in {"max", "offset"}}
        query |= {"max": [str(size)], "offset": [str(offset)]}
        return f'<{self.url}?{urlencode(query, doseq=True)}>; rel="{rel}"'

    def seek_page(self, match: Callable[[], list[str]], limit_max: int = 100) -> tuple[list[str], dict[str, str]]:
        """One page by token: its keys and the next and previous tokens; with a token every filter is ignored."""
        token = self.text("page_token")
        if token is not None:
            snapshot, offset, size = self._open_token(token)
        else:
            size = self.number("limit", 10, 1, limit_max)
            self.desk.counter += 1
            snapshot, offset = str(self.desk.counter), 0
            self.desk.snapshots[snapshot] = match()
            while len(self.desk.snapshots) > SNAPSHOTS_MAX:
                self.desk.snapshots.popitem(last=False)
        found = self.desk.snapshots[snapshot]
        tokens = {}
        if offset + size < len(found):
            tokens["next_page_token"] = _token(snapshot, offset + size, size)
        if offset > 0:
            tokens["previous_page_token"] = _token(snapshot, max(0, offset - size), size)
        return found[offset : offset + size], tokens

    def _open_token(self, token: str) -> tuple[str, int, int]:
        try:
            snapshot, offset, size = base64.urlsafe_b64decode(token.encode()).decode().split(":")
            numbers = int(offset), int(size)
        except ValueError as bad:
            raise RefusedError("The page_token is invalid", field="page_token") from bad
        if snapshot not in self.desk.snapshots:
            raise RefusedError("The page_token is invalid or too old", field="page_token")
        self.desk.snapshots.move_to_end(snapshot)
        return snapshot, *numbers


def _token(snapshot: str, offset: int, size: int) -> str:
    return base64.urlsafe_b64encode(f"{snapshot}:{offset}:{size}".encode()).decode()


def parse_instant(value: str, name: str) -> datetime:
    """An ISO 8601 date-time as aware UTC."""
    try:
        # an unescaped '+' of the zone arrives as a blank
        instant = datetime.fromisoformat(value.strip().replace(" ", "+") if "T" in value else value)
    except ValueError as bad:
        raise RefusedError(f"The value '{value}' of parameter {name} is not a date-time", field=name) from bad
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """The query string as names to values."""
    return parse_qs(raw.decode("latin-1")) if raw else {}


def amount(item: dict[str, Any], name: str, currency: str, *, required: bool = True) -> int:
    """An amount of a body item in minor units; 0 when it may be absent and is."""
    value = item.get(name)
    if value is None and not required:
        return 0
    if value is None:
        raise RefusedError(f"The field {name} is required", field=name)
    try:
        return from_wire(value, currency)
    except ValueError as bad:
        raise RefusedError(f"Error with field {name}: {bad}", field=name) from bad


def string(item: dict[str, Any], name: str, *, required: bool = True) -> str | None:
    """A string of a body item."""
    value = item.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        raise RefusedError(f"Error with field {name}. Please check the field datatype.", field=name)
    return value


def required_string(item: dict[str, Any], name: str) -> str:
    """A string of a body item that must be there."""
    value = string(item, name)
    assert value is not None  # noqa: S101 - string() refuses None when required
    return value


def whole(item: dict[str, Any], name: str, default: int | None = None) -> int:
    """A whole number of a body item."""
    value = item.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(f"Error with field {name}. Please check the field datatype.", field=name)
    return value


def code_amounts(item: dict[str, Any], name: str, currency: str) -> dict[str, int] | None:
    """A list of {code, amount} as minor units by code; None when not sent."""
    values = item.get(name)
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise RefusedError(f"Error with field {name}. Please check the field datatype.", field=name)
    return {required_string(value, "code"): amount(value, "amount", currency) for value in values}


def within(instant: datetime, lower: datetime | None, upper: datetime | None) -> bool:
    """Whether an instant lies between two bounds, both inclusive, None meaning open."""
    return (lower is None or instant >= lower) and (upper is None or instant <= upper)


def multi(outcomes: Sequence[tuple[str, str | None]]) -> dict[str, Any]:
    """The partial-success answer of the RT and ST writes from (id, error or None) pairs."""
    return {
        "return_success": [{"id": key} for key, error in outcomes if error is None],
        "return_errors": [{"id": key, "message": error} for key, error in outcomes if error is not None],
    }
