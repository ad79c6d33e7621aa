"""A connection that plans each statement once in the life of a seed, not once at each execution.

The product makes its temporary tables and views anew in every pass, so DuckDB plans every statement anew, which is nearly
all of what a pass over 200 orders costs. Here the tables stay and are emptied, so the plans stay too. Not here: any meaning of
a statement. A statement with parameters is planned at each EXECUTE too, so values are written out, and those that are another at
each execution stand in a table. Invariant: a statement gives what it would give on a bare connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

_COMMENTS = re.compile(r"^(?:--[^\n]*\n\s*)+")
_TEMP = re.compile(r"CREATE OR REPLACE TEMP TABLE (\w+) AS\s+(.*)", re.DOTALL)
_TEMP_EMPTY = re.compile(r"CREATE OR REPLACE TEMP TABLE (\w+) \(")
_FRAME = re.compile(r"CREATE OR REPLACE TABLE (memory\.[\w.]+) AS SELECT \* FROM incoming_frame$")
_ASSIGNED = re.compile(r"CREATE OR REPLACE TABLE (memory\.(?:model|polled)\.\w+) AS\s+(.*)", re.DOTALL)
_COMPUTED = re.compile(r"CREATE TABLE (memory\.(?:model|reported)\.)computed AS\s+(.*)", re.DOTALL)
_RENAMED = re.compile(r"ALTER TABLE memory\.(model|reported)\.computed RENAME TO (\w+)$")
_ONCE = re.compile(r"CREATE (?:OR REPLACE )?(?:TEMP )?(?:SCHEMA|MACRO|VIEW|TEMP TABLE IF NOT EXISTS)\b")
_MODEL_VIEW = re.compile(r"CREATE (?:OR REPLACE )?VIEW (?:memory\.)?model\.")
_MERGE = re.compile(
    r"MERGE INTO (?P<table>[\w.]+) AS kept\s+USING (?P<came>\(.*\) AS came)\s+ON (?P<same>.*)\s+"
    r"WHEN MATCHED THEN UPDATE SET (?P<changes>.*)",
    re.DOTALL,
)
_PLANNED = re.compile(r"(?:SELECT|INSERT|DELETE|UPDATE|MERGE|WITH|FROM)\b")
_REPORTED = re.compile(r"\breported\.(returns|items|refunds)\b")
_BATCH = re.compile(r"\bbatch\b")
_NAMED = re.compile(r"\$([a-z_]\w*)")
_SHAPE = re.compile(r"\$shape\b")
_GIVEN = {"at": "TIMESTAMPTZ", "word": "VARCHAR", "words": "VARCHAR[]", "day": "DATE", "number": "BIGINT"}
_GIVEN_MAX = 6  # of each type, in one statement
_BOUNDS = re.compile(r"(?<=BETWEEN )('(?:[^']|'')*') AND ('(?:[^']|'')*')|(?<=fetched_at >= )TIMESTAMPTZ ('[^']*')")


class KeptPlans:
    """A connection of ``duckdb`` as the product uses one."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.bare = con
        self._plans: dict[str, tuple[str, int]] = {}  # by statement: its name, and the epoch it was made in
        self._met: set[str] = set()
        self._first: dict[str, dict[str, Any]] = {}  # by statement: the values it was first run with
        self._moving: dict[str, set[str]] = {}  # by statement: the values that were others since
        self._given: dict[str, str] = {}  # what stands in the table of values, as literals
        self._made: dict[str, None] = {}
        self._epoch = 0  # grows with everything that is made
        self._begun: tuple[int, int] | None = (
            None  # the epoch, and how many things were there, when the transaction began
        )
        self._computing = ""
        self._values: Any = None
        self._frame: pa.Table | None = None
        self._batches: dict[str, int] = {}
        self._batch = "batch"
        self._filled: dict[str, pa.Table] = {}
        self._reports: set[str] = set()  # of the reported views, those computed since they were last attached
        columns = ", ".join(
            f"CAST(NULL AS {kind}) AS {name}_{place}" for name, kind in _GIVEN.items() for place in range(_GIVEN_MAX)
        )
        con.execute(f"CREATE TEMP TABLE given AS SELECT {columns}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)

    def cursor(self) -> _Side:
        """Return this connection, with its plans, in the place of one beside it: only one may be used at a time."""
        return _Side(self)

    def register(self, name: str, frame: pa.Table) -> None:
        """Show a frame under a name."""
        if name == "incoming_frame":
            self._frame = frame
            return
        self._fill(f"temp.{name}", frame)

    def unregister(self, name: str) -> None:
        """Leave the frame: the next one takes its place."""

    def execute(self, sql: str, values: Any = None) -> Any:
        """Run a statement."""
        text = _COMMENTS.sub("", sql.strip())
        if text in {"BEGIN", "COMMIT", "ROLLBACK"}:
            return self._transact(text)
        if (
            found := _MERGE.fullmatch(text)
        ) is not None:  # a plan of it cannot be kept, of the same as an UPDATE it can
            text = "UPDATE {table} AS kept SET {changes} FROM {came} WHERE {same}".format(**found.groupdict())
        if _PLANNED.match(text):
            return self._run(self._as_reported(text), values)
        if (found := _TEMP.match(text)) is not None:
            if found[1] == "batch":  # its one column has another type for each kind of object
                self._batch = f"batch_{self._batches.setdefault(values['shape'], len(self._batches))}"
                return self._remake(f"temp.{self._batch}", found[2], values)
            return self._remake(f"temp.{found[1]}", _BATCH.sub(self._batch, found[2]), values)
        if (found := _TEMP_EMPTY.match(text)) is not None and found[1] in self._made:
            return self._run(f"DELETE FROM temp.{found[1]}", None)
        if found is not None:
            self._make(found[1])
            return self.bare.execute(text)
        if (found := _FRAME.match(text)) is not None and self._frame is not None:
            return self._fill(found[1], self._frame)
        if (found := _ASSIGNED.match(text)) is not None:
            return self._remake(found[1], _BATCH.sub(self._batch, self._as_reported(found[2])), values)
        if (found := _COMPUTED.match(text)) is not None:
            self._computing, self._values = found[2], values
            return None
        if (found := _RENAMED.match(text)) is not None:
            return self._compute(found[1], found[2])
        return self._define(text, values)

    def _define(self, text: str, values: Any) -> Any:
        """Make what is made once: schemas, words, views over the lake. The model's views are never asked, only computed."""
        if text.startswith("DROP SCHEMA IF EXISTS memory.reported"):
            self._reports.clear()
            return None
        if text.startswith(("DROP SCHEMA IF EXISTS memory.", "DROP VIEW memory.", "DROP TABLE memory.")):
            return None
        if _MODEL_VIEW.match(text):
            return None
        if not _ONCE.match(text):
            return self.bare.execute(text, values) if values is not None else self.bare.execute(text)
        if text in self._made:
            return None
        self._make(text)
        return self.bare.execute(text)

    def _make(self, name: str) -> None:
        self._made[name] = None
        self._epoch += 1

    def _transact(self, word: str) -> Any:
        done = self.bare.execute(word)
        if word == "BEGIN":
            self._begun = self._epoch, len(self._made)
            return done
        if word == "ROLLBACK":
            self._filled.clear()
            self._given.clear()
        if word == "ROLLBACK" and self._begun is not None:
            for name in list(self._made)[self._begun[1] :]:
                del self._made[name]
        self._begun = None
        return done

    def _compute(self, schema: str, name: str) -> Any:
        query = self._as_reported(self._computing) if schema == "model" else self._computing
        target = f"memory.{schema}.{name}" if schema == "model" else f"memory.reported.{name}__computed"
        done = self._remake(target, query, self._values)
        if schema == "reported":
            self._reports.add(name)
        return done

    def _as_reported(self, text: str) -> str:
        if not self._reports:
            return text
        return _REPORTED.sub(lambda found: found[0] + ("__computed" if found[1] in self._reports else ""), text)

    def _remake(self, table: str, query: str, values: Any) -> Any:
        """Let a table hold the rows of a query; the number of them is the result, as of a table that is made."""
        if table not in self._made:
            temp = "TEMP " if table.startswith("temp.") else ""
            self.bare.execute(f"CREATE {temp}TABLE {table.removeprefix('temp.')} AS {query}", *_given(values))
            self._make(table)
            return self.bare.execute(f"SELECT count(*) FROM {table}")
        self._run(f"DELETE FROM {table}", None)
        return self._run(f"INSERT INTO {table} BY NAME {query}", values)

    def _fill(self, table: str, frame: pa.Table) -> Any:
        if table not in self._made:
            self._make(table)
            temp = "TEMP " if table.startswith("temp.") else ""
            return self.bare.execute(f"CREATE {temp}TABLE {table.removeprefix('temp.')} AS SELECT * FROM frame")
        if frame.equals(self._filled.get(table)):
            return None
        if not table.startswith("temp."):  # the mappings: the same in nearly every pass
            self._filled[table] = frame
        self._run(f"DELETE FROM {table}", None)
        return self.bare.execute(f"INSERT INTO {table} SELECT * FROM frame")

    def _run(self, text: str, values: Any) -> Any:
        """Run a statement by its kept plan."""
        if "getvariable(" in text:  # a plan holds the variable's value
            return self.bare.execute(text)
        text, bound = _lifted(text, values)
        known = self._first.setdefault(text, bound)
        moving = self._moving.setdefault(text, set())
        moving.update(
            name for name, value in bound.items() if value != known[name] or isinstance(value, datetime | _Bound)
        )
        placed = self._placed({name: bound[name] for name in bound if name in moving and bound[name] is not None})
        written = _NAMED.sub(lambda found: placed.get(found[1]) or _written(found, bound), text)
        if written not in self._met:  # most of what is asked once, with an id in it, is asked only once
            self._met.add(written)
            return self.bare.execute(written)
        name, epoch = self._plans.get(written, ("", -1))
        if epoch != self._epoch:
            # A plan is of the tables that are there: it is made anew after a table was, and not while one is being made.
            if self._begun is not None and self._begun[0] != self._epoch:
                return self.bare.execute(written)
            name = name or f"plan_{len(self._plans)}"
            self.bare.execute(f"PREPARE {name} AS {written}")
            self._plans[written] = name, self._epoch
        return self.bare.execute(f"EXECUTE {name}")

    def _placed(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Put values into the table of values; return where each stands."""
        places: dict[str, str] = {}
        changes: dict[str, str] = {}
        for name, value in values.items():
            kind = _kind(value)
            column = f"{kind}_{sum(place.startswith(f'(SELECT {kind}_') for place in places.values())}"
            places[name] = f"(SELECT {column} FROM temp.given)"
            if self._given.get(column) != (told := _literal(value)):
                changes[column] = self._given[column] = told
        if changes:
            self.bare.execute(
                f"UPDATE temp.given SET {', '.join(f'{column} = {told}' for column, told in changes.items())}"
            )
        return places


class _Side:
    """A connection in the place of its cursor; the transaction, if any, is its own."""

    def __init__(self, con: KeptPlans) -> None:
        self._con = con

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def execute(self, sql: str, values: Any = None) -> Any:
        """Run a statement, all but the bounds of a transaction."""
        return None if sql in {"BEGIN", "COMMIT", "ROLLBACK"} else self._con.execute(sql, values)

    def close(self) -> None:
        """Stay open: it is still the connection."""


def _given(values: Any) -> list[Any]:
    return [values] if values else []


def _lifted(text: str, values: Any) -> tuple[str, dict[str, Any]]:
    """Return a statement whose values all have names, those among them that are written out as bounds of a search."""
    bound: dict[str, Any] = {}
    if isinstance(values, Mapping):
        if "shape" in values:
            text = _SHAPE.sub(lambda _: _literal(values["shape"]), text)
        used = set(_NAMED.findall(text))
        bound = {key: value for key, value in values.items() if key in used}
    elif isinstance(values, Sequence) and values:
        parts = text.split("?")
        assert len(parts) == len(values) + 1
        bound = {f"value_{number}": value for number, value in enumerate(values)}
        text = parts[0] + "".join(f"${name}{part}" for name, part in zip(bound, parts[1:], strict=True))

    def lift(found: re.Match[str]) -> str:
        names = []
        for literal in found.groups():
            if literal is not None:
                names.append(f"$bound_{len(bound)}")
                text = literal[1:-1].replace("''", "'")
                is_instant = found[0].startswith("TIMESTAMPTZ")
                bound[names[-1][1:]] = datetime.fromisoformat(text) if is_instant else _Bound(text)
        return " AND ".join(names)

    return _BOUNDS.sub(lift, text), bound


class _Bound(str):
    """A bound of a search, which is another each time."""

    __slots__ = ()


def _written(found: re.Match[str], bound: Mapping[str, Any]) -> str:
    """Return a value as it stands in the statement, typed; what is no value's name stays."""
    if found[1] not in bound:
        return found[0]
    value = bound[found[1]]
    match value:
        case int() if not isinstance(value, bool):
            return f"CAST({value} AS BIGINT)"
        case date():
            return f"DATE {_literal(value)}"
        case None:
            return "CAST(NULL AS VARCHAR)"
        case list() | tuple():
            return f"CAST({_literal(value)} AS VARCHAR[])"
        case _:
            return _literal(value)


def _kind(value: Any) -> str:
    match value:
        case datetime():
            return "at"
        case date():
            return "day"
        case int():
            return "number"
        case list() | tuple():
            return "words"
        case _:
            return "word"


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case date():
            return f"'{value.isoformat()}'"
        case timedelta():
            return f"INTERVAL '{value.total_seconds():f}' SECONDS"
        case list() | tuple():
            return f"[{', '.join(map(_literal, value))}]"
        case _:
            return "'" + str(value).replace("'", "''") + "'"
