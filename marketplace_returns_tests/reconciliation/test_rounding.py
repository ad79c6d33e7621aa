"""A minor unit is rounding only where all else is as it should be: it hides no other difference, and no proof passes for it."""

import pytest

from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.invariants import check_month
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_R, _T = "lake.core.mirakl__refunds", "lake.core.mirakl__transactions"
_WITHIN = "BETWEEN TIMESTAMPTZ '2026-10-05 00:00:00+00' AND TIMESTAMPTZ '2026-10-25 00:00:00+00'"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An October in which every refund and line of ``world.lines`` is one minor unit out, and something else besides."""

    def plant(world: World) -> None:
        refunds = world.rows(f"SELECT refund_id AS id FROM {_R} WHERE paid_at {_WITHIN} ORDER BY 1 LIMIT 6")
        sold = f"""SELECT order_line_id AS id FROM lake.core.mirakl__order_lines WHERE debited_at {_WITHIN}
            AND order_line_id NOT IN (SELECT order_line_id FROM {_R}) ORDER BY 1 LIMIT 1"""
        names = ("settled", "evidence", "unbooked", "credit", "tax", "only", "commission")
        world.lines.update(zip(names, (row["id"] for row in (*refunds, *world.rows(sold))), strict=True))
        at = world.lines
        world.plant(
            *(
                f"UPDATE gen_intents SET amount_minor = amount_minor + 1 WHERE external_ref = '{at[name]}'"
                for name in ("settled", "unbooked", "only")
            ),
            _book(at["settled"], "REFUND_ORDER_AMOUNT", -50_000),
            f"DELETE FROM {_T} WHERE refund_id = '{at['unbooked']}'",
            f"DELETE FROM lake.core.peoplevox__returns WHERE return_code = 'C{at['evidence'][1:]}'",
            _book(at["evidence"], "REFUND_COMMISSION_FEE", 1),
            _book(at["credit"], "REFUND_ORDER_AMOUNT", -1),
            f"DELETE FROM {_T} WHERE refund_id = '{at['credit']}' AND transaction_type LIKE 'REFUND_COMMISSION%'",
            _book(at["tax"], "REFUND_ORDER_AMOUNT", -90),
            _book(at["tax"], "REFUND_ORDER_AMOUNT_TAX", 90),
            _book(at["commission"], "ORDER_AMOUNT", 1),
            _book(at["commission"], "COMMISSION_FEE", -30_000),
        )

    made = make_world(tmp_path_factory.mktemp("rounding"), lines=120, tax_mode="TAX_EXCLUDED", plant=plant)
    made.close()
    return made


def _book(subject: str, kind: str, minor: int) -> str:
    column = "refund_id" if kind.startswith("REFUND") else "order_line_id"
    return f"UPDATE {_T} SET amount_minor = amount_minor + {minor} WHERE {column} = '{subject}' AND transaction_type = '{kind}'"


@pytest.mark.proves("R108", "I6", "I9")
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("settled", "UNKNOWN"),
        ("evidence", "REFUND_WITHOUT_RECEIPT"),
        ("unbooked", "MISSING_EXTRACT"),
        ("credit", "COMMISSION_CREDIT_MISSING"),
        ("tax", "TAX_CODE"),
        ("only", "ROUNDING"),
    ],
)
def test_a_refund_that_is_a_minor_unit_out_has_the_code_of_what_else_is_wrong(
    world: World, name: str, verdict: str
) -> None:
    found = world.rows(f"SELECT verdict FROM lake.recon.refund_three_way WHERE refund_id = '{world.lines[name]}'")
    assert found == [{"verdict": verdict}]


@pytest.mark.proves("R5", "I5")
def test_a_line_that_is_a_minor_unit_out_has_the_code_of_what_else_is_wrong(world: World) -> None:
    query = "SELECT variance_code AS code FROM lake.recon.order_vs_ledger WHERE order_line_id = '{}'"
    assert world.rows(query.format(world.lines["commission"])) == [{"code": "COMMISSION_RATE"}]


@pytest.mark.proves("I6", "I9")
def test_its_proof_fails_and_its_whole_amount_is_asked_about(world: World) -> None:
    results = {result.id: result for result in check_month(world.con, world.shop, OCTOBER)}
    assert [row.subject for row in results["I6"].failing] == [f"refund:{world.lines['settled']}"]
    assert [row.subject for row in results["I9"].failing] == [f"refund:{world.lines['evidence']}"]

    (intended,) = world.con.execute(
        "SELECT amount_minor FROM gen_intents WHERE external_ref = ?", [world.lines["evidence"]]
    ).fetchone() or (0,)
    asked = variances.decide(world.con, world.shop, OCTOBER).exceptions
    assert [plan.amount_minor for plan in asked if plan.cause == "REFUND_WITHOUT_RECEIPT"] == [intended]
    aged = world.rows("SELECT amount_minor FROM lake.recon.aged_unmatched WHERE kind = 'REFUND_WITHOUT_RECEIPT'")
    assert aged == [{"amount_minor": intended}]


@pytest.mark.proves("R22", "R108")
def test_the_next_month_looks_at_it_again(world: World) -> None:
    world.close(OCTOBER.next())
    again = {
        row["reference"]
        for row in world.rows("SELECT reference FROM lake.recon.aged_unmatched WHERE month = '2026-11'")
    }
    at = world.lines
    assert {f"refund:{at[name]}" for name in ("settled", "evidence", "unbooked", "credit", "tax")} <= again
    assert at["commission"] in again
    assert f"refund:{at['only']}" not in again
