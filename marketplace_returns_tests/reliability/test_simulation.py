"""A sample of the simulator: a few small seeds; ``make reliability`` plays a thousand of 200 orders each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.sandbox.refunds import RefundWish
from marketplace_returns_tests.reliability.simulation.installation import Workshop
from marketplace_returns_tests.reliability.simulation.judge import judge
from marketplace_returns_tests.reliability.simulation.kept import keep, kept
from marketplace_returns_tests.reliability.simulation.play import Play, Result
from marketplace_returns_tests.reliability.simulation.sums import told

FEW_ORDERS = 8
SEEDS = (9, 4)  # of eight orders each: some give no refund, some no write without an answer


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sample(workshop: Workshop) -> list[Result]:
    return [played(seed, workshop) for seed in SEEDS]


def played(seed: int, workshop: Workshop) -> Result:
    return Play(seed, workshop, orders=FEW_ORDERS).run()


@pytest.mark.played
@pytest.mark.proves("R39", "R48")
def test_a_sample_of_seeds_doubles_nothing_and_loses_nothing(sample: list[Result]) -> None:
    for result in sample:
        assert not result.failures, told(result, "this one")
    assert sum(result.refunds for result in sample) > 0
    assert sum(result.unknown for result in sample) > 0


@pytest.mark.played
def test_a_seed_gives_the_same_run_again_and_another_seed_another(sample: list[Result], workshop: Workshop) -> None:
    """Also in a process that has played others since, whose people changed mapping tables."""
    first, other = sample
    again = played(SEEDS[0], workshop)
    assert (again.trace, again.ledger) == (first.trace, first.ledger)
    assert first.trace != other.trace
    assert first.ledger != other.ledger


def test_a_run_that_was_stopped_goes_on_with_what_its_commit_has_played(tmp_path: Path) -> None:
    file = tmp_path / "data" / "kept.jsonl"
    assert kept(file, "abc1234") == {}
    results = [
        Result(seed, refunds=2, writes=Counter(refund=2), resolved_s=[0.5], failures=["lost"]) for seed in (1, 2)
    ]
    for result in results:
        keep(file, "abc1234", result)
    keep(file, "def5678", Result(3))
    keep(file, "abc1234 with changes", Result(4))
    file.write_text(file.read_text() + '{"commit": "abc1234", "see')
    assert kept(file, "abc1234") == {1: results[0], 2: results[1]}
    assert kept(file, "abc1234")[1].writes["none"] == 0, "counts again"
    assert kept(file, "abc1234 with changes") == {}


def test_the_judge_finds_what_is_lost_and_what_is_doubled(workshop: Workshop) -> None:
    play = Play(1, workshop, orders=FEW_ORDERS)
    play.world.advance(timedelta(days=4))
    app = play.installation.open()
    try:
        idle = judge(play.world, app)
        not_accepted = [words for words in idle.words if "not accepted in time" in words]
        assert len(not_accepted) == len(play.world.marketplace.orders)
        assert any("offer and warehouse differ" in words for words in idle.words)
        assert (idle.doubled, idle.unexplained) == (0, 0)
        order = play.world.customers.order_now()
        assert order is not None
        play.world.marketplace.accept(order.id, [(line.id, True) for line in order.lines])
        play.world.advance(timedelta(hours=3))
        line = order.lines[0]
        play.world.refunds.refund([RefundWish(line.id, line.price_minor, 0, "17", line.quantity)], "api")
        refunded = judge(play.world, app)
        assert refunded.doubled > 0, refunded.words
        assert refunded.unexplained == 1, "a refund of ours that no write of ours made"
    finally:
        app.close()
