"""Where the demo keeps its things: its own folder, settings and world, apart from anything real."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marketplace_returns.settings import CONFIG_VARIABLE
from marketplace_returns.settings_mistakes import variable_name

DEMO_SHOP: Final = "asos_uk"
DEMO_CURRENCY: Final = "GBP"
# The sandbox's own credentials: made up, of use on this machine only.
_SANDBOX_SECRETS: Final = {
    "mirakl.api_key": "sandbox-mirakl-key",
    "returns.api_key": "sandbox-reveni-key",
    "warehouse.password": "sandbox-password",
}
_CONFIG: Final = """\
# Written by the demo: points at its sandbox on this machine. Nothing of it is kept by hand.
data_dir = "{data_dir}"
mappings_dir = "mappings"

[shops.{shop}]
marketplace = "asos"
currency = "{currency}"
time_zone = "Europe/London"

[shops.{shop}.mirakl]
base_url = "{base_url}/mirakl"
shop_id = 2001
call_profile = "sandbox"

[shops.{shop}.returns]
platform = "reveni"
base_url = "{base_url}/reveni"
store_id = "sandbox-store"

[shops.{shop}.warehouse]
system = "peoplevox"
base_url = "{base_url}/peoplevox"
client_id = "sandboxwms"
username = "sandbox-user"
site = "MAIN"
time_zone = "Europe/London"
"""


@dataclass(frozen=True)
class DemoPlace:
    """The demo's folder below the working directory."""

    folder: Path = Path("data/demo")

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "shops.toml"

    @property
    def state(self) -> Path:
        """The file the sandbox's world is kept in."""
        return self.folder / "sandbox.state"

    @property
    def exports(self) -> Path:
        """Where the month-end pack goes."""
        return self.folder / "exports"

    @property
    def is_there(self) -> bool:
        """Whether a demo was played to its end here."""
        return self.config.exists() and self.state.exists()

    def clear(self) -> None:
        """Remove what an earlier demo left."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def write_config(self, base_url: str) -> None:
        """Write the settings that point at a sandbox."""
        self.config.write_text(
            _CONFIG.format(data_dir=self.folder, shop=DEMO_SHOP, currency=DEMO_CURRENCY, base_url=base_url),
            encoding="utf-8",
        )

    def environment(self) -> Mapping[str, str]:
        """Return the variables that a process needs to work on the demo: the settings file and the sandbox's secrets."""
        secrets = {variable_name(f"shops.{DEMO_SHOP}.{key}"): value for key, value in _SANDBOX_SECRETS.items()}
        return {CONFIG_VARIABLE: str(self.config), **secrets}
