"""What an audit finds, and what it is given to look at.

Here: the frozen facts that areas hand over. Not here: any check. The invariant: every finding says where it is, what is wrong
and how to mend it, in words that hold no secret and no personal data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from marketplace_returns.orchestration.watching import watched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from marketplace_returns.clock import Clock
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.settings import Shop


class Level(StrEnum):
    """How much a finding matters; a note is no gap."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it must be (or, as a note, worth knowing), with its mend."""

    shop: str
    area: str
    subject: str
    level: Level
    finding: str
    fix: str

    @property
    def is_gap(self) -> bool:
        """Whether somebody has to mend it."""
        return self.level is not Level.NOTE


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit of a shop found, gravest first, and what it could look at."""

    shop: str
    inspected_at: datetime
    findings: tuple[Finding, ...]
    areas: Mapping[str, int] = field(default_factory=dict)

    @property
    def gaps(self) -> tuple[Finding, ...]:
        """The findings somebody has to mend."""
        return tuple(each for each in self.findings if each.is_gap)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A shop under audit: the installation, the time of day, and the streams that could not be read (by name, with why)."""

    app: App
    shop: Shop
    wall: Clock
    run_id: str
    dagster_home: Path | None
    say: Callable[[str], None]
    unread: dict[str, str] = field(default_factory=dict)
    _made: dict[str, DuckDBPyConnection] = field(default_factory=dict)

    @property
    def con(self) -> DuckDBPyConnection:
        """The connection with model, mappings and ledger in it, put together once: after the reference lists were read."""
        if "con" not in self._made:
            self._made["con"] = watched(self.app, self.shop, self.app.modelled())
        return self._made["con"]

    @property
    def place(self) -> str:
        """Where the shop's settings stand."""
        return f"shops.{self.shop.name}"

    def platform_facts(self) -> dict[str, str | None]:
        """Return what PC01 and A01 said, by dotted name; empty where they were never read."""
        rows = self.con.execute(
            "SELECT setting, value FROM lake.core.mirakl__platform WHERE shop = ?", [self.shop.name]
        ).fetchall()
        return dict(rows)
