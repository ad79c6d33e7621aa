"""People hear of exceptions over real HTTP: each stage once, one message a tick, nothing lost while a channel is down."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from sqlalchemy import text

from marketplace_returns.alerts.tick import LEASE_S
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.connection import transaction
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.outcomes import Confirmed, Rejected
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.alerts.receiver import Desk, Receiver, receiving
from marketplace_returns_tests.ledger.world import NOW, SHOP, Outside, decision, refund, shop

WORKER = [sys.executable, "-m", "marketplace_returns_tests.alerts.worker"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def desk(tmp_path: Path, receiver: Receiver) -> Iterator[Desk]:
    made = Desk(tmp_path, {"ops": {"url": receiver.url()}})
    yield made
    made.ledger.close()


def plan(order: str = "O1", exception_type: str = "DESPATCH_REJECTED", **more: Any) -> ExceptionPlan:
    """A high exception of operations, due after 8 hours unless said otherwise."""
    facts: dict[str, Any] = {"shop": SHOP, "entity": {"order_id": order}, "cause": "test", "message": "words", **more}
    return ExceptionPlan(type=exception_type, **facts)


def raised(ledger: Ledger, *plans: ExceptionPlan, shop: str = SHOP) -> None:
    ledger.raise_exceptions(shop, "test", plans)


@pytest.mark.proves("R22", "R53", "R67", "R71")
def test_each_stage_of_the_clock_is_told_once_and_then_that_it_is_over(desk: Desk, receiver: Receiver) -> None:
    raised(desk.ledger, plan(amount_minor=123_450, currency="GBP"))
    for hours in (0, 1, 3, 0, 2.5, 1.5, 2):  # the clock is 8 hours
        desk.after(hours)
    raised(desk.ledger)
    desk.tick()
    desk.tick()
    titles = [message.splitlines()[0] for message in receiver.messages()]
    of = "DESPATCH_REJECTED 1, asos_uk"
    assert titles == [
        f"HIGH: {of}: opened",
        f"HIGH: {of}: 50 % of its clock is used",
        f"HIGH: {of}: 80 % of its clock is used",
        f"HIGH: {of}: overdue",
        f"Recovered: {of}",
    ]
    first = receiver.messages()[0]
    for part in (
        "(order_id O1)",
        "Owner: operations. Due: Mon 05 Oct 2026 18:00 BST.",
        "Money at risk: 1,234.50 GBP.",
        "Do: Wrong pick: put it right with the warehouse",
        "Playbook: docs/playbooks.md#despatch_rejected",
        "Page: https://console.example.test/exceptions/1",
    ):
        assert part in first
    told = [each.facts["stage"] for each in desk.ledger.exception_history(1) if each.event == "alerted"]
    assert told == ["opened", "half", "most", "due", "ended"]


def test_what_is_opened_again_is_told_again(desk: Desk, receiver: Receiver) -> None:
    for number in range(2):
        raised(desk.ledger, plan())
        desk.after(number)
        raised(desk.ledger)
        desk.tick()
    assert [message.splitlines()[0].partition("asos_uk")[2] for message in receiver.messages()] == [
        ": opened",
        "",
        ": opened again (time 2)",
        "",
    ]
    assert [each.event for each in desk.ledger.exception_history(1) if each.event != "alerted"] == [
        "opened",
        "cleared",
        "opened again",
        "cleared",
    ]


@pytest.mark.proves("R53")
def test_a_refund_that_was_due_soon_and_is_overdue_now_has_not_recovered(desk: Desk, receiver: Receiver) -> None:
    def refunds(**by_order: str) -> None:
        raised(desk.ledger, *(plan(order, f"REFUND_{kind}") for order, kind in by_order.items()))

    refunds(O1="DUE_SOON", O2="DUE_SOON")
    desk.tick()
    refunds(O1="OVERDUE")
    desk.tick()
    refunds()
    desk.tick()
    desk.tick()
    first, second, third = receiver.messages()
    assert "2 high" in first
    assert "CRITICAL: 1 exception, 2 ended" in second.splitlines()[0]
    assert "REFUND_DUE_SOON 1, asos_uk (order_id O1): became REFUND_OVERDUE." in second
    assert "REFUND_DUE_SOON 2, asos_uk (order_id O2): recovered." in second
    assert "Recovered: 1." in second
    assert "Became worse: 1." in second
    assert third.splitlines()[0] == "Recovered: REFUND_OVERDUE 3, asos_uk"
    refunds(O3="DUE_SOON")
    desk.tick()
    desk.ledger.resolve(4, by="kim", note="care refunds it today")
    desk.tick()
    refunds(O3="OVERDUE")
    assert receiver.messages()[-1].splitlines()[0] == "Recovered: REFUND_DUE_SOON 4, asos_uk"


def test_a_write_that_is_to_be_tried_again_has_recovered_only_once_it_is_done(desk: Desk, receiver: Receiver) -> None:
    answers = [Rejected("400", "no", "mapping"), Rejected("400", "no", "mapping"), Confirmed("R1")]
    outside = {WriteKind.REFUND: Outside(answer=lambda _each: answers.pop(0))}
    desk.ledger.apply(decision(refund()), shop())
    for _ in range(3):
        drain(desk.ledger, shop(), outside, desk.clock, worker="w1")
        desk.after(0.1)
        for each in desk.ledger.exceptions():
            desk.ledger.retry(each.exception_id, by="kim")
        desk.after(0.1)
    assert [message.splitlines()[0].partition("asos_uk")[2] for message in receiver.messages()] == [
        ": opened",
        ": opened again (time 2)",
        "",
    ]
    assert receiver.messages()[-1].startswith("Recovered: ")


def test_a_refund_that_became_overdue_alone_is_told_so_in_one_line(tmp_path: Path, receiver: Receiver) -> None:
    channels = {"ops": {"url": receiver.url(), "severities": ["high"]}, "boss": {"url": receiver.url("boss")}}
    desk = Desk(tmp_path, channels)
    raised(desk.ledger, plan("O1", "REFUND_DUE_SOON"))
    desk.tick()
    raised(desk.ledger, plan("O1", "REFUND_OVERDUE"))
    desk.tick()
    assert receiver.messages()[-1].splitlines()[0] == "Worse: REFUND_DUE_SOON 1, asos_uk, became REFUND_OVERDUE"
    desk.ledger.close()


def test_what_nobody_was_told_of_ends_without_a_word(desk: Desk, receiver: Receiver) -> None:
    raised(desk.ledger, plan())
    raised(desk.ledger)
    desk.tick()
    assert receiver.messages() == []


@pytest.mark.proves("R20")
def test_a_storm_is_one_message_with_counts_and_the_ten_most_urgent(desk: Desk, receiver: Receiver) -> None:
    plans = [plan(f"O{n}", amount_minor=100, currency="GBP") for n in range(480)]
    plans += [plan(f"E{n}", "ACK_OVERDUE", amount_minor=50, currency="EUR") for n in range(20)]
    raised(desk.ledger, *plans)
    (told,) = desk.tick()
    desk.tick()
    assert told.sent == 500
    (message,) = receiver.messages()
    assert message.startswith("CRITICAL: 500 exceptions\n500 exceptions: 20 critical, 480 high; 0 overdue.")
    assert "Of type: DESPATCH_REJECTED 480, ACK_OVERDUE 20." in message
    assert "Money at risk: 10.00 EUR; 480.00 GBP." in message
    assert len(re.findall(r"Page: ", message)) == 10
    assert message.count("critical: ACK_OVERDUE") == 10


def test_each_channel_hears_of_its_owners_severities_and_shops(tmp_path: Path, receiver: Receiver) -> None:
    channels = {
        "finance": {"url": receiver.url("finance"), "owners": ["finance"]},
        "ops": {"url": receiver.url("ops"), "owners": ["operations"]},
        "loud": {"url": receiver.url("loud"), "severities": ["critical"]},
        "spain": {"url": receiver.url("spain"), "shops": ["asos_es"]},
    }
    desk = Desk(tmp_path, channels)
    raised(desk.ledger, plan("O1", "REFUND_UNKNOWN"), plan("O2", "ACK_OVERDUE"))
    raised(desk.ledger, plan("O3", shop="asos_es"), shop="asos_es")
    desk.tick()
    assert ["REFUND_UNKNOWN" in message for message in receiver.messages("finance")] == [True]
    assert ["ACK_OVERDUE" in message for message in receiver.messages("loud")] == [True]
    (spain,) = receiver.messages("spain")
    assert "asos_es" in spain
    assert "19:00 CEST" in spain
    (finance,) = desk.ledger.exceptions(types=["REFUND_UNKNOWN"])
    desk.ledger.assign(finance.exception_id, "operations", by="kim")
    desk.after(20)
    assert len(receiver.messages("finance")) == 1
    assert "REFUND_UNKNOWN" in receiver.messages("ops")[-1]


# SOURCE_STALE is high and integration's, REFUND_MANUAL_ADOPTED low and finance's, DESPATCH_REJECTED high and operations'.
@pytest.mark.parametrize(
    ("exception_type", "channels", "heard_by"),
    [
        ("SOURCE_STALE", {"ops": {"owners": ["operations"]}, "finance": {"owners": ["finance"]}}, {"ops", "finance"}),
        (
            "SOURCE_STALE",
            {"ops": {"owners": ["operations"]}, "finance": {"owners": ["finance"], "severities": ["low"]}},
            {"ops"},
        ),
        ("SOURCE_STALE", {"ops": {"owners": ["operations"]}, "spain": {"shops": ["asos_es"]}}, {"ops"}),
        ("SOURCE_STALE", {"ops": {"severities": ["low"]}, "spain": {"shops": ["asos_es"]}}, {"ops", "spain"}),
        (
            "REFUND_MANUAL_ADOPTED",
            {"ops": {"owners": ["operations"]}, "finance": {"owners": ["finance"], "severities": ["high"]}},
            {"ops"},
        ),
        ("DESPATCH_REJECTED", {"ops": {"owners": ["operations"]}, "finance": {"owners": ["finance"]}}, {"ops"}),
    ],
)
def test_what_no_channel_takes_goes_to_those_that_take_its_severity_or_to_all(
    tmp_path: Path,
    receiver: Receiver,
    exception_type: str,
    channels: dict[str, dict[str, Any]],
    heard_by: set[str],
) -> None:
    desk = Desk(tmp_path, {name: {"url": receiver.url(name), **its} for name, its in channels.items()})
    raised(desk.ledger, plan("O1", exception_type))
    desk.after(1)
    assert {name for name in channels if receiver.messages(name)} == heard_by


@pytest.mark.parametrize(
    ("owner", "heard_by"),
    [("anna", {"ops", "anna"}), ("ben", {"ops"}), ("finance", {"finance"}), ("operations", {"ops"})],
)
def test_what_is_assigned_to_a_person_is_heard_by_the_types_own_owner_too(
    tmp_path: Path, receiver: Receiver, owner: str, heard_by: set[str]
) -> None:
    owners = {"ops": "operations", "finance": "finance", "anna": "anna"}
    desk = Desk(tmp_path, {name: {"url": receiver.url(name), "owners": [whose]} for name, whose in owners.items()})
    raised(desk.ledger, plan())
    desk.ledger.assign(1, owner, by="kim")
    desk.tick()
    assert {name for name in owners if receiver.messages(name)} == heard_by


def test_a_snoozed_exception_is_silent_until_its_snooze_ends(desk: Desk, receiver: Receiver) -> None:
    raised(desk.ledger, plan())
    desk.tick()
    desk.ledger.snooze(1, NOW + timedelta(hours=20), by="kim", note="waits for the carrier")
    desk.after(19)
    assert len(receiver.messages()) == 1
    desk.after(1)
    desk.after(1)
    assert [message.splitlines()[0].rpartition(": ")[2] for message in receiver.messages()] == ["opened", "overdue"]


def test_a_snooze_brings_back_what_was_told_in_full_before_it(desk: Desk, receiver: Receiver) -> None:
    raised(desk.ledger, plan())
    desk.after(9)
    desk.ledger.snooze(1, NOW + timedelta(hours=12), by="kim", note="later")
    desk.tick()
    desk.after(3)
    desk.after(1)
    assert len(receiver.messages()) == 2


def test_what_ends_while_it_is_snoozed_is_over_for_who_heard_that_it_opened(desk: Desk, receiver: Receiver) -> None:
    raised(desk.ledger, plan())
    desk.tick()
    desk.ledger.snooze(1, NOW + timedelta(hours=20), by="kim", note="waits for the carrier")
    raised(desk.ledger, plan("quiet"))
    desk.ledger.snooze(2, NOW + timedelta(hours=20), by="kim", note="waits as well")
    raised(desk.ledger)
    desk.after(1)
    desk.after(21)
    of = "DESPATCH_REJECTED 1, asos_uk"
    assert [message.splitlines()[0] for message in receiver.messages()] == [f"HIGH: {of}: opened", f"Recovered: {of}"]


# -- digest and quiet hours -------------------------------------------------------------------------------------------


def test_low_waits_for_the_digest_and_medium_for_it_only_when_it_opens(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, {"ops": {"url": receiver.url()}}, digest_at="08:00", time_zone="Europe/London")
    desk.clock.move_to(datetime(2026, 10, 5, 7, 31, tzinfo=UTC))  # 08:31 in London: today's digest is had, and empty
    desk.tick()
    raised(desk.ledger, plan("low", "REFUND_MANUAL_ADOPTED"), plan("medium", "RECEIPT_UNEXPECTED"))  # 72 h, 48 h
    desk.tick()
    desk.after(22)
    assert receiver.messages() == []
    desk.after(1.5)
    (digest,) = receiver.messages()
    assert digest.startswith("MEDIUM: 2 exceptions\n2 exceptions: 1 medium, 1 low; 0 overdue.")
    desk.after(0.5)
    assert "RECEIPT_UNEXPECTED 2, asos_uk: 50 % of its clock" in receiver.messages()[1]
    desk.after(12)  # low is at 50 % and waits
    raised(desk.ledger)
    desk.tick()
    assert [message.splitlines()[0] for message in receiver.messages()[2:]] == [
        "Recovered: RECEIPT_UNEXPECTED 2, asos_uk",
    ]
    desk.after(12)
    assert receiver.messages()[3].startswith("Recovered: REFUND_MANUAL_ADOPTED 1")


@pytest.mark.parametrize(
    ("at", "is_sent"),
    [
        (datetime(2026, 10, 5, 20, 59, tzinfo=UTC), True),  # 21:59 in London
        (datetime(2026, 10, 5, 21, 0, tzinfo=UTC), False),
        (datetime(2026, 10, 5, 23, 30, tzinfo=UTC), False),  # past midnight there
        (datetime(2026, 10, 6, 5, 59, tzinfo=UTC), False),
        (datetime(2026, 10, 6, 6, 0, tzinfo=UTC), True),
        (datetime(2026, 10, 25, 6, 30, tzinfo=UTC), False),  # 06:30: clocks went back that night
        (datetime(2026, 10, 25, 7, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 29, 5, 59, tzinfo=UTC), False),  # 06:59: clocks went forward
        (datetime(2026, 3, 29, 6, 0, tzinfo=UTC), True),
    ],
)
def test_quiet_hours_go_by_the_wall_clock_over_midnight_and_clock_changes(
    tmp_path: Path, receiver: Receiver, at: datetime, is_sent: bool
) -> None:
    desk = Desk(tmp_path, {"ops": {"url": receiver.url()}}, quiet_hours="22:00-07:00", time_zone="Europe/London")
    desk.clock.move_to(at)
    raised(desk.ledger, plan())
    desk.tick()
    assert len(receiver.messages()) == is_sent


def test_critical_passes_quiet_hours_and_the_rest_is_summed_up_after_them(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, {"ops": {"url": receiver.url()}}, quiet_hours="22:00-07:00", time_zone="UTC")
    desk.clock.move_to(datetime(2026, 10, 5, 23, 0, tzinfo=UTC))
    raised(desk.ledger, plan("O1"), plan("O2"), plan("O3", "ACK_OVERDUE"))
    desk.tick()
    (loud,) = receiver.messages()
    assert loud.startswith("CRITICAL: ACK_OVERDUE")
    desk.after(7)
    desk.after(1)
    after = receiver.messages()[-1]
    assert "DESPATCH_REJECTED 1, asos_uk (order_id O1): overdue" in after
    assert "DESPATCH_REJECTED 2" in after


# -- a channel that is down -------------------------------------------------------------------------------------------


def test_a_channel_that_is_down_loses_nothing_and_says_so_elsewhere(tmp_path: Path, receiver: Receiver) -> None:
    channels = {
        "ops": {"url": receiver.url("ops"), "owners": ["operations"]},
        "tech": {"url": receiver.url("tech"), "owners": ["integration"]},
    }
    desk = Desk(tmp_path, channels)
    receiver.broken["ops"] = 503
    raised(desk.ledger, plan("gone"), plan("stays"))
    down, _ = desk.tick()
    assert (down.message, down.down_since) == ("it answered 503", NOW)
    (open_now,) = desk.ledger.exceptions(types=["SOURCE_STALE"])
    assert open_now.entity == {"alert_channel": "ops"}
    desk.tick()
    raised(desk.ledger, plan("stays"), plan("late"))
    desk.after(5)  # tried again, still down; both are past half of their clock
    assert desk.ledger.alert_channel("ops").failures == 2
    receiver.broken.clear()
    waits, _ = desk.tick()  # left alone until its time
    assert (waits.sent, waits.message) == (0, "it answered 503")
    desk.after(0.1)
    (backlog,) = receiver.messages("ops")
    assert "2 exceptions: 2 high" in backlog
    assert "Opened and ended while this channel could not be reached: 1." in backlog
    assert "(order_id stays): 50 % of its clock is used" in backlog
    assert desk.ledger.exceptions(types=["SOURCE_STALE"]) == []
    assert desk.ledger.alert_channel("ops").failures == 0
    desk.tick()
    assert len(receiver.messages("ops")) == 1
    assert "SOURCE_STALE 3, asos_es (alert_channel ops): opened" in receiver.messages("tech")[0]
    assert receiver.messages("tech")[-1].startswith("Recovered: SOURCE_STALE 3")


def test_a_failure_of_the_only_channel_that_takes_it_is_told_by_the_others(tmp_path: Path, receiver: Receiver) -> None:
    channels = {
        "ops": {"url": receiver.url("ops"), "owners": ["operations"]},
        "tech": {"url": receiver.url("tech"), "owners": ["integration"]},
    }
    desk = Desk(tmp_path, channels)
    receiver.broken["tech"] = 503
    raised(desk.ledger, plan(exception_type="STOCK_STALE"))
    desk.tick()
    desk.tick()
    assert "alert_channel tech" in receiver.messages("ops")[0]
    assert "STOCK_STALE" not in "".join(receiver.messages("ops"))


def test_a_channel_whose_server_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    with receiving() as first:
        port, url = first.server_port, first.url()
    desk = Desk(tmp_path, {"ops": {"url": url}})
    raised(desk.ledger, plan())
    (down,) = desk.tick()
    assert down.message == "it cannot be reached, or does not answer in time"
    with receiving(port) as back:
        desk.after(0.02)
        assert len(back.messages()) == 1


def test_a_channel_that_stays_down_is_tried_ever_more_seldom(desk: Desk, receiver: Receiver) -> None:
    receiver.broken["ops"] = 500
    raised(desk.ledger, plan())
    tries = []
    for minute in range(95):
        before = desk.ledger.alert_channel("ops").failures
        desk.tick()
        if desk.ledger.alert_channel("ops").failures > before:
            tries.append(minute)
        desk.clock.wait(60)
    assert tries == [0, 1, 3, 7, 15, 31, 61, 91]


def test_a_channel_without_its_address_is_told_by_its_variable(tmp_path: Path, receiver: Receiver) -> None:
    desk = Desk(tmp_path, {"ops": {}, "odd": {"url": "nonsense"}, "well": {"url": receiver.url("well")}})
    raised(desk.ledger, plan())
    missing, odd, well = desk.tick()
    assert "MARKETPLACE_RETURNS__ALERTS__CHANNELS__OPS__URL" in missing.message
    assert "MARKETPLACE_RETURNS__ALERTS__CHANNELS__ODD__URL" in odd.message
    assert "nonsense" not in odd.message
    assert well.is_in_order
    assert "DESPATCH_REJECTED 1" in receiver.messages("well")[0]


# -- two at once, and the dead ----------------------------------------------------------------------------------------


DATABASES = pytest.mark.parametrize("url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])


@DATABASES
def test_two_senders_at_once_tell_each_exception_once(
    tmp_path: Path, receiver: Receiver, url: str, request: pytest.FixtureRequest
) -> None:
    ledger_url = "" if url == "sqlite" else str(request.getfixturevalue("postgres_database"))
    first, second = (Desk(tmp_path, {"ops": {"url": receiver.url()}}, ledger_url) for _ in range(2))
    both_began = threading.Event()
    receiver.before = lambda: both_began.wait(5) and None
    raised(first.ledger, *(plan(f"O{n}") for n in range(50)))
    sender = threading.Thread(target=first.tick)
    sender.start()
    try:
        _wait_for(lambda: _claims(first) == 50)
        (told,) = second.tick()  # while the first is sending
    finally:
        both_began.set()
        sender.join()
    assert told.sent == 0
    assert len(receiver.messages()) == 1
    first.ledger.close()
    second.ledger.close()


def test_a_sender_that_dies_between_claim_and_sending_is_followed_by_another(desk: Desk, receiver: Receiver) -> None:
    raised(desk.ledger, plan())
    dying = subprocess.Popen(
        [*WORKER, str(desk.settings.data_dir), receiver.url()], env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    assert dying.wait(60) == -signal.SIGKILL
    assert receiver.messages() == []
    (meanwhile,) = desk.tick()
    assert meanwhile.sent == 0  # it may be at it yet
    (told,) = desk.after((LEASE_S + 1) / 3600)
    assert told.sent == 1
    desk.tick()
    assert len(receiver.messages()) == 1


def test_a_digest_that_died_is_sent_by_the_next_tick_and_not_tomorrow(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_arguments: object) -> str:
        raise KeyboardInterrupt

    desk = Desk(tmp_path, {"ops": {"url": receiver.url()}}, digest_at="08:00")
    raised(desk.ledger, plan("low", "REFUND_MANUAL_ADOPTED"))
    with monkeypatch.context() as patch:
        patch.setattr("marketplace_returns.alerts.tick.send", dies)
        with pytest.raises(KeyboardInterrupt):
            desk.tick()
    desk.tick()
    desk.after((LEASE_S + 1) / 3600)
    assert len(receiver.messages()) == 1


def _claims(desk: Desk) -> int:
    with transaction(desk.ledger._engine, is_reading=True) as connection:
        return int(connection.execute(text("SELECT count(*) FROM alert_notices")).scalar_one())


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come about within 5 s")


# -- what a message holds ---------------------------------------------------------------------------------------------


@pytest.mark.proves("R44")
def test_a_message_holds_no_words_of_a_source_and_nothing_that_mentions_or_links(
    desk: Desk, receiver: Receiver
) -> None:
    private = {"value": "Jane Doe, 1 High Street", "order_id": "<!channel> @here https://bad.example.test/x"}
    raised(desk.ledger, plan(entity=private, message="Jane Doe, jane@example.test, key abc", evidence={"a": "Jane"}))
    desk.tick()
    (message,) = receiver.messages()
    for word in ("Jane", "Street", "jane@", "key abc", "<!", "@here", "https://bad"):
        assert word not in message
    assert "order_id ??channel? ?here https:/?bad.example.test/x" in message


def test_mail_is_taken_by_a_mail_server(tmp_path: Path) -> None:
    came: list[str] = []

    class Inbox:
        async def handle_DATA(  # noqa: N802 - the server's own name
            self, _server: object, _session: object, envelope: Envelope
        ) -> str:
            came.append(envelope.content.decode() if isinstance(envelope.content, bytes) else "")
            return "250 taken"

    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Controller(Inbox(), hostname="127.0.0.1", port=port, ready_timeout=30)
    server.start()
    try:
        url = f"mailto://127.0.0.1:{port}/?from=alerts@example.test&to=ops@example.test&format=text"
        desk = Desk(tmp_path, {"mail": {"url": url}})
        raised(desk.ledger, plan())
        assert [told.sent for told in desk.tick()] == [1]
    finally:
        server.stop()
    (mail,) = came
    assert "To: ops@example.test" in mail
    assert "DESPATCH_REJECTED 1" in mail


def test_a_failed_job_is_told_once_a_day(desk: Desk, receiver: Receiver) -> None:
    def failed() -> None:
        about = {"shop": SHOP, "owner": "integration", "severity": "high", "about": "job asos_uk_work failed"}
        desk.ledger.note_alert(f"job/asos_uk_work/{desk.clock.now():%Y-%m-%d}", **about)

    for _ in range(3):
        failed()
        desk.after(1)
    assert [message.splitlines()[0] for message in receiver.messages()] == ["marketplace_returns: 1 failed job"]
    assert "job asos_uk_work failed, asos_uk" in receiver.messages()[0]
    desk.clock.wait(24 * 3600)
    failed()
    desk.tick()
    assert len(receiver.messages()) == 2
