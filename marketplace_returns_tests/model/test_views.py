"""The model is computed in two halves at once: what that needs of its views."""

import re
from datetime import timedelta
from typing import Any

import pytest

from marketplace_returns import model
from marketplace_returns.lake.connection import side_by_side
from marketplace_returns.model import views
from marketplace_returns.model.views import MODEL_VIEWS, statement
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP, CoreRows


def needs(view: str) -> set[str]:
    if view == views._REPORTED:
        return set()
    text = statement(view, views.PACKAGE)
    found = {name for name in re.findall(r"\bmodel\.(\w+)", text) if name in MODEL_VIEWS} - {view}
    return found | ({views._REPORTED} if re.search(r"\breported\.", text) else set())


def test_the_halves_of_the_model_need_nothing_of_each_other_and_come_in_order() -> None:
    for half in views._APART:
        known: set[str] = set()
        for view in half:
            assert needs(view) <= known, f"{view} needs {needs(view) - known} first"
            known.add(view)
    assert needs("return_units") - set(views._APART[0]), "what comes after may need both"


def test_every_view_of_the_model_is_computed_once() -> None:
    computed = [view for part in (*views._APART, views._AFTER) for view in part if view != views._REPORTED]
    assert sorted(computed) == sorted(MODEL_VIEWS)


def test_a_model_that_a_writer_overtook_is_computed_again_of_one_state(
    core: CoreRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.order("O1", "RECEIVED", (("A", 1, 1000),))
    core.returned("R1", created_at=NOW - timedelta(days=3))
    core.on_platform("R1", "P1")
    core.ready()

    def overtaken(con: Any, questions: Any) -> Any:
        answers = side_by_side(con, questions)
        with core.lake.connect() as other:
            for table in ("mirakl__orders", "mirakl__returns", "reveni__returns"):
                other.execute(f"DELETE FROM lake.core.{table}")
        return answers

    monkeypatch.setattr(views, "side_by_side", overtaken)
    model.compute(core.con, SHOP)
    for table in ("orders", "return_cases", "platform_returns"):
        assert core.con.execute(f"SELECT count(*) FROM memory.model.{table}").fetchall() == [(0,)], table
