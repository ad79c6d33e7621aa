"""Generated months of several shapes: clean ones prove everything, planted ones show what was planted and nothing else.

A few seeds go with the tests; ``python -m marketplace_returns_tests.reliability months`` plays fifty.
"""

from pathlib import Path

import pytest

from marketplace_returns_tests.reconciliation.anomalies import CODES
from marketplace_returns_tests.reconciliation.seeds import SEEDS, compare, make_month, play, shape_of, unproven
from marketplace_returns_tests.reconciliation.worlds import make_world


@pytest.mark.proves("R6", "R105", "I1", "I3", "I5", "I6", "I11", "I12", "I13", "I14", "I15", "I16", "I17")
def test_a_clean_month_with_odd_amounts_proves_everything(tmp_path: Path) -> None:
    """A leap February in dinars of three decimals, taxes inside and on top."""
    world, shape = make_month(tmp_path, 2, lines=400)

    assert (shape.currency, shape.tax_mode, str(shape.month)) == ("KWD", "MIXED", "2028-02")
    assert unproven(world, shape.month) == []
    world.con.close()


@pytest.mark.proves("R5", "R6", "R17", "R58", "R108", "R109")
def test_what_is_planted_is_found_and_nothing_else(tmp_path: Path) -> None:
    """A March that loses an hour, in yen, with taxes on top."""
    shape = shape_of(1)
    world = make_world(tmp_path, lines=700, shape=shape)

    played = compare(world, shape)

    assert (shape.currency, shape.tax_mode, str(shape.month)) == ("JPY", "TAX_EXCLUDED", "2027-03")
    assert played.differing == ()
    assert played.planted == played.found
    assert CODES.keys() - played.planted.keys() == {"FX"}, "the kinds of wrong payouts take turns"
    world.con.close()


@pytest.mark.played
@pytest.mark.parametrize("seed", [0, 7, 23])
def test_other_seeds_hold_too(seed: int) -> None:
    played, wrong = play(seed)

    assert wrong == []
    assert played.differing == ()


def test_the_seeds_are_different_shapes() -> None:
    shapes = [shape_of(seed) for seed in range(SEEDS)]

    assert len({(shape.month, shape.currency, shape.tax_mode) for shape in shapes}) == SEEDS
    assert {len(shape.cycle_days) for shape in shapes} == {1, 3}
    assert {shape.is_cut_at_midnight for shape in shapes} == {True, False}
