"""Each type of the catalogue: its cause opens it with owner, severity, clock and playbook; its cure closes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from marketplace_returns.ledger.ledger import default_rules
from marketplace_returns_tests.every_exception import cases_of_answers
from marketplace_returns_tests.every_exception.scene import Scene, is_cleared, scene

CASES = [*cases_of_answers.CASES]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("every")) as here:
        here.play(cases_of_answers.CASES, together=False)
        yield here


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_its_cause_opens_it_and_its_cure_closes_it(played: Scene, case) -> None:
    told = played.told[case.type]
    rule = default_rules()[case.type]
    assert len(told.opened) == 1, f"{case.type}: {[each.message for each in told.opened]}"
    (opened,), (ended,) = told.opened, told.ended
    assert (opened.owner, opened.severity, opened.playbook) == (rule.owner, rule.severity, rule.playbook)
    assert ended.resolved_at is not None, ended.message
