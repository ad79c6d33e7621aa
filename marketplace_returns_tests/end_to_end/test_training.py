"""The training as a newcomer has it: its troubles are open, and the manual's steps, word by word, end five of them."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from marketplace_returns.cli import training
from marketplace_returns.cli.output import Output
from marketplace_returns.cli.sandbox_process import sandbox_process
from marketplace_returns.sandbox.lessons import LESSONS
from marketplace_returns_tests.cli.conftest import MAPPINGS, Shell
from marketplace_returns_tests.test_documentation import DOCS, command_mistakes

pytestmark = pytest.mark.played
MANUAL = (DOCS / "manual" / "training.md").read_text(encoding="utf-8")
CASES = re.findall(r"^## (Case \d: .+?)$(.*?)(?=^## )", MANUAL, re.MULTILINE | re.DOTALL)
PORT = 8953


class _Terminal(Shell):
    """The second terminal: it does what stands between backticks, and nothing else."""

    def do(self, steps: str) -> None:
        """Follow the steps of a case: run its commands, add its lines to the file that is named before them."""
        name = re.search(r"--type (\w+)", steps)
        assert name is not None
        before = self.open(name[1])
        assert before, f"{name[1]} is open"
        for table, row in re.findall(r"`data/training/mappings/(\w+)\.csv`:\n\n +```\n +(.+)\n", steps):
            path = self.folder / "data" / "training" / "mappings" / f"{table}.csv"
            path.write_text(path.read_text().rstrip() + f"\n{row}\n")
        for line in re.findall(r"`(marketplace-returns (?:sync|training|exceptions retry)[^`]*)`", steps):
            assert command_mistakes(line) == []
            for number in before if " ID " in line else before[:1]:
                words = shlex.split(line.replace(" ID ", f" {number} "))[1:]
                told = self.run(*words)
                assert told.code in {0, 1}, told.all
        assert set(before).isdisjoint(self.open(name[1])), f"{name[1]} is closed"

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
            training.prepare(where, sandbox, datetime.now(UTC), Output(as_json=False))
            yield _Terminal(folder, None, patch)  # type: ignore[arg-type]


def test_every_trouble_that_can_be_practised_is_open(terminal: _Terminal) -> None:
    assert [name for name in LESSONS if not terminal.open(name)] == []


@pytest.mark.proves("R23", "R64")
@pytest.mark.parametrize(("title", "steps"), CASES, ids=[title.partition(":")[0] for title, _ in CASES])
def test_the_written_steps_end_the_case(terminal: _Terminal, title: str, steps: str) -> None:
    del title
    terminal.do(steps)
