"""Monitoring assets: the tables people look at every hour, day and month, and the checklist they tick.

Here: the step that looks, shows and keeps the exceptions in step. Not here: what a table holds (``monitoring``). The
invariant: looking sends nothing; the checklist's verdicts are the tables', only the name is a person's; ticks are those of the console.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from marketplace_returns.monitoring import TABLES
from marketplace_returns.monitoring.checklist import ITEMS, judge, tick
from marketplace_returns.monitoring.readers import READERS
from marketplace_returns.monitoring.watch import meaning
from marketplace_returns.orchestration.assets.ledger import exceptions_key
from marketplace_returns.orchestration.metadata import PREVIEW_ROWS_MAX, Result, preview
from marketplace_returns.orchestration.resources import Installation, told_plainly
from marketplace_returns.orchestration.sync import extend_model
from marketplace_returns.orchestration.watching import Watched, watch, watched
from marketplace_returns.settings import Shop

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App

MONTHLY = ("mapping_review", "marketplace_codes")
DAILY = (
    *("sku_audit", "new_values", "reason_quality", "seller_metrics", "trends", "transaction_types", "penalties"),
    "commission_credits",
)
HOURLY = tuple(name for name in TABLES if name not in (*DAILY, *MONTHLY))
CHECKLIST = "checklist"
WATCHED = {"hourly": HOURLY, "daily": (*DAILY, CHECKLIST), "monthly": MONTHLY}
"""Which tables are looked at how often; the checklist comes last."""

# The tables whose rows are each something to mend, with what the check says of an empty one.
_EMPTY_IS_GOOD = {
    "stock_drift": "Every offer has what the warehouse has to sell.",
    "despatch_vs_shipped": "What left the warehouse and what the marketplace shows as shipped are the same.",
    "failed_return_creations": "Every return is on the returns platform.",
    "overdue_reflections": "The marketplace shows in time what happened elsewhere.",
    "commission_credits": "Every refund gave back the commission that the contract says.",
    "new_values": "No source sends a value or field that is not known.",
}


_CHECKED = tuple(dict.fromkeys(item.table for item in ITEMS if item.table))


class ChecklistConfig(dg.Config):
    """Who goes through the checklist, and what is said of the items that rows speak against; without it those stay unticked."""

    by: str = ""
    note: str = ""


def monitoring_key(shop: Shop, table: str) -> dg.AssetKey:
    """Return the asset key of a monitoring table."""
    return dg.AssetKey([shop.name, "monitoring", table])


def monitoring_assets(shop: Shop) -> list[dg.AssetsDefinition]:
    """Return the monitoring tables of a shop, made in one step, and its checklist."""
    return [_tables(shop), _checklist(shop)]


def _tables(shop: Shop) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{shop.name}_monitoring",
        specs=[
            dg.AssetSpec(
                monitoring_key(shop, name),
                deps=[exceptions_key(shop)],
                skippable=True,
                group_name="ledger",
                description=meaning(name),
                kinds={"duckdb"},
                owners=[f"team:{READERS[name][0]}"],
            )
            for name in TABLES
        ],
        check_specs=[
            dg.AssetCheckSpec(f"{name}_empty", asset=monitoring_key(shop, name), description=promise)
            for name, promise in _EMPTY_IS_GOOD.items()
        ],
        can_subset=True,
    )
    def monitoring(
        context: dg.AssetExecutionContext, installation: Installation
    ) -> Iterator[Result | dg.AssetCheckResult]:
        wanted = [name for name in TABLES if monitoring_key(shop, name) in context.selected_asset_keys]
        with told_plainly():
            found = _looked(installation.open(), shop, wanted, run_id=context.run.run_id)
        checks = {key.name for key in context.selected_asset_check_keys}
        for name in wanted:
            yield Result(asset_key=monitoring_key(shop, name), metadata=_shown(found[name]))
            if f"{name}_empty" in checks:
                rows = len(found[name].seen.rows)
                yield dg.AssetCheckResult(
                    check_name=f"{name}_empty",
                    asset_key=monitoring_key(shop, name),
                    passed=rows == 0,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"rows": rows},
                )

    return monitoring


def _checklist(shop: Shop) -> dg.AssetsDefinition:
    key = monitoring_key(shop, CHECKLIST)

    @dg.asset(
        key=key,
        group_name="ledger",
        deps=[monitoring_key(shop, name) for name in _CHECKED],
        kinds={"duckdb"},
        owners=["team:operations"],
        check_specs=[
            dg.AssetCheckSpec("all_in_order", asset=key, description="Every item of the checklist is in order.")
        ],
    )
    def checklist(context: dg.AssetExecutionContext, config: ChecklistConfig, installation: Installation) -> Result:
        """The checks of each department that a table judges: each item's verdict, and who ticked it last and when (R42).

        People tick them in the console. Whoever goes through the list here materialises it with `by` in the run's configuration.
        """
        with told_plainly():
            app = installation.open()
            found = _looked(app, shop, _CHECKED, run_id=context.run.run_id)
        judged = sorted(
            judge({name: each.seen for name, each in found.items()}), key=lambda each: each.is_in_order
        )  # the preview is cut at its end
        if config.by:
            for each in judged:
                if each.is_in_order or config.note.strip():
                    tick(app.ledger, shop.name, each.item, each.open_rows, by=config.by, note=config.note)
        last = app.ledger.last_ticks(shop.name, [each.item.key for each in judged])
        columns = ("tick", "item", "owner", "cadence", "open", "example", "checked_by", "checked_at")
        rows = [
            (
                "✓" if each.is_in_order else "✗",
                each.item.item,
                each.item.owner,
                each.item.cadence,
                each.open_rows,
                each.example,
                last[each.item.key].actor if each.item.key in last else "",
                last[each.item.key].at if each.item.key in last else None,
            )
            for each in judged
        ]
        not_in_order = sum(not each.is_in_order for each in judged)
        return Result(
            metadata={
                "checked_by": config.by or "nobody yet",
                "checked_at": dg.MetadataValue.timestamp(app.clock.now()),
                "note": config.note,
                "not_in_order": not_in_order,
                "preview": preview(columns, rows),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="all_in_order",
                    passed=not_in_order == 0,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"not_in_order": not_in_order},
                )
            ],
        )

    return checklist


def _looked(app: "App", shop: Shop, tables: Sequence[str], *, run_id: str) -> dict[str, Watched]:
    """Look at tables over the model as it is now."""
    extend_model(app, shop.name, run_id=run_id)
    con = watched(app, shop, app.con)
    return watch(app, shop.name, con, tables)


def _shown(each: Watched) -> dict[str, Any]:
    seen = each.seen
    shown: dict[str, Any] = {
        "dagster/row_count": len(seen.rows),
        "exceptions_opened": each.opened,
        "exceptions_closed": each.closed,
        "preview": preview(seen.columns, seen.rows[:PREVIEW_ROWS_MAX], seen.kinds),
    }
    if "state" in seen.columns:  # how many rows stand where, as numbers that plot
        at = seen.columns.index("state")
        for state in dict.fromkeys(row[at] for row in seen.rows):
            shown[f"rows {state}"] = sum(row[at] == state for row in seen.rows)
    return shown
