"""What people see of exceptions, and that every act is the ledger's own, in the history, done once."""

from __future__ import annotations

import re

import pytest

from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.states import State
from marketplace_returns_tests.console.served import Person, told

REASON = "a <script>alert(1)</script> reason"


def shown(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<a href="/exceptions/(\d+)">', page)]


def actors(ledger: Ledger, exception_id: int) -> list[tuple[str, str]]:
    happened = ledger.exception_history(exception_id)
    return [(each.event, each.actor) for each in happened if each.subject == f"exception {exception_id}"]


@pytest.mark.proves("R22")
def test_the_queue_is_in_the_order_of_the_clocks_and_filtered(operations: Person, ledger: Ledger) -> None:
    everything = operations.get("/exceptions")
    assert shown(everything) == [each.exception_id for each in ledger.exceptions()]
    (refused,) = ledger.exceptions(types=["REFUND_REJECTED_REASON"])
    assert shown(operations.get("/exceptions?type=REFUND_REJECTED_REASON")) == [refused.exception_id]
    assert shown(operations.get("/exceptions?owner=operations&severity=critical&text=O12")) == [
        each.exception_id for each in ledger.exceptions() if each.entity.get("order_id") == "O12"
    ]
    assert shown(operations.get(f"/exceptions?text={refused.exception_id}")).count(refused.exception_id) == 1
    assert shown(operations.get("/exceptions?shop=nowhere")) == []
    assert shown(operations.get("/exceptions?text=%25")) == []
    assert "There is no such list" not in everything
    assert "no such list" in told(operations.get("/exceptions?shown=x", status=400))


@pytest.mark.proves("R22")
def test_an_exception_shows_its_write_its_error_word_for_word_and_its_playbook(
    operations: Person, ledger: Ledger
) -> None:
    (refused,) = ledger.exceptions(types=["REFUND_REJECTED_REASON"])
    page = operations.get(f"/exceptions/{refused.exception_id}")
    for words in (
        "the reason &lt;b&gt;RE01&lt;/b&gt; is unknown",
        "REJECTED",
        "10.00 GBP",
        "Fixed when",
        "L1#1",
        "What is sent",
    ):
        assert words in page, words
    assert "<b>RE01" not in page
    happened = ledger.exception_history(refused.exception_id)
    own = f"exception {refused.exception_id}"
    assert [(each.event, each.subject == own) for each in happened] == [
        ("planned", False),
        ("sending", False),
        ("answered", False),
        ("opened", True),
    ]
    told_of = re.findall(r"<strong>([^<]*)</strong>", page.partition("What happened</h2>")[2].partition("</ol>")[0])
    assert told_of == [each.event for each in happened]
    assert "There is no exception 999." in told(operations.get("/exceptions/999", status=404))
    assert "nothing here" in operations.get("/exceptions/x", status=404)


def test_what_people_do_is_the_ledgers_and_in_the_history(operations: Person, ledger: Ledger) -> None:
    (first, *_) = ledger.exceptions(types=["ACK_OVERDUE"])
    page = f"/exceptions/{first.exception_id}"
    assert "now warehouse's" in operations.did(f"{page}/act", page, do="assign", owner="warehouse", note=REASON)
    assert "quiet until 2026-10-09" in operations.did(f"{page}/act", page, do="snooze", until="2026-10-09", note=REASON)
    assert "resolved" in operations.did(f"{page}/act", page, do="resolve", note=REASON)
    (after,) = ledger.exceptions(exception_id=first.exception_id, is_open=None)
    assert after.owner == "warehouse"
    assert after.resolution == f"by operations.person: {REASON}"
    assert actors(ledger, first.exception_id) == [("opened", "refunds")] + [
        (event, "operations.person") for event in ("assign", "snooze", "resolve")
    ]
    seen = operations.get(page)
    assert "&lt;script&gt;" in seen
    assert "<script" not in seen
    again = operations.send(f"{page}/act", "/account", do="resolve", note="once more")
    assert again.status_code == 400
    assert "was resolved" in told(again.text)
    assert all(chain.broken is None for chain in ledger.verify_history())


def test_a_form_that_is_sent_twice_acts_once(operations: Person, ledger: Ledger) -> None:
    (first, *_) = ledger.exceptions(types=["ACK_OVERDUE"])
    page = operations.get(f"/exceptions/{first.exception_id}")
    fields: dict[str, str | list[str]] = dict(re.findall(r'name="(csrf|form)" value="([^"]*)"', page))
    fields |= {"do": "assign", "owner": "finance"}
    answers = [operations.post(f"/exceptions/{first.exception_id}/act", fields) for _ in range(2)]
    assert [each.status_code for each in answers] == [303, 409]
    assert "not done twice" in answers[1].text
    assert actors(ledger, first.exception_id).count(("assign", "operations.person")) == 1


def test_many_are_worked_at_once_all_or_none(care: Person, ledger: Ledger) -> None:
    chosen = [str(each.exception_id) for each in ledger.exceptions(types=["ACK_OVERDUE"])][2:5]
    ledger.resolve(int(chosen[0]), by="kim", note="done elsewhere")
    back = "/exceptions?owner=operations"
    said = {"do": "resolve", "note": "handled by phone", "back": back}
    refused = care.send("/exceptions/act", back, chosen=chosen, **said)
    assert refused.status_code == 400
    assert f"Exception {chosen[0]} was resolved" in told(refused.text)
    assert all(ledger.exceptions(exception_id=int(each)) for each in chosen[1:])
    answer = care.send("/exceptions/act", back, chosen=chosen[1:], **said)
    assert answer.headers["location"] == back
    assert "2 exceptions: resolved." in told(care.get(back))
    for each in chosen[1:]:
        assert actors(ledger, int(each))[-1] == ("resolve", "care.person")
    assert "no exception was chosen" in told(care.send("/exceptions/act", back, do="resolve", note="x").text)


def test_writes_are_retried_together_by_who_may(care: Person, operations: Person, ledger: Ledger) -> None:
    (refused,) = ledger.exceptions(types=["REFUND_REJECTED_REASON"])
    back, chosen = "/exceptions", [str(refused.exception_id)]
    assert 'value="retry"' not in care.get(back)
    answer = care.send("/exceptions/act", back, do="retry", back=back, chosen=chosen)
    assert answer.status_code == 403
    (other,) = ledger.exceptions(types=["ACK_OVERDUE"])[:1]
    both = operations.send("/exceptions/act", back, do="retry", back=back, chosen=[*chosen, str(other.exception_id)])
    assert "belongs to no write" in told(both.text)
    assert 'value="retry"' in operations.get(back)
    assert actors(ledger, refused.exception_id)[-1][0] != "retry"


def test_a_retry_goes_on_with_the_write_and_sends_nothing(operations: Person, ledger: Ledger) -> None:
    (refused,) = ledger.exceptions(types=["REFUND_REJECTED_REASON"])
    page = f"/exceptions/{refused.exception_id}"
    assert "is PLANNED again" in operations.did(f"{page}/retry", page, note="mapping mended")
    (intent,) = ledger.intents(intent_ids=[refused.intent_id])
    assert intent.state is State.PLANNED
    assert intent.attempt_count == 1
    (late, *_) = ledger.exceptions(types=["ACK_OVERDUE"])
    answer = operations.send(f"/exceptions/{late.exception_id}/retry", "/account")
    assert "belongs to no write" in told(answer.text)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "resolve", "note": "  "}, "the reason is empty"),
        ({"do": "resolve", "note": "x" * 1001}, "longer than 1000"),
        ({"do": "assign", "owner": ""}, "the new owner is empty"),
        ({"do": "snooze", "until": "2026-10-01", "note": "x"}, "not after today"),
        ({"do": "snooze", "until": "tomorrow", "note": "x"}, "is not a day"),
        ({"do": "snooze", "until": "2099-01-01", "note": "x"}, "too far away"),
        ({"do": "delete"}, "nothing that can be done"),
        ({"do": "resolve", "note": "a\0b"}, "cannot be written"),
    ],
)
def test_a_mistake_gets_one_sentence_and_changes_nothing(
    operations: Person, ledger: Ledger, fields: dict[str, str], sentence: str
) -> None:
    before = ledger.exceptions()
    answer = operations.send(f"/exceptions/{before[0].exception_id}/act", "/account", **fields)
    assert answer.status_code == 400
    assert sentence in told(answer.text)
    assert ledger.exceptions() == before


def test_playbooks_are_shown_and_lead_to_each_other(care: Person) -> None:
    page = care.get("/playbooks")
    assert 'id="ack_overdue"' in page
    assert 'href="/playbooks#how-to-go-on-with-a-write"' in page
    assert 'id="how-to-go-on-with-a-write"' in page
