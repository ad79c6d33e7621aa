"""A refund or order line that its sides know in different currencies is FX in each of them, its amounts apart, until it is mended."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.reconciliation import pack, variances
from marketplace_returns.reconciliation.invariants import check, check_month
from marketplace_returns_tests.reconciliation.generate import SHOP
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

NOVEMBER = OCTOBER.next()
_R, _T, _L = "lake.core.mirakl__refunds", "lake.core.mirakl__transactions", "lake.core.mirakl__order_lines"
_WITHIN = "BETWEEN TIMESTAMPTZ '2026-10-05 00:00:00+00' AND TIMESTAMPTZ '2026-10-25 00:00:00+00'"
_NAMES = ("refund", "by_hand", "credit", "made", "both", "line", "commission", "ordered")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An October with refunds and lines in two currencies, closed; ``both`` is booked once in each, of which one is too much."""

    def plant(world: World) -> None:
        refunds = f"""SELECT r.refund_id AS id FROM {_R} AS r INNER JOIN {_L} AS l USING (order_line_id)
            WHERE l.quantity = 1 AND r.paid_at {_WITHIN} ORDER BY 1 LIMIT 5"""
        sold = f"""SELECT order_line_id AS id FROM {_L} WHERE debited_at {_WITHIN}
            AND order_line_id NOT IN (SELECT order_line_id FROM {_R}) ORDER BY 1 LIMIT 3"""
        found = [row["id"] for query in (refunds, sold) for row in world.rows(query)]
        world.lines = at = dict(zip(_NAMES, found, strict=True))
        world.plant(
            f"DELETE FROM gen_intents WHERE external_ref = '{at['by_hand']}'",
            _in_euro(f"refund_id IN ('{at['refund']}', '{at['by_hand']}')"),
            _in_euro(f"refund_id = '{at['credit']}' AND transaction_type LIKE 'REFUND_COMMISSION%'"),
            f"UPDATE {_R} SET currency = 'EUR' WHERE refund_id = '{at['made']}'",
            f"""INSERT INTO {_T} SELECT * REPLACE ('E' || transaction_id AS transaction_id, 'EUR' AS currency, NULL AS billing_cycle_id)
            FROM {_T} WHERE refund_id = '{at["both"]}'""",
            _in_euro(f"order_line_id = '{at['line']}'"),
            _in_euro(f"order_line_id = '{at['commission']}' AND transaction_type LIKE 'COMMISSION%'"),
            f"UPDATE {_L} SET currency = 'EUR' WHERE order_line_id = '{at['ordered']}'",
        )

    made = make_world(tmp_path, lines=200, tax_mode="TAX_EXCLUDED", plant=plant)
    made.close()
    yield made
    made.con.close()


def _in_euro(where: str) -> str:
    return f"UPDATE {_T} SET currency = 'EUR', amount_minor = amount_minor * 2, billing_cycle_id = NULL WHERE {where}"


def _sides(world: World, name: str, month: object = OCTOBER) -> list[dict[str, Any]]:
    """Return currency, code, and what the marketplace and the log have of a line or refund, by currency."""
    subject = world.lines[name]
    of_refund = f"""SELECT currency, verdict AS code, marketplace_amount_minor AS stated, settled_amount_minor AS booked
        FROM lake.recon.refund_three_way WHERE refund_id = '{subject}'"""
    of_line = f"""SELECT currency, variance_code AS code, order_sales_minor AS stated, ledger_sales_minor AS booked
        FROM lake.recon.order_vs_ledger WHERE order_line_id = '{subject}'"""
    query = of_line if name in {"line", "commission", "ordered"} else of_refund
    return world.rows(f"{query} AND month = '{month}' ORDER BY currency")


def _codes(world: World, month: object = OCTOBER) -> dict[str, list[tuple[str, str]]]:
    return {name: [(row["currency"], row["code"]) for row in _sides(world, name, month)] for name in world.lines}


@pytest.mark.proves("I5", "I6", "I18", "R109")
def test_each_side_is_fx_in_its_currency_with_its_own_amounts(world: World) -> None:
    both = [("EUR", "FX"), ("GBP", "FX")]
    assert _codes(world) == {**dict.fromkeys(_NAMES, both), "both": [("EUR", "FX"), ("GBP", "MATCHED")]}

    booked, made = _sides(world, "refund")
    assert (booked["stated"], made["booked"]) == (None, None)
    assert booked["booked"] == 2 * made["stated"] > 0
    made, booked = _sides(world, "made")
    assert (made["booked"], booked["stated"]) == (None, None)
    assert made["stated"] == booked["booked"] > 0
    booked, ordered = _sides(world, "line")
    assert (booked["stated"], ordered["booked"]) == (0, 0)
    assert booked["booked"] == 2 * ordered["stated"] > 0
    assert world.rows("SELECT 1 FROM lake.recon.commission_variance WHERE variance_code <> 'ROUNDING'") == []
    by_hand = world.rows("SELECT refund_id FROM lake.recon.manual_portal_actions WHERE kind = 'refund'")
    assert {row["refund_id"] for row in by_hand} == {world.lines["by_hand"]}
    shown = world.rows(
        "SELECT count(*) AS n, count(DISTINCT (match_key, currency)) AS keys FROM lake.recon.refund_three_way"
    )
    assert shown[0]["n"] == shown[0]["keys"]


@pytest.mark.proves("R17", "I17")
def test_each_is_finances_with_its_age_and_what_to_do(world: World) -> None:
    asked = [plan for plan in variances.decide(world.con, world.shop, OCTOBER).exceptions if plan.cause == "FX"]
    fingerprints = {tuple(sorted(plan.entity.items())) for plan in asked}
    assert len(fingerprints) == len(asked) == 15
    assert {plan.type for plan in asked} == {"PAYOUT_VARIANCE"}
    assert all("ask the marketplace why log and order" in plan.message for plan in asked)
    assert all(plan.entity["currency"] == plan.currency and plan.amount_minor > 0 for plan in asked)

    aged = world.rows("SELECT * FROM lake.recon.aged_unmatched WHERE kind = 'FX' ORDER BY reference, currency")
    assert len(aged) == 15
    assert {row["owner"] for row in aged} == {default_rules()["PAYOUT_VARIANCE"].owner}
    ages = {(row["reference"], row["age_days"]) for row in aged}
    assert len(ages) == 8, "both sides are as old as what they are of"
    proofs = {result.id: result for result in check_month(world.con, world.shop, OCTOBER)}
    for invariant in ("I3", "I13", "I15", "I16", "I17"):
        assert proofs[invariant].ok, proofs[invariant].message


def test_what_is_too_many_shares_an_exception_in_each_currency(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variances, "NAMED_MAX", 1)
    shared = [
        plan
        for plan in variances.decide(world.con, world.shop, OCTOBER).exceptions
        if "rows" in plan.evidence and plan.cause == "FX"
    ]
    assert {plan.entity.get("currency", "GBP"): plan.evidence["rows"] for plan in shared} == {"GBP": 7, "EUR": 8}
    assert len({tuple(sorted(plan.entity.items())) for plan in shared}) == 2


@pytest.mark.proves("R5", "I5")
def test_the_pack_says_so_of_each_component_that_differs(world: World, tmp_path: Path) -> None:
    accounts = world.mappings.ledger_accounts
    pack.export(world.lake, world.con, [SHOP], OCTOBER, tmp_path, accounts=accounts, periods={}, results={})
    with (tmp_path / "order_vs_ledger.csv").open(encoding="utf-8", newline="") as file:
        found = [row for row in csv.DictReader(file) if row["order_line_id"] in world.lines.values()]
    codes = {
        name: sorted((row["currency"], row["component"], row["variance_code"]) for row in found if row["order_line_id"] == world.lines[name])
        for name in ("line", "commission")
    }  # fmt: skip
    components = ("commission", "commission_vat", "sales", "sales_tax")
    of_line = {(currency, component, "FX") for currency in ("EUR", "GBP") for component in components}
    assert of_line <= set(codes["line"])
    assert {code for *_, code in codes["line"]} == {"FX"}
    assert [each for each in codes["commission"] if each[0] == "EUR"] == [
        ("EUR", "commission", "FX"),
        ("EUR", "commission_vat", "FX"),
    ]
    assert {each[1:] for each in codes["commission"] if each[0] == "GBP"} >= {("commission", "FX"), ("sales", "")}


@pytest.mark.proves("R17", "R22")
def test_it_is_on_the_list_of_the_next_month_until_it_is_booked_in_its_own_currency(world: World) -> None:
    """Taken back in the one currency and booked in the other, as a marketplace mends it; or read right, as we do."""
    world.close(NOVEMBER)
    named = _codes(world, NOVEMBER)
    named.pop("both")
    assert len(named) == len(_NAMES) - 1
    assert all(codes == [("EUR", "FX"), ("GBP", "FX")] for codes in named.values())
    aged = "SELECT age_days FROM lake.recon.aged_unmatched WHERE month = '{}' AND reference = 'refund:{}' ORDER BY ALL"
    then, now = (world.rows(aged.format(month, world.lines["refund"])) for month in (OCTOBER, NOVEMBER))
    assert [row["age_days"] + 30 for row in then] == [row["age_days"] for row in now]

    at = "TIMESTAMPTZ '2026-11-10 09:00:00+00' AS created_at, NULL AS billing_cycle_id"
    euro = f"""currency = 'EUR' AND created_at < TIMESTAMPTZ '2026-11-01'
        AND coalesce(refund_id, order_line_id) IN ({", ".join(f"'{subject}'" for subject in world.lines.values())})"""
    world.plant(
        f"""INSERT INTO {_T} SELECT * REPLACE ('G' || transaction_id AS transaction_id, 'GBP' AS currency, amount_minor // 2 AS amount_minor, {at})
        FROM {_T} WHERE {euro} AND coalesce(refund_id, '') <> '{world.lines["both"]}'""",
        f"INSERT INTO {_T} SELECT * REPLACE ('B' || transaction_id AS transaction_id, -amount_minor AS amount_minor, {at}) FROM {_T} WHERE {euro}",
        f"UPDATE {_R} SET currency = 'GBP' WHERE refund_id = '{world.lines['made']}'",
        f"UPDATE {_L} SET currency = 'GBP' WHERE order_line_id = '{world.lines['ordered']}'",
    )
    world.close(NOVEMBER)
    left = {code for codes in _codes(world, NOVEMBER).values() for _, code in codes}
    assert left == {"", "MATCHED", "MANUAL_PORTAL_REFUND"}
    assert world.rows("SELECT 1 FROM lake.recon.aged_unmatched WHERE month = '2026-11' AND kind = 'FX'") == []
    assert [plan for plan in variances.decide(world.con, world.shop, NOVEMBER).exceptions if plan.cause == "FX"] == []
    assert [plan for plan in variances.decide(world.con, world.shop, OCTOBER).exceptions if plan.cause == "FX"] == []
    assert (
        world.rows(
            "SELECT 1 FROM lake.recon.commission_variance WHERE month = '2026-11' AND variance_code <> 'ROUNDING'"
        )
        == []
    )
    assert check(world.con, world.shop, NOVEMBER, "I16").ok


@pytest.mark.proves("I6")
def test_what_the_marketplace_does_not_know_is_missing_whatever_its_currencies(world: World) -> None:
    refund, line = world.lines["both"], world.lines["line"]
    world.plant(
        f"DELETE FROM {_R} WHERE refund_id = '{refund}'",
        f"DELETE FROM gen_intents WHERE external_ref = '{refund}'",
        f"DELETE FROM {_L} WHERE order_line_id = '{line}'",
    )
    world.close()
    assert _codes(world)["both"] == [("EUR", "MISSING_EXTRACT"), ("GBP", "MISSING_EXTRACT")]
    assert _codes(world)["line"] == [("EUR", "MISSING_EXTRACT")]
