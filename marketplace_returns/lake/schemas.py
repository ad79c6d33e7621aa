"""The pandera schema of every core table, built from its declaration.

Here live the checks that every row passes before it is written: types, nulls, and the few business limits. What
must not: how a row that fails is kept, or that a key is unique (``upsert``). The invariant: a schema says nothing that
the declaration does not, but for ``limits``.
"""

from __future__ import annotations

from functools import cache

import pandas as pd
import pandera.pandas as pa_pandas
import pyarrow as pa
from pandera.errors import SchemaErrors

from marketplace_returns.lake.limits import (
    COUNTED_OUT,
    NAME_CHARACTERS_MAX,
    NEVER_NEGATIVE,
    ONE_OF,
    UNITS_MAX,
    names_of,
)
from marketplace_returns.lake.tables import Column, Kind, Table

ARROW_TYPES: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.MONEY: pa.int64(),
    Kind.DECIMAL: pa.decimal128(38, 10),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.DATE: pa.date32(),
    Kind.JSON: pa.string(),
}


@cache
def schema_of(table: Table) -> pa_pandas.DataFrameSchema:
    """Return the pandera schema of a table, for frames with Arrow types (money is never a float there)."""
    return pa_pandas.DataFrameSchema(
        {column.name: _column(table, column) for column in table.columns},
        name=f"{table.schema}.{table.name}",
        description=table.meaning,
    )


def failures(table: Table, rows: pa.Table) -> dict[int, list[str]]:
    """Hold rows against the schema of their table; return, by ``doubt_no``, what each failing row fails."""
    reasons: dict[int, list[str]] = {}
    try:
        schema_of(table).validate(rows.to_pandas(types_mapper=pd.ArrowDtype).set_index("doubt_no"), lazy=True)
    except SchemaErrors as errors:
        for failure in errors.failure_cases.to_dict("records"):
            if failure["index"] is None:
                raise  # not about a row: the declaration and the cast disagree
            reasons.setdefault(int(failure["index"]), []).append(f"{failure['column']} {failure['check']}")
    return reasons


def _column(table: Table, column: Column) -> pa_pandas.Column:
    checks: list[pa_pandas.Check] = []
    if column.name in NEVER_NEGATIVE.get(table.name, ()):
        checks.append(pa_pandas.Check.ge(0, error="is negative"))
    if column.name in COUNTED_OUT.get(table.name, ()):
        checks.append(pa_pandas.Check.le(UNITS_MAX, error=f"is more than {UNITS_MAX:,} units"))
    if column.name in names_of(table):
        longest = NAME_CHARACTERS_MAX
        checks.append(pa_pandas.Check.str_length(max_value=longest, error=f"is longer than {longest} characters"))
    one_of = ONE_OF.get(table.name, {}).get(column.name)
    if one_of:
        checks.append(pa_pandas.Check.isin(one_of, error=f"is none of {', '.join(one_of)}"))
    return pa_pandas.Column(
        pd.ArrowDtype(ARROW_TYPES[column.kind]),
        checks=checks,
        nullable=not column.required,
        description=column.meaning,
    )
