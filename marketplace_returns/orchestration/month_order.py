"""The order of a shop's months: each stands on the one before it, whichever of them is closed, signed or opened.

Here: what the other months say to a step of one. Not here: the step itself (``month``), or which state may follow which (the ledger's
periods). The invariant: what comes late is posted in exactly one month. So no month is closed or opened under a signed one, and none is
signed over one that is not signed, or that was closed after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from marketplace_returns.errors import BadArgument, PeriodLocked
from marketplace_returns.ledger.periods import FINAL, Period
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import SignedMonth, ensure_tables
from marketplace_returns.reconciliation.tables import MONTHS

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App


def signed(period: Period) -> SignedMonth | None:
    """Return where a signed month is kept; None where it is not signed."""
    return SignedMonth.of(period) if period.state in FINAL else None


def stood_on(app: App, shop_name: str, month: Month) -> SignedMonth | None:
    """Return the month before one that is made, where it is closed: what came for it since is posted in this one.

    In review too, for it is signed as it was closed: what landed between the two closes would else be in neither month.
    """
    return SignedMonth.of(app.ledger.period(shop_name, month.previous()))


def check_none_signed_after(app: App, shop_name: str, month: Month) -> None:
    """Raise BadArgument where a later month is signed: it opens with what this one closed, or with all that was there before it."""
    later = [each for each in app.ledger.periods(shop_name) if each.month > month and each.state in FINAL]
    if later:
        raise BadArgument(
            f"{later[0].month} of {shop_name} is {later[0].state} and opens with what {month} closed: reopen it first"
        )


def check_stands(app: App, period: Period) -> None:
    """Hold a month that is to be signed against those before it.

    Raises:
        BadArgument: one of them is not signed: the last before it, or any since the last that is.
        PeriodLocked: the signed one was closed after this one, which opens with other figures.
    """
    shop, month = period.shop, period.month
    ended = [each for each in app.ledger.periods(shop) if each.month < month and each.state in FINAL]
    unsigned = _between(ended[-1].month, month) if ended else _made_before(app, shop, month)
    if unsigned:
        raise BadArgument(
            f"{unsigned[0]} of {shop} is not signed, and what comes late for it would be posted twice, there and after {month}: "
            f"close and sign {unsigned[0]} first"
        )
    if ended and int(ended[-1].lake_snapshot or 0) > int(period.lake_snapshot or 0):
        raise PeriodLocked(
            f"{ended[-1].month} of {shop} was closed anew after {month}, which opens with other figures and posts what came late for it: "
            f"nothing was signed; close {month} again and review it"
        )


def _between(first: Month, last: Month) -> list[Month]:
    """Return the months after one and before another."""
    found = [first.next()]
    while found[-1] < last:
        found.append(found[-1].next())
    return found[:-1]


def _made_before(app: App, shop_name: str, month: Month) -> list[Month]:
    """Return the earlier months of a shop whose tables are kept."""
    con = app.modelled()
    ensure_tables(app.lake, con)
    made = con.execute(
        f"SELECT month FROM {MONTHS.path} WHERE shop = ? AND month < ? ORDER BY month", [shop_name, str(month)]
    )
    return [Month.parse(text) for (text,) in made.fetchall()]
