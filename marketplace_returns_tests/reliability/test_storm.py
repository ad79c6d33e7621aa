"""A short storm of 429; ``make reliability`` plays the long one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from marketplace_returns_tests.reliability import storm
from marketplace_returns_tests.reliability.storm import Call, Plan


@pytest.mark.played
@pytest.mark.proves("R103")
def test_in_a_storm_no_call_leaves_too_early_or_too_often_and_all_is_done_after_it() -> None:
    plan = Plan(
        full=timedelta(seconds=60),
        half=timedelta(seconds=120),
        orders=30,
        days=1,
        passes_before=(12,),
        unseen_hours=6,
    )
    outcome = storm.play(plan)
    assert not outcome.failures
    assert outcome.refused >= 2
    assert outcome.writes


def test_the_judge_sees_a_call_before_its_time_and_a_window_too_full() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    refused = Call(start, "mirakl", "OR28", False, 60)
    assert not storm.too_early([refused, Call(start + timedelta(seconds=60), "mirakl", "OR28", False)])
    assert storm.too_early([refused, Call(start + timedelta(seconds=59), "mirakl", "OR28", False)])
    polls = [Call(start + timedelta(minutes=4 * number), "mirakl", "RT11", False) for number in range(13)]
    assert storm.over_budget(polls)[0]
    assert not storm.over_budget(polls[:12])[0]
