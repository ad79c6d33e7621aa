"""What is on the checklist: the daily, weekly and monthly checks of each department's manual.

Here: each line, whose it is, where to look and what speaks against it. Not here: when it is due, or ticking it (``checklist``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Row = Mapping[str, Any]

CADENCES: Final = ("daily", "weekly", "monthly")
HOURS_OF_A_WEEK: Final = 168


def _always(_: Row) -> bool:
    return True


def _never(_: Row) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the list: what must hold, whose it is, how often, and where to look.

    That is a monitoring table, with which of its rows speak against it (none: a person judges), or another place: a page of the console
    (``look`` begins with a stroke), a command, or words.
    """

    key: str
    item: str
    owner: str
    cadence: str
    table: str = ""
    speaks_against: Callable[[Row], bool] = _never
    look: str = ""


def _own(owner: str) -> Item:
    return Item(
        f"exceptions_{owner}",
        "Your open exceptions, the critical ones first: none is past its clock",
        owner,
        "daily",
        look=f"/exceptions?owner={owner}",
    )


def _of_type(exception_type: str, item: str, owner: str, cadence: str) -> Item:
    return Item(exception_type.lower(), item, owner, cadence, look=f"/exceptions?type={exception_type}")


ITEMS: Final = (
    # operations
    _own("operations"),
    _of_type("ACK_OVERDUE", "No order waits for acceptance", "operations", "daily"),
    Item("stock_drift", "Offers have what the warehouse has", "operations", "daily", "stock_drift", _always),
    Item(
        "despatch_unconfirmed",
        "No parcel waits for its confirmation",
        "operations",
        "daily",
        "despatch_vs_shipped",
        lambda row: row["state"] == "DESPATCHED_NOT_SHIPPED",
    ),
    Item(
        "stock_in_time",
        "Stock is read and pushed in time, as operations sees it",
        "operations",
        "daily",
        "stock_sync",
        lambda row: row["is_reading_stale"] or row["is_push_stale"],
    ),
    Item(
        "returns_created",
        "Every return is on the returns platform",
        "operations",
        "daily",
        "failed_return_creations",
        _always,
    ),
    Item("drift", "No drift between systems is unowned", "operations", "daily", "open_drift", _always),
    Item(
        "drift_old",
        "No drift between systems is older than a week",
        "operations",
        "weekly",
        "open_drift",
        lambda row: row["age_hours"] >= HOURS_OF_A_WEEK,
    ),
    Item(
        "sku_audit",
        "Offers and items agree; the list went to whoever owns product data",
        "operations",
        "weekly",
        "sku_audit",
        lambda row: row["difference"] != "extra",
    ),
    Item(
        "seller_rating",
        "Late acceptance, late despatch and cancellations are not rising",
        "operations",
        "weekly",
        "seller_metrics",
    ),
    Item("trends_operations", "Touchless share and age of exceptions are not worse", "operations", "weekly", "trends"),
    Item("system_audit", "The system audit finds no new gap", "operations", "weekly", look="marketplace-returns check"),
    Item(
        "alerts_test",
        "Each alert channel shows the test message",
        "operations",
        "weekly",
        look="marketplace-returns alerts test",
    ),
    Item(
        "mapping_review",
        "Every code that was seen is mapped",
        "operations",
        "monthly",
        "mapping_review",
        lambda row: row["state"] == "unmapped",
    ),
    Item(
        "penalties_operations",
        "The three dearest fees went to the monthly meeting",
        "operations",
        "monthly",
        "penalties",
    ),
    Item(
        "snoozed",
        "Each snoozed exception is ended or stays quiet for a reason",
        "operations",
        "monthly",
        look="/exceptions?shown=snoozed",
    ),
    # warehouse
    _own("warehouse"),
    Item(
        "order_coverage",
        "Every shippable order is in the warehouse",
        "warehouse",
        "daily",
        "order_coverage",
        lambda row: row["state"] == "missing",
    ),
    _of_type("INSPECTION_OVERDUE", "No parcel that came waits to be opened", "warehouse", "daily"),
    Item(
        "shipped_without_parcel",
        "No line is shipped without a parcel",
        "warehouse",
        "daily",
        "despatch_vs_shipped",
        lambda row: row["state"] == "SHIPPED_NOT_DESPATCHED",
    ),
    _of_type(
        "RECEIPT_UNEXPECTED", "Each unexpected receipt is booked right or its return opened", "warehouse", "weekly"
    ),
    _of_type("ASN_MISSING", "Few parcels came unannounced", "warehouse", "weekly"),
    Item("sku_audit_warehouse", "Items that only one side knows are cleared up", "warehouse", "weekly", "sku_audit"),
    Item(
        "conditions",
        "Conditions are booked consistently; blank reasons do not pile up",
        "warehouse",
        "monthly",
        "reason_quality",
    ),
    Item(
        "physical_roll",
        "What came is inspected, sold again, disposed of or waits; what left is paid",
        "warehouse",
        "monthly",
        look="with finance: returns_physical_roll and despatch_vs_revenue in the month's pack",
    ),
    # customer care
    _own("customer_experience"),
    _of_type("REFUND_OVERDUE", "No refund is late", "customer_experience", "daily"),
    _of_type("REFUND_DUE_SOON", "Somebody is at work on each refund that is due soon", "customer_experience", "daily"),
    Item(
        "reflections",
        "The marketplace shows what the warehouse did",
        "customer_experience",
        "daily",
        "overdue_reflections",
        _always,
    ),
    _of_type(
        "RECEIPT_WRONG_ITEM",
        "Of no wrong item the customer is waited for longer than 3 days",
        "customer_experience",
        "weekly",
    ),
    _of_type(
        "RECEIPT_SHORT",
        "Of no missing item the customer is waited for longer than 3 days",
        "customer_experience",
        "weekly",
    ),
    _of_type("INCIDENT_DRIFT", "No incident is open whose return has ended", "customer_experience", "weekly"),
    Item("refund_times", "Time from receipt to refund is not rising", "customer_experience", "weekly", "trends"),
    Item(
        "reasons",
        "The share of 'other' among reasons is low, or better words are asked for",
        "customer_experience",
        "monthly",
        "reason_quality",
    ),
    Item(
        "sentences",
        "The playbooks' sentences to customers are clear",
        "customer_experience",
        "monthly",
        look="/playbooks",
    ),
    # finance
    _own("finance"),
    _of_type("REFUND_CONFLICT", "No money may have been paid twice, or it is worked on", "finance", "daily"),
    Item(
        "payout_at_risk",
        "No refund waits for balance, no parcel for money",
        "finance",
        "daily",
        "payout_at_risk",
        _always,
    ),
    Item("rehearsal", "Last night's rehearsal of the close has no red check", "finance", "daily", look="/periods"),
    Item("payouts", "Each payout cycle is proven and the bank shows the same", "finance", "weekly", look="/periods"),
    Item(
        "commission",
        "Commission that was not given back is claimed",
        "finance",
        "weekly",
        "commission_credits",
        _always,
    ),
    _of_type("REFUND_MANUAL_ADOPTED", "Each refund made by hand has a name and a reason", "finance", "weekly"),
    Item(
        "history", "The history is whole; its last hash is kept elsewhere", "finance", "weekly", look="/history?prove=1"
    ),
    Item(
        "penalties",
        "Every penalty fee is explained",
        "finance",
        "monthly",
        "penalties",
        lambda row: row["late_step"] == "unexplained",
    ),
    Item(
        "types",
        "Every type of ledger line is mapped",
        "finance",
        "monthly",
        "transaction_types",
        lambda row: row["component"] == "unmapped",
    ),
    Item(
        "close",
        "The month before is closed and signed, its journals are in the books",
        "finance",
        "monthly",
        look="/periods",
    ),
    Item(
        "by_hand",
        "What was done by hand and what is owed for goods that came is looked through",
        "finance",
        "monthly",
        look="manual_portal_actions and refund_accrual_bridge in the month's pack",
    ),
    Item(
        "restore",
        "A restore was tried, and a month read the same",
        "finance",
        "monthly",
        look="marketplace-returns restore",
    ),
    # integration
    Item(
        "stock_sync",
        "Stock is read and pushed in time",
        "integration",
        "daily",
        "stock_sync",
        lambda row: row["is_reading_stale"] or row["is_push_stale"],
    ),
    Item(
        "causes",
        "Every failure has its cause",
        "integration",
        "daily",
        "failure_causes",
        lambda row: row["root_cause"] == "none",
    ),
    Item("new_values", "No value is new", "integration", "monthly", "new_values", _always),
)
