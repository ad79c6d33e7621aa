"""A small real lake and a real ledger for the desk, with mapping tables of the test's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from marketplace_returns import model
from marketplace_returns.clock import FixedClock
from marketplace_returns.desk.lookup import Desk, LookUp, look_up
from marketplace_returns.lake import references
from marketplace_returns.ledger import Ledger
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows

MAPPINGS = Path(__file__).parents[2] / "mappings"


@dataclass
class AtDesk:
    """Core rows, the ledger beside them, and the desk over both."""

    core: CoreRows
    ledger: Ledger
    desk: Desk

    def decided(self, *lanes: str) -> None:
        """Let lanes decide on the rows as they are, and the ledger take over what they decide."""
        for lane in lanes:
            self.ledger.apply(self.core.decide(lane), self.core.shop)

    def asked(self, number: str) -> LookUp:
        """Look a number up, on rows whose numbers were kept as they landed."""
        self.core.write()
        self.core.lake.transact(self.core.con, "test", "references", references.remake)
        return look_up(self.desk, number, NOW)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[AtDesk]:
    shutil.copytree(MAPPINGS, tmp_path / "mappings")
    core = CoreRows.make(tmp_path)
    core.settings = core.settings.model_copy(update={"mappings_dir": tmp_path / "mappings"})
    with Ledger.open(core.settings, FixedClock(NOW)) as ledger:
        con = core.lake.connect()
        model.attach_reports(con, core.settings, core.mappings)
        yield AtDesk(core, ledger, Desk(con, ledger, core.settings, core.mappings, core.lake, core._facts))
        con.close()
    core.con.close()
