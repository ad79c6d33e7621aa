"""The pages of the console; a module of pages is named here, in the order of the navigation."""

from __future__ import annotations

from marketplace_returns.console.page import Page
from marketplace_returns.console.pages import (
    account,
    checklist,
    history,
    lanes,
    mappings,
    orders,
    periods,
    queue,
    tables,
    writes,
)

MODULES = (queue, orders, checklist, tables, mappings, lanes, periods, writes, history, account)


def all_pages() -> tuple[Page, ...]:
    """Return every page, in the order of the navigation."""
    return tuple(page for module in MODULES for page in module.PAGES)
