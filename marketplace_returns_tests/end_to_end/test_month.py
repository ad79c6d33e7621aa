"""A month from the first order to the proven payout, and each planted anomaly found, coded and owned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketplace_returns.ledger.states import State
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns_tests.end_to_end.played import START, Played, played

DAYS = 22
"""Orders of five days, their returns, and their payout."""


def _world(**options: object) -> WorldConfig:
    return WorldConfig(**{"orders": 40, "days": 5, "skus": 12, "start": START, "return_rate": 0.6} | options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with played(tmp_path_factory.mktemp("month"), _world()) as one:
        one.live(DAYS)
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


@pytest.mark.proves("R6", "R17")
def test_every_identity_of_the_month_holds_to_the_penny(month: Played) -> None:
    closed = month.close()
    assert {check.id for check in closed.checks} >= {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I15"}
    assert [check.message for check in closed.checks if not check.ok] == []
    assert set(closed.result.codes["payout_proof"]) == {"PROVEN"}
    assert set(closed.result.codes["refund_three_way"]) <= {"MATCHED", "TIMING_REFUND_PENDING"}


@pytest.mark.proves("R17", "I1", "I9")
@pytest.mark.parametrize(
    ("anomaly", "table", "code"),
    [
        ("manual_portal_refund", "refund_three_way", "MANUAL_PORTAL_REFUND"),
        ("refund_without_receipt", "refund_three_way", "REFUND_WITHOUT_RECEIPT"),
        ("receipt_without_refund", "refund_three_way", "RECEIPT_WITHOUT_REFUND"),
        ("changed_statement", "payout_proof", "VARIANCE"),
    ],
)
def test_a_planted_anomaly_is_found_coded_and_owned(month: Played, anomaly: str, table: str, code: str) -> None:
    before, told = month.codes(table).get(code, 0), len(month.month_end_exceptions())
    planted = month.plant(anomaly)
    month.live(1)
    assert month.codes(table).get(code, 0) == before + 1, planted
    owned = month.month_end_exceptions()
    assert len(owned) > told
    assert all(each.owner for each in owned)


def test_a_wrong_refund_breaks_the_truth(month: Played) -> None:
    month.plant("wrong_refund")
    assert any("exact to the penny" in promise for promise in month.broken_promises())
