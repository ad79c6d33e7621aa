"""A wrong argument is one message that names it and says how it is written; exit code 2."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
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


@pytest.mark.parametrize("path", _commands(typer.main.get_command(app)), ids=" ".join)
def test_every_command_takes_json(path: tuple[str, ...]) -> None:
    command = typer.main.get_command(app)
    for name in path:
        command = getattr(command, "commands")[name]  # noqa: B009 - a group, of a class the library does not name
    is_a_group = bool(getattr(command, "commands", {})) and not getattr(command, "invoke_without_command", False)
    assert is_a_group or "--json" in {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("command", ["sandbox", "training start"])
def test_a_port_that_is_taken_is_told(alone: Shell, command: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = alone.run(*command.split(), "--port", str(port), "--json")
    assert ended.code == 2
    assert f"--port {port} is taken" in ended.err
    assert ended.document["error"]["type"] == "BadArgument"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_sandbox_prints_its_settings_serves_and_ends_when_it_is_stopped(alone: Shell, stop: signal.Signals) -> None:
    program = str(Path(sys.executable).parent / "marketplace-returns")
    command = [program, "sandbox", "--port", "0", "--seed", "3", "--orders", "5", "--faults", "light", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        place = told["settings"]["shop"]["mirakl"]["base_url"]
        refused = httpx.get(f"{place}/api/orders", timeout=30)
        process.send_signal(stop)
        # what still served would hold its standard output open
        rest, words = process.communicate(timeout=60)
    assert refused.status_code == 401
    assert (process.returncode, rest, words) == (0, "", "")


def test_real_process_ends_with_the_contracts_code_and_one_document(alone: Shell) -> None:
    program = str(Path(sys.executable).parent / "marketplace-returns")
    ended = subprocess.run(
        [program, "reconcile", "--month", "2026-13", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "month '2026-13' is not written as YYYY-MM: give one such as 2026-10\n"
    assert ended.stdout.count("\n") == 1
    assert '"BadArgument"' in ended.stdout
