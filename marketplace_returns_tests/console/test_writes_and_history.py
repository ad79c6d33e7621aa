"""Holding writes back, and the history of what people did."""

from __future__ import annotations

import re

import pytest

from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.orchestration.app import App
from marketplace_returns.settings import Switches, WriteKind, WriteMode, lesser
from marketplace_returns_tests.console.served import PASSWORD, Person, Served, told
from marketplace_returns_tests.ledger.world import SHOP, Outside, acceptance, decision, shop

ACCEPT = WriteKind.ACCEPT_ORDER


def switch(admin: Person, kind: WriteKind, mode: str, reason: str = "the marketplace asked") -> str:
    return admin.did(f"/writes/{SHOP}", "/writes", kind=kind, mode=mode, reason=reason)


@pytest.mark.proves("R115")
def test_a_kind_that_is_held_back_is_not_sent_and_goes_on_when_let_go(
    admin: Person, operations: Person, ledger: Ledger, console: Served
) -> None:
    ledger.apply(decision(*(acceptance(f"A{n}") for n in range(6)), lane="accept_orders"), shop())
    switches = Switches(console.settings, ledger.held_modes)
    outside = Outside(batch_size=2)

    def sends() -> int:
        before = len(outside.sent)
        mode_of = lambda kind: switches.mode(SHOP, kind)  # noqa: E731
        drain(ledger, shop(), {ACCEPT: outside}, console.clock, worker="w", limit=2, mode_of=mode_of)
        return len(outside.sent) - before

    assert sends() == 2
    assert "is held back to off" in switch(admin, ACCEPT, "off")
    assert sends() == 0
    assert "held back to <strong>off</strong> by admin.person" in operations.get("/writes")
    outside.on_send = lambda _: ledger.hold_write(SHOP, ACCEPT, WriteMode.OFF, by="kim", reason="in the midst")
    assert "not held back any more" in switch(admin, ACCEPT, "live")
    outside.batch_size = 1
    assert sends() == 1  # held back while it ran: the next call of the same run does not begin
    switch(admin, ACCEPT, "live")
    assert [(each.event, each.actor) for each in ledger.last_acts(limit=4)] == [
        ("let_go", "admin.person"),
        ("held", "kim"),
        ("let_go", "admin.person"),
        ("held", "admin.person"),
    ]


@pytest.mark.proves("R115")
def test_nothing_is_made_live_that_the_settings_hold_back(admin: Person, console: Served, ledger: Ledger) -> None:
    assert "The settings keep it shadow" in switch(admin, WriteKind.PUSH_STOCK, "live")
    assert Switches(console.settings, ledger.held_modes).mode(SHOP, WriteKind.PUSH_STOCK) is WriteMode.SHADOW
    order = (WriteMode.OFF, WriteMode.SHADOW, WriteMode.LIVE)
    for one in order:
        for other in order:
            assert order.index(lesser(one, other)) == min(order.index(one), order.index(other))


def test_a_run_that_begins_plans_by_what_is_held_back(admin: Person, console: Served) -> None:
    switch(admin, WriteKind.REFUND, "shadow")
    app = App.open(console.settings, console.clock)
    try:
        assert app.shop(SHOP).write_mode(WriteKind.REFUND) is WriteMode.SHADOW
        assert app.shop(SHOP).write_mode(ACCEPT) is WriteMode.LIVE
        switch(admin, WriteKind.REFUND, "live")
        assert app.switches.mode(SHOP, WriteKind.REFUND) is WriteMode.LIVE
    finally:
        app.close()


def test_a_switch_needs_a_reason_a_kind_and_a_shop(admin: Person, ledger: Ledger) -> None:
    before = ledger.held_writes()
    for path, fields, status, words in (
        (f"/writes/{SHOP}", {"kind": "refund", "mode": "off", "reason": " "}, 400, "the reason is empty"),
        (f"/writes/{SHOP}", {"kind": "", "mode": "off", "reason": "x"}, 400, "choose a kind"),
        ("/writes/nowhere", {"kind": "refund", "mode": "off", "reason": "x"}, 404, "no shop nowhere"),
    ):
        answer = admin.send(path, "/writes", **fields)
        assert (answer.status_code, words in told(answer.text)) == (status, True)
    assert ledger.held_writes() == before


@pytest.mark.proves("R113")
def test_the_history_names_who_did_what_and_is_proven_when_asked(
    finance: Person, admin: Person, ledger: Ledger
) -> None:
    (first, *_) = ledger.exceptions()
    for number in range(60):
        ledger.assign(first.exception_id, "warehouse", by=f"kim{number}", note=f"note {number}")
    page = finance.get("/history")
    assert "not asked" in page
    assert '<span class="tag green">yes</span>' in finance.get("/history?prove=1")
    seen = re.findall(r'<th scope="row">(kim\d+)</th>', page)
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older
    seen += re.findall(r'<th scope="row">(kim\d+)</th>', finance.get(older[1]))
    assert seen == [f"kim{number}" for number in reversed(range(60))]
    assert "begin at the first" in told(finance.get("/history?before=x", status=400))
    assert "as finance" in admin.get(older[1]) or "as finance" in page


def test_a_password_is_changed_by_who_knows_the_old_one(console: Served) -> None:
    console.accounts.add("zoe", "care", PASSWORD, by="test")
    zoe, elsewhere = Person(console.base_url), Person(console.base_url)
    for person in (zoe, elsewhere):
        assert person.log_in("zoe").status_code == 303
    new = "another long phrase"
    for fields, words in (
        ({"old": "not that", "new": new, "again": new}, "old password is wrong"),
        ({"old": PASSWORD, "new": new, "again": f"{new}."}, "not the same"),
        ({"old": PASSWORD, "new": "short", "again": "short"}, "12 to 256"),
    ):
        assert words in told(zoe.send("/account/password", "/account", **fields).text)
    assert "is changed" in zoe.did("/account/password", "/account", old=PASSWORD, new=new, again=new)
    assert elsewhere.http.get("/account").status_code == 303
    assert elsewhere.log_in("zoe").status_code == 401
    assert elsewhere.log_in("zoe", new).status_code == 303
