"""From rows as text to checked rows in a core table.

Here lives the one generic way: cast by declaration, check by pandera, set aside what fails, merge what is newer. What
must not: anything that knows one table. The invariant: rows read = rows merged or known + rows in quarantine with every
reason, and an older row never overwrites a newer one.

``read_rows`` computes, outside of any transaction; ``merge_rows`` and ``merge_aside`` write, inside one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
from pandera.errors import SchemaErrors

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import literal
from marketplace_returns.lake.schemas import schema_of
from marketplace_returns.lake.tables import LINEAGE, QUARANTINE, Column, Kind, Table
from marketplace_returns.money import exponent

TYPING = Path(__file__).parent / "typing"
SHOWN_VALUE_MAX = 80  # characters of a bad value that a reason shows

# How a value is read from its text; NULL when the text does not say one. The text is never empty.
_CASTS = {
    Kind.INTEGER: (
        "CASE WHEN contains({text}, '.') OR contains({text}, 'e') "
        "THEN CASE WHEN regexp_full_match({text}, '-?[0-9]+[.]0*') THEN TRY_CAST({text} AS BIGINT) END "
        "ELSE TRY_CAST({text} AS BIGINT) END"
    ),
    # Only an amount whose digits fit the currency's minor unit is scaled, so nothing is ever rounded. 1E+2 is a number
    # in JSON, and rare: it is written out first. Up to 18 digits a decimal is read 200 times faster than above.
    Kind.MONEY: (
        "CASE WHEN length(rtrim(split_part("
        "CASE WHEN contains(lower({text}), 'e') THEN CAST(TRY_CAST({text} AS DECIMAL(38, 18)) AS VARCHAR) ELSE {text} END"
        ", '.', 2), '0')) <= digits "
        "THEN TRY_CAST(CAST(TRY_CAST({text} AS DECIMAL(18, 4)) AS DECIMAL(24, 4)) * scale AS BIGINT) END"
    ),
    Kind.DECIMAL: (
        "CASE WHEN length(split_part({text}, '.', 2)) <= 4 AND length({text}) <= 12 AND NOT contains(lower({text}), 'e') "
        "THEN CAST(TRY_CAST({text} AS DECIMAL(18, 4)) AS DECIMAL(38, 10)) ELSE TRY_CAST({text} AS DECIMAL(38, 10)) END"
    ),
    Kind.BOOLEAN: (
        "CASE WHEN lower({text}) IN ('true', 'yes', '1') THEN TRUE "
        "WHEN lower({text}) IN ('false', 'no', '0') THEN FALSE END"
    ),
    # Without a zone it is no instant: whoever reads a zone-less source knows the zone, the lake does not.
    Kind.INSTANT: (
        "CASE WHEN suffix({text}, 'Z') OR regexp_matches({text}, '[T ][0-9:.]+[+-][0-9]{{2}}(:?[0-9]{{2}})?$') "
        "THEN TRY_CAST({text} AS TIMESTAMPTZ) END"
    ),
    Kind.DATE: "TRY_CAST({text} AS DATE)",
}
_WHAT = {
    Kind.INTEGER: "is not a whole number",
    Kind.MONEY: "is not an amount",
    Kind.DECIMAL: "is not a number",
    Kind.BOOLEAN: "is not true or false",
    Kind.INSTANT: "is not an instant with a time zone",
    Kind.DATE: "is not a date",
}


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Make the words of the typing files known to a connection, and a place for the currencies it meets."""
    con.execute(_sql("macros"))
    con.execute("CREATE TEMP TABLE IF NOT EXISTS minor_units (code VARCHAR, digits BIGINT, scale DECIMAL(6, 0))")


def begin(con: duckdb.DuckDBPyConnection) -> None:
    """Empty ``aside``, the rows of a batch that go to quarantine."""
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE aside (
            shop VARCHAR, table_name VARCHAR, row_key VARCHAR, reason VARCHAR, payload_hash VARCHAR, raw_row VARCHAR,
            run_id VARCHAR
        )
        """
    )


def read_rows(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Type the rows of ``batch`` meant for a table: good ones into ``good_<table>``, others into ``aside``.

    Writes no lake. Of several good rows of one key the newest stays.
    """
    bad = _cast(con, table)
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE good_{table.name} AS
        SELECT batch_row, {_names(table)} FROM cast_{table.name} WHERE NOT is_bad
        QUALIFY row_number() OVER (
            PARTITION BY {", ".join(table.key)} ORDER BY {table.version} DESC, fetched_at DESC, payload_hash DESC
        ) = 1
        """
    )
    failed = _failed_checks(con, table)
    if bad or failed.num_rows:
        _set_aside(con, table, failed)


def merge_rows(con: duckdb.DuckDBPyConnection, table: Table, *, shop: str) -> int:
    """Bring ``good_<table>`` into the lake by key, inside a transaction; return the rows inserted or changed.

    A row that is there changes only when the new one is of the same or a newer version, was fetched no earlier, and says
    something else: ``fetched_at`` is when it was first seen to say what it says.
    """
    good = f"good_{table.name}"
    keys = [name for name in table.key if name != "shop"]
    ((low, high),) = con.execute(f"SELECT min({keys[0]}), max({keys[0]}) FROM {good}").fetchall()
    if low is None:
        return 0
    columns = [column.name for column in table.columns]
    lineage = {column.name for column in LINEAGE}
    said = [name for name in columns if name not in lineage and name not in table.key]
    differs = " OR ".join(f"kept.{name} IS DISTINCT FROM came.{name}" for name in said) or "FALSE"
    # The literals let the planner leave the files of other shops, and of ids far from these, unread.
    near = f"kept.shop = {literal(shop)} AND kept.{keys[0]} BETWEEN {literal(low)} AND {literal(high)}"
    same = " AND ".join(f"kept.{name} = came.{name}" for name in keys)
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE moved AS
        SELECT came.batch_row, kept.shop IS NULL AS is_new
        FROM {good} AS came LEFT JOIN {table.path} AS kept ON {near} AND {same}
        WHERE kept.shop IS NULL
            OR ((came.{table.version}, came.fetched_at) >= (kept.{table.version}, kept.fetched_at) AND ({differs}))
        """
    )
    ((new, changed),) = con.execute(
        "SELECT count(*) FILTER (is_new), count(*) FILTER (NOT is_new) FROM moved"
    ).fetchall()
    if new:
        # Apart from the changed rows, for DuckLake keeps a small INSERT in the catalog and writes a file for a MERGE.
        con.execute(
            f"""
            INSERT INTO {table.path} ({_names(table)})
            SELECT {_names(table)} FROM {good} SEMI JOIN (FROM moved WHERE is_new) USING (batch_row)
            """
        )
    if changed:
        con.execute(
            f"""
            MERGE INTO {table.path} AS kept
            USING (SELECT * FROM {good} SEMI JOIN (FROM moved WHERE NOT is_new) USING (batch_row)) AS came
            ON {near} AND {same}
            WHEN MATCHED THEN UPDATE SET {", ".join(f"{name} = came.{name}" for name in columns if name not in table.key)}
            """
        )
    return int(new) + int(changed)


def set_aside_objects(con: duckdb.DuckDBPyConnection, table: Table, *, shop: str, run_id: str) -> None:
    """Add the objects of ``landed`` that are not of the agreed form to ``aside``, as rows of their own table."""
    con.execute(
        """
        INSERT INTO aside BY NAME
        SELECT $shop AS shop, $table_name AS table_name, object_id AS row_key, fault AS reason,
               content_hash AS payload_hash, body AS raw_row, $run_id AS run_id
        FROM landed ANTI JOIN known USING (object_id, content_hash)
        WHERE fault <> ''
        """,
        {"shop": shop, "table_name": table.name, "run_id": run_id},
    )


def merge_aside(
    con: duckdb.DuckDBPyConnection, tables: Sequence[Table], *, shop: str, source: str, quarantined_at: datetime
) -> None:
    """Keep ``aside`` in quarantine, each row once per payload, and let go of rows that came again and are good.

    Runs inside a transaction.
    """
    held = con.execute(
        f"SELECT DISTINCT table_name FROM {QUARANTINE.path} WHERE shop = ? AND source = ?", [shop, source]
    ).fetchall()
    for table in tables:
        if (table.name,) in held:
            con.execute(
                f"""
                DELETE FROM {QUARANTINE.path} WHERE shop = $shop AND source = $source AND table_name = $table_name
                AND row_key IN (SELECT {_row_key(table)} FROM good_{table.name})
                """,
                {"shop": shop, "source": source, "table_name": table.name},
            )
    ((any_aside,),) = con.execute("SELECT count(*) > 0 FROM aside").fetchall()
    if not any_aside:
        return
    columns = ", ".join(column.name for column in QUARANTINE.columns)
    con.execute(
        f"""
        INSERT INTO {QUARANTINE.path} ({columns})
        SELECT {columns} FROM (SELECT *, $source AS source, $quarantined_at AS quarantined_at FROM aside)
        ANTI JOIN {QUARANTINE.path} AS kept USING ({", ".join(QUARANTINE.key)})
        """,
        {"source": source, "quarantined_at": quarantined_at},
    )


def _row_key(table: Table) -> str:
    """The SQL of a row's key in one text, without the shop."""
    return f"concat_ws('/', {', '.join(part for part in table.key if part != 'shop')})"


@cache
def _sql(name: str) -> str:
    return (TYPING / f"{name}.sql").read_text(encoding="utf-8")


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


def _has_money(table: Table) -> bool:
    return any(column.kind is Kind.MONEY for column in table.columns)


def _cast(con: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Make ``cast_<table>``; return how many of its rows are bad."""
    bad = 0
    for is_second_look in (False, True):
        con.execute(f"CREATE OR REPLACE TEMP TABLE cast_{table.name} AS {_cast_sql(table)}")
        strange = "list(DISTINCT currency) FILTER (is_bad AND digits IS NULL)" if _has_money(table) else "NULL"
        ((bad, currencies),) = con.execute(
            f"SELECT count(*) FILTER (is_bad), {strange} FROM cast_{table.name}"
        ).fetchall()
        if is_second_look or not _learn(con, currencies or []):
            break
    return int(bad)


def _learn(con: duckdb.DuckDBPyConnection, currencies: list[str]) -> bool:
    """Add those of the currencies that ISO 4217 has to ``minor_units``; say whether there were any."""
    learned = False
    for currency in currencies:
        try:
            digits = exponent(currency)
        except BadArgument:
            continue  # its rows go to quarantine and say so
        con.execute("INSERT INTO minor_units VALUES (?, ?, ?)", [currency, digits, 10**digits])
        learned = True
    return learned


@cache
def _cast_sql(table: Table) -> str:
    """Return the SELECT that casts what the table's typing file reads; ``is_bad`` marks the rows that cannot be."""
    given = ", ".join(f"{_text(column)} AS {_given(column)}" for column in table.columns)
    cast = ", ".join(
        f"{_CASTS[column.kind].format(text=_given(column))} AS {column.name}"
        for column in table.columns
        if _is_cast(column)
    )
    bad = " OR ".join(test for column in table.columns if (test := _bad_test(column)))
    units = "LEFT JOIN minor_units ON minor_units.code = came.currency" if _has_money(table) else ""
    scale = "digits, scale" if _has_money(table) else "NULL AS digits"
    return f"""
        SELECT *, {bad} AS is_bad FROM (
            SELECT *{", " if cast else ""}{cast} FROM (
                SELECT row_number() OVER () AS batch_row, {scale}, {given} FROM ({_sql(table.name)}) AS came {units}
            )
        )
    """


def _is_cast(column: Column) -> bool:
    """Whether a column is read from text; text stays as it is, and ``fetched_at`` is our own."""
    return column.kind in _CASTS and column.name != "fetched_at"


def _given(column: Column) -> str:
    """The column of ``cast_<table>`` that holds the value's text."""
    return f"given_{column.name}" if _is_cast(column) else column.name


def _text(column: Column) -> str:
    """The SQL of a value's text; an empty text is no value."""
    return "came.fetched_at" if column.name == "fetched_at" else f"nullif(came.{column.name}, '')"


def _bad_test(column: Column) -> str:
    """The SQL of whether a row fails for this column; empty when it cannot."""
    if column.required:
        return f"{column.name} IS NULL"
    return f"({_given(column)} IS NOT NULL AND {column.name} IS NULL)" if _is_cast(column) else ""


def _reason(column: Column) -> str:
    """The SQL of why a row fails for this column; NULL when it does not."""
    name, given = column.name, _given(column)
    whens = [f"WHEN {given} IS NULL THEN '{name} is missing'"] if column.required else []
    if _is_cast(column):
        shown = f"'{name} ''' || left({given}, {SHOWN_VALUE_MAX}) || ''' "
        failed = f"WHEN {given} IS NOT NULL AND {name} IS NULL"
        if column.kind is Kind.MONEY:
            whens.append(
                f"{failed} AND digits IS NULL "
                f"THEN '{name} has no scale: currency ''' || coalesce(currency, '') || ''' is not an ISO 4217 code'"
            )
            whens.append(
                f"{failed} AND TRY_CAST({given} AS DECIMAL(38, 18)) IS NOT NULL "
                f"THEN {shown}is finer than the minor unit of ' || currency || ', or too large'"
            )
        whens.append(f"{failed} THEN {shown}{_WHAT[column.kind]}'")
    return f"CASE {' '.join(whens)} END" if whens else "NULL"


def _failed_checks(con: duckdb.DuckDBPyConnection, table: Table) -> pa.Table:
    """Hold ``good_<table>`` against the pandera schema, take out the rows that fail; return their (batch_row, reason)."""
    reasons: dict[int, list[str]] = {}
    arrow = con.sql(f"FROM good_{table.name}").to_arrow_table()
    if arrow.num_rows:
        try:
            schema_of(table).validate(arrow.to_pandas(types_mapper=pd.ArrowDtype).set_index("batch_row"), lazy=True)
        except SchemaErrors as errors:
            for failure in errors.failure_cases.to_dict("records"):
                if failure["index"] is None:
                    raise  # not about a row: the declaration and the cast disagree
                reasons.setdefault(int(failure["index"]), []).append(f"{failure['column']} {failure['check']}")
            con.execute(f"DELETE FROM good_{table.name} WHERE list_contains(?, batch_row)", [list(reasons)])
    return pa.table(
        {
            "batch_row": pa.array(list(reasons), pa.int64()),
            "why": pa.array(["; ".join(dict.fromkeys(found)) for found in reasons.values()], pa.string()),
        }
    )


def _set_aside(con: duckdb.DuckDBPyConnection, table: Table, failed_checks: pa.Table) -> None:
    """Add the rows that could not be cast, and those that failed a check, to ``aside`` with every reason."""
    reasons = ", ".join(_reason(column) for column in table.columns)
    raw_row = ", ".join(f"{column.name} := CAST({_given(column)} AS VARCHAR)" for column in table.columns)
    con.register("failed_checks", failed_checks)
    con.execute(
        f"""
        INSERT INTO aside BY NAME
        WITH failed AS (
            SELECT batch_row, array_to_string(list_filter([{reasons}], lambda why: why IS NOT NULL), '; ') AS why
            FROM cast_{table.name} WHERE is_bad
            UNION ALL
            SELECT batch_row, why FROM failed_checks
        )
        SELECT
            shop, '{table.name}' AS table_name, coalesce({_row_key(table)}, '') AS row_key,
            string_agg(why, '; ') AS reason, payload_hash,
            any_value(CAST(to_json(struct_pack({raw_row})) AS VARCHAR)) AS raw_row, any_value(run_id) AS run_id
        FROM cast_{table.name} JOIN failed USING (batch_row)
        GROUP BY ALL
        """
    )
    con.unregister("failed_checks")
