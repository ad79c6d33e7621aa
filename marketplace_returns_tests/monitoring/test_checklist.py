"""When a check is due and overdue, and what a tick keeps."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger import Ledger
from marketplace_returns.monitoring.checklist import ITEMS, Item, standing, tick
from marketplace_returns.settings import Shop
from marketplace_returns_tests.ledger.world import SHOP, open_ledger, shop

OFFICE = {"work_days": ["mon", "tue", "wed", "thu", "fri"], "opens": "09:00", "closes": "17:30"}
TABLE = next(item for item in ITEMS if item.key == "stock_drift")
HUMAN = next(item for item in ITEMS if not item.table and item.cadence == "weekly")


def at(day: int, hour: int = 12, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
def office() -> Shop:
    return Shop.model_validate({**shop().model_dump(), "calendar": OFFICE})


@pytest.mark.proves("R42")
@pytest.mark.parametrize(
    ("cadence", "ticked", "now", "state", "due"),
    [
        ("daily", at(8), at(8, 17), "done", date(2026, 10, 9)),
        ("daily", at(8), at(9, 8), "due", date(2026, 10, 9)),
        ("daily", at(9), at(11), "done", date(2026, 10, 12)),  # the weekend
        ("daily", at(10), at(12), "due", date(2026, 10, 12)),  # ticked on a Saturday
        ("daily", at(8), at(10), "overdue", date(2026, 10, 9)),
        ("daily", at(8, 23), at(9, 12), "done", date(2026, 10, 12)),  # in London it was past midnight
        ("weekly", at(5), at(11, 22), "done", date(2026, 10, 18)),
        ("weekly", at(11, 22), at(12), "due", date(2026, 10, 18)),
        ("weekly", at(11), at(19), "overdue", date(2026, 10, 18)),
        ("monthly", at(1), at(31, 22), "done", date(2026, 11, 30)),
        ("monthly", at(1), at(2, month=11), "due", date(2026, 11, 30)),
        ("monthly", at(1), at(1, month=12), "overdue", date(2026, 11, 30)),
    ],
)
def test_a_check_is_due_in_the_next_day_week_or_month_of_the_shop(
    office: Shop, cadence: str, ticked: datetime, now: datetime, state: str, due: date
) -> None:
    found = standing(cadence, office, ticked_at=ticked, began_at=at(1), now=now)
    assert (found.state, found.due_on) == (state, due)


def test_a_check_nobody_ever_ticked_is_due_from_the_first_day_on(office: Shop) -> None:
    assert standing("daily", office, ticked_at=None, began_at=None, now=at(8)).state == "due"
    assert standing("daily", office, ticked_at=None, began_at=at(8), now=at(8)).state == "due"
    assert standing("daily", office, ticked_at=None, began_at=at(8), now=at(9)).state == "overdue"
    assert standing("weekly", office, ticked_at=None, began_at=at(8), now=at(9)).state == "due"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path, FixedClock(at(8)))


@pytest.mark.proves("R42", "R44")
def test_a_tick_is_kept_with_name_time_and_note_and_the_last_one_counts(ledger: Ledger) -> None:
    with ledger:
        tick(ledger, SHOP, TABLE, 0, by="kim", note="")
        ledger.clock.wait(3600)
        tick(ledger, SHOP, TABLE, 2, by="ana", note="both are being counted")
        tick(ledger, SHOP, HUMAN, None, by="ana", note="")
        last = ledger.last_ticks(SHOP, [item.key for item in ITEMS])
        assert set(last) == {TABLE.key, HUMAN.key}
        found = last[TABLE.key]
        assert (found.actor, found.at, found.facts["note"], found.facts["open_rows"]) == (
            "ana",
            at(8, 13),
            "both are being counted",
            2,
        )
        assert ledger.last_ticks("elsewhere", [TABLE.key]) == {}
        assert ledger.began_at(SHOP) == at(8)
        assert ledger.began_at("elsewhere") is None
        assert [each.event for each in ledger.last_acts(limit=9)] == ["checked"] * 3
        assert [chain.broken for chain in ledger.verify_history()] == [None]


def test_nobody_ticks_what_was_not_looked_at_or_says_nothing_of_what_speaks_against_it(ledger: Ledger) -> None:
    def refused(item: Item, open_rows: int | None, note: str, match: str) -> None:
        with pytest.raises(BadArgument, match=match):
            tick(ledger, SHOP, item, open_rows, by="kim", note=note)

    with ledger:
        refused(TABLE, None, "fine", "look at the table stock_drift first")
        refused(TABLE, 3, "  ", "3 rows speak against it: say what is done about them")
        refused(TABLE, 1, "", "1 row speaks against it: say what is done about it")
        assert ledger.last_ticks(SHOP, [TABLE.key]) == {}
