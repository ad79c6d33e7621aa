"""The inbox's promises, on SQLite and on Postgres alike."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_returns.clock import FixedClock
from marketplace_returns.ledger import Ledger
from marketplace_returns.settings import Settings
from marketplace_returns.webhooks.events import Event, NotReadable, read_event
from marketplace_returns.webhooks.inbox import Drained, Inbox

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
SHOP = "asos_uk"


def told(number: str, now: datetime = NOW) -> Event:
    """An event with an id of its own."""
    return Event(
        SHOP, "reveni", f"id:{number}", has_own_id=True, event_type="return.updated", object_id="r1", received_at=now
    )


def changed(item_code: str, now: datetime = NOW) -> Event:
    """An event without one."""
    return read_event(SHOP, "peoplevox", f"event=AvailabilityChanges&ItemCode={item_code}".encode(), b"", now)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inbox]:
    url = request.getfixturevalue("postgres_database") if request.param == "postgres" else ""
    settings = Settings(data_dir=tmp_path, ledger_url=url, shops={})
    with Ledger.open(settings, FixedClock(NOW)):  # the two stand beside each other, in whichever order they came
        pass
    made = Inbox.open(settings)
    yield made
    made.close()
    Inbox.open(settings).close()


@pytest.mark.proves("C8")
def test_event_with_an_id_is_kept_once_and_never_waits_again(inbox: Inbox) -> None:
    inbox.keep([told("1"), told("1"), told("2")])
    inbox.keep([told("1")])
    assert inbox.count(SHOP) == 2
    inbox.settle(inbox.waiting(SHOP, NOW, limit=10), Drained.READ, NOW)
    inbox.keep([told("1", NOW + timedelta(hours=1))])
    assert inbox.waiting(SHOP, NOW + timedelta(hours=2), limit=10) == []
    assert inbox.due(SHOP, NOW + timedelta(hours=2)) is None


@pytest.mark.proves("C8")
def test_event_without_an_id_is_one_while_it_waits_and_another_once_drained(inbox: Inbox) -> None:
    inbox.keep([changed("SKU-1"), changed("SKU-1"), changed("SKU-2")])
    waiting = inbox.waiting(SHOP, NOW, limit=10)
    assert sorted((event.object_id, event.deliveries) for event in waiting) == [("SKU-1", 2), ("SKU-2", 1)]
    inbox.settle(waiting, Drained.READ, NOW)
    inbox.keep([changed("SKU-1", NOW + timedelta(minutes=5))])
    (again,) = inbox.waiting(SHOP, NOW + timedelta(minutes=5), limit=10)
    assert (again.object_id, again.received_at) == ("SKU-1", NOW + timedelta(minutes=5))


@pytest.mark.proves("C8")
def test_event_that_comes_again_while_its_object_is_read_still_waits(inbox: Inbox) -> None:
    inbox.keep([changed("SKU-1")])
    handed_out = inbox.waiting(SHOP, NOW, limit=10)
    inbox.keep([changed("SKU-1")])
    inbox.settle(handed_out, Drained.READ, NOW)
    assert len(inbox.waiting(SHOP, NOW, limit=10)) == 1


def test_failed_event_waits_twice_as_long_each_time_and_never_over_a_quarter_of_an_hour(inbox: Inbox) -> None:
    inbox.keep([told("1")])
    now, waits = NOW, []
    for _ in range(8):
        (event,) = inbox.waiting(SHOP, now, limit=1)
        inbox.postpone([event], now)
        tried_at = now
        while not inbox.waiting(SHOP, now, limit=1):
            now += timedelta(seconds=30)
        waits.append(int((now - tried_at).total_seconds()))
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_only_what_was_drained_long_ago_is_forgotten(inbox: Inbox) -> None:
    inbox.keep([told("1"), told("2")])
    first, _ = inbox.waiting(SHOP, NOW, limit=10)
    inbox.settle([first], Drained.GONE, NOW)
    assert inbox.forget(NOW) == 0
    assert inbox.forget(NOW + timedelta(seconds=1)) == 1
    assert inbox.count(SHOP, is_drained=False) == inbox.count(SHOP) == 1


def test_many_writers_lose_and_double_nothing(inbox: Inbox) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 40, 10):
            inbox.keep([told(str(each)) for each in range(number, number + 10)])

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 20, 0, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inbox.count(SHOP) == 80
    assert sum(event.deliveries for event in inbox.waiting(SHOP, NOW, limit=100)) == 160


@given(
    source=st.sampled_from(["reveni", "rebound", "returngo", "peoplevox"]),
    query=st.binary(max_size=200),
    body=st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.dictionaries(
                st.sampled_from(["id", "event", "data", "rmaId", "resource_id", "type"]), inner
            ),
            max_leaves=6,
        ).map(lambda value: __import__("json").dumps(value).encode("utf-8", "surrogatepass")),
    ),
)
def test_any_request_is_read_or_refused_and_what_is_kept_is_bounded(source: str, query: bytes, body: bytes) -> None:
    try:
        event = read_event(SHOP, source, query, body, NOW)
    except NotReadable:
        return
    for kept in (event.event_key, event.event_type, event.object_id):
        assert len(kept) <= 140
        assert kept.isascii()
        assert kept.isprintable()
        assert "@" not in kept


def test_what_has_no_id_is_told_apart_by_what_is_kept_of_it() -> None:
    hashed = hashlib.sha256(b"AvailabilityChanges\nSKU-1").hexdigest()
    assert changed("SKU-1").event_key == f"sha256:{hashed}"
