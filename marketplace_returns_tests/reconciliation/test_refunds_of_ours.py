"""Refunds that we made and that look right one by one: a second one of a unit, and one that the deadline forced."""

import pytest

from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.invariants import check_month
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

_R, _T = "lake.core.mirakl__refunds", "lake.core.mirakl__transactions"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    def plant(world: World) -> None:
        twice, forced = world.rows(
            f"""SELECT refund_id AS id FROM {_R} WHERE paid_at BETWEEN TIMESTAMPTZ '2026-10-05 00:00:00+00'
            AND TIMESTAMPTZ '2026-10-25 00:00:00+00' ORDER BY 1 LIMIT 2"""
        )
        world.lines.update(twice=twice["id"], forced=forced["id"])
        world.plant(
            f"INSERT INTO {_R} SELECT * REPLACE ('AGAIN' AS refund_id) FROM {_R} WHERE refund_id = '{twice['id']}'",
            f"INSERT INTO {_T} SELECT * REPLACE (transaction_id || '-2' AS transaction_id, 'AGAIN' AS refund_id) FROM {_T} WHERE refund_id = '{twice['id']}'",
            f"""INSERT INTO gen_intents SELECT * REPLACE (natural_key || '-2' AS natural_key, 'IAGAIN' AS intent_id, 'AGAIN' AS external_ref,
            sent_at + INTERVAL 1 HOUR AS sent_at) FROM gen_intents WHERE external_ref = '{twice["id"]}'""",
            f"""UPDATE gen_intents SET evidence = '{{"evidence_class":"SLA_FORCED"}}' WHERE external_ref = '{forced["id"]}'""",
            f"DELETE FROM lake.core.peoplevox__returns WHERE return_code = 'C{forced['id'][1:]}'",
        )

    made = make_world(tmp_path_factory.mktemp("ours"), lines=120, plant=plant)
    made.close()
    return made


@pytest.mark.proves("R48", "R109", "I7")
def test_the_second_refund_of_a_unit_is_matched_with_nothing(world: World) -> None:
    found = world.rows(
        f"SELECT refund_id, verdict FROM lake.recon.refund_three_way WHERE refund_id IN ('AGAIN', '{world.lines['twice']}') ORDER BY verdict"
    )
    assert found == [
        {"refund_id": "AGAIN", "verdict": "DUPLICATE_REFUND"},
        {"refund_id": world.lines["twice"], "verdict": "MATCHED"},
    ]
    proofs = {check.id: check for check in check_month(world.con, world.shop, OCTOBER)}
    assert not proofs["I7"].ok
    assert proofs["I17"].ok, "it is aged once"


@pytest.mark.proves("R108")
def test_what_the_deadline_forced_has_one_owner_on_the_list_and_in_the_queue(world: World) -> None:
    (aged,) = world.rows(
        f"SELECT owner FROM lake.recon.aged_unmatched WHERE reference = 'refund:{world.lines['forced']}'"
    )
    (asked,) = (
        plan
        for plan in variances.decide(world.con, world.shop, OCTOBER).exceptions
        if plan.entity.get("refund_id") == world.lines["forced"]
    )
    assert aged["owner"] == default_rules()[asked.type].owner
