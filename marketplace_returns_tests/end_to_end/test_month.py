"""A month from the first order to the proven payout, and each planted anomaly found, coded and owned."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.lake.tables import CORE_TABLES, RECEIPT_ASSIGNMENTS, RETURN_UNIT_ASSIGNMENTS
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.backup import back_up, restore
from marketplace_returns.orchestration.month import ClosedMonth
from marketplace_returns.orchestration.rebuild import Origin, rebuild
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns_tests.end_to_end.played import START, Played, played
from marketplace_returns_tests.orchestration.conftest import SHOP

pytestmark = pytest.mark.played

DAYS = 22
"""Orders of five days, their returns, and their payout."""
STEP = timedelta(hours=40)
"""As rarely as the demo passes."""
ANOMALIES = {
    "manual_portal_refund": ("refund_three_way", "MANUAL_PORTAL_REFUND"),
    "refund_without_receipt": ("refund_three_way", "REFUND_WITHOUT_RECEIPT"),
    "receipt_without_refund": ("refund_three_way", "RECEIPT_WITHOUT_REFUND"),
    "changed_statement": ("payout_proof", "VARIANCE"),
}


def _world(**options: object) -> WorldConfig:
    return WorldConfig(**{"orders": 40, "days": 5, "skus": 12, "start": START, "return_rate": 0.6} | options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with played(tmp_path_factory.mktemp("month"), _world()) as one:
        one.live(DAYS, STEP, verify=False)
        one.settle()
        yield one


# The tests of this module stand in order: what is planted below stays planted.


@pytest.mark.proves("R1", "R3", "R8", "R14", "R25", "R35", "R66", "R83", "R85")
def test_the_sandboxs_own_truth_agrees_with_what_was_done(month: Played) -> None:
    assert month.broken_promises() == []
    facts = month.sandbox.truth()["facts"]
    assert facts["refunds"] >= 10, "the month holds something to prove"
    assert facts["accept_calls_repeated"] == 0
    assert facts["ship_calls_repeated"] == 0


@pytest.mark.proves("R99")
def test_a_second_pass_over_the_same_world_sends_nothing(month: Played) -> None:
    month.reset()
    report = month.passed(everything=True)
    assert month.writes() == 0
    assert report.failures == ()


@pytest.mark.proves("R39")
def test_every_write_was_seen_on_the_other_side(month: Played) -> None:
    states = {state for _, state in month.app.ledger.intent_counts()}
    assert states <= {State.REFLECTED, State.SETTLED, State.SUPERSEDED}


@pytest.fixture
def twin(month: Played, tmp_path: Path) -> Iterator[App]:
    """The installation as a backup of it gives it back elsewhere, brought up to what its sources tell now."""
    back_up(month.app, tmp_path / "backup", say=lambda _: None)
    settings = month.app.settings.model_copy(update={"data_dir": tmp_path / "data"})
    restore(settings, tmp_path / "backup", month.clock, say=lambda _: None)
    app = App.open(settings, month.clock)
    try:
        rebuild(app, SHOP, Origin.SOURCES, run_id="before", say=lambda _: None)
        month.reset()
        yield app
        assert month.writes() == 0, "a rebuild sends nothing"
    finally:
        app.close()


CORE = (*CORE_TABLES, RETURN_UNIT_ASSIGNMENTS, RECEIPT_ASSIGNMENTS)


def contents(app: App, left_out: set[str]) -> dict[str, tuple[int, str]]:
    """Return of every core table how many rows it has and a hash over all of them."""
    found = {}
    for table in CORE:
        columns = ", ".join(column.name for column in table.columns if column.name not in left_out)
        line = f"SELECT CAST(to_json(row({columns})) AS VARCHAR) AS line FROM {table.path}"
        query = f"SELECT count(*), sha256(coalesce(string_agg(line, '|' ORDER BY line), '')) FROM ({line})"
        (found[table.name],) = app.con.execute(query).fetchall()
    return found


@pytest.mark.proves("R98", "R99")
def test_typed_tables_that_are_lost_come_back_from_what_landed(month: Played, twin: App) -> None:
    run = {"run_id"}  # which run wrote a row: the rebuild, now
    before = contents(twin, run)
    assert sum(rows > 0 for rows, _ in before.values()) >= 20
    for table in CORE:
        twin.con.execute(f"DROP TABLE {table.path}")
    twin.close()
    with closing(App.open(twin.settings, month.clock)) as app:
        assert {rows for rows, _ in contents(app, run).values()} == {0}
        done = rebuild(app, SHOP, Origin.LANDING, run_id="rebuild", say=lambda _: None)
        assert contents(app, run) == before
        assert sum(each.new + each.quarantined for each in done.pulls) == 0


@pytest.mark.proves("R98", "R99")
def test_a_lake_that_is_lost_comes_back_from_the_sources_and_the_ledger(month: Played, twin: App) -> None:
    # A source tells what is now, so of which payload a row was first typed, and when that was read, is new.
    read = {"run_id", "fetched_at", "payload_hash"}
    before = contents(twin, read)
    personal = len(twin.lake.personal.held())
    twin.close()
    shutil.rmtree(twin.settings.data_dir / "lake")
    with closing(App.open(twin.settings, month.clock)) as app:
        app.is_rebuilding = True
        assert rebuild(app, SHOP, Origin.SOURCES, run_id="rebuild", say=lambda _: None).failures == ()
        assert contents(app, read) == before
        assert len(app.lake.personal.held()) == personal
    with closing(App.open(twin.settings, month.clock)) as app:
        assert app.con, "the lake is the ledger's again"


@pytest.mark.proves("R6", "R17")
def test_every_identity_of_the_month_holds_to_the_penny(month: Played) -> None:
    closed = month.close()
    assert {check.id for check in closed.checks} >= {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I15"}
    assert [check.message for check in closed.checks if not check.ok] == []
    assert set(closed.result.codes["payout_proof"]) == {"PROVEN"}
    assert set(closed.result.codes["refund_three_way"]) <= {"MATCHED", "TIMING_REFUND_PENDING"}


@pytest.mark.proves("R17", "I1", "I9")
def test_planted_anomalies_are_found_coded_and_owned(month: Played) -> None:
    def found(closed: ClosedMonth) -> dict[str, int]:
        return {name: closed.result.codes[table].get(code, 0) for name, (table, code) in ANOMALIES.items()}

    before, told = found(month.close()), len(month.month_end_exceptions())
    planted = {name: month.plant(name) for name in ANOMALIES}
    month.live(1)
    assert found(month.close()) == {name: count + 1 for name, count in before.items()}, planted
    owned = month.month_end_exceptions()
    assert len(owned) >= told + len(ANOMALIES)
    assert all(each.owner for each in owned)


def test_a_wrong_refund_breaks_the_truth(month: Played) -> None:
    month.plant("wrong_refund")
    assert any("exact to the penny" in promise for promise in month.broken_promises())
