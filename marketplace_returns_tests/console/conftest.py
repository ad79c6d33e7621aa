"""What the tests of the console stand on: a ledger in which things went wrong, and the console over it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from marketplace_returns.clock import FixedClock
from marketplace_returns.console.roles import Role
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.connection import LEDGER_FILE, open_engine
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.outcomes import Rejected
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.console.served import Person, Served, installation, served
from marketplace_returns_tests.ledger.world import NOW, Outside, decision, problem, refund, shop


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """The same hashing with little memory: the tests log in a hundred times."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr("marketplace_returns.console.accounts.PasswordHasher", cheap)
        yield


@pytest.fixture(scope="session")
def new_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger in the newest form, to be copied: making one costs a second."""
    folder = tmp_path_factory.mktemp("new")
    open_engine(folder, "").dispose()
    return folder / LEDGER_FILE


RE01 = "the reason <b>RE01</b> is unknown"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console over twelve late orders and one refund that was refused."""
    clock = FixedClock(NOW)
    settings = installation(tmp_path_factory.mktemp("console"))
    with Ledger.open(settings, clock) as ledger:
        problems = [problem(f"O{number}", amount_minor=100 * number, currency="GBP") for number in range(1, 13)]
        ledger.apply(decision(refund("L1#1", order="O1"), exceptions=problems), shop())
        refusing = Outside(answer=lambda _each: Rejected("400", RE01, "mapping", "REFUND_REJECTED_REASON"))
        drain(ledger, shop(), {WriteKind.REFUND: refusing}, clock, worker="w1")
    with served(settings, clock) as running:
        yield running


@pytest.fixture
def ledger(console: Served) -> Iterator[Ledger]:
    with Ledger.open(console.settings, console.clock) as opened:
        yield opened


@pytest.fixture
def finance(console: Served) -> Person:
    return console.person(Role.FINANCE)


@pytest.fixture
def operations(console: Served) -> Person:
    return console.person(Role.OPERATIONS)


@pytest.fixture
def care(console: Served) -> Person:
    return console.person(Role.CARE)


@pytest.fixture
def admin(console: Served) -> Person:
    return console.person(Role.ADMIN)
