import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.mappings import load_mappings
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows


@pytest.mark.proves("R1", "R2")
def test_an_open_return_is_created_once_with_lines_quantity_and_translated_reason(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 1001), ("B", 1, 500)))
    core.tax("O1-1", "VAT", 167, "PROPORTIONAL_TO_AMOUNT")
    core.returned("R1", state="WAITING_ACCEPTANCE", lines=(("O1-1", 2), ("O1-2", 1)), reason="RETURN_PDNT_TOO_BIG")
    plans = core.intents("platform_returns")
    assert list(plans) == [("create_platform_return", "R1")]
    body = plans["create_platform_return", "R1"].body
    assert body["external_id"] == "R1"
    assert body["order"] == {"external_id": "O1", "name": "O1"}
    assert body["return_items"] == [
        {
            "external_id": "O1-1",
            "sku": "A",
            "quantity": 2,
            "unit_price": "5.00",
            "tax_amount": "0.84",
            "return_reason": "too_big",
        },
        {
            "external_id": "O1-2",
            "sku": "B",
            "quantity": 1,
            "unit_price": "5.00",
            "tax_amount": "0.00",
            "return_reason": "too_big",
        },
    ]


@pytest.mark.proves("R28", "R29", "R74")
def test_a_return_whose_order_is_not_known_or_not_shipped_is_parked_not_lost(core: CoreRows) -> None:
    core.order("O2", "SHIPPING")
    core.returned("R1", order_id="O1", state="WAITING_ACCEPTANCE")
    core.returned("R2", order_id="O2", state="WAITING_ACCEPTANCE", lines=(("O2-1", 1),))
    decision = core.decide("platform_returns")
    assert decision.intents == ()
    assert [(found.type, found.cause) for found in decision.exceptions] == [
        ("RETURN_WAITING_ORDER", "order unknown"),
        ("RETURN_WAITING_ORDER", "not shipped"),
    ]
    core.order("O1", "RECEIVED")
    assert ("create_platform_return", "R1") in core.intents("platform_returns")


@pytest.mark.proves("R28", "R74")
@pytest.mark.parametrize(
    ("line_state", "has_ship_date", "is_created"),
    [
        ("TO_COLLECT", False, True),
        ("INCIDENT_OPEN", False, True),
        ("CLOSED", True, True),
        ("CLOSED", False, False),
        ("WAITING_DEBIT", False, False),
    ],
)
def test_a_line_is_returnable_by_its_state_or_by_the_date_it_was_shipped(
    core: CoreRows, line_state: str, has_ship_date: bool, is_created: bool
) -> None:
    core.order("O1", "SHIPPING")
    shipped_at = NOW - timedelta(days=1) if has_ship_date else None
    core.change(tables.MIRAKL_ORDER_LINES, "order_id = 'O1'", line_state=line_state, shipped_at=shipped_at)
    core.returned("R1", state="WAITING_ACCEPTANCE")
    decision = core.decide("platform_returns")
    assert [plan.kind for plan in decision.intents] == (["create_platform_return"] if is_created else [])
    assert [found.cause for found in decision.exceptions] == ([] if is_created else ["not shipped"])


@pytest.mark.proves("R28", "R29", "R74")
@pytest.mark.parametrize(("has_second", "cause"), [(True, "not shipped"), (False, "order unknown")])
def test_one_line_that_is_not_shipped_or_not_known_parks_the_whole_return(
    core: CoreRows, has_second: bool, cause: str
) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000), *([("B", 1, 500)] if has_second else [])))
    core.change(tables.MIRAKL_ORDER_LINES, "order_line_id = 'O1-2'", line_state="SHIPPING", shipped_at=None)
    core.returned("R1", state="WAITING_ACCEPTANCE", lines=(("O1-1", 1), ("O1-2", 1)))
    decision = core.decide("platform_returns")
    assert decision.intents == ()
    assert [(found.type, found.cause) for found in decision.exceptions] == [("RETURN_WAITING_ORDER", cause)]


@pytest.mark.proves("R10", "R70", "C2")
def test_an_unmapped_reason_holds_the_return_by_default(core: CoreRows) -> None:
    core.order("O1")
    core.returned("R1", state="WAITING_ACCEPTANCE", reason="RETURN_BRAND_NEW_WORD")
    decision = core.decide("platform_returns")
    assert decision.intents == ()
    assert [(found.type, found.cause, found.root_cause) for found in decision.exceptions] == [
        ("REASON_UNMAPPED", "RETURN_BRAND_NEW_WORD", "mapping")
    ]


@pytest.mark.proves("C2")
def test_policy_fallback_creates_it_with_the_star_row_and_still_tells(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(policy='reason_unmapped_return = "fallback"')
    core.order("O1")
    core.returned("R1", state="WAITING_ACCEPTANCE", reason="RETURN_BRAND_NEW_WORD")
    decision = core.decide("platform_returns")
    assert decision.intents[0].body["return_items"][0]["return_reason"] == "other"
    assert [found.type for found in decision.exceptions] == ["REASON_UNMAPPED"]


@pytest.mark.proves("R2")
def test_more_units_than_were_sold_are_ineligible(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1", state="IN_PROGRESS", created_at=NOW - timedelta(days=2))
    core.on_platform("R1")
    core.returned("R2", state="WAITING_ACCEPTANCE", created_at=NOW - timedelta(days=1))
    decision = core.decide("platform_returns")
    assert [(found.type, found.entity["return_id"]) for found in decision.exceptions] == [("RETURN_INELIGIBLE", "R2")]
    assert {plan.return_id for plan in decision.intents} == {"R1"}


@pytest.mark.proves("R1", "R37", "R117")
def test_a_return_that_is_on_the_platform_is_linked_and_not_created_again(core: CoreRows) -> None:
    core.order("O1")
    core.returned("R1", state="WAITING_ACCEPTANCE")
    core.on_platform("R1", "P1", carrier="DPD", tracking_number="T1")
    plans = core.intents("platform_returns")
    assert list(plans) == [("link_return", "R1")]
    assert plans["link_return", "R1"].body == {
        "return_id": "R1",
        "accept": True,
        "rma": "P1",
        "label_url": "http://127.0.0.1/label",
        "tracking": {"carrier_code": "DPDUK", "tracking_number": "T1"},
    }


@pytest.mark.proves("R117")
@pytest.mark.parametrize(("policy", "told"), [("", ["no label"]), ('return_label = "elsewhere"', [])])
def test_a_return_without_a_label_is_told_unless_customers_get_theirs_elsewhere(
    make_core: Callable[..., CoreRows], policy: str, told: list[str]
) -> None:
    core = make_core(policy=policy)
    core.order("O1")
    core.returned("R1", state="WAITING_ACCEPTANCE")
    core.on_platform("R1", "P1", carrier="DPD", tracking_number="T1", label_url=None)
    decision = core.decide("platform_returns")
    assert [plan.kind for plan in decision.intents] == ["link_return"]
    assert [found.cause for found in decision.exceptions] == told


@pytest.mark.proves("R117")
@pytest.mark.parametrize(("policy", "keys"), [("", ["R1/label"]), ('return_label = "elsewhere"', [])])
def test_a_label_that_came_after_the_link_is_written_back(
    make_core: Callable[..., CoreRows], policy: str, keys: list[str]
) -> None:
    core = make_core(policy=policy)
    core.order("O1")
    core.returned("R1", state="IN_PROGRESS", rma="P1")
    core.on_platform("R1", "P1", carrier="DPD", tracking_number="T1")
    core.returned("R2", state="IN_PROGRESS", rma="P2", label_url="http://127.0.0.1/label")
    core.on_platform("R2", "P2")
    core.returned("R3", state="IN_PROGRESS", rma="P3")
    core.on_platform("R3", "P3", label_url=None)
    links = [plan for (kind, _), plan in core.intents("platform_returns").items() if kind == "link_return"]
    assert [plan.natural_key for plan in links] == keys
    assert [(plan.body["accept"], plan.body["label_url"]) for plan in links] == [
        (False, "http://127.0.0.1/label")
    ] * len(keys)


@pytest.mark.proves("R52", "R90")
def test_an_accepted_return_gets_one_expected_receipt(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 2, 1001),))
    core.returned("R1", state="IN_PROGRESS", lines=(("O1-1", 2),))
    core.returned("R2", state="WAITING_ACCEPTANCE", lines=(("O1-1", 1),))
    plans = core.intents("expected_receipts")
    assert list(plans) == [("create_expected_receipt", "R1")]
    assert plans["create_expected_receipt", "R1"].body["purchase_order_number"] == "RTN-R1"
    assert plans["create_expected_receipt", "R1"].body["items"] == [{"line": "1", "item_code": "A", "quantity": 2}]


@pytest.mark.proves("C13")
def test_a_platform_carrier_nobody_mapped_never_stops_the_link(core: CoreRows) -> None:
    core.order("O1")
    core.returned("R1", state="WAITING_ACCEPTANCE")
    core.on_platform("R1", "P1", carrier="Pigeon", tracking_number="T1")
    decision = core.decide("platform_returns")
    assert [plan.body["tracking"] for plan in decision.intents] == [{}]
    assert [(found.type, found.cause) for found in decision.exceptions] == [("DESPATCH_UNMAPPED_CARRIER", "pigeon")]


@pytest.mark.proves("R10", "R33", "C3")
def test_a_row_added_to_the_mapping_file_lets_the_held_return_go_and_its_version_is_kept(
    make_core: Callable[..., CoreRows], tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    shutil.copytree("mappings", folder)
    core = make_core(mappings_dir=folder)
    before = core.mappings.version
    core.order("O1")
    core.returned("R1", state="WAITING_ACCEPTANCE", reason="RETURN_BRAND_NEW_WORD")
    assert core.decide("platform_returns").intents == ()
    with (folder / "reasons.csv").open("a", encoding="utf-8") as file:
        file.write("mirakl,RETURN_BRAND_NEW_WORD,create_return,reveni,too_big,,\n")
    core.mappings = load_mappings(folder)
    plan = core.intents("platform_returns")["create_platform_return", "R1"]
    assert plan.body["return_items"][0]["return_reason"] == "too_big"
    assert plan.evidence["mapping_version"] == core.mappings.version != before


@pytest.mark.proves("R33", "C3")
def test_of_several_rows_of_a_reason_the_one_valid_last_is_used_and_none_before_its_day(
    make_core: Callable[..., CoreRows], tmp_path: Path
) -> None:
    folder = tmp_path / "tables"
    shutil.copytree("mappings", folder)
    rows = [
        ("too_big", "17", "2025-01-01"),
        ("too_small", "18", "2026-01-01"),
        ("other", "19", "2099-01-01"),
        ("other", "20", ""),
    ]
    with (folder / "reasons.csv").open("a", encoding="utf-8") as file:
        for platform, marketplace, valid_from in rows:
            file.write(f"mirakl,RETURN_CHANGED,create_return,reveni,{platform},{valid_from},\n")
            file.write(f"mirakl,RETURN_CHANGED,refund,mirakl_refund,{marketplace},{valid_from},\n")
    core = make_core(mappings_dir=folder)
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1", reason="RETURN_CHANGED")
    created = core.intents("platform_returns")["create_platform_return", "R1"]
    assert created.body["return_items"][0]["return_reason"] == "too_small"
    core.inspected(item="A")
    refund = core.intents("refunds")["refund", "O1-1#1"]
    assert refund.body["refunds"][0]["reason_code"] == "18"
