"""``tables`` and ``checklist`` at the command line: looked at, taken away, ticked with a name."""

from __future__ import annotations

import csv

import pytest

from marketplace_returns.cli.context import opened
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.monitoring import TABLES
from marketplace_returns.monitoring.checklist import ITEMS
from marketplace_returns_tests.cli.conftest import SHOP, Shell


def drift() -> ExceptionPlan:
    return ExceptionPlan(shop=SHOP, type="STATUS_DRIFT", entity={"return_id": "R1"}, cause="state", message="=1+1")


@pytest.mark.played
@pytest.mark.proves("R20", "R43")
def test_a_table_is_shown_and_taken_away(alone: Shell) -> None:
    listed = alone.run("tables", "list", "--json")
    assert [each["table"] for each in listed.document["tables"]] == list(TABLES)
    with opened() as app:
        app.ledger.raise_exceptions(SHOP, "test", [drift()])
    shown = alone.run("tables", "show", "open_drift", "--json")
    (row,) = shown.document["shops"][SHOP]
    assert (row["type"], row["message"]) == ("STATUS_DRIFT", "=1+1")
    out = alone.folder / "drift.csv"
    assert alone.run("tables", "show", "open_drift", "--shop", SHOP, "--out", str(out)).code == 0
    (taken,) = csv.DictReader(out.open(encoding="utf-8"))
    assert taken["message"] == "'=1+1"
    wrong = alone.run("tables", "show", "nothing")
    assert (wrong.code, "'tables list' shows those there are" in wrong.err) == (2, True)


@pytest.mark.played
@pytest.mark.proves("R42", "R43")
def test_a_check_is_ticked_with_a_name_and_a_note_where_rows_speak_against_it(alone: Shell) -> None:
    with opened() as app:
        app.ledger.raise_exceptions(SHOP, "test", [drift()])
    by = ("--by", "kim")
    refused = alone.run("checklist", "tick", "drift", *by)
    assert (refused.code, "1 row speaks against it: say what is done about it" in refused.err) == (2, True)
    done = alone.run("checklist", "tick", "drift", *by, "--note", "care has it", "--json")
    assert (done.code, done.document["open_rows"]) == (0, {SHOP: 1})
    assert alone.run("checklist", "tick", "snoozed", *by).code == 0
    shown = alone.run("checklist", "show", "--owner", "operations", "--json")
    checks = {each["check"]: each for each in shown.document["checks"]}
    assert set(checks) == {item.key for item in ITEMS if item.owner == "operations"}
    assert (checks["drift"]["state"], checks["drift"]["by"], checks["drift"]["note"]) == ("done", "kim", "care has it")
    assert checks["stock_drift"]["state"] == "due"
    assert alone.run("checklist", "show").code == 0
    for wrong in (("show", "--owner", "nobody"), ("tick", "nothing", *by), ("tick", "snoozed", "--by", " ")):
        assert alone.run("checklist", *wrong).code == 2
    assert alone.run("audit", "verify").code == 0
