"""Reveni's merchant API, one method per operation.

Here: paths, parameters, paging and the form of answers. Not here: why a return is created or judged, retries, money.
Reveni publishes little, so paths and parameter names follow documented client code and named assumptions; `BASE_PATH`,
`PAGE_SIZE` and the parameter names below are the whole of them. Invariant: every object is yielded as Reveni gave it,
and a return that is already there is never created again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from marketplace_returns.errors import BadArgument, ContractBroken, SourceRefused
from marketplace_returns.sources.http import HttpSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    import httpx

    from marketplace_returns.clock import Clock
    from marketplace_returns.settings import ReturnsSettings, Shop, Timing
    from marketplace_returns.sources.budget import Budget
    from marketplace_returns.sources.http import Answer, CallLog

SYSTEM = "reveni"
BASE_PATH = "/merchants/v0/stores"
PAGE_SIZE = 100
PAGES_MAX = 10_000  # a million returns in one window: more is a paging that never ends


def connect(
    shop: Shop,
    *,
    timing: Timing,
    budget: Budget,
    clock: Clock,
    log: CallLog,
    transport: httpx.BaseTransport | None = None,
) -> ReveniClient:
    """Make the client of a shop's store; raises BadSettings where the key is missing."""
    settings = shop.returns
    http = HttpSource(
        SYSTEM,
        settings.base_url,
        {"Authorization": f"Bearer {settings.secret()}"},
        timing=timing,
        budget=budget,
        clock=clock,
        log=log,
        shop=shop.name,
        transport=transport,
    )
    return ReveniClient(settings, http)


class ReveniClient:
    """One store of one merchant.

    All methods raise the SourceError tree of `HttpSource`; a readable answer of another form is ContractBroken (reads)
    or OutcomeUnknown (writes).
    """

    def __init__(self, settings: ReturnsSettings, http: HttpSource) -> None:
        self._http = http
        self._path = f"{BASE_PATH}/{quote(settings.store_id, safe='')}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def returns(self, updated_from: date, updated_to: date) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of returns updated on those days, both inclusive.

        Reveni filters by whole days and pages by number over a set that changes meanwhile: overlap the windows by a day
        and upsert. Raises BadArgument where the days are in the wrong order.
        """
        if updated_to < updated_from:
            raise BadArgument(f"returns: updated_to {updated_to} is before updated_from {updated_from}; swap them")
        window = {"updated_from": updated_from.isoformat(), "updated_to": updated_to.isoformat()}
        return self._pages("list_returns", window)

    def return_by_id(self, return_id: str) -> dict[str, Any]:
        """Return one return; SourceRefused with status 404 where there is none."""
        answer = self._http.read("get_return", "GET", self._return_path(return_id))
        found = answer.json_object()
        if not _is_return(found):
            raise answer.broken("is not a return with an `id`")
        return found

    def find_by_external_id(self, external_id: str) -> list[dict[str, Any]]:
        """Return every return created with this key of ours: none, one, or more where something went wrong (R1)."""
        if not external_id:
            raise BadArgument(
                "find_by_external_id: the key is empty, which would list every return; pass the return id"
            )
        found = self._pages("find_return", {"external_id": external_id})
        return [item for page in found for item in page]

    def create_return(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a return and give it back; one that is there already under its `external_id` is given back instead.

        Amounts in `body` are decimal strings. Reveni answers a repeated `external_id` with 409, so a repeat makes no
        second return; the one that exists is read and returned as it is.
        """
        try:
            answer = self._http.write("create_return", "POST", f"{self._path}/returns", json=dict(body))
        except SourceRefused as refusal:
            if refusal.status != 409:
                raise
            existing = self.find_by_external_id(str(body.get("external_id", "")))
            if not existing:
                raise
            return min(existing, key=lambda item: str(item.get("created_at", "")))
        return _written(answer)

    def validate(self, return_id: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Give the merchant's verdict per line and return the return as it then is.

        An item is `{item_id, quantity, status: accepted|rejected, reject_reason, reject_reason_text}`.
        """
        path = f"{self._return_path(return_id)}/partial_validate"
        answer = self._http.write("partial_validate", "POST", path, json={"items": [dict(item) for item in items]})
        return _written(answer)

    def subscribe(self, event_type: str, url: str) -> str:
        """Have events of a type sent to an address and return the subscription's id; there is no list of them."""
        body = {"event_types": [event_type], "url": url}
        answer = self._http.write("create_webhook", "POST", f"{self._path}/webhooks", json=body)
        return str(_written(answer)["id"])

    def unsubscribe(self, subscription_id: str) -> None:
        """Take a subscription back; SourceRefused with status 404 where there is none."""
        path = f"{self._path}/webhooks/{quote(subscription_id, safe='')}"
        self._http.write("delete_webhook", "DELETE", path)

    def store_settings(self) -> dict[str, Any] | None:
        """Return the store's settings (`auto_refund`, ...), or None where this Reveni does not tell them (404)."""
        try:
            answer = self._http.read("store_settings", "GET", f"{self._path}/settings")
        except SourceRefused as refusal:
            if refusal.status == 404:
                return None
            raise
        return answer.json_object()

    def _return_path(self, return_id: str) -> str:
        return f"{self._path}/returns/{quote(return_id, safe='')}"

    def _pages(self, operation: str, filters: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
        """Follow the pages by number; `next` only tells whether there is one, so that the key never leaves the host."""
        for page in range(1, PAGES_MAX + 1):
            params = {**filters, "page": str(page), "page_size": str(PAGE_SIZE)}
            try:
                answer = self._http.read(operation, "GET", f"{self._path}/returns", params=params)
            except SourceRefused as refusal:
                if refusal.status == 404 and page > 1:
                    return  # fewer returns match than when the page before named a next one
                raise
            found = answer.json_object()
            results = found.get("results")
            if not isinstance(results, list) or not all(_is_return(item) for item in results):
                raise answer.broken("has no `results`, a list of returns that each have an `id`")
            if results:
                yield results
            if not found.get("next"):
                return
            if not results:
                raise answer.broken("names a next page and has no results")
        raise ContractBroken(
            f"{SYSTEM} {operation}: still a next page after {PAGES_MAX}; ask for a shorter span of days",
            system=SYSTEM,
            operation=operation,
        )


def _is_return(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("id"), str) and bool(found["id"])


def _written(answer: Answer) -> dict[str, Any]:
    """Read the answer to a write: it went out, so an answer without a return is unclear, not a broken page."""
    try:
        found = answer.json_object()
    except ContractBroken as cause:
        raise answer.unclear("is not a return") from cause
    if not _is_return(found):
        raise answer.unclear("is not a return with an `id`")
    return found
