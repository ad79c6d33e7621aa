"""The ReBound face of the sandbox: both of its APIs over one account.

Here: which calls there are and which of them write. Not here: what they do (`rebound_legacy`, `rebound_v2`). Invariant: both
generations show one and the same set of returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.sandbox import rebound_legacy, rebound_v2

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from marketplace_returns.sandbox.config import WorldConfig
    from marketplace_returns.sandbox.world import World

WRITES: Final = frozenset({"create", "cancel", "delete", "add_status"})


def routes(world: World) -> list[BaseRoute]:
    """All paths of both generations, to be mounted at /rebound."""
    return [*rebound_legacy.routes(world), *rebound_v2.routes(world)]


def settings(config: WorldConfig, base_url: str) -> dict[str, Any]:
    """What a shop's returns section must hold to call the generation that the config names."""
    if config.rebound_generation == "v2":
        own = {"client_id": config.rebound_client_id, "token_url": f"{base_url}/oauth/token"}
    else:
        own = {"login": config.rebound_login, "label_url_template": "https://labels.invalid/{id}.pdf"}
    return {"base_url": base_url, "generation": config.rebound_generation, **own}


def secrets(config: WorldConfig) -> dict[str, str]:
    """The key of that generation."""
    is_v2 = config.rebound_generation == "v2"
    return {"returns.api_key": config.rebound_client_secret if is_v2 else config.rebound_api_key}


def operation(method: str, path: str) -> tuple[str, bool]:
    """The operation of a call below `/rebound`, and whether it writes: in the older API every call is a POST."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        return "/".join(parts[1:3]), parts[2] in WRITES
    if parts[0] == "oauth":
        return "token", False
    return f"{method} {parts[0]}{'/{id}' if len(parts) > 1 else ''}", method != "GET"
