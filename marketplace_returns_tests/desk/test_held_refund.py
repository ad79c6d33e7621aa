"""From a held refund to the money, by the pages alone: looked up, its word mapped after a preview, sent by the next pass, once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import urlencode

import pytest

from marketplace_returns.console.roles import Role
from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.mappings import load_mappings
from marketplace_returns.money import to_decimal
from marketplace_returns_tests.console.served import NAMES, Person, Served, fields_of, served, told
from marketplace_returns_tests.desk.held_refunds import held_refunds
from marketplace_returns_tests.end_to_end.played import Played
from marketplace_returns_tests.orchestration.conftest import SHOP

TARGET = "17"
pytestmark = pytest.mark.played


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with held_refunds(tmp_path_factory.mktemp("held")) as playing:
        yield playing


@pytest.fixture(scope="module")
def console(one: Played) -> Iterator[Served]:
    with served(one.app.settings, one.clock) as running:
        yield running


def held(one: Played) -> list[OpenException]:
    """Return the refunds that wait for a row, by their reason."""
    found = one.app.ledger.exceptions(shop=SHOP, types=["REASON_UNMAPPED"])
    return sorted((each for each in found if each.cause.startswith("refund ")), key=lambda each: each.cause)


def link(page: str, label: str) -> str:
    found = re.search(rf'href="([^"]*)" aria-label="Add a row for {label}"', page)
    assert found, "the word is listed with a button"
    return unescape(found[1])


@pytest.mark.proves("R10", "R24", "R33", "R70")
def test_a_held_refund_goes_out_once_after_its_word_is_mapped(one: Played, console: Served) -> None:
    first, second = held(one)
    reason = first.cause.removeprefix("refund ")
    money = f"{to_decimal(first.amount_minor, first.currency):,} {first.currency}"
    care, operations = console.person(Role.CARE), console.person(Role.OPERATIONS)

    # Customer care sees where it stands, by the return's number, and whose turn it is.
    page = care.get("/orders?" + urlencode({"number": first.entity["return_id"]}))
    assert "held by REASON_UNMAPPED, operations sees to it by" in unescape(page)
    assert f"/exceptions/{first.exception_id}" in page
    assert operations.get("/orders?number=" + first.entity["order_id"]).count("hidden") > care.get(
        "/orders?number=" + first.entity["order_id"]
    ).count("<dd>hidden")

    # Operations finds the word, says what it means, and sees what that moves before anything is saved.
    review = operations.get("/mappings")
    assert f"{reason}" in review
    form = link(review, rf"{reason} \(refund\)")
    filled = operations.get(form)
    assert f'value="{reason}"' in filled
    cells = {
        "source_system": "mirakl",
        "source_code": reason,
        "flow": "refund",
        "target_vocabulary": "mirakl_refund",
        "target_code": TARGET,
    }
    preview_path = "/mappings/reasons/preview?" + urlencode({f"cell_{name}": cell for name, cell in cells.items()})
    before = (one.app.settings.mappings_dir / "reasons.csv").read_bytes()
    preview = unescape(operations.get(preview_path))
    rows = [re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr>.*?</tr>", preview, re.DOTALL)]
    moved = [" ".join(row.split()) for row in rows[1:]]
    assert f"{SHOP} exceptions close REASON_UNMAPPED 1 {money} {first.entity['return_unit_id']}" in moved
    assert f"{SHOP} writes are planned refund 1 {money} {first.entity['return_unit_id']}" in moved
    assert len(moved) == 2, "the other reason stays held"
    assert (one.app.settings.mappings_dir / "reasons.csv").read_bytes() == before
    assert one.sandbox.truth()["facts"]["refunds"] == 0

    # It is added with a reason, once; the same form again, or a file somebody else changed, is refused.
    fields = {f"cell_{name}": cell for name, cell in cells.items()} | {"note": "as agreed with the marketplace"}
    stale = {**fields, **_guarded(operations, preview_path)}
    assert "The row is in reasons.csv" in operations.did(
        "/mappings/reasons/add", preview_path, **fields, **_shown(operations, preview_path)
    )
    again = operations.post("/mappings/reasons/add", stale)
    assert again.status_code == 409
    assert "was changed since you looked" in told(again.text)
    assert care.post("/mappings/reasons/add", stale).status_code == 403

    # The next passes send it, once; what was not mapped stays held.
    _pass_as_a_new_process(one)
    _pass_as_a_new_process(one)
    assert one.sandbox.truth()["facts"]["refunds"] == 1
    assert [each.exception_id for each in held(one)] == [second.exception_id]
    (chain,) = one.app.ledger.verify_history(SHOP)
    assert chain.broken is None
    (act,) = [each for each in one.app.ledger.last_acts(limit=20) if each.subject == "mapping reasons"]
    assert act.actor == NAMES[Role.OPERATIONS]
    assert act.facts["note"] == "as agreed with the marketplace"
    assert reason in str(act.facts["row"])
    page = unescape(care.get("/orders?number=" + first.entity["order_id"]))
    assert f"Refund of {money} requested" in page


def _guarded(person: Person, page: str) -> dict[str, str]:
    return {name: value for name, value in fields_of(person.get(page)).items() if name in ("csrf", "form", "shown")}


def _shown(person: Person, page: str) -> dict[str, str]:
    return {"shown": _guarded(person, page)["shown"]}


def _pass_as_a_new_process(one: Played) -> None:
    """Pass as the next run of Dagster or of the command line does: with the tables as they are on disk then."""
    one.app.mappings = load_mappings(one.app.settings.mappings_dir)
    one.passed(everything=True)
