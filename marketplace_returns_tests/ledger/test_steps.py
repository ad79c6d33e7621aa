from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_returns.ledger import steps
from marketplace_returns.ledger.exceptions import fingerprint
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Blocked,
    Confirmed,
    Conflicting,
    Found,
    NotSent,
    Ready,
    Rejected,
    Unknown,
)
from marketplace_returns.ledger.states import DONE, TRANSITIONS, UNKNOWN_MAX, IllegalStep, State, check_step
from marketplace_returns.settings import Timing, WriteKind
from marketplace_returns_tests.ledger.world import NOW

TIMING = Timing()


def intent(kind: WriteKind = WriteKind.REFUND, state: State = State.PLANNED, **more: object) -> Intent:
    facts: dict[str, object] = {
        "intent_id": "i1",
        "shop": "asos_uk",
        "kind": kind,
        "natural_key": "L1#1",
        "lane": "refunds",
        "state": state,
        "body": {},
        "evidence": {},
        "order_id": "O1",
        "order_line_id": "L1",
        "return_id": "",
        "return_unit_id": "L1#1",
        "amount_minor": 1000,
        "currency": "GBP",
        "priority": 0,
        "not_before": None,
        "planned_at": NOW,
        "updated_at": NOW,
        "lease_owner": "w",
        "lease_until": NOW,
        "attempt_count": 0,
        "unknown_count": 0,
        "baseline": {},
        "sent_at": None,
        "read_back_at": None,
        "read_back_count": 0,
        "first_empty_read_at": None,
        "external_ref": "",
        "is_adopted": False,
        "confirmed_at": None,
        "reflected_at": None,
        "settled_at": None,
        "root_cause": "",
        "last_error": "",
    }
    return Intent(**{**facts, **more})  # type: ignore[arg-type]


def unclear(kind: WriteKind = WriteKind.REFUND) -> Intent:
    sending = steps.after_prepare(intent(kind), Ready(), NOW).intent
    return steps.after_send(sending, Unknown("time-out"), NOW, TIMING).intent


def test_an_unclear_refund_is_read_back_on_schedule_and_shown() -> None:
    step = steps.after_send(steps.after_prepare(intent(), Ready(), NOW).intent, Unknown("time-out"), NOW, TIMING)
    assert step.intent.state is State.UNKNOWN
    assert step.intent.read_back_at == NOW + timedelta(seconds=30)
    assert step.alarm is not None
    assert step.alarm.type == "REFUND_UNKNOWN"


def test_not_applied_needs_two_empty_reads_far_enough_apart() -> None:
    found = unclear()
    seen_at = []
    for _ in range(10):
        if found.state is not State.UNKNOWN:
            break
        assert found.read_back_at is not None
        seen_at.append((found.read_back_at - NOW).total_seconds())
        found = steps.after_read_back(found, Absent(), found.read_back_at, TIMING).intent
    assert seen_at == [30, 120, 300, 900]
    assert found.state is State.PLANNED
    assert found.unknown_count == 1


def test_stale_empty_reads_prove_nothing_and_end_with_a_person_after_a_day() -> None:
    found, now = unclear(), NOW
    for _ in range(60):
        if found.state is not State.UNKNOWN:
            break
        assert found.read_back_at is not None
        assert found.read_back_at > now or now == NOW
        now = found.read_back_at
        found = steps.after_read_back(found, Absent(is_fresh=False), now, TIMING).intent
    assert found.state is State.CONFLICT
    assert timedelta(hours=24) <= now - NOW <= timedelta(hours=26)


def test_where_looks_are_a_day_apart_the_second_empty_one_is_still_waited_for() -> None:
    first = steps.after_read_back(unclear(), Absent(), NOW + timedelta(hours=24), TIMING).intent
    assert first.state is State.UNKNOWN
    assert first.read_back_at is not None
    assert first.read_back_at > NOW + timedelta(hours=24)
    assert steps.after_read_back(first, Absent(), NOW + timedelta(hours=48), TIMING).intent.state is State.PLANNED
    gone = steps.after_read_back(first, Absent(is_fresh=False), NOW + timedelta(hours=48), TIMING).intent
    assert gone.state is State.CONFLICT


def test_a_second_unclear_end_of_one_refund_goes_to_a_person() -> None:
    again = replace(unclear(), unknown_count=2, first_empty_read_at=NOW)
    step = steps.after_read_back(again, Absent(), NOW + timedelta(minutes=15), TIMING)
    assert step.intent.state is State.CONFLICT
    assert step.alarm is not None
    assert step.alarm.type == "REFUND_CONFLICT"


def test_a_repeatable_write_is_sent_again_after_one_empty_read() -> None:
    assert steps.after_read_back(unclear(WriteKind.ACCEPT_ORDER), Absent(), NOW, TIMING).intent.state is State.PLANNED


def test_a_late_answer_settles_what_recovery_called_unclear() -> None:
    assert steps.after_send(unclear(), Confirmed("r1"), NOW, TIMING).intent.state is State.CONFIRMED
    assert steps.after_send(unclear(), Rejected("400", "no"), NOW, TIMING).intent.state is State.PLANNED


@pytest.mark.proves("R101")
def test_lack_of_balance_is_parked_with_a_clock_and_an_owner() -> None:
    sending = steps.after_prepare(intent(), Ready(), NOW).intent
    outcome = Rejected("400", "balance", "balance", "REFUND_REJECTED_BALANCE", 3600.0)
    step = steps.after_send(sending, outcome, NOW, TIMING)
    assert (step.intent.state, step.intent.not_before) == (State.PLANNED, NOW + timedelta(hours=1))
    assert step.alarm is not None
    assert step.alarm.type == "REFUND_REJECTED_BALANCE"


def test_a_conflict_that_was_sent_is_read_back_on_retry_and_never_sent_blindly() -> None:
    stuck = steps.after_read_back(unclear(), Conflicting("two refunds"), NOW, TIMING).intent
    assert steps.retried(stuck, NOW).intent.state is State.UNKNOWN
    never_sent = steps.after_prepare(intent(), Blocked("REFUND_OVER_CAP", "too much"), NOW).intent
    assert steps.retried(never_sent, NOW).intent.state is State.PLANNED


@pytest.mark.parametrize("state", list(State))
def test_steps_that_are_not_in_the_table_are_refused(state: State) -> None:
    for wanted in set(State) - TRANSITIONS[state]:
        with pytest.raises(IllegalStep, match=f"{state} may not become {wanted}"):
            check_step("i1", state, wanted)


preparations = st.sampled_from(
    [
        Ready({"refund_ids": []}),
        AlreadyDone("r9"),
        Blocked("REFUND_OVER_CAP", "over"),
        Rejected("400", "no"),
        NotSent("busy"),
    ]
)
answers = st.sampled_from([Confirmed("r1"), Rejected("400", "no"), NotSent("429"), Unknown("?"), "crash"])
looks = st.sampled_from([Found("r1"), Absent(), Absent(is_fresh=False), Conflicting("?"), "unreachable"])


@given(
    kind=st.sampled_from(list(WriteKind)),
    moves=st.lists(st.tuples(preparations, answers, looks, st.integers(1, 7200)), max_size=25),
)
def test_any_history_keeps_the_rules(kind: WriteKind, moves: list[tuple]) -> None:
    """Every step is legal (checked inside), attempts only grow, done stays done, and unclear ends are bounded."""
    found, now = intent(kind), NOW
    for prepared, answer, look, seconds in moves:
        now += timedelta(seconds=seconds)
        before = found
        if found.state is State.PLANNED:
            found = steps.after_prepare(found, prepared, now).intent
            if found.state is State.SENDING:
                assert found.attempt_count == before.attempt_count + 1
                assert found.sent_at == now
                if answer == "crash":
                    found = steps.unclear(found, "worker died", now, TIMING).intent
                else:
                    found = steps.after_send(found, answer, now, TIMING).intent
                assert found.lease_until is None
        elif found.state is State.UNKNOWN:
            assert found.read_back_at is not None
            if look == "unreachable":
                found = steps.after_failed_read_back(found, "no answer", now, TIMING).intent
            else:
                found = steps.after_read_back(found, look, now, TIMING).intent
            if found.state is State.UNKNOWN:
                assert found.read_back_at is not None
                assert found.read_back_at > now
        assert found.unknown_count <= UNKNOWN_MAX[kind]
        assert found.attempt_count >= before.attempt_count
        if before.state in DONE:
            assert found.state is before.state


def test_seen_moves_only_forward() -> None:
    done = steps.after_prepare(intent(), AlreadyDone("r1"), NOW).intent
    reflected = steps.seen(done, State.REFLECTED, NOW)
    assert reflected is not None
    assert steps.seen(reflected.intent, State.REFLECTED, NOW) is None
    settled = steps.seen(done, State.SETTLED, NOW)
    assert settled is not None
    assert settled.intent.state is State.SETTLED
    assert steps.seen(settled.intent, State.REFLECTED, NOW) is None


def test_two_parcels_of_an_order_that_are_both_refused_are_two_exceptions() -> None:
    """A person who sees to one parcel must not think the order is done."""
    refused = [
        steps.after_prepare(
            intent(
                WriteKind.CONFIRM_DESPATCH,
                natural_key=f"O1/{parcel}",
                order_line_id="",
                return_unit_id="",
            ),
            Blocked("", "the order is closed"),
            NOW,
        ).alarm
        for parcel in ("D1", "D2")
    ]
    first, second = (fingerprint(each) for each in refused if each is not None)
    assert first != second
