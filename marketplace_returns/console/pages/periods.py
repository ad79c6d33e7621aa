"""Months: where each stands, its proofs, and closing, signing and reopening by two people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from starlette.responses import Response

from marketplace_returns.console.page import NotThere, Overtaken, Page, Visit
from marketplace_returns.console.roles import Permission
from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.periods import Month, month_of
from marketplace_returns.reconciliation.evidence import Proof, kept_proofs

OPEN_MONTHS_SHOWN: Final = 3
MONTHS_SHOWN: Final = 24


@dataclass(frozen=True, slots=True)
class Shown:
    """A month of a shop, and its proofs as they were when it was last closed or signed."""

    period: Period
    proofs: Sequence[Proof]

    @property
    def failing(self) -> Sequence[Proof]:
        """The proofs that do not hold."""
        return [each for each in self.proofs if each.result == "VARIANCE"]

    @property
    def proven(self) -> int:
        """How many proofs hold."""
        return sum(each.result == "PROVEN" for each in self.proofs)


def show(visit: Visit) -> Response:
    """Show the newest months of every shop."""
    shops = {name: [_shown(visit, each) for each in _months(visit, name)] for name in sorted(visit.settings.shops)}
    return visit.render("periods.html", shops=shops)


def show_one(visit: Visit) -> Response:
    """Show a month of a shop with its proofs, and what may be done with it."""
    shop, month = _asked(visit)
    return visit.render("period.html", each=_shown(visit, visit.ledger.period(shop, month)), states=PeriodState)


def close(visit: Visit) -> Response:
    """Close a month for review."""
    from marketplace_returns.orchestration import month as months  # noqa: PLC0415 - loads what only closing needs

    shop, month = _as_it_was(visit)
    closed, _ = months.prepare(visit.app, shop, month, by=visit.by, run_id=f"close-{uuid4().hex[:12]}")
    failing = [each.id for each in closed.checks if not each.ok]
    proofs = f"{', '.join(failing)} do not hold" if failing else "all proofs hold"
    return visit.go(f"/periods/{shop}/{month}", f"{month} of {shop} is closed: {proofs}. Somebody else signs it.")


def sign(visit: Visit) -> Response:
    """Sign a month in review, or lock one that is signed."""
    from marketplace_returns.orchestration import month as months  # noqa: PLC0415 - as above

    shop, month = _as_it_was(visit)
    reason = visit.said("reason", "the reason", is_needed=False)
    period = months.sign(visit.app, shop, month, by=visit.by, reason=reason)
    return visit.go(f"/periods/{shop}/{month}", f"{month} of {shop} is {period.state}.")


def reopen(visit: Visit) -> Response:
    """Open a month again, with a reason."""
    from marketplace_returns.orchestration import month as months  # noqa: PLC0415 - as above

    shop, month = _as_it_was(visit)
    months.reopen(visit.app, shop, month, by=visit.by, reason=visit.said("reason", "the reason"))
    return visit.go(f"/periods/{shop}/{month}", f"{month} of {shop} is open again.")


def _asked(visit: Visit) -> tuple[str, Month]:
    shop = str(visit.place["shop"])
    if shop not in visit.settings.shops:
        raise NotThere(f"There is no shop {shop} in the settings.")
    return shop, Month.parse(str(visit.place["month"]))


def _as_it_was(visit: Visit) -> tuple[str, Month]:
    """Return the month a form is about; Overtaken where it is not as the form's page showed it."""
    shop, month = _asked(visit)
    found = visit.ledger.period(shop, month)
    if visit.form.get("seen", "") != _seen(found):
        raise Overtaken(f"{month} of {shop} is {found.state} now, not as the page showed it: look at it again.")
    return shop, month


def _seen(period: Period) -> str:
    """Return what tells one state of a month from another."""
    return f"{period.state} {period.manifest_hash} {period.updated_at}"


def _months(visit: Visit, shop: str) -> list[Period]:
    """Return the months of a shop that have a state, and the last few that are over, newest first."""
    known = {each.month: each for each in visit.ledger.periods(shop)}
    month = month_of(visit.clock.now(), visit.settings.shops[shop].time_zone)
    for _ in range(OPEN_MONTHS_SHOWN):
        month = month.previous()
        known.setdefault(month, Period(shop, month))
    return sorted(known.values(), key=lambda each: each.month, reverse=True)[:MONTHS_SHOWN]


def _shown(visit: Visit, period: Period) -> Shown:
    """Read a month's proofs out of the pack that closing keeps; a month that is open has none."""
    if period.state is PeriodState.OPEN:
        return Shown(period, ())
    return Shown(period, kept_proofs(visit.settings.data_dir, period))


PAGES = (
    Page("/periods", Permission.SEE_PERIODS, show=show, title="Months"),
    Page("/periods/{shop}/{month}", Permission.SEE_PERIODS, show=show_one),
    Page("/periods/{shop}/{month}/close", Permission.CLOSE_PERIODS, act=close, needs_lake=True),
    Page("/periods/{shop}/{month}/sign", Permission.CLOSE_PERIODS, act=sign, needs_lake=True),
    Page("/periods/{shop}/{month}/reopen", Permission.CLOSE_PERIODS, act=reopen, needs_lake=True),
)
