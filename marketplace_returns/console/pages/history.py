"""The history: what people did last, and whether it is as it was written."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from starlette.responses import Response

from marketplace_returns.clock import instant_of, microseconds_of
from marketplace_returns.console.page import Page, Visit
from marketplace_returns.console.roles import Permission
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.audit import Happening

ROWS: Final = 50
_KEY: Final = re.compile(r"(?P<micros>[0-9]{1,17})\.(?P<row>[0-9]{1,18})\.(?P<shop>[a-z0-9_()]{1,100})", re.ASCII)


def show(visit: Visit) -> Response:
    """Show what people did last, and each shop's chain; it is proven when that is asked for, row by row."""
    acts = visit.ledger.last_acts(before=_before(visit), limit=ROWS + 1)
    is_asked = visit.query.get("prove") == "1"
    return visit.render(
        "history.html",
        acts=acts[:ROWS],
        older=_key(acts[ROWS - 1]) if len(acts) > ROWS else "",
        ends=sorted(visit.ledger.history_ends().items()),
        chains={each.shop: each for each in visit.ledger.verify_history()} if is_asked else {},
    )


def _key(told: Happening) -> str:
    return f"{microseconds_of(told.at)}.{told.position}.{told.shop}"


def _before(visit: Visit) -> tuple[datetime, int, str] | None:
    text = visit.query.get("before", "")
    if not text:
        return None
    key = _KEY.fullmatch(text)
    if key is None:
        raise BadArgument("that page of the history is not there: begin at the first")
    return instant_of(int(key["micros"])), int(key["row"]), key["shop"]


PAGES = (Page("/history", Permission.SEE_AUDIT, show=show, title="History"),)
