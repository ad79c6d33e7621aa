"""``marketplace-returns``: the commands, and what their ends mean.

Exit codes are the contract's: 0 success, 1 work left undone, 2 bad use or bad settings. A person's mistake never shows a
traceback: every error of ours is one message.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated

import duckdb
import typer
from sqlalchemy.exc import OperationalError

from marketplace_returns.cli import (
    alerts,
    audit,
    backup,
    check,
    console,
    demo,
    exceptions,
    lake,
    mappings,
    monitoring,
    month,
    periods,
    privacy,
    sandbox,
    serve,
    trace,
    training,
    webhooks,
    work,
)
from marketplace_returns.cli.output import as_json_text
from marketplace_returns.errors import BadArgument, BadMapping, BadSettings, MarketplaceReturnsError
from marketplace_returns.lake.connection import is_short_of_memory

DONE, LEFT_UNDONE, BAD_USE = 0, 1, 2
_INTERRUPTED = 130
"""What the parser makes of Ctrl-C in a command."""
_QUERY_INTERRUPTED = "Query interrupted"
"""What DuckDB makes of Ctrl-C in a query."""
_NO_ROOM = ("disk is full", "disk full", "disk i/o error", "no space left", "file too large", "could not write")
"""Words by which SQLite, Postgres and DuckDB say that nothing more can be written."""

app = typer.Typer(
    name="marketplace-returns",
    help="Keeps orders, returns, refunds, stock and money in step, and proves every month to the penny.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo.demo)
app.command("sandbox")(sandbox.sandbox)
app.command("check")(check.check)
app.command("sync")(work.sync)
app.command("backfill")(work.backfill)
app.command("reconcile")(month.reconcile)
app.command("close")(periods.close)
app.command("sign")(periods.sign)
app.command("reopen")(periods.reopen)
app.command("export")(month.export)
app.command("trace")(trace.trace)
app.command("serve")(serve.serve)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("webhooks")(webhooks.webhooks)
app.add_typer(exceptions.app, name="exceptions")
app.add_typer(alerts.app, name="alerts")
app.add_typer(lake.app, name="lake")
app.add_typer(mappings.app, name="mappings")
app.add_typer(monitoring.tables, name="tables")
app.add_typer(monitoring.checklist, name="checklist")
app.add_typer(audit.app, name="audit")
app.add_typer(privacy.app, name="privacy")
app.add_typer(training.app, name="training")
app.add_typer(console.app, name="console")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - only when asked

        typer.echo(version("marketplace-returns"))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keeps orders, returns, refunds, stock and money in step, and proves every month to the penny."""


def run() -> None:
    """Run the command line and leave with the contract's exit code."""
    gc.freeze()  # what was imported is never garbage: the collector need not walk it again and again
    warnings.filterwarnings("ignore", module="dagster")
    try:
        _refuse_unreadable(sys.argv[1:])
        code = _ended()
    except (BadSettings, BadMapping, BadArgument) as mistake:
        sys.exit(_tell(mistake, str(mistake), BAD_USE))
    except MarketplaceReturnsError as error:
        sys.exit(_tell(error, str(error), LEFT_UNDONE))
    except typer.Abort:
        sys.exit(BAD_USE)
    except typer.TyperException as usage:
        # shown in full by the parser's own class, which this one stands for
        show: Callable[[], None] = getattr(usage, "show")  # noqa: B009
        show()
        words: Callable[[], str] = getattr(usage, "format_message")  # noqa: B009
        sys.exit(_tell_program(usage, words(), BAD_USE))
    except KeyboardInterrupt as stopped:
        told = "Stopped. What was sent is in the ledger; the next run settles what is unclear."
        sys.exit(_tell(stopped, told, LEFT_UNDONE))
    except BrokenPipeError:
        # the reader of our output went away, such as `| head`: nothing is wrong, and nothing can be told
        sys.stdout = None
        sys.exit(LEFT_UNDONE)
    except OSError as refused:
        place = refused.filename or "this machine"
        sys.exit(_tell(refused, f"{place}: {refused.strerror or refused}; mend that and try again", LEFT_UNDONE))
    except (duckdb.Error, OperationalError) as error:
        told = _of_storage(error)
        if not told:
            raise
        sys.exit(_tell(error, told, LEFT_UNDONE))
    sys.exit(code if isinstance(code, int) else DONE)


def _ended() -> object:
    """Run the command and return how it ended; Ctrl-C is a KeyboardInterrupt wherever it met the command."""
    try:
        code: object = app(standalone_mode=False)
    except RuntimeError as fault:
        if str(fault) == _QUERY_INTERRUPTED:
            raise KeyboardInterrupt from fault
        raise
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return code


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Raise BadArgument for an argument whose bytes are no text: nothing could be asked, kept or told with it."""
    for number, argument in enumerate(arguments, 1):
        if any("\ud800" <= sign <= "\udfff" for sign in argument):
            shown = argument.encode("utf-8", "replace").decode()
            raise BadArgument(
                f"argument {number}, {shown!r}, is not UTF-8 text: type it anew in a terminal that is UTF-8"
            )


def _of_storage(error: Exception) -> str:
    """Say what a database that cannot be used means to a person; nothing where it is a fault of this program."""
    words = str(error).lower()
    if isinstance(error, duckdb.Error) and is_short_of_memory(error):
        return "That takes more memory than lake_memory_mb gives: raise it in shops.toml, and run again. What was done before stands."
    if "locked" in words:
        return "The lake is busy: another process holds its catalog. What was done before stands; try again."
    if any(sign in words for sign in _NO_ROOM):
        return (
            "The data folder cannot be written: its disk is full, or there is a limit on the size of files. What was sent "
            "is in the ledger, and what is unclear is read back; make room, then run again."
        )
    return ""


def _tell(error: BaseException, words: str, code: int) -> int:
    """Tell a person on standard error, a program on standard output, and return the exit code."""
    sys.stderr.write(f"{words}\n")
    return _tell_program(error, words, code)


def _tell_program(error: BaseException, words: str, code: int) -> int:
    """Give a program that asked for JSON its one document also where the command failed."""
    if "--json" in sys.argv:
        sys.stdout.write(as_json_text({"error": {"type": type(error).__name__, "message": words}}) + "\n")
    return code


if __name__ == "__main__":
    run()
