"""A small shop in the sandbox, with an installation of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.orchestration.app import App
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns.settings import Settings

SHOP = "asos_uk"
MAPPINGS = Path(__file__).parents[2] / "mappings"


@dataclass
class Place:
    """A running sandbox, the settings of a shop in it, and the clock both live by."""

    sandbox: RunningSandbox
    settings: Settings
    clock: FixedClock

    def live(self, hours: int) -> None:
        """Let sandbox and installation live for so many hours."""
        self.clock.wait(hours * 3600)
        self.sandbox.advance_to(self.clock.now())

    @property
    def orders(self) -> int:
        """How many orders customers have placed."""
        return int(self.sandbox.truth()["facts"]["orders"])

    @contextmanager
    def app(self) -> Iterator[App]:
        """Open the installation."""
        app = App.open(self.settings, self.clock)
        try:
            yield app
        finally:
            app.close()


def settings_for(sandbox: RunningSandbox, data_dir: Path, **policy: str) -> Settings:
    """Return the settings of an installation whose one shop lives in a sandbox; `policy` where it is not the default."""
    told = sandbox.settings()
    shop = {name: dict(section) if isinstance(section, dict) else section for name, section in told["shop"].items()}
    for place, secret in told["secrets"].items():
        section, key = place.split(".")
        shop[section][key] = secret
    shop["policy"] = {**shop.get("policy", {}), **policy}
    return Settings(data_dir=data_dir, mappings_dir=MAPPINGS, shops={SHOP: shop})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A shop with a dozen orders on its first day."""
    monkeypatch.chdir(tmp_path)
    config = WorldConfig(orders=12, days=1, skus=6, site="MAIN")
    with running_sandbox(config) as sandbox:
        clock = FixedClock(config.start)
        place = Place(sandbox, settings_for(sandbox, tmp_path / "data"), clock)
        place.live(13)
        yield place
