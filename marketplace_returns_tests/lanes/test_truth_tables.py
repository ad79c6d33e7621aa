"""Truth tables: over (platform, status, disposition, policy), exactly which writes are made; every cell not named makes none.

Every status word of the platform (and one nobody mapped), every disposition (and none, and one nobody mapped), every
trigger and deadline policy, before and after the deadline, is asked of the real lanes on one model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import Any

import pyarrow as pa
import pytest

from marketplace_returns import model
from marketplace_returns.lake import tables
from marketplace_returns.lanes.plan import LaneDecision
from marketplace_returns.mappings import Disposition, DispositionRow, Flow, Reason, SourceSystem, TargetVocabulary
from marketplace_returns.sources.platforms import PLATFORMS
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP, CoreRows

pytestmark = pytest.mark.proves("R66", "R68", "R69", "R75", "R76", "R27", "R13", "C1", "C6")

NONE, UNMAPPED = "not inspected", "unmapped"
MAPPED = tuple(str(each) for each in Disposition)
DISPOSITIONS = (NONE, UNMAPPED, *MAPPED)
NEW_WORD = "A_WORD_NOBODY_MAPPED"
STATUSES = (
    "requested",
    "approved",
    "in_transit",
    "at_hub",
    "received",
    "in_review",
    "inspected",
    "completed",
    "rejected",
    "cancelled",
    NEW_WORD,
)
TRIGGERS = ("inspected", "received", "carrier_scan")
DEADLINE_H = 10
BEFORE, AFTER = NOW + timedelta(hours=1), NOW + timedelta(hours=DEADLINE_H + 1)

# What the platform's word goes with: the parcel was scanned, it arrived. The word alone does nothing (R69).
SCANNED = ("in_transit", "at_hub", "received", "in_review", "inspected", "completed")
ARRIVED = ("received", "in_review", "inspected", "completed")

# -- the tables: what is made, by disposition and status ------------------------------------------------------------------
REFUNDED_BY_TRIGGER = {
    "inspected": {"sellable": STATUSES},
    "received": {"sellable": STATUSES, NONE: ARRIVED},
    "carrier_scan": {"sellable": STATUSES, NONE: SCANNED},
}
REFUNDED_AT_THE_DEADLINE = {NONE: ARRIVED}  # the clock runs from receipt
RECEIVED_ON_THE_MARKETPLACE = dict.fromkeys((UNMAPPED, *MAPPED), STATUSES)
REPORTED = dict.fromkeys(MAPPED, STATUSES)
CLOSED = dict.fromkeys(MAPPED, STATUSES)
RESTOCKED = {"sellable": STATUSES}


@dataclass
class World:
    """One shop with a return for every cell; ``word_of`` gives a status word of the platform its canonical one."""

    core: CoreRows
    word_of: dict[str, str]

    def cells(self, decision: LaneDecision, kind: str, stage: str = "open") -> set[tuple[str, str]]:
        """Return the (canonical or raw status, disposition) of every case that a kind of write is planned for."""
        return {
            (word, disposition)
            for plan in decision.intents
            if str(plan.kind) == kind
            for of_stage, word, disposition in [plan.order_id.split("/")]
            if of_stage == stage
        }

    def expected(self, *of: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
        """Return the cells of a table with each canonical status as every word the platform has for it."""
        return {
            (word, disposition)
            for table in of
            for disposition, statuses in table.items()
            for word, canonical in self.word_of.items()
            if canonical in statuses
        }


@pytest.fixture(scope="module", params=list(product(sorted(PLATFORMS), ("warehouse", "platform"))), ids="-".join)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    platform, inspector = request.param
    core = CoreRows.make(tmp_path_factory.mktemp("truth"), policy=f'inspected_by = "{inspector}"')
    shop = core.settings.shops[SHOP]
    returns = shop.returns.model_copy(update={"platform": platform})
    core.settings = core.settings.model_copy(update={"shops": {SHOP: shop.model_copy(update={"returns": returns})}})
    source = SourceSystem(platform if inspector == "platform" else "peoplevox")
    core.mappings = replace(
        core.mappings,
        dispositions=tuple(DispositionRow(source, _code(inspector, each), each) for each in Disposition),
        reasons=(*_reasons(core, source, platform),),
    )
    statuses = [row for row in core.mappings.statuses if row.source_system == platform]
    word_of = {row.source_code: str(row.canonical) for row in statuses} | {NEW_WORD: NEW_WORD}
    reported: dict[str, list[dict[str, Any]]] = {"returns": [], "items": [], "refunds": []}
    core.put(tables.MIRAKL_OFFERS, offer_sku="A", quantity=1, currency="GBP")
    for stage, word, disposition in product(("open", "reported"), word_of, DISPOSITIONS):
        _case(core, reported, platform, inspector, stage, word, word_of[word], disposition)
    core.ready()
    for name, rows in reported.items():
        _report(core, name, rows)
    model.assign_return_units(core.lake, core.con, SHOP, "test", NOW)
    yield World(core, word_of)
    core.con.close()


def _code(inspector: str, disposition: str) -> str:
    return f"{disposition}|true" if inspector == "warehouse" else disposition


def _reasons(core: CoreRows, source: SourceSystem, platform: str) -> Iterator[Reason]:
    yield from (row for row in core.mappings.reasons if row.flow != Flow.REPORT_COMPLIANCE)
    for disposition in Disposition:
        for target in (TargetVocabulary.MIRAKL_NON_COMPLIANT, TargetVocabulary(platform)):
            yield Reason(source, str(disposition), Flow.REPORT_COMPLIANCE, target, "code", None, None)


def _case(
    core: CoreRows,
    reported: dict[str, list[dict[str, Any]]],
    platform: str,
    inspector: str,
    stage: str,
    word: str,
    canonical: str,
    disposition: str,
) -> None:
    """Put one order with its return on both sides, its inspection, and in stage ``reported`` all that precedes a close."""
    order_id = f"{stage}/{word}/{disposition}"
    line_id, is_reported = f"{order_id}-1", stage == "reported"
    core.order(order_id, "RECEIVED", (("A", 1, 1000),))
    core.returned(f"R/{order_id}", order_id, "RECEIVED" if is_reported else "IN_PROGRESS", lines=())
    core.put(
        tables.MIRAKL_RETURN_LINES,
        return_id=f"R/{order_id}",
        order_id=order_id,
        order_line_id=line_id,
        quantity=1,
        reason_code="RETURN_CHANGED_MIND",
        compliance='[{"compliant":true}]' if is_reported else None,
    )
    if is_reported and disposition == "sellable":
        core.refunded(f"F/{order_id}", line_id, 1000)
    core.links.append((f"R/{order_id}", f"P/{order_id}"))
    inspected_at = None if disposition == NONE else NOW
    reported["returns"].append(
        {
            "platform_return_id": f"P/{order_id}",
            "order_id": order_id,
            "platform_status": word,
            "currency": "GBP",
            "created_at": NOW,
            "updated_at": NOW,
            "shipped_at": NOW if canonical in SCANNED else None,
            "received_at": NOW if canonical in ARRIVED else None,
        }
    )
    found = None if disposition == NONE else _code(inspector, disposition)
    reported["items"].append(
        {
            "platform_return_id": f"P/{order_id}",
            "item_id": f"I/{order_id}",
            "order_line_id": line_id,
            "sku": "A",
            "quantity": 1,
            "disposition_code": found if inspector == "platform" else None,
            "inspected_at": inspected_at if inspector == "platform" else None,
            "is_outcome_due": False,
        }
    )
    if inspector == "warehouse" and disposition != NONE:
        core.inspected(f"C/{order_id}", order_id, "A", condition=disposition, returned_at=NOW)


def _report(core: CoreRows, name: str, rows: list[dict[str, Any]]) -> None:
    """Let the platform report these rows, whatever its own tables look like: its SQL has tests of its own."""
    columns = core.con.execute(f"DESCRIBE reported.{name}").fetchall()
    known = {"shop": SHOP, "platform": str(core.shop.returns.platform), "payload_hash": "hash"}
    table = pa.table({column: pa.array([(known | row).get(column) for row in rows]) for column, *_ in columns})
    core.con.register("told", table)
    parts = ", ".join(f"CAST({column} AS {kind}) AS {column}" for column, kind, *_ in columns)
    core.con.execute(f"CREATE OR REPLACE TABLE memory.main.told_{name} AS SELECT {parts} FROM told")
    core.con.unregister("told")
    core.con.execute(f"CREATE OR REPLACE VIEW memory.reported.{name} AS SELECT * FROM memory.main.told_{name}")


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("at_deadline", ["escalate", "refund"])
@pytest.mark.parametrize("now", [BEFORE, AFTER], ids=["before", "after"])
def test_refunds(world: World, trigger: str, at_deadline: str, now: Any) -> None:
    decision = world.core.under(
        "refunds",
        now,
        refund_trigger=trigger,
        refund_at_deadline=at_deadline,
        refund_deadline_from="received",
        refund_deadline_hours=DEADLINE_H,
    )
    wanted = [REFUNDED_BY_TRIGGER[trigger]]
    if at_deadline == "refund" and now == AFTER:
        wanted.append(REFUNDED_AT_THE_DEADLINE)
    assert world.cells(decision, "refund") == world.expected(*wanted)
    forced = {plan.evidence["evidence_class"] for plan in decision.intents}
    assert ("SLA_FORCED" in forced) is (trigger == "inspected" and len(wanted) == 2)


def test_reports_and_closes(world: World) -> None:
    decision = world.core.under("closing")
    assert world.cells(decision, "receive_return") == world.expected(RECEIVED_ON_THE_MARKETPLACE)
    assert world.cells(decision, "report_compliance") == world.expected(REPORTED)
    assert world.cells(decision, "close_return") == set()
    assert world.cells(decision, "close_return", "reported") == world.expected(CLOSED)
    assert world.cells(decision, "report_compliance", "reported") == set()


@pytest.mark.parametrize(("authority", "table"), [("returns_delta", RESTOCKED), ("wms_absolute", {})])
def test_restocks(world: World, authority: str, table: dict[str, tuple[str, ...]]) -> None:
    decision = world.core.under("restock", stock_authority=authority)
    assert world.cells(decision, "push_stock") == world.expected(table)
