"""Returns that begin on the platform (C5): their units, their twins, and that no unit's key ever moves."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from marketplace_returns.lake import tables
from marketplace_returns.lake.sql import statement
from marketplace_returns.reconciliation.close import PACKAGE, run_query
from marketplace_returns_tests.lanes.core_rows import NOW, CoreRows

UNITS = "SELECT return_unit_id, return_id FROM model.return_units ORDER BY 1, 2"
ORIGIN = 'return_origin = "platform"'


def _opened(
    core: CoreRows,
    name: str,
    *items: tuple[str, int],
    order_id: str = "O1",
    line_id: str | None = None,
    at: datetime = NOW - timedelta(days=1),
    **values: object,
) -> None:
    """Put a return that a customer opened on the platform; items are (SKU, quantity)."""
    core.on_platform(f"R-{name}", name, order_id=order_id, created_at=at, **values)
    core.links.pop()  # nothing of ours made it
    for number, (sku, quantity) in enumerate(items, start=1):
        core.put(
            tables.REVENI_RETURN_ITEMS,
            platform_return_id=name,
            item_id=f"{name}-{number}",
            external_id=line_id,
            sku=sku,
            quantity=quantity,
            item_status="PENDING",
            return_reason="too_small",
            currency="GBP",
        )


@pytest.mark.proves("C5")
def test_the_units_of_a_return_keep_their_keys_when_the_marketplace_has_it_too(
    make_core: Callable[..., CoreRows],
) -> None:
    core = make_core(policy=ORIGIN)
    core.order("O1", "RECEIVED", (("A", 2, 1000), ("B", 1, 500)))
    _opened(core, "P1", ("A", 1), ("B", 1))
    assert core.assign() == 2
    assert core.rows(UNITS) == [("O1-1#1", "reveni:P1"), ("O1-2#1", "reveni:P1")]
    core.inspected("C1", item="A")
    core.assign()
    # RT01 went through: the marketplace's return names the platform's as its rma
    core.returned("R9", lines=(("O1-1", 1), ("O1-2", 1)), created_at=NOW)
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R9'", rma="P1")
    assert core.assign() == 0
    found = core.rows("SELECT return_unit_id, return_id, disposition FROM model.return_units ORDER BY 1")
    assert found == [("O1-1#1", "R9", "sellable"), ("O1-2#1", "R9", None)]
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R9'", return_state="CANCELED")
    assert core.assign() == 0
    assert core.rows(UNITS) == [("O1-1#1", "reveni:P1"), ("O1-2#1", "reveni:P1")], "and when it loses it again"


@pytest.mark.proves("C5")
@pytest.mark.parametrize("first", ["platform", "marketplace"])
def test_a_return_opened_on_both_sides_is_one_return(make_core: Callable[..., CoreRows], first: str) -> None:
    core = make_core(policy=ORIGIN)
    core.order("O1", "RECEIVED", (("A", 2, 1000),))
    for side in ("platform", "marketplace") if first == "platform" else ("marketplace", "platform"):
        if side == "platform":
            _opened(core, "P1", ("A", 1))
        else:
            core.returned("R1")
        core.assign()
    assert core.rows(UNITS) == [("O1-1#1", "R1")]
    assert core.rows("SELECT return_id, platform_return_id FROM model.return_cases") == [("R1", "P1")]
    core.inspected("C1", item="A")
    core.assign()
    assert core.rows("SELECT return_unit_id, disposition FROM model.return_units") == [("O1-1#1", "sellable")]


@pytest.mark.proves("C5")
def test_units_beyond_the_marketplaces_return_are_not_lost_and_two_lines_of_a_sku_are_both_used(
    make_core: Callable[..., CoreRows],
) -> None:
    core = make_core(policy=ORIGIN)
    core.order("O1", "RECEIVED", (("A", 1, 1000), ("A", 1, 900), ("B", 1, 500)))
    core.returned("R1")
    _opened(core, "P1", ("A", 1), ("B", 1))
    _opened(core, "P2", ("A", 1), at=NOW)
    core.assign()
    assert core.rows(UNITS) == [("O1-1#1", "R1"), ("O1-2#1", "reveni:P2"), ("O1-3#1", "R1")]
    _opened(core, "P3", ("A", 1), at=NOW)
    core.assign()
    over = core.rows("SELECT return_unit_id, return_id FROM model.return_units WHERE is_over_quantity")
    assert over == [("O1-1#2", "reveni:P3")], "more than was sold is told apart, never given a unit that was sold"


@pytest.mark.proves("C5", "R73")
def test_the_month_end_reads_the_same_units(make_core: Callable[..., CoreRows]) -> None:
    core = make_core(policy=ORIGIN)
    core.order("O1", "RECEIVED", (("A", 2, 1000), ("B", 1, 500)))
    _opened(core, "P1", ("A", 1))
    _opened(core, "P2", ("B", 1), line_id="O1-2")
    core.inspected("C1", item="A")
    core.assign()
    core.returned("R9", lines=(("O1-2", 1),), created_at=NOW)
    core.change(tables.MIRAKL_RETURNS, "return_id = 'R9'", rma="P2")
    core.assign()
    core.attach()
    for name in ("order_modes", "lines", "platform_returns", "receipts", "units"):
        run_query(core.con, statement(name, PACKAGE), {"shop": "asos_uk", "inspector": "peoplevox"})
    columns = "return_unit_id, return_id, order_id, order_line_id, ordinal, disposition"
    month = core.con.execute(f"SELECT {columns} FROM units ORDER BY 1").fetchall()
    assert month == core.con.execute(f"SELECT {columns} FROM model.return_units ORDER BY 1").fetchall()
    assert [row[:2] for row in month] == [("O1-1#1", "reveni:P1"), ("O1-2#1", "R9")]


@pytest.mark.proves("C5")
def test_where_returns_begin_on_the_marketplace_a_platforms_own_return_has_no_units(core: CoreRows) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    _opened(core, "P1", ("A", 1))
    assert core.assign() == 0
    (told,) = core.exceptions("marketplace_returns")
    assert (told.type, told.cause) == ("STATUS_DRIFT", "on the platform only")


@pytest.mark.proves("C5", "R47", "R74", "R29")
def test_a_return_opened_on_the_platform_is_opened_on_the_marketplace_or_says_why_not(
    make_core: Callable[..., CoreRows],
) -> None:
    core = make_core(policy=ORIGIN)
    core.order("O1", "RECEIVED", (("A", 2, 1000), ("B", 1, 500)))
    _opened(core, "P1", ("A", 2), ("B", 1))
    core.order("O2", "SHIPPING", (("A", 1, 1000),))
    _opened(core, "Pearly", ("A", 1), order_id="O2")
    core.order("O3", "RECEIVED", (("A", 1, 1000),))
    _opened(core, "Pstrange", ("Z", 1), order_id="O3")
    _opened(core, "Pover", ("A", 2), order_id="O3")
    _opened(core, "Punknown", ("A", 1), order_id="O9")
    core.order("O4", "RECEIVED", (("A", 1, 1000),))
    _opened(core, "Pword", ("A", 1), order_id="O4")
    core.change(tables.REVENI_RETURN_ITEMS, "platform_return_id = 'Pword'", return_reason="brand_new")
    decision = core.decide("marketplace_returns")
    (plan,) = decision.intents
    assert (str(plan.kind), plan.natural_key) == ("link_return", "reveni:P1")
    assert plan.body["create"] == {
        "order_commercial_id": "O1",
        "method_code": "RETURN_METHOD_BY_MAIL",
        "accepted": True,
        "rma": "P1",
        "label_url": "http://127.0.0.1/label",
        "return_lines": [
            {"order_line_id": "O1-1", "quantity": 2, "reason_code": "RETURN_PDNT_TOO_SMALL"},
            {"order_line_id": "O1-2", "quantity": 1, "reason_code": "RETURN_PDNT_TOO_SMALL"},
        ],
    }
    assert {found.entity["platform_return_id"]: (found.type, found.cause) for found in decision.exceptions} == {
        "Pearly": ("RETURN_WAITING_ORDER", "not shipped"),
        "Pstrange": ("RETURN_INELIGIBLE", "not on the order"),
        "Pover": ("RETURN_INELIGIBLE", "over quantity"),
        "Punknown": ("RETURN_WAITING_ORDER", "order unknown"),
        "Pword": ("REASON_UNMAPPED", "brand_new"),
    }


@pytest.mark.proves("C5")
def test_a_return_the_marketplace_never_had_is_refunded_and_told_to_the_platform(
    make_core: Callable[..., CoreRows],
) -> None:
    core = make_core(policy=ORIGIN)
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    _opened(core, "P1", ("A", 1), status="RECEIVED", received_at=NOW)
    core.inspected("C1", item="A")
    core.assign()
    (refund,) = core.under("refunds").intents
    assert (refund.natural_key, refund.return_id, refund.body["refunds"][0]["reason_code"]) == (
        "O1-1#1",
        "reveni:P1",
        "17",
    )
    assert core.under("closing").intents == ()
    core.refunded(amount_minor=1000)
    core.write()
    assert [(str(plan.kind), plan.natural_key) for plan in core.under("closing").intents] == [
        ("report_refund_outcome", "P1")
    ]
