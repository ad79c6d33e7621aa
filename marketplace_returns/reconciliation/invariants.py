"""Proves a closed month: the invariants I1 to I18, each with its difference and the rows that fail.

Here: running ``proofs/<invariant>.sql`` and turning rows into a result a person can read. Not here: what to do about a
failing proof (``variances``, the asset checks). The invariant: an identity has no tolerance, and no sum crosses currencies.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import all_threads
from marketplace_returns.model import statement
from marketplace_returns.money import to_decimal
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import is_large, month_parameters, run_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.settings import Shop

FAILING_MAX: Final = 20
"""Failing rows kept on a result; the rest is counted."""

INVARIANTS: Final[dict[str, tuple[str, str]]] = {
    "I1": ("payout", "statement = transaction log = payment, per payout cycle"),
    "I2": ("components", "each total of the statement = the log's types mapped to it"),
    "I3": ("roll_forward", "opening + movements = closing of the control account"),
    "I4": ("closing", "closing = what is not yet paid out, by an independent route"),
    "I5": ("order_ledger", "every order line is booked as ordered"),
    "I6": ("refunds", "refunds intended = made = settled, or coded"),
    "I7": ("caps", "no line or unit refunded beyond what was paid and shipped"),
    "I8": ("physical", "every received unit has a disposition and is accounted for"),
    "I9": ("evidence", "no refund without evidence"),
    "I10": ("stock", "what is on sale is what there is to sell"),
    "I11": ("proportional_tax", "refunds give back each tax in proportion, and whole lines all of it"),
    "I12": ("commission", "commissions and their credits are by the contract's rates, but for rounding"),
    "I13": ("vat", "VAT of sales and refunds by their documents = VAT the log booked, where it is logged"),
    "I14": ("accrual", "the refund liability rolls from the month before to closing, and is what is owed"),
    "I15": (
        "journals",
        "journals balance, agree with payouts, roll-forward and VAT, and what no cycle holds rolls from the month before",
    ),
    "I16": ("completeness", "orders and log name the same lines and refunds"),
    "I17": (
        "conservation",
        "each line and refund is one row and no row is double, matched or coded, and each that is coded is aged",
    ),
    "I18": ("currencies", "no sum crosses currencies"),
}

_PROOFS: Final = "marketplace_returns.reconciliation.proofs"
_BY_UNIT: Final = {"I8", "I14"}
"""Invariants that count returned units again (``proofs/counted_units.sql``)."""
COUNTED: Final = {"I10": "unit", "I17": "row", "I18": "entry"}
"""Invariants whose differences are counts, not money, and what they count (``counted``)."""


@dataclass(frozen=True, slots=True)
class FailingRow:
    """One row that breaks an invariant; the difference in minor units of its currency, or a count (``COUNTED``).

    ``explained`` says who explained it and in which exception the reason stands; empty where nobody did (``explanations``).
    """

    currency: str
    subject: str
    detail: str
    difference_minor: int
    explained: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one invariant says about a month.

    Attributes:
        id: I1 to I18.
        name: short name, also of the asset check.
        ok: no row fails; a month without data is ok and says so in ``message`` and ``has_data``.
        has_data: there was at least one row to check.
        difference_minor: sum of the failing rows' differences by currency, minor units.
        checked: rows looked at.
        failed: rows that fail.
        failing: the largest of them, at most ``FAILING_MAX``.
        message: one sentence for a person.
    """

    id: str
    name: str
    ok: bool
    has_data: bool
    difference_minor: dict[str, int]
    checked: int
    failed: int
    failing: tuple[FailingRow, ...]
    message: str


def check_month(con: DuckDBPyConnection, shop: Shop, month: Month) -> tuple[CheckResult, ...]:
    """Run every invariant over a closed month.

    ``con`` has been through ``model.attach`` and ``close.stage``; the month's tables are those of ``lake.recon``.
    """
    with all_threads(con) if is_large(con) else nullcontext():
        return tuple(check(con, shop, month, invariant) for invariant in INVARIANTS)


def check(con: DuckDBPyConnection, shop: Shop, month: Month, invariant: str) -> CheckResult:
    """Run one invariant over a closed month, as ``check_month``; BadArgument for an unknown one."""
    if invariant not in INVARIANTS:
        raise BadArgument(f"invariant {invariant!r} is not checked: use one of {', '.join(INVARIANTS)}")
    name, promise = INVARIANTS[invariant]
    query = proof_query(invariant)
    if invariant in _BY_UNIT:
        con.execute(statement("counted_units", _PROOFS))
    bound = month_parameters(shop, month)
    sums = run_query(
        con,
        f"""SELECT currency, count(*), count(*) FILTER (is_failing),
            CAST(coalesce(sum(difference_minor) FILTER (is_failing), 0) AS BIGINT)
        FROM ({query}) GROUP BY currency ORDER BY currency""",
        bound,
    ).fetchall()
    checked = sum(row[1] for row in sums)
    failed = sum(row[2] for row in sums)
    failing: tuple[FailingRow, ...] = ()
    if failed:
        worst = run_query(
            con,
            f"""SELECT currency, subject, detail, CAST(difference_minor AS BIGINT)
            FROM ({query}) WHERE is_failing ORDER BY abs(difference_minor) DESC, subject, detail LIMIT {FAILING_MAX}""",
            bound,
        ).fetchall()
        failing = tuple(FailingRow(*row) for row in worst)
    differences = {currency: difference for currency, _, fails, difference in sums if fails}
    return CheckResult(
        id=invariant,
        name=name,
        ok=not failed,
        has_data=bool(checked),
        difference_minor=differences,
        checked=checked,
        failed=failed,
        failing=failing,
        message=_message(
            f"{invariant}: {promise}",
            f"{shop.name} in {month}",
            (checked, failed),
            _together(differences, COUNTED.get(invariant)),
            failing,
        ),
    )


def proof_query(invariant: str) -> str:
    """Return the query of an invariant: rows of currency, subject, detail, difference_minor (minor units or a count), is_failing."""
    return statement(f"{invariant.lower()}_{INVARIANTS[invariant][0]}", _PROOFS)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, as people say it: 1 row, 2 rows, 3 entries."""
    if abs(count) != 1:
        noun = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun}"


def _together(differences: dict[str, int], noun: str | None) -> str:
    if noun:
        return counted(sum(differences.values()), noun)
    return ", ".join(f"{to_decimal(minor, currency)} {currency}" for currency, minor in differences.items())


def _message(promise: str, where: str, counts: tuple[int, int], together: str, failing: tuple[FailingRow, ...]) -> str:
    checked, failed = counts
    if not checked:
        return f"{promise}: no data for {where}"
    if not failed:
        return f"{promise}: holds for {counted(checked, 'row')}"
    first = failing[0]
    named = " ".join(part for part in (first.subject, first.detail) if part)
    differ = "differs" if failed == 1 else "differ"
    return f"{promise}: {failed} of {counted(checked, 'row')} {differ}, by {together} together; the largest is {named}"
