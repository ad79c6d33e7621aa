"""Month-end assets: the tables of a month, each an asset, and the proofs as their checks.

Here: the step that closes the months of a run and shows what came of it. Not here: a table's SQL or a proof. The invariant:
closing a month changes nothing outside, and a signed month is refused by the ledger's period state.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from marketplace_returns.lake.tables import Kind, Table
from marketplace_returns.model import MODEL_VIEWS
from marketplace_returns.money import amount_text
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.assets.ledger import writes_key
from marketplace_returns.orchestration.assets.model import model_key
from marketplace_returns.orchestration.assets.sources import source_key
from marketplace_returns.orchestration.metadata import Result, picture, preview, table_metadata
from marketplace_returns.orchestration.month import (
    ClosedMonth,
    TableView,
    close,
    months_before,
    reviewed,
)
from marketplace_returns.orchestration.partitions import months_of
from marketplace_returns.orchestration.resources import Installation, told_plainly
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.invariants import COUNTED, INVARIANTS, CheckResult
from marketplace_returns.reconciliation.metrics import Metrics, figures
from marketplace_returns.reconciliation.tables import PACK_TABLES, PAYOUT_PROOF, PackTable
from marketplace_returns.settings import Shop

# The table whose page a proof belongs on.
_PROVEN_BY = {
    "I1": "payout_proof",
    "I2": "payout_components",
    "I3": "control_roll_forward",
    "I4": "control_roll_forward",
    "I5": "order_vs_ledger",
    "I6": "refund_three_way",
    "I7": "refund_three_way",
    "I8": "returns_physical_roll",
    "I9": "refund_three_way",
    "I10": "stock_proof",
    "I11": "refund_three_way",
    "I12": "commission_variance",
    "I13": "vat_summary",
    "I14": "refund_accrual_bridge",
    "I15": "journal_lines",
    "I16": "order_vs_ledger",
    "I17": "aged_unmatched",
    "I18": "payout_proof",
}
_FAILING_COLUMNS = ("currency", "subject", "detail", "difference", "explained")
_BEFORE_COLUMNS = ("month", "state", "days to close", "days to sign", "adjusted since", "by")
_FINANCE_STREAMS = frozenset({"mirakl/transaction", "mirakl/billing_cycle", "mirakl/invoice"})


def month_end_key(shop: Shop, table: str) -> dg.AssetKey:
    """Return the asset key of a month-end table."""
    return dg.AssetKey([shop.name, "reconciliation", table])


def month_end_assets(shop: Shop) -> dg.AssetsDefinition:
    """Return the month-end tables of a shop, made together in one step, each month replaced as a whole."""
    deps = [
        *(model_key(shop, view) for view in MODEL_VIEWS),
        *(source_key(shop, stream) for stream in streams_of(shop) if stream.name in _FINANCE_STREAMS),
        writes_key(shop),
    ]

    @dg.multi_asset(
        name=f"{shop.name}_month_end",
        partitions_def=months_of(shop),
        backfill_policy=dg.BackfillPolicy.single_run(),
        specs=[_spec(shop, pack_table, deps) for pack_table in PACK_TABLES],
        check_specs=[
            dg.AssetCheckSpec(
                _check_name(invariant),
                asset=month_end_key(shop, _PROVEN_BY[invariant]),
                description=f"{invariant}: {promise}",
            )
            for invariant, (_, promise) in INVARIANTS.items()
        ],
        pool=f"{shop.name}_month_end",
    )
    def month_end(
        context: dg.AssetExecutionContext, installation: Installation
    ) -> Iterator[Result | dg.AssetCheckResult]:
        with told_plainly():
            app = installation.open()
            months = [Month.parse(key) for key in context.partition_keys]
            for month in months:
                context.log.info("closing %s of %s", month, shop.name)
                closed = close(app, shop.name, month, run_id=context.run.run_id)
            views, metrics = reviewed(app, closed)
            for pack_table in PACK_TABLES:
                metadata = _shown(closed, pack_table, views[pack_table.name])
                if pack_table is PAYOUT_PROOF:  # which finance looks at first
                    metadata |= _reviewed(app, closed, metrics)
                yield Result(asset_key=month_end_key(shop, pack_table.name), metadata=metadata)
            for check in closed.checks:
                yield _check_result(shop, closed, check)

    return month_end


def _check_name(invariant: str) -> str:
    return f"{invariant.lower()}_{INVARIANTS[invariant][0]}"


def _check_result(shop: Shop, closed: ClosedMonth, check: CheckResult) -> dg.AssetCheckResult:
    """Return a proof as Dagster shows it, with the largest of the rows that fail it."""
    failing = [(row.currency, row.subject, row.detail, row.difference_minor, row.explained) for row in check.failing]
    is_counted = check.id in COUNTED
    together: dict[str, int] = {f"difference_minor {currency}": by for currency, by in check.difference_minor.items()}
    if is_counted and together:
        together = {"difference": sum(together.values())}
    return dg.AssetCheckResult(
        check_name=_check_name(check.id),
        asset_key=month_end_key(shop, _PROVEN_BY[check.id]),
        passed=check.ok,
        severity=dg.AssetCheckSeverity.ERROR,
        description=check.message,
        metadata={
            "month": str(closed.result.month),
            "rows_checked": check.checked,
            "rows_failed": check.failed,
            "failing": preview(_FAILING_COLUMNS, failing, {} if is_counted else {"difference": Kind.MONEY}),
            **together,
        },
    )


def _spec(shop: Shop, pack_table: PackTable, deps: list[dg.AssetKey]) -> dg.AssetSpec:
    table: Table = pack_table.table
    has_money = any(column.kind is Kind.MONEY for column in table.columns)
    return dg.AssetSpec(
        month_end_key(shop, pack_table.name),
        deps=deps,
        group_name="reconciliation",
        description=f"{table.meaning}.{' Amounts are kept in minor units beside their currency.' if has_money else ''}",
        kinds={"duckdb", "ducklake"},
        owners=["team:finance"],
        metadata=table_metadata(table),
    )


def _shown(closed: ClosedMonth, pack_table: PackTable, view: TableView) -> dict[str, Any]:
    """Return what the page of a month-end table shows of the last month of the run."""
    metadata: dict[str, Any] = {
        "month": str(closed.result.month),
        "dagster/partition_row_count": closed.result.rows[pack_table.name],
        "lake_version": closed.result.lake_version,
        "preview": _preview(view),
    }
    metadata |= {f"rows {code}": count for code, count in closed.result.codes.get(pack_table.name, {}).items()}
    shown = picture(view.picture, pack_table.name)
    if shown is not None:
        metadata["picture"] = shown
    return metadata


def _reviewed(app: App, closed: ClosedMonth, metrics: Metrics) -> dict[str, Any]:
    """Return the reviewer metrics of a month as figures that plot and in words, and what became of the months before."""
    adjusted: dict[str, int] = {}
    for each in metrics.adjusted:
        adjusted[each.currency] = adjusted.get(each.currency, 0) + each.amount_minor
    plotted: dict[str, Any] = {
        "auto_match_percent": metrics.auto_match_percent,
        "days_to_close": metrics.days_to_close,
        "days_to_sign": metrics.days_to_sign,
    }
    before = [
        (
            str(each.month),
            str(each.state),
            each.days_to_close,
            each.days_to_sign,
            sum(posted.rows for posted in each.adjusted),
            ", ".join(amount_text(posted.amount_minor, posted.currency) for posted in each.adjusted),
        )
        for each in months_before(app, closed.result.shop, closed.result.month)
    ]
    return {
        **{name: float(figure) for name, figure in plotted.items() if figure is not None},
        **{f"value_unmatched_minor {each.currency}": each.amount_minor for each in metrics.value_unmatched},
        "post_close_adjustments": sum(each.rows for each in metrics.adjusted),
        **{f"post_close_adjustments_minor {currency}": minor for currency, minor in adjusted.items()},
        "reviewer_metrics": preview(
            ("metric", "figure", "what it is"), [(each.name, each.figure, each.says) for each in figures(metrics)]
        ),
        "months_before": preview(_BEFORE_COLUMNS, before),
    }


def _preview(view: TableView) -> dg.TableMetadataValue:
    """Show the columns that differ between rows: shop and month are the page's own, and the page is narrow."""
    shown = [place for place, name in enumerate(view.columns) if name not in {"shop", "month"}]
    rows = [[row[place] for place in shown] for row in view.rows]
    return preview([view.columns[place] for place in shown], rows, view.kinds)
