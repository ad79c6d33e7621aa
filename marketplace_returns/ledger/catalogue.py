"""The exception catalogue as an installation has it: who looks after a type, how loud, what to do, and when it is due.

Here: the delivered rules with the installation's own over them, the next step of each type, and the clock cut by the shop's working
hours. Not here: opening an exception. The invariant: an exception with a deadline of its own keeps that deadline; every other is
due when so many working hours of its shop have passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.mappings import ExceptionRule, Severity, load_mappings
from marketplace_returns.settings import Shop

HALF: Final = 50
MOST: Final = 80
ALL: Final = 100
DEFAULT_RULE: Final = ExceptionRule(
    type="*", owner="operations", severity=Severity.HIGH, sla_hours=24, playbook="docs/playbooks.md"
)

WORSENS_TO: Final[Mapping[str, str]] = MappingProxyType({"REFUND_DUE_SOON": "REFUND_OVERDUE"})
"""The types that end because they became another one, about the same and for the same cause: that is no recovery."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When half, four fifths and all of an exception's clock are used, as UTC instants."""

    half_used_at: datetime
    most_used_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The rules by type, and the shops whose working hours the clocks run in."""

    rules: Mapping[str, ExceptionRule]
    shops: Mapping[str, Shop]

    @classmethod
    def load(cls, mappings_dir: Path, shops: Mapping[str, Shop]) -> Catalogue:
        """Read the rules: a row of the installation's ``exceptions.csv`` replaces the delivered one. Raises BadMapping."""
        own = load_mappings(mappings_dir).exceptions if mappings_dir.is_dir() else ()
        return cls({**default_rules(), **{rule.type: rule for rule in own}}, shops)

    def rule(self, exception_type: str) -> ExceptionRule:
        """Return the rule of a type; one that the catalogue lacks is operations', high, 24 hours."""
        return self.rules.get(exception_type, DEFAULT_RULE)

    def deadline(self, plan: ExceptionPlan, opened_at: datetime) -> Deadline:
        """Cut the clock of an exception that opens."""
        if plan.due_at is not None:
            whole = max(plan.due_at - opened_at, timedelta(0))
            return Deadline(opened_at + whole * (HALF / ALL), opened_at + whole * (MOST / ALL), plan.due_at)
        whole = timedelta(hours=self.rule(plan.type).sla_hours)
        shop = self.shops.get(plan.shop)
        if shop is None or plan.type in shop.calendar.round_the_clock:
            return Deadline(opened_at + whole * (HALF / ALL), opened_at + whole * (MOST / ALL), opened_at + whole)
        hours = shop.business_hours
        half, most, due = (hours.after(opened_at, whole * (percent / ALL)) for percent in (HALF, MOST, ALL))
        return Deadline(half, most, due)

    def day_begins(self, shop: str, day: date) -> datetime:
        """Return the instant a day of a shop begins for its people: the opening hour of its calendar, else midnight there."""
        known = self.shops.get(shop)
        return known.business_hours.open_on(day)[0] if known else datetime.combine(day, time(), UTC)


def default_rules() -> dict[str, ExceptionRule]:
    """Return owner, severity, hours and playbook of every exception type, as shipped."""
    return {rule.type: rule for rule in load_mappings(Path(__file__).parent).exceptions}


@cache
def actions() -> Mapping[str, str]:
    """Return the next step of every type, in the playbooks' own words: ``actions.json`` is made from that page."""
    return msgspec.json.decode((Path(__file__).parent / "actions.json").read_bytes(), type=dict[str, str])
