"""Files that Mirakl prepares on request.

Here lives the waiting for an asynchronous export and the reading of its files (OR13-OR15, TL03-TL05). What must not
live here: what is asked for. The invariant: the waiting ends, and our key goes to Mirakl's own address only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx

from marketplace_returns.clock import Clock
from marketplace_returns.errors import ContractBroken, SourceUnreachable
from marketplace_returns.sources.answers import Answer
from marketplace_returns.sources.mirakl.paging import Page, rows_of

POLLS_MAX = 200
WAIT_S_MAX = 1800.0
POLL_FIRST_S = 0.25
POLL_GROWTH = 2.0
_OPEN_STATES = frozenset({"PENDING", "WAITING", "RUNNING", "QUEUED"})


def tracking_id(answer: Answer) -> str:
    """Return the id under which an export is followed; raises ContractBroken when there is none."""
    found = answer.json_object().get("tracking_id")
    if not isinstance(found, str) or not found:
        raise answer.broken("has no tracking_id")
    return found


def await_files(status: Callable[[], Answer], clock: Clock, *, poll_s_max: float) -> list[str]:
    """Ask how far an export is until its files are there; returns their addresses.

    Waits grow up to ``poll_s_max`` (the budget of the status call stretches them where needed) and end after half an
    hour. Raises SourceUnreachable when the export fails, is canceled or is not ready by then, ContractBroken for
    other answers.
    """
    waited_s, wait_s = 0.0, min(POLL_FIRST_S, poll_s_max)
    for _ in range(POLLS_MAX):
        answer = status()
        document = answer.json_object()
        state = str(document.get("status"))
        if state == "COMPLETED":
            urls = document.get("urls") or []
            if not isinstance(urls, list) or not all(map(_is_address, urls)):
                raise answer.broken("has urls that are not addresses")
            return urls
        if state in {"FAILED", "CANCELED"}:
            raise _not_ready(answer, f"the export ended as {state}; ask for it again in the next run")
        if state not in _OPEN_STATES:
            raise answer.broken("has a status that is not known for an export")
        if waited_s + wait_s > WAIT_S_MAX:
            break
        clock.wait(wait_s)
        waited_s += wait_s
        wait_s = min(wait_s * POLL_GROWTH, poll_s_max)
    raise _not_ready(answer, f"the export was not ready after {waited_s:.0f} s; ask for it again in the next run")


def file_rows(urls: list[str], fetch: Callable[[str], Answer], *, field: str) -> Iterator[Page]:
    """Yield the rows of each file: a JSON object with the list under ``field``, a bare list, or a JSON object per line."""
    for url in urls:
        rows = _rows_of_file(fetch(url), field)
        if rows:
            yield rows


def _rows_of_file(answer: Answer, field: str) -> Page:
    if "ndjson" in answer.headers.get("Content-Type", ""):
        return _objects([_line(answer, line) for line in answer.body.splitlines() if line.strip()], answer)
    try:
        document = answer.json()
    except ContractBroken:
        raise answer.broken("is a file that is not JSON") from None
    return _objects(document, answer) if isinstance(document, list) else rows_of(answer, field)


def _line(answer: Answer, line: bytes) -> object:
    return Answer(answer.status, {}, line, answer.request_id, answer.system, answer.operation, answer.secrets).json()


def _objects(rows: list[object], answer: Answer) -> Page:
    objects = [row for row in rows if isinstance(row, dict)]
    if len(objects) != len(rows):
        raise answer.broken("is a file with rows that are not objects")
    return objects


def _not_ready(answer: Answer, what: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"{answer.system} {answer.operation}: {what}.",
        system=answer.system,
        operation=answer.operation,
        request_id=answer.request_id,
        status=answer.status,
    )


def _is_address(url: object) -> bool:
    try:
        parts = httpx.URL(url) if isinstance(url, str) else None
    except httpx.InvalidURL:
        return False
    return parts is not None and parts.scheme in {"http", "https"} and bool(parts.host)
