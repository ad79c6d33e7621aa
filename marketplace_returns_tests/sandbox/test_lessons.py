"""Troubles to practise on, where a world cannot have them: what is asked for in vain says so."""

from __future__ import annotations

import pytest

from marketplace_returns.sandbox.lesson import Stage
from marketplace_returns.sandbox.lessons import LESSONS, Classroom
from marketplace_returns_tests.sandbox.conftest import SellerMaker


@pytest.fixture
def classroom(make_seller: SellerMaker) -> Classroom:
    """A shop that has just opened."""
    seller = make_seller(orders=1, days=1)
    return Classroom(seller.world, seller.sandbox.gate)


def test_a_world_that_holds_nothing_to_cause_a_trouble_on_says_which(classroom: Classroom) -> None:
    with pytest.raises(ValueError, match="INSPECTION_OVERDUE cannot be caused: there is no received order"):
        classroom.cause(Stage.WEEK.name)


def test_what_there_is_not_is_refused(classroom: Classroom) -> None:
    with pytest.raises(ValueError, match="'SOON' is no stage: use one of WEEK, "):
        classroom.cause("SOON")
    with pytest.raises(ValueError, match="'NO_SUCH_TYPE' cannot be practised here"):
        classroom.outside("NO_SUCH_TYPE")
    with pytest.raises(ValueError, match="SOURCE_STALE was not caused in this world"):
        classroom.outside("SOURCE_STALE")
    with pytest.raises(ValueError, match="TL_UNMAPPED_TYPE is cured in the product alone"):
        classroom.outside("TL_UNMAPPED_TYPE")


def test_each_trouble_has_a_cause_and_words_for_what_is_done_elsewhere() -> None:
    assert [name for name, lesson in LESSONS.items() if not lesson.acts] == []
    assert [name for name, lesson in LESSONS.items() if bool(lesson.outside) is not bool(lesson.outside_words)] == []
