"""Mappings: words nobody has mapped yet, and adding a row once its effect was seen."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.responses import Response

from marketplace_returns.console.page import NotThere, Page, Visit
from marketplace_returns.console.roles import Permission
from marketplace_returns.desk.mapping_change import MappingOvertaken, Proposal, propose, save, shown_hash
from marketplace_returns.desk.mapping_preview import preview, review
from marketplace_returns.errors import BadArgument, BadMapping
from marketplace_returns.mappings import MAPPING_TABLES, columns_of, owner_of

CELL = "cell_"
"""How a cell's field is named: this, then its column."""
_TARGETS = {
    ("reasons", "create_return"): "",  # the shop's own platform, put in below
    ("reasons", "refund"): "mirakl_refund",
}


def show(visit: Visit) -> Response:
    """Show the words of a shop that have no row; all of them where that is asked for."""
    shops = sorted(visit.settings.shops)
    shop = visit.query.get("shop", shops[0] if shops else "")
    if shop not in visit.settings.shops:
        raise NotThere(f"There is no shop {shop} in the settings.")
    found = review(visit.app.desk(), shop, visit.clock.now()).dicts()
    is_all = visit.query.get("all") == "1"
    own = (
        [table for table in MAPPING_TABLES if visit.owns(owner_of(table))]
        if visit.may(Permission.CHANGE_MAPPINGS)
        else []
    )
    rows = [
        row
        | {
            "add": _add_link(visit, shop, row) if row["mapping_table"] in own else "",
            "owner": owner_of(str(row["mapping_table"])),
        }
        for row in found
        if is_all or row["state"] == "unmapped"
    ]
    unmapped = sum(row["state"] == "unmapped" for row in found)
    return visit.render(
        "mappings.html", shops=shops, shop=shop, rows=rows, unmapped=unmapped, is_all=is_all, tables=own
    )


def fill_in(visit: Visit) -> Response:
    """Show the form of a row, filled as far as it is known."""
    table = _table(visit)
    return visit.render("mapping_add.html", table=table, columns=columns_of(table), cells=_cells(visit, table))


def look(visit: Visit) -> Response:
    """Show what a row would move, with the form that adds it."""
    table = _table(visit)
    proposal = _proposed(visit, table, _cells(visit, table))
    effects = preview(visit.app.desk(), proposal.mappings, visit.clock.now())
    return visit.render("mapping_preview.html", table=table, proposal=proposal, effects=effects, cell=CELL)


def add(visit: Visit) -> Response:
    """Add a row that was previewed, unless its file was changed meanwhile."""
    table = _table(visit)
    note = visit.said("note", "the reason")
    cells = {column: visit.form.get(CELL + column, "") for column in columns_of(table)}
    if visit.form.get("shown") != shown_hash(visit.settings, table):
        raise MappingOvertaken(f"{table}.csv was changed since you looked: preview the row again")
    proposal = _proposed(visit, table, cells)
    save(visit.settings, visit.ledger, proposal, by=visit.by, note=note)
    return visit.go("/mappings", f"The row is in {table}.csv. The next pass sends what it held back, once.")


def _proposed(visit: Visit, table: str, cells: Mapping[str, str]) -> Proposal:
    try:
        return propose(visit.settings, table, cells, by=visit.by)
    except MappingOvertaken:
        raise
    except BadMapping as refused:
        raise BadArgument(str(refused)) from None


def _table(visit: Visit) -> str:
    """Return the table that is meant, one of the person's own department."""
    table = str(visit.place["table"])
    if table not in MAPPING_TABLES:
        raise NotThere(f"There is no mapping table {table}.")
    visit.check_own(owner_of(table), what=f"The mapping table {table}")
    return table


def _cells(visit: Visit, table: str) -> dict[str, str]:
    return {column: visit.query.get(CELL + column, "") for column in columns_of(table)}


def _add_link(visit: Visit, shop: str, row: Mapping[str, object]) -> str:
    """Return where the row's word can be given a row, with all that is known filled in."""
    table, flow = str(row["mapping_table"]), str(row["flow"])
    platform = str(visit.settings.shop(shop).returns.platform)
    known = {
        "source_system": row["source_system"],
        "source_code": row["source_code"],
        "type": row["source_code"],
        "flow": flow,
        "target_vocabulary": _TARGETS.get((table, flow)) or (platform if flow else ""),
        "shop": shop,
    }
    cells = {CELL + column: str(known[column]) for column in columns_of(table) if known.get(column)}
    return f"/mappings/{table}/add?{urlencode(cells)}"


PAGES = (
    Page("/mappings", Permission.SEE_MAPPINGS, show=show, title="Mappings", needs_lake=True, is_slow=True),
    Page("/mappings/{table}/add", Permission.CHANGE_MAPPINGS, show=fill_in, act=add, needs_lake=True),
    Page("/mappings/{table}/preview", Permission.CHANGE_MAPPINGS, show=look, needs_lake=True, is_slow=True),
)
