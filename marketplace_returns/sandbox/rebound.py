"""The ReBound face of the sandbox: both of its APIs over one account.

Here: which calls there are and which of them write. Not here: what they do (`rebound_legacy`, `rebound_v2`). Invariant: both
generations show one and the same set of returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from marketplace_returns.sandbox import rebound_legacy, rebound_v2

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from marketplace_returns.sandbox.world import World

WRITES: Final = frozenset({"create", "cancel", "delete", "add_status"})


def routes(world: World) -> list[BaseRoute]:
    """All paths of both generations, to be mounted at /rebound."""
    return [*rebound_legacy.routes(world), *rebound_v2.routes(world)]


def operation(method: str, path: str) -> tuple[str, bool]:
    """The operation of a call below `/rebound`, and whether it writes: in the older API every call is a POST."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        return "/".join(parts[1:3]), parts[2] in WRITES
    if parts[0] == "oauth":
        return "token", False
    return f"{method} {parts[0]}{'/{id}' if len(parts) > 1 else ''}", method != "GET"
