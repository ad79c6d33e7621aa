"""Catalogue: does every offer have its item in the warehouse, spelled the same, and every site its stock (R87, R88).

Here: the daily catalogue audit's rows, and the sites, as findings. Not here: how they are found (``monitoring/sku_audit.sql``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from marketplace_returns.monitoring import look
from marketplace_returns.monitoring.alarms import EXAMPLES_MAX, told_difference
from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level

_finding = partial(Finding, area="catalogue")

_LEVELS = {
    "missing": Level.HIGH,
    "case": Level.HIGH,
    "whitespace": Level.HIGH,
    "duplicate": Level.MEDIUM,
    "extra": Level.LOW,
}
ROWS_MAX = 100


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find offers without items, items without offers, codes that only nearly agree, and sites that have no stock."""
    shop = inspection.shop
    if shop.warehouse is None:
        return
    yield from _unknown_sites(inspection, shop.warehouse.sites)
    if "mirakl/offer" in inspection.unread or "peoplevox/item_type" in inspection.unread:
        return  # access tells why
    rows = look(inspection.con, "sku_audit", shop, inspection.app.clock.now()).dicts()
    extra = [row for row in rows if row["difference"] == "extra"]
    others = [row for row in rows if row["difference"] != "extra"]
    for row in others[:ROWS_MAX]:
        what, fix = told_difference(shop, row)
        yield _row(shop.name, row["difference"], row["offer_sku"] or row["item_code"], what, fix)
    if len(others) > ROWS_MAX:
        what = f"{len(others) - ROWS_MAX} more differences."
        yield _row(shop.name, "missing", "and more", what, "See the table sku_audit in Dagster.")
    if extra:
        codes = ", ".join(row["item_code"] for row in extra[:EXAMPLES_MAX])
        what = f"{len(extra)} items of the warehouse are not on sale on the marketplace, such as {codes}."
        yield _row(shop.name, "extra", f"{len(extra)} items", what, told_difference(shop, extra[0])[1])


def _unknown_sites(inspection: Inspection, sites: tuple[str, ...]) -> Iterator[Finding]:
    """Find the sites of the settings of which the stock list, once it was read whole, has no row."""
    shop = inspection.shop
    read = "SELECT 1 FROM ledger.reads WHERE shop = ? AND stream = 'peoplevox/stock'"
    if not inspection.con.execute(read, [shop.name]).fetchall():
        return
    stocked = {
        site
        for (site,) in inspection.con.execute(
            "SELECT DISTINCT site FROM lake.core.peoplevox__stock WHERE shop = ? AND is_listed", [shop.name]
        ).fetchall()
    }
    for site in sites:
        if site not in stocked:
            yield _finding(
                shop=shop.name,
                subject=f"site {site}",
                level=Level.HIGH,
                finding=f"The warehouse's stock list has no row of site {site!r}, so nothing of it is put on sale.",
                fix=f"Write the site in {inspection.place}.warehouse.site as the warehouse does, capitals too, or leave it out.",
            )


def _row(shop: str, difference: str, subject: str, what: str, fix: str) -> Finding:
    return _finding(shop=shop, subject=f"{difference} {subject}", level=_LEVELS[difference], finding=what, fix=fix)
