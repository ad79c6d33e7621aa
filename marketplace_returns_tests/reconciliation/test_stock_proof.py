"""I10: what is on sale is what there is to sell, by the warehouse's figure or by the returned units that were added."""

from pathlib import Path

import pytest

from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.invariants import CheckResult, check
from marketplace_returns.settings import WriteMode
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

# Every unit that came back sellable was added to its offer, as lane restock plans it.
_ADDITIONS = """
CREATE OR REPLACE TEMP TABLE gen_intents AS
SELECT * FROM gen_intents
UNION ALL
SELECT i.* REPLACE (
    'push_stock' AS kind, 'delta:' || a.receipt_event_id || '#' || a.unit_no AS natural_key, 'S' || i.intent_id AS intent_id,
    '{"offer_sku":"SKU","delta":1}' AS body, '{}' AS evidence, NULL AS amount_minor, NULL AS external_ref)
FROM gen_intents AS i INNER JOIN lake.core.receipt_assignments AS a ON a.return_unit_id = i.return_unit_id
"""
_WMS = "lake.core.peoplevox__returns"


def _set(world: World, **policy: object) -> None:
    shop = world.shop.model_copy(update={"policy": world.shop.policy.model_copy(update=policy)})
    world.settings = world.settings.model_copy(update={"shops": {shop.name: shop}})


def _proof(world: World) -> CheckResult:
    world.close()
    return check(world.con, world.shop, OCTOBER, "I10")


def _states(world: World) -> dict[str, str]:
    rows = world.rows("SELECT reference, state FROM lake.recon.stock_proof WHERE state <> 'MATCHED'")
    return {row["reference"]: row["state"] for row in rows}


@pytest.mark.played
@pytest.mark.proves("I10")
def test_every_returned_unit_is_added_once_and_nothing_else(tmp_path: Path) -> None:
    units = make_world(tmp_path, lines=150)
    units.con.execute(_ADDITIONS)
    _set(units, stock_authority="returns_delta")
    (sellable,) = units.rows(
        "SELECT count(*) AS units FROM lake.core.receipt_assignments "
        "WHERE assigned_at >= TIMESTAMPTZ '2026-09-30 23:00:00+00' AND assigned_at < TIMESTAMPTZ '2026-11-01 00:00:00+00'"
    )
    clean = _proof(units)
    assert (clean.ok, clean.checked, clean.difference_minor) == (True, sellable["units"], {}), clean.message

    events = units.rows(
        "SELECT receipt_event_id || '#1' AS unit, order_line_id AS line FROM lake.core.receipt_assignments AS a "
        "INNER JOIN lake.core.return_unit_assignments AS u ON a.return_unit_id = u.order_line_id || '#' || u.ordinal "
        "WHERE a.assigned_at BETWEEN TIMESTAMPTZ '2026-10-10 00:00:00+00' AND TIMESTAMPTZ '2026-10-20 00:00:00+00' ORDER BY unit LIMIT 7"
    )
    names = ("missing", "doubled", "damaged", "waiting", "stuck", "late", "refused")
    unit = {name: event["unit"] for name, event in zip(names, events, strict=True)}
    code = {name: f"C{event['line']}" for name, event in zip(names, events, strict=True)}

    def pushed(name: str) -> str:
        return f"natural_key = 'delta:{unit[name]}'"

    units.plant(
        f"DELETE FROM gen_intents WHERE {pushed('missing')} OR {pushed('late')}",
        f"INSERT INTO gen_intents SELECT * REPLACE ('TWICE' AS intent_id) FROM gen_intents WHERE {pushed('doubled')}",
        # Judged anew after it was added.
        f"UPDATE {_WMS} SET return_condition = 'Faulty', is_reusable = false WHERE return_code = '{code['damaged']}'",
        f"UPDATE gen_intents SET state = 'UNKNOWN', confirmed_at = NULL WHERE {pushed('waiting')} OR {pushed('stuck')}",
        f"UPDATE gen_intents SET planned_at = TIMESTAMPTZ '2026-09-02 00:00:00+00' WHERE {pushed('stuck')}",
        f"UPDATE gen_intents SET state = 'REJECTED', confirmed_at = NULL WHERE {pushed('refused')}",
        f"UPDATE {_WMS} SET returned_at = returned_at - INTERVAL 80 HOUR WHERE return_code = '{code['late']}'",
    )
    found = _proof(units)

    assert _states(units) == {
        unit["missing"]: "NOT_ADDED",
        unit["doubled"]: "ADDED_TWICE",
        unit["damaged"]: "NOT_SELLABLE",
        unit["waiting"]: "WAITING",
        unit["stuck"]: "NOT_ADDED",
        unit["late"]: "SEEN_LATE",
        unit["refused"]: "NOT_ADDED",
    }
    assert {(row.subject, row.difference_minor) for row in found.failing} == {
        (unit["missing"], -1),
        (unit["doubled"], 1),
        (unit["damaged"], 1),
        (unit["stuck"], -1),
        (unit["refused"], -1),
    }
    assert "5 of" in found.message
    assert "by -1 unit together" in found.message
    units.con.close()


@pytest.mark.proves("I10")
def test_an_addition_of_a_unit_nobody_received_is_seen(tmp_path: Path) -> None:
    world = make_world(tmp_path, lines=20)
    world.con.execute(_ADDITIONS)
    _set(world, stock_authority="returns_delta")
    world.plant(
        "INSERT INTO gen_intents SELECT * REPLACE ('delta:peoplevox:NONE:SKU-1:1#1' AS natural_key, 'SNONE' AS intent_id, "
        "TIMESTAMPTZ '2026-10-20 00:00:00+00' AS confirmed_at) FROM gen_intents WHERE kind = 'push_stock' LIMIT 1"
    )

    assert [(row.subject, row.difference_minor) for row in _proof(world).failing] == [("peoplevox:NONE:SKU-1:1#1", 1)]
    world.con.close()


@pytest.mark.proves("I10")
def test_every_offer_has_what_the_warehouse_has_to_sell(tmp_path: Path) -> None:
    offers = make_world(tmp_path, lines=60)
    (found,) = offers.rows("SELECT count(*) AS offers FROM lake.core.mirakl__offers")
    clean = _proof(offers)
    assert (clean.ok, clean.checked, clean.difference_minor) == (True, found["offers"], {}), clean.message
    skus = [
        row["sku"]
        for row in offers.rows("SELECT offer_sku AS sku FROM lake.core.mirakl__offers WHERE quantity > 6 ORDER BY 1")
    ]
    drifted, waiting, unread, oversold, nobody, kept = skus[:6]
    push = (
        "INSERT INTO gen_intents SELECT * REPLACE ('push_stock' AS kind, '{0}@t' AS natural_key, 'P{0}' AS intent_id, "
        """'{{"offer_sku":"{0}","quantity":1}}' AS body, '{1}' AS state, {2} AS confirmed_at) FROM gen_intents ORDER BY intent_id LIMIT 1"""
    )
    offers.plant(
        "UPDATE lake.core.peoplevox__stock SET available = available - 4 WHERE item_code IN "
        f"('{drifted}', '{waiting}', '{unread}', '{oversold}')",
        push.format(waiting, "SENDING", "NULL"),
        push.format(unread, "CONFIRMED", "TIMESTAMPTZ '2026-11-02 00:00:00+00'"),
        push.format(oversold, "REJECTED", "NULL"),
        f"DELETE FROM lake.core.peoplevox__stock WHERE item_code = '{nobody}'",
    )

    assert {(row.subject, row.difference_minor) for row in _proof(offers).failing} == {
        (drifted, 4),
        (oversold, 4),
        (nobody, next(row["found_qty"] for row in _rows(offers, nobody))),
    }
    assert _states(offers) == {
        drifted: "VARIANCE",
        waiting: "WAITING",
        unread: "WAITING",
        oversold: "VARIANCE",
        nobody: "NO_FIGURE",
    }
    results = (check(offers.con, offers.shop, OCTOBER, "I10"),)
    (plan,) = variances.decide(offers.con, offers.shop, OCTOBER, results).exceptions
    assert (plan.type, plan.entity) == ("STOCK_DRIFT", {"month": "2026-10", "invariant": "I10"})
    assert _rows(offers, kept)[0]["state"] == "MATCHED"
    offers.con.close()


def _rows(world: World, sku: str) -> list[dict[str, object]]:
    return world.rows(f"SELECT * FROM lake.recon.stock_proof WHERE reference = '{sku}'")


@pytest.mark.proves("I10")
@pytest.mark.played
def test_a_buffer_is_kept_back_and_who_pushes_nothing_proves_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path, lines=20)
    _set(world, stock_buffer=3)
    (over,) = world.rows("SELECT count(*) AS offers FROM lake.core.mirakl__offers WHERE quantity > 0")
    assert _proof(world).failed == over["offers"] > 0
    world.plant("UPDATE lake.core.mirakl__offers SET quantity = greatest(quantity - 3, 0)")
    assert _proof(world).ok

    shop = world.shop.model_copy(update={"writes": {"push_stock": WriteMode.SHADOW}})
    world.settings = world.settings.model_copy(update={"shops": {shop.name: shop}})
    assert not _proof(world).has_data
    world.con.close()
