"""A shop in the sandbox whose refunds are held: nobody has said what its return reasons mean for a refund."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from marketplace_returns.cli.demo_play import PlayedClock
from marketplace_returns.orchestration.app import App
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import running_sandbox
from marketplace_returns_tests.end_to_end.played import START, Played
from marketplace_returns_tests.orchestration.conftest import MAPPINGS, SHOP, settings_for

PASSES_MAX = 12


@contextmanager
def held_refunds(folder: Path) -> Iterator[Played]:
    """Play until a returned unit is inspected and accepted, and its refund is held; mappings lie in the folder."""
    mappings = folder / "mappings"
    shutil.copytree(MAPPINGS, mappings)
    reasons = mappings / "reasons.csv"
    kept = [line for line in reasons.read_text().splitlines() if ",refund,mirakl_refund," not in line]
    reasons.write_text("\n".join(kept) + "\n")
    config = WorldConfig(
        orders=2,
        days=1,
        skus=3,
        start=START,
        pace=400.0,
        return_rate=1.0,
        lines_per_order=1.0,
        multi_unit_rate=0.0,
        return_canceled_rate=0.0,
        never_posted_rate=0.0,
        damaged_rate=0.0,
        wrong_item_rate=0.0,
        missing_rate=0.0,
        quarantine_rate=0.0,
        incident_rate=0.0,
    )
    with running_sandbox(config) as sandbox:
        clock = PlayedClock(config.start)
        settings = settings_for(sandbox, folder / "data").model_copy(update={"mappings_dir": mappings})
        app = App.open(settings, clock)
        try:
            one = Played(sandbox, app, clock)
            for _ in range(PASSES_MAX):
                sandbox.advance(timedelta(hours=6))
                clock.move_to(sandbox.world.clock.now())
                one.passed()
                held = app.ledger.exceptions(shop=SHOP, types=["REASON_UNMAPPED"])
                if sum(each.cause.startswith("refund ") for each in held) == config.orders:
                    break
            else:
                raise AssertionError(f"no refund is held after {PASSES_MAX} passes: {[e.cause for e in held]}")
            yield one
        finally:
            app.close()
