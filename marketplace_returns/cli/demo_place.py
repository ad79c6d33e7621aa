"""Where the demo keeps its things: its own folder, settings and worlds, apart from anything real."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from marketplace_returns.settings import CONFIG_VARIABLE
from marketplace_returns.settings_mistakes import variable_name

DEMO_SHOP: Final = "asos_uk"
_STATE_SUFFIX: Final = ".state"
_OF_A_SHOP: Final = ("commission_rates.csv", "skus.csv")
"""Mapping tables with a row for each shop."""


@dataclass(frozen=True)
class DemoPlace:
    """The demo's folder below the working directory; each shop has a world of its own in it."""

    folder: Path = Path("data/demo")
    has_own_mappings: bool = False
    """Whether the mapping tables are copies of its own, to be changed as one likes."""

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "shops.toml"

    @property
    def exports(self) -> Path:
        """Where the month-end pack goes."""
        return self.folder / "exports"

    @property
    def shops(self) -> tuple[str, ...]:
        """The shops whose month was played to its end here."""
        return tuple(sorted(state.name.removesuffix(_STATE_SUFFIX) for state in self.folder.glob(f"*{_STATE_SUFFIX}")))

    def state(self, shop: str) -> Path:
        """The file a shop's world is kept in."""
        return self.folder / f"{shop}{_STATE_SUFFIX}"

    def clear(self) -> None:
        """Remove what an earlier demo left."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def write_config(self, told: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the settings that point at the sandboxes; ``told`` is what each shop's sandbox says of itself."""
        lines = [
            "# Written by the demo: points at its sandboxes on this machine. Nothing of it is kept by hand.",
            f"data_dir = {_toml(str(self.folder))}",
            f"mappings_dir = {_toml(str(self._mappings(tuple(told))))}",
        ]
        for shop, found in told.items():
            lines += ["", *_section(f"shops.{shop}", found["shop"])]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def environment(self, told: Mapping[str, Mapping[str, Any]]) -> Mapping[str, str]:
        """Return the variables that a process needs to work on the demo: the settings file and the sandboxes' secrets."""
        secrets = {
            variable_name(f"shops.{shop}.{key}"): str(secret)
            for shop, found in told.items()
            for key, secret in found["secrets"].items()
        }
        return {CONFIG_VARIABLE: str(self.config), **secrets}

    def _mappings(self, shops: tuple[str, ...]) -> Path:
        """Return the project's mapping tables; a copy of them where they may be changed, or other shops than the project's own need rows."""
        ours = Path("mappings")
        if shops == (DEMO_SHOP,) and not self.has_own_mappings:
            return ours
        copied = self.folder / "mappings"
        copied.mkdir(exist_ok=True)
        for table in ours.glob("*.csv"):
            shutil.copy(table, copied / table.name)
        for name in _OF_A_SHOP:
            with (ours / name).open(newline="", encoding="utf-8") as file:
                header, *rows = list(csv.reader(file))
            with (copied / name).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(
                    [header, *([shop, *row[1:]] for shop in shops for row in rows if row[0] == DEMO_SHOP)]
                )
        return copied


def _section(name: str, values: Mapping[str, Any]) -> list[str]:
    """Write a TOML table and those in it."""
    lines = [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict))]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", *_section(f"{name}.{key}", value)]
    return lines


def _toml(value: object) -> str:
    """Write a text, number, truth value or list of them, whose forms TOML shares with JSON."""
    return msgspec.json.encode(value).decode()
