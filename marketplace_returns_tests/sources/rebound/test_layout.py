"""One shape of a return, whichever generation it comes from, and what is left out of it."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace_returns.sources.rebound.layout import current_return, instant, legacy_return

LEGACY: dict[str, Any] = {"id": "1", "tracking": "T 1", "external_id": "RT-1", "current_tracking_status": "created"}
CURRENT: dict[str, Any] = {"id": "1", "status": "open", "milestone": "Delivered", "updated_at": "2026-07-01T08:00:00Z"}


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("2026-07-01 08:00:00", "2026-07-01T08:00:00+00:00"),
        ("2026/07/01", "2026-07-01T00:00:00+00:00"),
        ("07/31/2026", "2026-07-31T00:00:00+00:00"),
        ("1782892800", "2026-07-01T08:00:00+00:00"),
        (1782892800, "2026-07-01T08:00:00+00:00"),
        ("", None),
        (None, None),
        ("31.07.2026", "31.07.2026"),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
    ],
)
def test_each_way_of_writing_an_instant_is_read_and_no_other_is_guessed(told: object, read: object) -> None:
    assert instant(told) == read


def test_fields_nobody_knows_are_kept() -> None:
    assert legacy_return(LEGACY | {"new_field": "x"}, None)["new_field"] == "x"
    assert current_return(CURRENT | {"new_field": "x", "lines": [{"line_id": "1", "new_field": "y"}]})["item"] == [
        {"item_id": "1", "new_field": "y", "reason": [{"reason": None, "wish": None}]}
    ]


def test_a_cancelled_return_order_is_cancelled_whatever_its_milestone() -> None:
    assert current_return(CURRENT)["status"] == "Delivered"
    assert current_return(CURRENT | {"status": "Cancelled"})["status"] == "Cancelled"
    assert current_return({"id": "1", "status": "open"})["status"] == "open"


@pytest.mark.proves("R117")
def test_the_shops_own_portal_gives_the_label_that_the_platform_has_not() -> None:
    template = "https://portal.example/labels/{id}?t={tracking}&k={key}"
    assert legacy_return(LEGACY, None, template)["label_url"] == "https://portal.example/labels/1?t=T%201&k=RT-1"
    assert not legacy_return(LEGACY | {"tracking": ""}, None, template).get("label_url")
    assert not legacy_return(LEGACY, None).get("label_url")
    parcel = {"tracking_number": "T2", "carrier": "DPD", "label_url": "https://rebound.example/l/1"}
    assert current_return(CURRENT | {"parcels": [parcel]}, template)["label_url"] == "https://rebound.example/l/1"


@pytest.mark.parametrize("items", ["text", {"a": 1}, [1, None]])
def test_what_is_not_of_the_form_is_left_for_the_lake_to_judge(items: Any) -> None:
    assert legacy_return(LEGACY | {"item": items}, None)["item"] == items
    assert current_return(CURRENT | {"lines": items})["item"] == items
