"""No row is lost while a list moves, and every reading ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from marketplace_returns.errors import ContractBroken
from marketplace_returns.sources.answers import Answer
from marketplace_returns.sources.mirakl.paging import offset_pages, seek_pages


def answer(document: object, **headers: str) -> Answer:
    return Answer(200, headers, json.dumps(document).encode(), "request-1", "mirakl", "OR11")


class MovingList:
    """Ids in a fixed sequence; ``between`` changes the list between two pages."""

    def __init__(self, ids: list[int], size: int, between: Callable[[list[int]], None] = lambda _ids: None) -> None:
        self.ids, self.size, self.between = ids, size, between
        self.asked: list[int] = []

    def page(self, offset: int) -> Answer:
        if self.asked:
            self.between(self.ids)
        self.asked.append(offset)
        rows = [{"id": number} for number in self.ids[offset : offset + self.size]]
        return answer({"rows": rows, "total_count": len(self.ids)})

    def read(self) -> list[int]:
        return [row["id"] for page in offset_pages(self.page, field="rows", key="id") for row in page]


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 20, 95])
def test_a_list_that_stands_still_is_read_once_and_in_order(length: int) -> None:
    listed = MovingList(list(range(length)), 10)
    assert listed.read() == list(range(length))


def test_one_page_costs_one_call() -> None:
    listed = MovingList(list(range(10)), 10)
    listed.read()
    assert listed.asked == [0]


@pytest.mark.proves("R106")
@pytest.mark.parametrize("seed", range(40))
def test_rows_that_stay_are_never_jumped_over(seed: int) -> None:
    random = Random(seed)

    def move(ids: list[int]) -> None:
        for _ in range(random.randrange(0, 9)):
            if len(ids) > 1:
                ids.pop(random.randrange(len(ids)))
        for _ in range(random.randrange(0, 4)):
            ids.insert(random.randrange(len(ids) + 1), 1000 + random.randrange(10**9))
        ids.sort(key=lambda number: number if number < 1000 else number % 300 + 0.5)

    listed = MovingList(list(range(300)), 20, move)
    read = listed.read()
    stayed = {number for number in listed.ids if number < 1000}
    assert stayed <= set(read)
    assert len(read) == len(set(read))


def test_a_list_that_shrinks_below_the_offset_is_stepped_back_into() -> None:
    listed = MovingList(list(range(40)), 10, lambda ids: ids.__delitem__(slice(0, 9)) if len(ids) == 40 else None)
    assert set(range(9, 40)) <= set(listed.read())


def test_a_list_that_moves_faster_than_it_can_be_read_ends_with_its_reason() -> None:
    fresh = iter(range(10_000_000))
    with pytest.raises(ContractBroken, match="shorter window"):
        list(
            offset_pages(
                lambda _offset: answer({"rows": [{"id": next(fresh)} for _ in range(10)], "total_count": 10**6}),
                field="rows",
                key="id",
            )
        )


def test_without_a_total_the_link_header_says_whether_there_is_more() -> None:
    pages = {0: ([1, 2], '<x>; rel="next"'), 1: ([2, 3], '<x>; rel="previous"')}

    def fetch(offset: int) -> Answer:
        ids, link = pages[offset]
        return answer({"rows": [{"id": number} for number in ids]}, Link=link)

    assert list(offset_pages(fetch, field="rows", key="id", overlap=1)) == [[{"id": 1}, {"id": 2}], [{"id": 3}]]


def test_rows_without_a_key_are_a_broken_contract() -> None:
    with pytest.raises(ContractBroken, match="'id'"):
        list(offset_pages(lambda _offset: answer({"rows": [{"name": 1}]}), field="rows", key="id"))


def tokens(*documents: dict[str, Any]) -> tuple[list[str | None], Callable[[str | None], Answer]]:
    asked: list[str | None] = []

    def fetch(token: str | None) -> Answer:
        asked.append(token)
        return answer(documents[len(asked) - 1])

    return asked, fetch


def test_tokens_are_followed_to_the_end_and_empty_pages_are_not_yielded() -> None:
    asked, fetch = tokens(
        {"data": [{"id": 1}], "next_page_token": "b"},
        {"data": [], "next_page_token": "c"},
        {"data": [{"id": 2}], "next_page_token": None},
    )
    assert list(seek_pages(fetch)) == [[{"id": 1}], [{"id": 2}]]
    assert asked == [None, "b", "c"]


def test_a_token_that_comes_twice_ends_the_reading() -> None:
    _, fetch = tokens(*[{"data": [{"id": 1}], "next_page_token": "b"}] * 3)
    with pytest.raises(ContractBroken, match="used before"):
        list(seek_pages(fetch))


@pytest.mark.parametrize("document", [[], {}, {"data": None}, {"data": [1]}, "text"])
def test_a_page_of_another_form_is_a_broken_contract(document: Any) -> None:
    with pytest.raises(ContractBroken):
        list(seek_pages(lambda _token: answer(document)))


@pytest.mark.parametrize("token", [7, ["a"], {"a": 1}, True])
def test_a_token_that_is_not_text_ends_the_reading(token: object) -> None:
    with pytest.raises(ContractBroken, match="next_page_token"):
        list(seek_pages(lambda _token: answer({"data": [{"id": 1}], "next_page_token": token})))


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": ["a"]}, {"id": {"a": 1}}])
def test_a_row_whose_key_is_none_ends_the_reading(row: dict[str, object]) -> None:
    with pytest.raises(ContractBroken, match="without 'id'"):
        list(offset_pages(lambda _offset: answer({"rows": [row]}), field="rows", key="id"))
