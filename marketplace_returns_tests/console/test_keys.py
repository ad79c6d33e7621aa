"""Pages by key: forwards and backwards nothing is left out and nothing comes twice, on SQLite and on Postgres; accounts on both."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.console.accounts import Accounts, TooManyLogIns
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.queue import Place, QueueFilter, Shown
from marketplace_returns_tests.console.served import PASSWORD, installation
from marketplace_returns_tests.ledger.world import NOW, SHOP, open_ledger, problem


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path, new_ledger: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_database"))
    shutil.copy(new_ledger, tmp_path)
    return ""


def filled(ledger: Ledger, count: int) -> None:
    """Many exceptions, most with a clock that others have too; some snoozed, some resolved at one instant."""
    chance = random.Random(5)
    due = [NOW + timedelta(minutes=chance.randrange(6)) for _ in range(count)]
    ledger.raise_exceptions(SHOP, "x", [problem(f"100%_O{n}", due_at=due[n]) for n in range(count)])
    ids = [each.exception_id for each in ledger.exceptions()]
    for each in chance.sample(ids, count // 4):
        ledger.snooze(each, NOW + timedelta(days=1), by="kim", note="later")
    for each in chance.sample(ids, count // 3):
        ledger.resolve(each, by="kim", note="done")


def walked(ledger: Ledger, wanted: QueueFilter, *, limit: int) -> list[int]:
    """Walk to the end, and back, and return what was seen on the way there; both must be the same."""
    there: list[list[int]] = []
    place = None
    while True:
        page = ledger.queue_page(wanted, place, limit=limit)
        there.append([each.exception_id for each in page.rows])
        assert page.has_before == (place is not None)
        if not page.has_after:
            break
        last = page.rows[-1]
        place = Place(last.resolved_at or last.due_at, last.exception_id)
    back = [there[-1]]
    while page.has_before:
        first = page.rows[0]
        page = ledger.queue_page(
            wanted, Place(first.resolved_at or first.due_at, first.exception_id, is_before=True), limit=limit
        )
        back.insert(0, [each.exception_id for each in page.rows])
    assert [each for page in back for each in page] == [each for page in there for each in page]
    return [each for page in there for each in page]


@pytest.mark.proves("R22")
def test_pages_leave_nothing_out_and_show_nothing_twice(tmp_path: Path, url: str) -> None:
    with open_ledger(tmp_path, FixedClock(NOW), url) as ledger:
        filled(ledger, 60)
        everything = ledger.exceptions(is_open=None)
        is_quiet = {each.exception_id for each in everything if each.snoozed_until}
        done = {each.exception_id for each in everything if each.resolved_at}
        seen = {shown: walked(ledger, QueueFilter(shown=shown), limit=7) for shown in Shown}
        assert seen[Shown.DUE] == [each.exception_id for each in everything if each.exception_id not in is_quiet | done]
        assert seen[Shown.SNOOZED] == [each.exception_id for each in everything if each.exception_id in is_quiet - done]
        assert sorted(seen[Shown.RESOLVED]) == sorted(done)
        assert seen[Shown.RESOLVED] == sorted(done, reverse=True)  # all at one instant: the newest first
        assert walked(ledger, QueueFilter(text="o", shop=SHOP, owner="operations"), limit=7) == seen[Shown.DUE]
        for text, count in (("100%_o5", 11), ("100%_O59", 1), ("100_", 0), ("%", 60), ("\\", 0), ("'", 0)):
            found = [
                row for shown in Shown for row in ledger.queue_page(QueueFilter(text=text, shown=shown), limit=99).rows
            ]
            assert len(found) == count, text
        (counted,) = ledger.queue_counts()
        assert (counted.total, counted.snoozed) == (60 - len(done), len(is_quiet - done))
        assert counted.within_day == counted.total
        assert ledger.queue_counts(SHOP) == [counted]
        assert ledger.queue_counts("nowhere") == []


def test_accounts_live_in_the_ledgers_database(tmp_path: Path, url: str) -> None:
    clock = FixedClock(NOW)
    accounts = Accounts.open(installation(tmp_path).model_copy(update={"ledger_url": url}), clock)
    accounts.add("ann", "admin", PASSWORD, by="test")
    token = accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    found = accounts.session(token)
    assert found is not None
    assert found.name == "ann"
    assert [accounts.is_first("a-form-of-some-length"), accounts.is_first("a-form-of-some-length")] == [True, False]
    for _ in range(5):
        assert not accounts.has_password("ann", "a wrong password", address="10.0.0.1")
    with pytest.raises(TooManyLogIns):
        accounts.has_password("ann", PASSWORD, address="10.0.0.1")
    accounts.close()
    with open_ledger(tmp_path, clock, url) as ledger:
        wanted = [*["password_refused"] * 5, "logged_in", "added"]
        assert [each.event for each in ledger.last_acts(limit=9)] == wanted
        assert [chain.broken for chain in ledger.verify_history()] == [None]
