"""The reviewer metrics of a month: auto-match, value unmatched, days to close, post-close adjustments (finance 1.12).

Here: the one definition of each, and the words in which cover, page and Dagster show them. Not here: what is matched (the tables' codes) or
where a figure is drawn. The invariants: nothing is rounded in its favour, so that 100 % is all and nothing unmatched; a figure of a pack is
of its month alone, for what later months post against a locked one must not change it (``adjusted_since`` is told of beside it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from marketplace_returns.model import statement
from marketplace_returns.money import amount_text
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.reconciliation.close import PACKAGE, run_query
from marketplace_returns.reconciliation.invariants import counted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sum:
    """Some rows of a month-end table in one currency; ``amount_minor`` in its minor units.

    ``original_month`` is there where they are of another month, such as 2026-10.
    """

    currency: str
    rows: int
    amount_minor: int
    original_month: str = ""


@dataclass(frozen=True, slots=True)
class Metrics:
    """The reviewer metrics of a shop's month.

    Attributes:
        currency: the shop's; "" where the month has no data.
        matched: order lines, refunds and payout cycles that agree to the minor unit.
        in_time: those that are right and only not over yet.
        unmatched: all others.
        value_unmatched: of ``aged_unmatched`` without what is only timing, by currency, the shop's at least; amounts without their signs, of
            a payout cycle only what its order lines and refunds do not show by themselves.
        days_to_close: from the month's end in the shop's time zone to when it was closed last, in days; None while it was not.
        days_to_sign: the same to when it was signed.
        adjusted: of ``prior_period_adjustments``, what this month posts for earlier ones, by currency, the shop's at least, and month;
            + is owed by the marketplace.
    """

    currency: str
    matched: int
    in_time: int
    unmatched: int
    value_unmatched: tuple[Sum, ...]
    days_to_close: Decimal | None
    days_to_sign: Decimal | None
    adjusted: tuple[Sum, ...]

    @property
    def items(self) -> int:
        """How many order lines, refunds and payout cycles there are to match."""
        return self.matched + self.in_time + self.unmatched

    @property
    def auto_match_percent(self) -> Decimal | None:
        """Percent of all items that are matched, cut off after a tenth; None where there is none."""
        return Decimal(1000 * self.matched // self.items) / 10 if self.items else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric as people read it: its name, its figure, and what it is of."""

    name: str
    figure: str
    says: str


def month_metrics(con: DuckDBPyConnection, shop: str, month: Month) -> Metrics:
    """Return the metrics of a shop's month as the pack shows it; ``pack.show_month`` comes first."""
    found: dict[str, list[Sum]] = {}
    for measure, currency, original_month, rows, amount_minor in run_query(
        con, statement("metrics", PACKAGE), {"shop": shop}
    ).fetchall():
        found.setdefault(measure, []).append(Sum(currency, rows, amount_minor, original_month))
    (currency, prepared_at, approved_at, time_zone) = con.execute(
        "SELECT s.currency, s.prepared_at, s.approved_at, c.time_zone FROM shown_sign_off AS s JOIN setting.shops AS c USING (shop) WHERE shop = $shop",
        {"shop": shop},
    ).fetchone() or ("", None, None, "UTC")

    def rows_of(measure: str) -> int:
        return sum(each.rows for each in found.get(measure, ()))

    return Metrics(
        currency=currency,
        matched=rows_of("matched"),
        in_time=rows_of("in_time"),
        unmatched=rows_of("unmatched"),
        value_unmatched=_main_first(found.get("value_unmatched", []), currency),
        days_to_close=days_after(month, time_zone, prepared_at),
        days_to_sign=days_after(month, time_zone, approved_at),
        adjusted=_main_first(found.get("adjusted", []), currency),
    )


def adjusted_since(con: DuckDBPyConnection, shop: str, month: Month) -> list[Sum]:
    """Return what has been posted until now against each month before one, by month and currency; + is owed by the marketplace."""
    query = statement("metrics_adjusted_since", PACKAGE)
    rows = run_query(con, query, {"shop": shop, "month": str(month)}).fetchall()
    return [Sum(currency, count, amount_minor, original) for original, currency, count, amount_minor in rows]


def days_after(month: Month, time_zone: str, instant: datetime | None) -> Decimal | None:
    """Return the days from a month's end to an instant, to a tenth, which begun counts; None where there is no instant."""
    if instant is None:
        return None
    _, end = month_bounds(month, time_zone)
    return Decimal(-((end - instant) * 10 // _DAY)) / 10


def figures(metrics: Metrics) -> list[Figure]:
    """Return the metrics in words, in the order in which they are shown; one figure per currency."""
    percent = metrics.auto_match_percent
    shown = [
        Figure(
            "auto-match",
            "no data" if percent is None else f"{percent:.1f} %",
            f"{metrics.matched:,} of {metrics.items:,} order lines, refunds and payout cycles matched by key; "
            f"{metrics.in_time:,} only not over yet, {metrics.unmatched:,} unmatched",
        )
    ]
    for each in metrics.value_unmatched:
        says = f"{counted(each.rows, 'row')} of aged_unmatched that time alone does not explain, each penny once"
        shown.append(Figure("value unmatched", amount_text(each.amount_minor, each.currency), says))
    shown += [
        Figure("days to close", _days(metrics.days_to_close), "from the month's end until it was closed for review"),
        Figure("days to sign", _days(metrics.days_to_sign), "from the month's end until it was signed"),
    ]
    for currency in dict.fromkeys(each.currency for each in metrics.adjusted):
        of_currency = [each for each in metrics.adjusted if each.currency == currency]
        rows = counted(sum(each.rows for each in of_currency), "log line")
        months = ", ".join(f"{each.original_month} ({each.rows:,})" for each in of_currency if each.rows)
        shown.append(
            Figure(
                "post-close adjustments",
                amount_text(sum(each.amount_minor for each in of_currency), currency),
                f"{rows} posted in this month for months closed before" + (f": {months}" if months else ""),
            )
        )
    return shown


def _days(days: Decimal | None) -> str:
    return "not yet" if days is None else f"{days:.1f} days"


def _main_first(sums: Sequence[Sum], currency: str) -> tuple[Sum, ...]:
    """Put the shop's currency first, as 0 where there is nothing of it, which is a figure too, and a stray one after it."""
    none = [Sum(currency, 0, 0)] if currency and all(each.currency != currency for each in sums) else []
    return tuple(
        sorted((*sums, *none), key=lambda each: (each.currency != currency, each.currency, each.original_month))
    )
