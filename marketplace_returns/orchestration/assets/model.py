"""Model assets: the one vocabulary, as views over the lake.

Here: the step that gives new return units their numbers and counts each view. Not here: the views. The invariant: a view
is never stored, so materialising it twice changes nothing but what is shown.
"""

from collections.abc import Iterator

import dagster as dg

from marketplace_returns.model import MODEL_VIEWS
from marketplace_returns.orchestration.assets.sources import source_key
from marketplace_returns.orchestration.metadata import PREVIEW_ROWS_MAX, Result, preview, row_count
from marketplace_returns.orchestration.resources import Installation, told_plainly
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.orchestration.sync import extend_model
from marketplace_returns.settings import Shop

MEANINGS = {
    "orders": "One row per order of the marketplace, with what the warehouse knows of it.",
    "order_lines": "One row per order line, the spine of all matching, with the warehouse's item code.",
    "refunds": "One row per refund of an order line, whoever made it.",
    "despatches": "One row per despatched item line, matched to its order line.",
    "platform_returns": "One row per return of the returns platform, in our own words.",
    "return_cases": "One row per return of the marketplace, with its other faces.",
    "receipts": "One row per physical unit that was inspected, with its disposition.",
    "return_units": "One row per physical unit announced on a return: what becomes of it and what it is owed.",
    "stock": "One row per offer, with what the warehouse has.",
    "events": "One row per thing that happened, with source and time: the timeline of an order.",
}


def model_key(shop: Shop, view: str) -> dg.AssetKey:
    """Return the asset key of a model view."""
    return dg.AssetKey([shop.name, "model", view])


def model_assets(shop: Shop) -> dg.AssetsDefinition:
    """Return the model of a shop, an asset per view, made in one step."""
    sources = [source_key(shop, stream) for stream in streams_of(shop)]

    @dg.multi_asset(
        name=f"{shop.name}_model",
        specs=[
            dg.AssetSpec(
                model_key(shop, view),
                deps=sources,
                skippable=True,
                group_name="model",
                description=MEANINGS.get(view, view),
                kinds={"duckdb"},
                owners=["team:operations"],
                metadata={"dagster/table_name": f"model.{view}"},
            )
            for view in MODEL_VIEWS
        ],
        can_subset=True,
    )
    def model(context: dg.AssetExecutionContext, installation: Installation) -> Iterator[Result]:
        with told_plainly():
            app = installation.open()
            assigned = extend_model(app, shop.name, run_id=context.run.run_id)
            con = app.con
            for view in MODEL_VIEWS:
                key = model_key(shop, view)
                if key not in context.selected_asset_keys:
                    continue
                found = con.execute(f"SELECT * FROM model.{view} WHERE shop = ? LIMIT {PREVIEW_ROWS_MAX}", [shop.name])
                columns = [column[0] for column in found.description or []]
                sample = preview(columns, found.fetchall())
                yield Result(
                    asset_key=key,
                    metadata={
                        "dagster/row_count": row_count(con, f"model.{view}", shop.name),
                        "newly_assigned": assigned,
                        "preview": sample,
                    },
                )

    return model
