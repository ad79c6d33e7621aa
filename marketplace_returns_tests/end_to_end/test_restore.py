"""The restore drill: a shop is backed up while another process sends, is played on, restored, and played to its end."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.ledger.states import DONE
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.backup import back_up, restore
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.end_to_end.passing import passing
from marketplace_returns_tests.end_to_end.played import START, Played, played
from marketplace_returns_tests.orchestration.conftest import SHOP

pytestmark = [pytest.mark.played, pytest.mark.drill]

LIMIT_S = 120


@pytest.fixture(params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """A shop whose ledger and catalog are in files, or in a Postgres database."""
    config = WorldConfig(orders=20, days=2, skus=8, start=START, return_rate=0.7, multi_unit_rate=0.3, seed=3)
    with played(tmp_path, config) as one:
        if request.param == "postgres":
            url = str(request.getfixturevalue("postgres_database"))
            one.app.close()
            at = {"ledger_url": url, "lake_catalog": url, "data_dir": tmp_path / "on_postgres"}
            one.app = App.open(one.app.settings.model_copy(update=at), one.clock)
        yield one
        one.app.close()


@pytest.mark.proves("R48", "R113")
def test_a_restore_of_a_backup_made_while_others_sent_doubles_and_loses_nothing(one: Played, tmp_path: Path) -> None:
    one.live(5)
    settings = one.app.settings
    one.sandbox.advance(timedelta(days=4))  # enough falls due for a long drain
    one.clock.move_to(one.sandbox.world.clock.now())
    one.reset()
    with passing(settings, one.clock.now()):
        sent = wait_until_it_sends(one)
        back_up(one.app, tmp_path / "backup", say=lambda _: None)
    assert one.writes() > sent, "writes left while the backup was made"
    one.live(4)
    gap = refunds(one.app)
    one.app.close()
    restore(settings, tmp_path / "backup", one.clock, say=lambda _: None)
    one.app = App.open(settings, one.clock)
    assert refunds(one.app) < gap
    one.reset()
    assert one.passed(everything=True).sent.held
    assert not one.writes()
    one.live(6)
    one.settle()
    assert one.broken_promises() == []
    assert refunds(one.app) >= gap
    assert [chain.broken for chain in one.app.ledger.verify_history()] == [None]


def wait_until_it_sends(one: Played) -> int:
    """Wait until a write has reached the sandbox; return how many have."""
    until = time.monotonic() + LIMIT_S
    while not one.writes():
        assert time.monotonic() < until, "nothing was sent"
        time.sleep(0.005)
    return one.writes()


def refunds(app: App) -> set[str]:
    """The refunds that are known to be made."""
    done = app.ledger.intents(shop=SHOP, kinds=[WriteKind.REFUND], states=DONE)
    return {each.natural_key for each in done}
