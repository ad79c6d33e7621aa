"""Export and erasure at the command line: what is told, what is refused, and how it ends."""

from __future__ import annotations

import json
import stat

import pytest

from marketplace_returns.cli.context import opened
from marketplace_returns.lake.pull import take
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns_tests.cli.conftest import SHOP, Shell
from marketplace_returns_tests.lake.worlds import mirakl_order

ASKED = ("--by", "Ana Alves", "--note", "access request 7")
WHO = ("--by", "Ana Alves", "--note", "asked by the customer")


@pytest.fixture
def read(alone: Shell) -> Shell:
    """An installation that has read two orders that left, both of one purchase, and one that is still to be sent."""
    with opened() as app:
        orders = [mirakl_order(1), mirakl_order(2, commercial_id="ORDER-1"), mirakl_order(3, order_state="SHIPPING")]
        take(app.lake, "mirakl/order", SHOP, [orders], run_id="read", clock=app.clock, con=app.con)
    return alone


@pytest.mark.played
@pytest.mark.proves("R44")
def test_a_customer_is_exported_and_erased_once_by_somebody_who_says_why(read: Shell) -> None:
    out = read.folder / "customer.json"
    ended = read.run("privacy", "export", "ORDER-1-A", "--out", str(out), *ASKED, "--json")
    assert (ended.code, ended.document["personal"]) == (0, 1)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    document = json.loads(out.read_text())
    assert document["personal"][0]["fields"]["customer_notification_email"] == "order-1@notification.invalid"
    assert document["order"]["mirakl__orders"][0]["order_id"] == "ORDER-1-A"
    assert any("card" in words for words in document["not_held"])
    again = read.run("privacy", "export", "ORDER-1-A", "--out", str(out), *ASKED)
    assert (again.code, "is there already: name a new file" in again.err) == (2, True)

    other = read.folder / "again.json"
    assert read.run("privacy", "export", "ORDER-1-A", "--out", str(other)).code == 2, "nobody says who asks"
    assert not other.exists()
    exported = [each for each in json.loads(out.read_text())["history"] if each["event"] == "exported"]
    assert [(each["actor"], each["facts"]["note"]) for each in exported] == [("Ana Alves", "access request 7")]

    asked = read.run("privacy", "erase", "ORDER-1-A", *WHO)
    assert (asked.code, "add --yes" in asked.out) == (1, True)
    done = read.run("privacy", "erase", "ORDER-1-A", *WHO, "--yes", "--json")
    assert (done.code, done.document["is_first"], done.document["personal_objects"]) == (0, True, 1)
    assert "was erased before" in read.run("privacy", "erase", "ORDER-1-A", *WHO, "--yes").out
    assert read.run("audit", "verify").code == 0


def test_a_note_that_names_the_customer_is_told_of_and_ends_with_1(read: Shell) -> None:
    with opened() as app:
        entity = {"order_line_id": "ORDER-1-A-1"}
        plan = ExceptionPlan(shop=SHOP, type="ACK_OVERDUE", entity=entity, cause="late", message="It waits.")
        app.ledger.raise_exceptions(SHOP, "test", [plan])
    assert read.run("exceptions", "resolve", "1", "--by", "kim", "--note", "wrote to 1 Test Lane").code == 0
    done = read.run("privacy", "erase", "ORDER-1-A", *WHO, "--yes")
    assert (done.code, "1 events of the history hold words of the customer" in " ".join(done.out.split())) == (1, True)
    assert read.run("audit", "verify").code == 0


def test_what_cannot_be_erased_is_told_with_the_mend(read: Shell) -> None:
    for words, told in (
        (("ORDER-7", *WHO), "'ORDER-7' is no order, or number of an order"),
        (("ORDER-1", *WHO), "'ORDER-1' belongs to 2 orders (ORDER-1-A of asos_uk, ORDER-2-A of asos_uk)"),
        (("ORDER-3-A", *WHO), "order ORDER-3-A of asos_uk is still to be sent (SHIPPING)"),
        (("ORDER-1-A", "--note", "x"), "--by"),
        (("ORDER-1-A", "--by", "x"), "--note"),
        (("ORDER-1-A", "--yes", "--by", " ", "--note", "x"), "erasing needs --by"),
        (("ORDER-1-A", "--shop", "nowhere", *WHO), "nowhere"),
    ):
        ended = read.run("privacy", "erase", *words)
        assert (ended.code, told in ended.err) == (2, True), ended.err
    assert read.run("privacy", "erase", "ORDER-3-A", *WHO, "--yes", "--force").code == 0
