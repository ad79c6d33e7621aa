"""A wrong argument is one message that names it and says how it is written; exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from marketplace_returns.cli.main import app
from marketplace_returns_tests.cli.conftest import Shell


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("reconcile --month 2026-13", "month '2026-13' is not written as YYYY-MM: give one such as 2026-10"),
        ("export --month october --out pack", "month 'october' is not written as YYYY-MM"),
        ("export --month 2026-10 --out mappings/skus.csv", "--out mappings/skus.csv: no folder can be made there"),
        (
            "export --month 2026-10 --out mappings/skus.csv/in",
            "--out mappings/skus.csv/in: no folder can be made there",
        ),
        ("backfill --from 2026-10-01 --to 2026-02-30", "--to '2026-02-30' is not a day: write it as 2026-10-01"),
        ("backfill --from 2026-10-05 --to 2026-10-01", "--to 2026-10-01 is before --from 2026-10-05: swap them"),
        ("backfill --from 2024-01-01 --to 2026-10-01", "more than 400 days: read them in parts"),
        ("backfill --from 9999-12-30 --to 9999-12-31", "--from 9999-12-30 is no day any shop was open"),
        ("sync --shop asos_fr", "shop 'asos_fr' is not in the settings: known shops are asos_uk"),
        ("sync --lane refund", "there is no lane 'refund': use one of accept_orders"),
        ("exceptions list --shop asos_fr", "known shops are asos_uk"),
        ("exceptions show 9999", "there is no exception 9999: 'exceptions list' shows the open ones"),
        ("exceptions snooze 1 --until 2026-09-01 --by ann --note wait", "--until 2026-09-01 is not after today"),
        ("exceptions resolve 1 --by= --note done", "--by is empty"),
        ("demo --platform shoebox", "--platform 'shoebox' is not played: use one of reveni, returngo, rebound, all"),
        ("sandbox --platform shoebox", "--platform 'shoebox' is not served: use one of reveni, returngo, rebound"),
        ("sandbox --start soon", "--start 'soon' is not a day: write it as 2026-10-01"),
        ("serve", "there is no workspace.yaml here: start it from the project's folder"),
    ],
)
def test_wrong_argument_is_named_with_its_mend(alone: Shell, command: str, told: str) -> None:
    ended = alone.run(*command.split())
    assert ended.code == 2
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert ended.out == ""


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sync --moth 2026-10 --json", "No such option"),
        ("exceptions show abc --json", "Invalid value for 'ID'"),
        ("exceptions assign 99999999999999999999 --owner a --by b --json", "Invalid value for 'ID'"),
        ("reconcile --json", "Missing option '--month'"),
        ("trace --json", "Missing argument 'ID'"),
        ("sync1 --json", "No such command"),
    ],
)
def test_wrong_use_is_told_to_people_and_programs(alone: Shell, command: str, told: str) -> None:
    ended = alone.run(*command.split())
    assert ended.code == 2
    assert told in ended.err
    assert told in ended.document["error"]["message"]


def test_unknown_choice_lists_the_choices(alone: Shell) -> None:
    ended = alone.run("sandbox", "--clock", "fast")
    assert ended.code == 2
    assert "'real'" in ended.err
    assert "'virtual'" in ended.err


def _commands(group: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(group, "commands", {})
    return [path, *(found for name, each in inner.items() for found in _commands(each, (*path, name)))]


@pytest.mark.parametrize("path", _commands(typer.main.get_command(app)), ids=" ".join)
def test_every_command_explains_itself_in_eighty_columns(alone: Shell, path: tuple[str, ...]) -> None:
    ended = alone.run(*path, "--help")
    assert ended.code == 0
    assert "Usage: marketplace-returns" in ended.out
    assert max(len(line) for line in ended.out.splitlines()) <= 80


def test_real_process_ends_with_the_contracts_code_and_one_document(alone: Shell) -> None:
    program = str(Path(sys.executable).parent / "marketplace-returns")
    ended = subprocess.run(
        [program, "reconcile", "--month", "2026-13", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "month '2026-13' is not written as YYYY-MM: give one such as 2026-10\n"
    assert ended.stdout.count("\n") == 1
    assert '"BadArgument"' in ended.stdout
