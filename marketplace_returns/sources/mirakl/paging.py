"""Page after page.

Here live Mirakl's two ways of paging, each as one generator over a function that fetches a page. What must not live
here: paths and parameters of an operation. The invariant: a row that was in the list when the reading began, and
stays in it, is yielded at least once, however the list moves meanwhile; and every reading ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from marketplace_returns.sources.answers import Answer

Row = dict[str, Any]
Page = list[Row]

PAGES_MAX = 20_000
STEPS_BACK_MAX = 50
OVERLAP_ROWS = 5


def rows_of(answer: Answer, field: str) -> Page:
    """Return the list of objects under ``field`` of an answer; raises ContractBroken when there is none."""
    rows = answer.json_object().get(field)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise answer.broken(f"has no list of objects named {field!r}")
    return rows


def offset_pages(
    fetch: Callable[[int], Answer], *, field: str, key: str, first: Answer | None = None, overlap: int = OVERLAP_ROWS
) -> Iterator[Page]:
    """Read a list that is paged by offset (OR11, OF21, IV01), yielding pages of rows not seen before.

    Rows that leave the list shift the others towards the beginning, so that the next offset would jump over some
    (G7). So every page begins a few rows early, and unless its first row is one we know, the reading steps back until
    it is. Rows are known by ``key``. Raises ContractBroken when the list moves faster than it can be read, or has no
    such key.
    """
    seen: set[object] = set()
    offset = steps_back = page_size = 0
    for _ in range(PAGES_MAX):
        answer, first = (first, None) if first is not None else (fetch(offset), None)
        rows = rows_of(answer, field)
        page_size = max(page_size, len(rows))
        if offset > 0 and (not rows or _key_of(rows[0], key, answer) not in seen):
            steps_back += 1
            if steps_back > STEPS_BACK_MAX:
                raise answer.broken("belongs to a list that moves faster than it can be read; read a shorter window")
            offset = max(0, offset - page_size)
            continue
        fresh = [row for row in rows if _key_of(row, key, answer) not in seen]
        if fresh:
            seen.update(row[key] for row in fresh)
            yield fresh
        if not rows or not _has_more(answer, offset + len(rows), page_size=page_size, got=len(rows)):
            return
        offset += max(1, len(rows) - overlap)
    raise answer.broken(f"is page {PAGES_MAX} and still not the last; read a shorter window")


def seek_pages(fetch: Callable[[str | None], Answer], *, field: str = "data") -> Iterator[Page]:
    """Read a list that is paged by token (RT11, ST11, TL02, SBC11), yielding every page that has rows.

    Raises ContractBroken when a token comes twice, for the reading would never end.
    """
    token: str | None = None
    used: set[str] = set()
    for _ in range(PAGES_MAX):
        answer = fetch(token)
        rows = rows_of(answer, field)
        if rows:
            yield rows
        token = answer.json_object().get("next_page_token") or None
        if token is None:
            return
        if not isinstance(token, str):
            raise answer.broken("names a next_page_token that is not text")
        if token in used:
            raise answer.broken("names a next_page_token that was used before")
        used.add(token)
    raise answer.broken(f"is page {PAGES_MAX} and still not the last; read a shorter window")


def total_count(answer: Answer) -> int | None:
    """Return the length of the whole list, where the answer tells it."""
    total = answer.json_object().get("total_count")
    return total if isinstance(total, int) else None


def _has_more(answer: Answer, read_up_to: int, *, page_size: int, got: int) -> bool:
    total = total_count(answer)
    if total is not None:
        return read_up_to < total
    link = answer.headers.get("Link")
    if link is not None:
        return 'rel="next"' in link
    return got == page_size


def _key_of(row: Row, key: str, answer: Answer) -> object:
    found = row.get(key)
    if not isinstance(found, str | int):
        raise answer.broken(f"has a row without {key!r}")
    return found
