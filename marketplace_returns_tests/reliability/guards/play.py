"""Takes each guard out in turn, runs the tests that must miss it, and writes the section of the page.

Here live the copy that is mutated and the runs. Not here: the guards (table.py). Invariant: the tree is never touched, and a
guard whose tests stay green has failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console

from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.guards.table import GUARDS, Guard

_PARTS = ("marketplace_returns", "marketplace_returns_tests", "mappings", "docs")
_FILES = ("pyproject.toml", "dagster.yaml", "workspace.yaml")
_RUN_S_MAX = 1200
_NOT_TIMED = "not milliseconds"
"""A test of speed turns red for reasons of its own, and would count as one that misses a guard."""


@dataclass(frozen=True)
class Run:
    """What a run of tests came to; ``red`` are the names of those that failed."""

    tests: int
    red: tuple[str, ...]
    seconds: float
    output: str


@dataclass(frozen=True)
class Caught:
    """A guard that was taken out, and the run that was to miss it."""

    guard: Guard
    run: Run


class Copy:
    """A copy of the program and its tests that may be mutated; a context manager."""

    def __enter__(self) -> Copy:
        self.folder = Path(tempfile.mkdtemp(prefix="guards-"))
        ignored = shutil.ignore_patterns("__pycache__", "cassettes.bak")
        for name in _PARTS:
            shutil.copytree(page.ROOT / name, self.folder / name, ignore=ignored)
        for name in _FILES:
            shutil.copy(page.ROOT / name, self.folder / name)
        found = self._python("-c", "import marketplace_returns; print(marketplace_returns.__file__)").stdout.strip()
        if Path(found).parents[1].resolve() != self.folder.resolve():
            raise RuntimeError(f"the copy is not what would be run, but {found}")
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, tests: Sequence[str]) -> Run:
        """Run tests of the copy."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        started = time.perf_counter()
        ended = self._python(
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(
                () if all("::" in test for test in tests) else ("-m", "not played")
            ),  # one that is named is run however long
            "-k",
            _NOT_TIMED,
            f"--junitxml={report}",
            *tests,
        )
        seconds = time.perf_counter() - started
        if not report.exists():
            return Run(0, ("nothing could be run",), seconds, ended.stdout + ended.stderr)
        cases = list(ET.parse(report).iter("testcase"))
        red = tuple(
            f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
            for case in cases
            if case.find("failure") is not None or case.find("error") is not None
        )
        return Run(len(cases), red, seconds, ended.stdout[-4000:])

    def without(self, guard: Guard) -> Run:
        """Take a guard out, run its tests, and put it back."""
        file = self.folder / "marketplace_returns" / guard.file
        source = file.read_text(encoding="utf-8")
        file.write_text(guard.mutated(source), encoding="utf-8")
        try:
            return self.run(guard.tests)
        finally:
            file.write_text(source, encoding="utf-8")

    def _python(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_RUN_S_MAX,
            check=False,
        )


def play(guards: Sequence[Guard], tell: Callable[[str], None]) -> tuple[Run, list[Caught]]:
    """Run the tests as they are, then without each guard."""
    with Copy() as copy:
        whole = copy.run(sorted({name for guard in guards for name in guard.tests}))
        tell(f"as it is: {whole.tests} tests in {whole.seconds:.0f} s, {len(whole.red)} red")
        if whole.red:
            tell(whole.output)
            return whole, []
        caught = []
        for guard in guards:
            run = copy.without(guard)
            caught.append(Caught(guard, run))
            seen = f"{len(run.red)} of {run.tests} tests red, such as {run.red[0]}" if run.red else "NOT MISSED"
            tell(f"without {guard.name}: {seen} ({run.seconds:.0f} s)")
        return whole, caught


_SECTION = """
## Guards taken out

Each guard is taken out of a copy of the program in turn, and the tests that must miss it are run: they have to turn red for
every one, as they are all green with every guard in place ({tests} tests).

{figures}

{guards}

`python -m marketplace_returns_tests.reliability guards --only baseline` plays one.
"""


def section(whole: Run, caught: Sequence[Caught]) -> str:
    """Return the section of the page."""
    rows = [
        (
            each.guard.name,
            each.guard.holds,
            f"`{each.guard.file}`",
            f"{len(each.run.red)} of {each.run.tests}",
            f"`{each.run.red[0]}`",
            round(each.run.seconds),
        )
        for each in caught
    ]
    figures = [
        ("guards taken out", len(caught)),
        ("**missed by the tests**", sum(not each.run.red for each in caught)),
        ("seconds", round(whole.seconds + sum(each.run.seconds for each in caught))),
    ]
    return _SECTION.format(
        tests=whole.tests,
        figures=page.table(("what", "figure"), figures),
        guards=page.table(("guard", "what it holds", "where", "tests red without it", "one of them", "s"), rows),
    )


def main(words: list[str]) -> int:
    """Take out all guards, or one; return 1 where one was not missed. Only a whole run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability guards", description=__doc__)
    parser.add_argument("--only", choices=[guard.name for guard in GUARDS], help="take out one guard")
    wanted = parser.parse_args(words)
    console = Console(soft_wrap=True, highlight=False)
    chosen = [guard for guard in GUARDS if wanted.only in {None, guard.name}]
    whole, caught = play(chosen, lambda told: console.print(told, markup=False))
    if whole.red or not all(each.run.red for each in caught):
        return 1
    if not wanted.only:
        page.write("guards", section(whole, caught))
        console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0
