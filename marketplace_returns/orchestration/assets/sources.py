"""Source assets: one per stream of a shop.

Here: the step that pulls a stream, by poll or by days. Not here: how a stream is read or typed. The invariant: a poll
moves the stored cursor, a run over days re-reads them and moves nothing; neither sends anything.
"""

import dagster as dg

from marketplace_returns.orchestration.metadata import Result, row_count, table_metadata
from marketplace_returns.orchestration.partitions import days_of, window_of
from marketplace_returns.orchestration.resources import Installation, told_plainly
from marketplace_returns.orchestration.streams import ORDERS, Reads, Stream, streams_of
from marketplace_returns.orchestration.sync import poll_or_tell
from marketplace_returns.settings import Shop

ROWS_VALID = "rows_valid"


class PullConfig(dg.Config):
    """How a source asset reads: a poll goes on from the stored cursor, else the run's days are read again."""

    poll: bool = False


def source_key(shop: Shop, stream: Stream) -> dg.AssetKey:
    """Return the asset key of a stream: shop, system, noun."""
    return dg.AssetKey([shop.name, stream.source, stream.noun])


def source_assets(shop: Shop) -> list[dg.AssetsDefinition]:
    """Return the source assets of a shop."""
    return [_source_asset(shop, stream) for stream in streams_of(shop)]


def _source_asset(shop: Shop, stream: Stream) -> dg.AssetsDefinition:
    is_windowed = stream.reads is Reads.WINDOW
    key = source_key(shop, stream)

    @dg.asset(
        key=key,
        group_name=stream.source,
        description=_description(stream),
        kinds={stream.source, "ducklake"},
        owners=["team:operations"],
        metadata=table_metadata(stream.declared_tables[0]),
        partitions_def=days_of(shop) if is_windowed else None,
        backfill_policy=dg.BackfillPolicy.single_run() if is_windowed else None,
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=stream.poll_every * 12, warn_window=stream.poll_every * 4
        ),
        check_specs=[
            dg.AssetCheckSpec(
                ROWS_VALID,
                asset=key,
                description="Every row that came fits its schema; the others are in quarantine with their reasons.",
            )
        ],
        # Two pulls of orders at once read some twice and change nothing: the cursor only goes forward.
        pool=None if stream.name == ORDERS.name else f"{shop.name}_{stream.source}_read",
    )
    def pull(context: dg.AssetExecutionContext, config: PullConfig, installation: Installation) -> Result:
        with told_plainly():
            app = installation.open()
            window = window_of(context, app.clock.now()) if is_windowed and not config.poll else None
            pulled = poll_or_tell(
                app, shop.name, stream, run_id=context.run.run_id, window=window, say=context.log.info
            )
            rows = row_count(app.con, stream.declared_tables[0].path, shop.name)
        return Result(
            metadata={
                "dagster/row_count": rows,
                "objects": pulled.objects,
                "new_objects": pulled.new,
                "quarantined_rows": pulled.quarantined,
                **{f"upserted {name}": count for name, count in pulled.rows.items()},
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=ROWS_VALID,
                    passed=pulled.quarantined == 0,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"quarantined_rows": pulled.quarantined},
                )
            ],
        )

    return pull


def _description(stream: Stream) -> str:
    how = {
        Reads.WINDOW: "A poll goes on from the stored cursor; a run over days reads those days again. Neither sends anything.",
        Reads.FULL: "Each run reads the full list.",
        Reads.TOUCHED: "Each run reads what our own writes changed and the lake does not show yet.",
    }[stream.reads]
    tables = ", ".join(f"`{table.path}`" for table in stream.declared_tables)
    return f"{stream.meaning}. {how}\n\nKept in {tables}."
