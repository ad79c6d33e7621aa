"""``lake maintain``: the upkeep of the lake's files; ``lake rebuild``: its tables made anew."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from marketplace_returns.cli.context import day_of, opened, run_id, shops
from marketplace_returns.cli.output import Output
from marketplace_returns.cli.output import table as page_table
from marketplace_returns.cli.work import JsonOption, ShopOption, read_rows, render_read
from marketplace_returns.errors import BadArgument
from marketplace_returns.orchestration.maintenance import maintain_lake
from marketplace_returns.orchestration.rebuild import Origin, rebuild
from marketplace_returns.periods import day_bounds

app = typer.Typer(help="The lake's upkeep and rebuilding.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """The lake's upkeep and rebuilding."""


@app.command("maintain")
def maintain(as_json: JsonOption = False) -> int:
    """Merge small files, expire old snapshots outside closed periods, remove orphans."""
    output = Output(as_json=as_json)
    with opened() as opened_app, output.progress("lake") as step:
        upkeep = maintain_lake(opened_app, run_id=run_id("maintain"), on_progress=lambda words: step(words, None))
    done = {**asdict(upkeep.files), **{f"{name}_ended": count for name, count in asdict(upkeep.personal).items()}}
    output.show(
        done,
        lambda page: page.print(
            page_table("Lake maintained", ("what", "count"), sorted(done.items()), right=("count",))
        ),
    )
    return 0


@app.command("rebuild")
def rebuild_tables(
    origin: Annotated[
        Origin,
        typer.Option("--from", help="landing: the payloads that are in the lake. sources: where the lake is lost."),
    ],
    shop: ShopOption = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="With sources: first day to read; else 92 days before the ledger's first write."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Make the lake's tables anew; nothing is sent. Stop what else runs on the shop meanwhile."""
    if since is not None and origin is not Origin.SOURCES:
        raise BadArgument("--since goes with --from sources: what has landed is typed from its beginning")
    first = day_of("--since", since) if since is not None else None
    output = Output(as_json=as_json)
    run = run_id("rebuild")
    done = []
    with opened() as opened_app:
        opened_app.is_rebuilding = origin is Origin.SOURCES
        for name in shops(opened_app, shop):
            start = day_bounds(first, opened_app.shop(name).time_zone)[0] if first is not None else None
            with output.progress(name) as step:
                say = lambda words, step=step: step(words, None)  # noqa: E731 - a progress bar of its own for each shop
                done.append(rebuild(opened_app, name, origin, run_id=run, since=start, say=say))
    rows = [row for each in done for row in read_rows(each.shop, each.pulls)]
    failures = [
        {"shop": each.shop, "stream": failed.stream, "error": failed.error, "message": failed.message}
        for each in done
        for failed in each.failures
    ]
    output.show(
        {"from": origin, "streams": rows, "failures": failures, "writes": 0},
        lambda page: render_read(page, f"Rebuilt from {origin}; nothing was sent", rows, failures),
    )
    return 1 if failures else 0
