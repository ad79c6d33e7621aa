"""Generated months of several shapes: what is planted is found and nothing else, in the same bytes however it landed.

A few seeds go with the tests; ``python -m marketplace_returns_tests.reliability months`` plays fifty, clean and planted.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from marketplace_returns.lake.tables import BOOKINGS, CORE_TABLES, LAKE_TABLES
from marketplace_returns.reconciliation import close, pack
from marketplace_returns_tests.reconciliation.anomalies import CODES
from marketplace_returns_tests.reconciliation.generate import SHOP, Shape
from marketplace_returns_tests.reconciliation.seeds import SEEDS, Played, compare, play, shape_of
from marketplace_returns_tests.reconciliation.worlds import World, make_world


@dataclass(frozen=True)
class PlantedMonth:
    """A month with anomalies, closed."""

    world: World
    shape: Shape
    played: Played


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedMonth]:
    """A March that loses an hour, in yen, with taxes on top."""
    shape = shape_of(1)
    world = make_world(tmp_path_factory.mktemp("planted"), lines=700, shape=shape)
    yield PlantedMonth(world, shape, compare(world, shape))
    world.con.close()


@pytest.mark.played
@pytest.mark.proves("R5", "R6", "R17", "R58", "R108", "R109")
def test_what_is_planted_is_found_and_nothing_else(month: PlantedMonth) -> None:
    assert (month.shape.currency, month.shape.tax_mode, str(month.shape.month)) == ("JPY", "TAX_EXCLUDED", "2027-03")
    assert month.played.differing == ()
    assert month.played.planted == month.played.found
    assert CODES.keys() == month.played.planted.keys()


@pytest.mark.played
@pytest.mark.proves("R99")
def test_the_order_of_landing_the_layout_of_files_and_the_way_of_a_long_log_change_no_byte(
    month: PlantedMonth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exported(folder: str) -> dict[str, str]:
        world = month.world
        accounts = world.mappings.ledger_accounts
        pack.export(
            world.lake,
            world.con,
            [SHOP],
            month.shape.month,
            tmp_path / folder,
            accounts=accounts,
            periods={},
            results={},
        )
        return {
            path.relative_to(tmp_path / folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((tmp_path / folder).rglob("*.csv"))
        }

    before = exported("before")
    _land_again(month.world)
    month.world.close(month.shape.month, run_id="again", before=month.played.signed)

    assert len(before) > 20
    assert exported("after") == before
    monkeypatch.setattr(close, "SMALL_LOG_LINES_MAX", 0)
    month.world.close(month.shape.month, run_id="long", before=month.played.signed)
    assert exported("long") == before


def _land_again(world: World) -> None:
    """Land every row anew, shuffled, in two transactions: some inlined in the catalog, the rest as files."""
    tables = dict.fromkeys(
        table.path for table in (*CORE_TABLES, *LAKE_TABLES) if table.schema == "core" and table is not BOOKINGS
    )
    filled = [path for path in tables if world.con.execute(f"SELECT 1 FROM {path} LIMIT 1").fetchone()]
    for path in filled:
        name = path.rpartition(".")[2]
        order = "hash(t, 'shuffled')"
        world.con.execute(
            f"CREATE TEMP TABLE again_{name} AS SELECT t, row_number() OVER (ORDER BY {order}) AS place FROM {path} AS t"
        )
    for statement, place in (("DELETE FROM {};", "<= 25"), ("", "> 25")):
        world.plant(
            *(
                f"{statement.format(path)} INSERT INTO {path} SELECT unnest(t) FROM again_{path.rpartition('.')[2]} "
                f"WHERE place {place} ORDER BY place DESC"
                for path in filled
            )
        )
    world.con.execute("CREATE OR REPLACE TEMP TABLE gen_intents AS SELECT * FROM gen_intents ORDER BY hash(intent_id)")


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
