"""The pandera schema of every core table, built from its declaration.

Here live the checks that every row passes before it is written: types, nulls, and the few business limits below. What
must not: how a row that fails is kept, or that a key is unique (``upsert``). The invariant: a schema says nothing that
the declaration does not, but for the limits named here; ``beyond_limits`` finds exactly the rows that fail a limit.
"""

from __future__ import annotations

from functools import cache

import pandas as pd
import pandera.pandas as pa_pandas
import pyarrow as pa

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

# Amounts that only ever go one way; what is not named here may have either sign (transactions, billing cycles).
NEVER_NEGATIVE = {
    "mirakl__orders": ("price_minor", "shipping_price_minor", "total_price_minor"),
    "mirakl__order_lines": ("quantity", "price_minor", "shipping_price_minor", "total_price_minor", "unit_price"),
    "mirakl__order_line_taxes": ("amount_minor",),
    "mirakl__refunds": ("amount_minor", "shipping_amount_minor", "tax_minor", "shipping_tax_minor"),
    "mirakl__refund_taxes": ("amount_minor",),
    "mirakl__cancelations": ("quantity", "amount_minor", "shipping_amount_minor", "tax_minor"),
    "mirakl__return_lines": ("quantity",),
    "mirakl__shipment_lines": ("quantity",),
    "mirakl__offers": ("quantity", "price_minor"),
    "reveni__return_items": ("quantity",),
    "peoplevox__despatches": ("quantity",),
    "peoplevox__returns": ("quantity",),
}
ONE_OF = {
    "mirakl__orders": {"order_tax_mode": ("TAX_INCLUDED", "TAX_EXCLUDED")},
    "mirakl__order_line_taxes": {"tax_kind": ("product", "shipping")},
    "mirakl__refund_taxes": {"tax_kind": ("product", "shipping")},
}


@cache
def schema_of(table: Table) -> pa_pandas.DataFrameSchema:
    """Return the pandera schema of a table, for frames with Arrow types (money is never a float there)."""
    return pa_pandas.DataFrameSchema(
        {column.name: _column(table, column) for column in table.columns},
        name=f"{table.schema}.{table.name}",
        description=table.meaning,
    )


def beyond_limits(table: Table) -> str:
    """Return the SQL of whether a typed row fails a limit of ``schema_of``; never NULL.

    A batch is asked in bulk by this, and pandera sees and words only the rows that it finds: a frame of every row would
    cost more than all the rest of an ingest.
    """
    tests = [f"{name} < 0" for name in NEVER_NEGATIVE.get(table.name, ())]
    for name, allowed in ONE_OF.get(table.name, {}).items():
        tests.append(f"{name} NOT IN ({', '.join(map(repr, allowed))})")
    return f"coalesce({' OR '.join(tests)}, FALSE)" if tests else "FALSE"


def _column(table: Table, column: Column) -> pa_pandas.Column:
    checks: list[pa_pandas.Check] = []
    if column.name in NEVER_NEGATIVE.get(table.name, ()):
        checks.append(pa_pandas.Check.ge(0, error="is negative"))
    one_of = ONE_OF.get(table.name, {}).get(column.name)
    if one_of:
        checks.append(pa_pandas.Check.isin(one_of, error=f"is none of {', '.join(one_of)}"))
    return pa_pandas.Column(
        pd.ArrowDtype(ARROW_TYPES[column.kind]),
        checks=checks,
        nullable=not column.required,
        description=column.meaning,
    )
