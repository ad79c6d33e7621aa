"""What the Dagster pages show of a table or a proof says the same there as it does where it was written."""

import dagster as dg

from marketplace_returns.lake.tables import Table, money, text
from marketplace_returns.orchestration.assets.reconciliation import _check_result
from marketplace_returns.orchestration.metadata import column_schema
from marketplace_returns.orchestration.month import ClosedMonth
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import MonthResult
from marketplace_returns.reconciliation.invariants import CheckResult, FailingRow
from marketplace_returns.settings import load_settings
from marketplace_returns_tests.reconciliation.worlds import MAPPINGS


def test_a_description_is_no_markup() -> None:
    table = Table(
        "recon",
        "example",
        "An example",
        ("shop",),
        (
            money("amount_minor", "+ is owed to customers"),
            text("journal_id", "<shop>-<month>-open"),
            text("line", "liability_*: opening to closing; closing_*: its stages"),
        ),
        "",
    )
    assert [column.description for column in column_schema(table).columns] == [
        r"\+ is owed to customers",
        r"\<shop>-\<month>-open",
        r"liability_\*: opening to closing; closing_\*: its stages",
    ]


def test_failing_rows_are_shown_in_money_or_as_a_count() -> None:
    shown = {}
    for invariant in ("I1", "I10"):
        failing = (FailingRow("GBP", "subject", "detail", 333, "by Ana (exception 12)"),)
        proof = CheckResult(invariant, "name", False, True, {"GBP": 333, "EUR": 1}, 2, 1, failing, "differs")
        month = Month.parse("2026-10")
        closed = ClosedMonth(MonthResult("asos_uk", month, {}, {}, 1), (proof,))
        shop = load_settings(MAPPINGS / "shops.toml").shop("asos_uk")
        metadata = _check_result(shop, closed, proof).metadata
        table = metadata["failing"]
        assert isinstance(table, dg.TableMetadataValue)
        assert table.records[0].data["explained"] == "by Ana (exception 12)"
        shown[invariant] = (
            table.records[0].data["difference"],
            {name: value.value for name, value in metadata.items() if name.startswith("difference")},
        )
    assert shown == {
        "I1": ("3.33", {"difference_minor GBP": 333, "difference_minor EUR": 1}),
        "I10": (333, {"difference": 334}),
    }
