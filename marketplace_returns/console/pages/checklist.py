"""The checklist: what a department looks at each day, week and month, what is due, and ticking it with a note."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import Response

from marketplace_returns.console.page import NotThere, Page, Visit
from marketplace_returns.console.rendering import words
from marketplace_returns.console.roles import DEPARTMENTS, Permission
from marketplace_returns.ledger.audit import Happening
from marketplace_returns.monitoring.checklist import CADENCES, ITEMS, Item, Standing, standing, tick


@dataclass(frozen=True, slots=True)
class Check:
    """A check as the page shows it; ``open_rows`` as its table said when this person looked at it, None where nobody did lately."""

    item: Item
    standing: Standing
    last: Happening | None
    open_rows: int | None
    place: str
    place_name: str
    """Where to look: an address of the console and what is there, or words without an address."""


def show(visit: Visit) -> Response:
    """Show the checks of the person's departments, or of one of them, by how often they are made."""
    shop, owner = _shop(visit, visit.query.get("shop", "")), visit.query.get("owner", "")
    own = sorted(DEPARTMENTS[visit.role])
    meant = [item for item in ITEMS if item.owner == owner or (not owner and item.owner in own)]
    for item in meant[:1]:
        visit.check_own(item.owner, what="That checklist")
    last = visit.ledger.last_ticks(shop, [item.key for item in meant])
    began_at, now = visit.ledger.began_at(shop), visit.clock.now()
    checks = [
        Check(
            item,
            standing(
                item.cadence,
                visit.settings.shops[shop],
                ticked_at=last[item.key].at if item.key in last else None,
                began_at=began_at,
                now=now,
            ),
            last.get(item.key),
            _open_rows(visit, shop, item),
            *_place(visit, shop, item),
        )
        for item in meant
    ]
    return visit.render(
        "checklist.html",
        shops=sorted(visit.settings.shops),
        shop=shop,
        owner=owner,
        owners=own,
        by_cadence=[(cadence, [each for each in checks if each.item.cadence == cadence]) for cadence in CADENCES],
        overdue=sum(each.standing.state == "overdue" for each in checks),
        due=sum(each.standing.state == "due" for each in checks),
    )


def act(visit: Visit) -> Response:
    """Tick a check."""
    key, shop = str(visit.place["check"]), _shop(visit, visit.form.get("shop", ""))
    item = next((each for each in ITEMS if each.key == key), None)
    if item is None:
        raise NotThere(f"There is no check {key}.")
    visit.check_own(item.owner, what="That check")
    note = visit.said("note", "the note", is_needed=False)
    tick(visit.ledger, shop, item, _open_rows(visit, shop, item), by=visit.by, note=note)
    back = {name: visit.form[name] for name in ("shop", "owner") if visit.form.get(name)}
    return visit.go(f"/checklist?{urlencode(back)}", f"Ticked: {item.item}.")


def _open_rows(visit: Visit, shop: str, item: Item) -> int | None:
    """Return how many rows of the check's table speak against it, if this person looked at the table lately."""
    kept = visit.tables.find(shop, item.table) if item.table else None
    return kept.against[item.key] if kept is not None and visit.name in kept.seen_by else None


def _place(visit: Visit, shop: str, item: Item) -> tuple[str, str]:
    """Return where a check is looked at, and what that place is called."""
    if item.table:
        return f"/tables/{item.table}?{urlencode({'shop': shop})}", words(item.table)
    parts = urlsplit(item.look)
    title = next((page.title for page in visit.navigation if page.path == parts.path), "")
    if not title:
        return "", item.look
    return item.look, ", ".join([title, *dict(parse_qsl(parts.query)).get("type", "").split()])


def _shop(visit: Visit, said: str) -> str:
    shops = sorted(visit.settings.shops)
    shop = said or (shops[0] if shops else "")
    if shop not in visit.settings.shops:
        raise NotThere(f"There is no shop {shop} in the settings.")
    return shop


PAGES = (
    Page("/checklist", Permission.TICK_CHECKS, show=show, title="Checklist"),
    Page("/checklist/{check}", Permission.TICK_CHECKS, act=act),
)
