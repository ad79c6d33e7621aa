"""ReturnGO's API, one method per operation.

Here: paths, parameters, paging and the form of answers. Not here: why a return is created or judged, retries, money, which
RMA is read when (``reading``). Invariant: every object is yielded as ReturnGO gave it.

What nobody documents is named here and nowhere else: `EXTERNAL_ID` (where our key stands on an RMA and on its items), the
bodies of `set_status` and `subscribe`, and that instants in filters are UTC.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from marketplace_returns.errors import BadArgument, ContractBroken, SourceRefused
from marketplace_returns.sources.http import HttpSource
from marketplace_returns.sources.returngo.calls import CallPlan, key_budget
from marketplace_returns.sources.returngo.reading import ids_to_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import httpx

    from marketplace_returns.clock import Clock
    from marketplace_returns.settings import Shop, Timing
    from marketplace_returns.sources.budget import Budget
    from marketplace_returns.sources.http import CallLog
    from marketplace_returns.sources.returngo.reading import Memory, Window

SYSTEM: Final = "returngo"
EXTERNAL_ID: Final = "externalId"
PAGE_SIZE: Final = 500  # the most the API gives
PAGES_MAX: Final = 10_000
ANSWER_IDS: Final = ("x-amzn-requestid", "x-amz-apigw-id", "x-amzn-trace-id")  # ReturnGO's support asks for them

_log = logging.getLogger(__name__)


def connect(
    shop: Shop,
    *,
    timing: Timing,
    budget: Budget,
    clock: Clock,
    log: CallLog,
    transport: httpx.BaseTransport | None = None,
) -> ReturnGoClient:
    """Make the client of a shop; raises BadSettings where the key is missing. ``budget`` is made with ``ceilings``."""
    settings = shop.returns
    http = HttpSource(
        SYSTEM,
        settings.base_url,
        {"x-api-key": settings.secret(), "x-shop-name": settings.shop_name},
        timing=timing,
        budget=key_budget(budget),
        clock=clock,
        log=log,
        shop=shop.name,
        transport=transport,
        answer_ids=ANSWER_IDS,
    )
    return ReturnGoClient(http, CallPlan.of(settings), settings.refund_reference_type)


def rma_key(value: object) -> str:
    """Return an RMA's id as the API's paths want it: text without the ``RMA`` that stands before the shown number."""
    text = str(value).strip()
    return text[3:] if text[:3].upper() == "RMA" else text


class ReturnGoClient:
    """One shop of one ReturnGO account.

    All methods raise the SourceError tree of `HttpSource`; a readable answer of another form is ContractBroken (reads)
    or OutcomeUnknown (writes). RMA ids are those of `rma_key`.
    """

    def __init__(self, http: HttpSource, plan: CallPlan, refund_reference_type: str) -> None:
        self._http = http
        self._plan = plan
        self.refund_reference_type = refund_reference_type

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def list_rmas(
        self, *, updated_from: datetime | None = None, order_name: str = "", urgent: bool = False
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of list rows: `rmaId`, `status`, `order_name`, `events`, and nothing else.

        `updated_from` (aware, whole seconds, inclusive) and `order_name` narrow them. Pages follow a cursor on the id,
        so an RMA that changes meanwhile is not skipped.
        """
        filters: dict[str, str] = {}
        if updated_from is not None:
            filters["rma_updated_at"] = f"gte:{_filter_instant(updated_from)}"
        if order_name:
            filters["order_name"] = order_name
        return self._pages("list_rmas", "/rmas", "rmas", filters, is_row=_has_rma_id, urgent=urgent)

    def rma(self, rma_id: str, *, urgent: bool = False) -> dict[str, Any]:
        """Return one RMA whole; SourceRefused with status 404 where there is none."""
        answer = self._http.read("get_rma", "GET", self._rma_path(rma_id), urgent=urgent)
        found = answer.json_object()
        if not _has_rma_id(found.get("rmaSummary")):
            raise answer.broken("is not an RMA with a `rmaSummary.rmaId`")
        return found

    def rmas_by_id(self, rma_ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield the named RMAs, a call and a page each."""
        for rma_id in rma_ids:
            yield [self.rma(rma_id)]

    def changes(self, window: Window, memory: Memory) -> Iterator[list[dict[str, Any]]]:
        """Yield the RMAs that a poll of the window reads (see `reading`), a call and a page each.

        RateLimited where the day's calls are used up: what was yielded before is good, and the same window goes on
        later where it stopped. An RMA that is listed and cannot be found is logged and left out.
        """
        now = self._http.clock.now()
        for rma_id in ids_to_read(window, now, self._ids_since, memory, self._plan):
            try:
                yield [self.rma(rma_id)]
            except SourceRefused as refusal:
                if refusal.status != 404:
                    raise
                _log.warning("returngo get_rma: RMA %s is listed and not found; it is tried again", rma_id)

    def transactions(
        self, *, updated_from: datetime | None = None, rma_ids: Sequence[str] = ()
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of money movements, of all RMAs or of some, updated at or after an instant."""
        filters: dict[str, str] = {}
        if updated_from is not None:
            filters["updated_at"] = f"gte:{_filter_instant(updated_from)}"
        if rma_ids:
            filters["rma_ids"] = ",".join(rma_ids)
        return self._pages("list_transactions", "/transactions", "transactions", filters, is_row=_has_id)

    def report_transaction(self, transaction_id: str, body: Mapping[str, Any]) -> None:
        """Say what came of a transaction that was settled elsewhere: `status`, `externalReferenceId`, `externalReferenceType`."""
        path = f"/transaction/{quote(transaction_id, safe='')}"
        self._http.write("report_transaction", "PUT", path, json=dict(body), urgent=True)

    def create_rma(self, body: Mapping[str, Any]) -> str:
        """Create an RMA by the shop's policy and return its id; the API does not know one it made before (search first)."""
        answer = self._http.write("create_rma", "POST", "/rma/createByPolicy", json=dict(body), urgent=True)
        try:
            found = answer.json_object()
        except ContractBroken as cause:
            raise answer.unclear("is not an RMA") from cause
        if not _has_rma_id(found):
            raise answer.unclear("has no `rmaId`")
        return rma_key(found["rmaId"])

    def set_status(self, rma_id: str, status: str) -> None:
        """Set an RMA's status to one of the seven documented words."""
        self._http.write("set_status", "PUT", f"{self._rma_path(rma_id)}/status", json={"status": status}, urgent=True)

    def webhooks(self) -> list[dict[str, Any]]:
        """Return the registered webhooks."""
        answer = self._http.read("list_webhooks", "GET", "/webhooks")
        found = answer.json_object().get("webhooks")
        if not isinstance(found, list) or not all(_has_id(item) for item in found):
            raise answer.broken("has no `webhooks`, a list of objects that each have an `id`")
        return found

    def subscribe(self, event_type: str, url: str) -> str:
        """Have an event told to an address, whose path should carry a random token, since no signature is documented.

        Returns the webhook's id, read back from the list: the answer to the registration is not documented.
        """
        self._http.write("add_webhook", "POST", "/webhook", json={"eventName": event_type, "url": url})
        made = [
            str(item["id"])
            for item in self.webhooks()
            if item.get("eventName") == event_type and item.get("url") == url
        ]
        return max(made, key=lambda number: (len(number), number), default="")

    def unsubscribe(self, subscription_id: str) -> None:
        """Have an event told no more; SourceRefused where there is no such webhook."""
        self._http.write("remove_webhook", "DELETE", f"/webhook/{quote(subscription_id, safe='')}")

    def _ids_since(self, updated_from: datetime) -> list[str]:
        return [rma_key(row["rmaId"]) for page in self.list_rmas(updated_from=updated_from) for row in page]

    @staticmethod
    def _rma_path(rma_id: str) -> str:
        if not rma_id.strip():
            raise BadArgument("an RMA's id is empty; pass the number that ReturnGO shows")
        return f"/rma/{quote(rma_key(rma_id), safe='')}"

    def _pages(
        self,
        operation: str,
        path: str,
        name: str,
        filters: Mapping[str, str],
        *,
        is_row: Callable[[object], bool],
        urgent: bool = False,
    ) -> Iterator[list[dict[str, Any]]]:
        """Follow the cursor until a page has none, or is empty."""
        cursor = ""
        for _ in range(PAGES_MAX):
            params = {"pagesize": str(PAGE_SIZE), **filters} | ({"cursor": cursor} if cursor else {})
            answer = self._http.read(operation, "GET", path, params=params, urgent=urgent)
            found = answer.json_object()
            rows = found.get(name)
            if not isinstance(rows, list) or not all(is_row(row) for row in rows):
                raise answer.broken(f"has no `{name}`, a list of objects that each have an id")
            if rows:
                yield rows
            following = found.get("next_cursor")
            if not rows or not following:
                return
            if following == cursor:
                raise answer.broken("names its own page as the next one")
            cursor = str(following)
        raise ContractBroken(
            f"{SYSTEM} {operation}: still a next page after {PAGES_MAX}; ask for a shorter time",
            system=SYSTEM,
            operation=operation,
        )


def _has_rma_id(found: object) -> bool:
    return isinstance(found, dict) and found.get("rmaId") not in (None, "")


def _has_id(found: object) -> bool:
    return isinstance(found, dict) and found.get("id") not in (None, "")


def _filter_instant(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
