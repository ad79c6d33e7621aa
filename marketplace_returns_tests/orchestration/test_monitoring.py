"""Monitoring in Dagster: the tables are shown, their exceptions kept in step, and the checklist keeps who looked."""

from __future__ import annotations

import dagster as dg
import pytest

from marketplace_returns.monitoring import TABLES, look
from marketplace_returns.monitoring.checklist import ITEMS
from marketplace_returns.orchestration.assets.monitoring import CHECKLIST, WATCHED, monitoring_assets, monitoring_key
from marketplace_returns.orchestration.resources import Installation
from marketplace_returns.orchestration.sync import pull_due
from marketplace_returns.orchestration.watching import glance, watched
from marketplace_returns_tests.orchestration.conftest import SHOP, Place


@pytest.mark.proves("R20", "R42", "R84", "R70")
@pytest.mark.played
def test_tables_are_shown_their_exceptions_raised_and_the_checklist_ticked_by_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = place.settings.shop(SHOP)
    assert {name for names in WATCHED.values() for name in names} == {*TABLES, CHECKLIST}
    with place.app() as app:
        pull_due(app, SHOP, run_id="test", everything=True)
        app.clock.wait(7200)
        monkeypatch.setattr(Installation, "open", lambda _: app)
        result = dg.materialize(
            monitoring_assets(shop),
            resources={"installation": Installation()},
            run_config={"ops": {f"{SHOP}__monitoring__checklist": {"config": {"by": "A. Person", "note": "all read"}}}},
        )
        assert result.success
        shown = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
        assert set(shown) == {monitoring_key(shop, name) for name in (*TABLES, CHECKLIST)}
        listed = shown[monitoring_key(shop, CHECKLIST)]
        assert listed["checked_by"].value == "A. Person"
        preview = listed["preview"]
        assert isinstance(preview, dg.TableMetadataValue)
        ticks = {record.data["item"]: record.data["tick"] for record in preview.records}
        assert ticks["Stock is read and pushed in time"] == "✗"
        assert ticks["Every return is on the returns platform"] == "✓"
        ticked = app.ledger.last_ticks(SHOP, [item.key for item in ITEMS])
        assert set(ticked) == {item.key for item in ITEMS if item.table}
        assert {each.actor for each in ticked.values()} == {"A. Person"}
        raised = [each for each in app.ledger.exceptions(shop=SHOP) if each.type == "STOCK_STALE"]
        assert [each.lane for each in raised] == ["monitoring/stock_sync"]
        con = watched(app, shop, app.con)
        computed = {name: look(con, name, shop, app.clock.now()) for name in TABLES}
        history, kept = app.ledger.history_ends(), len(app.ledger.exceptions(is_open=None))
        assert {name: glance(app, SHOP, name) for name in TABLES} == computed, "a page shows what Dagster shows"
        assert sum(bool(each.rows) for each in computed.values()) > 5
        assert (app.ledger.history_ends(), len(app.ledger.exceptions(is_open=None))) == (history, kept)
    assert not place.sandbox.gate.writes
