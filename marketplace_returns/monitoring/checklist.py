"""The daily and monthly checks of operations and finance, judged by the tables (R38, R42, R93).

Here: what is on the list, who looks at it, and when an item is in order. Not here: who ticked it (the run that looks says
that), the tables themselves. The invariant: an item is in order only where its table says so; nobody can tick it in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from marketplace_returns.monitoring.watch import Seen

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the list: what must hold, whose it is, how often, and which rows of a table speak against it."""

    item: str
    owner: str
    cadence: str
    table: str
    speaks_against: Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class Judged:
    """An item with what was found: how many rows speak against it, and one of them."""

    item: Item
    open_rows: int
    example: str

    @property
    def is_in_order(self) -> bool:
        """Whether nothing speaks against it."""
        return self.open_rows == 0


def _always(_: Row) -> bool:
    return True


ITEMS: Final = (
    Item(
        "Every shippable order is in the warehouse",
        "warehouse",
        "daily",
        "order_coverage",
        lambda row: row["state"] == "missing",
    ),
    Item(
        "Stock is read and pushed in time",
        "integration",
        "daily",
        "stock_sync",
        lambda row: row["is_reading_stale"] or row["is_push_stale"],
    ),
    Item("Offers have what the warehouse has", "operations", "daily", "stock_drift", _always),
    Item(
        "No parcel waits for its confirmation",
        "operations",
        "daily",
        "despatch_vs_shipped",
        lambda row: row["state"] == "DESPATCHED_NOT_SHIPPED",
    ),
    Item(
        "No line is shipped without a parcel",
        "warehouse",
        "daily",
        "despatch_vs_shipped",
        lambda row: row["state"] == "SHIPPED_NOT_DESPATCHED",
    ),
    Item("Every return is on the returns platform", "operations", "daily", "failed_return_creations", _always),
    Item(
        "The marketplace shows what the warehouse did", "customer_experience", "daily", "overdue_reflections", _always
    ),
    Item(
        "Every failure has its cause", "integration", "daily", "failure_causes", lambda row: row["root_cause"] == "none"
    ),
    Item("No drift between systems is unowned", "operations", "daily", "open_drift", _always),
    Item("No refund waits for balance, no parcel for money", "finance", "daily", "payout_at_risk", _always),
    Item("Offers and items agree", "operations", "daily", "sku_audit", lambda row: row["difference"] != "extra"),
    Item(
        "Every penalty fee is explained",
        "finance",
        "monthly",
        "penalties",
        lambda row: row["late_step"] == "unexplained",
    ),
    Item(
        "Every code that was seen is mapped",
        "operations",
        "monthly",
        "mapping_review",
        lambda row: row["state"] == "unmapped",
    ),
    Item("No value is new", "integration", "monthly", "new_values", _always),
)


def judge(seen: Mapping[str, Seen]) -> list[Judged]:
    """Judge every item by the tables as they were seen."""
    judged = []
    for item in ITEMS:
        against = [row for row in seen[item.table].dicts() if item.speaks_against(row)]
        example = ", ".join(str(value) for value in list(against[0].values())[:3]) if against else ""
        judged.append(Judged(item, len(against), example))
    return judged
