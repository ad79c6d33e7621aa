"""``alerts`` and acts on many exceptions, as a person types them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace_returns.cli.context import opened
from marketplace_returns_tests.alerts.receiver import receiving
from marketplace_returns_tests.cli.conftest import START, Shell
from marketplace_returns_tests.ledger.world import problem

VARIABLE = "MARKETPLACE_RETURNS__ALERTS__CHANNELS__{}__URL"
CHANNELS = (
    '[alerts]\ndigest_at = "08:30"\n[alerts.channels.ops_chat]\n[alerts.channels.finance]\nowners = ["finance"]\n\n'
)


def with_channels(shell: Shell) -> None:
    text = shell.config.read_text()
    shell.config.write_text(text.replace("[shops.asos_uk]", f"{CHANNELS}[shops.asos_uk]", 1))


def test_alerts_test_says_of_every_channel_what_happened(alone: Shell) -> None:
    with receiving() as receiver:
        assert alone.run("alerts", "test", "--json").code == 2  # no channel yet
        with_channels(alone)
        missing = alone.run("alerts", "test")
        assert missing.code == 2
        assert "MARKETPLACE_RETURNS__ALERTS__CHANNELS__OPS_CHAT__URL" in missing.out.replace("\n", "").replace(" ", "")
        for name in ("ops_chat", "finance"):
            alone.secrets[name] = receiver.url(f"{name}-token")
            alone.set(VARIABLE.format(name.upper()), alone.secrets[name])
        assert alone.run("alerts", "test").code == 0
        assert [len(receiver.messages(f"{name}-token")) for name in ("ops_chat", "finance")] == [1, 1]
        receiver.broken["finance-token"] = 403
        one = alone.run("alerts", "test", "--json")
        assert one.code == 1
        assert [(each["channel"], each["sent"], each["message"]) for each in one.document["channels"]] == [
            ("ops_chat", 1, ""),
            ("finance", 0, "it answered 403"),
        ]


def test_alerts_test_names_the_owners_that_have_no_channel(alone: Shell) -> None:
    with receiving() as receiver:
        with_channels(alone)
        for name in ("OPS_CHAT", "FINANCE"):
            alone.set(VARIABLE.format(name), receiver.url(name))
        assert alone.run("alerts", "test", "--json").document["owners_without_channel"] == {}  # one takes everybody's
        alone.change("[alerts.channels.ops_chat]", '[alerts.channels.ops_chat]\nowners = ["operations", "warehouse"]')
        told = alone.run("alerts", "test", "--json")
        assert told.code == 0
        assert told.document["owners_without_channel"] == {"asos_uk": ["customer_experience", "integration"]}
        shown = " ".join(alone.run("alerts", "test").out.split())
        assert "asos_uk: no channel takes the alerts of customer_experience, integration;" in shown


def test_alerts_send_tells_what_is_due_and_ends_with_one_while_a_channel_is_down(alone: Shell) -> None:
    nothing = alone.run("alerts", "send", "--json")
    assert (nothing.code, nothing.document) == (0, {"channels": []})
    with receiving() as receiver:
        with_channels(alone)
        for name in ("OPS_CHAT", "FINANCE"):
            alone.set(VARIABLE.format(name), receiver.url(name))
        with opened() as app:
            app.ledger.raise_exceptions("asos_uk", "test", [problem()])
        receiver.broken["OPS_CHAT"] = 500
        assert alone.run("alerts", "send").code == 1
        alone.clock.wait(61)
        receiver.broken.clear()
        sent = alone.run("alerts", "send", "--json")
        assert sent.code == 0
        channels = sent.document["channels"]
        assert [each["channel"] for each in channels] == ["ops_chat", "finance"]
        assert channels[0]["sent"] == 1  # finance may hear of the failure in between: nobody else takes it


def test_a_channels_address_in_the_file_is_refused(alone: Shell) -> None:
    with_channels(alone)
    alone.change("[alerts.channels.ops_chat]", '[alerts.channels.ops_chat]\nurl = "slack://made/up/key"')
    refused = alone.run("alerts", "test")
    assert refused.code == 2
    assert "MARKETPLACE_RETURNS__ALERTS__CHANNELS__OPS_CHAT__URL" in refused.err
    assert "slack://" not in refused.all


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('digest_at = "08:30"', 'digest_at = "8.30"', "'8.30' is no time of day: write it as 09:30"),
        ('digest_at = "08:30"', 'quiet_hours = "22:00"', "is no span of the day: write it as 22:00-07:00"),
        ('digest_at = "08:30"', 'time_zone = "Mars"', "is not a known time zone"),
        ('owners = ["finance"]', 'shops = ["asos_fr"]', "asos_fr"),
        ('owners = ["finance"]', 'severities = ["loud"]', "is not allowed: use one of"),
        ("[alerts.channels.ops_chat]", "[alerts.channels.Ops-Chat]", "a channel's name is lower-case letters"),
    ],
)
def test_a_wrong_setting_of_alerts_is_told_with_its_mend(alone: Shell, old: str, new: str, told: str) -> None:
    with_channels(alone)
    alone.change(old, new)
    refused = alone.run("alerts", "test")
    assert refused.code == 2
    assert told in refused.err


@pytest.mark.parametrize(
    ("calendar", "told"),
    [
        ('opens = "09:00"\ncloses = "09:00"', "closes is not after opens"),
        ('holidays_of = "GB-XYZ"', "is no place whose holidays are known"),
        ("work_days = []", "work_days"),
        ('closed_days = ["Christmas"]', "closed_days"),
    ],
)
def test_a_wrong_calendar_is_told_with_its_mend(alone: Shell, calendar: str, told: str) -> None:
    alone.config.write_text(f"{alone.config.read_text()}\n[shops.asos_uk.calendar]\n{calendar}\n")
    refused = alone.run("exceptions", "list")
    assert refused.code == 2
    assert told in refused.err


def test_many_exceptions_are_worked_at_once_by_id_or_by_what_they_are(alone: Shell) -> None:
    with opened() as app:
        app.ledger.raise_exceptions("asos_uk", "test", [problem(f"O{n}") for n in range(4)])
    by = ("--by", "kim", "--json")
    moved = alone.run("exceptions", "assign", "1", "2", "--owner", "warehouse", *by)
    assert [each["owner"] for each in moved.document["exceptions"]] == ["warehouse", "warehouse"]
    until = f"{START + timedelta(days=9):%Y-%m-%d}"
    quiet = alone.run("exceptions", "snooze", "--of", "warehouse", "--until", until, "--note", "waits", *by)
    assert [each["exception_id"] for each in quiet.document["exceptions"]] == [1, 2]
    done = alone.run("exceptions", "resolve", "--type", "ACK_OVERDUE", "--severity", "critical", "--note", "done", *by)
    assert len(done.document["exceptions"]) == 4
    shown = alone.run("exceptions", "show", "1", "--json").document
    assert [each["event"] for each in shown["history"]] == ["opened", "assign", "snooze", "resolve"]
    assert shown["exception"]["action"].startswith("Held by policy: accept or refuse the order")
    assert alone.run("exceptions", "show", "1").code == 0
    for wrong in (("1", "--type", "ACK_OVERDUE"), (), ("--type", "ACK_OVERDUE"), ("--severity", "loud")):
        assert alone.run("exceptions", "resolve", *wrong, "--note", "x", *by).code == 2
