"""Generated months by seed: clean ones prove every identity to 0.00, and planted anomalies are found, all and nothing else.

Here: which month a seed is, and playing it. Not here: how a month is generated (``generate``) or what is planted (``anomalies``).
The invariant: fifty seeds in a row are fifty different shapes; a seed is the same month on every machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.invariants import INVARIANTS, check_month
from marketplace_returns_tests.reconciliation.generate import Shape
from marketplace_returns_tests.reconciliation.worlds import World, make_world

LINES: Final = 700
# Both changes of the clock, a leap February, a year's end, and a month like any other.
_MONTHS: Final = ("2026-10", "2027-03", "2028-02", "2026-12", "2027-06")
_PLACES: Final = (("GBP", "Europe/London"), ("JPY", "Asia/Tokyo"), ("KWD", "Asia/Kuwait"), ("EUR", "Europe/Berlin"))
_TAX_MODES: Final = ("TAX_INCLUDED", "TAX_EXCLUDED", "MIXED")
_CYCLES: Final = ((1, 11, 21), (5, 15, 25), (28,))


def shape_of(seed: int) -> Shape:
    """Return the shape of a seed's month; sixty seeds in a row are every month, currency and tax mode together once."""
    currency, time_zone = _PLACES[seed % len(_PLACES)]
    return Shape(
        month=Month.parse(_MONTHS[seed % len(_MONTHS)]),
        currency=currency,
        time_zone=time_zone,
        tax_mode=_TAX_MODES[seed % len(_TAX_MODES)],
        cycle_days=_CYCLES[seed // 4 % len(_CYCLES)],
        is_cut_at_midnight=seed // 2 % 2 == 0,
        is_uneven=True,
        seed=seed,
    )


def make_month(folder: Path, seed: int, *, lines: int = LINES) -> tuple[World, Shape]:
    """Generate a seed's month and close it."""
    shape = shape_of(seed)
    world = make_world(folder, lines=lines, shape=shape)
    world.close(shape.month)
    return world, shape


def unproven(world: World, month: Month) -> list[str]:
    """Return what a closed month that is clean should not show: proofs that fail or say nothing, exceptions, codes."""
    results = check_month(world.con, world.shop, month)
    found = [result.message for result in results if not result.ok or result.difference_minor]
    found += [f"{result.id} has nothing to look at" for result in results if not result.has_data]
    found += [plan.message for plan in variances.decide(world.con, world.shop, month, results).exceptions]
    found += sorted(INVARIANTS.keys() - {result.id for result in results})
    return found
