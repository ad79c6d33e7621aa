"""Each planted anomaly is found, with its code, its row and an exception with an owner."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from marketplace_returns.errors import ContractBroken
from marketplace_returns.lake.maintenance import maintain
from marketplace_returns.lanes.plan import LaneDecision
from marketplace_returns.model import statement
from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.close import PACKAGE, month_parameters, run_query
from marketplace_returns.reconciliation.invariants import CheckResult, FailingRow, check, check_month
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_T = "lake.core.mirakl__transactions"
_R = "lake.core.mirakl__refunds"
_ANOMALIES = (
    "manual",
    "duplicate",
    "evidence",
    "credit",
    "extract",
    "settled",
    "tax",
    "shipping",
    "unit",
    "recent",
    "commission",
    "claimed",
    "amount",
)


def _plant(world: World) -> None:
    """Plant one anomaly each on refunds settled in the middle of the month, all on lines of their own."""
    found = [
        row["order_line_id"]
        for row in world.rows(
            """SELECT r.order_line_id FROM lake.core.mirakl__refunds AS r
            INNER JOIN lake.core.mirakl__order_lines AS l ON l.order_line_id = r.order_line_id AND l.quantity = 1
            WHERE r.created_at BETWEEN TIMESTAMPTZ '2026-10-12 00:00:00+00' AND TIMESTAMPTZ '2026-10-17 00:00:00+00'
            ORDER BY r.order_line_id LIMIT 13"""
        )
    ]
    world.lines = at = dict(zip(_ANOMALIES, found, strict=True))
    columns = "shop, transaction_id, transaction_type, payment_state, currency, amount_minor, created_at, updated_at, payload_hash, fetched_at, run_id"
    world.plant(
        # A refund by hand: the marketplace and the log have it, we intended none.
        f"DELETE FROM gen_intents WHERE order_line_id = '{at['manual']}'",
        # The same line refunded once more, without a second unit.
        f"""INSERT INTO {_R} SELECT * REPLACE ('RDUP' AS refund_id, created_at + INTERVAL 1 HOUR AS created_at)
        FROM {_R} WHERE order_line_id = '{at["duplicate"]}'""",
        # Refunded before the goods came.
        f"UPDATE gen_intents SET sent_at = sent_at - INTERVAL 5 DAY WHERE order_line_id = '{at['evidence']}'",
        # The commission was not given back.
        f"DELETE FROM {_T} WHERE order_line_id = '{at['credit']}' AND transaction_type LIKE 'REFUND_COMMISSION%'",
        # We say confirmed, the marketplace shows no refund at all.
        f"DELETE FROM {_R} WHERE order_line_id = '{at['extract']}'",
        f"DELETE FROM {_T} WHERE order_line_id = '{at['extract']}' AND refund_id IS NOT NULL",
        # Paid, but the log never shows it.
        f"DELETE FROM {_T} WHERE order_line_id = '{at['settled']}' AND refund_id IS NOT NULL",
        # The log's tax is another one.
        f"UPDATE {_T} SET amount_minor = amount_minor - 7 WHERE order_line_id = '{at['tax']}' AND transaction_type = 'REFUND_ORDER_AMOUNT_TAX'",
        # Shipping was to be refunded and was not.
        f"""UPDATE gen_intents SET amount_minor = amount_minor + 350, body = '{{"refunds":[{{"shipping_amount":"3.50"}}]}}'
        WHERE order_line_id = '{at["shipping"]}'""",
        # Received and inspected, never refunded; one beyond the deadline, one not.
        *(
            statement
            for line in (at["unit"], at["recent"])
            for statement in (
                f"DELETE FROM gen_intents WHERE order_line_id = '{line}'",
                f"DELETE FROM {_R} WHERE order_line_id = '{line}'",
                f"DELETE FROM {_T} WHERE order_line_id = '{line}' AND refund_id IS NOT NULL",
            )
        ),
        f"UPDATE lake.core.peoplevox__returns SET returned_at = TIMESTAMPTZ '2026-10-30 09:00:00+00' WHERE return_code = 'C{at['recent']}'",
        # The commission of the sale differs, in a line of the same cycle, so that the cycle differs too.
        f"UPDATE {_T} SET amount_minor = amount_minor - 40 WHERE order_line_id = '{at['commission']}' AND transaction_type = 'COMMISSION_FEE'",
        # Two intents claim one refund.
        f"""INSERT INTO gen_intents SELECT * REPLACE ('ITWICE' AS intent_id, 'X#1' AS return_unit_id, 'X#1' AS natural_key,
        confirmed_at + INTERVAL 1 MINUTE AS confirmed_at) FROM gen_intents WHERE order_line_id = '{at["claimed"]}'""",
        # A penny of rounding between our intent and the marketplace.
        f"UPDATE gen_intents SET amount_minor = amount_minor + 1 WHERE order_line_id = '{at['amount']}'",
        # A type nobody mapped, not in a cycle.
        f"""INSERT INTO {_T} ({columns}) VALUES ('asos_uk', 'TNEW', 'BRAND_NEW_FEE', 'PENDING', 'GBP', -123,
        TIMESTAMPTZ '2026-10-20 00:00:00+00', TIMESTAMPTZ '2026-10-20 00:00:00+00', 'h', TIMESTAMPTZ '2026-10-20 00:00:00+00', 'r')""",
        # A payout that is 5.00 short.
        f"UPDATE {_T} SET amount_minor = amount_minor + 500 WHERE transaction_type = 'PAYMENT' AND billing_cycle_id = 'cycle-2026-10-01'",
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("anomalies"), lines=500, tax_mode="TAX_EXCLUDED", plant=_plant)
    made.close()
    yield made
    made.con.close()


@pytest.fixture(scope="module")
def proofs(world: World) -> dict[str, CheckResult]:
    return {result.id: result for result in check_month(world.con, world.shop, OCTOBER)}


@pytest.fixture(scope="module")
def decision(world: World, proofs: dict[str, CheckResult]) -> LaneDecision:
    return variances.decide(world.con, world.shop, OCTOBER, tuple(proofs.values()))


@pytest.mark.proves("R5", "R6", "R17", "R58", "R108", "R109", "I6", "I12")
@pytest.mark.parametrize(
    ("anomaly", "verdict", "exception"),
    [
        ("manual", "MANUAL_PORTAL_REFUND", "REFUND_MANUAL_ADOPTED"),
        ("duplicate", "DUPLICATE_REFUND", "REFUND_CONFLICT"),
        ("evidence", "REFUND_WITHOUT_RECEIPT", "REFUND_CONFLICT"),
        ("credit", "COMMISSION_CREDIT_MISSING", "PAYOUT_VARIANCE"),
        ("extract", "MISSING_EXTRACT", "PAYOUT_VARIANCE"),
        ("settled", "MISSING_EXTRACT", "PAYOUT_VARIANCE"),
        ("tax", "TAX_CODE", "PAYOUT_VARIANCE"),
        ("shipping", "SHIPPING_NOT_REFUNDED", "PAYOUT_VARIANCE"),
        ("unit", "RECEIPT_WITHOUT_REFUND", "REFUND_OVERDUE"),
        ("recent", "TIMING_REFUND_PENDING", None),
        ("claimed", "UNKNOWN", "REFUND_CONFLICT"),
        ("amount", "ROUNDING", "PAYOUT_VARIANCE"),
    ],
)
def test_refund_anomaly_has_its_verdict_and_owner(
    world: World, decision: LaneDecision, anomaly: str, verdict: str, exception: str | None
) -> None:
    line = world.lines[anomaly]
    found = world.rows(
        f"SELECT verdict FROM lake.recon.refund_three_way WHERE order_line_id = '{line}' AND verdict <> 'MATCHED'"
    )

    assert found == [{"verdict": verdict}]
    raised = [plan.type for plan in decision.exceptions if plan.entity.get("order_line_id") == line]
    assert raised == ([exception] if exception else [])


@pytest.mark.proves("I6")
def test_a_refund_that_fits_nothing_breaks_the_three_way_match(world: World, proofs: dict[str, CheckResult]) -> None:
    assert not proofs["I6"].ok
    assert {(row.subject, row.detail) for row in proofs["I6"].failing} == {("intent:ITWICE", "UNKNOWN")}


def test_nothing_else_is_accused(world: World) -> None:
    lines = {*world.lines.values()} - {world.lines["commission"]}
    accused = world.rows(
        "SELECT order_line_id FROM lake.recon.refund_three_way WHERE verdict <> 'MATCHED' AND verdict NOT LIKE 'TIMING%'"
    )

    assert {row["order_line_id"] for row in accused} == lines - {world.lines["recent"]}


def test_matched_rows_differ_by_nothing(world: World) -> None:
    assert (
        world.rows("SELECT 1 FROM lake.recon.refund_three_way WHERE verdict = 'MATCHED' AND difference_minor <> 0")
        == []
    )


@pytest.mark.proves("R5", "I5")
def test_wrong_commission_is_found_on_its_line(world: World, proofs: dict[str, CheckResult]) -> None:
    line = world.lines["commission"]

    assert not proofs["I5"].ok
    assert [(row.subject, row.detail, row.difference_minor) for row in proofs["I5"].failing] == [
        (line, "COMMISSION_RATE", -40)
    ]
    assert proofs["I5"].difference_minor == {"GBP": -40}


@pytest.mark.proves("I1")
def test_short_payout_is_a_variance_of_its_amount(world: World, proofs: dict[str, CheckResult]) -> None:
    (row,) = world.rows("SELECT * FROM lake.recon.payout_proof WHERE billing_cycle_id = 'cycle-2026-10-01'")

    assert (row["status"], row["difference_minor"]) == ("VARIANCE", -500)
    assert not proofs["I1"].ok


@pytest.mark.proves("I2")
def test_changed_log_breaks_its_statement_total(proofs: dict[str, CheckResult]) -> None:
    assert not proofs["I2"].ok
    assert "total_commissions_excl_tax" in {row.detail for row in proofs["I2"].failing}


def test_unmapped_type_is_its_own_component_and_exception(world: World, decision: LaneDecision) -> None:
    assert world.rows("SELECT amount_minor FROM lake.recon.control_roll_forward WHERE component = 'UNMAPPED'") == [
        {"amount_minor": -123}
    ]
    (plan,) = (plan for plan in decision.exceptions if plan.type == "TL_UNMAPPED_TYPE")
    assert plan.entity == {"transaction_type": "BRAND_NEW_FEE"}
    assert world.rows("SELECT debit_minor FROM lake.recon.journal_lines WHERE account = 'suspense'") == [
        {"debit_minor": 123}
    ]


@pytest.mark.proves("I7")
def test_duplicate_beyond_the_line_breaks_the_cap(world: World, proofs: dict[str, CheckResult]) -> None:
    # Two intents that claim one refund name two units of a line that has one.
    assert {(row.subject, row.detail) for row in proofs["I7"].failing} == {
        (world.lines["duplicate"], "refunded beyond the line"),
        (world.lines["claimed"], "units refunded: 2 of 1 shipped"),
    }


@pytest.mark.proves("I9")
def test_refund_before_the_goods_breaks_the_evidence_rule(world: World, proofs: dict[str, CheckResult]) -> None:
    assert [row.subject for row in proofs["I9"].failing] == [f"refund:R{world.lines['evidence']}"]


@pytest.mark.proves("I15")
def test_journals_balance_whatever_happens(world: World, proofs: dict[str, CheckResult]) -> None:
    assert (
        world.rows(
            "SELECT journal_id FROM lake.recon.journal_lines GROUP BY 1 HAVING sum(debit_minor) <> sum(credit_minor)"
        )
        == []
    )
    assert proofs["I15"].ok


def test_every_exception_names_a_known_owner(decision: LaneDecision, world: World) -> None:
    plans = {(plan.type, tuple(sorted(plan.entity.items())), plan.cause) for plan in decision.exceptions}

    assert len(plans) == len(decision.exceptions), "one exception per fingerprint"
    assert all(plan.message.endswith(".") for plan in decision.exceptions)


def test_many_variances_of_a_code_share_an_exception(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variances, "NAMED_MAX", 1)

    decision = variances.decide(world.con, world.shop, OCTOBER)

    shared = [plan for plan in decision.exceptions if plan.entity.get("code") == "MISSING_EXTRACT"]
    assert [plan.evidence["rows"] for plan in shared] == [2]


@pytest.mark.proves("R18")
def test_units_of_a_close_are_those_of_the_model(world: World) -> None:
    """The close reads units from the core tables; the view says what a unit is."""
    parameters = month_parameters(world.shop, OCTOBER)
    for name in ("order_modes", "lines", "platform_returns", "receipts", "units"):
        run_query(world.con, statement(name, PACKAGE), parameters)
    columns = "return_unit_id, return_id, order_id, order_line_id, ordinal, disposition, inspected_at"
    of_close = f"SELECT {columns}, is_received FROM memory.main.units"
    of_model = f"SELECT {columns}, receipt_event_id IS NOT NULL FROM model.return_units WHERE shop = 'asos_uk'"
    assert world.rows("SELECT count(*) AS units FROM memory.main.units")[0]["units"] > 0
    assert world.rows(f"(({of_close}) EXCEPT ALL ({of_model})) UNION ALL (({of_model}) EXCEPT ALL ({of_close}))") == []


@pytest.mark.proves("R107")
def test_doubled_key_stops_the_close_before_anything_is_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = make_world(tmp_path_factory.mktemp("doubled"), lines=20)
    world.plant(f"INSERT INTO {_R} SELECT * FROM {_R} ORDER BY refund_id LIMIT 1")

    with pytest.raises(ContractBroken, match="not unique by refund_id"):
        world.close()

    assert world.rows("SELECT count(*) AS n FROM lake.recon.payout_proof") == [{"n": 0}]


def _a_refund(world: World) -> dict[str, str]:
    (found,) = world.rows(f"""SELECT order_id, order_line_id, refund_id FROM {_R}
        WHERE created_at BETWEEN TIMESTAMPTZ '2026-10-12 00:00:00+00' AND TIMESTAMPTZ '2026-10-17 00:00:00+00'
        ORDER BY refund_id LIMIT 1""")
    return found


@pytest.mark.proves("R107")
@pytest.mark.played
def test_row_without_a_required_figure_stops_the_close(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An inspected unit that nobody refunded, of a line that is gone, has no currency."""
    world = make_world(tmp_path_factory.mktemp("empty"), lines=50)
    line = _a_refund(world)["order_line_id"]
    world.plant(
        f"DELETE FROM gen_intents WHERE order_line_id = '{line}'",
        *(
            f"DELETE FROM {table} WHERE order_line_id = '{line}'"
            for table in (_R, _T, "lake.core.mirakl__order_lines", "lake.core.mirakl__order_line_taxes")
        ),
    )

    with pytest.raises(ContractBroken, match="refund_three_way of asos_uk would have rows without currency"):
        world.close()

    assert world.rows("SELECT count(*) AS n FROM lake.recon.order_vs_ledger") == [{"n": 0}]
    # As after a close that died before its commit: what it wrote is in no table, and upkeep deletes it.
    written = [
        *world.lake.folder.glob("files/recon/order_vs_ledger/*"),
        *world.lake.folder.glob("files/recon/refund_three_way/*"),
    ]
    assert len(written) == 2
    maintain(world.lake, datetime.now(UTC) + timedelta(days=2))
    assert not any(file.exists() for file in written)


def test_what_only_the_log_knows_takes_its_order_from_the_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = make_world(tmp_path_factory.mktemp("log"), lines=50)
    gone = _a_refund(world)
    line = gone["order_line_id"]
    world.plant(
        f"DELETE FROM gen_intents WHERE order_line_id = '{line}'",
        *(
            f"DELETE FROM {table} WHERE order_line_id = '{line}'"
            for table in (_R, "lake.core.mirakl__order_lines", "lake.core.return_unit_assignments")
        ),
    )
    world.close()

    named = "SELECT order_id, order_line_id{} FROM lake.recon.{} WHERE order_line_id = '{}'"
    assert world.rows(named.format("", "order_vs_ledger", line)) == [
        {"order_id": gone["order_id"], "order_line_id": line}
    ]
    assert gone in world.rows(named.format(", refund_id", "refund_three_way", line))


@pytest.mark.parametrize(
    ("invariant", "wrong", "subject"),
    [
        pytest.param(
            "I3",
            "UPDATE lake.recon.control_roll_forward SET amount_minor = amount_minor + 1 WHERE component = 'opening'",
            "opening + movements = closing",
            marks=pytest.mark.proves("I3"),
        ),
        pytest.param(
            "I4",
            "UPDATE lake.recon.control_roll_forward SET amount_minor = amount_minor + 1 WHERE component = 'closing'",
            "closing",
            marks=pytest.mark.proves("I4"),
        ),
        pytest.param(
            "I8",
            "UPDATE lake.core.peoplevox__returns SET return_condition = 'Nobody mapped this'",
            "#",
            marks=pytest.mark.proves("I8"),
        ),
        pytest.param(
            "I15",
            "UPDATE lake.recon.journal_lines SET debit_minor = debit_minor + 1 WHERE debit_minor > 0",
            "asos_uk",
            marks=pytest.mark.proves("I15"),
        ),
        pytest.param(
            "I15",
            "UPDATE lake.recon.vat_summary SET tax_minor = tax_minor - 1 WHERE direction = 'output_sales'",
            "output VAT",
            marks=pytest.mark.proves("I15"),
        ),
    ],
)
def test_what_is_not_so_is_seen(world: World, invariant: str, wrong: str, subject: str) -> None:
    def failing() -> set[FailingRow]:
        return set(check(world.con, world.shop, OCTOBER, invariant).failing)

    before = failing()
    world.con.execute("BEGIN")
    try:
        world.con.execute(wrong)
        found = failing() - before
    finally:
        world.con.execute("ROLLBACK")
    assert found
    assert any(subject in row.subject for row in found), found
    assert failing() == before


@pytest.mark.proves("I18")
@pytest.mark.played
def test_no_sum_crosses_currencies(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = make_world(tmp_path_factory.mktemp("currencies"), lines=20)
    world.plant(
        f"""INSERT INTO {_T} SELECT * REPLACE ('E' || transaction_id AS transaction_id, 'EUR' AS currency,
        amount_minor * 3 AS amount_minor, NULL AS billing_cycle_id) FROM {_T} WHERE transaction_type = 'COMMISSION_FEE'"""
    )
    world.close()

    totals = {
        row["currency"]: row["total"]
        for row in world.rows(
            f"SELECT currency, sum(amount_minor) AS total FROM {_T} WHERE currency = 'EUR' GROUP BY ALL"
        )
    }
    closing = world.rows(
        "SELECT currency, amount_minor FROM lake.recon.control_roll_forward WHERE component = 'closing'"
    )
    assert {row["currency"]: row["amount_minor"] for row in closing}["EUR"] == totals["EUR"] != 0
    proofs = {result.id: result for result in check_month(world.con, world.shop, OCTOBER)}
    for invariant in ("I1", "I3", "I4", "I15"):
        assert proofs[invariant].ok, proofs[invariant].message


@pytest.mark.proves("I18")
def test_lines_in_another_currency_are_counted_for_their_sum_would_be_one_across(world: World) -> None:
    world.con.execute("BEGIN")
    try:
        world.con.execute(
            f"UPDATE {_T} SET currency = 'EUR' WHERE billing_cycle_id = 'cycle-2026-10-11' AND transaction_type = 'PAYMENT'"
        )
        world.con.execute(
            f"UPDATE {_R} SET currency = 'EUR' WHERE refund_id = (SELECT min(refund_id) FROM {_R} WHERE created_at >= TIMESTAMPTZ '2026-10-05')"
        )
        found = check(world.con, world.shop, OCTOBER, "I18")
    finally:
        world.con.execute("ROLLBACK")

    assert [row.difference_minor for row in found.failing] == [1, 1]
    assert " 2 of " in found.message
    assert "differ, by 2 entries together" in found.message
