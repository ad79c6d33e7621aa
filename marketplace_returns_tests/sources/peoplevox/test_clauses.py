"""Clauses, read by the sandbox's own parser: a value stays a value, and a window loses no instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_returns.errors import BadArgument
from marketplace_returns.sandbox.peoplevox_clauses import Condition, matches, parse
from marketplace_returns.sources.peoplevox.clauses import (
    KEYS_MAX,
    all_of,
    any_of,
    bare,
    caption,
    chunks,
    equals,
    within,
)

LONDON = ZoneInfo("Europe/London")
SUMMER_TIME_ENDS = datetime(2026, 10, 25, 1, tzinfo=UTC)
INSTANTS = st.integers(-86_400, 86_400).map(lambda seconds: SUMMER_TIME_ENDS + timedelta(seconds=seconds))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))
def test_no_value_can_end_its_literal(value: str) -> None:
    clause = parse(equals(caption("Item code"), value))
    assert clause == Condition("Item code", "==", value, bracketed=True)


def test_a_line_break_in_a_value_becomes_a_blank() -> None:
    assert equals("Reference", "a\r\nb") == 'Reference.Equals("a b")'


@given(INSTANTS, INSTANTS, INSTANTS)
def test_a_window_holds_every_instant_of_it(first: datetime, second: datetime, third: datetime) -> None:
    since, instant, until = sorted((first, second, third))
    clause = parse(within(caption("Return date"), since, until, LONDON))
    assert clause is not None
    assert matches(clause, {"Return date": instant}, LONDON)


def test_a_window_is_not_much_larger_than_asked() -> None:
    since, until = datetime(2026, 7, 1, 8, tzinfo=UTC), datetime(2026, 7, 1, 9, tzinfo=UTC)
    clause = parse(within(caption("Return date"), since, until, LONDON))
    assert clause is not None
    for outside in (since - timedelta(minutes=1), until + timedelta(minutes=1)):
        assert not matches(clause, {"Return date": outside}, LONDON)


def test_conditions_are_joined_and_empty_ones_left_out() -> None:
    joined = all_of(any_of(bare("Number"), ["1", "2"]), "", equals("Site", "X"))
    assert joined == '(Number.Equals("1") OR Number.Equals("2")) AND (Site.Equals("X"))'
    assert all_of("", "") == ""


def test_keys_are_split_into_short_chains_without_repeats() -> None:
    sizes = [len(chunk) for chunk in chunks([*map(str, range(150)), "7", ""])]
    assert sizes == [KEYS_MAX, 50]


def test_mistakes_are_named() -> None:
    with pytest.raises(BadArgument, match="brackets"):
        caption("Item] code")
    with pytest.raises(BadArgument, match="field name"):
        bare("Item code")
    with pytest.raises(BadArgument, match="1 to 100"):
        any_of("Number", [])
    with pytest.raises(BadArgument, match="swap"):
        within("Date", datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), LONDON)
