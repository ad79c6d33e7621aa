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

from marketplace_returns.sandbox import reveni
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.world import World


@dataclass(frozen=True, slots=True)
class Face:
    """One platform's face: its routes, the keys of `[shops.<shop>.returns]` besides `platform` and `base_url`, its secret."""

    routes: Callable[[World], Sequence[BaseRoute]]
    settings: Callable[[WorldConfig, str], dict[str, Any]]
    secrets: Callable[[WorldConfig], dict[str, str]]


FACES: Final[Mapping[str, Face]] = MappingProxyType(
    {
        "reveni": Face(
            routes=reveni.routes,
            settings=lambda config, base_url: {"base_url": base_url, "store_id": config.reveni_store_id},
            secrets=lambda config: {"returns.api_key": config.reveni_api_key},
        ),
    }
)
