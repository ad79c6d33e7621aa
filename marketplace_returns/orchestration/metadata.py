"""What the Dagster pages show of a table: its columns, a small preview, its numbers.

Here: the way from our declarations and query results to Dagster metadata. Not here: any query of a business thing. The
invariants: at most 20 rows and 100 kB of picture per event, numbers as numbers (so that they plot), no personal data.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg
from duckdb import DuckDBPyConnection

from marketplace_returns.lake.tables import Kind, Table
from marketplace_returns.money import to_decimal

if TYPE_CHECKING:
    Result = dg.MaterializeResult[None]
else:
    Result = dg.MaterializeResult  # Dagster reads the annotation and knows the bare class only

PREVIEW_ROWS_MAX = 20
PICTURE_BYTES_MAX = 100_000
_CELL_MAX = 120
_MARKDOWN = re.compile(r"^[-+#>]|[*<`\[\\]")


def column_schema(table: Table) -> dg.TableSchema:
    """Return the declared columns as Dagster shows them: type, meaning, whether a row must have it."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=column.kind.lake_type,
                description=as_markdown(column.meaning),
                constraints=dg.TableColumnConstraints(nullable=not column.required),
            )
            for column in table.columns
        ]
    )


def as_markdown(text: str) -> str:
    """Return a text as Dagster, which shows descriptions as Markdown, is to be given it: ``+``, ``*`` and ``<id>`` stay what they are."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def table_metadata(table: Table) -> dict[str, Any]:
    """Return what is known of a declared table before any run."""
    return {
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": table.path,
        "key": ", ".join(table.key),
    }


def row_count(con: DuckDBPyConnection, path: str, shop: str) -> int:
    """Count a shop's rows of a table or view; ``path`` is one of our own names."""
    ((rows,),) = con.execute(f"SELECT count(*) FROM {path} WHERE shop = ?", [shop]).fetchall()
    return int(rows)


def preview(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], money: Mapping[str, Kind] | None = None
) -> dg.TableMetadataValue:
    """Return at most 20 rows as a Dagster table; columns of kind MONEY are shown in major units beside their currency.

    ``rows`` must not hold personal data; the core tables, views and month-end tables do not.
    """
    kinds = money or {}
    currency_at = columns.index("currency") if "currency" in columns else -1
    records = [
        dg.TableRecord(
            {
                name: _cell(value, str(row[currency_at]) if kinds.get(name) is Kind.MONEY and currency_at >= 0 else "")
                for name, value in zip(columns, row, strict=True)
            }
        )
        for row in rows[:PREVIEW_ROWS_MAX]
    ]
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in columns])
    return dg.MetadataValue.table(records=records, schema=schema)


def picture(png: bytes, caption: str) -> dg.MarkdownMetadataValue | None:
    """Return a PNG as a picture in the page; None when it is larger than an event should hold."""
    if not png or len(png) > PICTURE_BYTES_MAX:
        return None
    return dg.MetadataValue.md(f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _cell(value: Any, currency: str) -> str | int | bool | None:
    if currency and isinstance(value, int):
        return str(to_decimal(value, currency))
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    text = f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
    return text if len(text) <= _CELL_MAX else text[: _CELL_MAX - 1] + "…"
