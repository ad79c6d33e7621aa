"""From an event at a source to its object in the lake: over real HTTP both ways, and by polling where nobody hears."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadSettings
from marketplace_returns.orchestration.inbox import drain_inbox
from marketplace_returns.orchestration.jobs import jobs_of, webhooks_job_name
from marketplace_returns.orchestration.pulling import pull_stream
from marketplace_returns.orchestration.sensors import sensors_of
from marketplace_returns.orchestration.signals import facts_version, webhooks_version
from marketplace_returns.orchestration.streams import STREAMS, Stream
from marketplace_returns.orchestration.subscribing import subscribe
from marketplace_returns.orchestration.sync import decide, pull_due, send
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.sandbox.server import running_sandbox
from marketplace_returns.sandbox.warehouse import Warehouse
from marketplace_returns.webhooks.doors import doors_of
from marketplace_returns.webhooks.events import read_event
from marketplace_returns_tests.orchestration.conftest import SHOP, Place, settings_for
from marketplace_returns_tests.webhooks.hearing import hearing

TOKENS = {"returns": "synthetic-token-for-returns-01", "warehouse": "synthetic-token-for-warehouse-1"}
SECRET = "synthetic-signing-secret"
WAIT_S = 30.0


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A shop whose sources tell us what changed: half a day in, subscribed, and polled once."""
    monkeypatch.chdir(tmp_path)
    config = WorldConfig(
        orders=8,
        days=1,
        skus=6,
        import_delay_s=0.0,
        webhook_secret=SECRET,
        webhook_repeat_rate=0.5,
        webhook_disorder_rate=0.5,
    )
    with ExitStack() as stack:
        sandbox = stack.enter_context(running_sandbox(config))
        clock = FixedClock(config.start)
        settings = settings_for(sandbox, tmp_path / "data")
        place = Place(sandbox, with_tokens(settings), clock)
        place.live(13)
        url = stack.enter_context(hearing(place.settings, clock))
        webhooks = place.settings.webhooks.model_copy(update={"public_url": url})
        place.settings = place.settings.model_copy(update={"webhooks": webhooks})
        with place.app() as app:
            for door in doors_of(place.settings, [SHOP]).open:
                assert {each.now for each in subscribe(app, door)} == {"new"}
        yield place


def with_tokens(settings: object) -> object:
    """Give the shop of these settings a token for each of its sources."""
    raw = settings.model_dump()  # type: ignore[attr-defined]
    for section, token in TOKENS.items():
        raw["shops"][SHOP][section]["webhook_token"] = token
    return type(settings)(**raw)


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something holds; a limit bounds it."""
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def delivered(place: Place) -> bool:
    """Whether the sandbox has no webhook left to deliver, and delivered one at least."""
    shown = place.sandbox.do(place.sandbox.world.notifications.shown)
    counts = shown["counts"]
    done = sum(count for each in counts.values() for what, count in each.items() if what != "published")
    published = sum(each.get("published", 0) for each in counts.values())
    return published > 0 and done == published


def events(place: Place, query: str = "SELECT count(*) FROM webhook_events") -> list[tuple[object, ...]]:
    con = sqlite3.connect(place.settings.data_dir / "webhooks.db")
    try:
        return con.execute(query).fetchall()
    finally:
        con.close()


def stream(name: str) -> Stream:
    return next(each for each in STREAMS if each.name == name)


def offered(place: Place, sku: str) -> int:
    """How many of an item the marketplace offers now."""
    offers = place.sandbox.world.offers
    place.sandbox.do(offers.settle_imports)
    return place.sandbox.do(lambda: offers.by_sku[sku].quantity)


def marketplace_calls(place: Place) -> dict[tuple[str, str], int]:
    return {name: count for name, count in place.sandbox.gate.calls.items() if name[0] == "mirakl"}


def stock_of(app: object, item_code: str) -> int:
    (row,) = app.con.execute(  # type: ignore[attr-defined]
        "SELECT available FROM lake.core.peoplevox__stock WHERE item_code = ?", [item_code]
    ).fetchall()
    return int(row[0])


@pytest.mark.proves("C8", "R11", "R36", "R83")
@pytest.mark.parametrize(
    "come_in",
    [
        lambda warehouse, item_code: warehouse.take_delivery(item_code, 7),
        lambda warehouse, item_code: warehouse.record_return("no order", item_code, 7, "new", "", None, None),
    ],
    ids=["delivery", "return inspected as sellable"],
)
def test_goods_that_come_in_are_read_again_at_once_and_pushed(
    heard: Place, come_in: Callable[[Warehouse, str], object]
) -> None:
    world = heard.sandbox.world
    item_code = world.warehouse.stock_rows()[0].item_code
    with heard.app() as app:
        for name in ("mirakl/offer", "peoplevox/stock"):
            pull_stream(app, SHOP, stream(name), run_id="first")
        decide(app, app.modelled(), SHOP, "stock")
        send(app, SHOP, run_id="first")
        on_sale, facts = offered(heard, item_code), facts_version(app, SHOP)
        calls = marketplace_calls(heard)
        heard.sandbox.do(lambda: come_in(world.warehouse, item_code))
        wait_for(lambda: delivered(heard))
        heard.clock.wait(20)
        assert webhooks_version(app, SHOP)
        drain_inbox(app, SHOP, run_id="drain")
        assert webhooks_version(app, SHOP) == ""
        assert marketplace_calls(heard) == calls, "a hint polls nothing else"
        assert facts_version(app, SHOP) != facts, "the lanes must see that there are new facts"
        decide(app, app.modelled(), SHOP, "stock")
        send(app, SHOP, run_id="push")
    wait_for(lambda: offered(heard, item_code) == on_sale + 7)


@pytest.mark.proves("C8", "R31")
def test_every_event_is_drained_once_its_object_is_in_the_lake_and_repeats_change_nothing(heard: Place) -> None:
    with heard.app() as app:
        return_id = a_return_in(heard)
        wait_for(lambda: delivered(heard))
        known = events(heard, "SELECT event_type, object_id FROM webhook_events WHERE source = 'reveni'")
        assert ("return.created", return_id) in known
        report = drain_inbox(app, SHOP, run_id="drain")
        assert (report.waiting, report.failures) == (0, ())
        assert report.read == report.taken > 0
        assert app.con.execute("SELECT platform_return_id FROM lake.core.reveni__returns").fetchall() == [(return_id,)]
        again = drain_inbox(app, SHOP, run_id="again")
        assert again.taken == 0
        heard.sandbox.do(
            lambda: heard.sandbox.world.platform.mark_shipped(heard.sandbox.world.platform.returns[return_id])
        )
        wait_for(lambda: delivered(heard))
        assert drain_inbox(app, SHOP, run_id="shipped").read == 1
        assert app.con.execute("SELECT status FROM lake.core.reveni__returns").fetchall() == [("SHIPPED",)]


@pytest.mark.proves("C8")
def test_what_an_event_says_is_never_believed(heard: Place) -> None:
    """A hint about a return that is not there, and one about goods that never came, write nothing."""
    with heard.app() as app:
        item_code = heard.sandbox.world.warehouse.stock_rows()[0].item_code
        pull_stream(app, SHOP, stream("peoplevox/stock"), run_id="first")
        before = stock_of(app, item_code)
        inbox = app.inbox()
        assert inbox is not None
        body = b'{"id": "x", "event": "return.updated", "data": {"resource_id": "f00d", "status": "accepted"}}'
        query = f"event=AvailabilityChanges&ItemCode={item_code}&Available=9999".encode()
        inbox.keep(
            [
                read_event(SHOP, "reveni", b"", body, app.clock.now()),
                read_event(SHOP, "peoplevox", query, b"", app.clock.now()),
                read_event(SHOP, "peoplevox", b"event=Unheard", b"", app.clock.now()),
            ]
        )
        report = drain_inbox(app, SHOP, run_id="drain")
        assert (report.read, report.gone, report.unused, report.waiting) == (1, 1, 1, 0)
        assert app.con.execute("SELECT count(*) FROM lake.core.reveni__returns").fetchall() == [(0,)]
        assert stock_of(app, item_code) == before
        assert report.failures == ()


@pytest.mark.proves("C8", "R31")
def test_failing_reread_waits_is_told_once_and_ends_by_itself(heard: Place) -> None:
    with heard.app() as app:
        return_id = a_return_in(heard)
        wait_for(lambda: delivered(heard))
        heard.sandbox.add_fault(FaultRule("http_500_before", system="reveni"))
        for number in range(2):
            report = drain_inbox(app, SHOP, run_id=f"down{number}")
            assert report.waiting > 0
            assert [failure.stream for failure in report.failures] == ["reveni/return"]
            assert drain_inbox(app, SHOP, run_id="too soon").taken == 0
            heard.clock.wait(3600)
        (told,) = app.ledger.exceptions(shop=SHOP, types=["SOURCE_STALE"])
        assert (told.entity, told.seen_count) == ({"stream": "reveni/return/webhooks"}, 2)
        heard.sandbox.clear_faults()
        assert drain_inbox(app, SHOP, run_id="up").waiting == 0
        assert app.ledger.exceptions(shop=SHOP, types=["SOURCE_STALE"]) == []
        assert app.con.execute("SELECT platform_return_id FROM lake.core.reveni__returns").fetchall() == [(return_id,)]


@pytest.mark.proves("C7", "C8")
def test_where_nobody_hears_all_still_happens_by_polling(place: Place) -> None:
    """The service is off: the sandbox gives its calls up, and the next polls bring the same facts."""
    place.sandbox.do(
        lambda: place.sandbox.world.notifications.subscribe("reveni", ["return.created"], "http://127.0.0.1:9/nobody")
    )
    with place.app() as app:
        pull_stream(app, SHOP, stream("reveni/return"), run_id="first")
        return_id = a_return_in(place)
        assert app.inbox() is None
        assert drain_inbox(app, SHOP, run_id="nothing").taken == 0
        assert not (place.settings.data_dir / "webhooks.db").exists()
        place.clock.wait(301)
        pulls, failures = pull_due(app, SHOP, run_id="later")
        assert "reveni/return" in {pull.stream for pull in pulls}
        assert failures == ()
        assert app.con.execute("SELECT platform_return_id FROM lake.core.reveni__returns").fetchall() == [(return_id,)]


def test_sensor_starts_one_run_for_the_same_events_and_the_run_drains_them(
    heard: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = heard.settings.shop(SHOP)
    sensor = next(each for each in sensors_of(shop) if each.name == f"{SHOP}_webhooks_waiting")
    for module in ("sensors", "resources"):
        monkeypatch.setattr(f"marketplace_returns.orchestration.{module}.load_settings", lambda: heard.settings)
    monkeypatch.setattr("marketplace_returns.orchestration.app.SystemClock", lambda: heard.clock)
    from marketplace_returns.orchestration.resources import Installation

    with dg.DagsterInstance.ephemeral() as instance:
        quiet = sensor(dg.build_sensor_context(instance=instance))
        assert isinstance(quiet, dg.SkipReason)
        return_id = a_return_in(heard)
        wait_for(lambda: delivered(heard))
        due = sensor(dg.build_sensor_context(instance=instance))
        assert isinstance(due, dg.SensorResult)
        (request,) = due.run_requests or ()
        again = sensor(dg.build_sensor_context(instance=instance, cursor=due.cursor))
        assert isinstance(again, dg.SkipReason)
        job = next(each for each in jobs_of(shop) if each.name == webhooks_job_name(shop))
        assert request.run_key is not None
        assert request.run_key.startswith(job.name)
        assert job.execute_in_process(instance=instance, resources={"installation": Installation()}).success
    with heard.app() as app:
        assert app.con.execute("SELECT platform_return_id FROM lake.core.reveni__returns").fetchall() == [(return_id,)]
        assert webhooks_version(app, SHOP) == ""


def test_subscribing_again_changes_nothing_and_a_new_address_replaces_the_old(heard: Place) -> None:
    world = heard.sandbox.world
    before = dict(world.notifications.subscriptions)
    assert {source for source, _ in before} == {"reveni", "peoplevox"}
    doors = doors_of(heard.settings, [SHOP]).open
    with heard.app() as app:
        for door in doors:
            assert {each.now for each in subscribe(app, door)} == {"stands"}
        assert dict(world.notifications.subscriptions) == before
    moved = heard.settings.webhooks.model_copy(update={"public_url": "http://127.0.0.1:9"})
    heard.settings = heard.settings.model_copy(update={"webhooks": moved})
    with heard.app() as app:
        for door in doors:
            assert {each.now for each in subscribe(app, door)} == {"replaced"}
    after = world.notifications.subscriptions
    assert len(after) == len(before)
    assert not set(after) & set(before)
    kept = (heard.settings.data_dir / "webhooks.db").read_bytes()
    assert not [token for token in TOKENS.values() if token.encode() in kept]


def test_subscribing_needs_the_address_the_outside_reaches(place: Place) -> None:
    place.settings = with_tokens(place.settings)  # type: ignore[assignment]
    with place.app() as app, pytest.raises(BadSettings, match="MARKETPLACE_RETURNS__WEBHOOKS__PUBLIC_URL"):
        subscribe(app, doors_of(place.settings, [SHOP]).open[0])


def a_return_in(place: Place) -> str:
    """Have a return made on the platform, as its own portal would, and give its id."""
    told = place.sandbox.settings()
    returns = told["shop"]["returns"]
    body = {
        "external_id": "RT-1",
        "order": {"external_id": "ORDER-1-A", "name": "ORDER-1"},
        "currency": "GBP",
        "return_items": [
            {
                "external_id": "ORDER-1-A-1",
                "sku": next(iter(place.sandbox.world.products)),
                "quantity": 1,
                "unit_price": "12.50",
                "tax_amount": "2.08",
                "return_reason": "too_small",
            }
        ],
    }
    answer = httpx.post(
        f"{returns['base_url']}/merchants/v0/stores/{returns['store_id']}/returns",
        json=body,
        headers={"Authorization": f"Bearer {told['secrets']['returns.api_key']}"},
    )
    assert answer.status_code == 201
    return str(answer.json()["id"])
