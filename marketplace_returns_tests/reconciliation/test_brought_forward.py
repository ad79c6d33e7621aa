"""What a month leaves unmatched is looked at again in the next, until it is matched or explained; what only the log names is seen."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.invariants import CheckResult, check, check_month
from marketplace_returns_tests.reconciliation.generate import SHOP
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_T, _R, _L = "lake.core.mirakl__transactions", "lake.core.mirakl__refunds", "lake.core.mirakl__order_lines"
_CYCLES = "lake.core.mirakl__billing_cycles"
NOVEMBER = OCTOBER.next()
DECEMBER = NOVEMBER.next()
_OF_OCTOBER: dict[str, CheckResult] = {}
"""October's proofs as it was closed."""


def _choose(world: World) -> None:
    span = "BETWEEN TIMESTAMPTZ '2026-10-08 00:00:00+00' AND TIMESTAMPTZ '2026-10-17 00:00:00+00'"
    refunds = world.rows(
        f"SELECT refund_id AS id FROM {_R} WHERE created_at {span} AND paid_at < TIMESTAMPTZ '2026-10-20 00:00:00+00' "
        "AND commission_minor > 200 ORDER BY 1 LIMIT 9"
    )
    lines = world.rows(
        f"SELECT order_line_id AS id FROM {_L} WHERE debited_at {span} AND order_line_id NOT IN "
        "(SELECT order_line_id FROM lake.core.return_unit_assignments) ORDER BY 1 LIMIT 3"
    )
    names = (
        "partial",
        "unnamed",
        "midnight",
        "behind",
        "shown_late",
        "never_shown",
        "only_booked",
        "late",
        "explained",
    )
    world.lines |= dict(zip(names, (row["id"] for row in refunds), strict=True))
    world.lines |= dict(zip(("missing", "sale", "late_line"), (row["id"] for row in lines), strict=True))


def _at(text: str) -> str:
    return f"TIMESTAMPTZ '2026-{text}+00'"


def _plant(world: World) -> None:
    _choose(world)
    at = world.lines
    moved = f"SET created_at = {_at('10-31 23:40:00')}, paid_at = {_at('10-31 23:50:00')}"
    world.plant(
        # Half of the commission is given back, of what OR11 states.
        f"UPDATE {_T} SET amount_minor = amount_minor - 100 WHERE refund_id = '{at['partial']}' AND transaction_type = 'REFUND_COMMISSION_FEE'",
        # Log lines that name no refund, and no order line.
        f"UPDATE {_T} SET refund_id = NULL WHERE refund_id = '{at['unnamed']}'",
        f"UPDATE {_T} SET order_line_id = NULL WHERE order_line_id = '{at['sale']}'",
        # Made and paid on the last evening; one answer came after midnight, and one clock of ours was ahead.
        *(f"UPDATE {_R} {moved} WHERE refund_id = '{at[name]}'" for name in ("midnight", "behind")),
        *(
            f"UPDATE {_T} SET created_at = {_at('10-31 23:50:00')} WHERE refund_id = '{at[name]}'"
            for name in ("midnight", "behind")
        ),
        f"UPDATE gen_intents SET sent_at = {_at('10-31 23:40:00')}, confirmed_at = {_at('11-01 00:05:00')} WHERE external_ref = '{at['midnight']}'",
        f"UPDATE gen_intents SET sent_at = {_at('11-01 00:00:01')}, confirmed_at = {_at('11-01 00:00:02')} WHERE external_ref = '{at['behind']}'",
        # Confirmed to us and not shown by OR11, booked without being shown, and never booked.
        f"CREATE TEMP TABLE shown_late AS SELECT * FROM {_R} WHERE refund_id IN ('{at['shown_late']}', '{at['never_shown']}', '{at['only_booked']}')",
        f"CREATE TEMP TABLE booked_late AS SELECT * FROM {_T} WHERE refund_id IN ('{at['shown_late']}', '{at['never_shown']}')",
        f"DELETE FROM {_R} WHERE refund_id IN (SELECT refund_id FROM shown_late)",
        f"DELETE FROM {_T} WHERE refund_id IN (SELECT refund_id FROM booked_late)",
        f"DELETE FROM gen_intents WHERE external_ref = '{at['only_booked']}'",
        f"DELETE FROM {_T} WHERE refund_id = '{at['explained']}'",
        f"CREATE TEMP TABLE line_late AS SELECT * FROM {_T} WHERE order_line_id = '{at['missing']}'",
        f"DELETE FROM {_T} WHERE order_line_id = '{at['missing']}'",
        # Only the marketplace's documents come late, once October is signed.
        f"CREATE TEMP TABLE late_refund AS SELECT * FROM {_R} WHERE refund_id = '{at['late']}'",
        f"CREATE TEMP TABLE late_line AS SELECT * FROM {_L} WHERE order_line_id = '{at['late_line']}'",
        f"DELETE FROM {_R} WHERE refund_id = '{at['late']}'",
        f"DELETE FROM {_T} WHERE refund_id = '{at['late']}' OR order_line_id = '{at['late_line']}'",
        f"DELETE FROM gen_intents WHERE external_ref = '{at['late']}'",
        f"DELETE FROM {_L} WHERE order_line_id = '{at['late_line']}'",
        # A payout that failed, and the statement of another one that is not there.
        f"DELETE FROM {_T} WHERE transaction_type = 'PAYMENT' AND billing_cycle_id = 'cycle-2026-10-21'",
        f"UPDATE {_CYCLES} SET pay_out_state = 'FAILED' WHERE billing_cycle_id = 'cycle-2026-10-21'",
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """October closed, and signed but for what came later; November closed after it."""
    made = make_world(tmp_path_factory.mktemp("forward"), lines=300, tax_mode="TAX_EXCLUDED", plant=_plant)
    closed = made.close()
    _OF_OCTOBER.update({result.id: result for result in check_month(made.con, made.shop, OCTOBER)})
    landed = _at("11-10 00:00:00")
    made.plant(
        *(
            f"INSERT INTO {core} SELECT * REPLACE ({landed} AS fetched_at) FROM {kept}"
            for core, kept in ((_R, "late_refund"), (_L, "late_line"))
        ),
        f"""INSERT INTO {_CYCLES} SELECT * REPLACE ('cycle-late' AS billing_cycle_id, {landed} AS fetched_at)
        FROM {_CYCLES} WHERE billing_cycle_id = 'cycle-2026-10-11'""",
    )
    made.close(
        NOVEMBER,
        before=SignedMonth(closed.lake_version, datetime(2026, 11, 5, tzinfo=UTC)),
        explained=[f"refund:{made.lines['explained']}"],
    )
    yield made
    made.con.close()


_PAID = "cycle-2026-10-21"


@pytest.mark.proves("I1", "I4")
@pytest.mark.parametrize(
    ("came", "by"),
    [
        (f"INSERT INTO {_T} SELECT * REPLACE ('TLATE' AS transaction_id, {_at('10-12 00:00:00')} AS created_at, 1234 AS amount_minor, {_at('11-10 00:00:00')} AS fetched_at) FROM {_T} WHERE billing_cycle_id = '{_PAID}' AND transaction_type = 'MANUAL_CREDIT'", 1234),
        (f"INSERT INTO {_T} SELECT * REPLACE ('PTWICE' AS transaction_id, {_at('11-12 00:00:00')} AS created_at) FROM {_T} WHERE billing_cycle_id = '{_PAID}' AND transaction_type = 'PAYMENT'", None),
        (f"UPDATE lake.core.mirakl__invoices SET amount_transferred_minor = amount_transferred_minor + 5 WHERE billing_cycle_id = '{_PAID}'", 5),
    ],
    ids=["a late line", "a second payment", "another invoice"],
)  # fmt: skip
def test_a_cycle_that_was_proven_and_differs_since_is_named_until_it_is_mended(
    tmp_path: Path, came: str, by: int | None
) -> None:
    made = make_world(tmp_path, lines=120)
    closed = made.close()
    (proven,) = made.rows(f"SELECT * FROM lake.recon.payout_proof WHERE billing_cycle_id = '{_PAID}'")
    assert proven["status"] == "PROVEN"
    made.plant(came)
    signed = SignedMonth(closed.lake_version, datetime(2026, 11, 5, tzinfo=UTC))
    for month in (NOVEMBER, DECEMBER):
        signed = SignedMonth(made.close(month, before=signed).lake_version, datetime(2026, 12, 5, tzinfo=UTC))
        (row,) = made.rows(
            f"SELECT * FROM lake.recon.payout_proof WHERE month = '{month}' AND billing_cycle_id = '{_PAID}'"
        )
        assert (row["status"], row["difference_minor"]) == (
            "VARIANCE",
            proven["ledger_amount_minor"] if by is None else by,
        )
        results = check_month(made.con, made.shop, month)
        assert [each.subject for result in results if result.id == "I1" for each in result.failing] == [_PAID]
        assert [
            each.entity
            for each in variances.decide(made.con, made.shop, month, results).exceptions
            if each.cause == "PAYOUT"
        ] == [{"billing_cycle_id": _PAID}]
    told = made.rows(
        "SELECT 1 FROM lake.recon.payout_proof WHERE month = '2026-11' AND billing_cycle_id = 'cycle-2026-10-11'"
    )
    assert told == [], "what is proven still is told once"
    made.con.close()


def _verdicts(world: World, month: object, name: str) -> list[str]:
    refund = world.lines[name]
    return [
        row["verdict"]
        for row in world.rows(
            f"SELECT verdict FROM lake.recon.refund_three_way WHERE month = '{month}' AND refund_id = '{refund}' ORDER BY match_key"
        )
    ]


def _aged(world: World, month: object, reference: str) -> list[dict[str, object]]:
    return world.rows(
        f"SELECT kind, bucket, amount_minor FROM lake.recon.aged_unmatched WHERE month = '{month}' AND reference = '{reference}'"
    )


@pytest.mark.proves("I6", "I12")
def test_part_of_a_commission_credit_is_missing(world: World) -> None:
    assert _verdicts(world, OCTOBER, "partial") == ["COMMISSION_CREDIT_MISSING"]
    (aged,) = _aged(world, OCTOBER, f"refund:{world.lines['partial']}")
    assert aged["amount_minor"] == 100
    (line,) = world.rows(f"SELECT order_line_id FROM {_R} WHERE refund_id = '{world.lines['partial']}'")
    (kept,) = world.rows(
        f"SELECT * FROM lake.recon.commission_variance WHERE month = '{OCTOBER}' AND order_line_id = '{line['order_line_id']}'"
    )
    assert (kept["variance_code"], kept["difference_minor"]) == ("COMMISSION_CREDIT_MISSING", 100)


@pytest.mark.proves("I5", "I6", "I16")
def test_log_lines_that_name_nothing_are_rows_of_their_own(world: World) -> None:
    unnamed = world.rows(
        f"SELECT match_key, verdict, settled_amount_minor FROM lake.recon.refund_three_way WHERE month = '{OCTOBER}' AND match_key LIKE 'log:%'"
    )
    (stated,) = world.rows(
        f"SELECT amount_minor + shipping_amount_minor + tax_minor + shipping_tax_minor AS minor FROM {_R} WHERE refund_id = '{world.lines['unnamed']}'"
    )
    assert {row["verdict"] for row in unnamed} == {"MISSING_EXTRACT"}
    assert sum(row["settled_amount_minor"] or 0 for row in unnamed) == stated["minor"]

    sales = world.rows(
        f"SELECT order_line_id, variance_code FROM lake.recon.order_vs_ledger WHERE month = '{OCTOBER}' AND order_line_id LIKE 'log:%'"
    )
    assert len(sales) > 1
    assert "MISSING_EXTRACT" in {row["variance_code"] for row in sales}
    proofs = _OF_OCTOBER
    named = {row["match_key"] for row in unnamed if row["settled_amount_minor"]}
    assert named <= {row.subject for row in proofs["I16"].failing}
    assert proofs["I13"].ok, proofs["I13"].message
    assert proofs["I17"].ok, proofs["I17"].message
    raised = variances.decide(world.con, world.shop, OCTOBER).exceptions
    ids = {row["match_key"].removeprefix("log:") for row in unnamed}
    assert ids <= {plan.entity.get("transaction_id") for plan in raised}


@pytest.mark.proves("I6")
@pytest.mark.parametrize("name", ["midnight", "behind"])
def test_a_refund_of_the_last_evening_is_of_its_month(world: World, name: str) -> None:
    """Whatever the hour of the answer that confirmed it, and whoever's clock is behind."""
    assert _verdicts(world, OCTOBER, name) == ["MATCHED"]
    assert set(_verdicts(world, NOVEMBER, name)) <= {"MATCHED"}
    by_hand = world.rows(
        f"SELECT refund_id FROM lake.recon.manual_portal_actions WHERE refund_id = '{world.lines[name]}'"
    )
    assert by_hand == []


@pytest.mark.proves("I1")
def test_a_payout_that_failed_stays_until_it_is_paid(world: World) -> None:
    for month in (OCTOBER, NOVEMBER):
        (row,) = world.rows(
            f"SELECT status FROM lake.recon.payout_proof WHERE month = '{month}' AND billing_cycle_id = 'cycle-2026-10-21'"
        )
        assert row["status"] != "PROVEN"
    assert [row["bucket"] for row in _aged(world, NOVEMBER, "cycle-2026-10-21")] == ["31-60"]
    proven = world.rows(
        f"SELECT 1 FROM lake.recon.payout_proof WHERE month = '{NOVEMBER}' AND billing_cycle_id = 'cycle-2026-10-01'"
    )
    assert proven == [], "what is proven is told once"


@pytest.mark.proves("R108", "I5", "I6")
def test_what_is_missing_stays_on_the_list_with_its_age(world: World) -> None:
    line = world.lines["missing"]
    for month, bucket in ((OCTOBER, "15-30"), (NOVEMBER, "31-60")):
        assert [(row["kind"], row["bucket"]) for row in _aged(world, month, line)] == [("MISSING_EXTRACT", bucket)]
        for name in ("never_shown", "only_booked"):
            assert _verdicts(world, month, name) == ["MISSING_EXTRACT"], (month, name)
    proofs = {result.id: result for result in check_month(world.con, world.shop, NOVEMBER)}
    assert line in {row.subject for row in proofs["I5"].failing}
    for proof in ("I13", "I15", "I17"):
        assert proofs[proof].ok, proofs[proof].message


def test_what_a_person_explained_stays_with_its_month(world: World) -> None:
    assert _verdicts(world, OCTOBER, "explained") == ["MISSING_EXTRACT"]
    assert _verdicts(world, NOVEMBER, "explained") == []


@pytest.mark.proves("R111")
def test_documents_that_come_for_a_signed_month_are_looked_at_in_the_next(world: World) -> None:
    refund, line = world.lines["late"], world.lines["late_line"]
    # It was made by hand, paid, and never booked.
    assert _verdicts(world, NOVEMBER, "late") == ["MISSING_EXTRACT"]
    by_hand = world.rows(
        f"SELECT refund_id FROM lake.recon.manual_portal_actions WHERE month = '{NOVEMBER}' AND kind = 'refund'"
    )
    assert {"refund_id": refund} in by_hand
    assert [row["kind"] for row in _aged(world, NOVEMBER, line)] == ["MISSING_EXTRACT"]
    late = world.rows(
        f"SELECT status FROM lake.recon.payout_proof WHERE month = '{NOVEMBER}' AND billing_cycle_id = 'cycle-late'"
    )
    assert late == [{"status": "VARIANCE"}]


def test_what_is_matched_later_leaves_the_list(world: World) -> None:
    """What was missing comes in December: shown as matched there, and nobody is asked for it any more, in no month."""
    at = world.lines
    came = _at("12-03 09:00:00")
    world.plant(
        f"INSERT INTO {_R} SELECT * FROM shown_late WHERE refund_id = '{at['shown_late']}'",
        f"INSERT INTO {_T} SELECT * REPLACE ({came} AS created_at) FROM booked_late WHERE refund_id = '{at['shown_late']}'",
        f"INSERT INTO {_T} SELECT * REPLACE ({came} AS created_at) FROM line_late",
        f"""INSERT INTO {_T} SELECT * REPLACE ('PLATE' AS transaction_id, 'cycle-2026-10-21' AS billing_cycle_id, {came} AS created_at,
        -(SELECT amount_to_seller_minor FROM {_CYCLES} WHERE billing_cycle_id = 'cycle-2026-10-21') AS amount_minor)
        FROM {_T} WHERE transaction_type = 'PAYMENT' LIMIT 1""",
    )
    world.close(DECEMBER)

    assert _verdicts(world, DECEMBER, "shown_late") == ["MATCHED"]
    assert _verdicts(world, DECEMBER, "never_shown") == ["MISSING_EXTRACT"]
    assert _verdicts(world, DECEMBER, "only_booked") == ["MISSING_EXTRACT"]
    (line,) = world.rows(
        f"SELECT variance_code FROM lake.recon.order_vs_ledger WHERE month = '{DECEMBER}' AND order_line_id = '{at['missing']}'"
    )
    assert line["variance_code"] == ""
    (payout,) = world.rows(
        f"SELECT status FROM lake.recon.payout_proof WHERE month = '{DECEMBER}' AND billing_cycle_id = 'cycle-2026-10-21'"
    )
    assert payout["status"] in {"PROVEN", "VARIANCE"}
    for month in (OCTOBER, NOVEMBER, DECEMBER):
        raised = {
            plan.entity.get("order_line_id") for plan in variances.decide(world.con, world.shop, month).exceptions
        }
        assert at["missing"] not in raised, month
    assert world.shop.name == SHOP


@pytest.mark.proves("I7", "I11", "R111")
def test_a_refund_that_changes_after_its_month_was_signed_is_held_against_its_line_again(tmp_path: Path) -> None:
    """It is late, it gives back more than was paid, and its tax is no longer the share of its line's: the month that posts it says so."""
    world = make_world(tmp_path, lines=120)
    signed = SignedMonth(world.close().lake_version, datetime(2026, 11, 5, tzinfo=UTC))
    (refund,) = world.rows(
        f"""SELECT min(refund_id) AS id, min_by(order_line_id, refund_id) AS line FROM {_R}
        WHERE created_at > {_at("10-08 00:00:00")} AND paid_at < {_at("10-20 00:00:00")}"""
    )
    of_refund, since = f"WHERE refund_id = '{refund['id']}'", f"fetched_at = {_at('11-20 00:00:00')}"
    world.plant(
        f"UPDATE {_R} SET amount_minor = amount_minor + 50000, {since} {of_refund}",
        f"UPDATE {_T} SET amount_minor = amount_minor - 50000, {since} {of_refund} AND transaction_type = 'REFUND_ORDER_AMOUNT'",
    )
    world.close(NOVEMBER, before=signed)
    over = check(world.con, world.shop, NOVEMBER, "I7")
    assert [(row.subject, row.detail) for row in over.failing] == [(refund["line"], "refunded beyond the line")]
    world.plant(
        f"UPDATE {_R} SET amount_minor = amount_minor - 50000, {since} {of_refund}",
        f"UPDATE lake.core.mirakl__refund_taxes SET amount_minor = amount_minor - 9, {since} {of_refund}",
    )
    assert check(world.con, world.shop, NOVEMBER, "I7").ok
    assert [(row.subject, row.difference_minor) for row in check(world.con, world.shop, NOVEMBER, "I11").failing] == [
        (refund["line"], -9)
    ]
    world.con.close()


@pytest.mark.proves("I6")
def test_a_refund_whose_amount_is_booked_without_its_name_is_missing_though_its_tax_is_there(tmp_path: Path) -> None:
    world = make_world(tmp_path, lines=120, tax_mode="TAX_EXCLUDED")
    (refund,) = world.rows(
        f"""SELECT min(refund_id) AS id FROM {_R} WHERE created_at > {_at("10-08 00:00:00")} AND paid_at < {_at("10-20 00:00:00")}"""
    )
    world.plant(
        f"UPDATE {_T} SET refund_id = NULL WHERE refund_id = '{refund['id']}' AND transaction_type = 'REFUND_ORDER_AMOUNT'"
    )
    world.close()
    world.lines["refund"] = refund["id"]
    assert _verdicts(world, OCTOBER, "refund") == ["MISSING_EXTRACT"]
    world.con.close()
