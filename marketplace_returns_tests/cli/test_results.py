"""What the commands show: one document for programs, plain text for people, and what they must not do."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace_returns.cli.context import opened
from marketplace_returns.cli.month import render_month, render_payouts
from marketplace_returns.cli.output import Output
from marketplace_returns.lake.tables import CORE_TABLES, Kind
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.orchestration.month import ClosedMonth, TableView
from marketplace_returns.orchestration.sync import decide, extend_model, pull_due, send
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import MonthResult
from marketplace_returns.reconciliation.invariants import CheckResult
from marketplace_returns_tests.cli.conftest import SHOP, Ended, Shell

LINEAGE = {"run_id", "fetched_at"}
FILLED = ("mirakl__order", "mirakl__transactions", "mirakl__invoices")


def personal_words(shell: Shell) -> set[str]:
    """Return names, streets and addresses of the sandbox's customers, as Mirakl serves them."""
    with opened() as app:
        words = {value for row in app.lake.personal.held() for value in row.leaves.values() if isinstance(value, str)}
    return {word for word in words if len(word) > 7 and not word[0].isdigit()}


def tables() -> dict[str, list[tuple[Any, ...]]]:
    """Return the tables a backfill of this world fills, without which run brought a row."""
    with opened() as app:
        return {
            table.name: sorted(
                app.con.execute(
                    f"SELECT {', '.join(c.name for c in table.columns if c.name not in LINEAGE)} FROM {table.path}"
                ).fetchall(),
                key=repr,
            )
            for table in CORE_TABLES
            if table.name.startswith(FILLED)
        }


@pytest.mark.proves("R114")
@pytest.mark.played
def test_shadow_pass_shows_the_bodies_and_sends_nothing(shell: Shell) -> None:
    ended = shell.run("sync", "--lane", "accept_orders", "--shadow", "--json")
    (report,) = ended.document["passes"]
    assert report["is_shadow"]
    bodies = [write["body"] for lane in report["lanes"] for write in lane["shadow_writes"]]
    assert {"id", "accepted"} == set(bodies[0]["order_lines"][0])
    page = shell.run("sync", "--lane", "accept_orders", "--shadow")
    assert "nothing was sent" in page.out
    assert '"order_lines"' in page.out
    assert max(len(line) for line in page.out.splitlines()) <= 80
    assert shell.writes() == 0


@pytest.mark.proves("R114", "R115")
def test_a_switch_thrown_while_a_pass_runs_stops_its_writes_and_going_live_again_sends_them(shell: Shell) -> None:
    with opened() as app:
        pull_due(app, SHOP, run_id="test")
        extend_model(app, SHOP, run_id="test")
        assert decide(app, app.con, SHOP, "accept_orders").new > 0
        shell.change("[shops.asos_uk.writes]", '[shops.asos_uk.writes]\naccept_order = "off"')
        assert send(app, SHOP, run_id="test").by_kind_and_state == {}
        assert shell.writes() == 0
        shell.change('accept_order = "off"', "")
        assert send(app, SHOP, run_id="test").by_kind_and_state != {}
    assert shell.writes() > 0


@pytest.mark.played
@pytest.mark.proves("R98", "R99")
def test_backfill_sends_nothing_and_twice_gives_the_same_tables(shell: Shell) -> None:
    days = ("backfill", "--from", "2026-10-01", "--to", "2026-10-31", "--json")
    first = shell.run(*days)
    assert first.code == 0
    assert first.document["writes"] == 0
    assert {row["stream"]: row["new"] for row in first.document["streams"]}["mirakl/order"] > 0
    once = tables()
    again = shell.run(*days)
    assert {row["new"] for row in again.document["streams"]} == {0}
    assert tables() == once
    assert once["mirakl__orders"]
    assert shell.writes() == 0


@pytest.mark.played
@pytest.mark.proves("R44")
def test_every_result_is_one_document_without_personal_data(shell: Shell) -> None:
    said: list[Ended] = [shell.run("sync", "--lane", "accept_orders", "--lane", "warehouse_orders", "--json")]
    with opened() as app:
        ((order_id,),) = app.con.execute("SELECT min(order_id) FROM lake.core.mirakl__orders").fetchall()
    commands: tuple[tuple[str, ...], ...] = (
        ("exceptions", "list"),
        ("trace", order_id),
        ("trace", order_id, "--json"),
        ("reconcile", "--month", "2026-10", "--json"),
        ("export", "--month", "2026-10", "--out", "pack", "--json"),
    )
    said += [shell.run(*command) for command in commands]
    words = personal_words(shell)
    assert words
    for each in said:
        assert "[/" not in each.all
        assert not {word for word in words if word in each.all}
        if not each.out.startswith("{"):
            assert max(len(line) for line in each.out.splitlines()) <= 80
    assert "order created" in said[2].out


@pytest.mark.played
def test_month_without_data_is_refused_before_anything_is_made(shell: Shell) -> None:
    with opened() as app:
        app.ledger.set_cursor(SHOP, "mirakl/order", shell.clock.now())
    ended = shell.run("reconcile", "--month", "2031-01", "--json")
    assert ended.code == 2
    assert "--month 2031-01: asos_uk was read up to 2026-10-01 13:00 UTC only" in ended.err
    ended = shell.run("export", "--month", "2031-01", "--out", "pack", "--json")
    assert ended.code == 2
    assert "month 2031-01 of asos_uk holds no data: 'reconcile --month 2031-01' makes it" in ended.err
    assert not list((shell.folder / "pack").iterdir())


def test_critical_exception_ends_with_one_and_its_words_are_no_markup(alone: Shell) -> None:
    plan = ExceptionPlan(
        shop=SHOP,
        type="PAYOUT_VARIANCE",
        entity={"cycle": "[/x]"},
        cause="c",
        message="a [/bold] word :smile: [30, 120]",
    )
    with opened() as app:
        app.ledger.raise_exceptions(SHOP, "test", [plan])
    listed = alone.run("exceptions", "list")
    assert listed.code == 1
    assert "a [/bold] word :smile: [30, 120]" in listed.out
    shown = alone.run("exceptions", "show", "1")
    assert shown.code == 0
    assert "cycle [/x]" in shown.out
    assert alone.run("exceptions", "show", "1", "--json").document["exception"]["message"] == plan.message
    unknown = alone.run("trace", "[/x]", "--json")
    assert unknown.code == 2
    assert "'[/x]' is no order" in unknown.err


def test_month_is_shown_as_decimals_and_days_in_eighty_columns(capsys: Any, alone: Shell) -> None:
    columns = ("shop", "currency", "billing_cycle_id", "date_created", "statement_amount", "difference", "status")
    kinds = dict.fromkeys(columns, Kind.TEXT) | {
        "date_created": Kind.INSTANT,
        "statement_amount": Kind.MONEY,
        "difference": Kind.MONEY,
    }
    cycle = "5b7d1a4e-0c1f-4f3b-9a39-1f4f1f3a2b10"
    row = (SHOP, "GBP", cycle, alone.clock.now(), 1234567, 0, "PROVEN")
    words = "statement = transaction log = payment, per payout cycle: 12,345.67 GBP apart in 2 rows of 4"
    check = CheckResult("I1", "payout_proof", False, True, {"GBP": 1234567}, 4, 2, (), f"I1: {words}")
    codes = {"payout_proof": {"PROVEN": 2, "VARIANCE": 2}, "order_vs_ledger": {"": 41}}
    result = MonthResult(SHOP, Month(2026, 10), {"payout_proof": 4, "order_vs_ledger": 41}, codes, 1)
    render_month(Output(as_json=False).page, SHOP, ClosedMonth(result, (check,)))
    render_payouts(Output(as_json=False).page, TableView(columns, kinds, [row], b""), "GBP")
    page = capsys.readouterr().out
    assert "FAILS" in page
    assert "as it should be 41" in page
    assert "Payouts (GBP)" in page
    assert "12,345.67" in page
    assert "2026-10-01 " in page
    assert f"{cycle[:8]} " in page
    assert SHOP not in page.partition("Payouts")[2]
    assert max(len(line) for line in page.splitlines()) <= 80
