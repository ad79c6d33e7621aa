"""The restore drill: a month is played, backed up, played on, restored, and played to its end against the sandbox's own truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.backup import back_up, restore
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.end_to_end.played import START, played
from marketplace_returns_tests.orchestration.conftest import SHOP

pytestmark = pytest.mark.played


@pytest.mark.proves("R48")
def test_a_restore_doubles_and_loses_nothing(tmp_path: Path) -> None:
    config = WorldConfig(orders=20, days=2, skus=8, start=START, return_rate=0.7, multi_unit_rate=0.3, seed=3)
    with played(tmp_path, config) as one:
        one.live(9)
        back_up(one.app, tmp_path / "backup", say=lambda _: None)
        known = set(refunds(one.app))
        one.live(4)
        gap = set(refunds(one.app)) - known
        assert gap
        settings = one.app.settings
        one.app.close()
        restore(settings, tmp_path / "backup", one.clock, say=lambda _: None)
        one.app = App.open(settings, one.clock)
        try:
            assert set(refunds(one.app)) == known
            one.reset()
            assert one.passed(everything=True).sent.held
            assert not one.writes()
            one.live(6)
            one.settle()
            assert one.broken_promises() == []
            assert set(refunds(one.app)) >= known
            assert [chain.broken for chain in one.app.ledger.verify_history()] == [None]
        finally:
            one.app.close()


def refunds(app: App) -> list[str]:
    """The refunds that are known to be made."""
    done = app.ledger.intents(shop=SHOP, kinds=[WriteKind.REFUND])
    return [each.natural_key for each in done if each.state in {State.CONFIRMED, State.REFLECTED, State.SETTLED}]
