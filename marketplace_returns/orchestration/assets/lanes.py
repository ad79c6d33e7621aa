"""Lane assets: one per promise we make.

Here: the step that lets a lane decide and hands its decision to the ledger. Not here: the decision, or sending. The
invariant: materialising a lane writes plans only, and the same plan again changes nothing.
"""

import dagster as dg

from marketplace_returns.lake.connection import one_snapshot
from marketplace_returns.lanes import LANES
from marketplace_returns.model import MODEL_VIEWS
from marketplace_returns.orchestration.assets.model import model_key
from marketplace_returns.orchestration.metadata import Result
from marketplace_returns.orchestration.resources import Installation, told_plainly
from marketplace_returns.orchestration.sync import decide, decided_on
from marketplace_returns.settings import Shop


def lane_key(shop: Shop, lane: str) -> dg.AssetKey:
    """Return the asset key of a lane."""
    return dg.AssetKey([shop.name, "lanes", lane])


def lane_assets(shop: Shop) -> list[dg.AssetsDefinition]:
    """Return the lanes of a shop, most urgent first."""
    return [_lane_asset(shop, lane) for lane in LANES]


def _lane_asset(shop: Shop, lane: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=lane_key(shop, lane),
        group_name="lanes",
        deps=[model_key(shop, view) for view in MODEL_VIEWS],
        description=(LANES[lane].__doc__ or lane).strip()
        + "\n\nPlans writes and exceptions from the model; nothing is sent here.",
        kinds={"duckdb"},
        owners=["team:operations"],
    )
    def lane_asset(context: dg.AssetExecutionContext, installation: Installation) -> Result:
        with told_plainly():
            app = installation.open()
            con = decided_on(app, shop.name, run_id=context.run.run_id)
            with one_snapshot(con):
                report = decide(app, con, shop.name, lane)
        context.log.info("%s considered %d rows", lane, report.considered)
        return Result(
            metadata={
                "rows_considered": report.considered,
                "writes_planned": report.planned,
                "writes_new": report.new,
                "exceptions_seen": report.exceptions,
                "exceptions_opened": report.opened,
                "exceptions_closed": report.closed,
            }
        )

    return lane_asset
