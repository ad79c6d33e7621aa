"""The bookings are what the log says, however it lands."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake import bookings
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.pull import retype, take
from marketplace_returns.lake.tables import BOOKINGS
from marketplace_returns_tests.lake.worlds import StorageSettings

SHOP = "asos_uk"
SINCE = datetime(2026, 9, 30, 22, 0, tzinfo=UTC)
PLACES = {
    "ORDER_AMOUNT": "product",
    "ORDER_SHIPPING_AMOUNT": "shipping",
    "ORDER_AMOUNT_TAX": "product_tax",
    "ORDER_SHIPPING_AMOUNT_TAX": "shipping_tax",
    "COMMISSION_FEE": "commission",
    "COMMISSION_VAT": "commission_vat",
}
TYPES = [*PLACES, *(f"REFUND_{name}" for name in PLACES), "PAYMENT", "SUBSCRIPTION_FEE"]
Json = dict[str, Any]
Said = dict[tuple[str, str, str], Counter[str]]


class Marketplace:
    """A log that grows and changes as a marketplace's does, and worse."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lines: dict[str, Json] = {}
        self.now = datetime(2026, 10, 9, 12, tzinfo=UTC)

    def moves(self) -> list[Json]:
        """Some new lines and some that changed, each with its update time."""
        moved = [self._new() for _ in range(self.chance.randint(0, 12))]
        known = list(self.lines)
        moved += [
            self._changed(self.lines[self.chance.choice(known)]) for _ in range(self.chance.randint(0, 6)) if known
        ]
        self.lines |= {line["id"]: line for line in moved}
        return moved

    def _stamp(self) -> str:
        self.now += timedelta(seconds=self.chance.randint(0, 90))
        return self.now.isoformat()

    def _new(self) -> Json:
        chance = self.chance
        line, at = (
            f"LINE-{chance.randint(1, 6)}",
            SINCE + timedelta(minutes=chance.choice((0, 3, 14, 15, 119, 120, 9_000))),
        )
        return {
            "id": f"T{len(self.lines):04d}-{chance.randint(0, 9_999)}",
            "type": chance.choice(TYPES),
            "payment_state": chance.choice(("PENDING", "NOT_APPLICABLE", "PENDING")),
            "currency_iso_code": chance.choice(("GBP", "GBP", "EUR")),
            "amount": Decimal(chance.randint(-5_000, 5_000)) / 100,
            "seller_billing_cycle_id": None,
            "date_created": at.isoformat(),
            "last_updated": self._stamp(),
            "entities": {
                "order": {"id": "ORDER-1"},
                "order_line": chance.choice(({"id": line}, {"id": line}, None)),
                "refund": chance.choice(({"id": f"R-{line}"}, None)),
            },
        }

    def _changed(self, line: Json) -> Json:
        chance = self.chance
        changes: list[Json] = [
            {"payment_state": "PAYABLE"},
            {"payment_state": "NOT_APPLICABLE"},
            {"payment_state": "PAID", "seller_billing_cycle_id": chance.choice(("CYCLE-1", "CYCLE-2"))},
            {"amount": Decimal(chance.randint(-5_000, 5_000)) / 100},
            {"type": chance.choice(TYPES)},
            {"entities": line["entities"] | {"order_line": {"id": f"LINE-{chance.randint(1, 6)}"}}},
            {"currency_iso_code": "EUR"},
            {},
        ]
        return line | chance.choice(changes) | {"last_updated": self._stamp()}


@pytest.mark.played
@pytest.mark.proves("R99", "R106")
@pytest.mark.parametrize("seed", [1, 2])
def test_bookings_are_the_log_added_up_however_it_lands(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock, seed: int
) -> None:
    """Lines new, changed, repeated, out of order and on several pages; held against the lines themselves after each landing."""
    marketplace, chance = Marketplace(seed), random.Random(seed)
    landed: list[Json] = []
    for turn in range(8):
        moved = marketplace.moves()
        again = chance.sample(landed, min(len(landed), chance.randint(0, 5)))
        page = [*moved, *again]
        chance.shuffle(page)
        cut = chance.randint(0, len(page))
        clock.wait(60)
        _land(lake, con, clock, [page[:cut], page[cut:]] if turn % 2 else [page])
        if turn % 4 == 3:
            retype(lake, "mirakl/transaction", SHOP, run_id="again", clock=clock, con=con)
        landed += moved

        _hold_against_the_log(con)
    assert _ways(con) >= {"sale", "refund", "unnamed sale", "unnamed refund"}
    kept = _rows(con)

    lake.transact(con, "test", "remake", lambda inside: bookings.remake(inside, SHOP))

    assert _rows(con) == kept


@pytest.mark.proves("R99")
def test_lines_that_book_nothing_new_write_no_booking(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    """A line changes its payment state several times in its life; what is booked stays as it is."""
    line = _sale("T1", "ORDER_AMOUNT", Decimal(20))
    _land(lake, con, clock, [[line]])
    (file_or_row,) = con.execute("SELECT rowid, * FROM lake.core.bookings").fetchall()

    clock.wait(60)
    paid = {"payment_state": "PAID", "seller_billing_cycle_id": "CYCLE-1", "last_updated": "2026-10-02T11:00:00Z"}
    _land(lake, con, clock, [[line | paid]])

    assert con.execute("SELECT payment_state FROM lake.core.mirakl__transactions").fetchall() == [("PAID",)]
    assert con.execute("SELECT rowid, * FROM lake.core.bookings").fetchall() == [file_or_row]


def test_another_writer_between_reading_and_writing_is_added_up_too(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, transact = lake.connect(), Lake.transact

    def late(self: Lake, *arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(Lake, "transact", transact)
        _land(lake, other, clock, [[_sale("T2", "COMMISSION_FEE", Decimal(-3))]])
        return transact(self, *arguments, **named)

    monkeypatch.setattr(Lake, "transact", late)
    _land(lake, con, clock, [[_sale("T1", "ORDER_AMOUNT", Decimal(20))]])
    other.close()

    assert con.execute("SELECT product_minor, commission_minor, lines FROM lake.core.bookings").fetchall() == [
        (2000, -300, 2)
    ]


@pytest.mark.proves("R100")
def test_a_lake_of_the_version_before_is_given_its_bookings(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    _land(lake, con, clock, [[_sale(f"T{at}", "ORDER_AMOUNT", Decimal(at), line=f"LINE-{at % 3}") for at in range(9)]])
    kept = _rows(con)
    lake.transact(con, "test", "as before", lambda inside: inside.execute(f"DROP TABLE {BOOKINGS.path}"))
    con.close()

    opened = Lake.open(StorageSettings(lake.folder.parent)).connect()

    assert len(kept) == 3
    assert _rows(opened) == kept
    opened.close()


@pytest.mark.parametrize(
    "zone", ["Europe/London", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"]
)
def test_no_month_begins_within_a_quarter_of_an_hour(zone: str) -> None:
    begins = [datetime(year, month, 1, tzinfo=ZoneInfo(zone)) for year in range(2020, 2036) for month in range(1, 13)]

    assert {begin.timestamp() % 900 for begin in begins} == {0}


def _sale(number: str, kind: str, amount: Decimal, line: str = "LINE-1") -> Json:
    return {
        "id": number,
        "type": kind,
        "payment_state": "PENDING",
        "currency_iso_code": "GBP",
        "amount": amount,
        "date_created": "2026-10-02T10:00:00Z",
        "last_updated": "2026-10-02T10:00:00Z",
        "entities": {"order": {"id": "ORDER-1"}, "order_line": {"id": line}},
    }


def _land(lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock, pages: list[list[Json]]) -> None:
    for page in pages:
        take(lake, "mirakl/transaction", SHOP, [page], run_id="run", clock=clock, con=con)


def _hold_against_the_log(con: duckdb.DuckDBPyConnection) -> None:
    lines = con.execute(
        "SELECT transaction_id, transaction_type, payment_state, currency, amount_minor, order_line_id, refund_id, "
        "billing_cycle_id, created_at FROM lake.core.mirakl__transactions"
    ).fetchall()
    instants = {SINCE + timedelta(minutes=15 * quarter) for quarter in (0, 1, 2, 7, 8, 9, 600, 601)}
    for instant in instants:
        assert _booked(con, instant) == _added_up(lines, instant)


def _added_up(lines: list[tuple[Any, ...]], until: datetime) -> Said:
    """What the log says of each subject before an instant, added up by hand."""
    said: Said = {}
    for number, type_, state, currency, amount, line, refund, cycle, created_at in lines:
        is_refund = type_.startswith("REFUND_")
        place = PLACES.get(type_.removeprefix("REFUND_"))
        if place is None or state == "NOT_APPLICABLE" or created_at >= until:
            continue
        named, kind = (refund, "refund") if is_refund else (line, "sale")
        subject = (kind, named, currency) if named else (f"unnamed {kind}", number, currency)
        sums = said.setdefault(subject, Counter())
        sums[place] += amount
        sums["lines"] += 1
        if place not in {"commission", "commission_vat"}:
            sums["has_amounts"] = 1
            if is_refund and cycle:
                sums["cycle"] = max(sums["cycle"], int(cycle[-1]))
    return {subject: _without_zeros(sums) for subject, sums in said.items()}


def _booked(con: duckdb.DuckDBPyConnection, until: datetime) -> Said:
    places = [*PLACES.values()]
    found = con.execute(
        f"SELECT kind, subject_id, currency, lines, has_amounts, billing_cycle_id, {', '.join(f'{p}_minor' for p in places)} "
        "FROM lake.core.bookings WHERE booked_from < $until AND (booked_until IS NULL OR booked_until >= $until)",
        {"until": until},
    ).fetchall()
    said: Said = {}
    for kind, subject, currency, lines, has_amounts, cycle, *amounts in found:
        assert (kind, subject, currency) not in said, "two rows hold at once"
        said[kind, subject, currency] = _without_zeros(
            Counter(
                dict(zip(places, amounts, strict=True))
                | {"lines": lines, "has_amounts": int(has_amounts), "cycle": int(cycle[-1]) if cycle else 0}
            )
        )
    return said


def _without_zeros(sums: Counter[str]) -> Counter[str]:
    return Counter({name: amount for name, amount in sums.items() if amount})


def _ways(con: duckdb.DuckDBPyConnection) -> set[str]:
    return {kind for (kind,) in con.execute("SELECT DISTINCT kind FROM lake.core.bookings").fetchall()}


def _rows(con: duckdb.DuckDBPyConnection) -> list[Any]:
    columns = ", ".join(column.name for column in BOOKINGS.columns)
    return con.execute(f"SELECT {columns} FROM {BOOKINGS.path} ORDER BY ALL").fetchall()
