"""A checker of journal files, written from what each accounting system publishes about its import; it shares nothing with the writer.

Each function takes the rows of one file and the date format that the system is set to; it returns what the system would refuse, in words.
An empty list is an accepted file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal, InvalidOperation

Row = dict[str, str]
_DAY, _MONTH, _YEAR = "(0[1-9]|[12]\\d|3[01])", "(0[1-9]|1[0-2])", "\\d{4}"
_NAMED_MONTH = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATES = {
    "dd/mm/yyyy": f"{_DAY}/{_MONTH}/{_YEAR}",
    "mm/dd/yyyy": f"{_MONTH}/{_DAY}/{_YEAR}",
    "yyyy-mm-dd": f"{_YEAR}-{_MONTH}-{_DAY}",
    "dd mmm yyyy": f"{_DAY} {_NAMED_MONTH} {_YEAR}",
}
DAY_FIRST = "dd/mm/yyyy"
_AMOUNT = re.compile(r"-?\d+(\.\d+)?")
XERO_TAX_RATES = frozenset(
    {
        *(f"{rate} (VAT on {side})" for rate in ("20%", "5%") for side in ("Income", "Expenses", "Capital Purchases")),
        *(f"{kind} {side}" for kind in ("Zero Rated", "Exempt") for side in ("Income", "Expenses")),
        "No VAT",
        "Reverse Charge Expenses (20%)",
        "VAT on Imports",
    }
)
"""The tax rates that an organisation in the United Kingdom has, by their full names, as an import wants them."""
SAGE_TAX_CODES = frozenset({"T0", "T1", "T2", "T4", "T5", "T7", "T8", "T9"})
"""The default tax codes of Sage 50 that a domestic journal may have; T9 keeps a line out of the VAT return."""


def xero(rows: list[Row], date_format: str = DAY_FIRST) -> list[str]:
    """Xero: narration, date, account code, tax rate, amount (+ debit); a rate by its full name; lines of one narration and date balance; 300 lines a file."""
    wrong = ["more than 300 lines"] if len(rows) > 300 else []
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        wrong += [
            f"{name} is empty"
            for name in ("*Narration", "*Date", "*AccountCode", "*TaxRate", "*Amount")
            if not row[name]
        ]
        wrong += _date(row["*Date"], date_format)
        wrong += [] if row["*TaxRate"] in XERO_TAX_RATES else [f"tax rate {row['*TaxRate']}"]
        sums[row["*Narration"], row["*Date"]] += Decimal(row["*Amount"])
    return wrong + [f"{narration} is out by {by}" for (narration, _), by in sums.items() if by]


def quickbooks(rows: list[Row], date_format: str = DAY_FIRST) -> list[str]:
    """QuickBooks Online: number of at most 21 characters, account by name, a debit or a credit, balanced per number."""
    wrong = []
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        number = row["Journal No"]
        wrong += [f"number {number}"] if not 0 < len(number) <= 21 else []
        wrong += _date(row["Journal Date"], date_format)
        wrong += [f"account {row['Account Name']} is a number"] if row["Account Name"].isdigit() else []
        wrong += ["a line needs one amount"] if bool(row["Debits"]) == bool(row["Credits"]) else []
        sums[number] += Decimal(row["Debits"] or 0) - Decimal(row["Credits"] or 0)
    return wrong + [f"{number} is out by {by}" for number, by in sums.items() if by]


def netsuite(rows: list[Row], date_format: str = DAY_FIRST) -> list[str]:
    """NetSuite: external id on every line, at least two lines, at most 10,000; 10 digits and 2 decimals; balanced."""
    wrong = []
    lines: dict[str, list[Decimal]] = defaultdict(list)
    for row in rows:
        wrong += ["a line without External ID"] if not row["External ID"] else []
        wrong += _date(row["Date"], date_format)
        for side in ("Debit", "Credit"):
            whole, _, part = row[side].partition(".")
            wrong += [f"{side} {row[side]}"] if len(whole) > 10 or len(part) > 2 or row[side].startswith("-") else []
        lines[row["External ID"]].append(Decimal(row["Debit"] or 0) - Decimal(row["Credit"] or 0))
    for name, amounts in lines.items():
        wrong += [f"{name} has {len(amounts)} lines"] if not 2 <= len(amounts) <= 10_000 else []
        wrong += [f"{name} is out by {sum(amounts)}"] if sum(amounts) else []
    return wrong


def sage(rows: list[Row], date_format: str = DAY_FIRST) -> list[str]:
    """Sage 50: JD or JC, a nominal of at least four digits, a default tax code, details of at most 60, positive amounts; debits = credits."""
    wrong = []
    balance = Decimal()
    for row in rows:
        wrong += [f"type {row['Type']}"] if row["Type"] not in {"JD", "JC"} else []
        wrong += [f"nominal {row['Nominal A/C Ref']}"] if not re.fullmatch(r"\d{4,8}", row["Nominal A/C Ref"]) else []
        wrong += [f"tax code {row['Tax Code']}"] if row["Tax Code"] not in SAGE_TAX_CODES else []
        wrong += _date(row["Date"], date_format)
        wrong += ["details are too long"] if len(row["Details"]) > 60 else []
        amount = Decimal(row["Net Amount"])
        wrong += [f"amount {amount}"] if amount <= 0 else []
        balance += amount if row["Type"] == "JD" else -amount
    return [*wrong, f"out by {balance}"] if balance else wrong


def generic(rows: list[Row], date_format: str = "yyyy-mm-dd") -> list[str]:
    """The generic file: ids on every line, plain decimals, balanced per journal."""
    wrong = []
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        wrong += _date(row["date"], date_format)
        wrong += [f"{side} {row[side]}" for side in ("debit", "credit") if not _AMOUNT.fullmatch(row[side])]
        try:
            sums[row["journal_id"]] += Decimal(row["debit"]) - Decimal(row["credit"])
        except InvalidOperation:
            wrong.append(f"{row['journal_id']} line {row['line_no']}")
    return wrong + [f"{name} is out by {by}" for name, by in sums.items() if by]


def _date(cell: str, date_format: str) -> list[str]:
    return [] if re.fullmatch(_DATES[date_format], cell) else [f"date {cell}"]


RULES = {"xero": xero, "quickbooks": quickbooks, "netsuite": netsuite, "sage": sage, "generic": generic}
