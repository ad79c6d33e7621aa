"""The training as a newcomer has it: a case of every type is open, and the written steps, word by word, end them."""

from __future__ import annotations

import re
import shlex
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import zip_longest

import pytest

from marketplace_returns.cli import training
from marketplace_returns.cli.output import Output
from marketplace_returns.cli.sandbox_process import sandbox_process
from marketplace_returns.cli.training_cases import SYNC, Case
from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.sandbox.lessons import LESSONS
from marketplace_returns_tests.cli.conftest import MAPPINGS, Shell
from marketplace_returns_tests.test_documentation import DOCS, command_mistakes

MANUAL = (DOCS / "manual" / "training.md").read_text(encoding="utf-8")
WRITTEN = re.findall(r"^## (Case \d: .+?)$(.*?)(?=^## )", MANUAL, re.MULTILINE | re.DOTALL)
WRITTEN_TYPES = {name for _, steps in WRITTEN for name in re.findall(r"--type (\w+)", steps)}
PORT = 8953
READ_BACK_AFTER_S = 31
"""The case that ends by waiting needs this long."""


class _Terminal(Shell):
    """The second terminal: it does what stands between backticks, and nothing else."""

    cases: list[Case]
    ready_at: float

    def do(self, steps: str) -> None:
        """Follow the steps of a case of the manual: run its commands, add its lines to the file that is named before them."""
        name = re.search(r"--type (\w+)", steps)
        assert name is not None
        before = self.open(name[1])
        assert before, f"{name[1]} is open"
        for table, row in re.findall(r"`data/training/mappings/(\w+)\.csv`:\n\n +```\n +(.+)\n", steps):
            self.write(table, row)
        for line in re.findall(r"`(marketplace-returns (?:sync|training|exceptions retry)[^`]*)`", steps):
            for number in before if " ID " in line else before[:1]:
                self.run_line(line.replace(" ID ", f" {number} "))
        assert set(before).isdisjoint(self.open(name[1])), f"{name[1]} is closed"

    def step(self, text: str) -> None:
        """Take a step of the list of cases: a command, or a row of a mapping table that is added or mended."""
        quoted = re.findall(r"`([^`]+)`", text)
        table = re.search(r"`data/training/mappings/(\w+)\.csv`", text)
        if table is None:
            self.run_line(quoted[0])
        else:
            self.write(table[1], quoted[1], instead_of=quoted[2] if len(quoted) > 2 else "")

    def run_line(self, line: str) -> None:
        """Run a command as it is written."""
        assert command_mistakes(line) == []
        told = self.run(*shlex.split(line)[1:])
        assert told.code in {0, 1}, told.all

    def write(self, table: str, row: str, *, instead_of: str = "") -> None:
        """Add a row to a mapping table, or write it instead of another."""
        path = self.folder / "data" / "training" / "mappings" / f"{table}.csv"
        rows = path.read_text(encoding="utf-8").rstrip().split("\n")
        if instead_of:
            rows[rows.index(instead_of)] = row
        else:
            rows.append(row)
        path.write_text("\n".join([*rows, ""]), encoding="utf-8")

    def open_cases(self) -> dict[str, list[str]]:
        """Return the steps of the cases that are open still, by type."""
        listed = self.run("training", "cases", "--json").document["cases"]
        return {case["type"]: case["steps"] for case in listed if case["exception_id"] is not None}

    def open(self, name: str) -> list[int]:
        """Return the numbers of the open exceptions of a type."""
        listed = self.run("exceptions", "list", "--type", name, "--json").document["exceptions"]
        return [each["exception_id"] for each in listed]


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Terminal]:
    folder = tmp_path_factory.mktemp("training")
    shutil.copytree(MAPPINGS, folder / "mappings")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        where = training.place()
        where.clear()
        with sandbox_process(training.arguments(PORT, datetime.now(UTC))) as sandbox:
            for name, value in where.environment({"asos_uk": sandbox.settings}).items():
                patch.setenv(name, value)
            opened = _Terminal(folder, None, patch)  # type: ignore[arg-type]
            opened.cases = training.prepare(where, sandbox, datetime.now(UTC), Output(as_json=False))
            opened.ready_at = time.monotonic()
            yield opened


def test_every_type_of_the_catalogue_can_be_practised() -> None:
    assert sorted(LESSONS) == sorted(default_rules())


@pytest.mark.proves("R22")
@pytest.mark.played
def test_a_case_of_every_type_is_open_with_its_owner_and_playbook(terminal: _Terminal) -> None:
    rules = default_rules()
    found = terminal.run("exceptions", "list", "--limit", "1000", "--json").document["exceptions"]
    listed = {each["exception_id"]: each for each in found}
    assert [case.type for case in terminal.cases if case.exception_id not in listed] == []
    shown = {case.type: listed[case.exception_id] for case in terminal.cases}
    told = {name: (each["type"], each["owner"], each["playbook"]) for name, each in shown.items()}
    assert told == {name: (name, rule.owner, rule.playbook) for name, rule in rules.items()}


@pytest.mark.played
def test_the_list_of_cases_shows_each_with_its_steps(terminal: _Terminal) -> None:
    listed = terminal.run("training", "cases").out
    assert all(case.type in listed and str(case.exception_id) in listed for case in terminal.cases)
    page = (terminal.folder / "data" / "training" / training.PAGE).read_text(encoding="utf-8")
    assert all(case.playbook in page and step in page for case in terminal.cases for step in case.told_steps)
    one = terminal.run("training", "cases", "wms_order_missing").out
    assert "training outside WMS_ORDER_MISSING" in one
    assert terminal.run("training", "cases", "NO_SUCH_TYPE").code == 2


@pytest.mark.proves("R23", "R64")
@pytest.mark.parametrize(("title", "steps"), WRITTEN, ids=[title.partition(":")[0] for title, _ in WRITTEN])
@pytest.mark.played
def test_the_written_steps_end_the_case(terminal: _Terminal, title: str, steps: str) -> None:
    del title
    terminal.do(steps)


@pytest.mark.proves("R22", "R23")
@pytest.mark.played
def test_the_listed_steps_end_every_other_case(terminal: _Terminal) -> None:
    """All cases step by step side by side: what several ask for at once is done once."""
    time.sleep(max(0.0, terminal.ready_at + READ_BACK_AFTER_S - time.monotonic()))
    left = terminal.open_cases()
    ended_by_a_pass = {case.type for case in terminal.cases} - set(left) - WRITTEN_TYPES
    assert ended_by_a_pass <= {case.type for case in terminal.cases if set(case.steps) == {f"`{SYNC}`"}}
    for steps in zip_longest(*left.values()):
        for step in dict.fromkeys(filter(None, steps)):
            terminal.step(step)
    assert terminal.open_cases() == {}
