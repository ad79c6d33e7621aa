"""A backup made while the system runs, restored later: nothing is sent twice, nothing is lost, and all of it over real HTTP."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from marketplace_returns.errors import BadArgument, LedgerBusy
from marketplace_returns.ledger.ledger import Ledger
from marketplace_returns.ledger.states import DONE, State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.backup import LEDGER_FILE, MANIFEST, back_up, restore
from marketplace_returns.orchestration.sync import PassReport, run_pass, send
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.sandboxed import refund
from marketplace_returns_tests.ledger.world import decision
from marketplace_returns_tests.orchestration.conftest import SHOP, Place


def silent(_: str) -> None:
    """Hear of progress."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.played)])
def kept(request: pytest.FixtureRequest, place: Place) -> Place:
    """The shop, its ledger and catalog in files or in a Postgres database."""
    if request.param == "postgres":
        url = str(request.getfixturevalue("postgres_database"))
        place.settings = place.settings.model_copy(update={"ledger_url": url, "lake_catalog": url})
    return place


def passed(app: App) -> PassReport:
    return run_pass(app, SHOP, run_id=f"test-{app.clock.now():%d%H%M}", everything=True)


def writes(place: Place) -> Counter[str]:
    """How many writes of each operation the sandbox was sent."""
    counts = place.sandbox.do(lambda: dict(place.sandbox.gate.writes))
    return Counter({str(operation): count for operation, count in counts.items()})


def moved(place: Place) -> None:
    """Let a minute pass."""
    place.clock.wait(60)
    place.sandbox.advance_to(place.clock.now())


def refunds_by_line(place: Place, order_ids: list[str]) -> Counter[str]:
    """How many refunds the marketplace itself shows on each line of these orders."""
    with place.app() as app:
        mirakl = app.client(app.shop(SHOP), "mirakl")
        orders = [order for page in mirakl.orders_by_id(order_ids) for order in page]
    lines = [line for order in orders for line in order["order_lines"]]
    return Counter({line["order_line_id"]: len(line["refunds"]) for line in lines if line.get("refunds")})


@pytest.mark.played
@pytest.mark.proves("R48", "R113")
def test_a_restored_ledger_sends_nothing_twice_and_loses_nothing(kept: Place, tmp_path: Path) -> None:
    place = kept
    with place.app() as app:
        passed(app)
    place.live(4)
    with place.app() as app:
        shop = app.shop(SHOP)
        mirakl = app.client(shop, "mirakl")
        states = ("SHIPPING", "SHIPPED")
        orders = [order for state in states for page in mirakl.orders_in_state(state) for order in page][:5]
        order_ids = [order["order_id"] for order in orders]
        before, planned, sending, after, _never = plans = [replace(refund(order), shop=SHOP) for order in orders]
        executor = app.executors(shop)[WriteKind.REFUND]
        app.ledger.apply(decision(before, lane="test"), shop)
        send(app, SHOP, run_id="w1", kinds=[WriteKind.REFUND])
        app.ledger.apply(decision(before, sending, lane="test"), shop)
        claimed = app.ledger.claim(SHOP, WriteKind.REFUND, worker="w2", limit=1)
        leaving, _ = app.ledger.begin(executor.prepare(claimed), worker="w2")
        app.ledger.apply(decision(before, sending, planned, lane="test"), shop)

        back_up(app, tmp_path / "backup", say=silent)

        moved(place)
        app.ledger.finish(leaving, executor.send(leaving, lambda: True))
        app.ledger.apply(decision(before, sending, planned, after, lane="test"), shop)
        send(app, SHOP, run_id="w3", kinds=[WriteKind.REFUND])
        assert [each.state in DONE for each in app.ledger.intents(kinds=[WriteKind.REFUND])] == [True] * 4
    assert sorted(refunds_by_line(place, order_ids).values()) == [1, 1, 1, 1]

    moved(place)
    restore(place.settings, tmp_path / "backup", place.clock, say=silent)

    sent = writes(place)
    with place.app() as app:
        shop = app.shop(SHOP)
        restored = {each.natural_key: each.state for each in app.ledger.intents(kinds=[WriteKind.REFUND])}
        assert restored == {
            before.natural_key: State.REFLECTED,
            sending.natural_key: State.SENDING,
            planned.natural_key: State.PLANNED,
        }
        app.ledger.apply(decision(*plans, lane="test"), shop)
        assert "the ledger was restored" in send(app, SHOP, run_id="w4").held
        assert writes(place) == sent
        app.ledger.apply(decision(*plans, lane="test"), shop)
    place.live(1)
    with place.app() as app:
        app.ledger.apply(decision(*plans, lane="test"), app.shop(SHOP))
        assert send(app, SHOP, run_id="w5", kinds=[WriteKind.REFUND]).held == ""
        found = {each.natural_key: each for each in app.ledger.intents(kinds=[WriteKind.REFUND])}
        assert {each.state for each in found.values()} <= DONE
        adopted = {key for key, each in found.items() if each.is_adopted}
        assert adopted == {sending.natural_key, planned.natural_key, after.natural_key}
        assert [each for each in app.ledger.exceptions() if each.type.startswith("REFUND")] == []
        (chain,) = app.ledger.verify_history()
        assert chain.broken is None
    assert refunds_by_line(place, order_ids) == dict.fromkeys((plan.order_line_id for plan in plans), 1)
    assert sorted((writes(place) - sent).values()) == [1]  # the refund that was never sent before


@pytest.mark.played
def test_a_backup_is_of_the_installation_while_it_writes(place: Place, tmp_path: Path) -> None:
    with place.app() as app:
        passed(app)
        made = back_up(app, tmp_path / "backup", say=silent)
        assert {name for name in made.files if not name.endswith(".parquet")} == {
            "ledger.db",
            "personal.db",
            "lake/catalog.sqlite",
        }
        assert len(made.files) == 3 + made.lake_files
        orders = "SELECT count(*) FROM lake.core.mirakl__orders"
        before = app.con.execute(orders).fetchall()
        with pytest.raises(BadArgument, match="is not an empty folder"):
            back_up(app, tmp_path / "backup", say=silent)
        with pytest.raises(LedgerBusy, match="open in another process"):
            restore(place.settings, tmp_path / "backup", place.clock, say=silent)
    place.live(2)
    with place.app() as app:
        passed(app)
    restore(place.settings, tmp_path / "backup", place.clock, say=silent)
    with place.app() as app:
        assert app.con.execute(orders).fetchall() == before
    (replaced,) = [path for path in place.settings.data_dir.glob("replaced-*") if (path / "lake").exists()]
    assert (replaced / LEDGER_FILE).exists()


def test_a_folder_that_is_no_whole_backup_is_refused(place: Place, tmp_path: Path) -> None:
    with place.app() as app:
        back_up(app, tmp_path / "backup", say=silent)
    with pytest.raises(BadArgument, match="no whole backup"):
        restore(place.settings, tmp_path / "elsewhere", place.clock, say=silent)
    elsewhere = place.settings.model_copy(update={"lake_storage": "s3://bucket/lake"})
    with pytest.raises(BadArgument, match="lake_storage 'the data folder'"):
        restore(elsewhere, tmp_path / "backup", place.clock, say=silent)
    with closing(sqlite3.connect(tmp_path / "backup" / LEDGER_FILE)) as copy, copy:
        copy.execute("DELETE FROM intents")
        copy.execute("CREATE TABLE more (x)")
    with pytest.raises(BadArgument, match="not as it was written"):
        restore(place.settings, tmp_path / "backup", place.clock, say=silent)
    (tmp_path / "backup" / MANIFEST).unlink()
    with pytest.raises(BadArgument, match="no whole backup"):
        restore(place.settings, tmp_path / "backup", place.clock, say=silent)


def test_a_broken_ledger_is_replaced_and_kept(place: Place, tmp_path: Path) -> None:
    with place.app() as app:
        back_up(app, tmp_path / "backup", say=silent)
    (place.settings.data_dir / LEDGER_FILE).write_bytes(b"no database" * 1000)
    done = restore(place.settings, tmp_path / "backup", place.clock, say=silent)
    assert (Path(done.replaced) / LEDGER_FILE).read_bytes().startswith(b"no database")
    with Ledger.open(place.settings, place.clock) as ledger:
        assert ledger.is_reading_back(SHOP)
