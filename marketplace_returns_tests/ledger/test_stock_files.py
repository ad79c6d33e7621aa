"""Stock files that the marketplace takes its time over: looked for by their import id, never waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketplace_returns.ledger.dispatch import drain, read_backs
from marketplace_returns.ledger.executors.stock import PushStock
from marketplace_returns.ledger.outcomes import Executor
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.sandboxed import Place, place, plan
from marketplace_returns_tests.reliability.abuse.scene import StandingClock

STOCK = WriteKind.PUSH_STOCK


@pytest.fixture
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("files"), orders=5, days=1, import_delay_s=600.0) as here:
        yield here


def executors(here: Place) -> dict[WriteKind, Executor]:
    """The executor of stock, for which the world stands still while it waits: a file sent is not done at the first look."""
    return {STOCK: PushStock(here.clients.mirakl, StandingClock(here.clock.now()), here.ledger.unclear_pushes)}


def push(here: Place, sku: str, quantity: int, key: str = "1") -> str:
    natural_key = f"{sku}@{key}"
    here.plan(plan(STOCK, natural_key, {"offer_sku": sku, "quantity": quantity}), lane=f"stock {natural_key}")
    return natural_key


def send(here: Place) -> None:
    drain(here.ledger, here.shop, executors(here), here.clock, worker="w1")


def look(here: Place) -> None:
    read_backs(here.ledger, here.shop, executors(here), worker="w1")


def offered(here: Place) -> dict[str, int]:
    return {row["shop_sku"]: row["quantity"] for page in here.clients.mirakl.offers() for row in page}


@pytest.mark.proves("R32", "R104")
def test_a_file_that_takes_its_time_is_left_with_its_id_and_confirmed_by_it(here: Place) -> None:
    sku = min(offered(here))
    key = push(here, sku, 77)
    refused = push(here, "NO-SUCH-SKU", 3)
    send(here)
    left = here.intent(key)
    assert (left.state, left.external_ref != "", here.calls("STO02")) == (State.UNKNOWN, True, 1)
    look(here)
    assert here.calls("STO02") == 1, "it is not looked for before its time"
    here.clock.wait(31)
    look(here)
    done = here.intent(key)
    assert (done.state, done.external_ref, done.attempt_count) == (State.CONFIRMED, left.external_ref, 1)
    assert here.intent(refused).state is State.REJECTED
    (told,) = here.ledger.exceptions()
    assert "The offer with sku 'NO-SUCH-SKU' does not exist" in told.message
    assert (here.calls("STO01"), offered(here)[sku]) == (1, 77)


@pytest.mark.proves("R104", "C6")
def test_a_file_that_may_not_be_asked_for_yet_stays_unclear_and_nothing_is_sent_again(here: Place) -> None:
    sku = min(offered(here))
    key = push(here, sku, 77)
    here.fault("http_429", "STO02", times=2)
    send(here)
    assert here.intent(key).external_ref
    here.clock.wait(31)
    look(here)
    send(here)
    assert (here.intent(key).state, here.calls("STO01")) == (State.UNKNOWN, 1)
    here.clock.wait(300)
    look(here)
    assert (here.intent(key).state, here.calls("STO01"), offered(here)[sku]) == (State.CONFIRMED, 1, 77)


@pytest.mark.proves("R104")
def test_a_file_that_the_marketplace_does_not_know_any_more_is_sent_again_under_a_new_id(here: Place) -> None:
    sku = min(offered(here))
    key = push(here, sku, 77)
    send(here)
    first = here.intent(key).external_ref
    here.sandbox.do(here.sandbox.world.offers.imports.clear)
    here.clock.wait(31)
    look(here)
    assert here.intent(key).state is State.PLANNED
    send(here)
    assert (here.intent(key).state, here.intent(key).external_ref in {"", first}) == (State.UNKNOWN, False)
    here.clock.wait(31)
    look(here)
    assert (here.intent(key).state, here.calls("STO01"), offered(here)[sku]) == (State.CONFIRMED, 2, 77)
