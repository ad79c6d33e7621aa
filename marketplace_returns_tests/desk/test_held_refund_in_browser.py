"""A real browser, from the link in an alert to the proof: a held refund, the word that held it, and the refund sent once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace_returns.console.roles import Role
from marketplace_returns.mappings import load_mappings
from marketplace_returns.money import to_decimal
from marketplace_returns_tests.console.browsing import NEEDS_CHROMIUM, PHONE, WIDE, at_work, opened, picture_folder
from marketplace_returns_tests.console.served import Served, served
from marketplace_returns_tests.desk.held_refunds import held_refunds
from marketplace_returns_tests.end_to_end.played import Played
from marketplace_returns_tests.orchestration.conftest import SHOP

pytestmark = [pytest.mark.played, NEEDS_CHROMIUM]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Played]:
    with held_refunds(tmp_path) as playing:
        yield playing


@pytest.fixture
def console(one: Played) -> Iterator[Served]:
    with served(one.app.settings, one.clock) as running:
        yield running


@pytest.mark.proves("R10", "R24")
def test_from_the_alert_s_link_to_the_refund_that_went_out_once(one: Played, console: Served, tmp_path: Path) -> None:
    pictures = picture_folder(tmp_path / "pictures")
    held = one.app.ledger.exceptions(shop=SHOP, types=["REASON_UNMAPPED"])
    first = next(each for each in held if each.cause.startswith("refund "))
    reason, link = first.cause.removeprefix("refund "), f"/exceptions/{first.exception_id}"
    money = f"{to_decimal(first.amount_minor, first.currency):,} {first.currency}"
    with opened() as browser:
        with at_work(browser, console, Role.OPERATIONS, WIDE) as page:
            page.goto(link)
            page.get_by_role("heading", name="REASON_UNMAPPED").wait_for()
            page.screenshot(path=pictures / "held_exception.png", full_page=True)
            page.get_by_role("link", name=first.entity["order_id"], exact=True).click()
            page.get_by_text("held by REASON_UNMAPPED").first.wait_for()
            page.get_by_role("link", name="Mappings").click()
            page.get_by_role("link", name=f"Add a row for {reason} (refund)").wait_for()
            page.screenshot(path=pictures / "held_mappings.png", full_page=True)
            page.get_by_role("link", name=f"Add a row for {reason} (refund)").click()
            page.get_by_label("target code").fill("17")
            page.get_by_role("button", name="Preview").click()
            page.get_by_text("writes are planned").wait_for()
            assert money in page.content()
            page.screenshot(path=pictures / "held_preview.png", full_page=True)
            assert one.sandbox.truth()["facts"]["refunds"] == 0
            page.get_by_label("Why").fill("as agreed with the marketplace")
            page.get_by_role("button", name="Add the row").click()
            page.get_by_role("status").get_by_text("The row is in reasons.csv").wait_for()
            for _ in range(2):
                one.app.mappings = load_mappings(one.app.settings.mappings_dir)
                one.passed(everything=True)
            assert one.sandbox.truth()["facts"]["refunds"] == 1
            page.goto(link)
            page.get_by_text("resolved").first.wait_for()
            page.screenshot(path=pictures / "held_resolved.png", full_page=True)
        with at_work(browser, console, Role.CARE, PHONE) as page:
            page.goto("/orders")
            page.get_by_label("Number").fill(first.entity["return_id"])
            page.keyboard.press("Enter")
            page.get_by_text(f"Refund of {money} requested").first.wait_for()
            page.screenshot(path=pictures / "held_order_phone.png", full_page=True)
