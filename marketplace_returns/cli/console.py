"""``console``: the web pages for people, and the accounts of those who use them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from marketplace_returns.cli.output import Output, moment, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.clock import SystemClock
from marketplace_returns.console.roles import Role
from marketplace_returns.errors import BadArgument, BadSettings
from marketplace_returns.settings import Settings, console_password, is_loopback, load_settings

if TYPE_CHECKING:
    from marketplace_returns.console.accounts import Account, Accounts

app = typer.Typer(help="The web console.", invoke_without_command=True)
users = typer.Typer(help="The accounts of the web console.", no_args_is_help=True)
app.add_typer(users, name="user")

COMMAND_LINE: Final = "command line"
"""Who made or changed an account, as the history keeps it: whoever may run commands on this machine."""

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account, such as anna.berg.")]


@app.callback()
def console(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; else setting console.host.")] = "",
    port: Annotated[
        int, typer.Option("--port", min=-1, max=65535, help="Port; 0 picks a free one; else setting console.port.")
    ] = -1,
    as_json: JsonOption = False,
) -> int:
    """Serve the web console: exceptions, months, write switches and the history, by role."""
    if context.invoked_subcommand is not None:
        return 0
    return _serve(load_settings(), host, port, Output(as_json=as_json))


@users.command("add")
def add(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", help=f"One of {', '.join(Role)}.")],
    as_json: JsonOption = False,
) -> int:
    """Make an account; its password is asked for, or taken from MARKETPLACE_RETURNS_CONSOLE_PASSWORD."""
    with _accounts() as accounts:
        made = accounts.add(name, role, _password(), by=COMMAND_LINE)
    return _tell(made, f"{made.name} may log in as {made.role}.", as_json=as_json)


@users.command("list")
def list_(as_json: JsonOption = False) -> int:
    """List the accounts."""
    with _accounts() as accounts:
        found = accounts.list()
    rows = [(each.name, each.role, moment(each.made_at), moment(each.disabled_at)) for each in found]
    Output(as_json=as_json).show(
        {"accounts": found},
        lambda page: page.print(table("Accounts of the console", ("name", "role", "made", "disabled"), rows)),
    )
    return 0


@users.command("disable")
def disable(name: NameArgument, as_json: JsonOption = False) -> int:
    """End an account and its log-ins; its name stays in the history."""
    with _accounts() as accounts:
        ended = accounts.disable(name, by=COMMAND_LINE)
    return _tell(ended, f"{ended.name} may not log in any more.", as_json=as_json)


@users.command("role")
def role(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", help=f"One of {', '.join(Role)}.")],
    as_json: JsonOption = False,
) -> int:
    """Give an account another role; whoever is logged in with it logs in again."""
    with _accounts() as accounts:
        changed = accounts.set_role(name, role, by=COMMAND_LINE)
    words = f"{changed.name} is {changed.role} now; whoever is logged in as {changed.name} logs in again."
    return _tell(changed, words, as_json=as_json)


@users.command("password")
def password(name: NameArgument, as_json: JsonOption = False) -> int:
    """Set an account's password anew, and end its log-ins."""
    with _accounts() as accounts:
        changed = accounts.set_password(name, _password(), by=COMMAND_LINE)
    return _tell(changed, f"The password of {changed.name} is set.", as_json=as_json)


def _serve(settings: Settings, host: str, port: int, output: Output) -> int:
    from marketplace_returns.console.server import open_console  # noqa: PLC0415 - other commands need none of it
    from marketplace_returns.webhooks.server import listen, serve  # noqa: PLC0415

    host = host or settings.console.host
    port = settings.console.port if port < 0 else port
    if not is_loopback(f"http://{host}") and not settings.console.is_encrypted:
        raise BadSettings(
            f"--host {host} lets other machines in, and console.base_url is not https: passwords would go unencrypted. Put a TLS "
            "proxy before it and set console.base_url to its address"
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # the server ends by itself; what it then raises again is no mistake
    taken = listen(host, port)
    url = settings.console.base_url or "http://{}:{}".format(*taken.getsockname()[:2])
    served = open_console(settings, SystemClock())

    def told() -> None:
        output.show({"url": url}, lambda page: page.print(f"The console is at {url} (stop with Ctrl-C)."))
        output.page.file.flush()

    serve(served, [taken], told, trusted_proxy=settings.console.proxy if settings.console.base_url else "")
    return 0


@contextmanager
def _accounts() -> Iterator[Accounts]:
    from marketplace_returns.console.accounts import Accounts  # noqa: PLC0415 - hashing is only for these commands

    accounts = Accounts.open(load_settings(), SystemClock())
    try:
        yield accounts
    finally:
        accounts.close()


def _password() -> str:
    """Return the password, from the environment or asked for twice; never an argument, which others on the machine can see."""
    given = console_password()
    if given:
        return given
    try:
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt="Password once more", err=True)
    except typer.Abort:
        raise BadArgument(
            "no password was given: type one, or put it into MARKETPLACE_RETURNS_CONSOLE_PASSWORD for this command"
        ) from None
    return asked


def _tell(account: Account, words: str, *, as_json: bool) -> int:
    Output(as_json=as_json).show({"account": account}, lambda page: page.print(words))
    return 0
