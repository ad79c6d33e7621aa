"""Landing: every object as it came, once per content.

Here lives the way from decoded objects to ``landing.payloads`` and ``landing.personal``, the temporary table ``batch``
that typing reads, and the way back. What must not: what a field means. The invariants: a payload is what the source sent,
to the last digit of an amount, without the personal fields; (shop, source, object type, id, content) is there once, and
again where an object that does not tell its version went back to an earlier content: the last one landed is what is.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from marketplace_returns.lake.connection import literal
from marketplace_returns.lake.objects import ObjectKind
from marketplace_returns.lake.personal import NOTHING, RULES, split

# Sorted keys make the text canonical: the same content has the same hash, in whatever order its fields came.
_AS_CAME = msgspec.json.Encoder(order="sorted", decimal_format="number")
# DuckDB reads JSON numbers through a double; as text, an amount keeps every digit on its way to minor units.
_EXACT = msgspec.json.Encoder(decimal_format="string")
# Where a part is kept as JSON, its text is to be the same in whatever order its fields came, and when it is typed again.
_EXACT_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="string")

_BACK = msgspec.json.Decoder(float_hook=Decimal)

_YEARS = (1, 9999)  # between these an instant may be moved by the skew and into UTC
CLOCK_SKEW_MAX = timedelta(days=1)  # how far a source's clock may be ahead of ours

_TEXT = pa.string()
_INSTANT = pa.timestamp("us", tz="UTC")
_LANDED = pa.schema(
    [
        ("object_id", _TEXT),
        ("body", pa.large_string()),
        ("exact", pa.large_string()),
        ("content_hash", _TEXT),
        ("fetched_at", _INSTANT),
        ("fault", _TEXT),
    ]
)
_PERSONAL = pa.schema(
    [("object_id", _TEXT), ("fields", pa.large_string()), ("content_hash", _TEXT), ("fetched_at", _INSTANT)]
)


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
        self._personal: dict[tuple[str, str], tuple[str, bytes, str, datetime]] = {}

    @property
    def changed_since(self) -> datetime | None:
        """The earliest change of the batch; None where an object did not tell."""
        return self._changed_since if self._all_told else None

    @property
    def contents(self) -> int:
        """How many different payloads are staged."""
        return len(self._landed)

    @property
    def has_personal(self) -> bool:
        """Whether any personal field was split off."""
        return bool(self._personal)

    def add(self, objects: Sequence[Any], fetched_at: datetime) -> None:
        """Take one page."""
        self.objects += len(objects)
        for item in objects:
            fault = self.kind.fault_of(item, self.filled)
            is_object = isinstance(item, dict)
            body, personal = split(item, self._rule) if is_object else (item, {})
            object_id = self.kind.id_of(item) if is_object else ""
            text = _AS_CAME.encode(body)
            content_hash = hashlib.sha256(text).hexdigest()
            if (object_id, content_hash) not in self._landed:
                exact = b"" if fault else self._exact.encode(body)
                self._landed[object_id, content_hash] = (object_id, text, exact, content_hash, fetched_at, fault)
                self.faulty += bool(fault)
            if self.kind.changed_field:
                self._note_change(body.get(self.kind.changed_field) if is_object else None)
            if personal:
                fields = _AS_CAME.encode(personal)
                fields_hash = hashlib.sha256(fields).hexdigest()
                self._personal.setdefault((object_id, fields_hash), (object_id, fields, fields_hash, fetched_at))

    def stage(self, con: duckdb.DuckDBPyConnection) -> None:
        """Show the batch to the connection as the views ``landed`` and ``personal``; writes no lake."""
        con.register("landed", _columns(_LANDED, list(self._landed.values())))
        con.register("personal", _columns(_PERSONAL, list(self._personal.values())))

    def _note_change(self, value: object) -> None:
        changed = _instant(value)
        if changed is None:
            self._all_told = False
            return
        self._changed_since = min(self._changed_since or changed, changed)
        self.changed_until = max(self.changed_until or changed, changed)


def find_known(con: duckdb.DuckDBPyConnection, arrivals: Arrivals) -> int:
    """Make ``known``, what of ``landed`` the lake has with the same content; return how many those are.

    A content that says when it changed cannot have been fetched before. The bound is a literal, so that the files of
    older months stay unread: a poll costs the same after a year as on the first day. Of an object whose content does not
    say so, only the content that came last is known.
    """
    changed = arrivals.changed_since
    since = "" if changed is None else f" AND fetched_at >= {literal(changed - CLOCK_SKEW_MAX)}"
    payloads = f"FROM lake.landing.payloads AS kept WHERE {_same_stream(arrivals)}{since}"
    there = f"SELECT object_id, content_hash {payloads}"
    if not arrivals.kind.changed_field:
        last = "max({'fetched_at': fetched_at, 'landed': rowid, 'content_hash': content_hash}).content_hash"
        there = (
            f"SELECT object_id, {last} AS content_hash {payloads} "
            "AND object_id IN (SELECT object_id FROM landed) GROUP BY object_id"
        )
    return _count(
        con,
        f"""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT object_id, content_hash FROM landed SEMI JOIN ({there}) AS payloads USING (object_id, content_hash)
        """,
    )


def find_known_personal(con: duckdb.DuckDBPyConnection, arrivals: Arrivals) -> None:
    """Make ``known_personal``, what of ``personal`` the lake has already."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known_personal AS
        SELECT object_id, content_hash FROM personal
        SEMI JOIN (
            SELECT object_id, content_hash FROM lake.landing.personal AS kept WHERE {_same_stream(arrivals)}
        ) AS kept_personal USING (object_id, content_hash)
        """
    )


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
        FROM landed {"ANTI JOIN known USING (object_id, content_hash)" if only_new else ""}
        WHERE fault = ''
        """,
        {"shop": arrivals.shop, "run_id": arrivals.run_id, "shape": arrivals.kind.shape_json},
    )


def write(con: duckdb.DuckDBPyConnection, arrivals: Arrivals) -> int:
    """Append what is new of ``landed`` and ``personal`` to the lake, inside a transaction; return the new payloads."""
    labels = {"shop": arrivals.shop, "source": arrivals.kind.source, "object_type": arrivals.kind.name}
    new = _count(
        con,
        """
        INSERT INTO lake.landing.payloads BY NAME
        SELECT $shop AS shop, $source AS source, $object_type AS object_type, object_id, content_hash, body, fetched_at,
               $run_id AS run_id
        FROM landed ANTI JOIN known USING (object_id, content_hash)
        ORDER BY content_hash -- of two contents of one page the greater is taken for the later one, as where rows are typed
        """,
        labels | {"run_id": arrivals.run_id},
    )
    if arrivals.has_personal:
        con.execute(
            """
            INSERT INTO lake.landing.personal BY NAME
            SELECT $shop AS shop, $source AS source, $object_type AS object_type, object_id, content_hash, fields, fetched_at
            FROM personal ANTI JOIN known_personal USING (object_id, content_hash)
            """,
            labels,
        )
    return new


def take_turns(con: duckdb.DuckDBPyConnection, shop: str, source: str, object_type: str) -> list[int]:
    """Make ``landed_before``, every payload of a stream in the order they are to be typed; return how many in each turn.

    A turn has one payload of an object at most, the first ones first, so that each is held against the one before it. Of those
    fetched at one instant the order is that of landing: DuckLake numbers rows as they are inserted, and keeps the numbers.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE landed_before AS
        SELECT turn, row_number() OVER (PARTITION BY turn ORDER BY fetched_at, object_id) - 1 AS place, body, fetched_at
        FROM (
            SELECT object_id, body, fetched_at,
                row_number() OVER (PARTITION BY object_id ORDER BY fetched_at, rowid) - 1 AS turn
            FROM lake.landing.payloads AS kept WHERE {_of_stream(shop, source, object_type)}
        )
        """
    )
    return [
        rows for (rows,) in con.execute("SELECT count(*) FROM landed_before GROUP BY turn ORDER BY turn").fetchall()
    ]


def of_turn(con: duckdb.DuckDBPyConnection, turn: int, first: int, limit: int) -> list[tuple[Any, datetime]]:
    """Return objects of a turn of ``landed_before``, as the source gave them, with when they were fetched."""
    rows = con.execute(
        "SELECT body, fetched_at FROM landed_before WHERE turn = ? AND place >= ? AND place < ? ORDER BY place",
        [turn, first, first + limit],
    ).fetchall()
    return [(_BACK.decode(body), fetched_at) for body, fetched_at in rows]


def _count(con: duckdb.DuckDBPyConnection, statement: str, values: dict[str, str] | None = None) -> int:
    """Run a statement that makes rows; return how many."""
    ((rows,),) = con.execute(statement, values).fetchall()
    return int(rows)


def _same_stream(arrivals: Arrivals) -> str:
    return _of_stream(arrivals.shop, arrivals.kind.source, arrivals.kind.name)


def _of_stream(shop: str, source: str, object_type: str) -> str:
    """Return the condition on ``kept``. Files are told apart by shop and time, so only these filters go down to them."""
    return (
        f"kept.shop = {literal(shop)} AND kept.source || '/' || kept.object_type = {literal(f'{source}/{object_type}')}"
    )


def _columns(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    """Return rows by columns: from here on nothing is handled row by row."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [
            _texts(column) if column and isinstance(column[0], bytes) else pa.array(column, field.type)
            for column, field in zip(columns, schema, strict=True)
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
