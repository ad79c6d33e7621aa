"""The limits as pandera holds them and as the lake asks for them in bulk are the same."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from pandera.errors import SchemaErrors

from marketplace_returns.lake.limits import (
    COUNTED_OUT,
    NAME_CHARACTERS_MAX,
    NEVER_NEGATIVE,
    ONE_OF,
    UNITS_MAX,
    beyond_limits,
    names_of,
)
from marketplace_returns.lake.schemas import ARROW_TYPES, schema_of
from marketplace_returns.lake.tables import CORE_TABLES, Kind, Table
from marketplace_returns.lanes.plan import LATE_LABEL, NATURAL_KEY_MAX

SEEN = datetime(2026, 10, 1, tzinfo=UTC)
GOOD: dict[Kind, Any] = {
    Kind.TEXT: "x",
    Kind.JSON: "{}",
    Kind.INTEGER: 1,
    Kind.MONEY: 1,
    Kind.DECIMAL: 1,
    Kind.BOOLEAN: True,
    Kind.INSTANT: SEEN,
    Kind.DATE: SEEN.date(),
}


def rows_around_the_limits(table: Table) -> Iterator[dict[str, Any]]:
    """A good row, and for each limit the rows just inside and outside of it, and without a value where that may be."""
    good = {column.name: GOOD[column.kind] for column in table.columns}
    good |= {name: allowed[0] for name, allowed in ONE_OF.get(table.name, {}).items()}
    yield good
    for name in NEVER_NEGATIVE.get(table.name, ()):
        yield from (good | {name: value} for value in (0, -1, -(10**12)))
        if not table.column(name).required:
            yield good | {name: None}
    for name in COUNTED_OUT.get(table.name, ()):
        yield from (good | {name: value} for value in (UNITS_MAX, UNITS_MAX + 1, 10**12))
    for name in set(names_of(table)) - set(ONE_OF.get(table.name, ())):
        yield from (
            good | {name: letter * count}
            for letter in "xé"
            for count in (NAME_CHARACTERS_MAX, NAME_CHARACTERS_MAX + 1, 20_000)
        )
    for name, allowed in ONE_OF.get(table.name, {}).items():
        yield from (good | {name: value} for value in (*allowed, "", "another", allowed[0].swapcase()))


@pytest.mark.parametrize("table", CORE_TABLES, ids=lambda table: table.name)
def test_the_bulk_question_finds_exactly_the_rows_that_pandera_fails(table: Table) -> None:
    schema = pa.schema([(column.name, ARROW_TYPES[column.kind]) for column in table.columns])
    rows = pa.Table.from_pylist(list(rows_around_the_limits(table)), schema=schema)
    failed: set[int] = set()
    try:
        schema_of(table).validate(rows.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except SchemaErrors as errors:
        failed = {int(index) for index in errors.failure_cases["index"]}
    with duckdb.connect() as con:
        con.register("rows", rows)
        found = con.execute(f"SELECT {beyond_limits(table)} FROM rows").fetchall()
    assert {number for number, (is_beyond,) in enumerate(found) if is_beyond} == failed
    assert failed


def test_the_longest_names_make_a_natural_key() -> None:
    assert 3 * NAME_CHARACTERS_MAX + len("@2026-10-01T00:00:00.000000+00:00" + LATE_LABEL) <= NATURAL_KEY_MAX


def test_limits_name_columns_that_are_there() -> None:
    by_name = {table.name: {column.name for column in table.columns} for table in CORE_TABLES}
    for name, columns in [
        *NEVER_NEGATIVE.items(),
        *COUNTED_OUT.items(),
        *((name, tuple(of)) for name, of in ONE_OF.items()),
    ]:
        assert set(columns) <= by_name[name]
