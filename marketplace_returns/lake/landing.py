"""Landing: every object as it came, once per content.

Here lives the way from decoded objects to ``landing.payloads`` and the personal fields beside it, the temporary table ``batch``
that typing reads, and the way back. What must not: what a field means. The invariants: a payload is what the source sent,
to the last digit of an amount, without the personal fields; (shop, source, object type, id, content) is there once, and
again where an object that does not tell its version went back to an earlier content: the last one landed is what is.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence, Set
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from marketplace_returns.lake.connection import literal
from marketplace_returns.lake.objects import ObjectKind
from marketplace_returns.lake.personal import NOTHING, RULES, order_of, split
from marketplace_returns.lake.personal_store import PersonalRow, object_name, order_name

# Sorted keys make the text canonical: the same content has the same hash, in whatever order its fields came.
_AS_CAME = msgspec.json.Encoder(order="sorted", decimal_format="number")
# DuckDB reads JSON numbers through a double; as text, an amount keeps every digit on its way to minor units.
_EXACT = msgspec.json.Encoder(decimal_format="string")
# Where a part is kept as JSON, its text is to be the same in whatever order its fields came, and when it is typed again.
_EXACT_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="string")

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # the escape itself, not a backslash before the letters
_BACK = msgspec.json.Decoder(float_hook=Decimal)

_YEARS = (1, 9999)  # between these an instant may be moved by the skew and into UTC
CLOCK_SKEW_MAX = timedelta(days=1)  # how far a source's clock may be ahead of ours

_TEXT = pa.string()
_INSTANT = pa.timestamp("us", tz="UTC")
_OF_STREAM = [("source", _TEXT), ("object_type", _TEXT)]
_LANDED = pa.schema(
    [
        *_OF_STREAM,
        ("object_id", _TEXT),
        ("body", pa.large_string()),
        ("exact", pa.large_string()),
        ("content_hash", _TEXT),
        ("fetched_at", _INSTANT),
        ("fault", _TEXT),
    ]
)
_SAME_CONTENT = "USING (source, object_type, object_id, content_hash)"


class Arrivals:
    """What a source gave since the last batch, already as text, so that the decoded objects need not be kept.

    Attributes:
        objects: how many came, repeats included.
        faulty: how many are not of the agreed form: they land, and go to quarantine whole.
        changed_until: the latest change any object told of.
        filled: the paths of lists that hold something in one of the objects.
    """

    def __init__(self, shop: str, kind: ObjectKind, run_id: str) -> None:
        self.shop = shop
        self.kind = kind
        self.run_id = run_id
        self.objects = 0
        self.faulty = 0
        self.changed_until: datetime | None = None
        self.filled: set[str] = set()
        self._exact = _EXACT_SORTED if kind.keeps_json else _EXACT
        self._changed_since: datetime | None = None
        self._all_told = bool(kind.changed_field)
        self._rule = RULES.get((kind.source, kind.name), NOTHING)
        self._landed: dict[tuple[str, str], tuple[str, bytes, bytes, str, datetime, str]] = {}
        self._personal: dict[str, PersonalRow] = {}
        self._orders: dict[tuple[str, str], str] = {}

    @property
    def changed_since(self) -> datetime | None:
        """The earliest change of the batch; None where an object did not tell."""
        return self._changed_since if self._all_told else None

    @property
    def contents(self) -> int:
        """How many different payloads are staged."""
        return len(self._landed)

    @property
    def landed(self) -> list[tuple[Any, ...]]:
        """The payloads, as the columns of ``landed`` after the stream's."""
        return list(self._landed.values())

    @property
    def personal(self) -> list[PersonalRow]:
        """The personal fields that were split off, of each object those that came last."""
        return list(self._personal.values())

    def add(self, objects: Sequence[Any], fetched_at: datetime, content_hash: str = "") -> None:
        """Take one page; ``content_hash`` is that of an object which has landed, for an erasure may have cut it down since."""
        self.objects += len(objects)
        for item in objects:
            fault = self.kind.fault_of(item, self.filled)
            is_object = isinstance(item, dict)
            body, personal = split(item, self._rule) if is_object else (item, {})
            object_id = self.kind.id_of(item) if is_object else ""
            text = _AS_CAME.encode(body)
            of_content = content_hash or hashlib.sha256(text).hexdigest()
            order_id = order_of(item, self._rule) if is_object else ""
            if (object_id, of_content) not in self._landed:
                exact = b"" if fault else _without_nul(self._exact.encode(body))
                self._landed[object_id, of_content] = (object_id, text, exact, of_content, fetched_at, fault)
                self._orders[object_id, of_content] = order_id
                self.faulty += bool(fault)
            if self.kind.changed_field:
                self._note_change(body.get(self.kind.changed_field) if is_object else None)
            if personal:
                self._personal[object_id] = PersonalRow(
                    self.shop,
                    self.kind.source,
                    self.kind.name,
                    object_id,
                    order_id,
                    _AS_CAME.encode(personal).decode(),
                    fetched_at,
                )

    def cut_down(self, erased: Set[str]) -> None:
        """Leave of the payloads that an erasure names only the fields that are read.

        They keep the hash of what came, so that the same content is known when it comes again.
        """
        for key, order_id in self._orders.items():
            object_id, text, exact, content_hash, fetched_at, fault = self._landed[key]
            own = object_name(self.kind.source, self.kind.name, object_id)
            if own in erased or (order_id and order_name(order_id) in erased):
                less = cut_down(self.kind, text)
                self._landed[key] = (object_id, less, exact, content_hash, fetched_at, fault)

    def _note_change(self, value: object) -> None:
        changed = _instant(value)
        if changed is None:
            self._all_told = False
            return
        self._changed_since = min(self._changed_since or changed, changed)
        self.changed_until = max(self.changed_until or changed, changed)


def _without_nul(exact: bytes) -> bytes:
    """Return JSON to be typed with U+FFFD for NUL, which ends a text of SQL wherever a row is looked for by it; the payload keeps it."""
    return _NUL.sub(rb"\1\\ufffd", exact) if b"\\u0000" in exact else exact


def cut_down(kind: ObjectKind, body: bytes | str) -> bytes:
    """Return a landed body with only the fields that are read: rows typed from it are the same."""
    return _AS_CAME.encode(kind.only_read(_BACK.decode(body)))


def stage(con: duckdb.DuckDBPyConnection, batches: Sequence[Arrivals]) -> None:
    """Show batches of several streams of a shop to the connection as the view ``landed``; writes no lake."""
    con.register("landed", pa.concat_tables(_columns(_LANDED, each.kind, each.landed) for each in batches))


def find_known(con: duckdb.DuckDBPyConnection, batches: Sequence[Arrivals]) -> dict[str, int]:
    """Make ``known``, what of ``landed`` the lake has with the same content; return how many those are, by stream.

    A content that says when it changed cannot have been fetched before. The bound is a literal, so that the files of
    older months stay unread: a poll costs the same after a year as on the first day. Of an object whose content does not
    say so, only the content that came last is known.
    """
    there = []
    if telling := [each for each in batches if each.kind.changed_field]:
        changed = [each.changed_since for each in telling]
        told = [since for since in changed if since is not None]
        since = f" AND fetched_at >= {literal(min(told) - CLOCK_SKEW_MAX)}" if len(told) == len(changed) else ""
        there.append(
            "SELECT source, object_type, object_id, content_hash "
            f"FROM lake.landing.payloads AS kept WHERE {_of_streams(telling)}{since}"
        )
    if silent := [each for each in batches if not each.kind.changed_field]:
        last = "max({'fetched_at': fetched_at, 'landed': rowid, 'content_hash': content_hash}).content_hash"
        there.append(
            f"SELECT source, object_type, object_id, {last} AS content_hash "
            f"FROM lake.landing.payloads AS kept WHERE {_of_streams(silent)} "
            "AND object_id IN (SELECT object_id FROM landed) GROUP BY source, object_type, object_id"
        )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT source, object_type, object_id, content_hash FROM landed
        SEMI JOIN ({" UNION ALL ".join(there)}) AS payloads {_SAME_CONTENT}
        """
    )
    counts = con.execute("SELECT source || '/' || object_type, count(*) FROM known GROUP BY ALL").fetchall()
    return dict.fromkeys((each.kind.stream for each in batches), 0) | dict(counts)


def make_batch(con: duckdb.DuckDBPyConnection, arrivals: Arrivals, *, only_new: bool) -> None:
    """Make ``batch``, what typing reads: the staged objects of the agreed form, with their fields as text in ``o``.

    Args:
        con: the connection that the arrivals are staged on.
        arrivals: the batch.
        only_new: leave out what is in ``known``.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE batch AS
        SELECT $shop AS shop, object_id, content_hash, fetched_at, $run_id AS run_id, from_json(exact, $shape) AS o
        FROM ({of_batch(arrivals, only_new=only_new)}) WHERE fault = ''
        """,
        {"shop": arrivals.shop, "run_id": arrivals.run_id, "shape": arrivals.kind.shape_json},
    )


def of_batch(arrivals: Arrivals, *, only_new: bool) -> str:
    """The SQL of one stream's rows of ``landed``, without what is ``known`` where ``only_new``."""
    kind = arrivals.kind
    known = f"ANTI JOIN known {_SAME_CONTENT}" if only_new else ""
    return f"FROM landed {known} WHERE source = {literal(kind.source)} AND object_type = {literal(kind.name)}"


def write(con: duckdb.DuckDBPyConnection, batches: Sequence[Arrivals]) -> None:
    """Append what is new of ``landed`` to the lake, inside a transaction."""
    first = batches[0]
    con.execute(
        f"""
        INSERT INTO lake.landing.payloads BY NAME
        SELECT $shop AS shop, source, object_type, object_id, content_hash, body, fetched_at, $run_id AS run_id
        FROM landed ANTI JOIN known {_SAME_CONTENT}
        ORDER BY content_hash -- of two contents of one page the greater is taken for the later one, as where rows are typed
        """,
        {"shop": first.shop, "run_id": first.run_id},
    )


def take_turns(con: duckdb.DuckDBPyConnection, shop: str, stream: str) -> list[int]:
    """Make ``landed_before``, every payload of a stream in the order they are to be typed; return how many in each turn.

    A turn has one payload of an object at most, the first ones first, so that each is held against the one before it. Of those
    fetched at one instant the order is that of landing: DuckLake numbers rows as they are inserted, and keeps the numbers.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE landed_before AS
        SELECT turn, row_number() OVER (PARTITION BY turn ORDER BY fetched_at, object_id) - 1 AS place, body, fetched_at,
            content_hash
        FROM (
            SELECT object_id, body, fetched_at, content_hash,
                row_number() OVER (PARTITION BY object_id ORDER BY fetched_at, rowid) - 1 AS turn
            FROM lake.landing.payloads AS kept WHERE {_of_stream(shop, stream)}
        )
        """
    )
    return [
        rows for (rows,) in con.execute("SELECT count(*) FROM landed_before GROUP BY turn ORDER BY turn").fetchall()
    ]


def of_turn(con: duckdb.DuckDBPyConnection, turn: int, first: int, limit: int) -> list[tuple[Any, datetime, str]]:
    """Return objects of a turn of ``landed_before``, as the source gave them, with when they were fetched and their hash."""
    rows = con.execute(
        "SELECT body, fetched_at, content_hash FROM landed_before WHERE turn = ? AND place >= ? AND place < ? ORDER BY place",
        [turn, first, first + limit],
    ).fetchall()
    return [(_BACK.decode(body), fetched_at, content_hash) for body, fetched_at, content_hash in rows]


def _of_streams(batches: Sequence[Arrivals]) -> str:
    return _of_stream(batches[0].shop, *(each.kind.stream for each in batches))


def _of_stream(shop: str, *streams: str) -> str:
    """Return the condition on ``kept``. Files are told apart by shop and time, so only these filters go down to them."""
    named = ", ".join(literal(stream) for stream in streams)
    return f"kept.shop = {literal(shop)} AND kept.source || '/' || kept.object_type IN ({named})"


def _columns(schema: pa.Schema, kind: ObjectKind, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Return rows of a kind by columns, with its source and type before them: from here on nothing is handled row by row."""
    own = list(schema)[len(_OF_STREAM) :]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(own)
    return pa.Table.from_arrays(
        [
            *(pa.repeat(pa.scalar(of, _TEXT), len(rows)) for of in (kind.source, kind.name)),
            *(
                _texts(column) if column and isinstance(column[0], bytes) else pa.array(column, field.type)
                for column, field in zip(columns, own, strict=True)
            ),
        ],
        schema=schema,
    )


def _texts(encoded: Sequence[bytes]) -> pa.Array:
    """Return UTF-8 texts as one Arrow array; in one copy, for payloads are the bulk of a batch."""
    ends = list(itertools.accumulate(map(len, encoded), initial=0))
    offsets = pa.array(ends, pa.int64()).buffers()[1]
    return pa.LargeStringArray.from_buffers(len(encoded), offsets, pa.py_buffer(b"".join(encoded)))


def _instant(value: object) -> datetime | None:
    """Return an aware instant; None when the field is not one."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo and _YEARS[0] < instant.year < _YEARS[1] else None
