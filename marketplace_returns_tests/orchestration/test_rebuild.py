"""A lake that lacks what the ledger has read is noticed before anything is decided on it; what the ledger kept comes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadSettings
from marketplace_returns.lake.tables import RECEIPT_ASSIGNMENTS, RETURN_UNIT_ASSIGNMENTS
from marketplace_returns.ledger.records import LakeMark
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.assigned import bring_back
from marketplace_returns.settings import Settings
from marketplace_returns_tests.cli.conftest import MAPPINGS, Shell, alone
from marketplace_returns_tests.ledger.world import SHOP, shop

__all__ = ["alone"]

NOW = datetime(2026, 10, 5, 9, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation whose outside systems are never called."""
    return Settings(data_dir=tmp_path / "data", mappings_dir=MAPPINGS, shops={SHOP: shop()})


def opened(settings: Settings, work: Callable[[App], Any]) -> Any:
    """Open the installation for some work and close it."""
    app = App.open(settings, FixedClock(NOW))
    try:
        return work(app)
    finally:
        app.close()


def read_to(app: App) -> None:
    """Move a cursor, as a poll that brought something does."""
    row = f"INSERT INTO {RETURN_UNIT_ASSIGNMENTS.path} VALUES ('{SHOP}', 'RT1', 'L1', 1, 1, TIMESTAMPTZ '{NOW.isoformat()}')"
    app.lake.transact(app.con, "test", "a pull", lambda con: con.execute(row))
    app.ledger.set_cursor(SHOP, "mirakl/order", NOW, app.lake_mark())


@pytest.mark.proves("R99")
def test_an_empty_lake_beside_cursors_of_another_is_refused(settings: Settings) -> None:
    opened(settings, read_to)
    opened(settings, lambda app: app.con)
    shutil.rmtree(settings.data_dir / "lake")
    with pytest.raises(
        BadSettings, match=r"has not what the ledger has read of asos_uk \(read up to 2026-10-05 09:00 UTC\)"
    ):
        opened(settings, lambda app: app.con)

    def let_in(app: App) -> None:
        app.is_rebuilding = True
        app.ledger.stand_on(SHOP, app.lake_mark())

    opened(settings, let_in)
    opened(settings, lambda app: app.con)


def test_what_another_reads_while_the_lake_is_looked_at_is_not_missed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(settings, read_to)
    looked = App.lake_mark
    reads: list[int] = []

    def overtaken(app: App) -> LakeMark:
        mark = looked(app)
        if not reads:
            reads.append(mark.version)
            row = f"INSERT INTO {RETURN_UNIT_ASSIGNMENTS.path} VALUES ('{SHOP}', 'RT2', 'L2', 1, 1, now())"
            with app.lake.connect() as other:
                app.lake.transact(other, "other", "a pull", lambda con: con.execute(row))
            app.ledger.set_cursor(
                SHOP, "mirakl/order", NOW + timedelta(hours=1), LakeMark(mark.lake_id, mark.version + 1)
            )
        return mark

    monkeypatch.setattr(App, "lake_mark", overtaken)
    opened(settings, lambda app: app.con)
    assert reads


def test_an_older_state_of_the_same_lake_is_refused(settings: Settings, tmp_path: Path) -> None:
    lake = settings.data_dir / "lake"
    opened(settings, lambda app: app.con)
    shutil.copytree(lake, tmp_path / "older")
    opened(settings, read_to)
    lake.rename(tmp_path / "newer")
    (tmp_path / "older").rename(lake)
    with pytest.raises(BadSettings, match="an older one was put in its place"):
        opened(settings, lambda app: app.con)
    shutil.rmtree(lake)
    (tmp_path / "newer").rename(lake)
    opened(settings, lambda app: app.con)


def test_a_shop_that_is_gone_from_the_settings_holds_nobody_up(settings: Settings) -> None:
    def of_another(app: App) -> None:
        app.ledger.set_cursor("closed_shop", "mirakl/order", NOW, LakeMark("another", 7))

    opened(settings, of_another)
    opened(settings, lambda app: app.con)


@pytest.mark.proves("R99")
def test_the_numbers_of_return_units_come_back_from_the_ledger_and_go_into_one_of_before(settings: Settings) -> None:
    unit = {"shop": SHOP, "return_id": "RT1", "order_line_id": "L1", "unit_no": 1, "ordinal": 2, "assigned_at": NOW}
    receipt = {
        "shop": SHOP,
        "receipt_event_id": "E1",
        "unit_no": 1,
        "return_unit_id": "L1#2",
        "return_id": "RT1",
        "matched_by": "item",
        "assigned_at": NOW,
    }
    kept = {RETURN_UNIT_ASSIGNMENTS: unit, RECEIPT_ASSIGNMENTS: receipt}

    def in_lake(app: App) -> dict[str, list[Any]]:
        bring_back(app, app.con, SHOP, run_id="test")
        return {table.name: app.con.execute(f"FROM {table.path}").fetchall() for table in kept}

    def keep(app: App) -> None:
        for table, row in kept.items():
            app.ledger.keep_assignments(table.name, SHOP, [row])

    opened(settings, keep)
    there = {table.name: [tuple(row.values())] for table, row in kept.items()}
    assert opened(settings, in_lake) == there
    (settings.data_dir / "ledger.db").unlink()
    assert opened(settings, in_lake) == there
    shutil.rmtree(settings.data_dir / "lake")
    assert opened(settings, in_lake) == there


def test_rebuild_names_what_does_not_go_together(alone: Shell) -> None:
    ended = alone.run("lake", "rebuild", "--from", "landing", "--since", "2026-10-01")
    assert ended.code == 2
    assert "--since goes with --from sources" in ended.err
    assert alone.run("lake", "rebuild", "--from", "landing").code == 0
