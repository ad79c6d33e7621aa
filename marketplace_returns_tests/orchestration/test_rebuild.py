"""Tables that were lost are made anew, from what landed or from the sources and the ledger, and are the same to the last row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from marketplace_returns.errors import BadSettings
from marketplace_returns.lake.tables import CORE_TABLES, Table
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.rebuild import Origin, Rebuilt, rebuild
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns_tests.end_to_end.played import START, Played, played
from marketplace_returns_tests.orchestration.conftest import SHOP

RUN = {"run_id"}
"""Says which run wrote a row, and that is now the rebuild."""
FETCHED = RUN | {"fetched_at"}
"""Says when it was first read to say what it says; a source tells only what is now."""


def hashes(app: App, left_out: set[str]) -> dict[str, tuple[int, str]]:
    """Return of every core table its number of rows and a hash over all of them."""
    return {table.name: _hash(app, table, left_out) for table in CORE_TABLES}


def _hash(app: App, table: Table, left_out: set[str]) -> tuple[int, str]:
    columns = ", ".join(column.name for column in table.columns if column.name not in left_out)
    ((rows, digest),) = app.con.execute(
        f"SELECT count(*), sha256(coalesce(string_agg(line, '\n' ORDER BY line), '')) "
        f"FROM (SELECT CAST(to_json(row({columns})) AS VARCHAR) AS line FROM {table.path})"
    ).fetchall()
    return int(rows), str(digest)


def rebuilt(app: App, origin: Origin) -> Rebuilt:
    return rebuild(app, SHOP, origin, run_id="rebuild", say=lambda _: None)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A week of a small shop, with returns, refunds, stock that goes up and down, and offers that vanish."""
    folder = tmp_path_factory.mktemp("rebuild")
    config = WorldConfig(orders=16, days=2, skus=5, start=START, return_rate=0.7, multi_unit_rate=0.4, seed=5)
    with played(folder, config) as one:
        for _ in range(3):
            one.sandbox.advance(timedelta(days=3))
            one.clock.move_to(one.sandbox.world.clock.now())
            one.passed(everything=True)
        one.passed(everything=True)
        yield one


def lose(one: Played, deed: Callable[[], None]) -> None:
    """Do something to the installation's files while nothing is open."""
    settings = one.app.settings
    one.app.close()
    deed()
    one.app = App.open(settings, one.clock)
    one.reset()


@pytest.mark.proves("R98", "R99")
def test_lost_typed_tables_come_back_from_what_landed(lived: Played) -> None:
    one = lived
    before = hashes(one.app, RUN)
    assert sum(rows > 0 for rows, _ in before.values()) >= 20, {name for name, (rows, _) in before.items() if rows}
    for table in CORE_TABLES:
        one.app.con.execute(f"DROP TABLE {table.path}")
    lose(one, lambda: None)
    assert {rows for rows, _ in hashes(one.app, RUN).values()} == {0}
    done = rebuilt(one.app, Origin.LANDING)
    assert hashes(one.app, RUN) == before
    assert sum(each.new for each in done.pulls) == 0
    assert sum(each.quarantined for each in done.pulls) == 0
    again = rebuilt(one.app, Origin.LANDING)
    assert sum(sum(each.rows.values()) for each in again.pulls) == 0
    assert one.writes() == 0


@pytest.mark.proves("R98", "R99")
def test_a_lost_lake_is_noticed_and_comes_back_from_the_sources_and_the_ledger(lived: Played) -> None:
    one = lived
    before = hashes(one.app, FETCHED)
    personal = one.app.con.execute("SELECT count(*) FROM lake.landing.personal").fetchall()
    lake = one.app.settings.data_dir / "lake"
    lose(one, lambda: shutil.rmtree(lake))
    with pytest.raises(BadSettings, match=r"has not what the ledger has read of asos_uk.*rebuild --from sources"):
        run_pass(one.app, SHOP, run_id="test")
    lose(one, lambda: None)
    one.app.is_rebuilding = True
    done = rebuilt(one.app, Origin.SOURCES)
    assert done.failures == ()
    assert hashes(one.app, FETCHED) == before
    assert one.app.con.execute("SELECT count(*) FROM lake.landing.personal").fetchall() == personal
    assert one.writes() == 0
    lose(one, lambda: None)
    one.passed(everything=True)
    assert one.writes() == 0
    assert one.broken_promises() == []


def test_an_older_lake_is_noticed_too(lived: Played, tmp_path: Path) -> None:
    one = lived
    lake = one.app.settings.data_dir / "lake"
    lose(one, lambda: (shutil.copytree(lake, tmp_path / "older"), None)[1])
    one.live(1)
    newer = tmp_path / "newer"
    lose(one, lambda: (lake.rename(newer), (tmp_path / "older").rename(lake), None)[2])
    with pytest.raises(BadSettings, match="an older one was put in its place"):
        one.passed()
    lose(one, lambda: (shutil.rmtree(lake), newer.rename(lake), None)[2])
    one.passed()


@pytest.mark.proves("R99")
def test_what_went_back_to_an_earlier_content_is_landed_again_and_typed_as_it_was_last(lived: Played) -> None:
    app = lived.app
    bodies = app.con.execute(
        "SELECT object_id, body FROM lake.landing.payloads WHERE object_type = 'offer' ORDER BY object_id, fetched_at"
    ).fetchall()
    by_offer: dict[str, list[object]] = {}
    for offer, body in bodies:
        by_offer.setdefault(offer, []).append(msgspec.json.decode(body)["quantity"])
    assert any(len(set(seen)) < len(seen) for seen in by_offer.values())
    assert all(one != other for seen in by_offer.values() for one, other in pairwise(seen))
