"""Exceptions whose cause is found by the close of a month, on a generated one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake import bookings
from marketplace_returns.ledger.periods import PeriodState
from marketplace_returns.orchestration import month as months
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns_tests.every_exception.scene import PERSON, Told, add_mapping, open_about
from marketplace_returns_tests.orchestration.conftest import MAPPINGS
from marketplace_returns_tests.reconciliation.generate import SHOP
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, make_world

READ_AT = datetime(2026, 12, 2, 6, tzinfo=UTC)
LATE_AT = "TIMESTAMPTZ '2026-12-03 00:00:00+00'"
NEW_TYPE = "BRAND_NEW_FEE"
_CYCLE = "UPDATE lake.core.mirakl__billing_cycles SET amount_to_seller_minor = amount_to_seller_minor {change} WHERE billing_cycle_id = 'cycle-2026-10-11'"
_LINE = f"""
INSERT INTO lake.core.mirakl__transactions (shop, transaction_id, transaction_type, payment_state, currency, amount_minor, created_at,
    updated_at, payload_hash, fetched_at, run_id)
VALUES ('{SHOP}', '{{name}}', '{{kind}}', 'PENDING', 'GBP', -123, TIMESTAMPTZ '2026-10-20 09:00:00+00', {LATE_AT}, 'h', {LATE_AT}, 'r')
"""


@dataclass
class Books:
    """An installation whose October and November were read to their end."""

    app: App
    told: dict[str, Told] = field(default_factory=dict)

    def plant(self, *statements: str) -> None:
        """Change core rows, as if they had landed so."""

        def work(con: duckdb.DuckDBPyConnection) -> None:
            for statement in statements:
                con.execute(statement)
            bookings.remake(con, SHOP)

        self.app.lake.transact(self.app.con, "test", "plant", work)

    def close(self, month: months.Month) -> months.ClosedMonth:
        """Close a month."""
        return months.close(self.app, SHOP, month, run_id="close")

    def sign(self, closed: months.ClosedMonth) -> None:
        """Have a closed month stand as signed; how people sign it is another test's."""
        step, now = self.app.ledger.step_period, self.app.clock.now()
        snapshot = str(closed.result.lake_version)
        step(SHOP, OCTOBER, PeriodState.REVIEW, prepared_by="Fay", prepared_at=now, lake_snapshot=snapshot)
        step(SHOP, OCTOBER, PeriodState.SIGNED, approved_by="Gus", approved_at=now)

    def tell(self, exception_type: str, entity: dict[str, str], cure: Callable[[], object]) -> None:
        """Keep what is open of a type, cure it, and keep what became of it."""
        opened = open_about(self.app, exception_type, entity)
        cure()
        ended = {each.exception_id: each for each in self.app.ledger.exceptions(is_open=None)}
        self.told[exception_type] = Told(opened, [ended[each.exception_id] for each in opened])

    def play(self) -> None:
        """Cause and cure the types of a close, in one October and the November after it."""
        unmapped, payout = {"transaction_type": NEW_TYPE}, {"billing_cycle_id": "cycle-2026-10-11"}
        self.plant(_LINE.format(name="TNEW", kind=NEW_TYPE), _CYCLE.format(change="+ 1234"))
        self.close(OCTOBER)

        def mend() -> None:
            add_mapping(self.app, "transaction_types", f"{NEW_TYPE},penalty,-1,marketplace_fees")
            self.plant(_CYCLE.format(change="- 1234"))
            self.sign(self.close(OCTOBER))

        self.tell("TL_UNMAPPED_TYPE", unmapped, lambda: self.tell("PAYOUT_VARIANCE", payout, mend))
        self.plant(_LINE.format(name="TLATE", kind="SELLER_PENALTY_FEE"))
        self.close(OCTOBER.next())
        late = {"transaction_id": "TLATE"}

        def explain() -> None:
            (found,) = open_about(self.app, "PERIOD_LATE_ITEM", late)
            self.app.ledger.resolve(found.exception_id, by=PERSON, note="a penalty of October, in November's books")
            self.close(OCTOBER.next())  # it is there for good, and explained

        self.tell("PERIOD_LATE_ITEM", late, explain)


TYPES = {"TL_UNMAPPED_TYPE": False, "PAYOUT_VARIANCE": False, "PERIOD_LATE_ITEM": True}
"""The types of a close, and whether a person ends them."""


@contextmanager
def books(folder: Path) -> Iterator[Books]:
    """Open an installation on a generated October."""
    world = make_world(folder / "data", lines=24, tax_mode="TAX_EXCLUDED")
    world.con.close()
    mappings = shutil.copytree(MAPPINGS, folder / "mappings")
    app = App.open(world.settings.model_copy(update={"mappings_dir": mappings}), FixedClock(READ_AT))
    try:
        for stream in streams_of(app.shop(SHOP)):
            app.ledger.set_cursor(SHOP, stream.name, READ_AT)
        yield Books(app)
    finally:
        app.close()
