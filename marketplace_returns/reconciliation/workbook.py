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
from marketplace_returns.reconciliation.invariants import counted
from marketplace_returns.reconciliation.metrics import Figure
from marketplace_returns.reconciliation.tables import PackTable, kind_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHEET_ROWS_MAX: Final = 20_000
"""Rows of a table on its sheet; more are in the CSV only (Excel itself stops at 1,048,576)."""
_NOTE_ROW: Final = 0
_HEADER_ROW: Final = 2
_FIRST_ROW: Final = _HEADER_ROW + 1
_WIDTH: Final = 18
_WIDTH_OF_FIGURE: Final = 23
"""Characters of a metric's name and figure on the cover."""
_WIDTH_MAX: Final = 66
"""Characters of the widest column: a hash of 64 is seen whole."""
_MEASURED_ROWS: Final = 500
"""Rows of a sheet whose texts say how wide its columns are."""
_ROWS_OF_PICTURE: Final = 23
"""Rows of the sheet that a picture and the space below it take."""
_PICTURES_OF_PAGE: Final = 3
_SCALE_OF_PICTURES: Final = 58
"""Percent at which so many pictures fit a page."""
_WIDTH_OF_TEXT: Final = 110
_HEIGHT_OF_LINE: Final = 15
_WIDTH_OF_PAGE: Final = 240
"""Characters that can still be read side by side on a printed page; a wider table takes more pages."""
_COLUMNS_REPEATED: Final = 4
"""Columns that stand on each page of a table that takes more: shop, currency, and the first two of its own."""
_A4: Final = 9
_APART: Final = "_)"
"""In a format: as much room as a bracket takes, between a number and a text to its right."""
_NUMBERS: Final = frozenset({Kind.MONEY, Kind.INTEGER, Kind.DECIMAL})


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
        self._quiet = add({"font_color": "#5A6675"})
        header = {"bold": True, "bg_color": "#DDE3EA", "border": 1}
        self._header = add(header)
        # Over its numbers, and clear of the filter's arrow.
        self._header_of_numbers = add({**header, "align": "right", "indent": 2})
        self._number = add({"num_format": f"General{_APART}"})
        self._count = add({"num_format": f"#,##0{_APART}"})
        self._instant = add({"num_format": "yyyy-mm-dd hh:mm", "align": "left"})
        self._date = add({"num_format": "yyyy-mm-dd", "align": "left"})
        self._top = add({"valign": "top"})
        self._figure = add({"bold": True, "valign": "top"})
        self._wrapped = add({"valign": "top", "text_wrap": True})
        result = {"bold": True, "valign": "top"}
        self._results = {
            "PROVEN": add({**result, "bg_color": "#C6EFCE", "font_color": "#006100"}),
            "VARIANCE": add({**result, "bg_color": "#FFC7CE", "font_color": "#9C0006"}),
            "NO DATA": add({**result, "bg_color": "#E7E6E6"}),
        }
        self._money: dict[tuple[str, bool], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._book.close()

    def add_cover(
        self,
        shops: Sequence[str],
        proofs: Sequence[tuple[str, str, str, str]],
        metrics: Mapping[str, Sequence[Figure]],
    ) -> None:
        """Add the cover: ``proofs`` are (shop, invariant, PROVEN or VARIANCE or NO DATA, what it says), ``metrics`` those of each shop."""
        sheet = self._book.add_worksheet("cover")
        sheet.set_column(0, 0, _WIDTH)
        sheet.set_column(1, 2, _WIDTH_OF_FIGURE)
        sheet.set_column(3, 3, _WIDTH_OF_TEXT)
        sheet.write_string(_NOTE_ROW, 0, f"Month-end pack {self._month}", self._title)
        sheet.write_string(_NOTE_ROW + 1, 0, ", ".join(shops))
        for column, caption in enumerate(("shop", "proof", "result", "what it says")):
            sheet.write_string(_HEADER_ROW, column, caption, self._header)
        for row, (shop, invariant, word, message) in enumerate(proofs, start=_FIRST_ROW):
            says = message.removeprefix(f"{invariant}: ")
            sheet.set_row(row, _HEIGHT_OF_LINE * (1 + len(says) // _WIDTH_OF_TEXT))
            sheet.write_string(row, 0, shop, self._top)
            sheet.write_string(row, 1, invariant, self._top)
            sheet.write_string(row, 2, word, self._results[word])
            sheet.write_string(row, 3, says, self._wrapped)
        place = _FIRST_ROW + len(proofs) + 1
        for column, caption in enumerate(("shop", "reviewer metric", "figure", "what it is")):
            sheet.write_string(place, column, caption, self._header)
        measured = [(shop, each) for shop, of_shop in metrics.items() for each in of_shop]
        for row, (shop, each) in enumerate(measured, start=place + 1):
            sheet.set_row(row, _HEIGHT_OF_LINE * (1 + len(each.says) // _WIDTH_OF_TEXT))
            sheet.write_string(row, 0, shop, self._top)
            sheet.write_string(row, 1, each.name, self._top)
            sheet.write_string(row, 2, each.figure, self._figure)
            sheet.write_string(row, 3, each.says, self._wrapped)
        _keep_captions(sheet)
        self._set_paper(sheet)

    def add_pictures(self, pictures: Mapping[str, Mapping[str, bytes]]) -> None:
        """Add a sheet with the pictures of each shop (PNG by table), one below the other, none across two pages."""
        sheet = self._book.add_worksheet("pictures")
        sheet.hide_gridlines(2)
        self._set_paper(sheet)
        sheet.set_portrait()
        sheet.set_print_scale(_SCALE_OF_PICTURES)
        place, pages = 0, []
        for shop, drawn in pictures.items():
            for number, (table, picture) in enumerate(drawn.items()):
                if number % _PICTURES_OF_PAGE == 0:
                    pages.append(place)
                    sheet.write_string(place, 0, shop, self._title)
                    place += 1
                options = {"image_data": io.BytesIO(picture), "description": f"{table} of {shop}"}
                sheet.insert_image(place, 0, f"{shop}_{table}.png", options)
                place += _ROWS_OF_PICTURE
        sheet.set_h_pagebreaks(pages[1:])

    def add_table(self, con: DuckDBPyConnection, pack_table: PackTable, query: str) -> None:
        """Add a sheet with a table's rows as ``query`` gives them."""
        sheet = self._book.add_worksheet(pack_table.name)
        columns = [("shop", "shop", Kind.TEXT), ("currency", "currency", Kind.TEXT)]
        columns += [(name, column, kind_of(pack_table, column)) for name, column in pack_table.columns]
        rows, rows_all = _rows(con, pack_table, query, columns=[column for _, column, _ in columns])
        note = f"{pack_table.table.meaning}."
        if any(kind is Kind.INSTANT for _, _, kind in columns):
            note += " Times are UTC."
        if len(rows) < rows_all:
            note += f" {len(rows)} of {rows_all} rows are shown, those that need a person first; {pack_table.name}.csv has all."
        sheet.write_string(_NOTE_ROW, 0, note, self._bold)
        widths = []
        for index, (name, _, kind) in enumerate(columns):
            sheet.write_string(_HEADER_ROW, index, name, self._header_of_numbers if kind in _NUMBERS else self._header)
            widths.append(_width(name, kind, [row[index] for row in rows[:_MEASURED_ROWS]]))
            sheet.set_column(index, index, widths[-1])
        if not rows:
            sheet.write_string(_FIRST_ROW, 0, "No rows in this month.", self._quiet)
        for place, row in enumerate(rows, start=_FIRST_ROW):
            for index, ((_, _, kind), value) in enumerate(zip(columns, row, strict=True)):
                self._write(sheet, place, index, value, kind=kind, currency=row[1])
        _keep_captions(sheet)
        self._set_paper(sheet, pages_wide=1 + sum(widths) // _WIDTH_OF_PAGE)
        sheet.autofilter(_HEADER_ROW, 0, _HEADER_ROW + len(rows), len(columns) - 1)
        if pack_table.has_totals:
            kinds = {column: kind for _, column, kind in columns}
            place = self._add_totals(sheet, kinds, rows, by=pack_table.totals_by, is_whole=len(rows) == rows_all)
            if len(rows) < rows_all:
                place = self._add_totals_of_all(sheet, place, con, query, kinds, by=pack_table.totals_by)
                hidden = f"{rows_all - len(rows)} of {rows_all} rows are not shown: {pack_table.name}.csv has them all"
                sheet.write_string(place, 0, hidden, self._bold)

    def _write(self, sheet: Any, place: int, index: int, value: Any, *, kind: Kind, currency: str) -> None:
        if value is None or value == "":
            return
        if kind is Kind.MONEY:
            sheet.write_number(place, index, to_decimal(value, currency), self._money_format(currency))
        elif kind is Kind.INSTANT:
            # Cut off, as the CSV does: a spreadsheet rounds, and the month's last microsecond would be in the next.
            whole = value.astimezone(UTC).replace(tzinfo=None, microsecond=0)
            sheet.write_datetime(place, index, whole, self._instant)
        elif kind is Kind.DATE:
            sheet.write_datetime(place, index, value, self._date)
        elif kind in _NUMBERS:
            sheet.write_number(place, index, value, self._count if kind is Kind.INTEGER else self._number)
        else:
            sheet.write_string(place, index, str(value))

    def _add_totals(
        self, sheet: Any, kinds: Mapping[str, Kind], rows: Sequence[tuple[Any, ...]], *, by: str, is_whole: bool
    ) -> int:
        """Add a line of totals per currency (I18) and value of column ``by``, as formulas with their values. Returns the next line."""
        first, last = _FIRST_ROW + 1, _FIRST_ROW + len(rows)  # as Excel counts rows
        by_index = list(kinds).index(by) if by else None
        groups: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        for row in rows:
            groups.setdefault((row[1], "" if by_index is None else row[by_index]), []).append(row)
        place = last
        for place, ((currency, value), of_group) in enumerate(sorted(groups.items()), start=last + 1):
            of_rows = "" if is_whole else f" of {counted(len(of_group), 'row')} shown"
            sheet.write_string(place, 0, f"{_total_of(currency, value)}{of_rows}", self._bold)
            for index, kind in enumerate(kinds.values()):
                if kind is not Kind.MONEY:
                    continue
                total = sum((to_decimal(row[index] or 0, currency) for row in of_group), Decimal(0))
                formula = f'=SUMIF({_cells(1, first, last)},"{currency}",{_cells(index, first, last)})'
                if by_index is not None:
                    formula = f'=SUMIFS({_cells(index, first, last)},{_cells(1, first, last)},"{currency}",{_cells(by_index, first, last)},"{value}")'
                sheet.write_formula(place, index, formula, self._money_format(currency, is_total=True), total)
        return place + 1

    def _add_totals_of_all(
        self, sheet: Any, place: int, con: DuckDBPyConnection, query: str, kinds: Mapping[str, Kind], *, by: str
    ) -> int:
        """Add the same lines with the totals of all rows of the table, shown or not, as SQL adds them up. Returns the next line."""
        money = [(index, column) for index, (column, kind) in enumerate(kinds.items()) if kind is Kind.MONEY]
        sums = "".join(f", coalesce(sum({column}), 0)" for _, column in money)
        group = f"currency, {by}" if by else "currency, '' AS none"
        found = con.execute(f"SELECT {group}, count(*){sums} FROM ({query}) GROUP BY ALL ORDER BY ALL")
        for line, (currency, value, rows, *totals) in enumerate(found.fetchall(), start=place):
            sheet.write_string(line, 0, f"{_total_of(currency, value)} of all {counted(rows, 'row')}", self._bold)
            for (index, _), total in zip(money, totals, strict=True):
                sheet.write_number(
                    line, index, to_decimal(int(total), currency), self._money_format(currency, is_total=True)
                )
        return line + 1

    def _set_paper(self, sheet: Any, *, pages_wide: int = 1) -> None:
        """Let a sheet be printed so that it can be read, with the month, its name and the page below."""
        sheet.set_paper(_A4)
        sheet.set_landscape()
        sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
        sheet.fit_to_pages(pages_wide, 0)
        if pages_wide > 1:
            sheet.repeat_columns(0, _COLUMNS_REPEATED - 1)
        sheet.set_footer(f"&LMonth-end pack {self._month}: &A&RPage &P of &N")

    def _money_format(self, currency: str, *, is_total: bool = False) -> Any:
        if (currency, is_total) not in self._money:
            digits = exponent(currency)
            number = "#,##0" + ("." + "0" * digits if digits else "")
            look = {"num_format": f"{number}{_APART};[Red]-{number}{_APART}"}
            self._money[currency, is_total] = self._book.add_format(
                look | ({"bold": True, "top": 1} if is_total else {})
            )
        return self._money[currency, is_total]


def _width(name: str, kind: Kind, values: Sequence[Any]) -> int:
    """Return a column's width in characters: its header with the filter's arrow, and ids whole, for people copy them."""
    needed = len(name) + 5
    if kind in {Kind.MONEY, Kind.INSTANT}:
        needed = max(needed, _WIDTH)
    elif kind in {Kind.TEXT, Kind.DATE}:
        needed = max(needed, *(len(str(value or "")) + 2 for value in values), 0)
    return min(needed, _WIDTH_MAX)


def _total_of(currency: str, value: str) -> str:
    return " ".join(part for part in ("Total", currency, value) if part)


def _cells(column: int, first: int, last: int) -> str:
    letter = xl_col_to_name(column)
    return f"${letter}${first}:${letter}${last}"


def _keep_captions(sheet: Any) -> None:
    """Keep the captions in sight, on the screen and on every printed page."""
    sheet.freeze_panes(_FIRST_ROW, 0)
    sheet.repeat_rows(_HEADER_ROW)


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
