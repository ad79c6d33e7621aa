"""Which exceptions are an order's, and what the history tells of an order."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger import exceptions
from marketplace_returns.ledger.exceptions import Raised
from marketplace_returns_tests.ledger.world import SHOP, acceptance, decision, open_ledger, refund, shop


def about(**entity: str) -> ExceptionPlan:
    return ExceptionPlan(shop=SHOP, type="ACK_OVERDUE", entity=entity, cause="late", message="Ximena waits.")


@pytest.mark.proves("R44")
def test_an_order_s_exceptions_are_those_of_its_writes_and_those_that_name_it_or_a_part(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.apply(decision(refund("L1#1"), acceptance("O2")), shop())
        writes = {each.order_id: each.intent_id for each in ledger.intents()}
        own = [
            Raised(about(parcel_id="P1"), "write/test", writes["O1"]),
            Raised(about(order_id="O1"), "test"),
            Raised(about(natural_key="O1"), "test"),
            Raised(about(order_line_id="L1"), "test"),  # which the order's write knows
            Raised(about(return_unit_id="L1#1"), "test"),
            Raised(about(receipt_event_id="E\"7'", item_code="I"), "test"),  # which only the lake knows
        ]
        others = [
            Raised(about(parcel_id="P2"), "write/test", writes["O2"]),
            Raised(about(order_id="o1"), "test"),
            Raised(about(order_id="O11"), "test"),
            Raised(about(order_line_id="L11"), "test"),
            Raised(about(item_code="L1"), "test"),
            Raised(about(shop=SHOP), "test"),
        ]
        with ledger._change() as (connection, journal):
            exceptions.raise_all(connection, [*own, *others], ledger._catalogue, journal)
        # More numbers than one question takes.
        numbers = {"receipt_event_id": ["E\"7'", *(f"F{n}" for n in range(250))]}
        found = sorted(each.exception_id for each in ledger.exceptions_of_order(SHOP, "O1", numbers))
        assert found == list(range(1, len(own) + 1))
        assert ledger.exceptions_of_order("other", "O1", numbers) == []

        ledger.assign(1, "warehouse", by="kim", note="Ximena rang")
        ledger.resolve_all(found[1:], by="kim", note="told Ximena")
        ledger.resolve(len(own) + 1, by="kim", note="told Ximena too")
        assert [each.exception_id for each in ledger.exceptions_of_order(SHOP, "O1", numbers)] == found, (
            "open ones first"
        )
        told = [
            (each["event"], each["subject"]) for each in ledger.history(SHOP, "O1", numbers) if each["actor"] == "kim"
        ]
        assert told == [("assign", "exception 1"), *(("resolve", f"exception {number}") for number in found[1:])]

        done = ledger.redact(SHOP, "O1", ["Ximena"], numbers)
        assert (done.exceptions, done.history) == (len(own), len(own))
        left = [each.exception_id for each in ledger.exceptions(is_open=None) if "Ximena" in str(each)]
        assert sorted(left) == [number + len(own) for number in range(1, len(others) + 1)]
        assert [chain.broken for chain in ledger.verify_history()] == [None]
