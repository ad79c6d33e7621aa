"""On empty typed tables every query runs and says that there is nothing; the statement's maps are complete."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace_returns.reconciliation import pack, pictures, variances
from marketplace_returns.reconciliation.close_page import close_page
from marketplace_returns.reconciliation.invariants import INVARIANTS, check, check_month
from marketplace_returns.reconciliation.tables import PACK_TABLES
from marketplace_returns.sandbox.accounting import SUMMARY_PAIRS, SUMMARY_SINGLES, summarise
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("empty"), lines=0)
    made.close()
    yield made
    made.con.close()


def test_every_table_is_empty_and_typed_as_declared(world: World) -> None:
    for pack_table in PACK_TABLES:
        described = world.con.execute(f"DESCRIBE {pack_table.table.path}").fetchall()
        types = {name: kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ") for name, kind, *_ in described}
        assert types == {column.name: column.kind.lake_type.replace(", ", ",") for column in pack_table.table.columns}
        assert world.rows(f"SELECT * FROM {pack_table.table.path}") == []


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_proof_of_an_empty_month_says_no_data(world: World, invariant: str) -> None:
    result = check(world.con, world.shop, OCTOBER, invariant)

    assert result.ok
    assert not result.has_data
    assert "no data for asos_uk in 2026-10" in result.message


def test_an_empty_month_is_drawn_and_told_as_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, drawn = pictures._png, []
    monkeypatch.setattr(pictures, "_png", lambda figure, **named: drawn.append(figure) or draw(figure, **named))
    pack.show_month(world.con, ["asos_uk"], OCTOBER, {})
    pictures.month_pictures(world.con, "asos_uk", OCTOBER)
    for figure in drawn:
        assert "Nothing in this month" in [text.get_text() for text in figure.texts]
        drawn_lines = [line for axes in figure.axes for line in axes.lines if len(line.get_xdata())]
        assert drawn_lines == []
        assert not any(axes.axison for axes in figure.axes), "no scale of nothing"

    said = [("asos_uk", result.id, "NO DATA", result.message) for result in check_month(world.con, world.shop, OCTOBER)]
    page = close_page(world.con, ["asos_uk"], OCTOBER, proofs=said, metrics={"asos_uk": []}, pictures={}, made_with={})
    assert '<p class="verdict wait">Nothing is proven: this month has no data.</p>' in page


@pytest.mark.played
def test_an_empty_month_has_no_variances_and_still_a_pack(world: World, tmp_path: Path) -> None:
    assert variances.decide(world.con, world.shop, OCTOBER).exceptions == ()
    results = {"asos_uk": check_month(world.con, world.shop, OCTOBER)}

    manifest = pack.export(
        world.lake,
        world.con,
        ["asos_uk"],
        OCTOBER,
        tmp_path,
        accounts=world.mappings.ledger_accounts,
        periods={},
        results=results,
    )

    assert all(file.rows == 0 for file in manifest.files if file.name != "sign_off.csv")
    assert {proof.result for proof in manifest.proofs} == {"NO DATA"}
    assert all(
        picture.startswith(b"\x89PNG") for picture in pictures.month_pictures(world.con, "asos_uk", OCTOBER).values()
    )


def test_statement_maps_cover_the_forty_totals(world: World) -> None:
    documented = set(summarise({}))
    assert len(documented) == 40
    mapped = {row["field"] for row in world.rows("SELECT DISTINCT field FROM stage.statement_fields")}
    # Orders that are not payable pass by the payout: their totals are informative and have no types.
    assert documented - mapped == {name for name in documented if "non_payable" in name}
    assert mapped <= documented


def test_statement_components_are_a_partition_of_the_types(world: World) -> None:
    types = [row["transaction_type"] for row in world.rows("SELECT transaction_type FROM stage.component_types")]
    by_sandbox = {kind for excl, incl in SUMMARY_PAIRS.values() for kind in (*excl, *incl)}
    by_sandbox |= {kind for kinds in SUMMARY_SINGLES.values() for kind in kinds}

    assert len(types) == len(set(types))
    assert set(types) == by_sandbox
