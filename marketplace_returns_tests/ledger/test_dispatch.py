from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import (
    AuthFailed,
    BadArgument,
    OutcomeUnknown,
    RateLimited,
    SourceError,
    SourceRefused,
    SourceUnreachable,
)
from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.ledger.dispatch import drain, read_backs
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Blocked,
    Confirmed,
    Conflicting,
    Found,
    NotSent,
    Outcome,
    Ready,
    Rejected,
    Unknown,
    outcome_of,
    send_each,
)
from marketplace_returns.ledger.states import State
from marketplace_returns.reconciliation.close import INTENT_KINDS, INTENTS
from marketplace_returns.settings import WriteKind, WriteMode
from marketplace_returns_tests.ledger.world import (
    NOW,
    SHOP,
    Outside,
    acceptance,
    decision,
    open_ledger,
    problem,
    refund,
    shop,
    stock,
)

REFUND, ACCEPT, STOCK = WriteKind.REFUND, WriteKind.ACCEPT_ORDER, WriteKind.PUSH_STOCK


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def ledger(tmp_path: Path, clock: FixedClock):
    with open_ledger(tmp_path, clock) as opened:
        yield opened


def send(ledger, outside: Outside, kind: WriteKind = REFUND, worker: str = "w1", **writes: str):
    return drain(ledger, shop(**writes), {kind: outside}, ledger.clock, worker=worker)


def look(ledger, outside: Outside, kind: WriteKind = REFUND):
    return read_backs(ledger, shop(), {kind: outside}, worker="w1")


def only(ledger):
    (found,) = ledger.intents()
    return found


def types(ledger) -> list[str]:
    return [each.type for each in ledger.exceptions()]


def test_a_due_intent_is_sent_once_and_confirmed_with_its_reference(ledger) -> None:
    ledger.apply(decision(refund()), shop())
    outside = Outside()
    assert send(ledger, outside).counts == {(REFUND, State.CONFIRMED): 1}
    send(ledger, outside)
    ledger.apply(decision(refund()), shop())
    send(ledger, outside)
    assert outside.sent == ["L1#1"]
    found = only(ledger)
    assert (found.state, found.external_ref, found.is_adopted, found.confirmed_at) == (
        State.CONFIRMED,
        "ref-L1#1",
        False,
        NOW,
    )
    (attempt,) = ledger.attempts([found.intent_id])
    assert (attempt["number"], attempt["outcome"], attempt["worker"]) == (1, "CONFIRMED", "w1")


def test_sending_is_committed_with_its_baseline_before_the_first_byte(ledger, tmp_path: Path) -> None:
    ledger.apply(decision(refund()), shop())
    seen = []

    def at_send(_intents) -> None:
        with open_ledger(tmp_path) as other:  # a second connection sees only what is committed
            seen.append((only(other).state, only(other).baseline, only(other).sent_at))

    send(ledger, Outside(on_send=at_send, before=lambda _: Ready({"refund_ids": ["r0"]})))
    assert seen == [(State.SENDING, {"refund_ids": ["r0"]}, NOW)]


def of_each_kind(name: str) -> list[IntentPlan]:
    """A write of every kind there is."""
    return [
        IntentPlan(shop=SHOP, kind=kind, natural_key=f"{name}@1", order_id=f"{kind}-{name}", body={}, evidence={})
        for kind in WriteKind
    ]


@pytest.mark.proves("R78", "R114", "R115")
@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_of_all_kinds_the_one_that_is_not_live_never_leaves(ledger, mode: str) -> None:
    outside = Outside()
    for stopped in WriteKind:
        shop_now = shop(**{stopped: mode})
        live = ACCEPT if stopped is REFUND else REFUND
        plans = [plan for plan in of_each_kind(stopped) if plan.kind in {stopped, live}]
        ledger.apply(decision(*plans, lane=f"of {stopped}"), shop_now)
        drain(ledger, shop_now, dict.fromkeys(WriteKind, outside), ledger.clock, worker="w1")
        assert len(ledger.intents(kinds=[live], order_id=f"{live}-{stopped}", states=[State.CONFIRMED])) == 1
        left = [each for each in ledger.intents() if each.natural_key == f"{stopped}@1" and each.attempt_count == 0]
        assert [(each.kind, each.state) for each in left] == [
            (stopped, State.SHADOWED if mode == "shadow" else State.PLANNED)
        ]
        ledger.apply(decision(lane=f"of {stopped}"), shop_now)


@pytest.mark.proves("R114", "R115")
@pytest.mark.parametrize("mode", [WriteMode.SHADOW, WriteMode.OFF])
def test_a_running_drain_of_any_kind_stops_at_the_next_batch(ledger, mode: WriteMode) -> None:
    for stopped in WriteKind:
        plans = [plan for n in range(5) for plan in of_each_kind(f"{stopped}{n}") if plan.kind is stopped]
        ledger.apply(decision(*plans, lane=f"of {stopped}"), shop())
        modes = dict.fromkeys(WriteKind, WriteMode.LIVE)

        def stop(_: Sequence[Intent], modes=modes, stopped=stopped) -> None:
            modes[stopped] = mode

        outside = Outside(batch_size=2, on_send=stop)
        drain(ledger, shop(), {stopped: outside}, ledger.clock, kinds=[stopped], worker="w1", mode_of=modes.__getitem__)
        assert len(outside.sent) == 2, "the batch that was begun ends, no other begins"
        waiting = ledger.intents(kinds=[stopped], states=[State.PLANNED])
        assert len(waiting) == 3
        drain(ledger, shop(), {stopped: Outside()}, ledger.clock, worker="w1")
        assert ledger.intents(kinds=[stopped], states=[State.PLANNED]) == []


@pytest.mark.proves("R115")
def test_a_batch_that_is_switched_off_begins_no_further_call(ledger) -> None:
    ledger.apply(decision(*(acceptance(f"O{n}") for n in range(5)), lane="accept_orders"), shop())
    modes = {ACCEPT: WriteMode.LIVE}
    outside = OneByOne(after=2, then=lambda: modes.update({ACCEPT: WriteMode.OFF}))
    drain(ledger, shop(), {ACCEPT: outside}, ledger.clock, kinds=[ACCEPT], worker="w1", mode_of=modes.__getitem__)
    assert len(outside.sent) == 2
    states = Counter(each.state for each in ledger.intents())
    assert states == {State.CONFIRMED: 2, State.PLANNED: 3}


@dataclass
class OneByOne(Outside):
    """An executor that sends call by call, as most do, and lets something happen after some calls."""

    after: int = 0
    then: Callable[[], None] = lambda: None

    def send(self, intents: Sequence[Intent], may_start: Callable[[], bool]) -> Mapping[str, Outcome]:
        def one(each: Intent) -> Outcome:
            self.sent.append(each.natural_key)
            if len(self.sent) == self.after:
                self.then()
            return Confirmed(each.natural_key)

        return send_each(intents, one, may_start)


def test_not_before_holds_a_write_back(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(refund(not_before=NOW + timedelta(hours=1))), shop())
    outside = Outside()
    send(ledger, outside)
    assert outside.sent == []
    clock.wait(3600)
    send(ledger, outside)
    assert outside.sent == ["L1#1"]


@pytest.mark.proves("R48")
def test_what_was_found_done_is_adopted_and_not_sent(ledger) -> None:
    ledger.apply(decision(refund()), shop())
    outside = Outside(before=lambda _: AlreadyDone("r7", "refunded by hand", "REFUND_MANUAL_ADOPTED"))
    send(ledger, outside)
    assert outside.sent == []
    assert (only(ledger).state, only(ledger).external_ref, only(ledger).is_adopted) == (State.CONFIRMED, "r7", True)
    assert types(ledger) == ["REFUND_MANUAL_ADOPTED"]


def test_a_blocked_refund_waits_for_a_person_and_freezes_its_order(ledger) -> None:
    ledger.apply(decision(refund("L1#1", priority=1), refund("L2#1"), refund("L9#1", order="O2")), shop())
    outside = Outside(before=lambda each: Blocked("REFUND_OVER_CAP", "over") if each.natural_key == "L1#1" else Ready())
    send(ledger, outside)
    send(ledger, outside)
    assert outside.sent == ["L9#1"]
    assert types(ledger) == ["REFUND_OVER_CAP"]


def test_units_of_one_order_are_sent_one_after_another(ledger) -> None:
    ledger.apply(decision(refund("L1#1"), refund("L1#2"), refund("L2#1")), shop())
    batches = []
    outside = Outside(on_send=lambda intents: batches.append(len(intents)))
    send(ledger, outside)
    assert sorted(outside.sent) == ["L1#1", "L1#2", "L2#1"]
    assert batches == [1, 1, 1]


@pytest.mark.proves("R39", "R48")
def test_an_unclear_refund_blocks_its_order_until_it_is_settled(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(refund("L1#1"), refund("L1#2")), shop())
    outside = Outside(answer=lambda _: Unknown("time-out"), shown=lambda _: Found("r1"))
    send(ledger, outside)
    send(ledger, outside)
    assert len(outside.sent) == 1
    assert types(ledger) == ["REFUND_UNKNOWN"]
    clock.wait(31)
    assert look(ledger, outside).total(State.CONFIRMED) == 1
    assert types(ledger) == []
    outside.answer = Outside().answer
    send(ledger, outside)
    assert len(outside.sent) == 2


def test_a_refund_proven_not_applied_is_sent_again_with_a_new_baseline(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(refund()), shop())
    baselines = iter(["b1", "b2"])
    outside = Outside(
        answer=lambda _: Unknown("reset"), before=lambda _: Ready({"mark": next(baselines)}), shown=lambda _: Absent()
    )
    send(ledger, outside)
    for _ in range(4):
        clock.wait(400)
        look(ledger, outside)
        send(ledger, outside)
    assert outside.sent == ["L1#1", "L1#1"]
    assert (only(ledger).attempt_count, only(ledger).baseline) == (2, {"mark": "b2"})
    for _ in range(6):  # the second unclear end: a person
        clock.wait(900)
        look(ledger, outside)
        send(ledger, outside)
    assert outside.sent == ["L1#1", "L1#1"]
    assert only(ledger).state is State.CONFLICT
    assert types(ledger) == ["REFUND_CONFLICT"]


def test_a_conflict_freezes_and_a_retry_only_reads_back(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(refund()), shop())
    outside = Outside(answer=lambda _: Unknown("reset"), shown=lambda _: Conflicting("two new refunds"))
    send(ledger, outside)
    clock.wait(60)
    look(ledger, outside)
    (found,) = ledger.exceptions()
    assert ledger.retry(found.exception_id, by="kim").state is State.UNKNOWN
    outside.shown = lambda _: Found("r3")
    look(ledger, outside)
    assert (only(ledger).state, outside.sent) == (State.CONFIRMED, ["L1#1"])
    assert types(ledger) == []


@pytest.mark.proves("R15", "R67", "R71")
def test_a_final_refusal_opens_the_kinds_exception_and_a_mended_mapping_sends_again(ledger) -> None:
    ledger.apply(decision(acceptance(), lane="accept_orders"), shop())
    outside = Outside(answer=lambda _: Rejected("400", "unknown line"))
    send(ledger, outside, ACCEPT)
    assert (only(ledger).state, types(ledger)) == (State.REJECTED, ["ACK_REJECTED"])
    ledger.apply(decision(acceptance(), lane="accept_orders"), shop())
    send(ledger, outside, ACCEPT)
    assert outside.sent == ["O1"]
    mended = acceptance()
    mended = type(mended)(
        **{name: getattr(mended, name) for name in mended.__slots__ if name != "body"}, body={"order_lines": []}
    )
    outside.answer = Outside().answer
    ledger.apply(decision(mended, lane="accept_orders"), shop())
    assert types(ledger) == []
    send(ledger, outside, ACCEPT)
    assert (outside.sent, only(ledger).state) == (["O1", "O1"], State.CONFIRMED)


def test_a_refused_write_is_sent_again_when_a_person_says_so(ledger) -> None:
    ledger.apply(decision(acceptance(), lane="accept_orders"), shop())
    outside = Outside(answer=lambda _: Rejected("400", "no"))
    send(ledger, outside, ACCEPT)
    assert ledger.retry(ledger.exceptions()[0].exception_id, by="kim").state is State.PLANNED
    outside.answer = Outside().answer
    send(ledger, outside, ACCEPT)
    assert only(ledger).state is State.CONFIRMED


@pytest.mark.proves("R15")
def test_five_transient_failures_then_success_accept_once(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(acceptance(), lane="accept_orders"), shop())
    answers = [NotSent("429", 10, "rate")] * 5
    applied = []

    def answer(each):
        if answers:
            return answers.pop()
        applied.append(each.natural_key)
        return Outside().answer(each)

    outside = Outside(answer=answer)
    for _ in range(10):
        send(ledger, outside, ACCEPT)
        clock.wait(11)
    assert applied == ["O1"]
    assert only(ledger).state is State.CONFIRMED


def test_a_shut_door_stops_the_drain_instead_of_knocking_for_every_write(ledger) -> None:
    ledger.apply(decision(*(acceptance(f"O{n}") for n in range(50)), lane="accept_orders"), shop())
    outside = Outside(answer=lambda _: NotSent("401", 300, "auth"), batch_size=5)
    send(ledger, outside, ACCEPT)
    assert len(outside.sent) == 5
    assert types(ledger) == ["AUTH_FAILED"]


def test_an_unreachable_pre_read_sends_nothing(ledger) -> None:
    ledger.apply(decision(refund()), shop())

    def down(_each):
        raise SourceUnreachable("down", system="mirakl", operation="OR11")

    outside = Outside(before=down)
    send(ledger, outside)
    assert (outside.sent, only(ledger).state, only(ledger).last_error) == ([], State.PLANNED, "down")


def test_a_fault_while_sending_leaves_the_batch_unclear_and_goes_on(ledger) -> None:
    ledger.apply(decision(refund()), shop())

    def fault(_intents) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send(ledger, Outside(on_send=fault))
    assert only(ledger).state is State.UNKNOWN


def test_a_dead_workers_write_becomes_unclear_only_after_its_lease(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(refund()), shop())
    (claimed,) = ledger.claim(SHOP, REFUND, worker="dead", limit=10)
    ledger.begin({claimed.intent_id: Ready()}, worker="dead")
    assert ledger.recover() == 0
    assert ledger.claim(SHOP, REFUND, worker="w2", limit=10) == []
    clock.wait(ledger.lease_s + 1)
    assert ledger.has_due(shop())
    assert ledger.recover() == 1
    assert only(ledger).state is State.UNKNOWN


def given_up(ledger, clock: FixedClock, plan: IntentPlan, kind: WriteKind) -> Intent:
    """A write whose worker was silent beyond its lease, as that worker holds it."""
    ledger.apply(decision(plan, lane="lane"), shop())
    claimed = ledger.claim(SHOP, kind, worker="slow", limit=10)
    ((sending,), _) = ledger.begin({each.intent_id: Ready() for each in claimed}, worker="slow")
    clock.wait(ledger.lease_s + 1)
    assert ledger.recover() == 1
    return sending


def told(ledger, intent: Intent) -> list[tuple[object, object]]:
    return [(each["number"], each["outcome"]) for each in ledger.attempts([intent.intent_id])]


@pytest.mark.proves("R113")
def test_a_late_answer_is_taken_while_the_write_is_unclear(ledger, clock: FixedClock) -> None:
    sending = given_up(ledger, clock, refund(), REFUND)
    assert types(ledger) == ["REFUND_UNKNOWN"]
    ledger.finish([sending], {sending.intent_id: Unknown("still no answer")})
    assert types(ledger) == ["REFUND_UNKNOWN"]
    ledger.finish([sending], {sending.intent_id: Confirmed("R1")})
    assert (only(ledger).state, only(ledger).external_ref) == (State.CONFIRMED, "R1")
    assert types(ledger) == []
    assert told(ledger, sending) == [(1, "CONFIRMED")]


@pytest.mark.proves("R48")
def test_a_late_answer_is_taken_after_the_write_was_proven_not_applied_so_it_is_not_made_twice(
    ledger, clock: FixedClock
) -> None:
    sending = given_up(ledger, clock, refund(), REFUND)
    outside = Outside(shown=lambda _: Absent())
    for _ in range(2):
        read_backs(ledger, shop(), {REFUND: outside}, worker="w2")
        clock.wait(700)
    assert only(ledger).state is State.PLANNED
    ledger.finish([sending], {sending.intent_id: Confirmed("R1")})
    send(ledger, outside)
    assert outside.sent == []
    assert (only(ledger).state, only(ledger).external_ref) == (State.CONFIRMED, "R1")


@pytest.mark.proves("R48", "R113")
def test_a_late_answer_of_a_try_that_was_made_again_is_told_and_kept(ledger, clock: FixedClock) -> None:
    sending = given_up(ledger, clock, refund(), REFUND)
    outside = Outside(shown=lambda _: Absent(), answer=lambda _: Confirmed("R2"))
    for _ in range(2):
        read_backs(ledger, shop(), {REFUND: outside}, worker="w2")
        clock.wait(700)
    send(ledger, outside, worker="w2")
    assert ledger.finish([sending], {sending.intent_id: Confirmed("R1")}) == []
    assert only(ledger).external_ref == "R2"
    (conflict,) = ledger.exceptions()
    assert conflict.type == "REFUND_CONFLICT"
    assert "R1" in conflict.message
    assert "R2" in conflict.message
    assert [chain.broken for chain in ledger.verify_history()] == [None]
    ledger.finish([sending], {sending.intent_id: Confirmed("R1")})
    assert len(ledger.exceptions()) == 1


def test_an_old_look_says_nothing_of_a_newer_try(ledger, clock: FixedClock) -> None:
    given_up(ledger, clock, refund(), REFUND)
    old = ledger.read_backs_due(SHOP, REFUND, worker="asleep", limit=10)
    clock.wait(ledger.lease_s + 1)
    outside = Outside(shown=lambda _: Absent(), answer=lambda _: Unknown("no answer"))
    for _ in range(2):
        read_backs(ledger, shop(), {REFUND: outside}, worker="w2")
        clock.wait(700)
    send(ledger, outside, worker="w2")
    assert only(ledger).attempt_count == 2
    assert ledger.settle_read_backs(old, {each.intent_id: Absent() for each in old}) == []
    assert only(ledger).first_empty_read_at is None


def test_a_worker_that_lost_its_lease_may_not_begin(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(refund()), shop())
    (claimed,) = ledger.claim(SHOP, REFUND, worker="slow", limit=10)
    clock.wait(ledger.lease_s + 1)
    assert len(ledger.claim(SHOP, REFUND, worker="fast", limit=10)) == 1
    assert ledger.begin({claimed.intent_id: Ready()}, worker="slow") == ([], [])


def test_only_the_newest_stock_value_of_a_sku_leaves(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(stock("A_1", "09:00", 5), lane="stock"), shop())
    clock.wait(60)
    # both wait: as when the lane proposes both again
    ledger.apply(
        decision(stock("A_1", "09:00", 5), stock("A_1", "09:01", 4), stock("B", "09:01", 1), lane="stock"), shop()
    )
    outside = Outside()
    send(ledger, outside, STOCK)
    assert sorted(outside.sent) == ["A_1@09:01", "B@09:01"]


def test_intents_as_arrow_carry_what_reconciliation_needs(ledger) -> None:
    ledger.apply(decision(refund(), refund("L2#1", order="O2")), shop())
    send(ledger, Outside())
    table = ledger.intents_arrow(SHOP)
    assert table.num_rows == 2
    assert set(table.column("external_ref").to_pylist()) == {"ref-L1#1", "ref-L2#1"}
    assert table.schema.field("confirmed_at").type.tz == "UTC"
    assert set(table.column("body").to_pylist()) == {"{}"}
    assert ledger.intents_arrow("nobody").num_rows == 0
    ledger.apply(decision(stock("A_1", "09:00", 5), lane="stock"), shop())
    bodies = dict(zip(*(ledger.intents_arrow(SHOP).column(name).to_pylist() for name in ("kind", "body")), strict=True))
    assert "A_1" in bodies[STOCK]
    assert bodies[REFUND] == "{}"


def test_intents_come_batch_by_batch_of_the_kinds_and_columns_asked_for(
    ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace_returns.ledger.ledger.ARROW_ROWS", 2)
    refunds = [refund(f"L{number}#1", order=f"O{number}") for number in range(5)]
    ledger.apply(decision(*refunds), shop())
    ledger.apply(decision(stock("A_1", "09:00", 5), lane="stock"), shop())
    batches = list(ledger.intent_batches(SHOP, INTENTS, (WriteKind.REFUND,)))
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert {row["natural_key"] for batch in batches for row in batch.to_pylist()} == {
        f"L{number}#1" for number in range(5)
    }
    assert all(batch.schema == INTENTS for batch in batches)
    both = ledger.intent_batches(SHOP, INTENTS, INTENT_KINDS)
    assert {row["kind"] for batch in both for row in batch.to_pylist()} == set(INTENT_KINDS)


@pytest.mark.proves("R101")
def test_the_balance_exception_keeps_its_owner_and_clock_over_many_tries(ledger, clock: FixedClock) -> None:
    ledger.apply(decision(refund()), shop())
    outside = Outside(answer=lambda _: Rejected("400", "balance", "balance", "REFUND_REJECTED_BALANCE", 3600.0))
    send(ledger, outside)
    (first,) = ledger.exceptions()
    ledger.assign(first.exception_id, "treasurer", by="kim")
    for _ in range(3):
        clock.wait(3601)
        ledger.apply(decision(refund()), shop())
        send(ledger, outside)
    (last,) = ledger.exceptions(is_open=None)
    assert len(outside.sent) == 4
    assert (last.exception_id, last.owner, last.due_at, last.seen_count) == (
        first.exception_id,
        "treasurer",
        first.due_at,
        4,
    )
    outside.answer = Outside().answer
    clock.wait(3601)
    send(ledger, outside)
    assert types(ledger) == []


def test_sensors_see_only_live_work(ledger) -> None:
    assert not ledger.has_due(shop())
    ledger.apply(decision(refund()), shop(refund="off"))
    assert not ledger.has_due(shop(refund="off"))
    assert ledger.has_due(shop())


def test_what_one_worker_holds_no_other_gets(ledger) -> None:
    ledger.apply(decision(acceptance(), lane="accept_orders"), shop())
    assert len(ledger.claim(SHOP, ACCEPT, worker="a", limit=10)) == 1
    assert ledger.claim(SHOP, ACCEPT, worker="b", limit=10) == []


@pytest.mark.proves("R115")
def test_a_kind_that_is_switched_off_sends_no_more_and_what_was_under_way_is_still_settled(
    ledger, clock: FixedClock
) -> None:
    ledger.apply(decision(refund("L1#1")), shop())
    outside = Outside(answer=lambda _: Unknown("time-out"), shown=lambda _: Found("r1"))
    send(ledger, outside)
    ledger.apply(decision(refund("L1#1"), refund("L2#1", order="O2")), shop(refund="off"))
    clock.wait(31)
    send(ledger, outside, refund="off")
    read_backs(ledger, shop(refund="off"), {REFUND: outside}, worker="w1")
    assert outside.sent == ["L1#1"]
    assert {each.natural_key: each.state for each in ledger.intents()} == {
        "L1#1": State.CONFIRMED,
        "L2#1": State.PLANNED,
    }


@pytest.mark.proves("R30")
def test_a_return_that_could_not_be_created_is_listed_with_cause_and_age_and_can_be_tried_again(
    ledger, clock: FixedClock
) -> None:
    plan = IntentPlan(
        shop=SHOP,
        kind=WriteKind.CREATE_PLATFORM_RETURN,
        natural_key="R1",
        body={"external_id": "R1"},
        evidence={},
        return_id="R1",
    )
    outside = Outside(answer=lambda _: Rejected("422", "currency: is not the store's"))
    ledger.apply(decision(plan, lane="platform_returns"), shop())
    send(ledger, outside, plan.kind)
    clock.wait(3600)
    ledger.apply(decision(plan, lane="platform_returns"), shop())
    (told,) = ledger.exceptions()
    assert (told.type, told.entity, told.opened_at) == ("RETURN_CREATE_FAILED", {"return_id": "R1"}, NOW)
    assert "currency: is not the store's" in told.message
    assert told.due_at == NOW + timedelta(hours=12)
    ledger.retry(told.exception_id, by="kim")
    outside.answer = Outside().answer
    send(ledger, outside, plan.kind)
    assert (only(ledger).state, types(ledger)) == (State.CONFIRMED, [])


def test_many_refused_writes_are_gone_on_with_at_once_or_none_is(ledger) -> None:
    refunds = [refund(f"L{number}#1", order=f"O{number}") for number in range(3)]
    ledger.apply(decision(*refunds, exceptions=[problem("O9")]), shop())
    outside = Outside(answer=lambda _: Rejected("403", "no right", "permission", "REFUND_REJECTED_PERMISSION"))
    send(ledger, outside)
    refused = [each.exception_id for each in ledger.exceptions(types=["REFUND_REJECTED_PERMISSION"])]
    (other,) = ledger.exceptions(types=[problem("O9").type])
    with pytest.raises(BadArgument, match=f"Exception {other.exception_id} .* belongs to no write"):
        ledger.retry_all([*refused, other.exception_id], by="kim")
    assert {each.state for each in ledger.intents()} == {State.REJECTED}
    assert len(ledger.retry_all(refused, by="kim", note="the right is given")) == 3
    outside.answer = Outside().answer
    send(ledger, outside)
    assert {each.state for each in ledger.intents()} == {State.CONFIRMED}
    assert all("retry" in {each.event for each in ledger.exception_history(key)} for key in refused)


@pytest.mark.proves("R4")
def test_a_refund_id_leads_to_the_body_that_was_sent_and_what_it_rests_on(ledger) -> None:
    ledger.apply(decision(refund("L1#1"), refund("L2#1", order="O2", amount_minor=900)), shop())
    send(ledger, Outside())
    (found,) = [each for each in ledger.intents() if each.external_ref == "ref-L2#1"]
    assert found.body == {"refunds": [{"order_line_id": "L2", "amount": 900}]}
    assert (found.amount_minor, found.evidence) == (900, {"rule": "test"})


REFUSED = {"system": "mirakl", "operation": "OR28"}


@pytest.mark.proves("R21", "R45")
@pytest.mark.parametrize(
    ("error", "root_cause"),
    [
        (AuthFailed("the key is not accepted", status=401, **REFUSED), "auth"),
        (AuthFailed("the key may not do that", status=403, **REFUSED), "permission"),
        (RateLimited("too many calls", retry_after_s=9, **REFUSED), "rate"),
        (SourceUnreachable("no route", **REFUSED), "time-out"),
        (SourceRefused("the line is in a wrong state", status=400, **REFUSED), "validation"),
        (OutcomeUnknown("no answer", **REFUSED), "time-out"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_every_failed_write_names_the_class_of_its_root_cause(ledger, error: SourceError, root_cause: str) -> None:
    ledger.apply(decision(refund()), shop())
    send(ledger, Outside(answer=lambda _: outcome_of(error)))
    told = ledger.exceptions()
    assert (told[0].root_cause if told else only(ledger).root_cause) == root_cause
    assert str(error) in only(ledger).last_error
