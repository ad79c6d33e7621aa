"""Plays the crash grid, or some cells of it, and writes its section of the page."""

from __future__ import annotations

import argparse

from rich.console import Console

from marketplace_returns_tests.reliability import grid_page, page
from marketplace_returns_tests.reliability.cell import Result
from marketplace_returns_tests.reliability.grid import cells, named
from marketplace_returns_tests.reliability.run import run, told


def main(words: list[str]) -> int:
    """Play all cells, or those named; return 1 where one failed. Only a whole run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability grid", description=__doc__)
    parser.add_argument("--only", metavar="write/point/fault", help="play one cell, or all whose name begins so")
    wanted = parser.parse_args(words)
    chosen = named(wanted.only) if wanted.only else list(cells())
    if not chosen:
        parser.error(f"there is no cell {wanted.only}: names look like refund/P4/reset")
    console = Console(soft_wrap=True, highlight=False)

    def tell(result: Result) -> None:
        if result.failures:
            console.print(told(result), markup=False, style="red")
        elif wanted.only:
            console.print(f"{result.cell.name}: {result.outcome}", markup=False)

    sums = run(chosen, tell)
    if wanted.only:
        for cell, reason in sums.senseless:
            console.print(f"{cell.name}: makes no sense: {reason}", markup=False)
    figures = ", ".join(f"{sums.total(what)} {what}" for what in ("duplicates", "lost", "unexplained"))
    console.print(f"{len(sums.results)} cells in {sums.seconds:.0f} s: {figures}; {len(sums.failed)} failed")
    if sums.failed:
        return 1
    if not wanted.only:
        page.write("grid", grid_page.section(sums))
        console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0
