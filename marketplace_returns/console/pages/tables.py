"""Tables: what monitoring sees of the shop, each table for the departments that it concerns, to be sorted, searched and taken away."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from marketplace_returns.console.kept_tables import ROWS_KEPT, Kept
from marketplace_returns.console.page import NotThere, Page, Visit
from marketplace_returns.console.roles import Permission
from marketplace_returns.console.table_view import ROWS_SHOWN, Wanted, as_csv, view
from marketplace_returns.monitoring.checklist import ITEMS
from marketplace_returns.monitoring.readers import READERS
from marketplace_returns.monitoring.watch import TABLES, meaning

TEXT_CHARACTERS_MAX: Final = 200
_ASKED: Final = ("shop", "text", "state", "sort", "way", "from")
_DOWN: Final = "down"
_REQUIREMENTS: Final = re.compile(r" \((?:[A-Z]\d+(?:, )?)+\)", re.ASCII)


def show(visit: Visit) -> Response:
    """List the tables of the person's department, with what a row of each is."""
    shop = _shop(visit)
    rows = [(name, _told(name).partition(" Key:")[0], READERS[name], visit.tables.find(shop, name)) for name in TABLES]
    own = [row for row in rows if visit.owns(*row[2])]
    return visit.render("tables.html", shops=sorted(visit.settings.shops), shop=shop, rows=own)


def show_kept(visit: Visit) -> Response | None:
    """Show a table as it was looked at lately; nothing where it has to be made."""
    shop, table = _asked(visit)
    kept = visit.tables.find(shop, table)
    return None if kept is None or visit.query.get("anew") == "1" else _rendered(visit, shop, kept)


def show_one(visit: Visit) -> Response:
    """Look at a table as it is now, keep it, and show it."""
    from marketplace_returns.orchestration.watching import glance  # noqa: PLC0415 - loads what only looking needs

    shop, table = _asked(visit)
    is_anew = visit.query.get("anew") == "1"
    kept = None if is_anew else visit.tables.find(shop, table)  # somebody else may have waited for it too
    if kept is None:
        at = visit.clock.now()
        kept = visit.tables.keep(shop, glance(visit.app, shop, table), at)
    return visit.go(_link(visit, table)) if is_anew else _rendered(visit, shop, kept)


def take_away(visit: Visit) -> Response:
    """Give a table that was looked at lately as a CSV file, as it is filtered and sorted."""
    shop, table = _asked(visit)
    kept = visit.tables.find(shop, table)
    if kept is None:
        return visit.go(_link(visit, table), "The table is made anew first: take it when it is there.")
    text = as_csv(kept.seen, _wanted(visit), visit.settings.shops[shop].currency)
    name = f"{shop}-{table}-{kept.at:%Y%m%dT%H%MZ}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _rendered(visit: Visit, shop: str, kept: Kept) -> Response:
    wanted = _wanted(visit)
    table = kept.seen.name
    found = view(kept.seen, wanted, visit.settings.shops[shop].currency)
    kept.seen_by.add(visit.name)
    last = wanted.first + len(found.rows)
    return visit.render(
        "table.html",
        table=table,
        shop=shop,
        shops=sorted(visit.settings.shops),
        kept=kept,
        meaning=_told(table),
        has_checks=any(item.table == table and visit.owns(item.owner) for item in ITEMS),
        owners=READERS[table],
        wanted=wanted,
        found=found,
        last=last,
        rows_kept=ROWS_KEPT,
        sort_links={each.name: _sorted_by(visit, table, wanted, each.name) for each in found.columns},
        csv=_link(visit, f"{table}/csv"),
        anew=_link(visit, table, anew="1"),
        before=_link(visit, table, **{"from": str(max(0, wanted.first - ROWS_SHOWN))}) if wanted.first else "",
        after=_link(visit, table, **{"from": str(last)}) if last < found.matching else "",
    )


def _told(table: str) -> str:
    """Return what a row of a table is, without the numbers of the requirements it is for."""
    return _REQUIREMENTS.sub("", meaning(table))


def _sorted_by(visit: Visit, table: str, wanted: Wanted, column: str) -> str:
    """Return where a column's head leads: sorted by it, the other way round where it is sorted by it already."""
    way = _DOWN if wanted.sort == column and not wanted.is_down else "up"
    return _link(visit, table, sort=column, way=way, **{"from": ""})


def _asked(visit: Visit) -> tuple[str, str]:
    """Return the shop and the table that are meant, if the person's department reads it."""
    table = str(visit.place["table"])
    if table not in READERS:
        raise NotThere(f"There is no table {table}.")
    visit.check_own(*READERS[table], what=f"The table {table}")
    return _shop(visit), table


def _shop(visit: Visit) -> str:
    shops = sorted(visit.settings.shops)
    shop = visit.query.get("shop", shops[0] if shops else "")
    if shop not in visit.settings.shops:
        raise NotThere(f"There is no shop {shop} in the settings.")
    return shop


def _wanted(visit: Visit) -> Wanted:
    said = {name: visit.query.get(name, "").strip()[:TEXT_CHARACTERS_MAX] for name in ("text", "state", "sort")}
    first = visit.number("from") if visit.query.get("from") else 0
    return Wanted(**said, is_down=visit.query.get("way") == _DOWN, first=first)


def _link(visit: Visit, place: str, **changes: str) -> str:
    """Return the address of a table with what is asked of it, and some of that otherwise."""
    said = {name: visit.query.get(name, "") for name in _ASKED} | changes
    kept = {name: text for name, text in said.items() if text}
    return f"/tables/{place}" + (f"?{urlencode(kept)}" if kept else "")


PAGES = (
    Page("/tables", Permission.SEE_TABLES, show=show, title="Tables"),
    Page("/tables/{table}", Permission.SEE_TABLES, show=show_one, kept=show_kept, needs_lake=True, is_slow=True),
    Page("/tables/{table}/csv", Permission.SEE_TABLES, show=take_away),
)
