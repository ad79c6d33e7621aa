"""Streams: when they are polled and how far back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marketplace_returns.errors import BadSettings
from marketplace_returns.lake.pull import STREAMS as PULLED
from marketplace_returns.lake.pull import stream_of
from marketplace_returns.orchestration.streams import (
    FIRST_LOOK_BACK,
    STREAMS,
    Reads,
    is_due,
    poll_window,
    streams_of,
)
from marketplace_returns.settings import Cadence, Shop, load_settings

NOW = datetime(2026, 10, 3, 12, tzinfo=UTC)
ORDERS = next(stream for stream in STREAMS if stream.name == "mirakl/order")
STOCK = next(stream for stream in STREAMS if stream.name == "peoplevox/stock")


def test_every_stream_the_lake_can_pull_is_polled_and_feeds_its_tables() -> None:
    assert {stream.name for stream in STREAMS} == set(PULLED)
    for stream in STREAMS:
        pulled = stream_of(stream.name)
        assert {table.name for table in stream.declared_tables} == {table.name for table in pulled.kind.tables}
        way = {
            Reads.WINDOW: pulled.by_window or pulled.knowing,
            Reads.FULL: pulled.in_full,
            Reads.TOUCHED: pulled.by_keys,
        }
        assert way[stream.reads] is not None


@pytest.mark.proves("R106")
def test_poll_goes_on_from_the_cursor_with_overlap_however_long_ago_it_was() -> None:
    watermark = NOW - timedelta(days=40)
    assert poll_window(ORDERS, watermark, NOW) == (watermark - ORDERS.overlap, NOW)


def test_first_poll_reaches_back_a_return_window() -> None:
    assert poll_window(ORDERS, None, NOW) == (NOW - FIRST_LOOK_BACK, NOW)


def test_poll_with_a_cursor_ahead_of_our_clock_asks_for_no_negative_window() -> None:
    assert poll_window(ORDERS, NOW + timedelta(hours=1), NOW) == (NOW, NOW)


def test_snapshot_has_no_window() -> None:
    assert poll_window(STOCK, NOW, NOW) is None


def test_stream_is_due_by_its_own_cadence() -> None:
    assert is_due(ORDERS, None, NOW)
    assert is_due(ORDERS, NOW - timedelta(minutes=5), NOW)
    assert not is_due(ORDERS, NOW - timedelta(minutes=4), NOW)


def test_shop_without_a_warehouse_polls_none(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "mappings" / "shops.toml").read_text(encoding="utf-8")
    start, end = text.index("[shops.asos_uk.warehouse]"), text.index("[shops.asos_uk.policy]")
    without = text[:start] + text[end:].replace('stock_authority = "wms_absolute"', 'stock_authority = "returns_delta"')
    file = tmp_path / "shops.toml"
    file.write_text(without, encoding="utf-8")
    streams = streams_of(load_settings(file).shop("asos_uk"))
    assert {stream.source for stream in streams} == {"mirakl", "reveni"}


def shop_with(cadence: dict[str, object], call_profile: str = "seller") -> Shop:
    """Return the shop of the project's settings with a cadence of its own."""
    shop = load_settings(Path(__file__).parents[2] / "mappings" / "shops.toml").shop("asos_uk")
    mirakl = shop.mirakl.model_copy(update={"call_profile": call_profile})
    return shop.model_copy(update={"mirakl": mirakl, "cadence": Cadence.model_validate(cadence)})


def cadences(shop: Shop) -> dict[str, timedelta]:
    return {stream.name: stream.poll_every for stream in streams_of(shop)}


@pytest.mark.proves("R40", "R94")
def test_cadence_is_a_setting_and_changes_the_calls_per_hour() -> None:
    assert cadences(shop_with({}))["mirakl/order"] == timedelta(minutes=5)
    assert cadences(shop_with({"poll_s": {"mirakl/order": 240}}))["mirakl/order"] == timedelta(minutes=4)
    peak = cadences(shop_with({"profile": "peak"}))
    assert peak["peoplevox/despatch"] == timedelta(minutes=2)
    assert peak["mirakl/order"] == timedelta(minutes=3)  # with the look between two polls 40 of OR11's 60 calls an hour
    assert peak["mirakl/return"] == timedelta(minutes=5)  # RT11: 12 an hour
    assert peak["mirakl/billing_cycle"] == timedelta(days=1)
    assert cadences(shop_with({}, "external_partner"))["mirakl/order"] == timedelta(minutes=20)


@pytest.mark.proves("R40", "R94", "R103")
@pytest.mark.parametrize(
    ("poll_s", "words"),
    [
        ({"mirakl/order": 60}, "over the call budget of profile 'seller': give at least 180"),
        ({"mirakl/invoice": 3600}, "give at least 86400"),
        ({"mirakl/order": 420}, "is no step of a schedule"),
        ({"mirakl/nothing": 300}, "is no stream of this shop"),
    ],
)
def test_cadence_over_the_budget_is_refused_with_the_least_that_is_allowed(poll_s: dict[str, int], words: str) -> None:
    with pytest.raises(BadSettings, match=words):
        streams_of(shop_with({"poll_s": poll_s}))
