"""``alerts``: telling people of exceptions, and trying whether that works."""

from __future__ import annotations

import typer
from rich.console import Console

from marketplace_returns.alerts import Told, owners_without_channel, send_due, try_channels
from marketplace_returns.cli.context import opened, run_id
from marketplace_returns.cli.output import Output, moment, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.ledger.catalogue import Catalogue
from marketplace_returns.settings import Settings, load_settings

app = typer.Typer(help="Alerts of exceptions.", no_args_is_help=True)


@app.command("test")
def try_all(as_json: JsonOption = False) -> int:
    """Send one test alert to every configured channel; exits 1 where one was not taken, 2 where a setting is to be mended."""
    output = Output(as_json=as_json)
    settings = load_settings()
    without = _without_channel(settings)
    told = try_channels(settings)

    def render(page: Console) -> None:
        _render(page, "Test alerts", told)
        for shop, owners in without.items():
            page.print(
                f"{shop}: no channel takes the alerts of {', '.join(owners)}; each goes to every channel that takes its severity."
            )

    output.show({"channels": told, "owners_without_channel": without}, render)
    return 2 if any(each.is_setting_wrong for each in told) else 1 if any(each.message for each in told) else 0


@app.command("send")
def send(as_json: JsonOption = False) -> int:
    """Send what is due now, as Dagster does every minute; exits 1 while a channel is down."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        told = send_due(opened_app.ledger, opened_app.settings, worker=run_id("alerts"))
    output.show({"channels": told}, lambda page: _render(page, "Alerts", told))
    return 0 if all(each.is_in_order for each in told) else 1


def _without_channel(settings: Settings) -> dict[str, list[str]]:
    """Return, by shop, the owners of the catalogue that have no channel of their own."""
    catalogue = Catalogue.load(settings.mappings_dir, settings.shops)
    owners = {rule.owner for rule in catalogue.rules.values()}
    found = {shop: owners_without_channel(settings.alerts, owners, shop) for shop in settings.shops}
    return {shop: names for shop, names in found.items() if names}


def _render(page: Console, title: str, told: list[Told]) -> None:
    if not told:
        page.print("No alert channel is set: docs/alerts.md tells how.")
        return
    page.print(
        table(
            title,
            ("channel", "told", "what happened"),
            [(each.channel, each.sent, _words(each)) for each in told],
            right=("told",),
            wrap=("what happened",),
        )
    )


def _words(each: Told) -> str:
    if each.down_since is not None:
        return f"not taken since {moment(each.down_since)} UTC: {each.message}; kept and tried again"
    if each.message:
        return f"not taken: {each.message}"
    return "taken" if each.sent else "nothing was due"
