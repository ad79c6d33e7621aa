"""Pulling the same, older, reordered and broken pages."""

import gc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import BadArgument
from marketplace_returns.lake import pull as pull_module
from marketplace_returns.lake.connection import Lake, snapshot_of
from marketplace_returns.lake.maintenance import maintain
from marketplace_returns.lake.pull import STREAMS, PullResult, Reading, begin, retype, settle_readings, take
from marketplace_returns.lake.tables import CORE_TABLES
from marketplace_returns_tests.lake.worlds import (
    MIRAKL_OFFER,
    MIRAKL_TRANSACTION,
    PEOPLEVOX_RETURN,
    PEOPLEVOX_STOCK,
    REVENI_RETURN,
    OvertakenLake,
    StorageSettings,
    mirakl_line,
    mirakl_order,
)

SHOP = "asos_uk"
Pages = list[list[dict[str, Any]]]


class Puller:
    """One lake, one connection, one clock."""

    def __init__(self, lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock) -> None:
        self.lake, self.con, self.clock = lake, con, clock

    def orders(self, *orders: Any, shop: str = SHOP, **options: Any) -> PullResult:
        return self.take("mirakl/order", [list(orders)], shop=shop, **options)

    def take(self, stream: str, pages: Pages, *, shop: str = SHOP, **options: Any) -> PullResult:
        return take(self.lake, stream, shop, pages, run_id="run", clock=self.clock, con=self.con, **options)

    def read(self, stream: str, *objects: Any, shop: str = SHOP) -> Reading:
        """Read a stream and leave what came to be settled."""
        reading = Reading(self.lake, self.con, stream, shop, run_id="run", clock=self.clock)
        reading.read([list(objects)])
        return reading

    def version(self) -> int:
        return snapshot_of(self.con)

    def again(self, stream: str) -> PullResult:
        """Type what landed again."""
        return retype(self.lake, stream, SHOP, run_id="again", clock=self.clock, con=self.con)

    def rows(self, query: str) -> list[Any]:
        return self.con.execute(query).fetchall()

    def quarantine(self) -> list[Any]:
        return self.rows("SELECT table_name, row_key, reason FROM lake.landing.quarantine ORDER BY ALL")


@pytest.fixture
def puller(lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock) -> Puller:
    return Puller(lake, con, clock)


@pytest.mark.proves("R99", "R106")
def test_the_same_page_twice_changes_nothing(puller: Puller) -> None:
    assert puller.orders(mirakl_order(1), mirakl_order(2)).new == 2
    version = snapshot_of(puller.con)
    again = puller.orders(mirakl_order(1), mirakl_order(2))
    assert (again.objects, again.new, set(again.rows.values())) == (2, 0, {0})
    assert snapshot_of(puller.con) == version


def test_fields_in_another_order_are_the_same_content(puller: Puller) -> None:
    puller.orders(mirakl_order(1))
    assert puller.orders(dict(reversed(mirakl_order(1).items()))).new == 0


def test_typing_again_what_is_known_writes_no_row_that_says_the_same(puller: Puller) -> None:
    puller.orders(mirakl_order(1))
    puller.clock.wait(60)
    assert set(puller.again("mirakl/order").rows.values()) == {0}


@pytest.mark.proves("R106")
def test_an_older_page_after_a_newer_one_changes_nothing(puller: Puller) -> None:
    newer = mirakl_order(1, order_state="RECEIVED", last_updated_date="2026-10-03T10:00:00Z")
    puller.orders(newer)
    puller.clock.wait(60)
    result = puller.orders(mirakl_order(1, order_state="SHIPPED", last_updated_date="2026-10-02T10:00:00Z"))
    assert result.new == 1
    assert puller.rows("SELECT order_state FROM lake.core.mirakl__orders") == [("RECEIVED",)]


def test_of_two_contents_of_one_version_the_last_fetched_stays(puller: Puller) -> None:
    puller.orders(mirakl_order(1, has_incident=False))
    puller.clock.wait(60)
    puller.orders(mirakl_order(1, has_incident=True))
    assert puller.rows("SELECT has_incident FROM lake.core.mirakl__orders") == [(True,)]


def test_the_newest_of_one_batch_wins_in_whatever_order_it_came(puller: Puller) -> None:
    old, new = mirakl_order(1, order_state="SHIPPING"), mirakl_order(1, last_updated_date="2026-10-02T11:00:00Z")
    puller.orders(new, old)
    assert puller.rows("SELECT order_state FROM lake.core.mirakl__orders") == [("SHIPPED",)]
    assert puller.rows("SELECT count(*) FROM lake.landing.payloads") == [(2,)]


@pytest.mark.proves("R63")
def test_the_same_ids_of_two_shops_are_two_rows(puller: Puller) -> None:
    puller.orders(mirakl_order(1), shop="asos_uk")
    puller.orders(mirakl_order(1, order_state="CLOSED"), shop="asos_de")
    rows = puller.rows("SELECT shop, order_state FROM lake.core.mirakl__orders ORDER BY ALL")
    assert rows == [("asos_de", "CLOSED"), ("asos_uk", "SHIPPED")]


def test_a_stock_level_that_goes_back_is_seen_though_its_payload_is_known(puller: Puller) -> None:
    for available in ("5", "3", "5"):
        puller.take("peoplevox/stock", [[PEOPLEVOX_STOCK | {"available": available}]])
        puller.clock.wait(60)
    assert puller.rows("SELECT available FROM lake.core.peoplevox__stock") == [(5,)]
    landed = puller.rows("SELECT json_extract_string(body, 'available') FROM lake.landing.payloads ORDER BY fetched_at")
    assert landed == [("5",), ("3",), ("5",)]
    puller.take("peoplevox/stock", [[PEOPLEVOX_STOCK | {"available": "5"}]])
    assert puller.rows("SELECT count(*) FROM lake.landing.payloads") == [(3,)], "what came last is known"


def test_streams_that_were_read_settle_in_one_transaction_each_with_its_own_count(puller: Puller) -> None:
    puller.take("peoplevox/stock", [[PEOPLEVOX_STOCK]])
    before = puller.version()
    readings = [
        puller.read("mirakl/order", mirakl_order(1), mirakl_order(2)),
        puller.read("peoplevox/stock", PEOPLEVOX_STOCK),
        puller.read("reveni/return", "no object"),
        puller.read("mirakl/offer", MIRAKL_OFFER),
    ]
    settle_readings(readings)
    assert puller.version() == before + 1
    ended = {result.stream: (result.objects, result.new, result.quarantined) for result in map(Reading.end, readings)}
    assert ended == {
        "mirakl/order": (2, 2, 0),
        "peoplevox/stock": (1, 0, 0),
        "reveni/return": (1, 1, 1),
        "mirakl/offer": (1, 1, 0),
    }
    assert puller.rows("SELECT order_id FROM lake.core.mirakl__orders ORDER BY ALL") == [("ORDER-1-A",), ("ORDER-2-A",)]
    assert puller.rows("SELECT count(*) FROM lake.core.mirakl__offers") == [(1,)]
    assert puller.rows("SELECT source FROM lake.landing.quarantine") == [("reveni",)]
    settle_readings([puller.read("mirakl/order", mirakl_order(1)), puller.read("mirakl/offer", MIRAKL_OFFER)])
    assert puller.version() == before + 1, "what is as it was is not written again"


@pytest.mark.played
@pytest.mark.proves("R99")
def test_lost_rows_are_typed_again_from_what_landed_as_they_were(puller: Puller) -> None:
    """Older and newer versions, contents that come back, a bad row that was mended and one that was not."""
    lines = [mirakl_line("ORDER-1-A"), mirakl_line("ORDER-1-A", 2)]
    puller.orders(mirakl_order(1), mirakl_order(2, price="1.234"), 7)
    puller.clock.wait(60)
    newer = mirakl_order(1, order_lines=lines, order_state="CLOSED", last_updated_date="2026-10-02T11:00:00Z")
    puller.orders(newer, mirakl_order(2))
    puller.clock.wait(60)
    puller.orders(mirakl_order(1))
    for available in ("5", "3", "5"):
        puller.take("peoplevox/stock", [[PEOPLEVOX_STOCK | {"available": available}]])
        puller.clock.wait(60)
    states = [f"SELECT * EXCLUDE (run_id) FROM {table.path} ORDER BY ALL" for table in CORE_TABLES]
    before, aside = [puller.rows(state) for state in states], puller.quarantine()
    assert aside
    payloads = puller.rows("SELECT count(*) FROM lake.landing.payloads")
    for table in CORE_TABLES:
        puller.con.execute(f"DELETE FROM {table.path}")
    for stream in ("mirakl/order", "peoplevox/stock"):
        puller.again(stream)
    assert [puller.rows(state) for state in states] == before
    assert puller.quarantine() == aside
    assert puller.rows("SELECT count(*) FROM lake.landing.payloads") == payloads


@pytest.mark.proves("R83")
def test_an_item_that_a_whole_list_lost_is_marked_until_it_is_listed_again(puller: Puller) -> None:
    rest = [PEOPLEVOX_STOCK | {"item_code": f"SKU-{number}"} for number in (2, 3)]
    listed = "SELECT item_code, is_listed, available FROM lake.core.peoplevox__stock WHERE item_code = 'SKU-1-M'"
    puller.take("peoplevox/stock", [[PEOPLEVOX_STOCK, *rest]], is_whole=lambda: True)
    puller.clock.wait(60)
    puller.take("peoplevox/stock", [rest])
    assert puller.rows(listed) == [("SKU-1-M", True, -1)], "some items were read, not the whole list"
    puller.take("peoplevox/stock", [[*rest, PEOPLEVOX_STOCK | {"available": "lots"}]], is_whole=lambda: True)
    puller.take("peoplevox/stock", [[rest[0], rest[1] | {"site": "*", "available": ""}]], is_whole=lambda: True)
    assert puller.rows(listed) == [("SKU-1-M", True, -1)], "a row that cannot be read may be the one that is missing"
    puller.take("peoplevox/stock", [rest], is_whole=lambda: True)
    assert puller.rows(listed) == [("SKU-1-M", False, -1)]
    puller.clock.wait(60)
    puller.take("peoplevox/stock", [[PEOPLEVOX_STOCK, *rest]], is_whole=lambda: True)
    assert puller.rows(listed) == [("SKU-1-M", True, -1)]


def test_an_offer_keeps_the_instant_it_first_said_so_and_stays_when_a_read_no_longer_gives_it(puller: Puller) -> None:
    other = MIRAKL_OFFER | {"shop_sku": "SKU-2-M"}
    puller.take("mirakl/offer", [[MIRAKL_OFFER, other]])
    first = puller.clock.now()
    puller.clock.wait(3600)
    puller.take("mirakl/offer", [[MIRAKL_OFFER]])
    rows = puller.rows("SELECT offer_sku, fetched_at FROM lake.core.mirakl__offers ORDER BY ALL")
    assert rows == [("SKU-1-M", first), ("SKU-2-M", first)]


def test_batches_are_bounded_and_add_up(puller: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_module, "BATCH_OBJECTS_MAX", 2)
    heard: list[int] = []
    pages = [[mirakl_order(1)], [mirakl_order(2)], [mirakl_order(3)]]
    version = snapshot_of(puller.con)
    result = puller.take("mirakl/order", pages, on_progress=heard.append)
    assert (result.objects, result.new, result.rows["mirakl__orders"]) == (3, 3, 3)
    assert heard == [1, 2, 3]
    assert snapshot_of(puller.con) == version + 2


def test_a_source_that_fails_leaves_whole_batches(puller: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_module, "BATCH_OBJECTS_MAX", 1)

    def pages() -> Any:
        yield [mirakl_order(1)]
        raise ConnectionError("the source went away")

    with pytest.raises(ConnectionError):
        puller.take("mirakl/order", pages())
    assert puller.rows("SELECT order_id FROM lake.core.mirakl__orders") == [("ORDER-1-A",)]


def test_the_latest_change_told_is_the_result_s(puller: Puller) -> None:
    result = puller.orders(mirakl_order(1), mirakl_order(2, last_updated_date="2026-10-02T12:30:00+02:00"))
    assert result.changed_until == datetime(2026, 10, 2, 10, 30, tzinfo=UTC)


def test_an_amount_finer_than_the_minor_unit_goes_to_quarantine_and_the_rest_goes_on(puller: Puller) -> None:
    result = puller.orders(mirakl_order(1, price=Decimal("40.001")), mirakl_order(2))
    assert result.quarantined == 1
    assert puller.quarantine() == [
        ("mirakl__orders", "ORDER-1-A", "price_minor '40.001' is finer than the minor unit of GBP, or too large")
    ]
    assert puller.rows("SELECT order_id FROM lake.core.mirakl__orders") == [("ORDER-2-A",)]
    assert puller.rows("SELECT count(*) FROM lake.core.mirakl__order_lines") == [(2,)]


def test_a_report_row_beyond_a_limit_goes_to_quarantine_under_its_own_number(puller: Puller) -> None:
    rows = [PEOPLEVOX_RETURN, PEOPLEVOX_RETURN | {"row_no": 2, "quantity": "-1"}]
    assert puller.take("peoplevox/return", [rows]).quarantined == 1
    assert puller.quarantine() == [("peoplevox__returns", "R-1/SKU-1-M/2", "quantity is negative")]
    assert puller.rows("SELECT row_no FROM lake.core.peoplevox__returns") == [(1,)]


@pytest.mark.parametrize("changed", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:00", "1e309", "2026-10-02"])
def test_a_change_told_at_no_time_that_can_be_is_not_believed(puller: Puller, changed: str) -> None:
    assert puller.orders(mirakl_order(1, last_updated_date=changed)).changed_until is None


AMOUNTS = [
    ("JPY", "40", 40),
    ("JPY", "40.00", 40),
    ("KWD", "40.125", 40125),
    ("GBP", "1E+2", 10000),
    ("GBP", "12345678901234.56", 1234567890123456),
    ("GBP", "0.10", 10),
    ("GBP", "-0.05", -5),
    ("JPY", "40.5", None),
    ("GBP", "0.1000000000000000055", None),
    ("GBP", "1E-3", None),
    ("GBP", "123456789012345678901234567890.12", None),
    ("XYZ", "40", None),
]


@pytest.mark.proves("R110")
def test_money_survives_exactly_or_not_at_all(puller: Puller) -> None:
    lines = [
        MIRAKL_TRANSACTION | {"id": str(number), "currency_iso_code": currency, "amount": Decimal(amount)}
        for number, (currency, amount, _) in enumerate(AMOUNTS)
    ]
    puller.take("mirakl/transaction", [lines])
    found = dict(puller.rows("SELECT transaction_id, amount_minor FROM lake.core.mirakl__transactions"))
    assert found == {str(number): minor for number, (_, _, minor) in enumerate(AMOUNTS) if minor is not None}
    assert {key for _, key, _ in puller.quarantine()} == {
        str(number) for number, (_, _, minor) in enumerate(AMOUNTS) if minor is None
    }
    bodies = dict(puller.rows("SELECT object_id, body FROM lake.landing.payloads"))
    for number, (_, amount, _) in enumerate(AMOUNTS):
        assert f'"amount":{Decimal(amount)},' in bodies[str(number)]


def test_a_page_of_nonsense_is_quarantined_with_reasons_and_the_good_order_goes_on(puller: Puller) -> None:
    nonsense: list[Any] = [
        "text",
        None,
        {"no": "id"},
        mirakl_order(3, order_lines="none"),
        mirakl_order(4, order_lines=[mirakl_line("ORDER-4-A", taxes={"code": "VAT20"})]),
        mirakl_order(5, created_date="2026-10-01", order_state=None, order_tax_mode="SOMETIMES"),
        mirakl_order(6, order_lines=[mirakl_line("ORDER-6-A", quantity=-1, price=Decimal(-1), refunds=[])]),
    ]
    result = puller.orders(*nonsense, mirakl_order(7))
    reasons = {(table, key): reason for table, key, reason in puller.quarantine()}
    assert reasons["mirakl__orders", "ORDER-3-A"] == "order_lines is missing or not a list"
    assert reasons["mirakl__orders", "ORDER-4-A"] == "order_lines[].taxes is not a list"
    assert reasons["mirakl__orders", "ORDER-5-A"] == (
        "order_state is missing; created_at '2026-10-01' is not an instant with a time zone"
    )
    assert reasons["mirakl__order_lines", "ORDER-6-A-1"] == "quantity is negative; price_minor is negative"
    assert sorted(key for _, key in reasons if not key) == [""]
    assert result.quarantined == len(puller.quarantine())
    assert result.new == len(nonsense) + 1
    orders = puller.rows("SELECT order_id FROM lake.core.mirakl__orders ORDER BY ALL")
    assert orders == [("ORDER-6-A",), ("ORDER-7-A",)]


def test_a_row_that_comes_again_and_is_good_leaves_quarantine(puller: Puller) -> None:
    puller.orders(mirakl_order(1, order_state=None))
    assert len(puller.quarantine()) == 1
    puller.orders(mirakl_order(1, last_updated_date="2026-10-02T11:00:00Z"))
    assert puller.quarantine() == []
    assert puller.rows("SELECT order_state FROM lake.core.mirakl__orders") == [("SHIPPED",)]


def test_the_same_bad_row_is_quarantined_once(puller: Puller) -> None:
    for _ in range(2):
        puller.take("reveni/return", [[REVENI_RETURN | {"status": None}]])
        puller.again("reveni/return")
    assert len(puller.quarantine()) == 1


def test_a_nul_in_a_text_stops_nothing(puller: Puller) -> None:
    """DuckLake puts the values that are looked for into SQL of its own, which a NUL ends."""
    reasons = [{"type": "REFUND", "code": code, "label": "Odd", "is_shop_right": True} for code in ("17", "1\0b")]
    for _ in range(2):
        result = puller.take("mirakl/reason", [reasons])
        assert (result.objects, result.quarantined) == (2, 1)
    assert puller.quarantine() == [("mirakl__reasons", "", "type or code is missing or no name")]
    odd = mirakl_line("ORDER-1-A", order_line_id="L\0ine", offer_sku="\\u0000", category_code="\\\\\0")
    for changed in ("2026-10-02T10:00:00Z", "2026-10-03T10:00:00Z"):
        puller.orders(mirakl_order(1, order_lines=[odd], last_updated_date=changed))
    assert puller.rows("SELECT order_line_id, offer_sku, category_code FROM lake.core.mirakl__order_lines") == [
        ("L\ufffdine", "\\u0000", "\\\\\ufffd")
    ]
    ((body,),) = puller.rows(
        "SELECT DISTINCT body LIKE '%L\\u0000ine%' FROM lake.landing.payloads WHERE object_id = 'ORDER-1-A'"
    )
    assert body, "the payload is kept as it came"


@pytest.mark.parametrize("name", [True, Decimal("1.5"), ["ORDER-1-A"], {"id": 1}])
def test_what_names_an_object_by_no_text_and_no_number_names_none(puller: Puller, name: object) -> None:
    assert puller.orders(mirakl_order(1, order_id=name)).quarantined == 1
    assert puller.rows("SELECT count(*) FROM lake.core.mirakl__orders") == [(0,)]
    assert puller.orders(mirakl_order(1, order_id=12)).quarantined == 0


@pytest.mark.proves("R100")
def test_unknown_states_and_fields_are_kept(puller: Puller) -> None:
    puller.orders(mirakl_order(1, order_state="ON_THE_MOON", something_new={"a": 1}))
    assert puller.rows("SELECT order_state FROM lake.core.mirakl__orders") == [("ON_THE_MOON",)]
    ((body,),) = puller.rows("SELECT body FROM lake.landing.payloads")
    assert '"something_new":{"a":1}' in body


@pytest.mark.proves("R44")
def test_personal_fields_are_nowhere_but_in_their_table(puller: Puller) -> None:
    puller.orders(mirakl_order(1, order_state=None))
    for table in ("landing.payloads", "landing.quarantine", "core.mirakl__order_lines"):
        ((text,),) = puller.rows(f"SELECT coalesce(string_agg(t::VARCHAR), '') FROM lake.{table} AS t")
        assert "Testtown" not in text
        assert "notification.invalid" not in text
    (kept,) = puller.lake.personal.held(SHOP)
    assert "Testtown" in kept.fields


class FakeMirakl:
    """Notes how it was called; the shape of the calls is what is tested here."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def orders(self, *window: datetime) -> Pages:
        self.calls.append(("orders", *window))
        return [[mirakl_order(1)]]

    def orders_by_id(self, keys: list[str], *, spare: bool) -> Pages:
        assert spare, "a write's fresh read goes first"
        self.calls.append(("orders_by_id", *keys))
        return [[mirakl_order(1)]]

    def orders_export(self, *window: datetime) -> Pages:
        self.calls.append(("orders_export", *window))
        return [[mirakl_order(1)]]


def test_a_stream_is_read_by_window_by_keys_or_in_bulk(puller: Puller) -> None:
    client = FakeMirakl()
    window = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC))
    options: dict[str, Any] = {"run_id": "run", "clock": puller.clock, "con": puller.con}
    begin(puller.lake, "mirakl/order", SHOP, client, window, **options).settle()
    begin(puller.lake, "mirakl/order", SHOP, client, window, in_bulk=True, **options).settle()
    begin(puller.lake, "mirakl/order", SHOP, client, None, keys=["ORDER-1-A"], **options).settle()
    assert client.calls == [("orders", *window), ("orders_export", *window), ("orders_by_id", "ORDER-1-A")]


def test_a_wrong_stream_or_way_is_told_with_the_mend(puller: Puller) -> None:
    options: dict[str, Any] = {"run_id": "run", "clock": puller.clock, "con": puller.con}
    with pytest.raises(BadArgument, match="use one of mirakl/order, "):
        begin(puller.lake, "mirakl/orders", SHOP, None, None, **options)
    with pytest.raises(BadArgument, match="stream peoplevox/sales_order cannot be read that way: give keys"):
        begin(puller.lake, "peoplevox/sales_order", SHOP, None, None, **options)
    assert set(STREAMS) >= {"mirakl/transaction", "reveni/return", "peoplevox/stock"}


def test_a_writer_that_was_quicker_is_seen_and_nothing_is_there_twice(puller: Puller) -> None:
    quicker = mirakl_order(1)
    other = puller.lake.connect()
    pulled: dict[str, Any] = {"run_id": "other", "clock": FixedClock(puller.clock.now()), "con": other}
    OvertakenLake.overtake = lambda: take(puller.lake, "mirakl/order", SHOP, [[quicker]], **pulled)
    overtaken = Puller(OvertakenLake(puller.lake.folder, storage=puller.lake.storage), puller.con, puller.clock)
    result = overtaken.orders(quicker, mirakl_order(2))
    other.close()
    assert OvertakenLake.overtake is None
    assert (result.new, result.rows["mirakl__orders"], result.rows["mirakl__refund_taxes"]) == (1, 1, 2)
    assert puller.rows("SELECT order_id, run_id FROM lake.core.mirakl__orders ORDER BY ALL") == [
        ("ORDER-1-A", "other"),
        ("ORDER-2-A", "run"),
    ]
    for table in ("landing.payloads", "core.mirakl__orders", "core.mirakl__refunds"):
        assert puller.rows(f"SELECT count(*) FROM lake.{table}") == [(2,)]
    assert len(puller.lake.personal.held(SHOP)) == 2


def test_a_list_that_is_as_it_was_brings_back_nothing_that_a_quicker_writer_changed(puller: Puller) -> None:
    puller.take("peoplevox/stock", [[PEOPLEVOX_STOCK]])
    other = puller.lake.connect()
    changed = [[PEOPLEVOX_STOCK | {"available": "99"}]]
    pulled: dict[str, Any] = {"run_id": "other", "clock": puller.clock, "con": other}
    OvertakenLake.overtake = lambda: take(puller.lake, "peoplevox/stock", SHOP, changed, **pulled)
    overtaken = Puller(OvertakenLake(puller.lake.folder, storage=puller.lake.storage), puller.con, puller.clock)
    settle_readings(
        [overtaken.read("peoplevox/stock", PEOPLEVOX_STOCK), overtaken.read("mirakl/order", mirakl_order(1))]
    )
    other.close()
    assert puller.rows("SELECT available FROM lake.core.peoplevox__stock") == [(99,)]
    assert puller.rows("SELECT count(*) FROM lake.landing.payloads WHERE object_type = 'stock'") == [(2,)]
    assert puller.rows("SELECT order_id FROM lake.core.mirakl__orders") == [("ORDER-1-A",)]


def test_a_newer_version_of_a_quicker_writer_stays(puller: Puller) -> None:
    newer = mirakl_order(1, order_state="RECEIVED", last_updated_date="2026-10-02T11:00:00Z")
    other = puller.lake.connect()
    pulled: dict[str, Any] = {"run_id": "other", "clock": puller.clock, "con": other}
    OvertakenLake.overtake = lambda: take(puller.lake, "mirakl/order", SHOP, [[newer]], **pulled)
    overtaken = Puller(OvertakenLake(puller.lake.folder, storage=puller.lake.storage), puller.con, puller.clock)
    overtaken.orders(mirakl_order(1))
    other.close()
    assert puller.rows("SELECT order_state FROM lake.core.mirakl__orders") == [("RECEIVED",)]


def test_a_pull_that_fails_leaves_python_s_collector_as_it_was(puller: Puller) -> None:
    def pages() -> Any:
        raise ConnectionError("the source went away")
        yield []

    with pytest.raises(ConnectionError):
        puller.take("mirakl/order", pages())
    assert gc.isenabled()


VERSIONS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 5), st.sampled_from(["SHIPPING", "SHIPPED", "CLOSED"])),
    min_size=1,
    max_size=8,
)


@pytest.mark.proves("R106")
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VERSIONS, st.randoms(use_true_random=False))
def test_whatever_the_order_of_pages_every_order_ends_at_its_newest_version(
    puller: Puller, versions: list[tuple[int, int, str]], random: Any
) -> None:
    puller.clock.wait(3600)
    shop = f"shop{puller.clock.now():%d%H}"
    orders = {
        (number, minute): mirakl_order(
            number, order_state=state, last_updated_date=f"2026-10-02T10:0{minute}:00Z", order_lines=[]
        )
        for number, minute, state in versions
    }
    shuffled = list(orders.values())
    random.shuffle(shuffled)
    middle = random.randint(0, len(shuffled))
    for part in (shuffled[:middle], shuffled[middle:], shuffled[:middle]):
        puller.orders(*part, shop=shop)
    newest = {number: max(minute for n, minute in orders if n == number) for number, _ in orders}
    expected = sorted(
        (f"ORDER-{number}-A", orders[number, minute]["order_state"], datetime(2026, 10, 2, 10, minute, tzinfo=UTC))
        for number, minute in newest.items()
    )
    query = f"SELECT order_id, order_state, updated_at FROM lake.core.mirakl__orders WHERE shop = '{shop}' ORDER BY ALL"
    assert puller.rows(query) == expected


@pytest.mark.played
@pytest.mark.postgres
def test_over_a_postgres_catalog_a_pull_and_the_upkeep_do_the_same(
    tmp_path: Path, postgres_database: str, clock: FixedClock
) -> None:
    lake = Lake.open(StorageSettings(tmp_path, lake_catalog=postgres_database))
    con = lake.connect()
    puller = Puller(lake, con, clock)
    assert puller.orders(mirakl_order(1), mirakl_order(2, price=Decimal("0.001"))).quarantined == 1
    clock.wait(60)
    changed = puller.orders(mirakl_order(1, order_state="CLOSED", last_updated_date="2026-10-02T11:00:00Z"))
    assert (changed.new, changed.rows["mirakl__orders"], changed.rows["mirakl__refunds"]) == (1, 1, 0)
    maintain(lake, datetime.now(UTC) + timedelta(days=2), keep_days=0)
    assert puller.rows("SELECT order_state, price_minor FROM lake.core.mirakl__orders") == [("CLOSED", 4000)]
    con.close()
