"""The older API ("Intelligent Returns"), one method per operation.

Here: paths, documents, windows, and one return put together from its calls. Not here: the form and its errors (`door`), the
shape (`layout`), which returns are to be read again. There is no filter by change and no paging: a search knows days of
creation, and each return costs two calls more. Invariant: a return is yielded whole or not at all.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from marketplace_returns.errors import BadArgument, ContractBroken
from marketplace_returns.sources.rebound.layout import legacy_return
from marketplace_returns.sources.rebound.throttle import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date, datetime

    from marketplace_returns.settings import ReturnsSettings
    from marketplace_returns.sources.rebound.door import Door

SEARCH_DAYS = 7  # days of one search, as the public client asks
PAGE_SIZE = 50  # returns read before they are handed on
KEY_HITS_MAX = 20  # more returns under one key of ours: the filter was not heard


class LegacyClient:
    """One account. All methods raise the errors of `Door`."""

    def __init__(self, settings: ReturnsSettings, door: Door) -> None:
        self._door = door
        self._label_url_template = settings.label_url_template

    def close(self) -> None:
        """Close the connections."""
        self._door.close()

    def returns(self, since: datetime, until: datetime) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the returns created on the days from `since` to `until` (UTC), as they are now.

        Raises BadArgument where the instants are in the wrong order.
        """
        if until < since:
            raise BadArgument(f"returns: until {until} is before since {since}; swap them")
        seen: set[str] = set()
        for first, last in _windows(since.date(), until.date()):
            found = self._search({"date_from": f"{first:%Y/%m/%d}", "date_to": f"{last:%Y/%m/%d}"})
            new = [return_id for return_id in found if return_id not in seen]
            seen.update(new)
            yield from self.returns_by_id(new)

    def returns_by_id(self, return_ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the returns with those ids; one that is gone is left out."""
        for start in range(0, len(return_ids), PAGE_SIZE):
            ids = return_ids[start : start + PAGE_SIZE]
            page = [found for found in map(self._whole, ids) if found is not None]
            if page:
                yield page

    def find_by_key(self, key: str, order_id: str) -> list[str]:
        """Return the ids of the returns that stand under a key of ours.

        Each is looked at, for nobody documents the filter: one that was not heard would give the returns of others.
        """
        if not key:
            raise BadArgument("find_by_key: the key is empty, which would find every return; pass the return id")
        found = self._search({"external_id": key}, urgent=True)
        if len(found) > KEY_HITS_MAX:
            raise ContractBroken(
                f"{SYSTEM} find_return: {len(found)} returns for one external_id; the filter was not heard. Ask ReBound "
                "which filter finds a return by its external_id.",
                system=SYSTEM,
                operation="find_return",
            )
        return [return_id for return_id in found if (self._get(return_id, urgent=True) or {}).get("external_id") == key]

    def create_return(self, body: Mapping[str, Any]) -> str:
        """Create a return from `writes.creation` and give its id. ReBound compares nothing: search by the key before."""
        made = self._door.write("create_return", "/returns/create/json", {"return": dict(body)})
        return_id = made.get("id") if isinstance(made, dict) else None
        if return_id in (None, ""):
            raise self._door.unclear("create_return", "names no return")
        return str(return_id)

    def _search(self, filters: Mapping[str, str], *, urgent: bool = False) -> Sequence[str]:
        found = self._door.read("search_returns", "/returns/search/json", {"filter": dict(filters)}, urgent=urgent)
        if found is None:
            return ()
        ids = found.get("id") if isinstance(found, dict) else None
        if isinstance(ids, str | int):
            return (str(ids),)
        if not isinstance(ids, list) or not all(isinstance(each, str | int) and each != "" for each in ids):
            raise _broken("search_returns", "has no `id`, a list of ids")
        return tuple(map(str, ids))

    def _get(self, return_id: str, *, urgent: bool = False) -> dict[str, Any] | None:
        request = {"return": {"id": return_id, "type": "id"}}
        found = self._door.read("get_return", "/returns/get/json", request, urgent=urgent)
        if found is None:
            return None
        if not isinstance(found, dict) or str(found.get("id", "")) != return_id:
            raise _broken("get_return", "is not the return that was asked for")
        return found

    def _whole(self, return_id: str) -> dict[str, Any] | None:
        found = self._get(return_id)
        if found is None:
            return None
        code = found.get("tracking")
        return legacy_return(found, self._track(str(code)) if code else None, self._label_url_template)

    def _track(self, code: str) -> Sequence[Mapping[str, Any]]:
        found = self._door.read("get_tracking", "/tracking/get/json", {"tracking": {"code": code}})
        if found is None:
            return ()
        # seen both bare and under its own name
        tracking = found.get("tracking", found) if isinstance(found, dict) else None
        track = tracking.get("track") or () if isinstance(tracking, dict) else None
        if not isinstance(track, list | tuple):
            raise _broken("get_tracking", "has no `track`, a list of scans")
        return track


def _windows(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Cut days, both inclusive, into searches."""
    while first <= last:
        end = min(first + timedelta(days=SEARCH_DAYS - 1), last)
        yield first, end
        first = end + timedelta(days=1)


def _broken(operation: str, what: str) -> ContractBroken:
    return ContractBroken(
        f"{SYSTEM} {operation}: the answer {what}. Compare it with the published contract; nothing of it was used.",
        system=SYSTEM,
        operation=operation,
    )
