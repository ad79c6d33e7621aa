"""From rows as text to checked rows in a core table.

Here lives the one generic way: cast by declaration, check by pandera, set aside what fails, merge what is newer. What
must not: anything that knows one table. The invariant: rows read = rows merged or known + rows in quarantine with every
reason, and an older row never overwrites a newer one.

``read_rows`` computes, outside of any transaction; ``merge_rows`` writes, inside one.
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

# An amount as digits and a point, whatever way the source wrote it (1E+2 is a number in JSON).
_PLAIN = "(CASE WHEN contains(lower({value}), 'e') THEN CAST(TRY_CAST({value} AS DECIMAL(38, 18)) AS VARCHAR) ELSE {value} END)"
_CASTS = {
    Kind.TEXT: "{value}",
    Kind.JSON: "{value}",
    Kind.INTEGER: "CASE WHEN regexp_full_match({value}, '-?[0-9]+([.]0*)?') THEN TRY_CAST({value} AS BIGINT) END",
    # Only an amount whose digits fit the currency's minor unit is scaled, so nothing is ever rounded.
    Kind.MONEY: (
        "CASE WHEN regexp_full_match({plain}, '-?[0-9]{{1,16}}([.][0-9]*)?') "
        "AND length(rtrim(split_part({plain}, '.', 2), '0')) <= digits "
        "THEN TRY_CAST(TRY_CAST({plain} AS DECIMAL(24, 4)) * CAST(power(10, digits) AS DECIMAL(6, 0)) AS BIGINT) END"
    ),
    Kind.DECIMAL: "TRY_CAST({value} AS DECIMAL(38, 10))",
    Kind.BOOLEAN: (
        "CASE WHEN lower({value}) IN ('true', 'yes', '1') THEN TRUE "
        "WHEN lower({value}) IN ('false', 'no', '0') THEN FALSE END"
    ),
    # Without a zone it is no instant: whoever reads a zone-less source knows the zone, the lake does not.
    Kind.INSTANT: (
        "CASE WHEN regexp_matches({value}, '[0-9](Z|[+-][0-9]{{2}}:?([0-9]{{2}})?)$') "
        "THEN TRY_CAST({value} AS TIMESTAMPTZ) END"
    ),
    Kind.DATE: "TRY_CAST({value} AS DATE)",
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
    """Make the words of the typing files known to a connection."""
    con.execute(_sql("macros"))


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
    """Type the rows of ``batch`` meant for a table: good ones into ``good_<table>``, others into ``aside``; writes no lake."""
    name = table.name
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE read_{name} AS SELECT row_number() OVER () AS row_no, * FROM ({_sql(name)})"
    )
    _know_currencies(con, table)
    con.execute(f"CREATE OR REPLACE TEMP TABLE cast_{name} AS {_cast_sql(table)}")
    failed = _check(con, table)
    con.register("failed_checks", failed)
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE bad_{name} AS
        SELECT row_no, string_agg(reason, '; ') AS reason FROM (
            SELECT row_no, unnest(reasons) AS reason FROM cast_{name}
            UNION ALL
            SELECT row_no, reason FROM failed_checks
        ) GROUP BY row_no
        """
    )
    con.unregister("failed_checks")
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE good_{name} AS
        SELECT {_names(table)} FROM cast_{name} ANTI JOIN bad_{name} USING (row_no)
        QUALIFY row_number() OVER (
            PARTITION BY {", ".join(table.key)} ORDER BY {table.version} DESC, fetched_at DESC, payload_hash DESC
        ) = 1
        """
    )
    con.execute(
        f"""
        INSERT INTO aside BY NAME
        SELECT shop, '{name}' AS table_name, {_row_key(table)} AS row_key, string_agg(reason, '; ') AS reason,
               payload_hash, any_value(CAST(to_json(came) AS VARCHAR)) AS raw_row, any_value(run_id) AS run_id
        FROM read_{name} AS came JOIN bad_{name} USING (row_no)
        GROUP BY ALL
        """
    )


def merge_rows(con: duckdb.DuckDBPyConnection, table: Table, *, shop: str, stamp: bool) -> int:
    """Merge ``good_<table>`` into the lake by key, inside a transaction; return the rows inserted or changed.

    A row that is there changes only when the new one is of the same or a newer version, was fetched no earlier, and says
    something else. With ``stamp`` (a full snapshot) being seen again is something else.
    """
    good = f"good_{table.name}"
    first = next(name for name in table.key if name != "shop")
    ((low, high),) = con.execute(f"SELECT min({first}), max({first}) FROM {good}").fetchall()
    if low is None:
        return 0
    lineage = {column.name for column in LINEAGE}
    said = [column.name for column in table.columns if column.name not in lineage and column.name not in table.key]
    compared = [*said, "fetched_at"] if stamp else said
    differs = " OR ".join(f"kept.{name} IS DISTINCT FROM came.{name}" for name in compared) or "FALSE"
    columns = [column.name for column in table.columns]
    # The literals let the planner leave the files of other shops, and of ids far from these, unread.
    ((merged,),) = con.execute(
        f"""
        MERGE INTO {table.path} AS kept USING {good} AS came
        ON kept.shop = {literal(shop)} AND kept.{first} BETWEEN {literal(low)} AND {literal(high)}
            AND {" AND ".join(f"kept.{name} = came.{name}" for name in table.key if name != "shop")}
        WHEN MATCHED AND (came.{table.version}, came.fetched_at) >= (kept.{table.version}, kept.fetched_at) AND ({differs})
            THEN UPDATE SET {", ".join(f"{name} = came.{name}" for name in columns if name not in table.key)}
        WHEN NOT MATCHED THEN INSERT ({", ".join(columns)}) VALUES ({", ".join(f"came.{name}" for name in columns)})
        """
    ).fetchall()
    return int(merged)


def set_aside_objects(con: duckdb.DuckDBPyConnection, table: Table, *, shop: str, run_id: str) -> None:
    """Add the objects of ``landed`` that are not of the agreed form to ``aside``, as rows of their own table."""
    con.execute(
        """
        INSERT INTO aside BY NAME
        SELECT $shop AS shop, $table_name AS table_name, object_id AS row_key, fault AS reason,
               content_hash AS payload_hash, body AS raw_row, $run_id AS run_id
        FROM landed WHERE fault <> ''
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


def _know_currencies(con: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Make ``minor_units``: the currencies of the batch that ISO 4217 knows, with the digits of their minor unit."""
    found: list[tuple[str, int]] = []
    if _has_money(table):
        for (currency,) in con.execute(f"SELECT DISTINCT currency FROM read_{table.name}").fetchall():
            try:
                found.append((currency, exponent(currency)))
            except BadArgument:
                continue  # the rows say so themselves: see _reason
    units = pa.table(
        {"code": pa.array([c for c, _ in found], pa.string()), "digits": pa.array([d for _, d in found], pa.int64())}
    )
    con.register("arrow_units", units)
    con.execute("CREATE OR REPLACE TEMP TABLE minor_units AS SELECT code, digits FROM arrow_units")
    con.unregister("arrow_units")


def _has_money(table: Table) -> bool:
    return any(column.kind is Kind.MONEY for column in table.columns)


@cache
def _cast_sql(table: Table) -> str:
    """Return the SELECT that casts ``read_<table>`` by declaration and lists what fails in ``reasons``."""
    typed = ",\n".join(
        f"{_cast(column)} AS {column.name}, {_given(column)} AS given_{column.name}" for column in table.columns
    )
    reasons = ",\n".join(_reason(column) for column in table.columns)
    source = (
        f"read_{table.name} AS came LEFT JOIN minor_units ON minor_units.code = came.currency"
        if _has_money(table)
        else f"read_{table.name} AS came"
    )
    digits = "digits" if _has_money(table) else "NULL AS digits"
    return f"""
        SELECT row_no, {_names(table)}, list_filter([{reasons}], lambda reason: reason IS NOT NULL) AS reasons
        FROM (SELECT row_no, {digits}, {typed} FROM {source})
    """


def _given(column: Column) -> str:
    """The value as text; an empty text is no value."""
    if column.name == "fetched_at":
        return "CAST(came.fetched_at AS VARCHAR)"
    return f"nullif(CAST(came.{column.name} AS VARCHAR), '')"


def _cast(column: Column) -> str:
    """The SQL of the value as the declaration has it; NULL when the text does not say one."""
    if column.name == "fetched_at":
        return "came.fetched_at"
    value = _given(column)
    return _CASTS[column.kind].format(value=value, plain=_PLAIN.format(value=value))


def _reason(column: Column) -> str:
    """The SQL of why a row fails for this column; NULL when it does not."""
    name, given = column.name, f"given_{column.name}"
    missing = f"WHEN {given} IS NULL THEN '{name} is missing'" if column.required else ""
    if column.kind in (Kind.TEXT, Kind.JSON):
        return f"CASE {missing} END" if missing else "NULL"
    shown = f"'{name} ''' || left({given}, {SHOWN_VALUE_MAX}) || ''' "
    finer = ""
    if column.kind is Kind.MONEY:
        finer = (
            f"WHEN {given} IS NOT NULL AND {name} IS NULL AND digits IS NULL THEN "
            f"'{name} has no scale: currency ''' || coalesce(currency, '') || ''' is not an ISO 4217 code' "
            f"WHEN {given} IS NOT NULL AND {name} IS NULL AND TRY_CAST({given} AS DECIMAL(38, 18)) IS NOT NULL THEN "
            f"{shown}is finer than the minor unit of ' || currency "
        )
    return f"CASE {missing} {finer} WHEN {given} IS NOT NULL AND {name} IS NULL THEN {shown}{_WHAT[column.kind]}' END"


def _check(con: duckdb.DuckDBPyConnection, table: Table) -> pa.Table:
    """Hold the rows that could be cast against the table's pandera schema; return (row_no, reason) of each failure."""
    arrow = con.sql(
        f"""
        SELECT row_no, {_names(table)} FROM cast_{table.name} WHERE len(reasons) = 0
        QUALIFY row_number() OVER (
            PARTITION BY {", ".join(table.key)} ORDER BY {table.version} DESC, fetched_at DESC, payload_hash DESC
        ) = 1
        """
    ).to_arrow_table()
    frame = arrow.to_pandas(types_mapper=pd.ArrowDtype).set_index("row_no")
    numbers: list[int] = []
    reasons: list[str] = []
    try:
        schema_of(table).validate(frame, lazy=True)
    except SchemaErrors as errors:
        for failure in errors.failure_cases.to_dict("records"):
            if failure["index"] is None:
                raise  # not about a row: the declaration and the cast disagree
            numbers.append(int(failure["index"]))
            reasons.append(f"{failure['column']} {failure['check']}")
    return pa.table({"row_no": pa.array(numbers, pa.int64()), "reason": pa.array(reasons, pa.string())})
