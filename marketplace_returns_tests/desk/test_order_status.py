"""The truth table of the status sentence: facts in, one sentence, the next step and its owner out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marketplace_returns.desk.order_status import OrderFacts, Problem, ReturnFacts, Status, Told, WriteFacts, tell
from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.ledger.states import DONE, State
from marketplace_returns.settings import WriteKind

pytestmark = pytest.mark.proves("R24", "R46")

OWNERS = {name: rule.owner for name, rule in default_rules().items()}
NOW = datetime(2026, 11, 15, 9, tzinfo=UTC)
ORDERED = datetime(2026, 11, 1, 10, tzinfo=UTC)
OPENED = datetime(2026, 11, 8, 10, tzinfo=UTC)
POSTED = datetime(2026, 11, 11, 10, tzinfo=UTC)
# 23:30 UTC is the next day in Paris, so that the shop's zone shows.
RECEIVED = datetime(2026, 11, 13, 23, 30, tzinfo=UTC)
DUE = datetime(2026, 11, 18, 12, tzinfo=UTC)

ORDER = OrderFacts(
    order_id="O1",
    commercial_id="O1",
    order_state="RECEIVED",
    currency="GBP",
    total_minor=4200,
    ordered_at=ORDERED,
    accepted_at=ORDERED,
    shipping_deadline_at=None,
    is_in_warehouse=True,
    has_incident=False,
    despatched_at=ORDERED + timedelta(days=1),
    shipped_at=ORDERED + timedelta(days=1),
    delivered_at=ORDERED + timedelta(days=3),
    refunded_minor=0,
)
RETURN = ReturnFacts(
    return_id="R1",
    return_state="IN_PROGRESS",
    is_void=False,
    is_ended=False,
    platform_return_id="",
    status="",
    tracking_number="",
    requested_at=OPENED,
    shipped_at=None,
    received_at=None,
    inspected_at=None,
    units=1,
    inspected_units=0,
    accepted_units=0,
    refused_units=0,
    unmapped_units=0,
    refused_as="",
    unmapped_word="",
    refunds=0,
    refunds_paid=0,
    refunded_minor=0,
    refunded_at=None,
    paid_at=None,
    value_minor=2500,
    refund_due_at=None,
)
ON_PLATFORM = replace(RETURN, platform_return_id="P1", status="approved")
IN_TRANSIT = replace(ON_PLATFORM, shipped_at=POSTED, status="in_transit")
ARRIVED = replace(IN_TRANSIT, received_at=RECEIVED, refund_due_at=DUE)
INSPECTED = replace(ARRIVED, inspected_at=NOW - timedelta(days=1), inspected_units=1, accepted_units=1)
DAMAGED = replace(INSPECTED, accepted_units=0, refused_units=1, refused_as="wrong_item")
UNMAPPED = replace(INSPECTED, accepted_units=0, unmapped_units=1, unmapped_word="odd|true")
REFUNDED = replace(INSPECTED, refunds=1, refunded_minor=2500, refunded_at=NOW - timedelta(hours=2))
PAID = replace(REFUNDED, refunds_paid=1, paid_at=NOW - timedelta(hours=1))


def told(
    *returns: ReturnFacts,
    order: OrderFacts = ORDER,
    writes: tuple[WriteFacts, ...] = (),
    problems: tuple[Problem, ...] = (),
) -> Told:
    return tell(order, returns, writes, problems, owners=OWNERS, time_zone="Europe/Paris", now=NOW)


@pytest.mark.parametrize(
    ("facts", "stage", "sentence", "owner", "due_at"),
    [
        (RETURN, "requested", "return opened 8 Nov, not yet on the returns platform", "operations", None),
        (
            ON_PLATFORM,
            "awaiting_parcel",
            "return opened 8 Nov, the customer has not posted the parcel yet",
            "customer",
            None,
        ),
        (IN_TRANSIT, "in_transit", "parcel on its way back since 11 Nov, not received yet", "carrier", None),
        (
            replace(ON_PLATFORM, status="at_hub"),
            "in_transit",
            "parcel on its way back, not received yet",
            "carrier",
            None,
        ),
        (
            ARRIVED,
            "received",
            "parcel received 14 Nov, waiting for inspection, refund due by 18 Nov",
            "warehouse",
            DUE,
        ),
        (
            replace(ARRIVED, units=3, inspected_units=1, accepted_units=1),
            "received",
            "parcel received 14 Nov, 1 of 3 units inspected, waiting for inspection, refund due by 18 Nov",
            "warehouse",
            DUE,
        ),
        (
            UNMAPPED,
            "held",
            "inspected 14 Nov as 'odd|true', a word nobody has mapped yet, refund due by 18 Nov",
            "operations",
            DUE,
        ),
        (
            INSPECTED,
            "inspected",
            "inspected 14 Nov and accepted, refund not planned yet, refund due by 18 Nov",
            "customer_experience",
            DUE,
        ),
        (
            DAMAGED,
            "not_accepted",
            "inspected 14 Nov: wrong item, so nothing is refunded",
            "customer_experience",
            None,
        ),
        (
            replace(DAMAGED, is_ended=True),
            "not_accepted",
            "inspected 14 Nov: wrong item, so nothing is refunded",
            "",
            None,
        ),
        (
            REFUNDED,
            "paying",
            "refund of 25.00 GBP requested 15 Nov, the marketplace pays it out",
            "marketplace",
            DUE,
        ),
        (PAID, "refunded", "25.00 GBP refunded 15 Nov", "", None),
        (
            replace(PAID, units=2, inspected_units=2, refused_units=1, refused_as="damaged"),
            "refunded",
            "25.00 GBP refunded 15 Nov; 1 unit refused as damaged",
            "",
            None,
        ),
        (
            replace(PAID, units=2),
            "received",
            "parcel received 14 Nov, 1 of 2 units inspected, waiting for inspection, refund due by 18 Nov",
            "warehouse",
            DUE,
        ),
        (
            replace(RETURN, is_void=True, is_ended=True, return_state="CANCELED"),
            "void",
            "return cancelled, nothing came back and nothing is refunded",
            "",
            None,
        ),
        (
            replace(RETURN, is_void=True, is_ended=True, return_state="REFUSED"),
            "void",
            "return refused, nothing came back and nothing is refunded",
            "",
            None,
        ),
        (
            replace(INSPECTED, is_void=True, is_ended=True, return_state="CANCELED"),
            "ended",
            "return ended as CANCELED, inspected 14 Nov, not refunded",
            "customer_experience",
            DUE,
        ),
        (
            replace(IN_TRANSIT, is_ended=True, return_state="NO_RECEPTION"),
            "ended",
            "return ended as NO_RECEPTION, no parcel was seen and nothing is refunded",
            "",
            None,
        ),
    ],
)
def test_each_stage_of_a_return_has_its_sentence_and_owner(
    facts: ReturnFacts, stage: str, sentence: str, owner: str, due_at: datetime | None
) -> None:
    status = told(facts).returns["R1"]
    assert (status.stage, status.sentence, status.owner, status.due_at) == (stage, sentence, owner, due_at)
    assert bool(status.next_step) == bool(status.owner), "a step has an owner, and an owner a step"


@pytest.mark.parametrize(
    ("state", "stage", "said", "owner"),
    [
        (State.PLANNED, "planned", "refund is about to be sent, refund due by 18 Nov", "customer_experience"),
        (State.SENDING, "sending", "the refund is being sent", "customer_experience"),
        (State.UNKNOWN, "unclear", "the refund was sent and its answer was lost", "finance"),
        (State.CONFLICT, "conflict", "the refund met another one at the marketplace and was not sent", "finance"),
        (State.REJECTED, "rejected", "the marketplace refused the refund", "finance"),
        (State.SHADOWED, "shadow", "the refund is worked out but not sent (shadow)", "customer_experience"),
        (State.CONFIRMED, "sent", "refund sent to the marketplace, which does not show it yet", "marketplace"),
        (State.REFLECTED, "sent", "refund sent to the marketplace, which does not show it yet", "marketplace"),
        (State.SUPERSEDED, "inspected", "refund not planned yet, refund due by 18 Nov", "customer_experience"),
    ],
)
def test_each_state_of_a_refund_is_told(state: State, stage: str, said: str, owner: str) -> None:
    status = told(INSPECTED, writes=(WriteFacts(WriteKind.REFUND, state, "R1"),)).returns["R1"]
    assert (status.stage, status.owner) == (stage, owner)
    assert status.sentence.endswith(said)


def test_every_state_of_a_write_has_words() -> None:
    for state in State:
        status = told(INSPECTED, writes=(WriteFacts(WriteKind.REFUND, state, "R1"),)).order
        assert status.owner
        assert (status.stage == "sent") == (state in DONE)


def test_a_refund_of_another_return_says_nothing_of_this_one() -> None:
    other = replace(INSPECTED, return_id="R2")
    both = told(INSPECTED, other, writes=(WriteFacts(WriteKind.REFUND, State.UNKNOWN, "R2"),)).returns
    assert (both["R1"].stage, both["R2"].stage) == ("inspected", "unclear")


def test_a_refund_that_must_wait_says_until_when() -> None:
    parked = WriteFacts(WriteKind.REFUND, State.PLANNED, "R1", NOW + timedelta(days=2))
    assert "not before 17 Nov" in told(INSPECTED, writes=(parked,)).order.sentence
    over = replace(parked, not_before=NOW - timedelta(days=1))
    assert "not before" not in told(INSPECTED, writes=(over,)).order.sentence


@pytest.mark.parametrize(
    ("changes", "stage", "sentence", "owner"),
    [
        (
            {"order_state": "WAITING_ACCEPTANCE"},
            "waiting_acceptance",
            "ordered 1 Nov, waiting to be accepted",
            "operations",
        ),
        (
            {"order_state": "WAITING_DEBIT_PAYMENT"},
            "waiting_debit",
            "accepted 1 Nov, the customer's payment is awaited",
            "marketplace",
        ),
        (
            {"order_state": "SHIPPING", "is_in_warehouse": False, "despatched_at": None},
            "to_warehouse",
            "ordered 1 Nov, not yet in the warehouse",
            "warehouse",
        ),
        (
            {"order_state": "SHIPPING", "despatched_at": None, "shipping_deadline_at": NOW},
            "picking",
            "ordered 1 Nov, in the warehouse, to leave by 15 Nov",
            "warehouse",
        ),
        ({"order_state": "SHIPPING"}, "despatched", "despatched 2 Nov, the marketplace is not told yet", "operations"),
        ({"order_state": "SHIPPED"}, "sent", "sent 2 Nov, no return opened", ""),
        ({"order_state": "RECEIVED"}, "delivered", "delivered 4 Nov, no return opened", ""),
        ({"refunded_minor": 4200}, "refunded", "42.00 GBP refunded, with no return known", ""),
        ({"order_state": "CANCELED"}, "cancelled", "ordered 1 Nov, cancelled, nothing is sent", ""),
        ({"order_state": "REFUSED"}, "cancelled", "ordered 1 Nov, refused, nothing is sent", ""),
        (
            {"order_state": "RECEIVED", "delivered_at": datetime(2025, 12, 31, 23, 30, tzinfo=UTC)},
            "delivered",
            "delivered 1 Jan, no return opened",
            "",
        ),
        (
            {"order_state": "RECEIVED", "delivered_at": datetime(2025, 11, 4, tzinfo=UTC)},
            "delivered",
            "delivered 4 Nov 2025, no return opened",
            "",
        ),
    ],
)
def test_an_order_without_returns_tells_its_own_state(
    changes: dict[str, Any], stage: str, sentence: str, owner: str
) -> None:
    status = told(order=replace(ORDER, **changes)).order
    assert (status.stage, status.sentence, status.owner) == (stage, sentence, owner)


def test_an_open_exception_says_what_comes_next_and_who_sees_to_it() -> None:
    mapping = Problem("REASON_UNMAPPED", "ana", "Add a row to reasons.csv", DUE - timedelta(days=2), "R1")
    clock = Problem(
        "REFUND_OVERDUE", "customer_experience", "Return R1 must be refunded", DUE - timedelta(days=3), "R1"
    )
    status = told(INSPECTED, problems=(clock, mapping)).order
    assert status == Status(
        "inspected",
        "inspected 14 Nov and accepted, refund not planned yet, refund due by 18 Nov; held by REASON_UNMAPPED, ana sees to it by "
        "16 Nov",
        "Add a row to reasons.csv",
        "ana",
        mapping.due_at,
    )


def test_a_clock_alone_changes_no_step() -> None:
    clock = Problem("REFUND_OVERDUE", "customer_experience", "Return R1 must be refunded", DUE, "R1")
    status = told(ARRIVED, problems=(clock,)).order
    assert (status.next_step, status.owner) == ("Inspect the parcel", "warehouse")
    assert status.sentence.endswith("refund due by 18 Nov (overdue)")


def test_the_order_tells_of_its_most_pressing_return_and_keeps_the_others() -> None:
    later = replace(ARRIVED, return_id="R2", refund_due_at=DUE + timedelta(days=3))
    done = replace(PAID, return_id="R3")
    all_told = told(done, later, ARRIVED)
    assert all_told.order == all_told.returns["R1"]
    assert all_told.returns["R3"].stage == "refunded"
    assert told(done).order == told(done).returns["R3"]


def test_a_lesser_exception_changes_no_step_unless_nothing_else_is_left_to_do() -> None:
    lesser = Problem("ASN_MISSING", "warehouse", "See why it was not announced", DUE, "R1", "medium")
    assert told(INSPECTED, problems=(lesser,)).order == told(INSPECTED).order
    assert told(PAID, problems=(lesser,)).order.owner == "warehouse"


def test_what_holds_the_return_is_told_once_and_before_what_is_wrong_with_the_order() -> None:
    mapping = Problem("REASON_UNMAPPED", "operations", "Add a row", DUE, "R1", "critical")
    race = Problem("CANCEL_RACE", "customer_experience", "Decide which stands", DUE - timedelta(days=1))
    assert told(INSPECTED, problems=(race, mapping)).order == told(INSPECTED, problems=(mapping,)).order
    assert told(INSPECTED, problems=(race,)).order.owner == "customer_experience"


def test_an_exception_of_the_order_is_told_beside_the_return() -> None:
    problem = Problem("CANCEL_RACE", "customer_experience", "Decide which stands", DUE)
    all_told = told(PAID, problems=(problem,))
    assert all_told.order.owner == "customer_experience"
    assert all_told.returns["R1"].owner == ""
