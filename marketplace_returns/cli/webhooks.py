"""``webhooks``: the service that hears of changes, and our subscriptions to them."""

from __future__ import annotations

import signal
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from marketplace_returns.cli.context import opened
from marketplace_returns.cli.output import Output, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.clock import SystemClock
from marketplace_returns.errors import SourceError
from marketplace_returns.orchestration.subscribing import Subscribed, subscribe
from marketplace_returns.orchestration.sync import with_mend
from marketplace_returns.settings import Settings, load_settings
from marketplace_returns.webhooks.app import build
from marketplace_returns.webhooks.doors import Doors, doors_of
from marketplace_returns.webhooks.inbox import Inbox
from marketplace_returns.webhooks.server import listen, serve

PORT: Final = 8700


def webhooks(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; put a TLS proxy before it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")] = PORT,
    register: Annotated[
        bool, typer.Option("--subscribe", help="Do not serve: subscribe our addresses at the sources that take that.")
    ] = False,
    shop: ShopOption = None,
    as_json: JsonOption = False,
) -> int:
    """Receive webhooks of the returns platforms and the warehouse, durably, as hints of what to read again."""
    output = Output(as_json=as_json)
    settings = load_settings()
    shops = [settings.shop(shop).name] if shop is not None else sorted(settings.shops)
    doors = doors_of(settings, shops)
    if register:
        return _subscribe(doors, output)
    return _serve(settings, doors, host, port, output)


def _serve(settings: Settings, doors: Doors, host: str, port: int, output: Output) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # the server ends by itself; what it then raises again is no mistake
    taken = listen(host, port)
    base_url = "http://{}:{}".format(*taken.getsockname()[:2])
    inbox = Inbox.open(settings)

    def told() -> None:
        output.show(_document(doors, base_url), lambda page: _render(page, doors, base_url))
        output.page.file.flush()

    serve(build(doors.open, settings.webhooks, inbox, SystemClock()), [taken], told)
    return 0


def _document(doors: Doors, base_url: str) -> dict[str, Any]:
    """Describe what is served; a token never shows."""
    return {
        "base_url": base_url,
        "received": [
            {
                "shop": door.shop,
                "source": door.source,
                "path": f"/webhooks/{door.shop}/{door.source}/<token>",
                "is_signed": bool(door.secret),
            }
            for door in doors.open
        ],
        "not_received": [
            {"shop": each.shop, "source": each.source, "variable": each.variable} for each in doors.closed
        ],
    }


def _render(page: Console, doors: Doors, base_url: str) -> None:
    page.print(
        table(
            f"Webhooks are received at {base_url} (stop with Ctrl-C)",
            ("shop", "source", "path", "signed"),
            [
                (
                    door.shop,
                    door.source,
                    f"/webhooks/{door.shop}/{door.source}/<token>",
                    "must be" if door.secret else "by token only",
                )
                for door in doors.open
            ],
            wrap=("path",),
        )
    )
    for each in doors.closed:
        page.print(f"\n{each.shop}/{each.source}: not received; its changes come by polling. Set {each.variable}.")


def _subscribe(doors: Doors, output: Output) -> int:
    done: list[Subscribed] = []
    failures: list[dict[str, str]] = []
    with opened() as app:
        for door in doors.open:
            try:
                done += subscribe(app, door)
            except SourceError as error:
                words = with_mend(app.shop(door.shop), door.source, error)
                failures.append(
                    {"shop": door.shop, "source": door.source, "error": type(error).__name__, "message": words}
                )

    def render(page: Console) -> None:
        page.print(
            table(
                "Subscriptions",
                ("shop", "source", "event", "now"),
                [(each.shop, each.source, each.event_type, each.now) for each in done],
            )
        )
        for failure in failures:
            page.print(f"\n{failure['shop']}/{failure['source']}: {failure['message']}")

    output.show({"subscriptions": done, "failures": failures}, render)
    return 1 if failures else 0
