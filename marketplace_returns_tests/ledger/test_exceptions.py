"""An exception's life: one row however often its fact returns, a clock in the shop's hours, acts on many, a history for ever."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from marketplace_returns.business_hours import WEEK
from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.connection import open_engine, transaction
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.outcomes import Rejected
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.world import (
    NOW,
    SHOP,
    Outside,
    decision,
    make_of_version,
    open_ledger,
    problem,
    put_empty_ledger,
    refund,
    settings,
    shop,
)

LONDON = ZoneInfo("Europe/London")
OFFICE = {
    "work_days": ["mon", "tue", "wed", "thu", "fri"],
    "opens": "09:00",
    "closes": "17:30",
    "holidays_of": "GB-ENG",
}


def at_work(tmp_path: Path, clock: FixedClock, **calendar: object) -> Ledger:
    """A ledger of a shop whose people keep office hours."""
    kept = shop().model_dump() | {"calendar": {**OFFICE, **calendar}}
    made = settings(tmp_path).model_copy(update={"shops": {SHOP: type(shop()).model_validate(kept)}})
    put_empty_ledger(tmp_path)
    return Ledger.open(made, clock)


def raised(ledger: Ledger, *orders: str) -> None:
    ledger.raise_exceptions(SHOP, "test", [problem(order) for order in orders])


@pytest.mark.proves("R22", "R53")
def test_the_clock_runs_in_the_shops_hours_and_tells_how_much_is_used(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 12, 24, 16, 30, tzinfo=LONDON))  # a Thursday; Christmas and Boxing Day are free
    with at_work(tmp_path, clock) as ledger:
        raised(ledger, "O1")  # ACK_OVERDUE: four hours
        (found,) = ledger.exceptions()
        assert found.half_used_at.astimezone(LONDON) == datetime(2026, 12, 29, 10, 0, tzinfo=LONDON)
        assert found.most_used_at.astimezone(LONDON) == datetime(2026, 12, 29, 11, 12, tzinfo=LONDON)
        assert found.due_at.astimezone(LONDON) == datetime(2026, 12, 29, 12, 0, tzinfo=LONDON)
        steps = (clock.now(), found.half_used_at, found.most_used_at, found.due_at)
        assert [found.clock_used(each) for each in steps] == [0, 50, 80, 100]


def test_a_deadline_of_its_own_and_a_type_round_the_clock_keep_no_hours(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 10, 9, 20, tzinfo=UTC))  # Friday night
    due = clock.now() + timedelta(hours=10)
    with at_work(tmp_path, clock) as ledger:
        ledger.raise_exceptions(SHOP, "test", [problem(due_at=due)])
        (found,) = ledger.exceptions()
        assert (found.half_used_at, found.due_at) == (clock.now() + timedelta(hours=5), due)
    with at_work(tmp_path / "other", clock, round_the_clock=["ACK_OVERDUE"]) as ledger:
        raised(ledger, "O1")
        assert ledger.exceptions()[0].due_at == clock.now() + timedelta(hours=4)


def test_a_fact_that_returns_opens_the_same_exception_with_a_new_clock(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    with open_ledger(tmp_path, clock) as ledger:
        raised(ledger, "O1")
        ledger.assign(1, "warehouse", by="kim")
        clock.wait(3600)
        raised(ledger)  # cleared by facts
        clock.wait(3600)
        raised(ledger, "O1")
        clock.wait(3600)
        ledger.resolve(1, by="kim", note="thought it was done")
        raised(ledger)  # and it was done: the pass after it names it no more
        clock.wait(3600)
        ledger.apply(decision(lane="another", exceptions=[problem("O1")]), shop())
        (found,) = ledger.exceptions(is_open=None)
        assert (found.exception_id, found.openings, found.owner, found.lane) == (1, 3, "warehouse", "another")
        assert (found.first_opened_at, found.opened_at) == (NOW, NOW + timedelta(hours=4))
        assert found.due_at == found.opened_at + timedelta(hours=4)
        assert (found.resolved_at, found.resolution, found.was_closed_by_hand) == (None, "", True)
        ledger.apply(decision(lane="another"), shop())
        (ended,) = ledger.exceptions(is_open=None)
        assert (ended.resolution, ended.was_closed_by_hand) == ("cleared by facts", True)
        told = [(each.event, each.actor, each.facts.get("opening")) for each in ledger.exception_history(1)]
        assert told == [
            ("opened", "test", 1),
            ("assign", "kim", None),
            ("cleared", "test", 1),
            ("opened again", "test", 2),
            ("resolve", "kim", None),
            ("opened again", "another", 3),
            ("cleared", "another", 3),
        ]
        assert [chain.broken for chain in ledger.verify_history()] == [None]


@pytest.mark.proves("R22", "R53")
def test_a_state_that_was_resolved_by_hand_and_is_still_there_keeps_its_clock(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    with open_ledger(tmp_path, clock) as ledger:
        raised(ledger, "O1", "O2")
        for again in range(2, 4):
            clock.wait(3600)
            ledger.resolve_all([1, 2], by="kim", note="thought it was done")
            clock.wait(3600)
            raised(ledger, "O1", "O2")
            found = ledger.exceptions()
            assert {(each.openings, each.opened_at, each.due_at) for each in found} == {
                (again, NOW, NOW + timedelta(hours=4))
            }
        assert {each.clock_used(clock.now()) for each in found} == {100}
        ledger.resolve(1, by="kim", note="done now")
        raised(ledger, "O2")  # it really went away
        clock.wait(3600)
        raised(ledger, "O1", "O2")
        began = {each.exception_id: each.opened_at for each in ledger.exceptions()}
        assert began == {1: clock.now(), 2: NOW}


def test_a_write_that_is_refused_again_after_a_retry_keeps_its_clock(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    with open_ledger(tmp_path, clock) as ledger:
        ledger.apply(decision(refund()), shop())
        refusing = {WriteKind.REFUND: Outside(answer=lambda _each: Rejected("400", "no", "mapping"))}
        drain(ledger, shop(), refusing, clock, worker="w1")
        (refused,) = ledger.exceptions()
        for again in range(2, 4):
            clock.wait(3600)
            ledger.retry(refused.exception_id, by="kim")
            assert ledger.exceptions() == []
            clock.wait(3600)
            drain(ledger, shop(), refusing, clock, worker="w1")
            (found,) = ledger.exceptions()
            assert (found.exception_id, found.openings) == (refused.exception_id, again)
            assert (found.opened_at, found.due_at) == (NOW, refused.due_at)


@pytest.mark.proves("R22")
def test_what_happened_stays_resolved_until_its_facts_change_and_a_state_opens_again(tmp_path: Path) -> None:
    left = "1 x A in parcel D1, 0 wanted"

    def seen(ledger: Ledger, happened: str = left, amount_minor: int = 1000) -> list[int]:
        event = {"happened": happened, "amount_minor": amount_minor, "currency": "GBP"}
        plans = [problem("O1", **event), problem("O2"), problem("O3", **event)]
        ledger.raise_exceptions(SHOP, "test", plans)
        return sorted(each.exception_id for each in ledger.exceptions())

    with open_ledger(tmp_path) as ledger:
        assert seen(ledger) == [1, 2, 3]
        assert ledger.exceptions(exception_id=1)[0].evidence["happened"] == left
        ledger.resolve_all([1, 2], by="kim", note="the carrier brings it back")
        assert seen(ledger) == [2, 3], "an event that a person explained stays, a state does not"
        assert [each.event for each in ledger.exception_history(1)] == ["opened", "resolve"]
        raised(ledger)
        assert ledger.exceptions() == []
        assert seen(ledger) == [2, 3], "what only went out of sight opens again, an explained event not even then"
        assert seen(ledger, happened=f"{left}; 1 x A in parcel D2, 0 wanted") == [1, 2, 3]
        ledger.resolve(1, by="kim", note="both come back")
        assert seen(ledger) == [1, 2, 3], "other facts than those that were explained"
        ledger.resolve(1, by="kim", note="one, after all")
        assert seen(ledger) == [2, 3]
        assert seen(ledger, amount_minor=1001) == [1, 2, 3]
        assert ledger.exceptions(exception_id=1)[0].openings == 4


def test_what_a_month_hands_on_is_ended_by_the_month_that_does_not_name_it(tmp_path: Path) -> None:
    """Lanes that are one of a row (``month_end:<month>``): O1 is brought forward, O2 stays with its month."""
    october, november = "month_end:2026-10", "month_end:2026-11"

    def close(ledger: Ledger, lane: str, *orders: str) -> list[str]:
        named = [problem(order, evidence={} if order == "O2" else {"handed_on": order}) for order in orders]
        ledger.apply(decision(lane=lane, exceptions=named), shop())
        return sorted(each.entity["order_id"] for each in ledger.exceptions())

    with open_ledger(tmp_path) as ledger:
        assert close(ledger, october, "O1", "O2") == ["O1", "O2"]
        assert close(ledger, november, "O1", "O3") == ["O1", "O2", "O3"]
        assert close(ledger, october, "O1", "O2") == ["O1", "O2", "O3"]
        assert close(ledger, november, "O3") == ["O2", "O3"], "brought forward, and matched there"
        assert close(ledger, october, "O2") == ["O2", "O3"], "an earlier month does not end what a later one found"
        assert close(ledger, "month_end:2026-12") == ["O2"]
        assert close(ledger, october) == []


def test_what_a_person_closed_for_good_is_known_by_its_lane(tmp_path: Path) -> None:
    event = {"happened": "left", "evidence": {"handed_on": "L1"}}
    with open_ledger(tmp_path) as ledger:
        for lane in ("month_end:2026-10", "other"):
            named = [problem(f"{lane}{number}", **event) for number in (1, 2, 3)]
            ledger.apply(decision(lane=lane, exceptions=named), shop())
        ledger.resolve_all([1, 2, 4], by="kim", note="claimed and paid by credit note")
        ledger.apply(decision(lane="month_end:2026-10", exceptions=[problem("month_end:2026-101", **event)]), shop())
        assert [each.exception_id for each in ledger.closed_by_hand(SHOP, "month_end:")] == [1, 2]


def test_acts_on_many_are_done_to_all_with_an_event_each_or_to_none(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        raised(ledger, *(f"O{n}" for n in range(520)))
        ids = [each.exception_id for each in ledger.exceptions()]
        changed = ledger.assign_all(ids, "warehouse", by="kim", note="all yours")
        assert [each.exception_id for each in changed] == ids
        assert {each.owner for each in ledger.exceptions()} == {"warehouse"}
        assert all([each.event for each in ledger.exception_history(key)] == ["opened", "assign"] for key in ids[::100])
        ledger.resolve(ids[3], by="kim", note="done")
        with pytest.raises(BadArgument, match=f"Exception {ids[3]} was resolved"):
            ledger.snooze_all(ids, NOW + timedelta(days=1), by="kim", note="later")
        with pytest.raises(BadArgument, match="There is no exception 9999"):
            ledger.resolve_all([ids[0], 9999], by="kim", note="done")
        assert not any(each.snoozed_until for each in ledger.exceptions())
        assert len(ledger.exceptions()) == 519
        assert len(ledger.resolve_all(ids[4:], by="kim", note="done")) == 516
        assert len(ledger.exceptions()) == 3


def test_a_snooze_ends_by_itself(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        raised(ledger, "O1")
        found = ledger.snooze(1, NOW + timedelta(hours=2), by="kim", note="later")
        assert found.is_snoozed(NOW)
        assert not found.is_snoozed(NOW + timedelta(hours=2))


def test_a_snooze_to_a_day_ends_when_that_day_begins_in_the_shop(tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 10, 8, 23, 30, tzinfo=UTC))  # in London it is the 9th
    always = {"work_days": list(WEEK), "opens": "00:00", "closes": "24:00", "holidays_of": ""}
    with at_work(tmp_path, clock, **always) as ledger:
        raised(ledger, "O1", "O2")
        done = ledger.snooze_to_day([1, 2], date(2026, 10, 12), by="kim", note="later")
        assert {each.snoozed_until for each in done} == {datetime(2026, 10, 12, tzinfo=LONDON)}
        with pytest.raises(BadArgument, match="2026-10-09 is not after today"):
            ledger.snooze_to_day([1], date(2026, 10, 9), by="kim", note="later")
        with pytest.raises(BadArgument, match="There is no exception 9"):
            ledger.snooze_to_day([1, 9], date(2026, 10, 20), by="kim", note="later")
        assert {each.snoozed_until for each in ledger.exceptions()} == {datetime(2026, 10, 12, tzinfo=LONDON)}
        assert [each.event for each in ledger.exception_history(1)] == ["opened", "snooze"]
    with at_work(tmp_path / "other", clock) as ledger:
        raised(ledger, "O1")
        (done,) = ledger.snooze_to_day([1], date(2026, 10, 12), by="kim", note="later")
        assert done.snoozed_until == datetime(2026, 10, 12, 9, tzinfo=LONDON), "when people are there again"


@pytest.mark.proves("R22")
def test_severity_follows_the_facts_and_what_opens_again_is_quiet_for_nobody(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        raised(ledger, "O1")
        ledger.snooze(1, NOW + timedelta(days=30), by="kim", note="they mend it")
        raised(ledger, "O1")
        (open_still,) = ledger.exceptions()
        assert open_still.is_snoozed(NOW)
        ledger.raise_exceptions(SHOP, "test", [problem("O1", severity="medium")])
        assert [(each.openings, each.severity) for each in ledger.exceptions()] == [(1, "medium")]
        raised(ledger)
        ledger.raise_exceptions(SHOP, "test", [problem("O1", severity="low")])
        (again,) = ledger.exceptions()
        assert (again.openings, again.severity) == (2, "low")
        assert not again.is_snoozed(NOW)


def test_a_history_of_nothing_is_told(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger, pytest.raises(BadArgument, match="There is no exception 7"):
        ledger.exception_history(7)


@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_exceptions_of_an_older_ledger_keep_their_clock_and_open_again(
    tmp_path: Path, url: str, request: pytest.FixtureRequest
) -> None:
    ledger_url = "" if url == "sqlite" else str(request.getfixturevalue("postgres_database"))
    engine = open_engine(tmp_path, ledger_url)
    make_of_version(engine, "0002")
    with transaction(engine) as connection:
        zone = "+00" if ledger_url else ""
        opened, due = f"2026-10-05 01:00:00.000000{zone}", f"2026-10-05 11:00:00.000000{zone}"
        from marketplace_returns.ledger.exceptions import fingerprint

        for order, resolved, words in (
            ("O1", "NULL", ""),
            ("O2", f"'{due}'", "by kim: done"),
            ("O3", f"'{due}'", "cleared by facts"),
        ):
            connection.execute(
                text(
                    "INSERT INTO exceptions (fingerprint, shop, type, lane, entity, cause, message, opened_at, last_seen_at, due_at,"
                    " resolved_at, resolution) "
                    f"VALUES ('{fingerprint(problem(order))}', '{SHOP}', 'ACK_OVERDUE', 'test', '{{\"order_id\": \"{order}\"}}',"
                    f" 'late', 'm', '{opened}', '{opened}', '{due}', {resolved}, '{words}')"
                )
            )
    engine.dispose()
    with open_ledger(tmp_path, ledger_url=ledger_url) as ledger:
        first, by_hand, by_facts = sorted(ledger.exceptions(is_open=None), key=lambda each: each.exception_id)
        assert (first.first_opened_at, first.half_used_at) == (first.opened_at, datetime(2026, 10, 5, 6, tzinfo=UTC))
        assert first.most_used_at == datetime(2026, 10, 5, 9, tzinfo=UTC)
        assert (by_hand.was_closed_by_hand, by_facts.was_closed_by_hand) == (True, False)
        assert [each.event for each in ledger.exception_history(1)] == ["opened"]
        raised(ledger, "O1", "O2")
        assert [(each.exception_id, each.openings) for each in ledger.exceptions()] == [(1, 1), (2, 2)]
