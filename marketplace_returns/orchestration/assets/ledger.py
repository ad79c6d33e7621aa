"""Ledger assets: what was sent, and what waits for a person.

Here: the step that sends due writes and settles unclear ones, and the exception queue as a table. Not here: the write state
machine. The invariant: no retry policy, ever: an unclear write is read back by the ledger, never sent again by Dagster.
"""

import dagster as dg

from marketplace_returns.lanes import LANES
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.assets.lanes import lane_key
from marketplace_returns.orchestration.metadata import PREVIEW_ROWS_MAX, Result, preview
from marketplace_returns.orchestration.resources import Installation, told_plainly
from marketplace_returns.orchestration.signals import open_exceptions
from marketplace_returns.orchestration.sync import send
from marketplace_returns.settings import Shop

MAPPING_COVERAGE = "mapping_coverage"
_MAPPING_TYPES = frozenset({"REASON_UNMAPPED", "DESPATCH_UNMAPPED_CARRIER", "SKU_UNMAPPED", "TL_UNMAPPED_TYPE"})


def writes_key(shop: Shop) -> dg.AssetKey:
    """Return the asset key of a shop's writes."""
    return dg.AssetKey([shop.name, "ledger", "writes"])


def exceptions_key(shop: Shop) -> dg.AssetKey:
    """Return the asset key of a shop's exception queue."""
    return dg.AssetKey([shop.name, "ledger", "exceptions_open"])


def ledger_assets(shop: Shop) -> list[dg.AssetsDefinition]:
    """Return the ledger assets of a shop."""
    return [_writes(shop), _exceptions_open(shop)]


def _writes(shop: Shop) -> dg.AssetsDefinition:
    @dg.asset(
        key=writes_key(shop),
        group_name="ledger",
        deps=[lane_key(shop, lane) for lane in LANES],
        kinds={"sqlalchemy"},
        owners=["team:operations"],
        pool=f"{shop.name}_writes",
    )
    def writes(context: dg.AssetExecutionContext, installation: Installation) -> Result:
        """The writes to the marketplace, the returns platform and the warehouse.

        Sends every due write once, reads back the unclear ones, and notes which have come to show in the lake. A write is
        sent only where the settings say live; shadow ones are shown and never sent.
        """
        with told_plainly():
            report = send(installation.open(), shop.name, run_id=context.run.run_id)
        return Result(
            metadata={
                "confirmed": report.total(State.CONFIRMED),
                "rejected": report.total(State.REJECTED),
                "unclear": report.total(State.UNKNOWN),
                "conflicts": report.total(State.CONFLICT),
                "kept_for_later": report.total(State.PLANNED),
                "reflected": report.seen.reflected,
                "settled": report.seen.settled,
                "late_to_show": report.seen.late,
                "held": report.held,
                **{f"{kind} {state}": count for (kind, state), count in report.by_kind_and_state.items()},
            }
        )

    return writes


def _exceptions_open(shop: Shop) -> dg.AssetsDefinition:
    key = exceptions_key(shop)

    @dg.asset(
        key=key,
        group_name="ledger",
        deps=[writes_key(shop)],
        kinds={"sqlalchemy"},
        owners=["team:operations"],
        check_specs=[
            dg.AssetCheckSpec(
                MAPPING_COVERAGE,
                asset=key,
                description="No outside word is missing from the mapping tables.",
            )
        ],
    )
    def exceptions_open(installation: Installation) -> Result:
        """What waits for a person, soonest due first: one row per cause, with owner, clock and money at risk."""
        with told_plainly():
            found = open_exceptions(installation.open(), shop.name)
        columns = ("type", "severity", "owner", "due_at", "seen_count", "message")
        unmapped = sum(each.type in _MAPPING_TYPES for each in found)
        return Result(
            metadata={
                "open": len(found),
                "critical": sum(each.severity == "critical" for each in found),
                "preview": preview(
                    columns,
                    [tuple(getattr(each, name) for name in columns) for each in found[:PREVIEW_ROWS_MAX]],
                ),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=MAPPING_COVERAGE,
                    passed=unmapped == 0,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"words_missing": unmapped},
                )
            ],
        )

    return exceptions_open
