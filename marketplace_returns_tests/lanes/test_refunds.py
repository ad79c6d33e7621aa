from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.money import TaxCharge, to_minor, unit_amounts
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


def _returned_and_inspected(core: CoreRows, units: int = 1, **inspection: object) -> None:
    core.order("O1", "RECEIVED", (("A", units, 1000),))
    core.returned("R1", lines=(("O1-1", units),))
    core.inspected(item="A", quantity=units, **inspection)  # type: ignore[arg-type]


@pytest.mark.proves("R3", "R59", "C4")
def test_an_inspected_sellable_unit_is_refunded_from_the_marketplace_order_alone(core: CoreRows) -> None:
    _returned_and_inspected(core)
    core.on_platform("R1", refund_amount_minor=99999)  # the platform's own figure is wrong on purpose (R3)
    plan = core.intents("refunds")["refund", "O1-1#1"]
    assert plan.body == {
        "order_tax_mode": "TAX_INCLUDED",
        "refunds": [
            {
                "order_line_id": "O1-1",
                "amount": Decimal("10.00"),
                "shipping_amount": Decimal("0.00"),
                "quantity": 1,
                "reason_code": "17",
                "currency_iso_code": "GBP",
            }
        ],
    }
    assert plan.amount_minor == 1000
    assert plan.evidence["receipt_event_id"] == "peoplevox:RET1:A:1"


@pytest.mark.proves("R59", "R60", "I11")
def test_units_of_a_line_close_to_the_penny_whatever_their_order(core: CoreRows) -> None:
    _returned_and_inspected(core, units=3)
    core.tax("O1-1", "VAT", 167, "NONE")
    plans = core.intents("refunds")
    assert sorted(plans) == [("refund", f"O1-1#{ordinal}") for ordinal in (1, 2, 3)]
    refunds = [plan.body["refunds"][0] for plan in plans.values()]
    assert sum(refund["amount"] for refund in refunds) == Decimal("10.00")
    assert sum(refund["taxes"][0]["amount"] for refund in refunds) == Decimal("1.67")


@pytest.mark.proves("R4")
def test_what_is_kept_with_a_refund_is_enough_to_work_it_out_again(core: CoreRows) -> None:
    _returned_and_inspected(core, units=3)
    core.tax("O1-1", "VAT", 167, "NONE")
    plans = core.intents("refunds").values()
    assert len(plans) == 3
    for plan in plans:
        kept = plan.evidence
        again = unit_amounts(
            price_minor=kept["line_price_minor"],
            shipping_price_minor=0,
            taxes=[TaxCharge(tax["code"], tax["amount_minor"], tax["rule"]) for tax in kept["line_taxes"]],
            shipping_taxes=(),
            ordinal=kept["ordinal"],
            quantity=kept["line_quantity"],
            include_shipping=False,
        )
        (sent,) = plan.body["refunds"]
        assert to_minor(sent["amount"], plan.currency) == again.amount_minor
        assert [(tax["code"], to_minor(tax["amount"], "GBP")) for tax in sent["taxes"]] == list(again.taxes)
        assert (kept["rule"], kept["rounding"]) == ("unit share by cumulative half-even rounding", "half-even")
        assert kept["mapping_version"] == core.mappings.version
        assert kept["order_payload"]
        assert kept["receipt_payload"]


@pytest.mark.proves("R105", "C12")
def test_taxes_are_sent_where_their_rule_is_none_and_left_to_mirakl_where_proportional(core: CoreRows) -> None:
    _returned_and_inspected(core)
    core.tax("O1-1", "STATE", 80, "NONE")
    core.tax("O1-1", "CITY", 20, "PROPORTIONAL_TO_AMOUNT")
    core.change(tables.MIRAKL_ORDERS, "order_id = 'O1'", order_tax_mode="TAX_EXCLUDED")
    plan = core.intents("refunds")["refund", "O1-1#1"]
    assert plan.body["refunds"][0]["taxes"] == [{"code": "STATE", "amount": Decimal("0.80")}]
    assert plan.amount_minor == 1100, "what the customer gets back has every tax on top"


@pytest.mark.proves("R66", "R75")
@pytest.mark.parametrize(
    ("condition", "reusable"), [("Damaged", False), ("Wrong item", False), ("Quarantine", False), ("New", False)]
)
def test_what_is_not_sellable_is_never_refunded(core: CoreRows, condition: str, reusable: bool) -> None:
    _returned_and_inspected(core, condition=condition, reusable=reusable)
    assert core.decide("refunds").intents == ()


@pytest.mark.proves("R8", "R27", "R66", "R69", "R75", "C1")
@pytest.mark.parametrize("status", ["IN_PROGRESS", "SHIPPED", "RECEIVED", "ACCEPTED", "COMPLETED", "NEW_WORD"])
def test_no_status_of_the_platform_refunds_before_the_warehouse_inspected(core: CoreRows, status: str) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.on_platform("R1", status=status, shipped_at=NOW, received_at=NOW, resolved_at=NOW)
    core.put(
        tables.REVENI_RETURN_ITEMS,
        platform_return_id="P1",
        item_id="I1",
        sku="A",
        quantity=1,
        item_status="ACCEPTED",
        currency="GBP",
    )
    assert core.decide("refunds").intents == ()


def test_a_shop_without_a_warehouse_refunds_on_the_platforms_verdict(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(warehouse=False)
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.on_platform("R1", status="ACCEPTED", order_id="O1", restock_choice="restock", resolved_at=NOW)
    core.put(
        tables.REVENI_RETURN_ITEMS,
        platform_return_id="P1",
        item_id="I1",
        sku="A",
        quantity=1,
        item_status="ACCEPTED",
        currency="GBP",
    )
    assert list(core.intents("refunds")) == [("refund", "O1-1#1")]


@pytest.mark.proves("R66")
def test_an_instant_return_accepted_by_the_calendar_is_no_inspection(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(warehouse=False)
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.on_platform("R1", status="ACCEPTED", order_id="O1", is_instant=True, restock_choice="restock", resolved_at=NOW)
    core.put(
        tables.REVENI_RETURN_ITEMS,
        platform_return_id="P1",
        item_id="I1",
        sku="A",
        quantity=1,
        item_status="ACCEPTED",
        currency="GBP",
    )
    assert core.decide("refunds").intents == ()


@pytest.mark.proves("R10", "R27", "C2")
def test_an_unmapped_disposition_or_reason_holds_the_refund(core: CoreRows) -> None:
    _returned_and_inspected(core, condition="Slightly odd")
    decision = core.decide("refunds")
    assert decision.intents == ()
    assert [(found.type, found.cause) for found in decision.exceptions] == [
        ("REASON_UNMAPPED", "disposition slightly odd|true")
    ]
    core.change(tables.PEOPLEVOX_RETURNS, "return_code = 'RET1'", return_condition="NEW")
    core.change(tables.MIRAKL_RETURN_LINES, "return_id = 'R1'", reason_code="RETURN_NEW_WORD")
    assert [found.cause for found in core.exceptions("refunds")] == ["refund RETURN_NEW_WORD"]


@pytest.mark.proves("R102")
def test_a_closed_order_is_an_exception_of_its_own(core: CoreRows) -> None:
    _returned_and_inspected(core)
    core.change(tables.MIRAKL_ORDERS, "order_id = 'O1'", order_state="CLOSED")
    decision = core.decide("refunds")
    assert decision.intents == ()
    assert [(found.type, found.cause) for found in decision.exceptions] == [("REFUND_REJECTED_STATE", "CLOSED")]


@pytest.mark.proves("R3")
def test_shipping_goes_back_once_and_only_when_the_whole_order_came_back(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(policy='refund_shipping = "full_return"')
    core.order("O1", "RECEIVED", (("A", 2, 1000),))
    core.change(tables.MIRAKL_ORDER_LINES, "order_line_id = 'O1-1'", shipping_price_minor=395)
    core.returned("R1", lines=(("O1-1", 1),))
    core.inspected("RET1", item="A", returned_at=NOW - timedelta(hours=9))
    assert core.intents("refunds")["refund", "O1-1#1"].body["refunds"][0]["shipping_amount"] == 0
    core.returned("R2", lines=(("O1-1", 1),), created_at=NOW - timedelta(hours=20))
    core.inspected("RET2", item="A", returned_at=NOW - timedelta(hours=1))
    shipping = {key[1]: plan.body["refunds"][0]["shipping_amount"] for key, plan in core.intents("refunds").items()}
    assert shipping == {"O1-1#1": Decimal("0.00"), "O1-1#2": Decimal("3.95")}


def test_a_finished_return_is_left_alone(core: CoreRows) -> None:
    _returned_and_inspected(core)
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R1'", return_state="CLOSED")
    core.refunded()
    assert core.decide("refunds").intents == ()
    assert core.exceptions("refunds", NOW + timedelta(days=60)) == []


@pytest.mark.proves("R48", "R76")
def test_an_inspection_corrected_both_ways_asks_for_one_refund_under_one_key(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1")
    core.inspected(item="A")
    assert list(core.intents("refunds")) == [("refund", "O1-1#1")]
    core.change(tables.PEOPLEVOX_RETURNS, "true", return_condition="Damaged", is_reusable=False)
    assert core.decide("refunds").intents == ()
    core.change(tables.PEOPLEVOX_RETURNS, "true", return_condition="NEW", is_reusable=True)
    assert list(core.intents("refunds")) == [("refund", "O1-1#1")]


@pytest.mark.proves("R63")
def test_what_another_shop_has_under_the_same_ids_changes_no_refund(core: CoreRows) -> None:
    _returned_and_inspected(core)
    core.tax("O1-1", "VAT", 500, "NONE")
    core.refunded(amount_minor=1000)
    for table in (tables.MIRAKL_ORDER_LINE_TAXES, tables.MIRAKL_REFUNDS):
        core.change(table, "true", shop="asos_de")
    core.tax("O1-1", "VAT", 167, "NONE")
    (refund,) = core.intents("refunds")["refund", "O1-1#1"].body["refunds"]
    assert [tax["amount"] for tax in refund["taxes"]] == [Decimal("1.67")]
    # Of an ended return only what its line's refunds do not cover is paid back; the other shop's cover nothing.
    core.change(tables.MIRAKL_RETURNS, "true", return_state="CLOSED")
    assert list(core.intents("refunds")) == [("refund", "O1-1#1")]
