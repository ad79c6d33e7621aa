"""A small world in a real lake, with rows of the ledger beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from marketplace_returns.lake.tables import RECEIPT_ASSIGNMENTS, RETURN_UNIT_ASSIGNMENTS
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger.ledger import EXCEPTION_COLUMNS, INTENT_COLUMNS
from marketplace_returns.monitoring import look, stage
from marketplace_returns.monitoring.alarms import alarms_of
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP, CoreRows

HOUR = timedelta(hours=1)


@dataclass
class Watched:
    """Core rows, and the ledger's writes and exceptions as they would be handed over."""

    core: CoreRows
    writes: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    has_units: bool = False  # numbering return units costs a second: only where a test asks for it

    def write(self, kind: str, key: str, state: str, **values: Any) -> None:
        """Put a write into the ledger."""
        empty: dict[str, Any] = {
            name: "" for name in INTENT_COLUMNS.names if INTENT_COLUMNS.field(name).type == pa.string()
        }
        self.writes.append(
            empty
            | {
                "shop": SHOP,
                "kind": kind,
                "natural_key": key,
                "state": state,
                "intent_id": f"{kind}/{key}",
                "amount_minor": 0,
            }
            | {
                "attempt_count": 1,
                "body": "{}",
                "evidence": "{}",
                "planned_at": NOW - HOUR,
                "updated_at": NOW,
                "is_adopted": False,
            }
            | values
        )

    def case(self, exception_type: str, owner: str = "operations", **values: Any) -> None:
        """Put an exception into the ledger; ``entity`` as a dict."""
        entity = msgspec.json.encode(values.pop("entity", {})).decode()
        empty: dict[str, Any] = {
            name: "" for name in EXCEPTION_COLUMNS.names if EXCEPTION_COLUMNS.field(name).type == pa.string()
        }
        self.cases.append(
            empty
            | {
                "shop": SHOP,
                "exception_id": len(self.cases) + 1,
                "type": exception_type,
                "owner": owner,
                "entity": entity,
            }
            | {"opened_at": NOW - HOUR, "due_at": NOW + HOUR, "seen_count": 1, "amount_minor": 0, "severity": "high"}
            | values
        )

    def look(self, table: str, now: datetime = NOW) -> list[dict[str, Any]]:
        """Return a table's rows."""
        self._attach()
        return look(self.core.con, table, self.core.shop, now).dicts()

    def alarms(self, table: str, now: datetime = NOW) -> list[ExceptionPlan]:
        """Return the exceptions a table asks for."""
        self._attach()
        found = alarms_of(look(self.core.con, table, self.core.shop, now), self.core.shop)
        assert found is not None
        return found

    def read(self, stream: str, at: datetime) -> None:
        """Say that a stream was read at an instant (after the first look)."""
        self.core.con.execute("INSERT INTO memory.ledger.reads VALUES (?, ?, ?)", [SHOP, stream, at])

    def _attach(self) -> None:
        if self.core.pending:
            _ = self.core.assign() if self.has_units else self.core.attach()
        stage(
            self.core.con,
            pa.Table.from_pylist(self.writes, schema=INTENT_COLUMNS),
            pa.Table.from_pylist(self.cases, schema=EXCEPTION_COLUMNS),
        )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> CoreRows:
    """An empty world with the project's mapping tables, used by one test after the other."""
    return CoreRows.make(tmp_path_factory.mktemp("watched"))


@pytest.fixture
def world(lake: CoreRows) -> Iterator[Watched]:
    """The empty world; it is emptied again afterwards."""
    yield Watched(lake)
    touched = {statement.split()[2] for statement in lake.written}
    touched |= {table.path for table in (RETURN_UNIT_ASSIGNMENTS, RECEIPT_ASSIGNMENTS)}
    lake.pending = [(f"DELETE FROM {path}", []) for path in sorted(touched)]
    lake.write()
    lake.written.clear()
    lake.links.clear()
