"""A day's calls: what the plan promises adds up, and no kind of call starves another."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import RateLimited
from marketplace_returns.settings import ReturnsSettings
from marketplace_returns.sources.budget import Rate, SharedBudget
from marketplace_returns.sources.returngo.calls import DAY, LISTS_PER_DAY, CallPlan, ceilings, key_budget
from marketplace_returns_tests.sources.returngo.conftest import NOW, shop

pytestmark = pytest.mark.proves("R103")
PLAN = CallPlan.of(ReturnsSettings(platform="returngo", base_url="https://returngo.example", shop_name="shop"))


def test_the_shares_of_a_day_add_up_to_the_quota() -> None:
    shares = (LISTS_PER_DAY, PLAN.urgent_per_day, PLAN.rereads_per_day, PLAN.changes_per_day)
    assert shares == (312, 500, 500, 688)
    assert sum(shares) == PLAN.calls_per_day == 2000


@pytest.mark.parametrize(("open_rmas", "days"), [(250, 0.5), (500, 1), (1000, 2), (3000, 6)])
def test_how_long_it_takes_until_every_open_rma_was_read_again(open_rmas: int, days: float) -> None:
    assert PLAN.reread_every(open_rmas) == timedelta(days=days)


def test_polls_of_any_rhythm_read_again_what_the_plan_has_for_a_day() -> None:
    chance = Random(7)
    moments = sorted({NOW + timedelta(seconds=chance.randrange(86_400)) for _ in range(300)} | {NOW, NOW + DAY})
    due = [PLAN.rereads_due(after, until) for after, until in pairwise(moments)]
    assert sum(due) == PLAN.rereads_per_day
    every_five_minutes = [
        PLAN.rereads_due(NOW + timedelta(minutes=5 * number), NOW + timedelta(minutes=5 * number + 5))
        for number in range(288)
    ]
    assert set(every_five_minutes) == {1, 2}
    assert sum(every_five_minutes) == PLAN.rereads_per_day


def test_a_pause_is_made_up_for_by_a_day_at_most() -> None:
    assert PLAN.rereads_due(NOW - timedelta(days=30), NOW) == PLAN.rereads_per_day
    assert PLAN.rereads_due(NOW, NOW) == 0


def test_every_operation_counts_to_the_one_quota_of_the_key() -> None:
    there = shop("https://returngo.example", calls_per_day=5000, urgent_calls_per_day=700)
    assert ceilings(there) == {"returngo": (Rate(5000, 86_400.0, reserved=700), Rate(100, 1.0))}


def test_changes_leave_the_urgent_calls_their_share_and_a_day_is_never_exceeded(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    shared = SharedBudget(
        tmp_path / "budget.db", "returngo", "asos_uk", {"returngo": (Rate(30, 86_400.0, reserved=6),)}, clock
    )
    budget = key_budget(shared)
    for number in range(24):
        budget.take(("list_rmas", "get_rma", "list_transactions")[number % 3])
    with pytest.raises(RateLimited) as refused:
        budget.take("get_rma")
    assert refused.value.retry_after_s == 86_400
    for _ in range(6):
        budget.take("report_transaction", urgent=True)
    with pytest.raises(RateLimited):
        budget.take("create_rma", urgent=True)
    clock.wait(86_401)
    budget.take("get_rma")
    shared.close()


def test_no_second_has_more_calls_than_the_ceiling(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    there = shop("https://returngo.example", calls_per_second=5)
    shared = SharedBudget(tmp_path / "budget.db", "returngo", "asos_uk", ceilings(there), clock)
    for _ in range(11):
        key_budget(shared).take("get_rma")
    assert (clock.now() - NOW).total_seconds() >= 2
    shared.close()


def test_a_plan_that_leaves_too_little_for_changes_is_refused_at_start() -> None:
    with pytest.raises(ValidationError, match="raise calls_per_day"):
        shop("https://returngo.example", calls_per_day=1500)
