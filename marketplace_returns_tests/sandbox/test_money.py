"""The sandbox's own arithmetic: nothing is lost in a split, nothing finer than a minor unit gets in."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_returns.sandbox.money import from_wire, half_even, share, to_decimal


@given(st.integers(0, 10**9), st.integers(1, 50))
def test_the_parts_of_a_split_add_up_to_the_whole(total: int, units: int) -> None:
    parts = [share(total, unit + 1, units) - share(total, unit, units) for unit in range(units)]
    assert sum(parts) == total
    assert min(parts) >= 0


def test_ties_go_to_the_even_neighbour() -> None:
    assert [half_even(number, 2) for number in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]


@given(st.integers(-(10**12), 10**12), st.sampled_from(["GBP", "JPY", "KWD"]))
def test_an_amount_survives_the_wire(minor: int, currency: str) -> None:
    assert from_wire(str(to_decimal(minor, currency)), currency) == minor


@pytest.mark.parametrize("value", ["1.005", 1.005, "x", None, True, "NaN", "Infinity", [], "1e400000"])
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"amount|decimals"):
        from_wire(value, "GBP")


def test_floats_are_read_by_their_shortest_text() -> None:
    assert from_wire(2.81, "GBP") == 281
    assert to_decimal(5, "GBP") == Decimal("0.05")
