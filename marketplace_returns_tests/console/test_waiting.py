"""Pages that take as long as the shop is large: answered at once, made once, shown to who asked, and never as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from marketplace_returns.console import waiting
from marketplace_returns.console.roles import Role
from marketplace_returns.errors import LakeBusy
from marketplace_returns.monitoring.watch import Seen
from marketplace_returns_tests.console.served import Person, Served

COLUMNS = (
    "mapping_table",
    "source_system",
    "flow",
    "source_code",
    "state",
    "target",
    "seen",
    "first_seen_at",
    "last_seen_at",
    "example",
)


@dataclass
class Review:
    """A review that takes as long as the test wants."""

    may_end: threading.Event = field(default_factory=threading.Event)
    made: int = 0
    word: str = "FIT"
    error: Exception | None = None

    def __call__(self, *_: object) -> Seen:
        self.made += 1
        word, error = self.word, self.error
        assert self.may_end.wait(30)
        if error is not None:
            raise error
        row = ("carriers", "peoplevox", "", word, "unmapped", None, 3, None, None, "O1")
        return Seen("mapping_review", COLUMNS, [row])


@pytest.fixture
def review(console: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Review]:
    review = Review()
    monkeypatch.setattr("marketplace_returns.console.pages.mappings.review", review)
    yield review
    review.may_end.set()
    for person in console.people.values():
        person.fetch("/mappings")  # what is left of the test


def is_made(person: Person, path: str = "/mappings") -> bool:
    """Ask once, and tell whether the page itself came."""
    answer = person.http.get(path)
    assert answer.status_code == 200
    assert answer.headers.get("refresh", "1") == "1"
    return "refresh" not in answer.headers


def test_a_page_is_made_once_while_the_browser_asks_again(console: Served, review: Review) -> None:
    admin = console.person(Role.ADMIN)
    assert [is_made(admin) for _ in range(3)] == [False, False, False]
    review.may_end.set()
    assert "FIT" in admin.get("/mappings")
    assert review.made == 1
    review.word = "SIZE"
    assert "SIZE" in admin.get("/mappings")
    assert review.made == 2


def test_what_is_made_is_shown_to_who_asked_for_it(console: Served, review: Review) -> None:
    admin, operations, care = (console.person(role) for role in (Role.ADMIN, Role.OPERATIONS, Role.CARE))
    assert not is_made(admin)
    review.word = "SIZE"
    assert not is_made(operations)
    assert care.http.get("/mappings/reasons/preview").status_code == 403
    review.may_end.set()
    assert "FIT" in admin.get("/mappings")
    assert "SIZE" in operations.get("/mappings")


def test_another_address_is_another_page(console: Served, review: Review) -> None:
    admin = console.person(Role.ADMIN)
    assert not is_made(admin)
    review.word = "SIZE"
    assert not is_made(admin, "/mappings?all=1")
    review.may_end.set()
    assert "SIZE" in admin.get("/mappings?all=1")


def test_a_form_lets_it_be_made_anew(console: Served, review: Review) -> None:
    admin = console.person(Role.ADMIN)
    assert not is_made(admin, "/mappings?all=1")
    review.word = "SIZE"
    admin.did("/writes/asos_uk", "/writes", kind="refund", mode="shadow", reason="test")
    assert not is_made(admin, "/mappings?all=1")
    review.may_end.set()
    assert "SIZE" in admin.get("/mappings?all=1")


def test_nothing_is_shown_of_when_nobody_asked_any_more(
    console: Served, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = console.person(Role.ADMIN)
    assert not is_made(admin)
    review.may_end.set()
    assert review.made == 1
    with monkeypatch.context() as patch:
        patch.setattr(waiting, "GONE_AFTER_S", -1.0)
        review.word = "SIZE"
        review.may_end.clear()
        assert not is_made(admin)
    review.may_end.set()
    assert "SIZE" in admin.get("/mappings")


def test_an_error_is_told_to_who_waits(console: Served, review: Review) -> None:
    admin = console.person(Role.ADMIN)
    review.error = LakeBusy("another process holds the lake: try again")
    assert not is_made(admin)
    review.may_end.set()
    assert "another process holds the lake" in admin.get("/mappings", status=503)
    review.error = None
    assert "FIT" in admin.get("/mappings")


def test_orders_are_looked_up_meanwhile(console: Served, review: Review) -> None:
    admin = console.person(Role.ADMIN)
    assert not is_made(admin)
    assert "O1" in admin.get("/orders?number=O1")
    assert review.made == 1
