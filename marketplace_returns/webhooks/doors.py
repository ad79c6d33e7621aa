"""Which sources of which shops may tell us something, by the settings.

Here: tokens and secrets become doors; what has none is named with its variable. Not here: HTTP. The invariants: a door
without a token is never opened; no two doors of a source have the same token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marketplace_returns.errors import BadSettings
from marketplace_returns.settings import ReturnsSettings, Settings, Shop, WarehouseSettings
from marketplace_returns.settings_mistakes import variable_name
from marketplace_returns.webhooks.app import Door
from marketplace_returns.webhooks.events import SIGNATURE_HEADERS


@dataclass(frozen=True, slots=True)
class Closed:
    """A source whose webhooks are not received, and the variable that would change that."""

    shop: str
    source: str
    variable: str


@dataclass(frozen=True, slots=True)
class Doors:
    """What is received and what is not."""

    open: tuple[Door, ...]
    closed: tuple[Closed, ...]


def doors_of(settings: Settings, shops: Sequence[str]) -> Doors:
    """Return the doors of these shops.

    Raises:
        BadSettings: no source of them has a token (the variables are named), or two of a source have the same.
    """
    opened: list[Door] = []
    closed: list[Closed] = []
    for name in shops:
        shop = settings.shop(name)
        for source, section in sources_of(shop):
            key = "returns" if isinstance(section, ReturnsSettings) else "warehouse"
            if section.webhook_token is None or not section.webhook_token.get_secret_value():
                closed.append(Closed(name, source, variable_name(f"shops.{name}.{key}.webhook_token")))
                continue
            opened.append(Door(name, source, section.webhook_path_token().encode(), _secret(source, section)))
    if not opened:
        wanted = ", ".join(each.variable for each in closed) or "no source of these shops is read by its API"
        raise BadSettings(
            f"no webhook can be received: put a token that nobody can guess into the environment (or .env) as {wanted}"
        )
    seen: dict[tuple[str, bytes], str] = {}
    for door in opened:
        other = seen.setdefault((door.source, door.token), door.shop)
        if other != door.shop:
            raise BadSettings(
                f"shops {other} and {door.shop} have the same webhook_token for {door.source}: give each its own"
            )
    return Doors(tuple(opened), tuple(closed))


def sources_of(shop: Shop) -> list[tuple[str, ReturnsSettings | WarehouseSettings]]:
    """Return the sources of a shop that can tell of changes: those that are read by their API."""
    found: list[tuple[str, ReturnsSettings | WarehouseSettings]] = []
    if shop.returns.read == "api":
        found.append((shop.returns.platform, shop.returns))
    if shop.warehouse is not None and shop.warehouse.read == "api":
        found.append((shop.warehouse.system, shop.warehouse))
    return found


def _secret(source: str, section: ReturnsSettings | WarehouseSettings) -> bytes:
    """Return the secret a source signs with; empty where it signs nothing or none is set."""
    if not isinstance(section, ReturnsSettings) or source not in SIGNATURE_HEADERS or section.webhook_secret is None:
        return b""
    return section.webhook_secret.get_secret_value().encode()
