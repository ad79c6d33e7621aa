"""The returns platforms the sandbox can be: one face over the same life of a return.

Here: for each platform where it is mounted, its routes, and what a shop's settings must hold to call it. Not here: any of its
paths. Invariant: a world has one platform, the one its config names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from starlette.routing import BaseRoute

from marketplace_returns.sandbox import rebound, returngo, reveni
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.world import World


@dataclass(frozen=True, slots=True)
class Face:
    """One platform's face: its routes, the keys of `[shops.<shop>.returns]` besides `platform`, its secret.

    `operation` names a call below the mount and says whether it writes, where a GET does not tell it.
    """

    routes: Callable[[World], Sequence[BaseRoute]]
    settings: Callable[[WorldConfig, str], dict[str, Any]]
    secrets: Callable[[WorldConfig], dict[str, str]]
    operation: Callable[[str, str], tuple[str, bool]] | None = None


FACES: Final[Mapping[str, Face]] = MappingProxyType(
    {
        "reveni": Face(
            routes=reveni.routes,
            settings=lambda config, base_url: {"base_url": base_url, "store_id": config.reveni_store_id},
            secrets=lambda config: {"returns.api_key": config.reveni_api_key},
        ),
        "returngo": Face(
            routes=returngo.routes,
            settings=lambda config, base_url: {"base_url": base_url, "shop_name": config.returngo_shop_name},
            secrets=lambda config: {"returns.api_key": config.returngo_api_key},
        ),
        "rebound": Face(
            routes=rebound.routes,
            settings=rebound.settings,
            secrets=rebound.secrets,
            operation=rebound.operation,
        ),
    }
)
