"""Which RMAs a poll reads: none is missed for good, and a day's calls hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import pytest

from marketplace_returns.sources.returngo.calls import CallPlan
from marketplace_returns.sources.returngo.reading import REST_AFTER, Known, ids_to_read
from marketplace_returns_tests.sources.returngo.conftest import NOW

PLAN = CallPlan(calls_per_day=2000, urgent_per_day=500, rereads_per_day=500)
MINUTES_5 = timedelta(minutes=5)


@dataclass
class Change:
    """One change of an RMA: when it happened, when it can be seen, and whether `lastUpdated` moves."""

    rma_id: str
    at: datetime
    visible_at: datetime
    is_told: bool


@dataclass
class There:
    """ReturnGO, as a list of changes; and what was read of it."""

    changes: list[Change]
    ended: frozenset[str] = frozenset()
    reads: dict[str, datetime] = field(default_factory=dict)
    updated: dict[str, datetime] = field(default_factory=dict)
    calls: list[tuple[datetime, str]] = field(default_factory=list)
    now: datetime = NOW

    shown: dict[str, datetime] = field(default_factory=dict)

    def listed_since(self, since: datetime) -> list[str]:
        self.calls.append((self.now, "list"))
        return sorted({rma_id for rma_id, at in self.shown.items() if at >= since})

    def known(self, rma_ids: Sequence[str]) -> dict[str, Known]:
        return {rma_id: Known(self.reads[rma_id], self.updated[rma_id]) for rma_id in rma_ids if rma_id in self.reads}

    def be_at(self, now: datetime) -> None:
        self.now = now
        for change in self.changes:
            if change.is_told and change.visible_at <= now:
                self.shown[change.rma_id] = max(change.at, self.shown.get(change.rma_id, change.at))

    def not_at_rest(self, limit: int) -> list[str]:
        waiting = [
            rma_id
            for rma_id, read_at in self.reads.items()
            if rma_id not in self.ended or read_at < self.updated[rma_id] + REST_AFTER
        ]
        return sorted(waiting, key=lambda rma_id: (self.reads[rma_id], rma_id))[:limit]

    def poll(self, after: datetime, until: datetime, calls_max: int = 10_000) -> bool:
        """Poll once; False where the calls ended before the reading did."""
        self.be_at(until)
        for rma_id in ids_to_read((after, until), until, self.listed_since, self, PLAN):
            if len(self.calls) >= calls_max:
                return False
            self.calls.append((self.now, rma_id))
            self.reads[rma_id] = self.now
            self.updated[rma_id] = self.shown[rma_id]
        return True

    def unseen(self) -> list[Change]:
        """Changes that no read came after."""
        return [
            change
            for change in self.changes
            if change.visible_at <= self.now
            and self.reads.get(change.rma_id, NOW - timedelta(days=999)) < change.visible_at
        ]


def told(rma_id: str, at: datetime) -> Change:
    return Change(rma_id, at, at, is_told=True)


@pytest.mark.proves("R106")
@pytest.mark.parametrize("seed", range(3))
def test_every_change_is_read_however_late_it_shows_and_a_days_calls_hold(seed: int) -> None:
    chance = Random(seed)
    changes, ended = [], set()
    for number in range(150):
        rma_id, at = f"{number}", NOW + timedelta(seconds=chance.randrange(86_400))
        changes.append(told(rma_id, at))
        for _ in range(chance.randrange(4)):
            at = min(at + timedelta(seconds=chance.randrange(40_000)), NOW + timedelta(days=1))
            late = timedelta(seconds=chance.choice((0, 0, 0, 90, 900, 1800)))
            is_told = chance.random() < 0.7
            changes.append(Change(rma_id, at, at + (late if is_told else timedelta(0)), is_told))
        if chance.random() < 0.5 and changes[-1].is_told:
            ended.add(rma_id)
    there = There(changes, frozenset(ended))
    after = NOW
    for number in range(1, 3 * 288 + 1):
        there.poll(after, NOW + MINUTES_5 * number)
        after = NOW + MINUTES_5 * number
        for change in there.changes:
            is_soon = change.visible_at == change.at and change.is_told
            if is_soon and change.visible_at <= there.now:
                assert there.reads[change.rma_id] >= change.visible_at, "told in time, and not read by the next poll"
    assert there.unseen() == []
    for day in range(3):
        of_day = [at for at, _ in there.calls if NOW + timedelta(days=day) < at <= NOW + timedelta(days=day + 1)]
        assert len(of_day) <= PLAN.calls_per_day - PLAN.urgent_per_day


def test_an_idle_poll_costs_one_call_and_its_share_of_reading_again() -> None:
    there = There([told("1", NOW)], frozenset({"1"}))
    there.poll(NOW, NOW + MINUTES_5)
    there.poll(NOW + timedelta(hours=5), NOW + timedelta(hours=5) + MINUTES_5)  # at rest from here on
    there.calls.clear()
    there.poll(NOW + timedelta(hours=6, minutes=5), NOW + timedelta(hours=6, minutes=10))
    assert [what for _, what in there.calls] == ["list"]


def test_a_shipments_change_is_found_by_reading_again_the_one_read_longest_ago() -> None:
    open_rmas = [str(number) for number in range(500)]
    there = There([told(rma_id, NOW) for rma_id in open_rmas])
    there.poll(NOW, NOW + MINUTES_5)
    there.changes += [Change(rma_id, NOW + timedelta(hours=1), NOW + timedelta(hours=1), False) for rma_id in open_rmas]
    after = NOW + timedelta(hours=1)
    for number in range(288):
        there.poll(after + MINUTES_5 * number, after + MINUTES_5 * (number + 1))
    assert there.unseen() == []
    assert there.now - NOW == PLAN.reread_every(500) + timedelta(hours=1)


@pytest.mark.proves("R106")
def test_a_first_load_beyond_a_days_calls_goes_on_where_it_stopped() -> None:
    start = NOW - timedelta(days=92)
    there = There([told(str(number), start + timedelta(hours=number)) for number in range(2000)])
    assert not there.poll(start, NOW, calls_max=1200)
    assert len(there.reads) == 1199
    there.changes.append(told("1", NOW + timedelta(hours=2)))
    assert there.poll(start, NOW + timedelta(days=1, minutes=1))
    assert len(there.reads) == 2000
    again = [rma_id for at, rma_id in there.calls if at > NOW and rma_id != "list"]
    changed, unread = again.count("1"), len(set(again))
    assert (changed, unread) == (1, 2000 - 1199 + 1 + PLAN.rereads_per_day)
    assert there.unseen() == []


def test_a_window_of_the_past_reads_nothing_again_by_the_plan() -> None:
    there = There([told("1", NOW - timedelta(days=9)), told("2", NOW - timedelta(days=30))])
    there.reads = {"2": NOW - timedelta(days=20)}
    there.updated = {"2": NOW - timedelta(days=30)}
    there.be_at(NOW)
    window = (NOW - timedelta(days=10), NOW - timedelta(days=9))
    assert list(ids_to_read(window, NOW, there.listed_since, there, PLAN)) == ["1"]
