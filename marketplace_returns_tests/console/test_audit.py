"""What people do at the door and with personal data is in the history: log-ins refused, log-outs, roles, names that were shown."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.console.accounts import FREE_FAILURES, Accounts, LogInRefused, TooManyLogIns
from marketplace_returns.console.roles import Role
from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.pull import take
from marketplace_returns.ledger import Ledger
from marketplace_returns.orchestration.app import App
from marketplace_returns_tests.console.served import NAMES, PASSWORD, Person, Served, fields_of, installation
from marketplace_returns_tests.lake.worlds import mirakl_order
from marketplace_returns_tests.ledger.world import NOW, SHOP, open_ledger

WRONG = "what Ann had for breakfast"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def accounts(tmp_path: Path, clock: FixedClock, new_ledger: Path) -> Iterator[Accounts]:
    shutil.copy(new_ledger, tmp_path)
    opened = Accounts.open(installation(tmp_path), clock)
    opened.add("ann", "finance", PASSWORD, by="test")
    yield opened
    opened.close()


def acts(folder: Path, clock: FixedClock) -> list[tuple[str, str, str]]:
    """What people did, newest first, as the history page shows it; its chain is whole."""
    with open_ledger(folder, clock) as ledger:
        assert [chain.broken for chain in ledger.verify_history()] == [None]
        return [(each.event, each.subject, each.actor) for each in ledger.last_acts(limit=99)]


def refused(accounts: Accounts, name: str, password: str = WRONG) -> None:
    with pytest.raises((LogInRefused, TooManyLogIns)):
        accounts.log_in(name, password, address="10.0.0.1")


@pytest.mark.proves("R44")
def test_a_refused_log_in_is_told_without_what_was_typed(accounts: Accounts, tmp_path: Path, clock: FixedClock) -> None:
    refused(accounts, "ann")
    refused(accounts, PASSWORD)  # a password typed into the wrong field
    accounts.disable("ann", by="test")
    refused(accounts, "ann", PASSWORD)
    assert not accounts.has_password("ann", WRONG, address="10.0.0.1")
    assert acts(tmp_path, clock)[:5] == [
        ("password_refused", "account ann", "somebody"),
        ("log_in_refused", "account ann", "somebody"),
        ("disabled", "account ann", "test"),
        ("log_in_refused", "account (unknown)", "somebody"),
        ("log_in_refused", "account ann", "somebody"),
    ]
    accounts.close()
    for file in tmp_path.glob("ledger*"):
        assert WRONG.encode() not in file.read_bytes()
        assert PASSWORD.encode() not in file.read_bytes()


def test_guessing_fills_no_history(accounts: Accounts, tmp_path: Path, clock: FixedClock) -> None:
    for _ in range(200):
        refused(accounts, "ann")
    told = [event for event, *_ in acts(tmp_path, clock)]
    assert told == ["log_in_refused"] * FREE_FAILURES + ["added"]


@pytest.mark.proves("R44")
def test_a_log_out_is_told_once(accounts: Accounts, tmp_path: Path, clock: FixedClock) -> None:
    token = accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    accounts.log_out(token)
    accounts.log_out(token)
    accounts.log_out("never a session")
    assert [event for event, *_ in acts(tmp_path, clock)] == ["logged_out", "logged_in", "added"]


@pytest.mark.proves("R44")
def test_a_role_is_changed_with_a_word_in_the_history_and_ends_the_sessions(
    accounts: Accounts, tmp_path: Path, clock: FixedClock
) -> None:
    token = accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    assert accounts.set_role("ann", "care", by="test").role == Role.CARE
    assert accounts.session(token) is None
    assert accounts.set_role("ann", "care", by="test").role == Role.CARE  # nothing changes, nothing is told
    with pytest.raises(BadArgument, match="is no role"):
        accounts.set_role("ann", "boss", by="test")
    with pytest.raises(BadArgument, match="there is no account bob"):
        accounts.set_role("bob", "care", by="test")
    again = accounts.session(accounts.log_in("ann", PASSWORD, address="10.0.0.1"))
    assert again is not None
    assert again.role == Role.CARE
    with open_ledger(tmp_path, clock) as ledger:
        (changed,) = [each for each in ledger.last_acts(limit=9) if each.event == "role_set"]
    assert (changed.subject, changed.actor) == ("account ann", "test")
    assert (changed.facts["before"], changed.facts["role"]) == ("finance", "care")


def test_a_log_out_by_its_button_is_on_the_history_page(console: Served) -> None:
    console.accounts.add("zoe", "care", PASSWORD, by="test")
    zoe = Person(console.base_url)
    assert zoe.log_in("zoe", "not her phrase").status_code == 401
    assert zoe.log_in("zoe").status_code == 303
    assert zoe.post("/log-out", {**fields_of(zoe.get("/account"))}).status_code == 303
    page = console.person(Role.FINANCE).get("/history")
    assert "logged out" in page
    assert "log in refused" in page


@pytest.mark.proves("R44")
def test_a_name_that_is_shown_is_told_and_one_that_is_hidden_is_not(console: Served, ledger: Ledger) -> None:
    app = App.open(console.settings, console.clock)
    take(app.lake, "mirakl/order", SHOP, [[mirakl_order(1)]], run_id="read", clock=app.clock, con=app.con)
    app.close()
    for role in Role:
        person = console.person(role)
        before = ledger.history_ends().get(SHOP, (0, ""))[0]
        page = person.get("/orders?number=ORDER-1-A")
        shown = re.search("<dt>Customer</dt><dd>(.*?)</dd>", page)
        assert shown
        told = ledger.history_ends()[SHOP][0] - before
        is_shown = role in {Role.CARE, Role.ADMIN}
        assert (shown[1] != "hidden", told) == (is_shown, int(is_shown)), role
    (last, *_) = [each for each in ledger.last_acts(limit=9) if each.shop == SHOP]
    assert (last.event, last.subject, last.actor) == ("seen", "order ORDER-1-A", NAMES[Role.ADMIN])
    assert last.facts == {"note": "the customer's name"}
    assert console.person(Role.CARE).get("/orders?number=O-NOBODY-HAS")
    assert next(each for each in ledger.last_acts(limit=9) if each.shop == SHOP) == last
