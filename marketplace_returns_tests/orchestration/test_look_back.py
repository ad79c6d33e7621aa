"""A platform that tells no changes is read again: young returns once a day, open ones at every poll, the others never."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.pulling import pull_stream
from marketplace_returns.orchestration.streams import STREAMS
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.returns_platform import NewReturn, NewReturnLine, PlatformReturn
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns_tests.orchestration.conftest import SHOP, settings_for

RETURNS = next(stream for stream in STREAMS if stream.name == "rebound/return")
pytestmark = pytest.mark.proves("R31", "R106")


@dataclass
class Account:
    """A ReBound account in the sandbox, and an installation that looks back 3 days, and 20 for open returns."""

    sandbox: RunningSandbox
    app: App
    clock: FixedClock

    def live(self, **delay: float) -> None:
        self.sandbox.advance(timedelta(**delay))
        self.clock.move_to(self.sandbox.world.clock.now())

    def opened(self, key: str) -> PlatformReturn:
        """Let somebody make a return of one unit."""
        world = self.sandbox.world
        line = NewReturnLine(f"{key}-1", next(iter(world.products)), 1, 1000, 0, "size")
        return self.sandbox.do(lambda: world.platform.create_another(NewReturn(key, f"O-{key}", key, "GBP", (line,))))

    def inspect(self, found: PlatformReturn) -> None:
        """Let its parcel be opened: as new."""
        self.sandbox.do(
            lambda: self.sandbox.world.platform.mark_inspected(found, {found.lines[0].external_id: ["new"]})
        )

    def poll(self) -> int:
        """Poll; return how many returns were read one by one."""
        self.sandbox.do(self.sandbox.gate.reset_counts)
        pull_stream(self.app, SHOP, RETURNS, run_id="test")
        return self.sandbox.gate.calls["rebound", "returns/get"]

    def disposition(self, found: PlatformReturn) -> str | None:
        query = "SELECT disposition_code FROM reported.items WHERE platform_return_id = ?"
        ((code,),) = self.app.con.execute(query, [found.id]).fetchall()
        return None if code is None else str(code)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with running_sandbox(WorldConfig(orders=1, days=1, skus=3, platform="rebound")) as sandbox:
        settings = settings_for(sandbox, tmp_path / "data")
        shop = settings.shop(SHOP)
        returns = shop.returns.model_copy(update={"look_back_days": 3, "open_days": 20})
        settings = settings.model_copy(update={"shops": {SHOP: shop.model_copy(update={"returns": returns})}})
        clock = FixedClock(sandbox.world.clock.now())
        app = App.open(settings, clock)
        yield Account(sandbox, app, clock)
        app.close()


def test_an_open_return_is_read_at_every_poll_until_it_is_inspected_or_too_old(account: Account) -> None:
    late, never = account.opened("late"), account.opened("never")
    assert account.poll() == 2
    account.live(days=10)
    assert account.poll() == 2
    account.inspect(late)
    account.live(hours=1)
    assert account.poll() == 2
    assert (account.disposition(late), account.disposition(never)) == ("sellable", None)
    account.live(hours=1)
    assert account.poll() == 1  # the inspected one is out of sight
    account.live(days=12)
    assert account.poll() == 0  # beyond the bound


def test_a_settled_young_return_is_read_once_a_day(account: Account) -> None:
    settled = account.opened("settled")
    account.inspect(settled)
    assert account.poll() == 1
    account.live(days=2)
    assert account.poll() == 1  # the day's first poll
    account.live(hours=6)
    assert account.poll() == 0
    account.live(days=1)
    assert account.poll() == 1
    account.live(days=2)
    assert account.poll() == 0  # no longer young
