"""A tolerance names what differs by no more as rounding, for its check and currency alone: it moves no amount, and no identity has one."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from marketplace_returns.reconciliation.invariants import CheckResult, check_month
from marketplace_returns.settings import Tolerances
from marketplace_returns_tests.reconciliation.generate import SHOP
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_R, _T, _L = "lake.core.mirakl__refunds", "lake.core.mirakl__transactions", "lake.core.mirakl__order_lines"
_WITHIN = "BETWEEN TIMESTAMPTZ '2026-10-05 00:00:00+00' AND TIMESTAMPTZ '2026-10-25 00:00:00+00'"
_ALL = {"order_line": "0.02", "refund": "0.02", "commission": "0.02", "refund_tax": "0.02"}
_CODES = {"variance_code", "verdict"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An October in which each of ``world.lines`` is two minor units out."""

    def plant(world: World) -> None:
        whole = f"""SELECT r.refund_id AS id FROM {_R} AS r INNER JOIN {_L} AS l USING (order_line_id)
            WHERE l.quantity = 1 AND r.paid_at {_WITHIN} ORDER BY 1 LIMIT 3"""
        part = f"""SELECT r.refund_id AS id FROM {_R} AS r INNER JOIN {_L} AS l USING (order_line_id)
            WHERE r.created_at {_WITHIN} AND (SELECT sum(amount_minor) FROM {_R} WHERE order_line_id = l.order_line_id) < l.price_minor
            ORDER BY 1 LIMIT 1"""
        sold = f"""SELECT order_line_id AS id FROM {_L} WHERE debited_at {_WITHIN}
            AND order_line_id NOT IN (SELECT order_line_id FROM {_R}) ORDER BY 1 LIMIT 2"""
        found = [row["id"] for query in (whole, part, sold) for row in world.rows(query)]
        world.lines = at = dict(zip(("intended", "booked", "credit", "tax", "sales", "commission"), found, strict=True))
        world.plant(
            f"UPDATE gen_intents SET amount_minor = amount_minor + 2 WHERE external_ref = '{at['intended']}'",
            _book(at["booked"], "REFUND_ORDER_AMOUNT", -2),
            _book(at["credit"], "REFUND_COMMISSION_FEE", -2),
            f"""UPDATE lake.core.mirakl__refund_taxes SET amount_minor = amount_minor + 2
            WHERE refund_id = '{at["tax"]}' AND tax_kind = 'product'""",
            _book(at["sales"], "ORDER_AMOUNT", 2),
            _book(at["commission"], "COMMISSION_FEE", -2),
        )

    made = make_world(tmp_path_factory.mktemp("tolerances"), lines=300, tax_mode="TAX_EXCLUDED", plant=plant)
    yield made
    made.con.close()


def _book(subject: str, kind: str, minor: int) -> str:
    column = "refund_id" if kind.startswith("REFUND") else "order_line_id"
    return f"UPDATE {_T} SET amount_minor = amount_minor + {minor} WHERE {column} = '{subject}' AND transaction_type = '{kind}'"


def _closed(world: World, currency: str = "GBP", **tolerances: str) -> tuple[dict[str, str], dict[str, CheckResult]]:
    """Close with tolerances of a currency; return the codes of what was planted, and the proofs."""
    said = Tolerances.model_validate({check: {currency: amount} for check, amount in tolerances.items()})
    shop = world.shop.model_copy(update={"tolerances": said})
    closing = replace(world, settings=world.settings.model_copy(update={"shops": {SHOP: shop}}))
    closing.close()
    codes = {}
    for name, subject in world.lines.items():
        query = (
            f"SELECT verdict AS code FROM lake.recon.refund_three_way WHERE refund_id = '{subject}'"
            if name in {"intended", "booked", "credit", "tax"}
            else f"SELECT variance_code AS code FROM lake.recon.order_vs_ledger WHERE order_line_id = '{subject}'"
        )
        (row,) = world.rows(query)
        codes[name] = row["code"]
    return codes, {result.id: result for result in check_month(world.con, shop, OCTOBER)}


def _amounts(world: World) -> dict[str, list[dict[str, Any]]]:
    tables = ("order_vs_ledger", "refund_three_way", "commission_variance", "control_roll_forward", "journal_lines")
    return {
        table: [
            {name: value for name, value in row.items() if name not in _CODES}
            for row in world.rows(f"SELECT * FROM lake.recon.{table} ORDER BY ALL")
        ]
        for table in tables
    }


def _sorted(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(row) for row in rows)


_BY_DEFAULT = {
    "intended": "UNKNOWN",
    "booked": "UNKNOWN",
    "credit": "COMMISSION_CREDIT_MISSING",
    "tax": "MATCHED",
    "sales": "UNKNOWN",
    "commission": "COMMISSION_RATE",
}


@pytest.mark.proves("R108", "I6", "I11", "I12")
def test_what_is_within_the_tolerance_is_named_rounding_and_no_amount_moves(world: World) -> None:
    codes, proofs = _closed(world)
    assert codes == _BY_DEFAULT
    assert [name for name in ("I6", "I11", "I12") if proofs[name].ok] == []
    before = _amounts(world)

    codes, proofs = _closed(world, **_ALL)
    assert codes == {name: "MATCHED" if name == "tax" else "ROUNDING" for name in _BY_DEFAULT}
    assert [name for name in ("I6", "I11", "I12") if not proofs[name].ok] == []
    after = _amounts(world)
    assert {table: _sorted(rows) for table, rows in after.items()} == {
        table: _sorted(rows) for table, rows in before.items()
    }


@pytest.mark.proves("R108", "I1", "I2", "I5")
def test_no_identity_has_a_tolerance(world: World) -> None:
    _, before = _closed(world)
    _, proofs = _closed(world, **_ALL)
    coded = {"I6", "I11", "I12"}
    assert {name: result.ok for name, result in proofs.items() if name not in coded} == {
        name: result.ok for name, result in before.items() if name not in coded
    }
    assert (proofs["I5"].ok, proofs["I5"].difference_minor) == (False, {"GBP": 0})
    assert {row.subject: row.difference_minor for row in proofs["I5"].failing} == {
        world.lines["sales"]: 2,
        world.lines["commission"]: -2,
    }
    assert not proofs["I2"].ok


@pytest.mark.proves("R108")
@pytest.mark.parametrize("check", [*_ALL])
def test_a_tolerance_is_of_its_check(world: World, check: str) -> None:
    rounded = {
        "order_line": {"sales", "commission"},
        "refund": {"intended", "booked", "credit"},
        "commission": set(),
        "refund_tax": set(),
    }
    codes, proofs = _closed(world, **{check: "0.02"})
    assert {name for name, code in codes.items() if code == "ROUNDING"} == rounded[check]
    assert proofs["I12"].ok == (check == "commission")
    assert proofs["I11"].ok == (check == "refund_tax")


@pytest.mark.proves("R108")
def test_a_tolerance_is_of_its_currency(world: World) -> None:
    codes, _ = _closed(world, currency="EUR", **_ALL)
    assert codes == _BY_DEFAULT


@pytest.mark.proves("R108", "I11")
def test_without_a_tolerance_no_minor_unit_is_rounding(world: World) -> None:
    _, proofs = _closed(world, **dict.fromkeys(_ALL, "0.00"))
    named = (
        "SELECT 1 FROM lake.recon.order_vs_ledger WHERE variance_code = 'ROUNDING'",
        "SELECT 1 FROM lake.recon.refund_three_way WHERE verdict = 'ROUNDING'",
        "SELECT 1 FROM lake.recon.commission_variance WHERE variance_code = 'ROUNDING'",
    )
    assert [world.rows(query) for query in named] == [[], [], []]
    assert not proofs["I11"].ok
