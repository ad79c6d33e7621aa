"""Extract files and the other kinds of personal data: what ends when, and that an erased customer is in no byte of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake.pull import take
from marketplace_returns.orchestration import privacy
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.pulling import pull_stream
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.settings import PrivacySettings, Settings
from marketplace_returns_tests.console.served import installation
from marketplace_returns_tests.lanes.core_rows import NOW
from marketplace_returns_tests.orchestration.test_privacy import erased, files_with, silent, upkeep

SHOP = "asos_uk"
RETURNS = "return_id,order_external_id,status,currency,created_at,updated_at,customer_email,gift_words,refund_amount"
ITEMS = "return_id,item_id,sku,quantity,their_words"
DESPATCHES = '"Despatch number","Salesorder number","Item code","No of items","Despatch date","Recipient","Engraving"'
MARKS = ("one@people.invalid", "Feliz1", "mine, and\nmine1", "Ximena1", "Grabado1")
OTHERS = ("two@people.invalid", "Feliz2", "mine2", "Ximena2", "Grabado2")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A shop whose returns and parcels come as files, on a lake that holds nothing."""
    settings = installation(tmp_path).model_dump()
    shop = settings["shops"][SHOP]
    shop["returns"]["read"] = "extract"
    shop["warehouse"] = {"base_url": "https://wms.peoplevox.net", "client_id": "c", "username": "u", "read": "extract"}
    settings["privacy"] = PrivacySettings(return_days=100, other_days=50, extract_days=30)
    opened = App.open(Settings.model_validate(settings), FixedClock(NOW))
    yield opened
    opened.close()


def drop(app: App, system: str, name: str, text: str) -> Path:
    """Drop a file as the platform does, now by the clock."""
    path = app.settings.data_dir / "extracts" / SHOP / system / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    os.utime(path, (app.clock.now().timestamp(),) * 2)
    return path


def drop_returns(app: App, day: str, status: str = "RECEIVED") -> tuple[Path, Path]:
    seen = f"2026-10-01T08:00:00Z,2026-10-{int(day[-2:]):02d}T09:00:00Z"
    rows = (
        f"R1,ORDER-1,{status},GBP,{seen},one@people.invalid,Feliz1,12.50",
        f'R2,ORDER-2,{status},GBP,{seen},"two@people.invalid",Feliz2,3.00',
    )
    items = ('R1,I1,SKU-1,1,"mine, and\nmine1"', "R2,I2,SKU-2,1,mine2", '"R1",I3,SKU-3,2,')
    return (
        drop(app, "reveni", f"reveni_returns_{day}.csv", "\ufeff" + "\r\n".join((RETURNS, *rows)) + "\r\n"),
        drop(app, "reveni", f"reveni_return_items_{day}.csv", "\n".join((ITEMS, *items))),
    )


def poll(app: App, name: str, *, anew: bool = False) -> int:
    (stream,) = (each for each in streams_of(app.shop(SHOP)) if each.name == name)
    return pull_stream(app, SHOP, stream, run_id="poll", anew=anew).objects


def rows(app: App) -> dict[str, list[Any]]:
    """What the tables show of returns and parcels, but for which run and which content a row is of."""
    found = {}
    for table in ("reveni__returns", "reveni__return_items", "peoplevox__despatches"):
        not_asked = "EXCLUDE (run_id, payload_hash, fetched_at)"
        found[table] = list(app.con.execute(f"SELECT * {not_asked} FROM lake.core.{table} ORDER BY ALL").fetchall())
        assert found[table]
    return found


def marks_in(app: App, marks: tuple[str, ...]) -> set[str]:
    return {mark for mark in marks if files_with(app.settings.data_dir, mark)}


@pytest.mark.proves("R44")
@pytest.mark.played
def test_an_erased_customer_goes_out_of_the_files_that_were_taken_and_of_those_that_come(app: App) -> None:
    returns, items = drop_returns(app, "20261001")
    parcels = drop(
        app,
        "peoplevox",
        "PVX_Despatch summary_202610010900.csv",
        f"{DESPATCHES}\n"
        '"D1","ORDER-1","SKU-1","1","01/10/2026 08:00","Ximena1","Grabado1"\n'
        '"D2","ORDER-2","SKU-2","1","01/10/2026 08:00","Ximena2","Grabado2"\n',
    )
    assert (poll(app, "reveni/return"), poll(app, "peoplevox/despatch")) == (2, 2)
    before, written = rows(app), [path.stat().st_mtime_ns for path in (returns, items, parcels)]
    others = [line for path in (returns, items, parcels) for line in path.read_bytes().splitlines() if b"2" in line[:5]]
    waits = drop(
        app, "reveni", "reveni_returns_20261002.csv", f"{RETURNS}\nR1,ORDER-1,NEW,GBP,,,one@people.invalid,,\n"
    )

    done = erased(app, "ORDER-1")
    assert done.extract_files == 3
    assert erased(app, "ORDER-1").extract_files == 0
    assert b"one@people.invalid" in waits.read_bytes(), "what was not taken is not touched: it may be being written"
    waits.unlink()
    upkeep(app)
    assert marks_in(app, MARKS) == set()
    assert marks_in(app, OTHERS) == set(OTHERS)
    assert b"R1,ORDER-1,RECEIVED,GBP,2026-10-01T08:00:00Z,2026-10-01T09:00:00Z,,,12.50\r\n" in returns.read_bytes()
    assert all(any(line in path.read_bytes() for path in (returns, items, parcels)) for line in others)
    assert [path.stat().st_mtime_ns for path in (returns, items, parcels)] == written
    assert (poll(app, "reveni/return"), poll(app, "peoplevox/despatch")) == (0, 0), "they are not taken again"

    def lose(con: Any) -> None:
        for table in (
            "landing.payloads",
            "core.reveni__returns",
            "core.reveni__return_items",
            "core.peoplevox__despatches",
        ):
            con.execute(f"DELETE FROM lake.{table}")

    app.lake.transact(app.con, "t", "lost", lose)
    assert (poll(app, "reveni/return", anew=True), poll(app, "peoplevox/despatch", anew=True)) == (2, 2)
    assert rows(app) == before

    drop_returns(app, "20261003", "REFUNDED")
    assert poll(app, "reveni/return") == 2
    assert marks_in(app, MARKS) == set()
    assert {row[0] for row in app.con.execute("SELECT platform_status FROM reported.returns").fetchall()} == {
        "REFUNDED"
    }


@pytest.mark.proves("R44")
def test_files_that_were_taken_end_when_their_time_is_over_and_others_stay(app: App) -> None:
    drop_returns(app, "20261001")
    stock = drop(
        app, "peoplevox", "PVX_Item inventory summary_202610010900.CSV", '"Item code","Available"\n"SKU-1","3"\n'
    )
    assert (poll(app, "reveni/return"), poll(app, "peoplevox/stock")) == (2, 1)
    never_taken = drop(app, "reveni", "reveni_returns_20260930.csv", f"{RETURNS}\n")
    days = app.settings.privacy.extract_days
    app.clock.wait(timedelta(days=days - 1).total_seconds())
    assert upkeep(app).extract_files == 0
    app.clock.wait(timedelta(days=2).total_seconds())
    assert upkeep(app).extract_files == 3
    assert not stock.exists()
    assert never_taken.exists()
    assert not [name for mark in (*MARKS, *OTHERS) for name in files_with(app.settings.data_dir / "extracts", mark)]


@pytest.mark.proves("R44")
def test_personal_fields_of_returns_and_of_all_else_end_when_their_time_is_over(app: App) -> None:
    def land(stream: str, item: dict[str, Any]) -> None:
        take(app.lake, stream, SHOP, [[item]], run_id="land", clock=app.clock, con=app.con)

    at = "2026-10-01T08:00:00Z"
    land(
        "mirakl/return",
        {"id": "RT1", "order_id": "O1", "date_created": at, "last_updated": at, "description": "PalabrasRT"},
    )
    land(
        "mirakl/transaction",
        {"id": "T1", "entities": {"order": {"id": "O1", "payment_info": {"imprint": "TarjetaTL"}}}},
    )
    drop_returns(app, "20261001")
    drop(
        app,
        "peoplevox",
        f"PVX_Despatch summary_{NOW:%Y%m%d%H%M}.csv",
        f'{DESPATCHES}\n"D1","ORDER-1","SKU-1","1","01/10/2026 08:00","XimenaPV",""\n',
    )
    poll(app, "reveni/return")
    poll(app, "peoplevox/despatch")
    of_returns, of_others = {"PalabrasRT", "one@people.invalid"}, {"TarjetaTL", "XimenaPV"}
    for path in (app.settings.data_dir / "extracts").rglob("*.csv"):
        path.unlink()  # their own time is another

    def left() -> set[str]:
        privacy.end_what_is_over(app, run_id="upkeep", say=silent)
        return marks_in(app, (*of_returns, *of_others))

    assert left() == of_returns | of_others
    days = app.settings.privacy
    for wait, expected in (
        (days.other_days - 1, of_returns | of_others),
        (2, of_returns),
        (days.return_days - days.other_days - 2, of_returns),
        (2, set()),
    ):
        app.clock.wait(timedelta(days=wait).total_seconds())
        assert left() == expected
