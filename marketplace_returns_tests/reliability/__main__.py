"""``python -m marketplace_returns_tests.reliability PART``: plays one part, or ``all``, and writes its section of the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from marketplace_returns_tests.reconciliation import seeds
from marketplace_returns_tests.reliability import disasters, play_grid, storm, workers
from marketplace_returns_tests.reliability.abuse import play as play_abuse
from marketplace_returns_tests.reliability.guards import play as play_guards
from marketplace_returns_tests.reliability.simulation import main as play_simulation

PARTS: dict[str, Callable[[list[str]], int]] = {
    "grid": play_grid.main,
    "simulation": play_simulation.main,
    "storm": storm.main,
    "abuse": play_abuse.main,
    "guards": play_guards.main,
    "workers": workers.main,
    "disasters": disasters.main,
    "months": seeds.main,
}
"""Each part in its order on the page, with what plays it; it takes the words after the part's name and returns an exit code."""


def main() -> int:
    """Play the part that is named, or all one after another; return 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="reliability", description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all"], help="what to play")
    wanted, words = parser.parse_known_args()
    if wanted.part != "all":
        return PARTS[wanted.part](words)
    if words:
        parser.error(f"all parts are played whole: {words[0]} is for one part")
    return max([part([]) for part in PARTS.values()])


if __name__ == "__main__":
    sys.exit(main())
