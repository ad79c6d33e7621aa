from datetime import timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


def _item(core: CoreRows, quantity: int = 1, status: str = "PENDING") -> None:
    core.put(
        tables.REVENI_RETURN_ITEMS,
        platform_return_id="P1",
        item_id="I1",
        external_id="O1-1",
        sku="A",
        quantity=quantity,
        item_status=status,
        currency="GBP",
    )


@pytest.mark.proves("R8", "R27", "R69")
def test_nothing_is_reported_before_the_parcel_was_inspected(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.on_platform("R1", status="RECEIVED", received_at=NOW)
    assert core.decide("closing").intents == ()


@pytest.mark.proves("R8", "R27", "R37", "C9")
def test_an_inspected_return_is_received_and_every_line_reported(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000), ("B", 1, 1000)))
    core.returned("R1", lines=(("O1-1", 1), ("O1-2", 1)))
    core.inspected("RET1", item="A")
    assert list(core.intents("closing")) == [("receive_return", "R1")], "a half inspected return is not reported yet"
    core.inspected("RET2", item="B", condition="Damaged", reusable=False)
    plans = core.intents("closing")
    assert list(plans) == [("receive_return", "R1"), ("report_compliance", "R1")]
    assert plans["report_compliance", "R1"].body["return_lines"] == [
        {"order_line_id": "O1-1", "compliant": True},
        {
            "order_line_id": "O1-2",
            "compliant": False,
            "non_compliance_reason_code": "RETURN_NON_COMPLIANT_DAMAGED_PRODUCT",
        },
    ]


@pytest.mark.proves("R25", "R63")
def test_the_outcome_and_the_close_wait_for_the_refund(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 1000),))
    core.returned("R1", state="RECEIVED", lines=(("O1-1", 2),))
    core.on_platform("R1")
    _item(core, quantity=2)
    core.inspected("RET1", item="A")
    core.inspected("RET2", item="A", condition="Damaged", reusable=False)
    core.change(tables.MIRAKL_RETURN_LINES, "return_id = 'R1'", compliance='[{"compliant":false}]')
    assert core.decide("closing").intents == ()
    core.refunded(amount_minor=500)
    plans = core.intents("closing")
    assert list(plans) == [("report_refund_outcome", "P1")]
    assert plans["report_refund_outcome", "P1"].body["items"] == [
        {"item_id": "I1", "quantity": 1, "status": "accepted"},
        {"item_id": "I1", "quantity": 1, "status": "rejected", "reject_reason": "defect"},
    ]
    core.change(tables.REVENI_RETURN_ITEMS, "item_id = 'I1'", item_status="ACCEPTED")
    assert list(core.intents("closing")) == [("close_return", "R1")]
    # the same ids of another shop close nothing
    core.change(tables.MIRAKL_REFUNDS, "true", shop="asos_de")
    assert core.decide("closing").intents == ()


@pytest.mark.proves("R19")
def test_a_short_parcel_a_wrong_item_and_a_forgotten_parcel_have_owners(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 1000),))
    core.returned("R1", lines=(("O1-1", 2),))
    core.inspected("RET1", item="A", returned_at=NOW - timedelta(hours=80))
    core.order("O2", "RECEIVED", (("A", 1, 1000),))
    core.returned("R2", order_id="O2", lines=(("O2-1", 1),))
    core.inspected("RET2", order_id="O2", item="Z", condition="Wrong item", reusable=True)
    core.order("O3", "RECEIVED", (("A", 1, 1000),))
    core.returned("R3", order_id="O3", lines=(("O3-1", 1),))
    core.on_platform("R3", "P3", received_at=NOW - timedelta(hours=100))
    core.inspected("RET9", order_id="NOBODY", item="A")
    found = {(plan.type, plan.cause) for plan in core.exceptions("closing")}
    assert found == {
        ("RECEIPT_SHORT", "short"),
        ("RECEIPT_WRONG_ITEM", "wrong item"),
        ("INSPECTION_OVERDUE", "not inspected"),
        ("RECEIPT_UNEXPECTED", "no order"),
    }
