"""Writes the month-end pack: a CSV per table, one workbook, one page, journals, and a manifest with the hash of every file.

Here: how a declared table becomes a file (plain decimals, ISO dates, safe cells, one order of rows). Not here: what is in
a table, or who signs it. The invariant: the same month of the lake gives byte-identical CSVs, and every amount is exact:
minor units become decimals by shifting the point, never through a float.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import duckdb
import msgspec

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import literal, snapshot_of
from marketplace_returns.lake.tables import Kind, Table
from marketplace_returns.ledger.periods import FINAL, Period
from marketplace_returns.model import statement
from marketplace_returns.money import exponent
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import PACKAGE, ensure_tables
from marketplace_returns.reconciliation.close_page import close_page
from marketplace_returns.reconciliation.evidence import MANIFEST, MadeWith, Proof
from marketplace_returns.reconciliation.invariants import INVARIANTS, CheckResult
from marketplace_returns.reconciliation.journals import write_journals
from marketplace_returns.reconciliation.metrics import figures, month_metrics
from marketplace_returns.reconciliation.pictures import month_pictures
from marketplace_returns.reconciliation.tables import PACK_TABLES, SIGN_OFF, PackTable, kind_of
from marketplace_returns.reconciliation.workbook import Workbook

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake
    from marketplace_returns.mappings import LedgerAccount

WORKBOOK: Final = "month_end.xlsx"
PAGE: Final = "close.html"
_UNSAFE_FIRST: Final = "'=', '+', '-', '@', chr(9), chr(13)"
_HASH_CHUNK_BYTES: Final = 1 << 20
_PROVEN, _VARIANCE, _NO_DATA = "PROVEN", "VARIANCE", "NO DATA"


@dataclass(frozen=True, slots=True)
class PackFile:
    """One file of the pack; ``rows`` is 0 for workbook and page."""

    name: str
    sha256: str
    size_bytes: int
    rows: int


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the pack holds; written as ``manifest.json``. ``lake_snapshot`` is the newest that was read: of signed months, theirs.

    ``made_with`` has no entry for a month that was signed before it was written down.
    """

    month: str
    shops: tuple[str, ...]
    lake_snapshot: int
    files: tuple[PackFile, ...]
    proofs: tuple[Proof, ...]
    made_with: tuple[MadeWith, ...] = ()


def export(
    lake: Lake,
    con: DuckDBPyConnection,
    shops: Sequence[str],
    month: Month,
    out_dir: Path,
    *,
    accounts: Sequence[LedgerAccount],
    periods: Mapping[str, Period],
    results: Mapping[str, Sequence[CheckResult]],
    date_formats: Mapping[str, str] = MappingProxyType({}),
    made_with: Sequence[MadeWith] = (),
) -> Manifest:
    """Write the pack of closed months into a folder, and return its manifest.

    Args:
        lake: gets the month-end tables it lacks.
        con: a connection that has been through ``close.stage``.
        shops: names of the shops whose month is exported, all into the same files.
        month: the accounting month.
        out_dir: folder of the files; made where it is not there, files of the same name are replaced.
        accounts: our accounts as each accounting system knows them; a system without any gets no journals.
        periods: the state of each shop's month; a signed month is read as it was closed, whatever came since.
        results: the proofs of each shop (``check_month``), for the cover sheet and the manifest.
        date_formats: how each accounting system reads dates (``write_journals``).
        made_with: what each shop's month was made with, for the manifest, the cover and the page.

    Raises:
        BadArgument: no shop, or a folder that is a file.
        BadMapping, ContractBroken: as ``write_journals``.
    """
    if not shops:
        raise BadArgument("no shop to export: name at least one shop of the settings")
    if out_dir.exists() and not out_dir.is_dir():
        raise BadArgument(f"{out_dir} is a file: give a folder for the month-end pack")
    out_dir.mkdir(parents=True, exist_ok=True)
    ensure_tables(lake, con)
    names = tuple(sorted(shops))
    exported = (*show_month(con, names, month, periods), SIGN_OFF)
    files = [_write_csv(con, pack_table, out_dir) for pack_table in exported]
    proofs = tuple(
        Proof(shop, result.id, _word(result), result.message) for shop in names for result in results.get(shop, ())
    )
    said = [(proof.shop, proof.id, proof.result, proof.message) for proof in proofs]
    pictures = {shop: month_pictures(con, shop, month) for shop in names}
    named = {each.shop: str(each) for each in made_with}
    metrics = {shop: figures(month_metrics(con, shop, month)) for shop in names}
    workbook = out_dir / WORKBOOK
    with Workbook(workbook, month) as book:
        book.add_cover([f"{shop} ({named[shop]})" if shop in named else shop for shop in names], said, metrics)
        book.add_pictures(pictures)
        for pack_table in exported:
            book.add_table(con, pack_table, pack_query(pack_table))
    page = out_dir / PAGE
    written = close_page(con, names, month, proofs=said, metrics=metrics, pictures=pictures, made_with=named)
    page.write_text(written, encoding="utf-8")
    files += [_described(workbook, 0, out_dir), _described(page, 0, out_dir)]
    files += [
        _described(path, rows, out_dir) for path, rows in write_journals(con, month, accounts, out_dir, date_formats)
    ]
    snapshot = _newest_read(con, names, periods)
    manifest = Manifest(str(month), names, snapshot, tuple(files), proofs, tuple(made_with))
    (out_dir / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def show_month(
    con: DuckDBPyConnection, shops: Sequence[str], month: Month, periods: Mapping[str, Period]
) -> tuple[PackTable, ...]:
    """Let ``shown_<table>`` be the rows of these shops' month, of a signed month as they were when it was closed.

    Temporary views of the connection; they hold every table of the pack, with the lake's columns. A shop without a period is open.
    Returns the tables, without those and without the columns that are younger than each of these months; where only some have a column, it
    is empty for the others.
    """
    con.execute(statement("pack_words", PACKAGE))
    signed = _signed(periods)
    versions = {shop: signed.get(shop) for shop in shops}
    shown = tuple(_show(con, pack_table, month, versions) for pack_table in PACK_TABLES)
    sign_off = [_sign_off(con, shop, month, periods.get(shop)) for shop in shops]
    names = [column.name for column in SIGN_OFF.table.columns]
    columns = ", ".join(f"{column.name} {column.kind.lake_type}" for column in SIGN_OFF.table.columns)
    con.execute(f"CREATE OR REPLACE TEMP TABLE shown_{SIGN_OFF.name} ({columns})")
    for row in sign_off:
        con.execute(f"INSERT INTO shown_{SIGN_OFF.name} VALUES ({', '.join('?' for _ in names)})", row)
    return tuple(pack_table for pack_table in shown if pack_table is not None)


def pack_query(pack_table: PackTable) -> str:
    """Return the query of a table's rows for the pack, with the lake's column names; ``show_month`` comes first."""
    if pack_table.has_pack_query:
        return statement(f"{pack_table.name}_pack", PACKAGE).strip().removesuffix(";")
    return f"SELECT * FROM shown_{pack_table.name}"


def content_hash(manifest: Manifest) -> str:
    """Return the hash over the hashes of the month's tables and journals: the same as long as no figure changes.

    Without the sign-off, which holds it, without workbook and page, which show that and the same figures, and without Parquet, whose bytes
    are those of a library's version; the CSV beside it has its rows.
    """
    shown = {WORKBOOK, PAGE, f"{SIGN_OFF.name}.csv"}
    counted = [file for file in manifest.files if file.name not in shown and not file.name.endswith(".parquet")]
    return hashlib.sha256("\n".join(f"{file.name} {file.sha256}" for file in counted).encode()).hexdigest()


def _signed(periods: Mapping[str, Period]) -> dict[str, int]:
    """Return the snapshot of each shop whose month is signed."""
    return {shop: int(period.lake_snapshot) for shop, period in periods.items() if period.state in FINAL}


def _newest_read(con: DuckDBPyConnection, shops: Sequence[str], periods: Mapping[str, Period]) -> int:
    signed = _signed(periods)
    if all(shop in signed for shop in shops):
        return max(signed[shop] for shop in shops)
    return snapshot_of(con)


def _show(
    con: DuckDBPyConnection, pack_table: PackTable, month: Month, versions: Mapping[str, int | None]
) -> PackTable | None:
    """Make the view of a table's rows, of each shop as of a version of the lake; return what of the table any of them has."""
    table = pack_table.table
    view = f"CREATE OR REPLACE TEMP VIEW shown_{pack_table.name} AS "
    every = {column.name for column in table.columns}
    rows = [_rows_of(table, every, shop, month, version) for shop, version in versions.items()]
    try:
        con.execute(view + " UNION ALL ".join(rows))
    except (duckdb.CatalogException, duckdb.BinderException):
        there = {shop: _columns_of(con, table, version) for shop, version in versions.items()}
        rows = [_rows_of(table, there[shop], shop, month, version) for shop, version in versions.items() if there[shop]]
        none = f"SELECT {', '.join(column.name for column in table.columns)} FROM {table.path} WHERE false"
        con.execute(view + " UNION ALL ".join([none, *rows]))
        return _what_is_there(pack_table, set().union(*there.values()))
    return pack_table


def _what_is_there(pack_table: PackTable, columns: Collection[str]) -> PackTable | None:
    """Return a table with what the pack had of it when the lake had these columns."""
    if not columns:
        return None
    if pack_table.has_pack_query:  # which makes its own columns, and leaves out what is empty
        return pack_table
    return replace(pack_table, columns=tuple(each for each in pack_table.columns if each[1] in columns))


def _columns_of(con: DuckDBPyConnection, table: Table, version: int | None) -> set[str]:
    """Return the columns that a table had in a version of the lake; none where it was not there."""
    try:
        return {row[0] for row in con.execute(f"DESCRIBE FROM {table.path}{_at(version)}").fetchall()}
    except duckdb.CatalogException:
        return set()


def _rows_of(table: Table, there: Collection[str], shop: str, month: Month, version: int | None) -> str:
    columns = [
        column.name if column.name in there else f"CAST(NULL AS {column.kind.lake_type}) AS {column.name}"
        for column in table.columns
    ]
    where = f"shop = {literal(shop)} AND month = {literal(str(month))}"
    return f"SELECT {', '.join(columns)} FROM {table.path}{_at(version)} WHERE {where}"


def _at(version: int | None) -> str:
    return "" if version is None else f" AT (VERSION => {version:d})"


def _sign_off(con: DuckDBPyConnection, shop: str, month: Month, period: Period | None) -> list[Any]:
    (currency,) = con.execute(
        "SELECT currency FROM shown_control_roll_forward WHERE shop = $shop GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1",
        {"shop": shop},
    ).fetchone() or ("",)
    if period is None:
        return [shop, currency, str(month), "OPEN", "", None, "", None, "", ""]
    return [
        shop,
        currency,
        str(month),
        str(period.state),
        period.prepared_by,
        period.prepared_at,
        period.approved_by,
        period.approved_at,
        period.lake_snapshot,
        period.manifest_hash,
    ]


def as_it_was(proof: Proof) -> CheckResult:
    """Return a proof of a pack as the check that it was; its rows are not in a pack, what they say together is."""
    return CheckResult(
        id=proof.id,
        name=INVARIANTS[proof.id][0] if proof.id in INVARIANTS else "",
        ok=proof.result != _VARIANCE,
        has_data=proof.result != _NO_DATA,
        difference_minor={},
        checked=0,
        failed=0,
        failing=(),
        message=proof.message,
    )


def _word(result: CheckResult) -> str:
    if not result.has_data:
        return _NO_DATA
    return _PROVEN if result.ok else _VARIANCE


def _write_csv(con: DuckDBPyConnection, pack_table: PackTable, out_dir: Path) -> PackFile:
    query = pack_query(pack_table)
    currencies = [row[0] for row in con.execute(f"SELECT DISTINCT currency FROM ({query}) ORDER BY 1").fetchall()]
    columns = [_as_text("shop", "shop", Kind.TEXT, currencies), _as_text("currency", "currency", Kind.TEXT, currencies)]
    columns += [_as_text(name, column, kind_of(pack_table, column), currencies) for name, column in pack_table.columns]
    path = out_dir / f"{pack_table.name}.csv"
    place = str(path).replace("'", "''")
    (rows,) = con.execute(
        f"COPY (SELECT {', '.join(columns)} FROM ({query}) AS t ORDER BY {_qualified(pack_table)}) "
        f"TO '{place}' (FORMAT csv, HEADER, DELIMITER ',', NULLSTR '')"
    ).fetchone() or (0,)
    return _described(path, int(rows), out_dir)


def _qualified(pack_table: PackTable) -> str:
    return ", ".join(f"t.{column}" for column in ("shop", "currency", *pack_table.order_by))


def _as_text(name: str, column: str, kind: Kind, currencies: Sequence[str]) -> str:
    """Return the SQL of a cell's text: exact, in ISO form, and never a formula to a spreadsheet."""
    value = f"t.{column}"
    match kind:
        case Kind.MONEY:
            cases = " ".join(f"WHEN '{currency}' THEN {_decimal_text(value, currency)}" for currency in currencies)
            text = f"CASE t.currency {cases} END" if cases else "''"
        case Kind.INSTANT:
            text = f"strftime({value}, '%Y-%m-%dT%H:%M:%SZ')"
        case Kind.DECIMAL:
            text = f"rtrim(rtrim(CAST({value} AS VARCHAR), '0'), '.')"  # kept with ten places: 20, not 20.0000000000
        case Kind.INTEGER | Kind.DATE | Kind.BOOLEAN:
            text = f"CAST({value} AS VARCHAR)"
        case _:
            text = f"CASE WHEN left({value}, 1) IN ({_UNSAFE_FIRST}) THEN '''' || {value} ELSE nullif({value}, '') END"
    return f"{text} AS {name}"


def _decimal_text(value: str, currency: str) -> str:
    digits = exponent(currency)
    if not digits:
        return f"CAST({value} AS VARCHAR)"
    # A product of decimals is exact in DuckDB; a quotient would be a double.
    return f"CAST(CAST({value} AS DECIMAL(28, 0)) * CAST('0.{'1'.rjust(digits, '0')}' AS DECIMAL({digits + 1}, {digits})) AS VARCHAR)"


def _described(path: Path, rows: int, out_dir: Path) -> PackFile:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return PackFile(path.relative_to(out_dir).as_posix(), digest.hexdigest(), path.stat().st_size, rows)
