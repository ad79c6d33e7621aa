"""The pack's workbook: a cover with the proofs in green and red, the pictures, and a sheet per table.

Here: sheets, formats, filters and totals as formulas. Not here: which rows or columns a table has. The invariant: a sheet
never hides a row in silence: where a table is longer than a sheet may be, it shows the rows that need a person first,
says how many more the CSV has, and has the totals of all rows below those of the rows it shows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from marketplace_returns.lake.tables import Kind
from marketplace_returns.money import exponent, to_decimal
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.tables import PackTable, kind_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHEET_ROWS_MAX: Final = 20_000
"""Rows of a table on its sheet; more are in the CSV only (Excel itself stops at 1,048,576)."""
_NOTE_ROW: Final = 0
_HEADER_ROW: Final = 2
_FIRST_ROW: Final = _HEADER_ROW + 1
_WIDTH: Final = 18
_WIDTH_MAX: Final = 48
_MEASURED_ROWS: Final = 500
"""Rows of a sheet whose texts say how wide its columns are."""
_ROWS_OF_PICTURE: Final = 26
"""Rows of the sheet that a picture and the space below it take."""
_WIDTH_OF_TEXT: Final = 110


class Workbook:
    """One workbook file; a context manager, written when it is left."""

    def __init__(self, path: Path, month: Month) -> None:
        self._book = xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False})
        self._month = month
        # A fixed date of creation: the same month gives the same file.
        created = datetime.combine(month.last_day, time.min)
        self._book.set_properties({"title": f"Month-end {month}", "created": created})
        add = self._book.add_format
        self._title = add({"bold": True, "font_size": 14})
        self._bold = add({"bold": True})
        self._header = add({"bold": True, "bg_color": "#DDE3EA", "border": 1})
        self._instant = add({"num_format": "yyyy-mm-dd hh:mm"})
        self._results = {
            "PROVEN": add({"bold": True, "bg_color": "#C6EFCE", "font_color": "#006100"}),
            "VARIANCE": add({"bold": True, "bg_color": "#FFC7CE", "font_color": "#9C0006"}),
            "NO DATA": add({"bold": True, "bg_color": "#E7E6E6"}),
        }
        self._money: dict[tuple[str, bool], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._book.close()

    def add_cover(self, shops: Sequence[str], proofs: Sequence[tuple[str, str, str, str]]) -> None:
        """Add the cover: ``proofs`` are (shop, invariant, PROVEN or VARIANCE or NO DATA, what it says)."""
        sheet = self._book.add_worksheet("cover")
        sheet.set_column(0, 2, _WIDTH)
        sheet.set_column(3, 3, _WIDTH_OF_TEXT)
        sheet.write_string(_NOTE_ROW, 0, f"Month-end pack {self._month}", self._title)
        sheet.write_string(_NOTE_ROW + 1, 0, ", ".join(shops))
        for column, caption in enumerate(("shop", "proof", "result", "what it says")):
            sheet.write_string(_HEADER_ROW, column, caption, self._header)
        for row, (shop, invariant, word, message) in enumerate(proofs, start=_FIRST_ROW):
            sheet.write_string(row, 0, shop)
            sheet.write_string(row, 1, invariant)
            sheet.write_string(row, 2, word, self._results[word])
            sheet.write_string(row, 3, message)
        _set_paper(sheet)

    def add_pictures(self, pictures: Mapping[str, Mapping[str, bytes]]) -> None:
        """Add a sheet with the pictures of each shop (PNG by table), one below the other."""
        sheet = self._book.add_worksheet("pictures")
        sheet.hide_gridlines(2)
        sheet.fit_to_pages(1, 0)
        place = 0
        for shop, drawn in pictures.items():
            sheet.write_string(place, 0, shop, self._title)
            place += 1
            for table, picture in drawn.items():
                options = {"image_data": io.BytesIO(picture), "description": f"{table} of {shop}"}
                sheet.insert_image(place, 0, f"{shop}_{table}.png", options)
                place += _ROWS_OF_PICTURE

    def add_table(self, con: DuckDBPyConnection, pack_table: PackTable, query: str) -> None:
        """Add a sheet with a table's rows as ``query`` gives them."""
        sheet = self._book.add_worksheet(pack_table.name)
        columns = [("shop", "shop", Kind.TEXT), ("currency", "currency", Kind.TEXT)]
        columns += [(name, column, kind_of(pack_table, column)) for name, column in pack_table.columns]
        rows, rows_all = _rows(con, pack_table, query, columns=[column for _, column, _ in columns])
        note = f"{pack_table.table.meaning}."
        if len(rows) < rows_all:
            note += f" {len(rows)} of {rows_all} rows are shown, those that need a person first; {pack_table.name}.csv has all."
        sheet.write_string(_NOTE_ROW, 0, note, self._bold)
        for index, (name, _, _) in enumerate(columns):
            sheet.write_string(_HEADER_ROW, index, name, self._header)
        for index, (name, _, kind) in enumerate(columns):
            sheet.set_column(index, index, _width(name, kind, [row[index] for row in rows[:_MEASURED_ROWS]]))
        for place, row in enumerate(rows, start=_FIRST_ROW):
            for index, ((_, _, kind), value) in enumerate(zip(columns, row, strict=True)):
                self._write(sheet, place, index, value, kind=kind, currency=row[1])
        _set_paper(sheet)
        sheet.autofilter(_HEADER_ROW, 0, _HEADER_ROW + len(rows), len(columns) - 1)
        if pack_table.has_totals:
            kinds = [kind for _, _, kind in columns]
            place = self._add_totals(sheet, kinds, rows, is_whole=len(rows) == rows_all)
            if len(rows) < rows_all:
                place = self._add_totals_of_all(
                    sheet, place, con, query, [(column, kind) for _, column, kind in columns]
                )
                hidden = f"{rows_all - len(rows)} of {rows_all} rows are not shown: {pack_table.name}.csv has them all"
                sheet.write_string(place, 0, hidden, self._bold)

    def _write(self, sheet: Any, place: int, index: int, value: Any, *, kind: Kind, currency: str) -> None:
        if value is None or value == "":
            return
        if kind is Kind.MONEY:
            sheet.write_number(place, index, to_decimal(value, currency), self._money_format(currency))
        elif kind is Kind.INSTANT:
            sheet.write_datetime(place, index, value.astimezone(UTC).replace(tzinfo=None), self._instant)
        elif kind is Kind.INTEGER or kind is Kind.DECIMAL:
            sheet.write_number(place, index, value)
        else:
            sheet.write_string(place, index, str(value))

    def _add_totals(self, sheet: Any, kinds: Sequence[Kind], rows: Sequence[tuple[Any, ...]], *, is_whole: bool) -> int:
        """Add a line of totals per currency, as formulas with their values: no sum crosses currencies (I18). Returns the next line."""
        first, last = _FIRST_ROW + 1, _FIRST_ROW + len(rows)  # as Excel counts rows
        place = last
        for place, currency in enumerate(sorted({row[1] for row in rows}), start=last + 1):
            of_currency = [row for row in rows if row[1] == currency]
            of_rows = "" if is_whole else f" of {len(of_currency)} rows shown"
            sheet.write_string(place, 0, f"Total {currency}{of_rows}", self._bold)
            for index, kind in enumerate(kinds):
                if kind is not Kind.MONEY:
                    continue
                letter = xl_col_to_name(index)
                total = sum((to_decimal(row[index] or 0, currency) for row in of_currency), Decimal(0))
                formula = f'=SUMIF($B${first}:$B${last},"{currency}",{letter}${first}:{letter}${last})'
                sheet.write_formula(place, index, formula, self._money_format(currency, is_total=True), total)
        return place + 1

    def _add_totals_of_all(
        self, sheet: Any, place: int, con: DuckDBPyConnection, query: str, columns: Sequence[tuple[str, Kind]]
    ) -> int:
        """Add a line per currency with the totals of all rows of the table, shown or not, as SQL adds them up. Returns the next line."""
        money = [(index, column) for index, (column, kind) in enumerate(columns) if kind is Kind.MONEY]
        sums = "".join(f", coalesce(sum({column}), 0)" for _, column in money)
        found = con.execute(f"SELECT currency, count(*){sums} FROM ({query}) GROUP BY currency ORDER BY currency")
        for line, (currency, rows, *totals) in enumerate(found.fetchall(), start=place):
            sheet.write_string(line, 0, f"Total {currency} of all {rows} rows", self._bold)
            for (index, _), total in zip(money, totals, strict=True):
                sheet.write_number(
                    line, index, to_decimal(int(total), currency), self._money_format(currency, is_total=True)
                )
        return line + 1

    def _money_format(self, currency: str, *, is_total: bool = False) -> Any:
        if (currency, is_total) not in self._money:
            digits = exponent(currency)
            number = "#,##0" + ("." + "0" * digits if digits else "")
            look = {"num_format": f"{number};[Red]-{number}", **({"bold": True, "top": 1} if is_total else {})}
            self._money[currency, is_total] = self._book.add_format(look)
        return self._money[currency, is_total]


def _width(name: str, kind: Kind, values: Sequence[Any]) -> int:
    """Return a column's width in characters: its header with the filter's arrow, and ids whole, for people copy them."""
    needed = len(name) + 4
    if kind in {Kind.MONEY, Kind.INSTANT}:
        needed = max(needed, _WIDTH)
    elif kind is Kind.TEXT:
        needed = max(needed, *(len(str(value or "")) + 2 for value in values), 0)
    return min(needed, _WIDTH_MAX)


def _set_paper(sheet: Any) -> None:
    """Keep the captions in sight, on the screen and on every printed page, which is as wide as the table."""
    sheet.freeze_panes(_FIRST_ROW, 0)
    sheet.repeat_rows(_HEADER_ROW)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&L&A&RPage &P of &N")


def _rows(
    con: DuckDBPyConnection, pack_table: PackTable, query: str, *, columns: Sequence[str]
) -> tuple[list[tuple[Any, ...]], int]:
    """Return at most ``SHEET_ROWS_MAX`` rows in the pack's order, and how many there are in all."""
    counted = con.execute(f"SELECT count(*) FROM ({query})").fetchone()
    rows_all = int(counted[0]) if counted else 0
    order = ", ".join(("shop", "currency", *pack_table.order_by))
    chosen = f"SELECT * FROM ({query})"
    if rows_all > SHEET_ROWS_MAX:
        chosen += f" ORDER BY {_matched_last(pack_table)}{order} LIMIT {SHEET_ROWS_MAX}"
    return con.execute(f"SELECT {', '.join(columns)} FROM ({chosen}) ORDER BY {order}").fetchall(), rows_all


def _matched_last(pack_table: PackTable) -> str:
    if not pack_table.code_column:
        return ""
    matched = ", ".join(f"'{code}'" for code in pack_table.matched_codes)
    return f"{pack_table.code_column} IN ({matched}), "
