"""The newer API ("v2"), one method per operation.

Here: paths, parameters, paging. Not here: the token (`session`), the shape (`layout`). No schema of it is public: paths and
names are the assumption of the settings and of `layout`. Invariant: a page is yielded whole, or its form is complained of.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from marketplace_returns.errors import BadArgument, ContractBroken, SourceRefused
from marketplace_returns.sources.rebound.layout import current_creation, current_return
from marketplace_returns.sources.rebound.throttle import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from marketplace_returns.settings import ReturnsSettings
    from marketplace_returns.sources.rebound.session import Session

PAGE_SIZE = 100
PAGES_MAX = 10_000  # a million return orders in one window: more is a paging that never ends


class CurrentClient:
    """One client of the newer API. All methods raise the errors of `Session`."""

    def __init__(self, settings: ReturnsSettings, session: Session) -> None:
        self._session = session
        self._path = settings.api_path
        self._label_url_template = settings.label_url_template

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def returns(self, since: datetime, until: datetime) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the return orders that changed since then, as they are now (`until` bounds nothing there).

        Pages are by number over a set that changes meanwhile: overlap the windows and upsert. Raises BadArgument where
        the instants are in the wrong order.
        """
        if until < since:
            raise BadArgument(f"returns: until {until} is before since {since}; swap them")
        window = {"updated_since": since.isoformat().replace("+00:00", "Z")}
        for page in self._pages("list_return_orders", window):
            yield [current_return(found, self._label_url_template) for found in page]

    def returns_by_id(self, return_ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the return orders with those ids; one that is gone is left out."""
        for start in range(0, len(return_ids), PAGE_SIZE):
            ids = return_ids[start : start + PAGE_SIZE]
            page = [current_return(found, self._label_url_template) for found in map(self._get, ids) if found]
            if page:
                yield page

    def find_by_key(self, key: str, order_id: str) -> list[str]:
        """Return the ids of the return orders of an order that stand under a key of ours.

        An order may have several; they are asked for by its number, which is known to work, and told apart here.
        """
        if not key or not order_id:
            raise BadArgument("find_by_key: key and order number are both needed; pass the return id and the order id")
        found = self._pages("find_return_order", {"order_number": order_id}, urgent=True)
        return [str(item["id"]) for page in found for item in page if item.get("external_reference") == key]

    def create_return(self, body: Mapping[str, Any]) -> str:
        """Create a return order from `writes.creation` and give its id. ReBound compares nothing: search by the key before."""
        answer = self._session.write("create_return_order", self._path, current_creation(body))
        try:
            made = answer.json_object()
        except ContractBroken as cause:
            raise answer.unclear("is not a return order") from cause
        if not _is_return(made):
            raise answer.unclear("is not a return order with an `id`")
        return str(made["id"])

    def _get(self, return_id: str) -> dict[str, Any] | None:
        try:
            answer = self._session.read("get_return_order", f"{self._path}/{quote(return_id, safe='')}")
        except SourceRefused as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        found = answer.json_object()
        if not _is_return(found):
            raise answer.broken("is not a return order with an `id`")
        return found

    def _pages(
        self, operation: str, filters: Mapping[str, str], *, urgent: bool = False
    ) -> Iterator[list[dict[str, Any]]]:
        for page in range(1, PAGES_MAX + 1):
            params = {**filters, "page": str(page), "page_size": str(PAGE_SIZE)}
            answer = self._session.read(operation, self._path, params=params, urgent=urgent)
            found = answer.json_object()
            items, pages = found.get("items"), found.get("pages")
            if not isinstance(items, list) or not all(_is_return(item) for item in items):
                raise answer.broken("has no `items`, a list of return orders that each have an `id`")
            if not isinstance(pages, int) or isinstance(pages, bool):
                raise answer.broken("has no `pages`, how many there are")
            if items:
                yield items
            if page >= pages or not items:
                return
        raise ContractBroken(
            f"{SYSTEM} {operation}: still a next page after {PAGES_MAX}; ask for a shorter span of time",
            system=SYSTEM,
            operation=operation,
        )


def _is_return(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("id"), str | int) and found["id"] != ""
