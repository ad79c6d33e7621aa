"""Which test proves which requirement, read from the tests themselves.

Here: the ids there are, the reader of ``@pytest.mark.proves("R31", "C8")``, and the page ``docs/traceability.md``. It reads the files, and
imports and runs nothing, so that it costs little and says the same on every worker. ``python -m marketplace_returns_tests.traceability``
writes the page anew and names what no test proves.
Not here: what makes a test a proof. It fails when the behaviour is taken out; who tags it answers for that.
Invariant: a tag either counts for a test or is a mistake with its place; none is passed over.
"""

from __future__ import annotations

import ast
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "traceability.md"
REGENERATE = "python -m marketplace_returns_tests.traceability"
LATER = ("safe writes", "month-end", "run by people")
"""Work that is still to come, in its order; a requirement may wait for one of these and for nothing else."""
IDS = (
    *(f"R{number}" for number in range(1, 120)),
    *(f"C{number}" for number in range(1, 15)),
    *(f"I{number}" for number in range(1, 19)),
)
"""Every requirement, every resolved contradiction, every invariant of the month-end."""

_HEADINGS = {"R": "Requirements", "C": "Contradictions, resolved by a policy", "I": "Invariants of the month-end"}
_KNOWN = frozenset(IDS)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Tags:
    """What the tests say they prove: ids to tests (``lanes/test_refunds.py::test_name``), and what is wrong with a tag."""

    tests: dict[str, list[str]] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Requirement:
    """What is promised, in short, and the later work that finishes it (empty: nothing is left to do)."""

    id: str
    what: str
    later: str


@cache
def requirements() -> tuple[Requirement, ...]:
    """Return all requirements, from ``requirements.csv``."""
    with (TESTS / "requirements.csv").open(encoding="utf-8", newline="") as file:
        return tuple(Requirement(**row) for row in csv.DictReader(file))


def unproven(tags: Tags) -> list[Requirement]:
    """Return what no test proves and no later work is named for."""
    return [each for each in requirements() if each.id not in tags.tests and not each.later]


def page(tags: Tags) -> str:
    """Return the page of all requirements with the tests that prove them."""
    return "\n".join(_page(tags))


def _page(tags: Tags) -> Iterator[str]:
    yield "# Traceability"
    yield ""
    yield f"<!-- Written by `{REGENERATE}` from the tests; do not edit. -->"
    yield ""
    yield "Every requirement with the tests that fail when its behaviour is taken out. *Later* names the work that finishes it."
    for kind, those in groupby(requirements(), key=lambda each: each.id[0]):
        yield ""
        yield f"## {_HEADINGS[kind]}"
        yield ""
        yield "| id | what | proven by | later |"
        yield "| --- | --- | --- | --- |"
        yield from (f"| {each.id} | {each.what} | {_proofs(tags, each.id)} | {each.later} |" for each in those)
    yield ""


def _proofs(tags: Tags, requirement: str) -> str:
    """Return the tests of a requirement, by file."""
    tests = (test.partition("::") for test in tags.tests.get(requirement, ()))
    return "<br>".join(
        f"`{file}`: {', '.join(f'`{name}`' for _, _, name in those)}"
        for file, those in groupby(tests, key=lambda parts: parts[0])
    )


def read_tags(folder: Path = TESTS) -> Tags:
    """Return the tags of all test files below a folder, in the order of files and lines."""
    tags = Tags()
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "proves" in source:
            _FileReader(path.relative_to(folder).as_posix(), tags).read(ast.parse(source, filename=str(path)))
    return tags


class _FileReader:
    """Reads one file: tags of the module, of its classes and its functions, and of the parameters they are run with."""

    def __init__(self, name: str, tags: Tags) -> None:
        self._name = name
        self._tags = tags
        self._counted: set[ast.Call] = set()

    def read(self, module: ast.Module) -> None:
        """Count every tag for the tests it stands on; what is left over is a mistake."""
        if Path(self._name).name.startswith("test_"):
            tables = {name: value for each in module.body for name, value in _assigned(each)}
            self._walk(module.body, "", _in(tables.get("pytestmark")), tables)
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and _is_tag(node.func) and node not in self._counted:
                self._mistake(node, "is on nothing that pytest runs as a test")
        called = {node.func for node in ast.walk(module) if isinstance(node, ast.Call)}
        for node in ast.walk(module):
            if _is_tag(node) and node not in called:
                self._mistake(node, 'must be written out where it is used: pytest.mark.proves("R1")')

    def _walk(self, body: list[ast.stmt], within: str, above: list[ast.Call], tables: dict[str, ast.expr]) -> None:
        for each in body:
            match each:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if each.name.startswith("test"):
                    self._count(f"{within}{each.name}", [*above, *_of_function(each, tables)])
                case ast.ClassDef() if each.name.startswith("Test"):
                    own = {name: value for inner in each.body for name, value in _assigned(inner)}
                    marks = [*above, *_in(*each.decorator_list), *_in(own.get("pytestmark"))]
                    self._walk(each.body, f"{within}{each.name}::", marks, tables | own)
                case _:
                    pass

    def _count(self, test: str, marks: list[ast.Call]) -> None:
        for mark in marks:
            is_new = mark not in self._counted
            self._counted.add(mark)
            for requirement in self._ids(mark, is_new=is_new):
                tests = self._tags.tests.setdefault(requirement, [])
                if (place := f"{self._name}::{test}") not in tests:
                    tests.append(place)

    def _ids(self, mark: ast.Call, *, is_new: bool) -> Iterator[str]:
        wrong = []
        if not mark.args or mark.keywords:
            wrong.append('takes one or more ids: pytest.mark.proves("R1", "C8")')
        for argument in mark.args:
            match argument:
                case ast.Constant(value=str(requirement)) if requirement in _KNOWN:
                    yield requirement
                case ast.Constant(value=str(requirement)):
                    wrong.append(f"names {requirement!r}, and there are R1 to R119, C1 to C14 and I1 to I18")
                case _:
                    wrong.append(f"takes ids as they are written, not {ast.unparse(argument)}")
        for each in wrong if is_new else ():
            self._mistake(mark, each)

    def _mistake(self, node: ast.AST, what: str) -> None:
        self._tags.mistakes.append(f"{self._name}:{getattr(node, 'lineno', 0)}: proves {what}")


def _of_function(function: _Function, tables: dict[str, ast.expr]) -> list[ast.Call]:
    """Return the tags in the decorators of a function, and in the tables of parameters which they name."""
    named = [
        tables[node.id]
        for decorator in function.decorator_list
        for node in ast.walk(decorator)
        if isinstance(node, ast.Name) and node.id in tables
    ]
    return _in(*function.decorator_list, *named)


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            yield name, value
        case _:
            pass


def _in(*nodes: ast.AST | None) -> list[ast.Call]:
    return [
        each
        for node in nodes
        if node is not None
        for each in ast.walk(node)
        if isinstance(each, ast.Call) and _is_tag(each.func)
    ]


def _is_tag(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr="proves", value=ast.Attribute(attr="mark") | ast.Name(id="mark")):
            return True
        case _:
            return False


if __name__ == "__main__":
    found = read_tags()
    PAGE.write_text(page(found), encoding="utf-8")
    sys.stderr.writelines(f"no test proves {each.id}: {each.what}\n" for each in unproven(found))
