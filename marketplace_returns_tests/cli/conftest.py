"""The command line in a folder of its own, with a small shop in a sandbox over real HTTP."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from marketplace_returns.cli.main import run
from marketplace_returns.clock import FixedClock
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns.settings_mistakes import variable_name

SHOP = "asos_uk"
START = datetime(2026, 10, 1, tzinfo=UTC)
MAPPINGS = Path(__file__).parents[2] / "mappings"
NOWHERE = "http://127.0.0.1:9"
"""An address where nothing listens (the discard port)."""


def variable(key: str) -> str:
    """Return the variable of a key of the shop, such as ``mirakl.api_key``."""
    return variable_name(f"shops.{SHOP}.{key}")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def all(self) -> str:
        """Everything it wrote."""
        return self.out + self.err


@dataclass
class Shell:
    """A person's shell in the installation's folder."""

    folder: Path
    clock: FixedClock
    monkeypatch: pytest.MonkeyPatch
    sandbox: RunningSandbox | None = None
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "mappings" / "shops.toml"

    def mapping(self, name: str) -> Path:
        """The CSV file of a mapping table."""
        return self.folder / "mappings" / f"{name}.csv"

    def change(self, old: str, new: str) -> None:
        """Change the settings file."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new, 1))

    def set(self, name: str, value: str | None) -> None:
        """Set an environment variable, or take it away."""
        if value is None:
            self.monkeypatch.delenv(name, raising=False)
        else:
            self.monkeypatch.setenv(name, value)

    def live(self, hours: int) -> None:
        """Let the world and the installation live for so many hours."""
        assert self.sandbox is not None
        self.clock.wait(hours * 3600)
        self.sandbox.advance_to(self.clock.now())

    def writes(self) -> int:
        """Return how many writes the sandbox was sent (as ``/sandbox/calls`` counts them)."""
        assert self.sandbox is not None
        return sum(self.sandbox.gate.writes.values())

    def run(self, *arguments: str) -> Ended:
        """Run a command to its end, in this process, and return what it wrote and its exit code."""
        out, err = io.StringIO(), io.StringIO()
        self.monkeypatch.setattr(sys, "argv", ["marketplace-returns", *arguments])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            run()
        assert isinstance(ended.value.code, int)
        told = Ended(ended.value.code, out.getvalue(), err.getvalue())
        assert "Traceback" not in told.all
        for secret in self.secrets.values():
            assert secret not in told.all
        if "--json" in arguments:
            assert told.document is not None
        return told


def installed(folder: Path, base_url: str, monkeypatch: pytest.MonkeyPatch, clock: FixedClock) -> Shell:
    """Install the project's mapping tables and settings in a folder, pointing at the outside systems."""
    for name in list(os.environ):
        if name.upper().startswith("MARKETPLACE_RETURNS"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("marketplace_returns.orchestration.app.SystemClock", lambda: clock)
    shutil.copytree(MAPPINGS, folder / "mappings")
    shell = Shell(folder, clock, monkeypatch)
    shell.config.write_text(shell.config.read_text().replace("http://127.0.0.1:8900", base_url))
    return shell


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """An installation without a secret, whose outside systems do not answer."""
    return installed(tmp_path, NOWHERE, monkeypatch, FixedClock(START))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """An installation beside a sandbox with a dozen orders, half a day in."""
    config = WorldConfig(orders=12, days=1, skus=6, start=START)
    with running_sandbox(config) as sandbox:
        made = installed(tmp_path, sandbox.base_url, monkeypatch, FixedClock(START))
        made.sandbox = sandbox
        for key, secret in sandbox.settings()["secrets"].items():
            made.secrets[key] = secret
            made.set(variable(key), secret)
        made.live(13)
        yield made
