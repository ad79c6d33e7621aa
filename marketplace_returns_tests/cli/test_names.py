"""A name of nothing there is, is told with its mend: it is never taken for all of them, for none, or for this folder."""

from __future__ import annotations

import pytest

from marketplace_returns_tests.cli.conftest import Shell


@pytest.mark.parametrize(
    "command",
    [
        "sync",
        "check",
        "backfill --from 2026-10-01 --to 2026-10-02",
        "reconcile --month 2026-10",
        "export --month 2026-10 --out pack",
        "exceptions list",
        "mappings review",
        "tables show stock_drift",
        "checklist show",
        "webhooks --subscribe",
        "privacy erase 1 --by ann --note asked",
    ],
)
def test_an_empty_shop_is_not_all_of_them(alone: Shell, command: str) -> None:
    ended = alone.run(*command.split(), "--shop", "")
    assert ended.code == 2
    assert ended.err == "shop '' is not in the settings: known shops are asos_uk\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("--type", "ACK_OVERDU"), "--type 'ACK_OVERDU' is of no exception: did you mean ACK_OVERDUE?"),
        (("--type", "ack_overdue"), "--type 'ack_overdue' is of no exception: did you mean ACK_OVERDUE?"),
        (("--type", ""), "--type '' is of no exception: use one of ACK_OVERDUE, ACK_REJECTED"),
        (("--owner", "finanse"), "--owner 'finanse' is of no exception: did you mean finance?"),
        (("--owner", "x"), "--owner 'x' is of no exception: use one of customer_experience, finance"),
    ],
)
def test_a_misspelt_type_or_owner_does_not_read_as_if_nothing_were_open(
    alone: Shell, command: tuple[str, str], told: str
) -> None:
    ended = alone.run("exceptions", "list", *command)
    assert ended.code == 2
    assert told in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("out", ["", "  "])
def test_an_empty_folder_is_not_the_one_we_are_in(alone: Shell, out: str) -> None:
    ended = alone.run("export", "--month", "2026-10", "--out", out)
    assert ended.code == 2
    assert "--out is empty: name a folder for the pack" in ended.err


@pytest.mark.parametrize(
    "command", ["exceptions list --owner", "trace", "sync --lane", "privacy erase 1 --note x --by"]
)
def test_an_argument_that_is_no_text_is_told(alone: Shell, command: str) -> None:
    number = len(command.split()) + 1
    ended = alone.run(*command.split(), "caf\udce9")
    assert ended.code == 2
    assert ended.err == f"argument {number}, 'caf?', is not UTF-8 text: type it anew in a terminal that is UTF-8\n"


def test_a_month_is_named_as_it_was_written(alone: Shell) -> None:
    assert "month 0000-01 is not a month" in alone.run("reconcile", "--month", "0000-01").err


def test_reopening_an_open_month_says_that_it_is_open(alone: Shell) -> None:
    ended = alone.run("reopen", "--month", "2026-10", "--shop", "asos_uk", "--by", "ann", "--reason", "late lines")
    assert ended.code == 1
    assert ended.err == "Month 2026-10 of shop asos_uk is OPEN already: there is nothing to do.\n"
