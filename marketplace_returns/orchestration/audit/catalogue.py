"""Catalogue: does every offer have its item in the warehouse, spelled the same (R87, R88).

Here: the daily catalogue audit's rows as findings. Not here: how they are found (``monitoring/sku_audit.sql``).
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
    """Find offers without items, items without offers, and codes that only nearly agree."""
    shop = inspection.shop
    if shop.warehouse is None:
        return
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


def _row(shop: str, difference: str, subject: str, what: str, fix: str) -> Finding:
    return _finding(shop=shop, subject=f"{difference} {subject}", level=_LEVELS[difference], finding=what, fix=fix)
