"""``python -m marketplace_returns_tests.benchmarks [close] [ingest] [--small] [--lines N] [--folder F]``: prints each measurement as a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from marketplace_returns_tests.benchmarks.close import bench_close
from marketplace_returns_tests.benchmarks.ingest import bench_ingest

CLOSE_SIZES = (100_000, 1_000_000)
CLOSE_SIZES_SMALL = (20_000,)
INGEST_ORDERS = 5_000
INGEST_ORDERS_SMALL = 500


def main() -> None:
    """Run the benchmarks that are named, all of them where none is."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="{close,ingest}", help="which to run; all where none is named")
    parser.add_argument("--small", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument(
        "--lines",
        type=int,
        metavar="N",
        help="close a month of N order lines only, as 10_000_000 (20 GB of disk; made in a quarter of an hour)",
    )
    parser.add_argument(
        "--folder", type=Path, metavar="F", help="keep the months of the close in F, and take those that are there"
    )
    wanted = parser.parse_args()
    # argparse holds an empty list against its choices, so they are checked here
    if unknown := set(wanted.names) - {"close", "ingest"}:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: use close or ingest")
    console = Console()
    names = wanted.names or ["close", "ingest"]
    if "close" in names:
        sizes = CLOSE_SIZES_SMALL if wanted.small else CLOSE_SIZES
        bench_close(console, (wanted.lines,) if wanted.lines else sizes, wanted.folder)
    if "ingest" in names:
        bench_ingest(console, INGEST_ORDERS_SMALL if wanted.small else INGEST_ORDERS)


if __name__ == "__main__":
    main()
