"""Months in the console: what is shown, and that closing and signing keep the rules of the command line."""

from __future__ import annotations

import json

import pytest

from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.periods import PeriodState
from marketplace_returns.periods import Month
from marketplace_returns_tests.console.served import NAMES, Person, Served, fields_of, told
from marketplace_returns_tests.ledger.world import NOW, SHOP

SEPTEMBER = Month.parse("2026-09")
PAGE = f"/periods/{SHOP}/{SEPTEMBER}"


@pytest.fixture
def in_review(ledger: Ledger, console: Served) -> None:
    """September was closed by the person of finance; one proof fails."""
    if ledger.period(SHOP, SEPTEMBER).state is not PeriodState.REVIEW:
        facts = {"prepared_by": NAMES["finance"], "prepared_at": NOW, "manifest_hash": "ab" * 32}  # type: ignore[index]
        ledger.step_period(SHOP, SEPTEMBER, PeriodState.REVIEW, **facts)
    folder = console.settings.data_dir / "periods" / SHOP / str(SEPTEMBER)
    folder.mkdir(parents=True, exist_ok=True)
    proofs = [
        {"shop": SHOP, "id": "I1", "result": "PROVEN", "message": "every payout is explained"},
        {"shop": SHOP, "id": "I5", "result": "VARIANCE", "message": "0.40 <GBP> too little"},
    ]
    (folder / "manifest.json").write_text(json.dumps({"month": "2026-09", "proofs": proofs}), encoding="utf-8")


def test_every_month_that_is_over_is_listed(finance: Person) -> None:
    page = finance.get("/periods")
    for month in ("2026-07", "2026-08", "2026-09"):
        assert f"/periods/{SHOP}/{month}" in page
    assert "2026-10" not in page
    assert "There is no shop" in told(finance.get("/periods/nowhere/2026-09", status=404))
    assert "month" in told(finance.get(f"/periods/{SHOP}/2026-13", status=400))


def test_a_month_that_was_not_read_to_its_end_is_not_closed(finance: Person, ledger: Ledger) -> None:
    answer = finance.send(f"/periods/{SHOP}/2026-08/close", f"/periods/{SHOP}/2026-08", seen=seen(finance, "2026-08"))
    assert answer.status_code == 400
    assert "was not read to its end yet by mirakl/" in told(answer.text)
    assert ledger.period(SHOP, Month.parse("2026-08")).state is PeriodState.OPEN


@pytest.mark.proves("R111")
@pytest.mark.usefixtures("in_review")
def test_nobody_signs_what_they_closed(finance: Person, admin: Person, ledger: Ledger) -> None:
    page = finance.get(PAGE)
    assert "somebody else has to sign it" in page
    assert f"{PAGE}/sign" not in page
    for words in ("1 not proven", "1 proven"):
        assert words in finance.get("/periods")
    assert "0.40 &lt;GBP&gt; too little" in page
    answer = finance.send(f"{PAGE}/sign", PAGE, seen=seen(finance), reason="I may")
    assert answer.status_code == 400
    assert "somebody else has to sign it" in told(answer.text)
    assert ledger.period(SHOP, SEPTEMBER).state is PeriodState.REVIEW
    assert f"{PAGE}/sign" in admin.get(PAGE)


@pytest.mark.usefixtures("in_review")
def test_a_form_of_a_month_that_moved_on_does_nothing(admin: Person, ledger: Ledger, console: Served) -> None:
    was = seen(admin)
    console.clock.wait(1)
    ledger.step_period(SHOP, SEPTEMBER, PeriodState.REVIEW, manifest_hash="cd" * 32, prepared_by="somebody")
    for act in ("sign", "close", "reopen"):
        answer = admin.send(f"{PAGE}/{act}", PAGE, seen=was, reason="x")
        assert answer.status_code == 409
        assert "not as the page showed it" in told(answer.text)
    assert ledger.period(SHOP, SEPTEMBER).manifest_hash == "cd" * 32


@pytest.mark.usefixtures("in_review")
def test_reopening_keeps_who_and_why(finance: Person, ledger: Ledger) -> None:
    assert "is empty" in told(finance.send(f"{PAGE}/reopen", PAGE, seen=seen(finance), reason=" ").text)
    assert "open again" in finance.did(f"{PAGE}/reopen", PAGE, seen=seen(finance), reason="a tax code was wrong")
    period = ledger.period(SHOP, SEPTEMBER)
    assert (period.state, period.reason) == (PeriodState.OPEN, "finance.person: a tax code was wrong")
    last = ledger.last_acts(limit=1)[0]
    assert (last.event, last.actor, last.subject) == ("open", "finance.person", "month 2026-09")


def seen(person: Person, month: str = str(SEPTEMBER)) -> str:
    return fields_of(person.get(f"/periods/{SHOP}/{month}"))["seen"]
