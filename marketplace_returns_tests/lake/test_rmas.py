"""RMAs on a real lake: what was read when, a silent change of a shipment, and a source that fails half-way."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import RateLimited
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.pull import begin, take
from marketplace_returns.lake.rma_memory import RmaMemory
from marketplace_returns.sources.returngo.reading import Known, Memory
from marketplace_returns_tests.lake import worlds

UPDATED = datetime(2026, 10, 7, 8, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(UPDATED + timedelta(minutes=1))


def rma(number: int = 7000001, **summary: Any) -> worlds.Json:
    made = copy.deepcopy(worlds.RETURNGO_RETURN)
    made["rmaSummary"] |= {"rmaId": f"RMA{number}"} | summary
    for place, item in enumerate(made["items"]):
        item["returnedItemId"] = number * 10 + place
    made["transactions"][0]["id"] = number
    return made


class Lands:
    """Puts RMAs into the lake, minutes apart."""

    def __init__(self, lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock) -> None:
        self.lake, self.con, self.clock = lake, con, clock

    def __call__(self, *rmas: worlds.Json) -> None:
        take(self.lake, "returngo/return", "asos_uk", [list(rmas)], run_id="run", clock=self.clock, con=self.con)

    def all(self, query: str) -> list[Any]:
        return self.con.execute(query).fetchall()


@pytest.fixture
def land(lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock) -> Lands:
    return Lands(lake, con, clock)


def test_reading_an_unchanged_rma_again_keeps_when_and_lands_nothing(land: Lands) -> None:
    land(rma())
    land.clock.wait(600)
    land(rma())
    assert land.all("SELECT count(*) FROM lake.landing.payloads") == [(1,)]
    assert land.all("SELECT read_at, updated_at FROM lake.core.returngo__rmas") == [(land.clock.now(), UPDATED)]
    assert land.all("SELECT min(fetched_at) = max(fetched_at), max(fetched_at) FROM lake.core.returngo__sightings") == [
        (True, UPDATED + timedelta(minutes=1))
    ]


def test_a_shipment_that_changed_while_last_updated_stood_still_is_taken(land: Lands) -> None:
    before = rma()
    before["shipments"][1] |= {"status": "LabelCreated", "trackingNumber": None}
    land(before)
    land.clock.wait(3600)
    land(rma())
    assert land.all("SELECT tracking_number FROM lake.core.returngo__rmas") == [("TRACK-1",)]
    seen = land.all("SELECT status, fetched_at FROM lake.core.returngo__sightings WHERE subject_id = '12' ORDER BY 2")
    assert [status for status, _ in seen] == ["LabelCreated", "Shipped"]
    assert seen[1][1] - seen[0][1] == timedelta(hours=1)


def test_an_older_export_overwrites_nothing_newer(land: Lands) -> None:
    land(rma(status="Done"))
    land.clock.wait(60)
    older = rma(status="Received") | {"lastUpdated": "2026-10-06T08:00:00+00:00"}
    older["items"][0]["itemValidationStatusResponse"]["lastValidationDate"] = None
    land(older)
    assert land.all("SELECT status FROM lake.core.returngo__rmas") == [("Done",)]
    assert land.all("SELECT count(validated_at) FROM lake.core.returngo__rma_items") == [(1,)]


def test_the_lake_remembers_what_was_read_and_what_may_still_change(land: Lands) -> None:
    memory: Memory = RmaMemory(land.con, "asos_uk")
    land(rma(1, status="Approved"), rma(2, status="Done"))
    land.clock.wait(300)
    land(rma(3, status="Canceled"), rma(4, status="Unheard of"))
    assert memory.known(["1", "9"]) == {"1": Known(UPDATED + timedelta(minutes=1), UPDATED)}
    assert memory.known([]) == {}
    assert memory.not_at_rest(9) == ["1", "2", "3", "4"]
    assert memory.not_at_rest(2) == ["1", "2"]
    land.clock.wait(3600)
    land(rma(2, status="Done"), rma(3, status="Canceled"))
    assert memory.not_at_rest(9) == ["1", "4"]
    assert RmaMemory(land.con, "asos_de").not_at_rest(9) == []


class ClientThatRunsOut:
    """Gives one RMA, and then the day's calls are used up."""

    def changes(self, window: object, memory: Memory) -> Iterator[list[worlds.Json]]:
        yield [rma(1)]
        raise RateLimited("used up", system="returngo", operation="get_rma", retry_after_s=60)


@pytest.mark.proves("R106")
def test_what_was_read_before_the_calls_ran_out_is_kept(land: Lands) -> None:
    window = (UPDATED, land.clock.now())
    with pytest.raises(RateLimited):
        begin(
            land.lake,
            "returngo/return",
            "asos_uk",
            ClientThatRunsOut(),
            window,
            run_id="run",
            clock=land.clock,
            con=land.con,
        ).settle()
    assert RmaMemory(land.con, "asos_uk").known(["1"]).keys() == {"1"}
