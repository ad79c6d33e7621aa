"""From rows as text to checked rows in a core table.

Here lives the one generic way: cast by declaration, check by pandera, set aside what fails, merge what is newer. What
must not: anything that knows one table. The invariant: rows read = rows merged or known + rows in quarantine with every
reason, and an older row never overwrites a newer one.

``read_rows`` types a batch; ``compare`` and ``held_tables`` read what the lake has of it; ``merge_rows`` and
``merge_aside`` write, inside a transaction that sees the lake as it was compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import literal
from marketplace_returns.lake.landing import Arrivals, of_batch
from marketplace_returns.lake.limits import beyond_limits
from marketplace_returns.lake.tables import LINEAGE, QUARANTINE, Column, Kind, Table
from marketplace_returns.money import exponent

TYPING = Path(__file__).parent / "typing"
ASKED_AT_ONCE_MAX = 1_000  # of so few rows, asking twice costs more than asking for every column
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
    """Ready a connection for a batch: the words of the typing files, the currencies it has met, a place for rows, and an empty ``aside``."""
    con.execute(_sql("macros"))
    con.execute("CREATE SCHEMA IF NOT EXISTS memory.polled")
    con.execute("CREATE TEMP TABLE IF NOT EXISTS minor_units (code VARCHAR, digits BIGINT, scale DECIMAL(6, 0))")
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE aside (
            shop VARCHAR, source VARCHAR, table_name VARCHAR, row_key VARCHAR, reason VARCHAR, payload_hash VARCHAR,
            raw_row VARCHAR, run_id VARCHAR
        )
        """
    )


@dataclass(frozen=True)
class TypedRows:
    """The rows of a batch for one table, in ``polled.good_<table>``.

    Attributes:
        source: whose objects they come from.
        count: how many are good.
        aside: how many went to ``aside``.
        low: the least value of the first key column, as text; empty without good rows.
        high: the greatest.
    """

    table: Table
    source: str
    count: int
    aside: int
    low: str
    high: str


@dataclass(frozen=True)
class Moves:
    """What of ``polled.good_<table>`` the lake has not, and has otherwise; ``polled.moved_<table>`` says which, unless all are new."""

    new: int
    changed: int
    all_new: bool = False


def read_rows(con: duckdb.DuckDBPyConnection, table: Table, source: str) -> TypedRows:
    """Type the rows of ``batch`` meant for a table: good ones into ``polled.good_<table>``, others into ``aside``.

    Reads and writes no lake. Of several good rows of one key the newest stays.
    """
    keys = [name for name in table.key if name != "shop"]
    good = f"polled.good_{table.name}"
    make = f"""
        CREATE OR REPLACE TABLE memory.{good} AS
        SELECT {_names(table)}, is_bad OR {beyond_limits(table)} AS is_doubtful FROM ({_cast_sql(table)})
    """
    con.execute(make)
    survey = f"""
        SELECT count(*), count(*) FILTER (is_doubtful), count(DISTINCT hash({", ".join(keys)})) FILTER (NOT is_doubtful),
            CAST(min({keys[0]}) AS VARCHAR), CAST(max({keys[0]}) AS VARCHAR)
        FROM {good}
    """
    ((rows, doubtful, distinct, low, high),) = con.execute(survey).fetchall()
    if doubtful and _has_money(table) and _learn_currencies(con, good):
        con.execute(make)
        ((rows, doubtful, distinct, low, high),) = con.execute(survey).fetchall()
    aside = _set_aside(con, table, source) if doubtful else 0
    count = rows - doubtful
    if distinct < count:
        ((repeated,),) = con.execute(
            f"""
            DELETE FROM {good} WHERE rowid NOT IN (
                SELECT rowid FROM {good}
                QUALIFY row_number() OVER (
                    PARTITION BY {", ".join(table.key)} ORDER BY {table.version} DESC, fetched_at DESC, payload_hash DESC
                ) = 1
            )
            """
        ).fetchall()
        count -= repeated
    return TypedRows(table, source, count, aside, low or "", high or "")


def compare(con: duckdb.DuckDBPyConnection, rows: TypedRows, *, shop: str) -> Moves:
    """Hold ``polled.good_<table>`` against the lake.

    A row that is there changes only when the new one is of the same or a newer version, was fetched no earlier, and says
    something else: ``fetched_at`` is when it was first seen to say what it says.
    """
    table = rows.table
    if not rows.count:
        return Moves(0, 0)
    lineage = {column.name for column in LINEAGE}
    said = [name for column in table.columns if (name := column.name) not in lineage and name not in table.key]
    differs = " OR ".join(f"came.{name} IS DISTINCT FROM kept.{name}" for name in said)
    keys = ", ".join(table.key)
    there = f"FROM {table.path} AS kept SEMI JOIN polled.good_{table.name} USING ({keys}) WHERE {_near(rows, shop)}"
    if rows.count > ASKED_AT_ONCE_MAX:
        # Most rows are new, and asking for the keys alone costs a fraction of asking for every column.
        ((known,),) = con.execute(f"SELECT count(*) {there}").fetchall()
        if not known:
            return Moves(rows.count, 0, all_new=True)
    ((known,),) = con.execute(
        f"CREATE OR REPLACE TABLE memory.polled.kept_{table.name} AS SELECT {_names(table)} {there}"
    ).fetchall()
    if not known:
        return Moves(rows.count, 0, all_new=True)
    con.execute(
        f"""
        CREATE OR REPLACE TABLE memory.polled.moved_{table.name} AS
        SELECT {", ".join(f"came.{name}" for name in table.key)}, kept.shop IS NULL AS is_new
        FROM polled.good_{table.name} AS came LEFT JOIN polled.kept_{table.name} AS kept USING ({keys})
        WHERE kept.shop IS NULL
            OR ((came.{table.version}, came.fetched_at) >= (kept.{table.version}, kept.fetched_at) AND ({differs}))
        """
    )
    ((new, changed),) = con.execute(
        f"SELECT count(*) FILTER (is_new), count(*) FILTER (NOT is_new) FROM polled.moved_{table.name}"
    ).fetchall()
    return Moves(int(new), int(changed))


def merge_rows(con: duckdb.DuckDBPyConnection, rows: TypedRows, moves: Moves, *, shop: str) -> int:
    """Bring what moved of ``polled.good_<table>`` into the lake, inside a transaction; return the rows inserted or changed."""
    table = rows.table
    good = f"SELECT {_names(table)} FROM polled.good_{table.name}"
    moved = f"FROM polled.moved_{table.name}"
    keys = ", ".join(table.key)
    if moves.new:
        # Apart from the changed rows, for DuckLake keeps a small INSERT in the catalog and writes a file for a MERGE.
        con.execute(
            f"""
            INSERT INTO {table.path} ({_names(table)})
            {good} {"" if moves.all_new else f"SEMI JOIN ({moved} WHERE is_new) AS moved USING ({keys})"}
            """
        )
    if moves.changed:
        same = " AND ".join(f"kept.{name} = came.{name}" for name in table.key)
        changes = ", ".join(
            f"{column.name} = came.{column.name}" for column in table.columns if column.name not in table.key
        )
        con.execute(
            f"""
            MERGE INTO {table.path} AS kept
            USING ({good} SEMI JOIN ({moved} WHERE NOT is_new) AS moved USING ({keys})) AS came
            ON {_near(rows, shop)} AND {same}
            WHEN MATCHED THEN UPDATE SET {changes}
            """
        )
    return moves.new + moves.changed


def set_aside_objects(con: duckdb.DuckDBPyConnection, arrivals: Arrivals, *, only_new: bool) -> int:
    """Add the objects of a batch that are not of the agreed form to ``aside``, as rows of their own table."""
    ((rows,),) = con.execute(
        f"""
        INSERT INTO aside BY NAME
        SELECT $shop AS shop, source, $table_name AS table_name, object_id AS row_key, fault AS reason,
               content_hash AS payload_hash, body AS raw_row, $run_id AS run_id
        FROM ({of_batch(arrivals, only_new=only_new)}) WHERE fault <> ''
        """,
        {"shop": arrivals.shop, "table_name": arrivals.kind.tables[0].name, "run_id": arrivals.run_id},
    ).fetchall()
    return int(rows)


def held_tables(con: duckdb.DuckDBPyConnection, *, shop: str) -> frozenset[tuple[str, str]]:
    """Return the sources and tables that quarantine holds rows of."""
    held = con.execute(f"SELECT DISTINCT shop, source, table_name FROM {QUARANTINE.path}").fetchall()
    return frozenset((source, name) for held_shop, source, name in held if held_shop == shop)


def merge_aside(
    con: duckdb.DuckDBPyConnection,
    typed: Sequence[TypedRows],
    held: frozenset[tuple[str, str]],
    *,
    shop: str,
    quarantined_at: datetime,
) -> None:
    """Keep ``aside`` in quarantine, each row once per payload, and let go of rows that came again and are good.

    Runs inside a transaction.
    """
    for rows in typed:
        if rows.count and (rows.source, rows.table.name) in held:
            con.execute(
                f"""
                DELETE FROM {QUARANTINE.path} WHERE shop = $shop AND source = $source AND table_name = $table_name
                AND row_key IN (SELECT {_row_key(rows.table)} FROM polled.good_{rows.table.name})
                """,
                {"shop": shop, "source": rows.source, "table_name": rows.table.name},
            )
    columns = ", ".join(column.name for column in QUARANTINE.columns)
    con.execute(
        f"""
        INSERT INTO {QUARANTINE.path} ({columns})
        SELECT {columns} FROM (SELECT *, $quarantined_at AS quarantined_at FROM aside)
        ANTI JOIN {QUARANTINE.path} AS kept USING ({", ".join(QUARANTINE.key)})
        """,
        {"quarantined_at": quarantined_at},
    )


def _near(rows: TypedRows, shop: str) -> str:
    """The SQL of which files of the lake can hold rows of these keys, in literals that the planner sees."""
    key = next(name for name in rows.table.key if name != "shop")
    return f"kept.shop = {literal(shop)} AND kept.{key} BETWEEN {literal(rows.low)} AND {literal(rows.high)}"


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


def _learn_currencies(con: duckdb.DuckDBPyConnection, good: str) -> bool:
    """Add the currencies that doubtful rows are in to ``minor_units``; say whether there were any that it had not."""
    strange = con.execute(
        f"SELECT DISTINCT currency FROM {good} WHERE is_doubtful AND currency NOT IN (SELECT code FROM minor_units)"
    ).fetchall()
    learned = False
    for (currency,) in strange:
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
                SELECT {scale}, {given} FROM ({_sql(table.name)}) AS came {units}
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
    if column.is_spare:
        return ""
    return f"({_given(column)} IS NOT NULL AND {column.name} IS NULL)" if _is_cast(column) else ""


def _reason(column: Column) -> str:
    """The SQL of why a row fails for this column; NULL when it does not."""
    name, given = column.name, _given(column)
    whens = [f"WHEN {given} IS NULL THEN '{name} is missing'"] if column.required else []
    if _is_cast(column) and not column.is_spare:
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


def _set_aside(con: duckdb.DuckDBPyConnection, table: Table, source: str) -> int:
    """Take the doubtful rows out of ``polled.good_<table>`` and add them to ``aside`` with every reason; return how many."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE doubtful AS
        SELECT row_number() OVER () AS doubt_no, * FROM ({_cast_sql(table)}) WHERE is_bad OR {beyond_limits(table)}
        """
    )
    reasons = ", ".join(_reason(column) for column in table.columns)
    raw_row = ", ".join(f"{column.name} := CAST({_given(column)} AS VARCHAR)" for column in table.columns)
    con.register("failed_checks", _failed_checks(con, table))
    ((rows,),) = con.execute(
        f"""
        INSERT INTO aside BY NAME
        WITH failed AS (
            SELECT doubt_no, array_to_string(list_filter([{reasons}], lambda why: why IS NOT NULL), '; ') AS why
            FROM doubtful WHERE is_bad
            UNION ALL
            SELECT doubt_no, why FROM failed_checks
        )
        SELECT
            shop, {literal(source)} AS source, '{table.name}' AS table_name, coalesce({_row_key(table)}, '') AS row_key, why AS reason, payload_hash,
            CAST(to_json(struct_pack({raw_row})) AS VARCHAR) AS raw_row, run_id
        FROM doubtful JOIN failed USING (doubt_no)
        """
    ).fetchall()
    con.unregister("failed_checks")
    con.execute(f"DELETE FROM polled.good_{table.name} WHERE is_doubtful")
    return int(rows)


def _failed_checks(con: duckdb.DuckDBPyConnection, table: Table) -> pa.Table:
    """Hold the rows of ``doubtful`` that could be cast against the pandera schema; return (doubt_no, why) of those it fails."""
    rows = con.sql(f"SELECT doubt_no, {_names(table)} FROM doubtful WHERE NOT is_bad").to_arrow_table()
    reasons: dict[int, list[str]] = {}
    if rows.num_rows:
        from marketplace_returns.lake.schemas import failures  # noqa: PLC0415 - see limits.py

        reasons = failures(table, rows)
    return pa.table(
        {
            "doubt_no": pa.array(list(reasons), pa.int64()),
            "why": pa.array(["; ".join(dict.fromkeys(found)) for found in reasons.values()], pa.string()),
        }
    )
