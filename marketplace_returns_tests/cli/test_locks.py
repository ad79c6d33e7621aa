"""What another process holds is told in bounded time, with what to look for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import NoReturn

import pytest
from filelock import FileLock

from marketplace_returns.lake.connection import Lake
from marketplace_returns_tests.cli.conftest import Shell


@pytest.fixture
def hurried(alone: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """An installation whose waits for a lock are short."""
    assert alone.run("exceptions", "list").code == 0
    monkeypatch.setattr(Lake, "open", partial(Lake.open, lock_wait_s=0.2))
    monkeypatch.setattr("marketplace_returns.ledger.connection.BUSY_S", 1)
    return alone


def test_lake_whose_turn_does_not_come_is_told_as_busy(hurried: Shell) -> None:
    (hurried.folder / "data" / "lake").mkdir()
    with FileLock(hurried.folder / "data" / "lake" / "catalog.lock"):
        ended = hurried.run("trace", "ORDER-1", "--json")
    assert ended.code == 1
    assert ended.err.startswith("the lake is busy (no turn within 0.2 s); nothing was written. Catalog: ")
    assert ended.document["error"]["type"] == "LakeBusy"


def test_ledger_that_stays_locked_is_told_as_busy(hurried: Shell) -> None:
    with closing(sqlite3.connect(hurried.folder / "data" / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert hurried.run("exceptions", "list").code == 0  # who only reads waits for nobody
        ended = hurried.run("exceptions", "assign", "1", "--owner", "a", "--by", "b", "--json")
    assert ended.code == 1
    assert "ledger stayed locked for 1 s and nothing was written" in ended.err
    assert ended.document["error"]["type"] == "LedgerBusy"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("Query interrupted")], ids=["here", "in a query"])
def test_ctrl_c_is_one_sentence_and_work_left_undone(alone: Shell, stop: BaseException) -> None:
    def interrupted() -> NoReturn:
        raise stop

    alone.monkeypatch.setattr("marketplace_returns.cli.exceptions.opened", interrupted)
    ended = alone.run("exceptions", "list", "--json")
    assert ended.code == 1
    assert ended.err == "Stopped. What was sent is in the ledger; the next run settles what is unclear.\n"
    assert ended.document["error"]["message"] == ended.err.strip()
