"""The model is computed in two halves at once: what that needs of its views."""

import re

from marketplace_returns.model import views
from marketplace_returns.model.views import MODEL_VIEWS, statement


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
