"""Monitoring tables and the checklist as pages: each department its own, made once, sorted, searched, taken away, ticked."""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from marketplace_returns.console import kept_tables
from marketplace_returns.console.roles import DEPARTMENTS, Role
from marketplace_returns.console.table_view import FORMULA_SIGNS, ROWS_SHOWN, Wanted, as_csv, view
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger import Ledger
from marketplace_returns.monitoring.checklist import ITEMS
from marketplace_returns.monitoring.readers import READERS
from marketplace_returns.monitoring.watch import Seen
from marketplace_returns_tests.console.served import Person, Served, told
from marketplace_returns_tests.ledger.world import NOW, SHOP

COLUMNS = ("kind", "reference", "order_id", "currency", "amount_minor", "since", "age_hours", "owner", "state")


def row(number: int, **values: Any) -> tuple[Any, ...]:
    facts = {
        "kind": "refund_waiting_for_balance",
        "reference": f"U{number}",
        "order_id": f"O{number}",
        "currency": "GBP",
        "amount_minor": 100 * number,
        "since": NOW,
        "age_hours": 500 - number,
        "owner": "finance",
        "state": "open",
    }
    return tuple((facts | values).values())


@dataclass
class Looks:
    """What looking at a table finds, how often it was looked at, and when it may end."""

    rows: list[tuple[Any, ...]] = field(default_factory=lambda: [row(1), row(2)])
    made: list[tuple[str, str]] = field(default_factory=list)
    may_end: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _: object, shop: str, table: str) -> Seen:
        self.made.append((shop, table))
        assert self.may_end.wait(30)
        return Seen(table, COLUMNS, list(self.rows) if table == "payout_at_risk" else [])


@pytest.fixture
def looks(console: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    looks = Looks()
    looks.may_end.set()
    monkeypatch.setattr("marketplace_returns.orchestration.watching.glance", looks)
    yield looks
    looks.may_end.set()
    console.clock.wait(kept_tables.KEPT_FOR.total_seconds())  # nothing is left of the test
    console.people.clear()  # their log-ins would end by themselves in between


def cells(page: str) -> list[list[str]]:
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", each)]
        for each in rows
    ]


@pytest.mark.proves("R20")
@pytest.mark.parametrize("role", Role)
def test_each_department_sees_its_own_tables_and_no_others(console: Served, looks: Looks, role: Role) -> None:
    person = console.person(role)
    listed = set(re.findall(r'href="/tables/(\w+)\?shop=asos_uk"', person.get("/tables")))
    own = {name for name, readers in READERS.items() if DEPARTMENTS[role] & set(readers)}
    assert listed == own
    assert own
    assert not re.search(r"\bR\d+\b", person.get("/tables"))
    for name in READERS:
        for path in (f"/tables/{name}", f"/tables/{name}/csv"):
            answer = person.fetch(path)
            assert (answer.status_code == 403) is (name not in own), path
            if name not in own:
                assert f"the role {role} may not go there" in answer.text
    assert {table for _, table in looks.made} == own
    assert person.fetch("/tables/nothing").status_code == 404
    assert person.fetch("/tables?shop=nowhere").status_code == 404


@pytest.mark.proves("R119")
def test_a_table_is_made_once_and_says_of_when_it_is(console: Served, looks: Looks, finance: Person) -> None:
    looks.may_end.clear()
    assert "refresh" in finance.http.get("/tables/payout_at_risk").headers
    assert "refresh" in console.person(Role.ADMIN).http.get("/tables/payout_at_risk").headers
    looks.may_end.set()
    page = finance.get("/tables/payout_at_risk")
    assert f"As it was at {console.clock.now():%Y-%m-%d %H:%M} UTC" in page
    for query in ("", "?sort=amount_minor&way=down", "?text=U1", "?shop=asos_uk"):
        answer = finance.http.get(f"/tables/payout_at_risk{query}")
        assert "refresh" not in answer.headers, "what is there is shown at once"
    assert "U1" in console.person(Role.ADMIN).get("/tables/payout_at_risk")
    assert looks.made == [(SHOP, "payout_at_risk")]
    looks.rows.append(row(3))
    anew = finance.fetch("/tables/payout_at_risk?anew=1&text=U")
    assert (anew.status_code, anew.headers["location"]) == (303, "/tables/payout_at_risk?text=U")
    assert "U3" in finance.get(anew.headers["location"])
    console.clock.wait(kept_tables.KEPT_FOR.total_seconds())
    assert "U3" in finance.get("/tables/payout_at_risk")
    assert len(looks.made) == 3


def test_rows_are_sorted_searched_and_paged(looks: Looks, finance: Person) -> None:
    looks.rows = [row(n, since=NOW + timedelta(hours=n) if n % 2 else None) for n in range(1, ROWS_SHOWN + 51)]
    page = finance.get("/tables/payout_at_risk")
    assert f"Rows 1 to {ROWS_SHOWN} of {ROWS_SHOWN + 50}" in page
    assert cells(page)[0][:5] == ["refund_waiting_for_balance", "U1", "O1", "1.00 GBP", "2026-10-05 10:00"]
    assert 'href="/orders?number=O1"' in page
    after = unescape(re.search(r'rel="next" href="([^"]+)"', page)[1])  # type: ignore[index]
    second = finance.get(after)
    assert [each[1] for each in cells(second)] == [f"U{n}" for n in range(ROWS_SHOWN + 1, ROWS_SHOWN + 51)]
    assert 'rel="next"' not in second
    head = unescape(re.search(r'<th[^>]*><a href="([^"]+)">age hours', page)[1])  # type: ignore[index]
    up = finance.get(head)
    assert 'aria-sort="ascending"' in up
    assert cells(up)[0][1] == f"U{ROWS_SHOWN + 50}"
    down = finance.get(unescape(re.search(r'<th[^>]*><a href="([^"]+)">age hours', up)[1]))  # type: ignore[index]
    assert cells(down)[0][1] == "U1"
    assert cells(finance.get("/tables/payout_at_risk?sort=since"))[0][1] == "U1"
    assert cells(finance.get("/tables/payout_at_risk?sort=since&way=down"))[0][1] == f"U{ROWS_SHOWN + 49}"
    assert [each[1] for each in cells(finance.get("/tables/payout_at_risk?text=u149"))] == ["U149"]
    assert "None of its 150 rows fits" in finance.get("/tables/payout_at_risk?state=closed")
    assert "no such column" in told(finance.get("/tables/payout_at_risk?sort=password", status=400))
    assert finance.fetch("/tables/payout_at_risk?from=x").status_code == 400


def test_a_table_is_taken_away_as_it_is_filtered_and_no_text_is_a_formula(looks: Looks, finance: Person) -> None:
    looks.rows = [row(1, reference="=1+1"), row(2, reference="U2"), row(3, owner="warehouse")]
    sent_on = finance.http.get("/tables/payout_at_risk/csv")
    assert (sent_on.status_code, sent_on.headers["location"]) == (303, "/tables/payout_at_risk")
    finance.get("/tables/payout_at_risk")
    answer = finance.http.get("/tables/payout_at_risk/csv?text=finance&sort=amount_minor&way=down")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="asos_uk-payout_at_risk-\d{8}T\d{4}Z\.csv"', answer.headers["content-disposition"]
    )
    head, *rows = csv.reader(StringIO(answer.text))
    assert head == [name.removesuffix("_minor") for name in COLUMNS]
    assert [each[1:5] for each in rows] == [["U2", "O2", "GBP", "2.00"], ["'=1+1", "O1", "GBP", "1.00"]]
    assert rows[0][5] == f"{NOW:%Y-%m-%dT%H:%M:%SZ}"


def test_cells_are_written_by_what_they_are() -> None:
    columns = ("exception_id", "entity", "is_stale", "share_percent", "week", "amount_minor", "seen_at", "note")
    values = (
        12,
        '{"order_id":"O1"}',
        True,
        Decimal("99.5"),
        date(2026, 10, 5),
        -1234567,
        datetime(2026, 10, 5, 9, tzinfo=UTC),
    )
    seen = Seen("x", columns, [(*values, "-2 &c"), (None,) * 8])
    first, empty = view(seen, Wanted(), "JPY").rows
    assert [cell.text for cell in first] == [
        *("12", "order id O1", "yes", "99.5", "2026-10-05", "-1,234,567 JPY", "2026-10-05 09:00", "-2 &c")
    ]
    assert first[0].link == "/exceptions/12"
    assert {cell.text for cell in empty} == {""}
    numbers = {column.title for column in view(seen, Wanted(), "JPY").columns if column.is_number}
    assert numbers == {"share percent", "amount"}
    lines = as_csv(seen, Wanted(), "JPY").splitlines()
    assert lines[1] == '12,"{""order_id"":""O1""}",true,99.5,2026-10-05,-1234567,2026-10-05T09:00:00Z,\'-2 &c'
    with pytest.raises(BadArgument, match="no such column"):
        view(seen, Wanted(sort="nothing"), "JPY")


def test_formulas_are_guarded_against_as_in_the_pack() -> None:
    pack = (Path(__file__).parents[2] / "marketplace_returns/reconciliation/pack.py").read_text(encoding="utf-8")
    (listed,) = re.findall(r'_UNSAFE_FIRST: Final = "(.*)"', pack)
    there = {chr(int(code)) if code else sign for sign, code in re.findall(r"'(.)'|chr\((\d+)\)", listed)}
    assert there == set(FORMULA_SIGNS)


def test_of_a_very_long_table_the_first_rows_are_kept_and_that_is_told(
    looks: Looks, finance: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_tables, "ROWS_KEPT", 3)
    monkeypatch.setattr("marketplace_returns.console.pages.tables.ROWS_KEPT", 3)
    looks.rows = [row(n) for n in range(10)]
    page = finance.get("/tables/payout_at_risk")
    assert "Only the first 3 of 10 rows are shown" in page
    assert len(cells(page)) == 3
    assert "10 rows speak against it" in finance.get("/checklist"), "all are counted"


# -- the checklist --------------------------------------------------------------------------------------------------------


@pytest.mark.proves("R42")
def test_a_check_is_ticked_by_who_looked_with_a_note_where_rows_speak_against_it(
    console: Served, looks: Looks, finance: Person, ledger: Ledger
) -> None:
    place = "/checklist/payout_at_risk"
    refused = finance.send(place, "/account", shop=SHOP, note="all is well")
    assert (refused.status_code, "look at the table payout_at_risk first" in told(refused.text)) == (400, True)
    console.person(Role.ADMIN).get("/tables/payout_at_risk")
    assert finance.send(place, "/account", shop=SHOP, note="x").status_code == 400, "somebody else looked"
    finance.get("/tables/payout_at_risk")
    assert "2 rows speak against it" in finance.get("/checklist")
    refused = finance.send(place, "/account", shop=SHOP, note=" ")
    assert (refused.status_code, "2 rows speak against it: say what" in told(refused.text)) == (400, True)
    assert ledger.last_ticks(SHOP, ["payout_at_risk"]) == {}
    said = finance.did(place, "/account", shop=SHOP, note="paid in today")
    assert said == "Ticked: No refund waits for balance, no parcel for money."
    found = ledger.last_ticks(SHOP, ["payout_at_risk"])["payout_at_risk"]
    assert (found.actor, found.facts["note"], found.facts["open_rows"]) == ("finance.person", "paid in today", 2)
    page = finance.get("/checklist")
    assert "by finance.person, 2 against it" in page
    assert "paid in today" in page
    assert "ticked" in page
    assert "check payout at risk" in finance.get("/history")
    console.clock.wait(86_400)
    assert ledger.last_ticks(SHOP, ["payout_at_risk"])


@pytest.mark.parametrize("role", Role)
def test_the_checklist_is_the_departments_own(console: Served, ledger: Ledger, role: Role) -> None:
    person = console.person(role)
    own = {item.item for item in ITEMS if item.owner in DEPARTMENTS[role]}
    page = unescape(person.get("/checklist"))
    assert {item.item for item in ITEMS if f">{item.item}<" in page} == own
    before = ledger.history_ends().get(SHOP)
    for item in ITEMS:
        if item.owner in DEPARTMENTS[role]:
            continue
        assert person.send(f"/checklist/{item.key}", "/account", shop=SHOP, note="x").status_code == 403
        assert person.fetch(f"/checklist?owner={item.owner}").status_code == 403
    assert ledger.history_ends().get(SHOP) == before
    assert person.send("/checklist/nothing", "/account", shop=SHOP).status_code == 404
    assert person.send("/checklist/snoozed", "/account", shop="nowhere").status_code == 404
    assert person.fetch("/checklist?owner=nobody").status_code == 200


def test_what_is_due_and_overdue_is_counted(console: Served, care: Person) -> None:
    checks = [item for item in ITEMS if item.owner == "customer_experience" and not item.table]
    for item in checks:
        care.did(f"/checklist/{item.key}", "/account", shop=SHOP)
    made = care.get("/checklist")
    assert made.count('<span class="tag green">done</span>') == len(checks)
    console.clock.wait(2 * 86_400)
    again = Person(console.base_url)
    again.log_in("care.person")
    assert '<span class="tag over">overdue</span>' in again.get("/checklist")
