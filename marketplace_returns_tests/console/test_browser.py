"""A real browser at the console: people of each role work, on a wide page and on a phone; pictures are kept (``browsing``)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.console.roles import Role
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.outcomes import Rejected
from marketplace_returns.ledger.periods import PeriodState
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.settings import Settings, WriteKind
from marketplace_returns_tests.console.browsing import NEEDS_CHROMIUM, PHONE, WIDE, at_work, opened, picture_folder
from marketplace_returns_tests.console.served import PASSWORD, Served, served
from marketplace_returns_tests.ledger.world import SHOP, Outside, acceptance, decision, problem, refund, shop
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, make_world

pytestmark = [pytest.mark.played, NEEDS_CHROMIUM]
READ_AT = datetime(2026, 12, 2, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with opened() as running:
        yield running


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A month that was read to its end and can be closed, and a queue with a refused refund in it."""
    folder = tmp_path_factory.mktemp("browser")
    world = make_world(folder / "data", lines=60, tax_mode="TAX_EXCLUDED")
    world.con.close()
    settings: Settings = world.settings.model_copy(update={"mappings_dir": Path("mappings").resolve()})
    clock = FixedClock(READ_AT)
    app = App.open(settings, clock)
    for stream in streams_of(app.shop(SHOP)):
        app.ledger.set_cursor(SHOP, stream.name, READ_AT)
    problems = [problem(f"GB-10{number}-A", amount_minor=1250 * number, currency="GBP") for number in range(1, 31)]
    app.ledger.apply(decision(refund("L1#1", order="GB-1-A"), exceptions=problems), shop())
    refusing = Outside(
        answer=lambda _each: Rejected("400", "the reason RE99 is unknown", "mapping", "REFUND_REJECTED_REASON")
    )
    drain(app.ledger, shop(), {WriteKind.REFUND: refusing}, clock, worker="w1")
    app.ledger.apply(decision(acceptance("GB-2-A"), lane="accept_orders"), shop())
    app.close()
    clock.wait(5 * 3600)
    with served(settings, clock) as running:
        yield running


def is_as_wide_as_the_screen(page: object) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))  # type: ignore[attr-defined]


@pytest.mark.proves("R22")
def test_operations_work_an_exception_to_its_end(browser: object, console: Served, pictures: Path) -> None:
    with at_work(browser, console, Role.OPERATIONS, WIDE) as page:
        page.screenshot(path=pictures / "queue_wide.png")
        page.get_by_label("Type").select_option("REFUND_REJECTED_REASON")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name="REFUND_REJECTED_REASON").click()
        page.get_by_text("the reason RE99 is unknown").first.wait_for()
        page.screenshot(path=pictures / "exception_wide.png", full_page=True)
        page.locator("#retry-note").fill("the reason is mapped now")
        page.get_by_role("button", name="Retry").click()
        page.get_by_role("status").get_by_text("is PLANNED again").wait_for()
    with Ledger.open(console.settings, console.clock) as ledger:
        (intent,) = ledger.intents(kinds=[WriteKind.REFUND])
        assert intent.state is State.PLANNED
        outside = Outside()
        for _ in range(2):
            drain(ledger, shop(), {WriteKind.REFUND: outside}, console.clock, worker="w2")
        assert outside.sent == ["L1#1"]
        assert not ledger.exceptions(types=["REFUND_REJECTED_REASON"])
        acts = [(each.event, each.actor) for each in ledger.last_acts(limit=50) if each.subject.startswith("exception")]
        assert ("retry", "operations.person") in acts


def test_care_works_many_on_a_phone_by_keyboard(browser: object, console: Served, pictures: Path) -> None:
    with at_work(browser, console, Role.CARE, PHONE, scheme="dark") as page:
        assert is_as_wide_as_the_screen(page)
        page.screenshot(path=pictures / "queue_phone_dark.png")
        page.get_by_role("link", name="Months").wait_for(state="detached")
        for box in page.get_by_role("checkbox").all()[:2]:
            box.focus()
            page.keyboard.press("Space")
        page.locator("#note").focus()
        page.keyboard.type("the customer was told")
        page.get_by_role("button", name="Resolve").focus()
        page.screenshot(path=pictures / "bulk_phone_dark.png")
        page.keyboard.press("Enter")
        page.get_by_role("status").get_by_text("2 exceptions: resolved.").wait_for()
        page.goto("/exceptions?shown=resolved")
        page.get_by_text("by care.person: the customer was told").first.wait_for()
        page.locator(".what a").first.click()
        assert is_as_wide_as_the_screen(page)
        page.screenshot(path=pictures / "exception_phone_dark.png", full_page=True)
        page.goto("/account")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"


@pytest.mark.proves("R111")
def test_two_people_close_and_sign_a_month(browser: object, console: Served, pictures: Path) -> None:
    with at_work(browser, console, Role.FINANCE, WIDE) as page:
        page.get_by_role("link", name="Months").click()
        page.screenshot(path=pictures / "months_wide.png")
        page.get_by_role("link", name=str(OCTOBER)).click()
        page.get_by_role("button", name="Close for review").click()
        page.get_by_role("status").get_by_text("is closed").wait_for()
        page.get_by_text("You closed it: somebody else has to sign it.").wait_for()
        page.screenshot(path=pictures / "month_wide.png", full_page=True)
    with at_work(browser, console, Role.ADMIN, PHONE) as page:
        page.goto(f"/periods/{SHOP}/{OCTOBER}")
        assert is_as_wide_as_the_screen(page)
        page.screenshot(path=pictures / "month_phone.png", full_page=True)
        page.locator("#sign-reason").fill("refunds by hand are agreed")
        page.get_by_role("button", name="Sign", exact=True).click()
        page.get_by_role("status").get_by_text("is SIGNED").wait_for()
        page.get_by_role("button", name="Lock").click()
        page.get_by_role("status").get_by_text("is LOCKED").wait_for()
    with Ledger.open(console.settings, console.clock) as ledger:
        period = ledger.period(SHOP, OCTOBER)
        assert (period.state, period.prepared_by, period.approved_by) == (
            PeriodState.LOCKED,
            "finance.person",
            "admin.person",
        )
        acts = [(each.event, each.actor) for each in ledger.last_acts(limit=50) if each.subject.startswith("month")]
        assert acts == [("locked", "admin.person"), ("signed", "admin.person"), ("review", "finance.person")]


def test_admin_holds_a_write_back_and_reads_the_history(browser: object, console: Served, pictures: Path) -> None:
    with at_work(browser, console, Role.ADMIN, WIDE) as page:
        page.get_by_role("link", name="Writes").click()
        page.get_by_label("Kind of write").select_option("refund")
        page.get_by_label("At most").select_option("shadow")
        page.get_by_label("Reason").fill("until the reasons are mapped")
        page.get_by_role("button", name="Switch").click()
        page.get_by_role("status").get_by_text("is held back to shadow").wait_for()
        page.screenshot(path=pictures / "writes_wide.png", full_page=True)
        page.get_by_role("link", name="History").click()
        page.get_by_role("link", name="Prove it now").click()
        page.get_by_text("yes").first.wait_for()
        page.screenshot(path=pictures / "history_wide.png")
    with at_work(browser, console, Role.ADMIN, PHONE) as page:
        for path in ("/writes", "/history", "/periods", "/account", "/playbooks", "/exceptions"):
            page.goto(path)
            assert is_as_wide_as_the_screen(page), path
            page.screenshot(path=pictures / f"{path[1:]}_phone.png")
        page.set_viewport_size({"width": 380, "height": 800})
        assert is_as_wide_as_the_screen(page)


TABLE_OF = {
    Role.FINANCE: "transaction types",
    Role.OPERATIONS: "order coverage",
    Role.CARE: "trends",
    Role.WAREHOUSE: "order coverage",
    Role.ADMIN: "commission credits",
}


@pytest.mark.proves("R20", "R42")
@pytest.mark.parametrize("role", Role)
def test_each_role_looks_at_its_tables_and_ticks_its_checks(
    browser: object, console: Served, pictures: Path, role: Role
) -> None:
    with at_work(browser, console, role, WIDE) as page:
        page.get_by_role("link", name="Tables", exact=True).click()
        page.screenshot(path=pictures / f"tables_{role}_wide.png", full_page=True)
        page.get_by_role("link", name=TABLE_OF[role], exact=True).focus()
        page.keyboard.press("Enter")
        page.get_by_text("As it was at").wait_for()
        page.screenshot(path=pictures / f"table_{role}_wide.png", full_page=True)
        if page.get_by_role("columnheader").count():
            page.get_by_role("columnheader").last.get_by_role("link").focus()
            page.keyboard.press("Enter")
            page.locator("th[aria-sort=ascending]").wait_for()
            with page.expect_download() as taken:
                page.get_by_role("link", name="Take away as CSV").click()
            assert taken.value.suggested_filename.startswith(f"{SHOP}-{TABLE_OF[role].replace(' ', '_')}-")
        page.get_by_role("link", name="Checklist", exact=True).click()
        page.screenshot(path=pictures / f"checklist_{role}_wide.png", full_page=True)
        notes = page.locator("form.tick input[name=note]")
        left = notes.count()
        notes.first.focus()
        page.keyboard.type("looked at and all well")
        page.keyboard.press("Enter")
        page.get_by_role("status").get_by_text("Ticked: ").wait_for()
        page.get_by_text("looked at and all well").first.wait_for()
        assert notes.count() == left
        page.screenshot(path=pictures / f"ticked_{role}_wide.png", full_page=True)
    with at_work(browser, console, role, PHONE, scheme="dark" if role is Role.FINANCE else "light") as page:
        for path in ("/tables", f"/tables/{TABLE_OF[role].replace(' ', '_')}", "/checklist"):
            page.goto(path)
            page.get_by_role("heading", level=1).wait_for()
            assert is_as_wide_as_the_screen(page), path
            page.screenshot(path=pictures / f"{path.strip('/').replace('/', '_')}_{role}_phone.png", full_page=True)


def test_the_log_in_page_tells_what_is_wrong(browser: object, console: Served, pictures: Path) -> None:
    context = browser.new_context(viewport=PHONE, base_url=console.base_url)  # type: ignore[attr-defined]
    context.set_default_timeout(120_000)  # a close is waited for, on a busy machine too
    page = context.new_page()
    page.goto("/periods")
    page.get_by_label("Name").fill("finance.person")
    page.get_by_label("Password").fill("a wrong password")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").get_by_text("Name or password are wrong.").wait_for()
    page.screenshot(path=pictures / "log_in_phone.png")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Months").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Log in").wait_for()  # nothing of a session is shown again
    context.close()
