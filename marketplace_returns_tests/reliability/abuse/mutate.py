"""What is done to an answer: one mutation of one place, drawn from a seeded chance.

Here live the mutations, for JSON and for the CSV in its SOAP envelope. Not here: which answer is struck (tape.py). Invariant:
the same chance and the same answer give the same mutant.
"""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

LONG_TEXT = 20_000
DEEP = 2_000
HUGE = (10**9, 10**15, 10**18, 10**30, 10**400, 99_999_999)
ODD_CURRENCIES = ("USD", "JPY", "KWD", "gbp", "XXX", "", "£", "GBPGBP")
ODD_INSTANTS = (
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-13-45T99:00:00Z",
    "2026-01-01",
    "0",
    "1e309",
)
ODD_TEXTS = (
    "",
    " ",
    "\ud800",
    "a\u0000b",
    "'; DROP TABLE x; --",
    "\u202e\ufeff",
    "%s{}",
    "../../etc/passwd",
    "<x>&amp;",
)

_RAW = re.compile(rb'"@raw:([^"]*)@"')
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True)
class Reply:
    """An answer: what a source sent, or what it became."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Mutant:
    """An answer after a mutation, and which mutation of which place it was."""

    name: str
    place: str
    reply: Reply


# -- places in a document ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """One value in a document: what holds it, under which key, and how it is called."""

    holder: Any
    key: Any
    path: str

    @property
    def value(self) -> Any:
        return self.holder[self.key]


def _places(value: Any, path: str = "") -> Iterator[_Place]:
    if isinstance(value, dict):
        for key in value:
            yield _Place(value, key, f"{path}.{key}")
            yield from _places(value[key], f"{path}.{key}")
    elif isinstance(value, list):
        for number in range(len(value)):
            yield _Place(value, number, f"{path}[{number}]")
            yield from _places(value[number], f"{path}[{number}]")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | Decimal):
        return True
    return isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) is not None


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, dict | list)


# -- mutations of a place ---------------------------------------------------------------------------------------------


def _drop(place: _Place, _chance: Random) -> None:
    del place.holder[place.key]


def _rename(place: _Place, chance: Random) -> None:
    value = place.holder.pop(place.key)
    place.holder[chance.choice((place.key + "_2", place.key.upper(), place.key[:-1] or "x", ""))] = value


def _set(place: _Place, value: Any) -> None:
    place.holder[place.key] = value


def _null(place: _Place, _chance: Random) -> None:
    _set(place, None)


def _swap_type(place: _Place, chance: Random) -> None:
    value = place.value
    others: list[Any] = [True, 7, Decimal("1.5"), "text", [], {}, [value], {"value": value}]
    if _is_leaf(value) and value is not None:
        others.append(value if not isinstance(value, str) else [value, value])
        others.append(str(value) if not isinstance(value, str) else 0)
    _set(place, chance.choice(others))


def _huge(place: _Place, chance: Random) -> None:
    value = place.value
    if _is_number(value):
        number = chance.choice(HUGE)
        _set(place, str(number) if isinstance(value, str) else f"@raw:{number}@")
    elif isinstance(value, str):
        _set(place, "x" * LONG_TEXT)
    else:
        _set(place, f"@raw:{'[' * DEEP}{']' * DEEP}@")


def _negative(place: _Place, _chance: Random) -> None:
    value = place.value
    text = str(value)
    flipped = text[1:] if text.startswith("-") else f"-{text if Decimal(text) else 1}"
    _set(place, flipped if isinstance(value, str) else f"@raw:{flipped}@")


def _not_a_number(place: _Place, chance: Random) -> None:
    told = chance.choice(("NaN", "Infinity", "-Infinity"))
    _set(place, told if isinstance(place.value, str) else f"@raw:{told}@")


def _beyond(place: _Place, chance: Random) -> None:
    told = chance.choice(("1e309", "-1e309", "1e-400", "12.345678901234567890123", "1E+2"))
    _set(place, told if isinstance(place.value, str) else f"@raw:{told}@")


def _odd_currency(place: _Place, chance: Random) -> None:
    _set(place, chance.choice(ODD_CURRENCIES))


def _odd_instant(place: _Place, chance: Random) -> None:
    _set(place, chance.choice(ODD_INSTANTS))


def _odd_text(place: _Place, chance: Random) -> None:
    _set(place, chance.choice(ODD_TEXTS))


def _duplicate_element(place: _Place, chance: Random) -> None:
    elements = place.value
    element = chance.choice(elements)
    elements.insert(chance.randrange(len(elements) + 1), json_copy(element))


def _empty(place: _Place, _chance: Random) -> None:
    place.value.clear()


def json_copy(value: Any) -> Any:
    """Return a copy that shares nothing."""
    if isinstance(value, dict):
        return {key: json_copy(each) for key, each in value.items()}
    return [json_copy(each) for each in value] if isinstance(value, list) else value


_Fits = Callable[[_Place], bool]
_Act = Callable[[_Place, Random], None]

_OF_PLACES: dict[str, tuple[_Fits, _Act]] = {
    "drop": (lambda place: True, _drop),
    "rename": (lambda place: isinstance(place.key, str), _rename),
    "null": (lambda place: place.value is not None, _null),
    "type swapped": (lambda place: True, _swap_type),
    "huge": (lambda place: True, _huge),
    "negative": (lambda place: _is_number(place.value), _negative),
    "NaN": (lambda place: _is_number(place.value), _not_a_number),
    "1e309": (lambda place: _is_number(place.value), _beyond),
    "currency": (lambda place: isinstance(place.key, str) and "currency" in place.key.lower(), _odd_currency),
    "instant": (
        lambda place: isinstance(place.value, str) and re.match(r"\d{4}-\d\d-\d\d", place.value) is not None,
        _odd_instant,
    ),
    "odd text": (lambda place: isinstance(place.value, str), _odd_text),
    "duplicate element": (lambda place: isinstance(place.value, list) and bool(place.value), _duplicate_element),
    "empty page": (lambda place: isinstance(place.value, list) and bool(place.value), _empty),
}


def _mutate_json(reply: Reply, name: str, chance: Random) -> Mutant | None:
    document = msgspec.json.decode(reply.body, type=Any) if reply.body else None
    document = json.loads(reply.body, parse_float=Decimal) if isinstance(document, dict | list) else None
    if document is None:
        return None
    fits, act = _OF_PLACES[name]
    # a root of its own, so that the document itself is a place too
    root = {"": document}
    fitting = [place for place in _places(root) if place.path != "." and fits(place)]
    if name in {"empty page", "duplicate element"}:
        fitting = [place for place in fitting if place.path.count("[") == 0] or fitting
    if name in {"type swapped", "null", "huge"} and chance.random() < 0.02:
        fitting = [next(_places(root))]
    if not fitting:
        return None
    place = chance.choice(fitting)
    act(place, chance)
    try:
        body = _RAW.sub(lambda found: found[1], _encoder.encode(root.get("")))
    except (UnicodeEncodeError, OverflowError):
        body = json.dumps(root[""], default=str).encode()
    return Mutant(name, place.path.lstrip("."), replace(reply, body=body))


def _duplicate_page(reply: Reply) -> Mutant | None:
    """Give each list at the top twice."""
    document = json.loads(reply.body, parse_float=Decimal)
    lists = [key for key, value in document.items() if isinstance(value, list)] if isinstance(document, dict) else []
    if not lists:
        return None
    for key in lists:
        document[key] = document[key] + json_copy(document[key])
    return Mutant("duplicate page", ", ".join(lists), replace(reply, body=_encoder.encode(document)))


# -- mutations of a table in an envelope ------------------------------------------------------------------------------

_DETAIL = re.compile(r"(<Detail>)(.*?)(</Detail>)", re.DOTALL)
_COUNT = re.compile(r"(<TotalCount>)(\d+)(</TotalCount>)")
_RESPONSE = re.compile(r"(<ResponseId>)(-?\d+)(</ResponseId>)")
_BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>'


def _with_detail(text: str, detail: str, change: int = 0) -> str:
    text = _DETAIL.sub(lambda found: found[1] + html.escape(detail, quote=False) + found[3], text, count=1)
    return _COUNT.sub(lambda found: f"{found[1]}{max(0, int(found[2]) + change)}{found[3]}", text, count=1)


def _csv(lines: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    return out.getvalue()


def _mutate_table(reply: Reply, name: str, chance: Random) -> Mutant | None:  # noqa: C901 - one branch a mutation
    text = reply.body.decode()
    found = _DETAIL.search(text)
    lines = list(csv.reader(io.StringIO(html.unescape(found[2])))) if found else []
    lines = [line for line in lines if line]
    if found is None or not lines or len(lines[0]) < 2:
        return _mutate_envelope(reply, text, name, chance)
    header, rows = lines[0], lines[1:]
    column = chance.randrange(len(header))
    row = chance.randrange(len(rows)) if rows else -1
    place, change, detail = header[column], 0, ""

    def cells(wanted: Callable[[str], bool]) -> list[tuple[int, int]]:
        return [(r, c) for r, cells_of in enumerate(rows) for c, cell in enumerate(cells_of) if wanted(cell)]

    def put(wanted: Callable[[str], bool], value: Callable[[str], str]) -> str:
        fitting = cells(wanted)
        if not fitting:
            return ""
        r, c = chance.choice(fitting)
        rows[r][c] = value(rows[r][c])
        return header[c] if c < len(header) else "surplus"

    match name:
        case "drop":
            which = chance.randrange(3)
            if which == 0:
                for each in lines:
                    del each[column : column + 1]
            elif which == 1 and rows:
                del rows[row][column : column + 1]
            elif rows:
                del rows[row]
                change = chance.choice((0, -1))
        case "rename":
            header[column] = chance.choice(
                (header[column] + " 2", header[column][:-1], "", header[column - 1], "a]b[c")
            )
        case "null":
            place = put(bool, lambda _cell: "")
        case "type swapped":
            place = put(
                lambda cell: True, lambda _cell: chance.choice(("True", "7", "1.5", "text", "[]", "'01/02/2026 10:00'"))
            )
        case "huge":
            place = put(
                bool,
                lambda cell: str(chance.choice(HUGE[:5])) if _is_number(cell) else "x" * LONG_TEXT,
            )
        case "negative":
            place = put(_is_number, lambda cell: f"-{cell}" if cell != "0" else "-1")
        case "NaN":
            place = put(_is_number, lambda _cell: chance.choice(("NaN", "Infinity", "-Infinity")))
        case "1e309":
            place = put(_is_number, lambda _cell: chance.choice(("1e309", "1e-400", "1E+2", "2.0", "1,5")))
        case "instant":
            odd = (
                "'01/01/0001 00:00'",
                "'31/12/9999 23:59'",
                "'32/13/2026 10:00'",
                "2026-01-01T00:00:00Z",
                "'29/02/2026'",
            )
            place = put(lambda cell: "/" in cell, lambda _cell: chance.choice(odd))
        case "odd text":
            place = put(bool, lambda _cell: chance.choice([t for t in ODD_TEXTS if t != "\ud800"]))
        case "duplicate element":
            if not rows:
                return None
            lines.insert(1 + chance.randrange(len(rows) + 1), list(rows[row]))
            rows, change, place, detail = [], chance.choice((0, 1)), f"row {row}", _csv(lines)
        case "duplicate page":
            detail, change, place = _csv([header, *rows, *rows]), len(rows), "all rows"
        case "empty page":
            detail = chance.choice((_csv([header]), ""))
            change, place = chance.choice((0, -len(rows))), "all rows"
            return Mutant(name, place, replace(reply, body=_with_detail(text, detail, change).encode()))
        case "envelope" | "quotes":
            return _mutate_envelope(reply, text, name, chance)
        case _:
            return None
    detail = detail or _csv([header, *rows])
    return Mutant(name, place, replace(reply, body=_with_detail(text, detail, change).encode(errors="replace")))


def _mutate_envelope(reply: Reply, text: str, name: str, chance: Random) -> Mutant | None:
    number = chance.choice(("0", "-1", "x", "", "99999999999999999999", "1.5", "2"))
    ways: dict[str, Callable[[], str]] = {
        "total count": lambda: _COUNT.sub(lambda found: found[1] + number + found[3], text),
        "response id": lambda: _RESPONSE.sub(lambda found: found[1] + number + found[3], text),
        "detail gone": lambda: _DETAIL.sub("", text),
        "entities": lambda: text.replace("?>", f"?>{_BOMB}", 1).replace("<Detail>", "<Detail>&c;", 1),
        "namespace": lambda: text.replace("http://www.peoplevox.net/", "http://elsewhere.invalid/"),
        "encoding": lambda: text.replace('encoding="utf-8"', 'encoding="utf-16"', 1),
        "quotes": lambda: text.replace('"\n"', '"\n', 1) if '"\n"' in text else text.replace("&quot;", "", 1),
        "fault": lambda: re.sub(
            r"<soap:Body>.*</soap:Body>",
            "<soap:Body><soap:Fault><faultcode>x</faultcode><faultstring>y</faultstring></soap:Fault></soap:Body>",
            text,
            flags=re.DOTALL,
        ),
    }
    if name not in {"envelope", "quotes", "null", "type swapped", "huge"}:
        return None
    way = chance.choice(sorted(ways))
    changed = ways[way]()
    return None if changed == text else Mutant("envelope", way, replace(reply, body=changed.encode()))


# -- mutations of the bytes -------------------------------------------------------------------------------------------


def _with_header(reply: Reply, name: str, value: str) -> tuple[tuple[str, str], ...]:
    return (*(each for each in reply.headers if each[0].lower() != name), (name, value))


def _mutate_bytes(reply: Reply, name: str, chance: Random) -> Mutant | None:
    body = reply.body
    match name:
        case "BOM":
            mark = chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
            return Mutant(name, mark.hex(), replace(reply, body=mark + body))
        case "gzip cut":
            packed = gzip.compress(body)
            cut = chance.randrange(1, len(packed)) if chance.random() < 0.8 else len(packed)
            packed = packed[:cut] if cut < len(packed) else body  # or not packed at all, though it is said to be
            headers = _with_header(reply, "content-encoding", "gzip")
            return Mutant(name, f"{cut} bytes", replace(reply, headers=headers, body=packed))
        case "truncated":
            if not body:
                return None
            cut = chance.randrange(len(body))
            return Mutant(name, f"{cut} of {len(body)} bytes", replace(reply, body=body[:cut]))
        case "other body":
            odd = (
                b"",
                b"null",
                b"[]",
                b"{}",
                b'"text"',
                b"0",
                b"<html>502</html>",
                b"\xff\xfe\x00",
                b"{" * 5_000,
                b'{"a":1}x',
            )
            other = chance.choice(odd)
            return Mutant(name, other[:20].decode("latin-1"), replace(reply, body=other))
        case _:
            return None


NAMES = (*_OF_PLACES, "duplicate page", "BOM", "gzip cut", "truncated", "other body", "envelope", "quotes")
"""Every mutation; not every answer has a place for each."""

_WEIGHTS = {"drop": 3, "null": 3, "type swapped": 3, "rename": 2, "huge": 2, "negative": 2, "duplicate element": 2}
_DRAWN = tuple(name for name in NAMES for _ in range(_WEIGHTS.get(name, 1)))
_OF_BYTES = frozenset({"BOM", "gzip cut", "truncated", "other body"})


def mutate(reply: Reply, chance: Random) -> Mutant:
    """Return a mutant of an answer."""
    is_table = reply.body.lstrip().startswith(b"<")
    for _ in range(50):
        name = chance.choice(_DRAWN)
        if name in _OF_BYTES:
            mutant = _mutate_bytes(reply, name, chance)
        elif is_table:
            mutant = _mutate_table(reply, name, chance)
        elif name == "duplicate page":
            mutant = _duplicate_page(reply)
        elif name in _OF_PLACES:
            mutant = _mutate_json(reply, name, chance)
        else:
            mutant = None
        if mutant is not None and (mutant.reply.body != reply.body or mutant.reply.headers != reply.headers):
            return mutant
    other = _mutate_bytes(reply, "other body", chance)
    assert other is not None
    return other
