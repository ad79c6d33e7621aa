"""Each type of the catalogue: its cause opens it with owner, severity, clock and playbook; its cure closes it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns_tests.every_exception import cases_of_answers, cases_of_facts, cases_of_months
from marketplace_returns_tests.every_exception.scene import PERSON, Told, is_cleared, scene
from marketplace_returns_tests.lanes.core_rows import NOW

PLAYED = [*cases_of_answers.CASES, *cases_of_facts.CASES]
HAS_OWN_CLOCK = {case.type for case in PLAYED if case.has_own_clock}
BY_PERSON = {case.type for case in PLAYED if case.by_person} | {
    name for name, by_person in cases_of_months.TYPES.items() if by_person
}
RULES = default_rules()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """What became of the exception of each case, in two worlds: one of the lanes and writes, one of the months."""
    with scene(tmp_path_factory.mktemp("every")) as here:
        here.play(cases_of_answers.CASES, together=False)
        here.sandbox.advance_to(NOW)
        here.play(cases_of_facts.CASES, together=True)
        found = dict(here.told)
    with cases_of_months.books(tmp_path_factory.mktemp("months")) as books:
        books.play()
    return found | books.told


def test_every_type_of_the_catalogue_has_a_case() -> None:
    types = [*(case.type for case in PLAYED), *cases_of_months.TYPES]
    assert sorted(types) == sorted(RULES)


@pytest.mark.proves("R22", "R67", "R93")
@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.played
def test_its_cause_opens_one_with_owner_severity_clock_and_playbook(told: dict[str, Told], name: str) -> None:
    rule = RULES[name]
    assert len(told[name].opened) == 1
    (opened,) = told[name].opened
    assert (opened.owner, opened.severity, opened.playbook) == (rule.owner, str(rule.severity), rule.playbook)
    assert (opened.due_at == opened.opened_at + timedelta(hours=rule.sla_hours)) is (name not in HAS_OWN_CLOCK)
    assert opened.resolved_at is None


@pytest.mark.proves("R22")
@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.played
def test_its_cure_closes_it_by_facts_or_by_a_persons_word(told: dict[str, Told], name: str) -> None:
    (ended,) = told[name].ended
    assert ended.resolved_at is not None, "it is still open"
    assert is_cleared(ended) is (name not in BY_PERSON)
    assert ended.resolution.startswith(f"by {PERSON}: ") is (name in BY_PERSON)
