"""A return as ReBound knows it, in whichever of its APIs.

Here: the flow a parcel takes (via ReBound's hub, or direct to the retailer), when it came where, what was found of an item.
Not here: forms, envelopes, tokens (`rebound_legacy`, `rebound_v2`), what a return goes through (`returns_platform`).

Invariant: a direct parcel is never at a hub, and a parcel via the hub is not delivered to the retailer by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from marketplace_returns.sandbox.returns_platform import NewReturn, PlatformReturn, PlatformReturnLine
    from marketplace_returns.sandbox.world import World

Flow = Literal["HUB", "DTR"]
Stage = Literal["created", "in_transit", "at_hub", "delivered", "processed"]

_WORDS: Final = {
    "new": "sellable",
    "damaged": "damaged",
    "wrong_item": "wrong_item",
    "missing": "missing",
    "quarantine": "quarantine",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A parcel came to a stage."""

    stage: Stage
    at: datetime


def flow_of(world: World, found: PlatformReturn) -> Flow:
    """The way a return's parcel takes, the same at every look."""
    return "HUB" if world.chance.of("rebound_flow", found.id).random() < world.config.rebound_hub_rate else "DTR"


def steps(world: World, found: PlatformReturn) -> list[Step]:
    """Where a return's parcel has been, oldest first."""
    arrived: Stage = "at_hub" if flow_of(world, found) == "HUB" else "delivered"
    reached: list[tuple[Stage, datetime | None]] = [
        ("created", found.created_at),
        ("in_transit", found.shipped_at),
        (arrived, found.received_at),
        ("processed", found.inspected_at),
    ]
    return [Step(stage, at) for stage, at in reached if at is not None]


def disposition(line: PlatformReturnLine) -> str:
    """The one word ReBound has for a line, empty before its inspection; of several units the first that is not as new."""
    return next((_WORDS[unit] for unit in line.found if unit != "new"), "sellable") if line.found else ""


def received_sku(line: PlatformReturnLine) -> str:
    """The SKU that came instead, empty where none did."""
    return line.received_sku or "" if "wrong_item" in line.found else ""


def inspected_by(world: World, found: PlatformReturn) -> str:
    """Who opened the parcel, empty before."""
    if found.inspected_at is None:
        return ""
    return "hub" if flow_of(world, found) == "HUB" else "warehouse"


def new_return(world: World, wanted: NewReturn) -> PlatformReturn:
    """Make a return, even where one stands under the same key: ReBound compares nothing."""
    return world.platform.create_another(wanted)
