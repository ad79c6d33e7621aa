from __future__ import annotations

from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.states import State
from marketplace_returns_tests.ledger.world import NOW, acceptance, decision, open_ledger, problem, refund, shop


def states(ledger) -> dict[str, State]:
    return {each.natural_key: each.state for each in ledger.intents()}


def test_a_plan_proposed_again_is_the_same_intent(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        assert ledger.apply(decision(refund()), shop()).new_intents == 1
        again = ledger.apply(decision(refund()), shop())
        assert (again.new_intents, again.known_intents, again.superseded) == (0, 1, 0)
        assert states(ledger) == {"L1#1": State.PLANNED}


def test_body_and_evidence_survive_exactly(tmp_path: Path) -> None:
    from decimal import Decimal

    with open_ledger(tmp_path) as ledger:
        plan = refund(body={"refunds": [{"order_line_id": "L1", "amount": Decimal("10.10"), "quantity": 1}]})
        ledger.apply(decision(plan), shop())
        (stored,) = ledger.intents()
        assert str(stored.body["refunds"][0]["amount"]) == "10.10"
        assert stored.planned_at == NOW


def test_a_plan_that_is_no_longer_named_is_superseded_and_may_come_back(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.apply(decision(refund("L1#1"), refund("L2#1")), shop())
        assert ledger.apply(decision(refund("L2#1")), shop()).superseded == 1
        assert states(ledger) == {"L1#1": State.SUPERSEDED, "L2#1": State.PLANNED}
        ledger.apply(decision(refund("L1#1"), refund("L2#1")), shop())
        assert states(ledger)["L1#1"] is State.PLANNED


def test_other_lanes_keep_their_plans(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.apply(decision(refund()), shop())
        ledger.apply(decision(acceptance(), lane="accept_orders"), shop())
        assert set(states(ledger).values()) == {State.PLANNED}


def test_an_unsent_plan_follows_the_facts(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.apply(decision(refund(amount_minor=1000)), shop())
        ledger.apply(decision(refund(amount_minor=900)), shop())
        (stored,) = ledger.intents()
        assert (stored.amount_minor, stored.body["refunds"][0]["amount"]) == (900, 900)


@pytest.mark.proves("R114", "R115")
def test_shadow_is_never_planned_and_turns_live_with_the_setting(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.apply(decision(refund()), shop(refund="shadow"))
        assert states(ledger) == {"L1#1": State.SHADOWED}
        ledger.apply(decision(refund()), shop(refund="off"))
        assert states(ledger) == {"L1#1": State.PLANNED}
        ledger.apply(decision(refund()), shop(refund="shadow"))
        assert states(ledger) == {"L1#1": State.SHADOWED}


@pytest.mark.proves("R63")
def test_a_decision_of_another_shop_is_refused(tmp_path: Path) -> None:
    other = shop().model_copy(update={"name": "asos_de"})
    with open_ledger(tmp_path) as ledger, pytest.raises(BadArgument, match="asos_de"):
        ledger.apply(decision(refund()), other)


def test_an_exception_opens_once_counts_repeats_closes_with_its_cause_and_reopens(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    with open_ledger(tmp_path, clock) as ledger:
        assert ledger.apply(decision(exceptions=[problem("O1"), problem("O2")]), shop()).opened == 2
        clock.wait(60)
        again = ledger.apply(decision(exceptions=[problem("O1")]), shop())
        assert (again.opened, again.closed) == (0, 1)
        (left,) = ledger.exceptions()
        assert (left.entity, left.seen_count, left.owner, left.severity) == (
            {"order_id": "O1"},
            2,
            "operations",
            "critical",
        )
        assert (left.due_at - left.opened_at).total_seconds() == 4 * 3600
        assert ledger.apply(decision(exceptions=[problem("O1"), problem("O2")]), shop()).opened == 1
        back = {each.entity["order_id"]: each for each in ledger.exceptions(is_open=None)}
        assert {name: each.openings for name, each in back.items()} == {"O1": 1, "O2": 2}


@pytest.mark.proves("R22", "R93")
def test_every_exception_type_has_owner_clock_and_playbook() -> None:
    from marketplace_returns.ledger.catalogue import default_rules

    rules = default_rules()
    assert len(rules) == 43
    assert all(rule.owner and rule.sla_hours > 0 and rule.playbook for rule in rules.values())


def test_a_persons_actions_are_kept_and_a_resolved_exception_refuses_more(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.apply(decision(exceptions=[problem()]), shop())
        (found,) = ledger.exceptions()
        assert ledger.assign(found.exception_id, "finance", by="kim").owner == "finance"
        ledger.apply(decision(exceptions=[problem()]), shop())
        assert ledger.exceptions()[0].owner == "finance"
        assert ledger.resolve(found.exception_id, by="kim", note="done by hand").resolution == "by kim: done by hand"
        with pytest.raises(BadArgument, match="resolved"):
            ledger.assign(found.exception_id, "ops", by="kim")
        with pytest.raises(BadArgument, match="no exception 999"):
            ledger.snooze(999, NOW, by="kim", note="later")


def test_cursors_only_move_forward_and_files_are_taken_once(tmp_path: Path) -> None:
    from datetime import timedelta

    with open_ledger(tmp_path) as ledger:
        assert ledger.cursor("asos_uk", "mirakl/order") is None
        ledger.set_cursor("asos_uk", "mirakl/order", NOW)
        ledger.set_cursor("asos_uk", "mirakl/order", NOW - timedelta(hours=1))
        assert ledger.cursor("asos_uk", "mirakl/order") == NOW
        assert ledger.take_files("asos_uk", "reveni", [("h1", "a.csv"), ("h2", "b.csv")]) == 2
        assert ledger.take_files("asos_uk", "reveni", [("h1", "again.csv")]) == 0
        assert ledger.taken_files("asos_uk", "reveni") == {"h1", "h2"}


@pytest.mark.proves("R111")
def test_a_signed_month_refuses_change_until_reopened(tmp_path: Path) -> None:
    from marketplace_returns.errors import PeriodLocked
    from marketplace_returns.ledger.periods import PeriodState
    from marketplace_returns.periods import Month

    month = Month.parse("2026-09")
    with open_ledger(tmp_path) as ledger:
        ledger.check_open("asos_uk", month)
        with pytest.raises(PeriodLocked, match="REVIEW"):
            ledger.step_period("asos_uk", month, PeriodState.SIGNED)
        ledger.step_period("asos_uk", month, PeriodState.REVIEW, prepared_by="ann", prepared_at=NOW)
        ledger.step_period("asos_uk", month, PeriodState.SIGNED, approved_by="ben", approved_at=NOW)
        with pytest.raises(PeriodLocked, match="ben"):
            ledger.check_open("asos_uk", month)
        ledger.step_period("asos_uk", month, PeriodState.OPEN, reason="late invoice")
        ledger.check_open("asos_uk", month)
        assert [period.month for period in ledger.periods("asos_uk")] == [month]
