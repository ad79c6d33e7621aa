"""Where personal data is, how it ends, and that it is gone then: by the bytes of every file, over real HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.pull import retype
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.orchestration import privacy
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.backup import back_up, restore
from marketplace_returns.orchestration.maintenance import maintain_lake
from marketplace_returns.orchestration.pulling import pull_stream
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.sandbox import mirakl_orders
from marketplace_returns.sandbox.entities import Order
from marketplace_returns_tests.orchestration.conftest import SHOP, Place

pytestmark = pytest.mark.played

NOTE = "asked by the customer"


def silent(_: str) -> None:
    """Hear of progress."""


def files_with(folder: Path, mark: str) -> list[str]:
    """Return the files of a folder that hold a mark: in their bytes or, for they are compressed, in a Parquet file's columns."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        is_there = mark.encode() in path.read_bytes()
        if path.suffix == ".parquet":
            is_there = is_there or any(mark in str(column) for column in pq.read_table(path).to_pydict().values())
        if is_there:
            found.append(path.relative_to(folder).as_posix())
    return found


def marks(order_id: str) -> dict[str, str]:
    """Return what the customer of an order is called, each to be found by itself."""
    number = order_id.replace("-", "x")
    return {
        "firstname": f"Ximena{number}",
        "lastname": f"Quintero{number}",
        "street_1": f"Calle{number} 7",
        "phone": f"07700{number}",
        "mail": f"ximena.{number}@people.invalid",
        "gift": f"Feliz{number}",  # in a field that nobody declared
        "shirt": f"Shirt{number}",  # in the marketplace's own fields of a line
    }


@pytest.fixture
def moved() -> list[str]:
    """What an order says besides, since it changed."""
    return []


@pytest.fixture
def marked(place: Place, moved: list[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    """The shop, where every customer has a name of their own and some orders have left."""
    plain = mirakl_orders.render_order

    def with_marks(order: Order, config: Any) -> dict[str, Any]:
        shown = plain(order, config)
        told = marks(shown["order_id"])
        person = {name: told[name] for name in ("firstname", "lastname")}
        address = person | {name: told[name] for name in ("street_1", "phone")} | {"country_iso_code": "GBR"}
        shown["customer"] |= person | {"shipping_address": address}
        shown["order_state"] = "SHIPPING" if order.number % 3 == 0 else "SHIPPED"
        for line in shown["order_lines"]:
            line["order_line_additional_fields"] = [{"code": "print", "type": "STRING", "value": told["shirt"]}]
        return shown | {"customer_notification_email": told["mail"], "gift_message": told["gift"], "moved": list(moved)}

    monkeypatch.setattr(mirakl_orders, "render_order", with_marks)
    with place.app() as app:
        read_orders(app)
    return place


def read_orders(app: App) -> None:
    """Read every order from the sandbox, over HTTP."""
    (stream,) = (each for each in streams_of(app.shop(SHOP)) if each.name == "mirakl/order")
    window = (app.clock.now() - timedelta(days=3), app.clock.now())
    pull_stream(app, SHOP, stream, run_id="read", window=window, anew=True)


def orders_in(app: App, *states: str) -> list[str]:
    found = app.con.execute(
        "SELECT order_id FROM lake.core.mirakl__orders WHERE list_contains(?, order_state) ORDER BY order_id", [states]
    )
    return [order_id for (order_id,) in found.fetchall()]


def erased(app: App, order_id: str, **how: str) -> privacy.Erased:
    customer = privacy.find_customer(app, order_id, None)
    return privacy.erase(app, customer, **{"by": "Ana Alves", "note": NOTE, "run_id": "erase", **how})


def gone_from(folder: Path, order_id: str) -> bool:
    """Whether no file of a folder holds anything that the order's customer is called."""
    found = {name: files_with(folder, mark) for name, mark in marks(order_id).items()}
    assert found == {name: [] for name in found}
    return True


def upkeep(app: App) -> privacy.Ended:
    """What the daily upkeep does with personal data; the rest of it takes long."""
    return privacy.end_what_is_over(app, run_id="upkeep", say=silent)


def core_rows(app: App) -> dict[str, list[Any]]:
    names = ("mirakl__orders", "mirakl__order_lines", "mirakl__order_line_taxes")
    return {name: sorted(app.con.execute(f"SELECT * FROM lake.core.{name}").fetchall(), key=repr) for name in names}


def rows_but_for_run(app: App) -> list[Any]:
    columns = [name for name, *_ in app.con.execute("DESCRIBE lake.core.mirakl__orders").fetchall() if name != "run_id"]
    return sorted(app.con.execute(f"SELECT {', '.join(columns)} FROM lake.core.mirakl__orders").fetchall(), key=repr)


@pytest.mark.proves("R44")
def test_an_erased_customer_is_in_no_file_and_nothing_else_is_lost(marked: Place, moved: list[str]) -> None:
    data = marked.settings.data_dir
    with marked.app() as app:
        gone, other, *_ = orders_in(app, "SHIPPED", "RECEIVED", "CLOSED")
        (waiting, *_) = orders_in(app, "SHIPPING")
        # Personal data is only where docs/privacy.md says: what is declared in its store, what is not in landed payloads.
        for name, mark in marks(other).items():
            where = {path for path in files_with(data, mark) if not path.endswith((".db-wal", ".sqlite-wal"))}
            allowed = {"gift": ("lake/catalog.sqlite", "lake/files/landing/payloads/"), "shirt": ()}
            assert all(path.startswith(allowed.get(name, ("personal.db",))) for path in where), (name, where)
            assert bool(where) == (name != "shirt")
        rows = core_rows(app)
        plan = ExceptionPlan(
            shop=SHOP,
            type="WMS_ORDER_FAILED",
            entity={"order_id": gone},
            cause="test",
            message=f"refused: {marks(gone)['lastname']} at {marks(gone)['street_1']}",
        )
        app.ledger.raise_exceptions(SHOP, "test", [plan])

        document = json.dumps(
            privacy.export(app, privacy.find_customer(app, gone, SHOP), by="Ana", note="asked"), default=str
        )
        told = [mark for name, mark in marks(gone).items() if name != "shirt"]
        assert all(mark in document for mark in told if mark != marks(gone)["gift"])
        assert not [mark for mark in marks(other).values() if mark in document]

        with pytest.raises(BadArgument, match=rf"order {waiting} of asos_uk is still to be sent \(SHIPPING\)"):
            privacy.refuse_on_its_way(app, privacy.find_customer(app, waiting, None))
        privacy.refuse_on_its_way(app, privacy.find_customer(app, gone, None))

        done = erased(app, gone, note=f"{NOTE} {marks(gone)['lastname']}")
        assert (done.is_first, done.exceptions, done.history_events) == (True, 1, 0)
        assert done.personal_objects >= 1
        assert done.payloads >= 1
        again = erased(app, gone)
        assert (again.is_first, again.personal_objects, again.payloads) == (False, 0, 0)
        assert maintain_lake(app, run_id="upkeep").personal.erasures == 1
        assert upkeep(app).erasures == 0
    assert gone_from(data, gone)
    assert files_with(data, marks(other)["mail"]) == ["personal.db"]

    # A later poll and a rebuild bring nobody back; rows and chain are as they were.
    with marked.app() as app:
        assert core_rows(app) == rows
        moved.append("later")
        read_orders(app)
        assert len(app.con.execute("SELECT 1 FROM lake.landing.payloads WHERE object_id = ?", [gone]).fetchall()) == 2
        assert {row.object_id for row in app.lake.personal.held(SHOP)} == set(orders_in(app, "SHIPPED", "SHIPPING")) - {
            gone
        }
        assert [chain.broken for chain in app.ledger.verify_history()] == [None]
        events = [each for each in app.ledger.history(SHOP, gone, {}) if each["event"] == "erased"]
        assert [(each["actor"], each["facts"]["note"]) for each in events] == [("Ana Alves", f"{NOTE} [erased]")]
        before = rows_but_for_run(app)
        for lost in ("WHERE false", "WHERE true"):
            app.lake.transact(
                app.con,
                "t",
                "lost",
                lambda inside, lost=lost: inside.execute(f"DELETE FROM lake.core.mirakl__orders {lost}"),
            )
            retype(app.lake, "mirakl/order", SHOP, run_id="typed", clock=app.clock, con=app.con)
            assert rows_but_for_run(app) == before
    assert gone_from(data, gone)


@pytest.mark.proves("R44")
def test_an_erasure_that_died_is_finished_and_one_that_a_backup_undoes_is_done_again(
    marked: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = marked.settings.data_dir
    with marked.app() as app:
        gone, other, *_ = orders_in(app, "SHIPPED", "RECEIVED", "CLOSED")
        back_up(app, tmp_path / "backup", say=silent)
        with monkeypatch.context() as dying:
            dying.setattr(privacy, "cut_landed_down", _die)
            with pytest.raises(KeyboardInterrupt):
                erased(app, gone)
        assert privacy.preview(app, privacy.find_customer(app, gone, None)) == []
        assert [each for each in app.ledger.history(SHOP, gone, {}) if each["event"] == "erased"] == []
    _at_once(marked, gone)
    with marked.app() as app:
        assert len([each for each in app.ledger.history(SHOP, gone, {}) if each["event"] == "erased"]) == 1
        assert privacy.preview(app, privacy.find_customer(app, other, None))

    marked.clock.wait(60)
    restore(marked.settings, tmp_path / "backup", marked.clock, say=silent)
    with marked.app() as app:
        assert privacy.preview(app, privacy.find_customer(app, gone, None)) == []
        assert privacy.preview(app, privacy.find_customer(app, other, None))
        assert [each["actor"] for each in app.ledger.history(SHOP, gone, {}) if each["event"] == "erased"] == [
            "restore"
        ]
        assert [chain.broken for chain in app.ledger.verify_history()] == [None]
        upkeep(app)
    assert gone_from(data, gone)


@pytest.mark.proves("R44")
def test_notes_on_every_exception_of_the_order_are_exported_and_told(marked: Place) -> None:
    with marked.app() as app:
        gone, other, *_ = orders_in(app, "SHIPPED", "RECEIVED", "CLOSED")
        name = marks(gone)["lastname"]
        lines = dict(
            app.con.execute(
                "SELECT order_id, min(order_line_id) FROM lake.core.mirakl__order_lines GROUP BY 1"
            ).fetchall()
        )
        kept = {order: _assign(app, line) for order, line in lines.items() if order in {gone, other}}
        entities = (
            {"order_id": gone},
            {"order_line_id": lines[gone]},
            {"return_id": kept[gone]["return_id"]},
            {"return_unit_id": f"{lines[gone]}#1"},
            {"receipt_event_id": kept[gone]["receipt_event_id"], "item_code": "I"},
            {"order_line_id": lines[other]},
            {"receipt_event_id": kept[other]["receipt_event_id"], "item_code": "I"},
        )
        plans = [
            ExceptionPlan(shop=SHOP, type="SKU_UNMAPPED", entity=entity, cause="test", message="look")
            for entity in entities
        ]
        app.ledger.raise_exceptions(SHOP, "test", plans)
        ids = [each.exception_id for each in sorted(app.ledger.exceptions(), key=lambda each: each.exception_id)]
        own, others = ids[:5], ids[5:]
        app.ledger.resolve_all(own, by="kim", note=f"{name} was called")
        app.ledger.resolve_all(others, by="kim", note="somebody else was called")

        document = privacy.export(app, privacy.find_customer(app, gone, SHOP), by="Ana", note="asked")
        assert sorted(each.exception_id for each in document["exceptions"]) == own
        acts = [each["subject"] for each in document["history"] if each["event"] == "resolve"]
        assert acts == [f"exception {each}" for each in own]

        done = erased(app, gone)
        assert (done.exceptions, done.history_events) == (5, 5)
        assert name not in str(app.ledger.exceptions(is_open=None))
        assert [chain.broken for chain in app.ledger.verify_history()] == [None]


def _assign(app: App, line: str) -> dict[str, str]:
    """Let a unit of an order line be announced and received; return the names of both."""
    names = {"return_id": f"RT-{line}", "receipt_event_id": f"peoplevox:{line}:I:1"}
    at = app.clock.now()
    for table, row in (
        (
            "return_unit_assignments",
            {"return_id": names["return_id"], "order_line_id": line, "unit_no": 1, "ordinal": 1},
        ),
        ("receipt_assignments", {**names, "unit_no": 1, "return_unit_id": f"{line}#1", "matched_by": "item"}),
    ):
        columns = {"shop": SHOP, **row, "assigned_at": at}
        app.con.execute(
            f"INSERT INTO lake.core.{table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            list(columns.values()),
        )
    return names


def _die(*_: object, **__: object) -> int:
    raise KeyboardInterrupt


def _at_once(place: Place, order_id: str) -> None:
    """Erase one customer in two threads at once."""

    def work() -> None:
        with place.app() as app:
            erased(app, order_id)

    both = [Thread(target=work) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()


@pytest.mark.proves("R44")
def test_personal_fields_end_when_their_time_is_over(marked: Place) -> None:
    with marked.app() as app:
        ended, going, *_ = orders_in(app, "SHIPPED", "RECEIVED", "CLOSED")
        days = app.settings.privacy
        app.lake.transact(
            app.con,
            "t",
            "closed",
            lambda inside: inside.execute(
                "UPDATE lake.core.mirakl__orders SET order_state = CASE order_id WHEN ? THEN 'CLOSED' ELSE 'SHIPPED' END",
                [ended],
            ).fetchall(),
        )

        def kept() -> set[str]:
            store = app.lake.personal
            return {order for order in (ended, going) if store.fields(SHOP, "mirakl", "order", [order])}

        marked.clock.wait(timedelta(days=days.order_days - 1).total_seconds())
        assert upkeep(app).personal_objects == 0
        assert kept() == {ended, going}
        marked.clock.wait(timedelta(days=3).total_seconds())
        assert upkeep(app).personal_objects >= 1
        assert kept() == {going}
        marked.clock.wait(timedelta(days=days.open_order_days).total_seconds())
        upkeep(app)
        assert app.lake.personal.held() == []
    assert files_with(marked.settings.data_dir, marks(going)["mail"]) == []
