"""Journals of a month as files that an accounting system imports unedited.

Here: one writer per accounting system (columns, signs, dates, limits per file) and the names of accounts by mapping. Not here: what
is posted (``journal_lines.sql``) or which accounts there are. The invariant: a journal is never split over two files, each file's
debits equal its credits, no amount is rounded, no cell is a formula to a spreadsheet, and the same journals give the same bytes.

Formats: Xero manual journals, QuickBooks Online journal entries, NetSuite journal entries, Sage 50 audit trail transactions, and a
generic CSV and Parquet with our own names. Check the first import against your own system's template.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from marketplace_returns.errors import BadMapping, ContractBroken
from marketplace_returns.mappings import JournalTarget, LedgerAccount
from marketplace_returns.money import exponent, to_decimal
from marketplace_returns.periods import Month

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER: Final = "journals"
_UNSAFE_FIRST: Final = ("=", "+", "-", "@", "\t")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
NUMBER_LENGTH: Final = 10
"""Characters of a journal's number that are made of its id, where a system bounds the number's length."""

INCLUDED_VAT: Final = "included_vat"
"""Reference of the journal that takes the VAT inside prices out of the income it was posted with (``journal_lines.sql``)."""
INCOME: Final = frozenset({"sales", "shipping", "refund", "refund_shipping"})
"""Components of the transaction log that post such income, and descriptions of their lines."""

DAY_FIRST: Final = "dd/mm/yyyy"
"""The date format of a system that the settings name none for."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_QUERY = """
SELECT shop, currency, journal_id, line_no, account, description, debit_minor, credit_minor, reference
FROM shown_journal_lines
ORDER BY currency, shop, journal_id, line_no
"""
_ON_TOP_QUERY = "SELECT DISTINCT currency FROM shown_vat_summary WHERE logged_tax_minor <> 0"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a journal; amounts in major units of its currency, one of them 0."""

    shop: str
    currency: str
    journal_id: str
    line_no: int
    account: LedgerAccount
    description: str
    debit: Decimal
    credit: Decimal
    reference: str
    day: date
    written_day: str
    """The day as the system reads it."""

    @property
    def amount(self) -> Decimal:
        """Debit with plus, credit with minus."""
        return self.debit - self.credit

    @property
    def number(self) -> str:
        """The journal's number where its length is bounded: month and a hash of its id, the same at every export."""
        digest = hashlib.sha256(self.journal_id.encode()).hexdigest()
        return f"{self.day:%Y-%m}-{digest[:NUMBER_LENGTH]}"


@dataclass(frozen=True, slots=True)
class Format:
    """How an accounting system reads journals.

    Attributes:
        columns: the header's cells.
        row: a line's cells.
        file_lines_max: lines a file may have; no bound where 0.
        journal_lines_max: lines a journal may have; no bound where 0.
        digits_max: digits before the point that an amount may have; no bound where 0.
        decimals_max: digits after the point that an amount may have.
        untaxed_rates: names of rates that take no VAT out of a line, of a system that takes it out by all others; none where it never does.
    """

    columns: tuple[str, ...]
    row: Callable[[Line], tuple[str, ...]]
    file_lines_max: int = 0
    journal_lines_max: int = 0
    digits_max: int = 0
    decimals_max: int = 4
    untaxed_rates: frozenset[str] = frozenset()


def _generic(line: Line) -> tuple[str, ...]:
    return (
        line.shop,
        line.currency,
        line.journal_id,
        str(line.line_no),
        line.day.isoformat(),
        line.account.code,
        line.description,
        str(line.debit),
        str(line.credit),
        line.reference,
    )


def _xero(line: Line) -> tuple[str, ...]:
    return (
        line.journal_id,
        line.written_day,
        f"{line.description} ({line.reference})",
        line.account.code,
        line.account.tax_rate or "",
        str(line.amount),
        *[""] * 4,
    )


def _quickbooks(line: Line) -> tuple[str, ...]:
    return (
        line.number,
        line.written_day,
        line.account.code,
        str(line.debit) if line.debit else "",
        str(line.credit) if line.credit else "",
        f"{line.description} ({line.journal_id})",
        "",
        line.currency,
    )


def _netsuite(line: Line) -> tuple[str, ...]:
    return (
        line.journal_id,
        line.written_day,
        line.currency,
        str(line.line_no),
        line.account.code,
        str(line.debit) if line.debit else "",
        str(line.credit) if line.credit else "",
        f"{line.description} ({line.reference})",
    )


def _sage(line: Line) -> tuple[str, ...]:
    return (
        "JD" if line.debit else "JC",
        "",
        line.account.code.zfill(4),
        "0",
        line.written_day,
        line.number,
        f"{line.description} ({line.reference})"[:60],
        str(line.debit or line.credit),
        line.account.tax_rate or "T9",
        str(Decimal(0).scaleb(line.amount.as_tuple().exponent)),  # type: ignore[arg-type]  # a finite number's is an int
    )


FORMATS: Final[Mapping[JournalTarget, Format]] = {
    JournalTarget.GENERIC: Format(
        (
            "shop",
            "currency",
            "journal_id",
            "line_no",
            "date",
            "account",
            "description",
            "debit",
            "credit",
            "reference",
        ),
        _generic,
    ),
    JournalTarget.XERO: Format(
        (
            "*Narration",
            "*Date",
            "Description",
            "*AccountCode",
            "*TaxRate",
            "*Amount",
            "TrackingName1",
            "TrackingOption1",
            "TrackingName2",
            "TrackingOption2",
        ),
        _xero,
        file_lines_max=300,
        journal_lines_max=300,
        untaxed_rates=frozenset({"No VAT", "No Tax", "Tax Exempt", "BAS Excluded"}),
    ),
    JournalTarget.QUICKBOOKS: Format(
        ("Journal No", "Journal Date", "Account Name", "Debits", "Credits", "Description", "Name", "Currency"),
        _quickbooks,
    ),
    JournalTarget.NETSUITE: Format(
        ("External ID", "Date", "Currency", "Line", "Account", "Debit", "Credit", "Memo"),
        _netsuite,
        journal_lines_max=10_000,
        digits_max=10,
        decimals_max=2,
    ),
    JournalTarget.SAGE: Format(
        (
            "Type",
            "Account Reference",
            "Nominal A/C Ref",
            "Department Code",
            "Date",
            "Reference",
            "Details",
            "Net Amount",
            "Tax Code",
            "Tax Amount",
        ),
        _sage,
    ),
}


def write_journals(
    con: DuckDBPyConnection,
    month: Month,
    accounts: Iterable[LedgerAccount],
    out_dir: Path,
    date_formats: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[Path, int]]:
    """Write the journals of the shops whose month is shown (``pack.show_month``) for every accounting system that the mapping names.

    Files are ``journals/<target>_<currency>_<number>.csv`` (``generic`` as Parquet too); a system with no row in
    ``ledger_accounts.csv`` is not used and gets none. One that cannot hold a currency's amounts, or would take VAT twice, gets
    ``<target>_<currency>.txt``, which says so. The journals' day is the month's last, written as ``date_formats`` says by target (words of
    the settings), day first where it does not. Returns each file and its lines.

    Raises:
        BadMapping: an account that is posted to has no code in a system that others have one in.
        ContractBroken: a journal does not balance, or a system cannot take one that long or that large.
    """
    by_target: dict[JournalTarget, dict[str, LedgerAccount]] = {}
    for account in accounts:
        by_target.setdefault(account.target, {})[account.account] = account
    rows = con.execute(_QUERY).fetchall()
    on_top = {currency for (currency,) in con.execute(_ON_TOP_QUERY).fetchall()}
    folder = out_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for left in (path for target in JournalTarget for path in folder.glob(f"{target}_*")):
        left.unlink()  # of an export that had more of them
    written: list[tuple[Path, int]] = []
    day = month.next().first_day - timedelta(days=1)
    for target in sorted(by_target):
        written_day = written_date(day, date_formats.get(target, DAY_FIRST))
        lines = [_line(row, by_target[target], target, day, written_day) for row in rows]
        for currency, each in groupby(lines, key=lambda line: line.currency):
            of_currency = list(each)
            income = {line.account for line in of_currency if line.description in INCOME}
            refusal = cannot_hold(target, currency) or taxes_wrongly(target, income, is_on_top=currency in on_top)
            if refusal:
                path = folder / f"{target}_{currency}.txt"
                path.write_text(f"{month}: {refusal}\n", encoding="utf-8")
                written.append((path, 0))
                continue
            if _rated(target, income):  # the system takes the VAT out itself
                of_currency = [line for line in of_currency if line.reference != INCLUDED_VAT]
            for number, part in enumerate(_parts(of_currency, target), start=1):
                path = folder / f"{target}_{currency}_{number:02d}.csv"
                _write(path, FORMATS[target], part)
                written.append((path, len(part)))
                if target is JournalTarget.GENERIC:
                    written.append((_parquet(path.with_suffix(".parquet"), part), len(part)))
    return written


def cannot_hold(target: JournalTarget, currency: str) -> str:
    """Return why a system cannot be given journals in a currency, and what to do instead; "" where it can."""
    digits, most = exponent(currency), FORMATS[target].decimals_max
    if digits <= most:
        return ""
    return (
        f"no journal for {target} in {currency}: its amounts have {digits} decimals and {target} holds {most}, so each would be rounded "
        "and the accounts would no longer be what was proven. Post from the generic file instead, in a system that holds "
        f"{digits} decimals"
    )


def _rated(target: JournalTarget, income: Iterable[LedgerAccount]) -> set[str]:
    """Return the accounts of income that the system takes VAT out of by their rate."""
    untaxed = FORMATS[target].untaxed_rates
    return {account.account for account in income if untaxed and account.tax_rate not in untaxed}


def taxes_wrongly(target: JournalTarget, income: Collection[LedgerAccount], *, is_on_top: bool) -> str:
    """Return why a system would take VAT out of a line that has none in it, or leave it in, and the mend; "" where it would not.

    Args:
        target: the accounting system.
        income: its accounts of sales, shipping and their refunds (``INCOME``).
        is_on_top: taxes come on top of the prices, at least of some orders.
    """
    rated = _rated(target, income)
    unrated = {account.account for account in income} - rated
    if not rated or (not is_on_top and not unrated):
        return ""
    why = (
        "taxes come on top of the prices, in lines of their own, and"
        if is_on_top
        else f"VAT stays in {' and '.join(sorted(unrated))}, while"
    )
    return (
        f"no journal for {target}: {why} {target} would take VAT out of {', '.join(sorted(rated))} by their rate. In "
        f"ledger_accounts.csv give sales, shipping and their refunds the tax_rate 'No VAT' for {target}: the VAT inside prices is then "
        f"posted by the journal {INCLUDED_VAT}"
    )


def written_date(day: date, date_format: str) -> str:
    """Return a day as a word of the settings says, whatever the language of this machine."""
    parts = {"dd": f"{day:%d}", "mmm": _MONTHS[day.month - 1], "mm": f"{day:%m}", "yyyy": f"{day:%Y}"}
    return re.sub("dd|mmm|mm|yyyy", lambda part: parts[part[0]], date_format)


def _line(
    row: tuple[object, ...], accounts: Mapping[str, LedgerAccount], target: JournalTarget, day: date, written_day: str
) -> Line:
    shop, currency, journal_id, line_no, account, description, debit, credit, reference = row
    found = accounts.get(str(account))
    if found is None:
        raise BadMapping(
            f"ledger_accounts.csv: account {account!r} has no code for {target}, and {journal_id} posts to it: "
            f"add the row '{account},{target},<code>,<tax rate>'"
        )
    return Line(
        str(shop),
        str(currency),
        str(journal_id),
        int(str(line_no)),
        found,
        str(description),
        to_decimal(int(str(debit)), str(currency)),
        to_decimal(int(str(credit)), str(currency)),
        str(reference),
        day,
        written_day,
    )


def _parts(lines: Sequence[Line], target: JournalTarget) -> Iterator[list[Line]]:
    """Give the lines of each file: whole journals, no more lines than the system takes."""
    rule = FORMATS[target]
    part: list[Line] = []
    for journal_id, of_journal in groupby(lines, key=lambda line: line.journal_id):
        journal = list(of_journal)
        _prove(journal_id, journal, rule, target)
        if part and rule.file_lines_max and len(part) + len(journal) > rule.file_lines_max:
            yield part
            part = []
        part = [*part, *journal]
    if part:
        yield part


def _prove(journal_id: str, journal: Sequence[Line], rule: Format, target: JournalTarget) -> None:
    if sum(line.amount for line in journal):
        raise ContractBroken(
            f"journal {journal_id} does not balance: nothing was exported; close the month again",
            system="lake",
            operation="export",
        )
    if rule.journal_lines_max and len(journal) > rule.journal_lines_max:
        raise ContractBroken(
            f"journal {journal_id} has {len(journal)} lines, and {target} takes {rule.journal_lines_max}: map several "
            "transaction types to one component in transaction_types.csv",
            system="lake",
            operation="export",
        )
    largest = max(max(line.debit, line.credit) for line in journal)
    if rule.digits_max and largest >= Decimal(10) ** rule.digits_max:
        raise ContractBroken(
            f"journal {journal_id} has an amount of {largest}, and {target} takes {rule.digits_max} digits",
            system="lake",
            operation="export",
        )


def _write(path: Path, rule: Format, lines: Sequence[Line]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rule.columns)
        writer.writerows([_safe(cell) for cell in rule.row(line)] for line in lines)


def _safe(cell: str) -> str:
    """Return a cell on one line that a spreadsheet takes for text; a number stays one, with its sign."""
    cell = " ".join(cell.splitlines())
    return f"'{cell}" if cell.startswith(_UNSAFE_FIRST) and not _NUMBER.fullmatch(cell) else cell


def _parquet(path: Path, lines: Sequence[Line]) -> Path:
    names = FORMATS[JournalTarget.GENERIC].columns
    cells = list(zip(*(_generic(line) for line in lines), strict=True))
    pq.write_table(pa.table({name: list(column) for name, column in zip(names, cells, strict=True)}), path)
    return path
