"""One disaster played whole, and what the judge sees; ``make reliability`` plays them all."""

from __future__ import annotations

import copy
import sqlite3
from typing import Any

import duckdb
import pytest
from sqlalchemy.exc import OperationalError

from marketplace_returns.cli.main import _of_storage
from marketplace_returns_tests.reliability import disasters
from marketplace_returns_tests.reliability.abuse.scene import Setting
from marketplace_returns_tests.reliability.disasters import DISASTERS, Result

TRUTH: dict[str, Any] = {
    "checks": [{"name": "refunded once", "expected": 3, "actual": 3, "violations": []}],
    "facts": {"accept_calls_repeated": 0, "ship_calls_repeated": 0},
}


def test_the_judge_sees_what_is_lost_and_what_is_doubled() -> None:
    def judged(**facts: int) -> list[str]:
        now = copy.deepcopy(TRUTH)
        now["facts"] |= facts
        result = Result(DISASTERS[0])
        disasters._judge(result, now, TRUTH)
        return result.failures

    assert judged() == []
    assert judged(accept_calls_repeated=1)
    for found in ({"actual": 2}, {"violations": [{"reference": "L1", "problem": "refunded twice"}]}):
        now = copy.deepcopy(TRUTH)
        now["checks"][0] |= found
        result = Result(DISASTERS[0])
        disasters._judge(result, now, TRUTH)
        assert result.failures


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), "make room"),
        (OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error")), "make room"),
        (duckdb.IOException("Could not write all bytes to file: No space left on device"), "make room"),
        (duckdb.TransactionException("database is locked"), "try again"),
        (
            duckdb.TransactionException("could not allocate block: * Increasing the memory limit (SET memory_limit)"),
            "lake_memory_mb",
        ),
        (OperationalError("SELECT", {}, sqlite3.OperationalError("no such table: intents")), ""),
        (duckdb.CatalogException("Table with name x does not exist!"), ""),
    ],
)
def test_a_database_that_cannot_be_written_is_told_plainly_and_a_fault_of_ours_is_not_hidden(
    error: Exception, told: str
) -> None:
    words = _of_storage(error)
    assert told in words
    assert bool(words) == bool(told)


@pytest.mark.drill
@pytest.mark.played
def test_a_restart_of_the_outside_under_a_pass_loses_and_doubles_nothing() -> None:
    config = {"orders": 30, "days": 1, "skus": 12}
    (restart,) = [each for each in DISASTERS if each.name == "outside-restarted"]
    with disasters.ground(Setting("sample", config, passes=(), hours_unseen=13)) as place:
        calm = disasters.play(place, None, seconds=0, busy_s=0)
        assert isinstance(calm, dict)
        place.truth = calm
        result = disasters.play(place, restart, seconds=4, busy_s=1)
    assert isinstance(result, Result)
    assert not result.failures
    assert result.in_flight
