"""``backup`` and ``restore``: a copy of ledger and lake, made while they are used, and its way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from marketplace_returns.cli.context import opened
from marketplace_returns.cli.output import Output, moment
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.clock import SystemClock
from marketplace_returns.orchestration import backup as copies
from marketplace_returns.settings import load_settings

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backup.")]


def backup(folder: FolderArgument, as_json: JsonOption = False) -> int:
    """Copy ledger, webhook inbox and lake into a new folder, consistent with each other, while everything runs on."""
    output = Output(as_json=as_json)
    with opened() as app, output.progress("backup") as step:
        made = copies.back_up(app, folder, say=lambda words: step(words, None))
    output.show(
        {"folder": str(folder), **msgspec.to_builtins(made)},
        lambda page: page.print(
            f"{folder}: backup as of {moment(made.made_at)} UTC, {made.lake_files} files of the lake."
        ),
    )
    return 0


def restore(folder: FolderArgument, as_json: JsonOption = False) -> int:
    """Put a backup back; what was sent after it is read back from the outside before anything is sent again."""
    output = Output(as_json=as_json)
    with output.progress("restore") as step:
        done = copies.restore(load_settings(), folder, SystemClock(), say=lambda words: step(words, None))
    output.show(
        msgspec.to_builtins(done),
        lambda page: page.print(
            f"Restored as of {moment(done.made_at)} UTC; what was there is kept in {done.replaced}. The next passes read back what "
            "was sent since, and send nothing before that is known."
        ),
    )
    return 0
