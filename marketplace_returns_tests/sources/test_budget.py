"""Ceilings hold whoever calls, urgent calls have their share, and a 429 holds everybody back."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock, SystemClock
from marketplace_returns.errors import RateLimited
from marketplace_returns.sources.budget import Rate, SharedBudget
from marketplace_returns.sources.mirakl.frequencies import ACCEPTANCE_LOOK_S, ceilings

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TWO_RATES = (Rate(4, 60), Rate(6, 3600))


def budget(
    path: Path, clock: FixedClock, *rates: Rate, wait_s_max: float = 0, reserved_share: float = 0
) -> SharedBudget:
    return SharedBudget(
        path / "budget.sqlite",
        "mirakl",
        "asos_uk",
        {"TL02": rates},
        clock,
        wait_s_max=wait_s_max,
    )


def taken(
    shared: SharedBudget, tries: int, operation: str = "TL02", *, urgent: bool = False, spare: bool = False
) -> int:
    count = 0
    for _ in range(tries):
        try:
            shared.take(operation, urgent=urgent, spare=spare)
        except RateLimited:
            break
        count += 1
    return count


@pytest.mark.proves("R103")
def test_every_window_holds(tmp_path: Path) -> None:
    clock = FixedClock(NOON)
    shared = budget(tmp_path, clock, *TWO_RATES)
    assert taken(shared, 9) == 4
    clock.wait(60)
    assert taken(shared, 9) == 2
    clock.wait(60)
    with pytest.raises(RateLimited, match=r"TL02.*asos_uk") as caught:
        shared.take("TL02")
    assert caught.value.retry_after_s == 3480


def test_a_call_waits_for_its_slot_within_the_bound(tmp_path: Path) -> None:
    clock = FixedClock(NOON)
    shared = budget(tmp_path, clock, Rate(2, 60), wait_s_max=75)
    for _ in range(5):
        shared.take("TL02")
    assert clock.now() == NOON + timedelta(seconds=120)


@pytest.mark.proves("R103", "C7")
def test_calls_that_are_not_urgent_leave_the_reserved_share(tmp_path: Path) -> None:
    shared = budget(tmp_path, FixedClock(NOON), Rate(8, 60, reserved=2))
    assert taken(shared, 20) == 6
    assert taken(shared, 20, urgent=True) == 2


@pytest.mark.proves("R103")
def test_spare_calls_leave_the_window_to_what_must_be_called(tmp_path: Path) -> None:
    shared = budget(tmp_path, FixedClock(NOON), Rate(5, 300, reserved=1))
    assert taken(shared, 9, spare=True) == 1
    assert taken(shared, 9, urgent=True) == 4
    (tmp_path / "single").mkdir()
    single = budget(tmp_path / "single", FixedClock(NOON), Rate(1, 300))
    assert (taken(single, 9, spare=True), taken(single, 9)) == (0, 1)


@pytest.mark.proves("R14", "R103")
def test_in_a_crowded_hour_each_of_the_orders_readers_has_its_turn_every_few_minutes(tmp_path: Path) -> None:
    """The look for orders, the poll, the fresh reads of refunds and the reads after writes, all as often as they would like."""
    clock = FixedClock(NOON)
    shared = budget(tmp_path, clock, *ceilings("seller")["OR11"])
    wanted = {
        "look": (ACCEPTANCE_LOOK_S, False, False),
        "poll": (300, False, False),
        "refund": (30, True, False),
        "after": (30, False, True),
    }
    gone: dict[str, list[int]] = {name: [0] for name in wanted}
    for second in range(0, 3 * 3600, 30):
        for name, (every_s, urgent, spare) in wanted.items():
            if second - gone[name][-1] >= every_s or second == 0:
                gone[name] += [second] * taken(shared, 1, urgent=urgent, spare=spare)
        clock.wait(30)
    longest = {name: max(b - a for a, b in pairwise([*at, 3 * 3600])) for name, at in gone.items()}
    assert max(longest["look"], longest["poll"], longest["refund"]) <= 2 * 300
    assert all(
        sum(second <= at < second + 3600 for each in gone.values() for at in each[1:]) <= 60
        for second in range(0, 7200, 60)
    )


@pytest.mark.proves("R48", "R103")
def test_while_orders_come_in_a_refunds_read_waits_for_half_a_window_at_most(tmp_path: Path) -> None:
    clock = FixedClock(NOON)
    shared = budget(tmp_path, clock, *ceilings("seller")["OR11"])
    read_at = [0]
    for second in range(0, 3600, 10):
        if second % ACCEPTANCE_LOOK_S == 0:
            assert taken(shared, 1) == 1, f"no look for orders at {second}"
        read_at += [second] * taken(shared, 1, urgent=True)
        clock.wait(10)
    assert max(b - a for a, b in pairwise([*read_at, 3600])) == 150


def test_urgent_calls_do_not_starve_the_others(tmp_path: Path) -> None:
    shared = budget(tmp_path, FixedClock(NOON), Rate(8, 60, reserved=2))
    assert taken(shared, 20, urgent=True) == 6
    assert taken(shared, 20) == 2


def test_operations_without_a_ceiling_and_uncounted_calls_are_free(tmp_path: Path) -> None:
    shared = budget(tmp_path, FixedClock(NOON), Rate(1, 60))
    assert taken(shared, 50, "OR28") == 50
    shared.take("TL02")
    shared.take("TL02", counted=False)


def test_shops_do_not_share_a_budget(tmp_path: Path) -> None:
    clock = FixedClock(NOON)
    ours = budget(tmp_path, clock, Rate(1, 60))
    theirs = SharedBudget(tmp_path / "budget.sqlite", "mirakl", "asos_de", {"TL02": (Rate(1, 60),)}, clock)
    ours.take("TL02")
    theirs.take("TL02")


@pytest.mark.proves("R103")
@pytest.mark.parametrize("operation", ["TL02", "OR28"])
def test_a_429_holds_back_all_processes_until_its_time(tmp_path: Path, operation: str) -> None:
    clock = FixedClock(NOON)
    one, other = budget(tmp_path, clock, Rate(9, 60)), budget(tmp_path, clock, Rate(9, 60))
    one.block(operation, 30)
    with pytest.raises(RateLimited) as caught:
        other.take(operation, urgent=True)
    assert caught.value.retry_after_s == 30
    one.block(operation, 5)  # a shorter pause does not end a longer one
    clock.wait(29)
    with pytest.raises(RateLimited):
        other.take(operation)
    clock.wait(1)
    other.take(operation)


def test_an_attempt_without_an_answer_does_not_close_a_daily_list(tmp_path: Path) -> None:
    shared = budget(tmp_path, FixedClock(NOON), Rate(1, 86_400))
    shared.take("TL02")
    shared.give_back("TL02")
    assert taken(shared, 5) == 1


def test_a_failing_list_with_many_calls_keeps_its_count(tmp_path: Path) -> None:
    shared = budget(tmp_path, FixedClock(NOON), Rate(2, 60))
    for _ in range(2):
        shared.take("TL02")
        shared.give_back("TL02")
    assert taken(shared, 5) == 0


def test_a_clock_set_back_never_opens_a_ceiling(tmp_path: Path) -> None:
    clock = FixedClock(NOON)
    shared = budget(tmp_path, clock, Rate(3, 60))
    taken(shared, 3)
    clock.move_to(NOON - timedelta(hours=1))
    assert taken(shared, 3) == 0


def test_the_log_of_calls_stays_short(tmp_path: Path) -> None:
    clock = FixedClock(NOON)
    shared = budget(tmp_path, clock, Rate(2, 60), wait_s_max=75)
    for _ in range(40):
        shared.take("TL02")
    shared.close()
    with sqlite3.connect(tmp_path / "budget.sqlite") as connection:
        assert connection.execute("select count(*) from call_budget_calls").fetchone()[0] <= 3


def _call_for_a_while(
    database: Path | str, seconds: float, ready: Barrier, sent: multiprocessing.Queue[list[float]]
) -> None:
    shared = SharedBudget(
        database, "mirakl", "asos_uk", {"TL02": (Rate(5, 0.4), Rate(15, 2.0))}, SystemClock(), wait_s_max=0.5
    )
    calls: list[float] = []
    ready.wait(60)  # both have loaded what they need
    until = time.time() + seconds
    while time.time() < until:
        try:
            shared.take("TL02", urgent=True)
        except RateLimited:
            continue
        calls.append(time.time())
    sent.put(calls)


def calls_of_two_processes(database: Path | str, seconds: float) -> list[float]:
    """Let two processes call as often as they may; returns when the calls left, in order."""
    context = multiprocessing.get_context("spawn")
    sent: multiprocessing.Queue[list[float]] = context.Queue()
    ready = context.Barrier(2)
    workers = [context.Process(target=_call_for_a_while, args=(database, seconds, ready, sent)) for _ in "ab"]
    for worker in workers:
        worker.start()
    by_worker = [sent.get(timeout=90) for _ in workers]
    for worker in workers:
        worker.join(timeout=30)
    assert all(by_worker)
    return sorted(call for calls in by_worker for call in calls)


def assert_no_ceiling_exceeded(calls: list[float]) -> None:
    assert len(calls) >= 15
    # a call leaves a moment after it was counted, so windows over leaving times are taken a little shorter
    for calls_max, window_s in ((5, 0.4), (15, 2.0)):
        for first in range(len(calls) - calls_max):
            assert calls[first + calls_max] - calls[first] > window_s - 0.1


@pytest.mark.proves("R103")
def test_two_processes_together_never_exceed_a_ceiling(tmp_path: Path) -> None:
    assert_no_ceiling_exceeded(calls_of_two_processes(tmp_path / "budget.sqlite", seconds=4.5))


@pytest.mark.postgres
@pytest.mark.played
def test_two_processes_share_a_budget_in_postgres(postgres_database: str) -> None:
    assert_no_ceiling_exceeded(calls_of_two_processes(postgres_database, seconds=4.5))
    clock = FixedClock(NOON)
    shared = SharedBudget(postgres_database, "mirakl", "asos_uk", {"A01": (Rate(1, 86_400),)}, clock, wait_s_max=0)
    shared.take("A01")
    shared.give_back("A01")
    assert taken(shared, 3, "A01") == 1
    shared.block("OR28", 30)
    with pytest.raises(RateLimited):
        shared.take("OR28")
    shared.close()
