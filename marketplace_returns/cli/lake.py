"""``lake maintain``: the upkeep of the lake's files."""

from __future__ import annotations

from dataclasses import asdict

import typer

from marketplace_returns.cli.context import opened, run_id
from marketplace_returns.cli.output import Output, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.orchestration.maintenance import maintain_lake

app = typer.Typer(help="The lake's upkeep.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """The lake's upkeep."""


@app.command("maintain")
def maintain(as_json: JsonOption = False) -> int:
    """Merge small files, expire old snapshots outside closed periods, remove orphans."""
    output = Output(as_json=as_json)
    with opened() as opened_app, output.progress("lake") as step:
        done = asdict(maintain_lake(opened_app, run_id=run_id("maintain"), on_progress=lambda words: step(words, None)))
    output.show(
        done,
        lambda page: page.print(table("Lake maintained", ("what", "count"), sorted(done.items()), right=("count",))),
    )
    return 0
