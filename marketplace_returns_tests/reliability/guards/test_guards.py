"""The guards are still where they are taken out; ``make reliability`` takes them out and runs the tests."""

from __future__ import annotations

import ast

import pytest

from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.guards.table import GUARDS, PACKAGE, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_still_stands_where_it_is_taken_out(guard: Guard) -> None:
    source = (PACKAGE / guard.file).read_text(encoding="utf-8")
    mutated = guard.mutated(source)
    assert mutated != source
    ast.parse(mutated)
    for name in guard.tests:
        file, _, test = name.partition("::")
        assert f"def {test}" in (page.ROOT / file).read_text(encoding="utf-8")


def test_a_guard_that_moved_is_told() -> None:
    gone = Guard("gone", "nothing", "ledger/states.py", "no such text", "", ())
    with pytest.raises(ValueError, match="stands 0 times"):
        gone.mutated((PACKAGE / gone.file).read_text(encoding="utf-8"))
