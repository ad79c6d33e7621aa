"""A month's way from open to locked, and what comes late for one that is signed."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadArgument, BadSettings, ContractBroken, PeriodLocked
from marketplace_returns.lake import bookings
from marketplace_returns.lake.connection import snapshot_of
from marketplace_returns.lake.pull import take
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.orchestration import month as months
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.maintenance import maintain_lake
from marketplace_returns.orchestration.privacy import end_what_is_over, erase, find_customer
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import journals, variances
from marketplace_returns.reconciliation.close import INTENTS, MonthResult
from marketplace_returns.reconciliation.evidence import kept_proofs
from marketplace_returns.reconciliation.invariants import CheckResult
from marketplace_returns.reconciliation.metrics import Sum
from marketplace_returns.reconciliation.pack import Manifest, content_hash, export
from marketplace_returns.settings import JournalDateFormats, JournalSettings, Tolerances
from marketplace_returns_tests.orchestration.test_privacy import files_with
from marketplace_returns_tests.reconciliation.generate import SHOP, Shape, generate
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, make_world

NOVEMBER = OCTOBER.next()
READ_AT = datetime(2026, 12, 2, 6, tzinfo=UTC)
_LATE = """
INSERT INTO lake.core.mirakl__transactions (shop, transaction_id, transaction_type, payment_state, currency, amount_minor, created_at,
    updated_at, payload_hash, fetched_at, run_id)
VALUES ('asos_uk', '{name}', '{kind}', '{state}', 'GBP', {amount}, TIMESTAMPTZ '2026-10-20 09:00:00+00',
    TIMESTAMPTZ '2026-12-03 00:00:00+00', 'h', TIMESTAMPTZ '2026-12-03 00:00:00+00', 'r')
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An installation whose October and November were read to their end; no refund is ours, so that all were by hand."""
    world = make_world(tmp_path / "data", lines=60, tax_mode="TAX_EXCLUDED")
    world.con.close()
    settings = world.settings.model_copy(update={"mappings_dir": Path("mappings")})
    opened = App.open(settings, FixedClock(READ_AT))
    _read_on(opened)
    yield opened
    opened.close()


def _read_on(app: App, days: int = 0) -> None:
    app.ledger.clock.wait(days * 86_400)
    for stream in streams_of(app.shop(SHOP)):
        app.ledger.set_cursor(SHOP, stream.name, app.clock.now())


def _signed(app: App, month: Month = OCTOBER) -> None:
    months.prepare(app, SHOP, month, by="Ana", run_id="close")
    app.ledger.clock.wait(60)
    months.sign(app, SHOP, month, by="Ben", reason="as agreed")


@pytest.mark.proves("R111")
def test_what_was_reviewed_stays_where_it_is_not_signed(app: App) -> None:
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    kept = {file: file.read_bytes() for file in months.evidence(app, SHOP, OCTOBER).rglob("*.csv")}
    _plant(
        app, "UPDATE lake.recon.payout_proof SET ledger_amount_minor = ledger_amount_minor + 1 WHERE month = '2026-10'"
    )
    app.ledger.step_period(SHOP, OCTOBER, PeriodState.REVIEW, lake_snapshot=str(snapshot_of(app.con)))
    with pytest.raises(ContractBroken, match="is not as Ana closed it: nothing was signed"):
        months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
    assert {file: file.read_bytes() for file in kept} == kept


@pytest.mark.proves("R111")
def test_a_signed_month_is_written_once_an_export(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held against the signature is what is handed out, beside what else the folder holds."""
    _signed(app)
    written: list[Path] = []

    def counted(*given: Any, **named: Any) -> Manifest:
        written.append(given[4])
        return export(*given, **named)

    monkeypatch.setattr(months, "export", counted)
    out = tmp_path / "out" / "pack"
    out.mkdir(parents=True)
    out.chmod(0o770)
    (out / "notes.txt").write_text("ours")
    manifest = months.export_pack(app, [SHOP], OCTOBER, out)
    assert len(written) == 1
    assert out.stat().st_mode & 0o777 == 0o770
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "notes.txt",
        "manifest.json",
        *(file.name for file in manifest.files),
    }
    with pytest.raises(BadArgument, match=r"notes\.txt is a file: give a folder"):
        months.export_pack(app, [SHOP], OCTOBER, out / "notes.txt")


def test_a_close_that_has_too_little_memory_says_so_and_changes_nothing(app: App) -> None:
    months.close(app, SHOP, OCTOBER, run_id="close")
    con = app.modelled()
    before = snapshot_of(con)
    con.execute("SET memory_limit = '5MB'")
    with pytest.raises(BadSettings, match=f"closing 2026-10 of {SHOP} takes more memory than lake_memory_mb gives"):
        months.close(app, SHOP, OCTOBER, run_id="close")
    con.execute("SET memory_limit = '1GB'")
    assert snapshot_of(con) == before


@pytest.mark.proves("R111")
def test_a_crash_after_a_step_leaves_the_pack_of_that_step(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when the ledger has the step and the evidence has not: at the close, then at the signature."""
    real, kept = months.settle, months.evidence(app, SHOP, OCTOBER)

    def killed(state: PeriodState, data_dir: Path, period: Period) -> None:
        if period.state is state:
            raise KeyboardInterrupt
        real(data_dir, period)

    def hashed() -> str:
        return content_hash(msgspec.json.decode((kept / "manifest.json").read_bytes(), type=Manifest))

    with monkeypatch.context() as crash:
        crash.setattr(months, "settle", partial(killed, PeriodState.REVIEW))
        with pytest.raises(KeyboardInterrupt):
            months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    closed = app.ledger.period(SHOP, OCTOBER)
    assert (closed.state, kept.exists()) == (PeriodState.REVIEW, False)
    assert len(kept_proofs(app.settings.data_dir, closed)) == 18
    with monkeypatch.context() as crash:
        crash.setattr(months, "settle", partial(killed, PeriodState.SIGNED))
        with pytest.raises(KeyboardInterrupt):
            months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
    assert app.ledger.period(SHOP, OCTOBER).state is PeriodState.SIGNED
    assert hashed() == closed.manifest_hash, "the close's pack, which the signature put in its place first"
    assert "SIGNED" not in (kept / "sign_off.csv").read_text()

    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "pack")
    assert "SIGNED" in (kept / "sign_off.csv").read_text()
    assert (kept / "manifest.json").read_bytes() == (tmp_path / "pack" / "manifest.json").read_bytes()
    assert [path.name for path in kept.parent.iterdir()] == ["2026-10"]


_CHANGE = "UPDATE lake.core.mirakl__transactions SET amount_minor = amount_minor - 40 WHERE transaction_type = 'SELLER_PENALTY_FEE'"


@pytest.mark.proves("R111")
def test_a_close_that_comes_while_a_month_is_signed_is_not_what_is_signed(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ana closed it and Ben signs; while the pack is written it is closed anew, by Ben himself, who may not sign that."""
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    real, calls = months._export, []

    def interrupted(*args: Any, **named: Any) -> Manifest:
        manifest = real(*args, **named)
        calls.append(args)
        if len(calls) == 1:
            months.prepare(app, SHOP, OCTOBER, by="Ben", run_id="close anew")
        return manifest

    monkeypatch.setattr(months, "_export", interrupted)
    with pytest.raises(PeriodLocked, match=r"it is REVIEW now, closed by Ben. It was not made SIGNED: review it"):
        months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
    period = app.ledger.period(SHOP, OCTOBER)
    assert (period.state, period.prepared_by) == (PeriodState.REVIEW, "Ben")
    kept = (months.evidence(app, SHOP, OCTOBER) / "manifest.json").read_bytes()
    assert content_hash(msgspec.json.decode(kept, type=Manifest)) == period.manifest_hash


@pytest.mark.proves("R111")
def test_a_month_that_was_made_again_with_other_figures_is_reviewed_again(app: App) -> None:
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    months.close(app, SHOP, OCTOBER, run_id="the same again")
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    _plant(app, _CHANGE)
    months.close(app, SHOP, OCTOBER, run_id="another")
    with pytest.raises(
        ContractBroken, match=r"was made again since Ana closed it, and its \w+ is another now: .*run 'close' again"
    ):
        months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    months.close(app, SHOP, OCTOBER, run_id="the same again")
    assert months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed").state is PeriodState.SIGNED


@pytest.mark.proves("R111")
def test_a_close_that_was_begun_before_the_signature_replaces_nothing(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    before = _rows(app, "SELECT * FROM lake.recon.control_roll_forward ORDER BY ALL")
    _plant(app, _CHANGE)
    real = months.close_month

    def overtaken(*args: Any, **named: Any) -> MonthResult:
        months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
        return real(*args, **named)

    monkeypatch.setattr(months, "close_month", overtaken)
    with pytest.raises(PeriodLocked, match="reopen it with a reason"):
        months.close(app, SHOP, OCTOBER, run_id="begun before")
    assert app.ledger.period(SHOP, OCTOBER).state is PeriodState.SIGNED
    assert _rows(app, "SELECT * FROM lake.recon.control_roll_forward ORDER BY ALL") == before


@pytest.mark.proves("R111")
def test_a_signed_month_is_not_exported_with_the_accounts_of_today(app: App, tmp_path: Path) -> None:
    _signed(app)
    mappings = tmp_path / "mappings"
    shutil.copytree("mappings", mappings)
    accounts = mappings / "ledger_accounts.csv"
    accounts.write_text(accounts.read_text().replace("4000", "4001"))
    changed = app.settings.model_copy(update={"mappings_dir": mappings})
    with (
        closing(App.open(changed, app.clock)) as later,
        pytest.raises(ContractBroken, match=r"would not be what Ben signed: .* is kept in .*periods"),
    ):
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "pack")
    assert not list((tmp_path / "pack").glob("**/*.csv"))
    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "pack")


@pytest.mark.proves("R111")
def test_a_signed_month_is_not_exported_with_the_dates_of_today(app: App, tmp_path: Path) -> None:
    _signed(app)
    american = JournalSettings(date_format=JournalDateFormats(quickbooks="mm/dd/yyyy"))
    changed = app.settings.model_copy(update={"journals": american})
    said = r"signed: journals.date_format.quickbooks is mm/dd/yyyy now and was dd/mm/yyyy\. The pack"
    with closing(App.open(changed, app.clock)) as later:
        with pytest.raises(ContractBroken, match=said):
            months.export_pack(later, [SHOP], OCTOBER, tmp_path / "pack")
        _without_made_with(months.evidence(app, SHOP, OCTOBER))
        with pytest.raises(ContractBroken, match=said):
            months.export_pack(later, [SHOP], OCTOBER, tmp_path / "pack")
        months.prepare(later, SHOP, NOVEMBER, by="Ana", run_id="close")
    (dated,) = months.evidence(app, SHOP, NOVEMBER).rglob("quickbooks_GBP_01.csv")
    assert ",11/30/2026," in dated.read_text()


@pytest.mark.proves("R99", "R111")
def test_a_signed_month_names_the_mappings_and_the_version_it_was_signed_with(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same bytes, after mappings that word no journal and the product are others; the next month names those of then."""
    _signed(app)
    kept = months.evidence(app, SHOP, OCTOBER)
    (named,) = json.loads((kept / "manifest.json").read_text())["made_with"]
    assert (named["shop"], named["version"], named["mappings"]) == (
        SHOP,
        metadata.version("marketplace-returns"),
        app.mappings.version,
    )
    accounts = hashlib.sha256(Path("mappings/ledger_accounts.csv").read_bytes()).hexdigest()
    assert named["mapping_files"]["ledger_accounts.csv"] == accounts
    assert len(named["mapping_files"]) == len(list(Path("mappings").glob("*.csv")))

    mappings = tmp_path / "mappings"
    shutil.copytree("mappings", mappings)
    with (mappings / "skus.csv").open("a") as file:
        file.write("asos_uk,OFFER-NEW,ITEM-NEW\n")
    monkeypatch.setattr(months, "version", lambda _: "9.9.9")
    with closing(App.open(app.settings.model_copy(update={"mappings_dir": mappings}), app.clock)) as later:
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "now")
        assert _files(tmp_path / "now") == _files(kept)
        months.prepare(later, SHOP, NOVEMBER, by="Ana", run_id="close")
        (next_one,) = json.loads((months.evidence(app, SHOP, NOVEMBER) / "manifest.json").read_text())["made_with"]
        assert (next_one["version"], next_one["mappings"]) == ("9.9.9", later.mappings.version)

        _without_made_with(kept)
        older = (kept / "manifest.json").read_bytes()
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "older")
    written = json.loads((tmp_path / "older" / "manifest.json").read_bytes())
    assert "made_with" not in written, "what nobody wrote down then is not made up"
    assert written["proofs"] == json.loads(older)["proofs"]


@pytest.mark.proves("R99", "R108", "R111")
def test_a_signed_month_has_the_tolerances_it_was_closed_with(app: App, tmp_path: Path) -> None:
    """Its pack is written again in the same bytes and its proofs are those of then, whatever the settings say since."""
    _plant(
        app,
        """UPDATE lake.core.mirakl__transactions SET amount_minor = amount_minor + 2 WHERE transaction_type = 'ORDER_AMOUNT'
        AND order_line_id = (SELECT min(order_line_id) FROM lake.core.mirakl__order_lines WHERE debited_at >= TIMESTAMPTZ '2026-10-05')""",
    )
    kept = months.evidence(app, SHOP, OCTOBER)
    with closing(_with_tolerance(app, "0.02")) as then:
        months.prepare(then, SHOP, OCTOBER, by="Ana", run_id="close")
    app.ledger.clock.wait(60)
    months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
    assert ",sales," in (line := _rounded(kept)), line
    (named,) = json.loads((kept / "manifest.json").read_text())["made_with"]
    assert named["tolerances"]["order_line"] == {"GBP": "0.02"}
    assert named["tolerances"]["refund"] == {"GBP": "0.01"}

    with closing(_with_tolerance(app, "0.00")) as later:
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "now")
        assert _files(tmp_path / "now") == _files(kept)
        months.prepare(later, SHOP, NOVEMBER, by="Ana", run_id="close")
        (next_one,) = json.loads((months.evidence(app, SHOP, NOVEMBER) / "manifest.json").read_text())["made_with"]
        assert next_one["tolerances"]["order_line"] == {"GBP": "0.00"}

        shutil.rmtree(kept)
        told = rf"\(ledger_accounts.csv\) or shops.{SHOP}.tolerances are others now"
        with pytest.raises(ContractBroken, match=told):
            months.export_pack(later, [SHOP], OCTOBER, tmp_path / "lost")


@pytest.mark.proves("R108", "R111")
def test_a_month_that_was_signed_before_there_were_tolerances_has_a_minor_unit(app: App, tmp_path: Path) -> None:
    _plant(
        app,
        """UPDATE lake.core.mirakl__transactions SET amount_minor = amount_minor + 1 WHERE transaction_type = 'ORDER_AMOUNT'
        AND order_line_id = (SELECT min(order_line_id) FROM lake.core.mirakl__order_lines WHERE debited_at >= TIMESTAMPTZ '2026-10-05')""",
    )
    _signed(app)
    kept = months.evidence(app, SHOP, OCTOBER)
    manifest = json.loads((kept / "manifest.json").read_text())
    del manifest["made_with"][0]["tolerances"]
    (kept / "manifest.json").write_text(json.dumps(manifest))
    with closing(_with_tolerance(app, "0.00")) as later:
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "named")
        assert _rounded(tmp_path / "named") == _rounded(kept) != ""
        _without_made_with(kept)
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "unnamed")
        assert _rounded(tmp_path / "unnamed") == _rounded(kept)


def _with_tolerance(app: App, order_line: str) -> App:
    """Open the installation again with another tolerance of its order lines."""
    tolerances = Tolerances(order_line={"GBP": Decimal(order_line)})
    shop = app.shop(SHOP).model_copy(update={"tolerances": tolerances})
    return App.open(app.settings.model_copy(update={"shops": {SHOP: shop}}), app.clock)


def _rounded(pack: Path) -> str:
    """Return the rows of a pack's order lines that are named rounding."""
    rows = (pack / "order_vs_ledger.csv").read_text().splitlines()
    return "\n".join(row for row in rows if row.endswith("ROUNDING"))


def _without_made_with(kept: Path) -> None:
    """Let a kept pack be one that was written before manifests named what they were made with."""
    manifest = json.loads((kept / "manifest.json").read_text())
    del manifest["made_with"]
    (kept / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.proves("R99", "R111")
def test_a_month_signed_before_a_column_was_there_is_exported_as_it_was_signed(app: App, tmp_path: Path) -> None:
    _signed(app)
    app.con.execute("ALTER TABLE lake.recon.refund_three_way DROP COLUMN evidence_class")
    app.con.execute("ALTER TABLE lake.recon.payout_proof DROP COLUMN invoice_amount_minor")
    app.ledger.step_period(SHOP, OCTOBER, PeriodState.LOCKED, by="Ana", lake_snapshot=str(snapshot_of(app.con)))

    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "pack")
    assert _tables(tmp_path / "pack") == _tables(months.evidence(app, SHOP, OCTOBER))
    assert app.con.execute("SELECT count(evidence_class) FROM lake.recon.refund_three_way").fetchall() == [(0,)]


@pytest.mark.proves("R111")
def test_a_month_that_was_closed_before_a_proof_had_its_column_is_closed_again_before_it_is_signed(app: App) -> None:
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    app.con.execute("ALTER TABLE lake.recon.refund_three_way DROP COLUMN evidence_class")
    app.ledger.step_period(SHOP, OCTOBER, PeriodState.REVIEW, lake_snapshot=str(snapshot_of(app.con)))
    with pytest.raises(ContractBroken, match=r"when the lake had not all that is proven now, .*: close it again"):
        months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
    _signed(app)


@pytest.mark.proves("R108", "R22")
def test_what_a_month_left_unmatched_is_ended_by_the_match_or_by_a_reason(app: App) -> None:
    """One order line's log comes in November, another's never does and a person says why, a third's stays missing."""
    log = "lake.core.mirakl__transactions"
    found = app.con.execute(
        """SELECT order_line_id FROM lake.core.mirakl__order_lines
        WHERE debited_at BETWEEN TIMESTAMPTZ '2026-10-08 00:00:00+00' AND TIMESTAMPTZ '2026-10-12 00:00:00+00'
        AND order_line_id NOT IN (SELECT order_line_id FROM lake.core.mirakl__refunds) ORDER BY 1 LIMIT 3"""
    ).fetchall()
    comes, is_explained, stays = (line for (line,) in found)
    app.con.execute(f"CREATE TEMP TABLE comes AS SELECT * FROM {log} WHERE order_line_id = '{comes}'")
    _plant(app, f"DELETE FROM {log} WHERE order_line_id IN ('{comes}', '{is_explained}', '{stays}')")

    def closed(month: Month) -> tuple[set[str], set[str]]:
        """Close it; return the lines it has as unmatched, and those people are asked about."""
        months.close(app, SHOP, month, run_id="close")
        aged = app.con.execute(
            "SELECT reference FROM lake.recon.aged_unmatched WHERE month = ?", [str(month)]
        ).fetchall()
        asked = {
            each.entity.get("order_line_id") for each in app.ledger.exceptions() if each.cause == "MISSING_EXTRACT"
        }
        every = {comes, is_explained, stays}
        return {line for (line,) in aged} & every, every & asked

    assert closed(OCTOBER) == ({comes, is_explained, stays}, {comes, is_explained, stays})
    (reasoned,) = (each for each in app.ledger.exceptions() if each.entity.get("order_line_id") == is_explained)
    app.ledger.resolve(reasoned.exception_id, by="Ana", note="cancelled by the operator before it was booked")
    assert closed(OCTOBER) == ({comes, is_explained, stays}, {comes, stays})
    _plant(app, f"INSERT INTO {log} SELECT * REPLACE (TIMESTAMPTZ '2026-11-05 00:00:00+00' AS created_at) FROM comes")
    assert closed(NOVEMBER) == ({stays}, {stays})
    assert closed(OCTOBER) == ({comes, is_explained, stays}, {stays}), "October as it was; nobody is asked again"


@pytest.mark.proves("R111")
def test_months_are_signed_in_their_order(app: App) -> None:
    for month in (OCTOBER, NOVEMBER):
        months.prepare(app, SHOP, month, by="Ana", run_id="close")
    with pytest.raises(BadArgument, match=f"{OCTOBER} of {SHOP} is not signed, .*: close and sign {OCTOBER} first"):
        months.sign(app, SHOP, NOVEMBER, by="Ben", reason="as agreed")
    assert app.ledger.period(SHOP, NOVEMBER).state is PeriodState.REVIEW
    months.sign(app, SHOP, OCTOBER, by="Ben", reason="as agreed")
    months.sign(app, SHOP, NOVEMBER, by="Ben", reason="as agreed")


@pytest.mark.proves("R111")
def test_a_month_is_closed_signed_and_exported_by_processes_of_their_own(app: App, tmp_path: Path) -> None:
    def anew() -> App:
        return App.open(app.settings, app.clock)

    with closing(anew()) as first:
        months.prepare(first, SHOP, OCTOBER, by="Ana", run_id="close")
    with closing(anew()) as second:
        months.sign(second, SHOP, OCTOBER, by="Ben", reason="as agreed")
    with closing(anew()) as third:
        months.export_pack(third, [SHOP], OCTOBER, tmp_path / "pack")
    kept = months.evidence(app, SHOP, OCTOBER)
    for file in ("order_vs_ledger.csv", "journal_lines.csv", "payout_proof.csv"):
        (exported,) = (tmp_path / "pack").rglob(file)
        (signed,) = kept.rglob(file)
        assert exported.read_bytes() == signed.read_bytes()


def _plant(app: App, statement: str) -> None:
    def work(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(statement)
        bookings.remake(con)

    app.lake.transact(app.con, "test", "plant", work)


def _tables(folder: Path) -> dict[str, bytes]:
    kept = {"sign_off.csv", "manifest.json", "month_end.xlsx", "close.html"}  # they say who signed
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in kept
    }


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _rows(app: App, query: str) -> list[dict[str, Any]]:
    cursor = app.con.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.played
@pytest.mark.proves("R111")
def test_a_month_goes_from_open_to_locked_by_two_people(app: App) -> None:
    _plant(
        app,
        """UPDATE lake.core.mirakl__transactions SET amount_minor = amount_minor - 40 WHERE transaction_id =
        (SELECT min(transaction_id) FROM lake.core.mirakl__transactions WHERE transaction_type = 'COMMISSION_FEE' AND billing_cycle_id IS NULL)""",
    )
    closed, period = months.prepare(app, SHOP, OCTOBER, by=" Ana  Alves ", run_id="close")
    assert (period.state, period.prepared_by) == (PeriodState.REVIEW, "Ana Alves")
    assert int(period.lake_snapshot) == closed.result.lake_version
    assert (months.evidence(app, SHOP, OCTOBER) / "manifest.json").exists()

    with pytest.raises(BadArgument, match=r"ana alves closed 2026-10 of asos_uk, and somebody else has to sign it"):
        months.sign(app, SHOP, OCTOBER, by="ana alves")
    with pytest.raises(BadArgument, match=r"does not prove .*I5.*sign it with --reason"):
        months.sign(app, SHOP, OCTOBER, by="Ben")
    assert app.ledger.period(SHOP, OCTOBER).state is PeriodState.REVIEW

    signed = months.sign(app, SHOP, OCTOBER, by="Ben", reason="claimed from the marketplace")
    assert (signed.state, signed.approved_by, signed.reason) == (
        PeriodState.SIGNED,
        "Ben",
        "claimed from the marketplace",
    )
    with pytest.raises(PeriodLocked, match="reopen it with a reason, or post into 2026-11"):
        months.close(app, SHOP, OCTOBER, run_id="again")
    assert months.sign(app, SHOP, OCTOBER, by="Ana").state is PeriodState.LOCKED
    with pytest.raises(PeriodLocked):
        months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="again")


@pytest.mark.played
@pytest.mark.proves("R44", "R111")
def test_an_erased_customer_is_in_no_version_kept_for_a_signed_month_which_stays_as_it_was(
    app: App, tmp_path: Path
) -> None:
    told = {
        "sales_order_number": "ORDER-9-A",
        "status": "Despatched",
        "Customer name": "Ximena Quintero",
        "Wish": "Feliz",
    }
    page = [[told, told | {"sales_order_number": "ORDER-8-A", "Customer name": "Otro Mas"}]]
    take(app.lake, "peoplevox/sales_order", SHOP, page, run_id="r", clock=app.clock, con=app.con)
    app.con.execute("CALL ducklake_flush_inlined_data('lake')").fetchall()
    _signed(app)
    version = int(app.ledger.period(SHOP, OCTOBER).lake_snapshot)

    customer = find_customer(app, "ORDER-9-A", None)
    assert erase(app, customer, by="Ana", note="asked", run_id="erase").payloads == 1
    assert end_what_is_over(app, run_id="upkeep", say=lambda _: None).erasures == 1

    data = app.settings.data_dir
    assert [files_with(data, mark) for mark in ("Ximena Quintero", "Otro Mas")] == [[], ["personal.db"]]
    bodies = "SELECT object_id FROM lake.landing.payloads WHERE body LIKE '%Feliz%'"
    assert app.con.execute(bodies).fetchall() == [("ORDER-8-A",)]
    then = app.lake.connect(version=version)
    assert ("ORDER-9-A",) not in then.execute(bodies).fetchall()
    assert then.execute("SELECT count(*) FROM lake.core.peoplevox__sales_orders").fetchall() == [(2,)]
    then.close()
    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "after")
    assert _tables(tmp_path / "after") == _tables(months.evidence(app, SHOP, OCTOBER))
    assert [chain.broken for chain in app.ledger.verify_history(SHOP)] == [None]


def test_a_month_is_not_closed_before_it_was_read_nor_signed_before_it_was_closed(app: App) -> None:
    with pytest.raises(BadArgument, match="was not read to its end yet by"):
        months.prepare(app, SHOP, Month.parse("2026-12"), by="Ana", run_id="close")
    with pytest.raises(PeriodLocked, match="is OPEN: only a month in REVIEW is signed; run 'close' first"):
        months.sign(app, SHOP, OCTOBER, by="Ben")
    with pytest.raises(BadArgument, match="--by needs the name of a person"):
        months.prepare(app, SHOP, OCTOBER, by="  ", run_id="close")


@pytest.mark.played
def test_reopening_needs_a_reason_and_leaves_it(app: App) -> None:
    _signed(app)
    with pytest.raises(BadArgument, match="needs a reason"):
        months.reopen(app, SHOP, OCTOBER, by="Ana", reason=" ")
    reopened = months.reopen(app, SHOP, OCTOBER, by="Ana", reason="a tax code was wrong")
    assert (reopened.state, reopened.lake_snapshot) == (PeriodState.OPEN, "")
    assert reopened.reason == "Ana: a tax code was wrong"
    months.close(app, SHOP, OCTOBER, run_id="again")


@pytest.mark.played
def test_a_month_that_a_signed_one_stands_on_is_not_reopened(app: App) -> None:
    _signed(app)
    _signed(app, NOVEMBER)
    with pytest.raises(BadArgument, match="2026-11 of asos_uk is SIGNED and opens with what 2026-10 closed"):
        months.reopen(app, SHOP, OCTOBER, by="Ana", reason="late")


@pytest.mark.played
@pytest.mark.proves("R111")
def test_what_comes_late_for_a_signed_month_is_posted_in_the_next_and_changes_nothing_signed(
    app: App, tmp_path: Path
) -> None:
    _signed(app)
    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "then")
    _plant(app, _LATE.format(name="TLATE", kind="REFUND_COMMISSION_FEE", amount=1234, state="PENDING"))
    _plant(app, _LATE.format(name="TNONE", kind="MANUAL_CREDIT", amount=99, state="NOT_APPLICABLE"))
    (changed,) = _rows(
        app,
        "SELECT * FROM lake.core.mirakl__transactions WHERE transaction_type = 'SELLER_PENALTY_FEE' AND created_at < TIMESTAMPTZ '2026-11-01'",
    )
    _plant(
        app,
        f"""UPDATE lake.core.mirakl__transactions SET amount_minor = amount_minor + 400, fetched_at = TIMESTAMPTZ '2026-12-03 00:00:00+00'
        WHERE transaction_id = '{changed["transaction_id"]}'""",
    )
    # Read again and unchanged: not late.
    _plant(
        app,
        "UPDATE lake.core.mirakl__transactions SET fetched_at = TIMESTAMPTZ '2026-12-03 00:00:00+00' WHERE transaction_type = 'MANUAL_CREDIT'",
    )
    closed = months.close(app, SHOP, NOVEMBER, run_id="november")

    late = {row["reference"]: row for row in _rows(app, "SELECT * FROM lake.recon.prior_period_adjustments")}
    assert {name: (row["kind"], row["amount_minor"]) for name, row in late.items()} == {
        "TLATE": ("late refund_commission_fee", 1234),
        changed["transaction_id"]: ("changed seller_penalty_fee", 400),
    }
    assert {row["original_month"] for row in late.values()} == {"2026-10"}
    proofs = {check.id: check.ok for check in closed.checks}
    assert proofs["I3"], "November opens as October closed"
    assert proofs["I15"], "its journals balance"
    moved = {
        row["component"]: row["amount_minor"]
        for row in _rows(app, "SELECT * FROM lake.recon.control_roll_forward WHERE month = '2026-11'")
    }
    (own,) = _rows(
        app,
        """SELECT CAST(coalesce(sum(amount_minor), 0) AS BIGINT) AS minor FROM lake.core.mirakl__transactions
        WHERE transaction_type = 'REFUND_COMMISSION_FEE' AND created_at >= TIMESTAMPTZ '2026-11-01'""",
    )
    assert (moved["commission_refund"], moved["penalty"]) == (own["minor"] + 1234, 400)

    owners = {
        each.entity["transaction_id"]: each.owner for each in app.ledger.exceptions() if each.type == "PERIOD_LATE_ITEM"
    }
    assert owners == {"TLATE": "finance", changed["transaction_id"]: "finance"}

    (before,) = months.months_before(app, SHOP, NOVEMBER)
    assert (before.month, before.state, before.days_to_close) == (OCTOBER, PeriodState.SIGNED, Decimal("31.3"))
    assert before.adjusted == (Sum("GBP", 2, 1634, "2026-10"),), "which no pack of October may tell"
    assert months.reviewed(app, closed)[1].adjusted == before.adjusted

    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "now")
    assert _tables(tmp_path / "now") == _tables(tmp_path / "then")
    assert len(_tables(tmp_path / "then")) > 15


@pytest.mark.played
def test_what_is_late_is_posted_once(app: App) -> None:
    """In the first month that was open: not again in the one after, whether or not the first is signed meanwhile."""
    _signed(app)
    _plant(app, _LATE.format(name="TLATE", kind="REFUND_COMMISSION_FEE", amount=1234, state="PENDING"))
    months.close(app, SHOP, NOVEMBER, run_id="november")
    december = NOVEMBER.next()
    months.close(app, SHOP, december, run_id="december")
    app.ledger.clock.wait(3 * 86_400)
    _signed(app, NOVEMBER)
    months.close(app, SHOP, december, run_id="december again")

    posted = _rows(app, "SELECT month, reference FROM lake.recon.prior_period_adjustments")
    assert posted == [{"month": "2026-11", "reference": "TLATE"}]


@pytest.mark.played
@pytest.mark.proves("R99", "R111")
def test_a_locked_month_is_the_same_bytes_after_three_more_months(app: App, tmp_path: Path) -> None:
    """Its CSVs, journals, workbook, page and manifest, after three closes, late lines, corrected orders and the lake's upkeep."""
    _signed(app)
    months.sign(app, SHOP, OCTOBER, by="Ana")
    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "then")
    _plant(app, _LATE.format(name="TLATE", kind="REFUND_COMMISSION_FEE", amount=1234, state="PENDING"))
    _plant(app, "UPDATE lake.core.mirakl__order_lines SET price_minor = price_minor + 1, quantity = 9")
    month = OCTOBER
    for seed in (1, 2, 3):
        month = month.next()
        generate(
            app.lake, app.con, lines=80, shape=Shape(month=month, tax_mode="TAX_EXCLUDED", is_uneven=True, seed=seed)
        )
        months.close(app, SHOP, month, run_id=str(month))
    assert _rows(app, "SELECT 1 FROM lake.recon.prior_period_adjustments WHERE original_month = '2026-10'"), (
        "it was late for"
    )
    app.ledger.clock.wait(200 * 86_400)
    maintain_lake(app, run_id="upkeep")

    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "now")
    assert _files(tmp_path / "now") == _files(tmp_path / "then")
    assert len(_files(tmp_path / "then")) > 20


@pytest.mark.proves("R111")
def test_a_month_is_not_signed_over_one_that_was_closed_after_it(app: App) -> None:
    """November, in review, posts what came late for October; October is opened again and closed with it: it would be posted twice."""
    _signed(app)
    _plant(app, _LATE.format(name="TLATE", kind="SELLER_PENALTY_FEE", amount=-5000, state="PENDING"))
    months.prepare(app, SHOP, NOVEMBER, by="Ana", run_id="close")
    months.reopen(app, SHOP, OCTOBER, by="Ana", reason="a fee came late")
    _signed(app)
    with pytest.raises(PeriodLocked, match=r"2026-10 of asos_uk was closed anew after 2026-11, .*close 2026-11 again"):
        months.sign(app, SHOP, NOVEMBER, by="Ben", reason="as agreed")
    assert app.ledger.period(SHOP, NOVEMBER).state is PeriodState.REVIEW

    _signed(app, NOVEMBER)
    assert _rows(app, "SELECT reference FROM lake.recon.prior_period_adjustments") == []


@pytest.mark.proves("R111")
def test_what_lands_between_the_closes_of_two_months_is_in_one_of_them(app: App) -> None:
    """October is in review when a refund that was paid in it is read: it is part of November's VAT, though October is signed only then."""
    refunds, taxes = "lake.core.mirakl__refunds", "lake.core.mirakl__refund_taxes"
    (late, tax_minor) = app.con.execute(
        f"""SELECT refund_id, tax_minor FROM {refunds} WHERE paid_at >= TIMESTAMPTZ '2026-10-18 00:00:00+00'
        AND paid_at < TIMESTAMPTZ '2026-10-25 00:00:00+00' ORDER BY refund_id LIMIT 1"""
    ).fetchone() or ("", 0)
    for table in (refunds, taxes):
        app.con.execute(f"CREATE TEMP TABLE {table[-11:]} AS SELECT * FROM {table} WHERE refund_id = '{late}'")
        _plant(app, f"DELETE FROM {table} WHERE refund_id = '{late}'")
    months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    for table in (refunds, taxes):
        read = f"SELECT * REPLACE (TIMESTAMPTZ '2026-12-02 07:00:00+00' AS fetched_at) FROM {table[-11:]}"
        _plant(app, f"INSERT INTO {table} {read}")
    closed, _ = months.prepare(app, SHOP, NOVEMBER, by="Ana", run_id="close")
    assert [check.id for check in closed.checks if not check.ok] == []
    for month in (OCTOBER, NOVEMBER):
        months.sign(app, SHOP, month, by="Ben", reason="as agreed")
    posted = _rows(app, "SELECT month, tax_minor FROM lake.recon.vat_summary WHERE direction = 'prior_output_refunds'")
    assert posted == [{"month": "2026-11", "tax_minor": -tax_minor}]


@pytest.mark.proves("R111")
def test_no_month_is_closed_under_a_signed_one(app: App) -> None:
    """The signed one opens with all that was there: what comes for the earlier is late, and would be in both."""
    _signed(app, NOVEMBER)
    with pytest.raises(BadArgument, match="2026-11 of asos_uk is SIGNED and opens with what 2026-10 closed"):
        months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
    months.close(app, SHOP, OCTOBER, run_id="to look at")
    _read_on(app, days=31)
    _signed(app, NOVEMBER.next())


@pytest.mark.proves("R111")
def test_no_month_is_left_out_between_signed_ones(app: App) -> None:
    _signed(app)
    _read_on(app, days=31)
    december = NOVEMBER.next()
    months.prepare(app, SHOP, december, by="Ana", run_id="close")
    with pytest.raises(BadArgument, match=r"2026-11 of asos_uk is not signed, .*close and sign 2026-11 first"):
        months.sign(app, SHOP, december, by="Ben", reason="as agreed")


@pytest.mark.proves("R108", "I5", "I16")
def test_what_a_person_explained_is_named_by_its_proof_and_still_differs(app: App, tmp_path: Path) -> None:
    """One of two lines without a booking is explained, then both: by whom is told, the reason stays in the ledger, and nothing turns green."""
    log = "lake.core.mirakl__transactions"
    found = app.con.execute(
        """SELECT order_line_id FROM lake.core.mirakl__order_lines
        WHERE debited_at BETWEEN TIMESTAMPTZ '2026-10-08 00:00:00+00' AND TIMESTAMPTZ '2026-10-12 00:00:00+00'
        AND order_line_id NOT IN (SELECT order_line_id FROM lake.core.mirakl__refunds) ORDER BY 1 LIMIT 2"""
    ).fetchall()
    first, second = (line for (line,) in found)
    _plant(app, f"DELETE FROM {log} WHERE order_line_id IN ('{first}', '{second}')")

    def closed() -> dict[str, CheckResult]:
        made, _ = months.prepare(app, SHOP, OCTOBER, by="Ana", run_id="close")
        return {check.id: check for check in made.checks}

    def explain(line: str, by: str) -> int:
        (reasoned,) = (each for each in app.ledger.exceptions() if each.entity.get("order_line_id") == line)
        app.ledger.resolve(reasoned.exception_id, by=by, note="cancelled by the operator: ticket 12")
        return reasoned.exception_id

    before = closed()
    assert {row.explained for proof in before.values() for row in proof.failing} == {""}
    keys = [explain(first, "Cleo")]
    one = closed()
    for proof in ("I5", "I16"):
        assert one[proof].message == f"{before[proof].message}; 1 of them is explained, by Cleo (exception {keys[0]})"
        assert {row.subject: row.explained for row in one[proof].failing} == {
            first: f"by Cleo (exception {keys[0]})",
            second: "",
        }
    keys.append(explain(second, "Ben"))
    both = closed()
    low, high = sorted(keys)
    told = f"; all are explained, by Ben and Cleo (exceptions {low} and {high})"
    for proof in ("I5", "I16"):
        assert both[proof].message == before[proof].message + told
        assert both[proof].ok is False
        assert both[proof].difference_minor == before[proof].difference_minor != {}
    with pytest.raises(BadArgument, match=r"does not prove .*I5, I16: mend it .*sign it with --reason"):
        months.sign(app, SHOP, OCTOBER, by="Ben")
    months.sign(app, SHOP, OCTOBER, by="Ben", reason="both explained")

    # As it was signed, whatever becomes of the exceptions; and no reason that somebody wrote is in a pack.
    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "pack")
    manifest = msgspec.json.decode((tmp_path / "pack" / "manifest.json").read_bytes(), type=Manifest)
    (shown,) = (each for each in manifest.proofs if each.id == "I5")
    assert (shown.result, shown.message) == ("VARIANCE", both["I5"].message)
    assert [path for path in (tmp_path / "pack").rglob("*.*") if b"ticket 12" in path.read_bytes()] == []


@pytest.mark.proves("R108", "I5", "I16")
def test_what_is_explained_together_is_named_by_its_proof_too(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three lines without a booking one is named by itself, the others share an exception; what is explained stays with its month."""
    monkeypatch.setattr(variances, "NAMED_MAX", 1)
    lines = _rows(
        app,
        """SELECT order_line_id AS id FROM lake.core.mirakl__order_lines
        WHERE debited_at BETWEEN TIMESTAMPTZ '2026-10-08 00:00:00+00' AND TIMESTAMPTZ '2026-10-12 00:00:00+00'
        AND order_line_id NOT IN (SELECT order_line_id FROM lake.core.mirakl__refunds) ORDER BY 1 LIMIT 3""",
    )
    ids = ", ".join(f"'{line['id']}'" for line in lines)
    _plant(app, f"DELETE FROM lake.core.mirakl__transactions WHERE order_line_id IN ({ids})")

    def closed(month: Month) -> dict[str, CheckResult]:
        return {check.id: check for check in months.close(app, SHOP, month, run_id="close").checks}

    def explain(**entity: str) -> OpenException:
        (found,) = (
            each
            for each in app.ledger.exceptions()
            if entity.items() <= each.entity.items() and each.evidence["code"] == "MISSING_EXTRACT"
        )
        app.ledger.resolve(found.exception_id, by="Cleo", note="cancelled by the operator")
        return found

    before = closed(OCTOBER)
    shared = explain(code="MISSING_EXTRACT", month="2026-10")
    some = closed(OCTOBER)
    for proof in ("I5", "I16"):
        assert (
            some[proof].message
            == f"{before[proof].message}; 2 of them are explained, by Cleo (exception {shared.exception_id})"
        )
        assert sorted(row.explained for row in some[proof].failing) == [
            "",
            *(2 * [f"by Cleo (exception {shared.exception_id})"]),
        ]
    (named,) = (row.subject for row in some["I5"].failing if not row.explained)
    for _ in range(2):  # the second time beside what was made of it
        assert [row.subject for row in closed(NOVEMBER)["I5"].failing] == [named]
    explain(order_line_id=named)
    assert "all are explained" in closed(OCTOBER)["I5"].message
    assert closed(NOVEMBER)["I5"].ok


@pytest.mark.proves("R99", "R111")
def test_the_months_of_a_shop_that_has_left_the_settings_are_kept(app: App, tmp_path: Path) -> None:
    _signed(app)
    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "then")
    _plant(app, _LATE.format(name="TLATE", kind="SELLER_PENALTY_FEE", amount=-5000, state="PENDING"))
    app.ledger.clock.wait(200 * 86_400)
    without = app.settings.model_copy(update={"shops": {"other": app.shop(SHOP).model_copy(update={"name": "other"})}})
    with closing(App.open(without, app.clock)) as later:
        maintain_lake(later, run_id="upkeep")
    with closing(App.open(app.settings, app.clock)) as back:
        months.export_pack(back, [SHOP], OCTOBER, tmp_path / "now")
    assert _files(tmp_path / "now") == _files(tmp_path / "then")


@pytest.mark.proves("R99", "R111")
def test_a_signed_month_reads_the_same_after_new_settings_late_writes_and_another_library(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its proofs too: shares of the accrual are estimated anew each year, and a write may be confirmed after the month is signed."""
    _signed(app)
    months.export_pack(app, [SHOP], OCTOBER, tmp_path / "then")
    shop = app.shop(SHOP)
    shares = shop.accruals.model_copy(update={"requested": Decimal("0.25"), "in_transit": Decimal("0.5")})
    changed = app.settings.model_copy(update={"shops": {SHOP: shop.model_copy(update={"accruals": shares})}})
    (refund,) = _rows(
        app,
        "SELECT * FROM lake.core.mirakl__refunds WHERE created_at < TIMESTAMPTZ '2026-10-20' ORDER BY refund_id LIMIT 1",
    )
    line = refund["order_line_id"]
    write = {
        "kind": "refund",
        "natural_key": f"{line}#1",
        "intent_id": "LATE",
        "state": "CONFIRMED",
        "order_id": refund["order_id"],
        "order_line_id": line,
        "return_id": f"RT{line}",
        "return_unit_id": f"{line}#1",
        "amount_minor": 10 * refund["amount_minor"],
        "currency": "GBP",
        "external_ref": refund["refund_id"],
        "body": "{}",
        "evidence": "{}",
        "planned_at": refund["created_at"],
        "sent_at": refund["created_at"],
        "confirmed_at": READ_AT,
    }
    late = pa.Table.from_pylist([write], INTENTS).to_batches()
    monkeypatch.setattr(type(app.ledger), "intent_batches", lambda *_: late)
    with closing(App.open(changed, app.clock)) as later:
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "now")
        assert _files(tmp_path / "now") == _files(tmp_path / "then")

        real = journals.pq.write_table
        monkeypatch.setattr(journals.pq, "write_table", lambda *args: real(*args, compression="zstd"))
        months.export_pack(later, [SHOP], OCTOBER, tmp_path / "other")
    assert _tables(tmp_path / "other").keys() == _tables(tmp_path / "then").keys()
