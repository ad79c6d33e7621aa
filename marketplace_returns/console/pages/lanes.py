"""Lanes: what waits and for how long, how writes fare, how fresh each stream is, how much of the call budget is used."""

from __future__ import annotations

from starlette.responses import Response

from marketplace_returns.console.page import Page, Visit
from marketplace_returns.console.roles import Permission
from marketplace_returns.desk.health import health


def show(visit: Visit) -> Response:
    """Show every shop's lanes as they are now."""
    from marketplace_returns.orchestration.streams import Reads, streams_of  # noqa: PLC0415 - loads what only this page needs

    shops = [
        health(
            visit.ledger,
            visit.settings.shop(name),
            [
                (stream.name, stream.poll_every)
                for stream in streams_of(visit.settings.shop(name))
                if stream.reads is not Reads.TOUCHED  # read when our own writes touch them, so never late
            ],
            visit.clock.now(),
        )
        for name in sorted(visit.settings.shops)
    ]
    return visit.render("lanes.html", shops=shops)


PAGES = (Page("/lanes", Permission.SEE_LANES, show=show, title="Lanes"),)
