"""`python -m marketplace_returns.sandbox`: serve one world until interrupted.

Here: the options of the process. Not here: anything else. Invariant: with --state the world is kept when the process ends.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.faces import FACES
from marketplace_returns.sandbox.server import running_sandbox


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; writes one JSON line with the address and the settings to standard output first."""
    parser = argparse.ArgumentParser(prog="python -m marketplace_returns.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--start", default="2026-01-01", help="first day, YYYY-MM-DD (UTC)")
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--faults", default="none", choices=("none", "light", "heavy"))
    parser.add_argument("--platform", default="reveni", choices=tuple(FACES), help="returns platform")
    parser.add_argument("--shop-id", type=int, default=2001, help="the seller's shop id on the marketplace")
    parser.add_argument("--state", type=Path, default=None, help="file the world is read from and kept in")
    parser.add_argument("--clock", default="virtual", choices=("virtual", "real"))
    options = parser.parse_args(arguments)
    try:
        start = datetime.fromisoformat(options.start).replace(tzinfo=UTC)
        config = WorldConfig(
            seed=options.seed,
            orders=options.orders,
            days=options.days,
            start=start,
            platform=options.platform,
            shop_id=options.shop_id,
        )
    except ValueError as bad:
        parser.error(str(bad))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with running_sandbox(
        config,
        host=options.host,
        port=options.port,
        state_path=options.state,
        faults=options.faults,
        real_clock=options.clock == "real",
    ) as sandbox:
        line = msgspec.json.encode({"base_url": sandbox.base_url, "settings": sandbox.settings()})
        sys.stdout.write(line.decode() + "\n")
        sys.stdout.flush()
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
