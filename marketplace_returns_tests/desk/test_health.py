"""The lanes' health over a real ledger: what waits, how long writes took, what people touched, freshness, calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.desk.health import freshness, health
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.outcomes import Confirmed, Rejected, Unknown
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.http import CallRecord
from marketplace_returns_tests.console.served import installation
from marketplace_returns_tests.ledger.world import NOW, Outside, decision, refund

SHOP = "asos_uk"
pytestmark = pytest.mark.proves("R20", "R77")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def ledger(tmp_path: Path, clock: FixedClock) -> Iterator[Ledger]:
    with Ledger.open(installation(tmp_path), clock) as opened:
        yield opened


def test_what_waits_and_how_writes_fared_is_told_by_kind(ledger: Ledger, clock: FixedClock, tmp_path: Path) -> None:
    shop = installation(tmp_path).shop(SHOP)
    plans = [refund(f"L{number}#1", order=f"O{number}") for number in range(1, 6)]
    ledger.apply(decision(*plans), shop)
    clock.wait(90)
    answers = {
        "L1#1": Confirmed("F1"),
        "L2#1": Confirmed("F2"),
        "L3#1": Rejected("400", "no", "mapping", "REFUND_REJECTED_REASON"),
        "L4#1": Unknown("no answer"),
    }
    outside = Outside(answer=lambda each: answers[each.natural_key])
    drain(ledger, shop, {WriteKind.REFUND: outside}, clock, worker="w1", limit=4)
    (row,) = health(ledger, shop, (), clock.now()).writes.dicts()
    assert {name: row[name] for name in ("kind", "due", "unclear", "refused", "confirmed", "p50_s", "p99_s")} == {
        "kind": "refund",
        "due": 1,
        "unclear": 1,
        "refused": 1,
        "confirmed": 2,
        "p50_s": 90,
        "p99_s": 90,
    }
    assert (row["state"], row["oldest_minutes"], row["touchless_percent"]) == ("ok", 1, 100)
    clock.wait(20 * 60)
    (row,) = health(ledger, shop, (), clock.now()).writes.dicts()
    assert (row["state"], row["oldest_minutes"]) == ("slow", 21)
    clock.wait(45 * 60)
    (row,) = health(ledger, shop, (), clock.now()).writes.dicts()
    assert row["state"] == "stuck", "an unclear write of an hour"
    clock.wait(86_400)
    (row,) = health(ledger, shop, (), clock.now()).writes.dicts()
    assert (row["confirmed"], row["p50_s"], row["touchless_percent"]) == (0, None, None)


def test_streams_are_late_after_four_missed_polls_and_stale_after_twelve() -> None:
    every = timedelta(minutes=5)
    minutes = {"fresh": 20, "late": 21, "later": 60, "stale": 61}
    cursors = {name: (NOW, NOW - timedelta(minutes=ago)) for name, ago in minutes.items()}
    found = freshness(cursors, [(name, every) for name in (*minutes, "unread")], NOW)
    assert [each.state for each in found] == ["fresh", "late", "late", "stale", "never"]


def test_calls_of_the_last_hour_stand_beside_what_is_allowed(ledger: Ledger, clock: FixedClock, tmp_path: Path) -> None:
    def call(operation: str, minutes_ago: int, outcome: str = "answered") -> None:
        ledger.record(
            CallRecord(
                system="mirakl",
                shop=SHOP,
                operation=operation,
                request_id="r",
                started_at=NOW - timedelta(minutes=minutes_ago),
                duration_ms=10.0,
                status=200,
                outcome=outcome,
                received_bytes=1,
            )
        )

    for minutes_ago in (1, 2, 3, 70):
        call("OR11", minutes_ago)
    call("OR11", 4, "rate_limited")
    call("OR28", 5)
    calls = health(ledger, installation(tmp_path).shop(SHOP), (), NOW).calls
    assert [(each.operation, each.calls, each.refused, each.ceiling, each.percent) for each in calls] == [
        ("OR11", 4, 1, 60, 6),
        ("OR28", 1, 0, 0, 0),
    ]
