"""Every tag names a requirement that exists and counts for a test that pytest runs, and every requirement has a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace_returns_tests.traceability import (
    IDS,
    LATER,
    PAGE,
    REGENERATE,
    Tags,
    page,
    read_tags,
    requirements,
    unproven,
)


def test_every_tag_names_a_requirement_that_exists() -> None:
    assert not read_tags().mistakes


def test_every_requirement_is_listed_once_and_waits_for_known_work_only() -> None:
    assert [each.id for each in requirements()] == list(IDS)
    assert all(each.what for each in requirements())
    assert {each.later for each in requirements()} <= {"", *LATER}


def test_every_requirement_is_proven_or_waits_for_later_work() -> None:
    missing = unproven(read_tags())
    assert not missing, "no test proves:\n" + "\n".join(f"  {each.id}: {each.what}" for each in missing)


def test_page_of_requirements_is_that_of_the_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_tags()), f"docs/{PAGE.name} is stale: run {REGENERATE}"


def test_what_lost_its_test_is_missed_and_what_is_to_come_is_not() -> None:
    tags = Tags({each.id: ["x.py::test_x"] for each in requirements() if not each.later})
    assert unproven(tags) == []
    tags.tests.pop("R3")
    assert [each.id for each in unproven(tags)] == ["R3"]


def test_tags_of_modules_classes_functions_and_parameters_are_read(tmp_path: Path) -> None:
    _write(
        tmp_path,
        """
        pytestmark = [pytest.mark.slow, pytest.mark.proves("R1")]
        CASES = [pytest.param(1, marks=pytest.mark.proves("C8")), 2]

        @pytest.mark.proves("R2", "R3")
        def test_one(): ...

        @pytest.mark.parametrize("case", [pytest.param(1, marks=[pytest.mark.proves("R4")])])
        def test_two(case): ...

        @pytest.mark.parametrize("case", CASES)
        def test_three(case): ...

        @pytest.mark.proves("I9")
        class TestRefunds:
            pytestmark = pytest.mark.proves("I18")

            async def test_four(self): ...
        """,
    )
    tags = read_tags(tmp_path)
    assert not tags.mistakes
    one, two, three, four = (
        f"lanes/test_some.py::{name}" for name in ("test_one", "test_two", "test_three", "TestRefunds::test_four")
    )
    assert tags.tests == {
        "R1": [one, two, three, four],
        "R2": [one],
        "R3": [one],
        "R4": [two],
        "C8": [three],
        "I9": [four],
        "I18": [four],
    }


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('@pytest.mark.proves("R120")\ndef test_one(): ...', "'R120'"),
        ('@pytest.mark.proves("r1")\ndef test_one(): ...', "'r1'"),
        ("@pytest.mark.proves(REQUIREMENT)\ndef test_one(): ...", "not REQUIREMENT"),
        ('@pytest.mark.proves(*("R1",))\ndef test_one(): ...', "not *('R1',)"),
        ('@pytest.mark.proves("R1", why="so")\ndef test_one(): ...', "one or more ids"),
        ("@pytest.mark.proves()\ndef test_one(): ...", "one or more ids"),
        ("@pytest.mark.proves\ndef test_one(): ...", "written out"),
        ('@pytest.mark.proves("R1")\ndef arrange(): ...', "on nothing"),
        ('@pytest.mark.proves("R1")\nclass Arranged:\n    def test_one(self): ...', "on nothing"),
        ('CASES = [pytest.param(1, marks=pytest.mark.proves("R1"))]\ndef test_one(): ...', "on nothing"),
    ],
)
def test_a_tag_that_would_not_count_is_a_mistake_with_its_place(tmp_path: Path, code: str, words: str) -> None:
    _write(tmp_path, code)
    (mistake,) = read_tags(tmp_path).mistakes
    assert mistake.startswith("lanes/test_some.py:1: proves ")
    assert words in mistake


def test_a_tag_outside_of_a_test_file_is_a_mistake(tmp_path: Path) -> None:
    _write(tmp_path, 'pytestmark = pytest.mark.proves("R1")\ndef test_one(): ...', "conftest.py")
    assert read_tags(tmp_path).mistakes == ["lanes/conftest.py:1: proves is on nothing that pytest runs as a test"]


def _write(folder: Path, code: str, name: str = "test_some.py") -> None:
    (folder / "lanes").mkdir()
    lines = code.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    (folder / "lanes" / name).write_text("\n".join(line[margin:] for line in lines), encoding="utf-8")
