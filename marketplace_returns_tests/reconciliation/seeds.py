"""Generated months by seed: clean ones prove every identity to 0.00, and planted anomalies are found, all and nothing else.

Here: which month a seed is, and playing it. Not here: how a month is generated (``generate``) or what is planted (``anomalies``).
The invariant: fifty seeds in a row are fifty different shapes; a seed is the same month on every machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from rich.console import Console

from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import INVARIANTS, check_month
from marketplace_returns_tests.reconciliation.anomalies import CODES, by_code, found_in, plant
from marketplace_returns_tests.reconciliation.generate import Shape
from marketplace_returns_tests.reconciliation.worlds import World, make_world
from marketplace_returns_tests.reliability import page

SEEDS: Final = 50
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


@dataclass(frozen=True, slots=True)
class Played:
    """What a seed's planted month showed: what was planted and found, by code, each thing that differs, and the signed month before."""

    planted: Counter[str]
    found: Counter[str]
    things: int
    differing: tuple[str, ...]
    signed: SignedMonth


def compare(world: World, shape: Shape) -> Played:
    """Plant every anomaly, close (again), and hold what is found against what was planted."""
    planted, signed = plant(world, shape)
    world.close(shape.month, run_id="planted", before=signed)
    results = check_month(world.con, world.shop, shape.month)
    exceptions = variances.decide(world.con, world.shop, shape.month, results).exceptions
    found = found_in(world, shape, exceptions)
    differing = [f"not found: {' '.join(each)}" for each in (planted.expected - found).elements()]
    differing += [f"nobody planted: {' '.join(each)}" for each in (found - planted.expected).elements()]
    # Each thing planted has its code or is of time alone, so that what is left of VAT agrees to the penny.
    differing += [result.message for result in results if result.id == "I13" and not result.ok]
    return Played(by_code(planted.expected), by_code(found), planted.expected.total(), tuple(differing), signed)


def play(seed: int) -> tuple[Played, list[str]]:
    """Play a seed whole, in a folder of its own: the clean month, the month after it, and the planted one."""
    with tempfile.TemporaryDirectory(prefix="month-") as folder:
        world, shape = make_month(Path(folder), seed)
        wrong = unproven(world, shape.month)
        # What crosses the month's end is taken over whole.
        world.close(shape.month.next())
        following = check_month(world.con, world.shop, shape.month.next())
        wrong += [result.message for result in following if not result.ok]
        played = compare(world, shape)
        world.con.close()
    return played, wrong


def main(words: list[str]) -> int:
    """Play seeds; return 1 where something did not hold. A whole run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability months", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time")
    wanted = parser.parse_args(words)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    things, wrong, began = 0, 0, time.monotonic()
    with ProcessPoolExecutor(wanted.jobs, mp_context=get_context("spawn")) as pool:
        seeds = range(wanted.first, wanted.first + wanted.seeds)
        for seed, (played, unheld) in zip(seeds, pool.map(play, seeds), strict=True):
            shape = shape_of(seed)
            console.print(
                f"seed {seed}: {shape.month} {shape.currency} {shape.tax_mode}, {played.things} planted, "
                f"{len(played.differing)} differ, {len(unheld)} unproven"
            )
            for message in (*unheld, *played.differing):
                console.print(f"  {message}")
            planted += played.planted
            found += played.found
            things += played.things
            wrong += len(unheld) + len(played.differing)
    if wrong or wanted.first or wanted.seeds < SEEDS:
        return 1 if wrong else 0
    if missing := sorted(CODES.keys() - planted.keys()):
        console.print(f"never planted: {', '.join(missing)}")
        return 1
    page.write("months", _section(wanted.seeds, things, planted, found, time.monotonic() - began))
    console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0


def _section(seeds: int, things: int, planted: Counter[str], found: Counter[str], seconds: float) -> str:
    codes = page.table(("code", "planted", "found"), [(code, planted[code], found[code]) for code in CODES])
    return f"""## Months

{seeds} generated months, each another shape of {LINES} order lines: October, March (both change the clock), a leap February, December and
June; GBP, JPY, KWD and EUR; taxes inside, on top, and both; cycles of three kinds, cut at midnight or not. Clean, every one of the {len(INVARIANTS)} proofs
holds to 0.00, has something to look at, and opens no exception; the proofs of the month after it hold too. Then {things:,} rows that a person should see were planted, and
closed again: all were found, with the code that was written down before, and nothing else (precision and recall 1.0, no UNKNOWN). {seconds / 60:.0f} minutes.

{codes}"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
