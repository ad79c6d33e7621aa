"""A month played through the sandbox: an installation of its own, a pass a day, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from marketplace_returns.cli.demo_play import PlayedClock
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.month import ClosedMonth, close
from marketplace_returns.orchestration.sync import PassReport, run_pass
from marketplace_returns.periods import Month
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.plants import plant
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns_tests.orchestration.conftest import SHOP, settings_for

START = datetime(2026, 10, 1, tzinfo=UTC)
MONTH = Month.parse("2026-10")
SETTLING_PASSES_MAX = 6


@dataclass
class Played:
    """A sandbox, the installation that works on it, and the clock both live by."""

    sandbox: RunningSandbox
    app: App
    clock: PlayedClock

    def live(self, days: int, step: timedelta = timedelta(days=1), *, verify: bool = True) -> None:
        """Let the world live at least that long, step by step with a pass after each (see ``run_pass`` for ``verify``)."""
        until = self.clock.now() + timedelta(days=days)
        while self.clock.now() < until:
            self.sandbox.advance(step)
            self.clock.move_to(self.sandbox.world.clock.now())
            self.passed(verify=verify)

    def passed(self, *, everything: bool = False, verify: bool = True) -> PassReport:
        """Do one pass."""
        run_id = f"test-{self.clock.now():%m%d%H}"
        return run_pass(self.app, SHOP, run_id=run_id, everything=everything, verify=verify)

    def settle(self) -> None:
        """Pass over the standing world until nothing is sent any more."""
        for _ in range(SETTLING_PASSES_MAX):
            self.reset()
            self.passed(everything=True)
            if not self.writes():
                return
        raise AssertionError(f"still writing after {SETTLING_PASSES_MAX} passes: {dict(self.sandbox.gate.writes)}")

    def reset(self) -> None:
        """Begin to count the sandbox's calls anew."""
        self.sandbox.do(self.sandbox.gate.reset_counts)

    def writes(self) -> int:
        """Return how many writes the sandbox was sent since then."""
        return sum(self.sandbox.gate.writes.values())

    def broken_promises(self) -> list[str]:
        """Return what the sandbox's own truth finds wrong."""
        truth = self.sandbox.truth()
        return [f"{check['name']}: {check['violations'][:3]}" for check in truth["checks"] if not check["ok"]]

    def plant(self, anomaly: str, **options: object) -> dict[str, object]:
        """Plant an anomaly in the sandbox."""
        return self.sandbox.do(lambda: plant(self.sandbox.world, anomaly, options))

    def month_end_exceptions(self) -> list[OpenException]:
        """Return what the close found that somebody must look at."""
        return [each for each in self.app.ledger.exceptions() if each.lane.startswith("month_end")]

    def close(self) -> ClosedMonth:
        """Close the month."""
        return close(self.app, SHOP, MONTH, run_id="test-close")


@contextmanager
def played(folder: Path, config: WorldConfig, *, faults: str = "none", **policy: str) -> Iterator[Played]:
    """Serve a world and open an installation on it; `policy` where the shop's is not the default."""
    with running_sandbox(config, faults=faults) as sandbox:
        clock = PlayedClock(config.start)
        app = App.open(settings_for(sandbox, folder / "data", **policy), clock)
        try:
            yield Played(sandbox, app, clock)
        finally:
            app.close()
