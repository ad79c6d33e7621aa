"""The command ``webhooks``: what it needs, and subscribing."""

from __future__ import annotations

import socket

import pytest

from marketplace_returns_tests.cli.conftest import Shell, variable

TOKEN = "synthetic-token-of-the-command-line"


def test_without_any_token_the_variables_are_named(alone: Shell) -> None:
    ended = alone.run("webhooks", "--json")
    assert ended.code == 2
    assert variable("returns.webhook_token") in ended.err
    assert variable("warehouse.webhook_token") in ended.err
    assert ended.document["error"]["type"] == "BadSettings"


@pytest.mark.proves("R44")
@pytest.mark.parametrize("token", ["short", "x" * 200, "has a blank in it, and that is wrong"])
def test_token_that_can_be_guessed_or_fits_no_address_is_refused(alone: Shell, token: str) -> None:
    alone.set(variable("returns.webhook_token"), token)
    ended = alone.run("webhooks")
    assert ended.code == 2
    assert variable("returns.webhook_token") in ended.err
    assert "token_urlsafe" in ended.err
    assert token not in ended.all


@pytest.mark.proves("R44")
def test_token_in_the_settings_file_is_refused(alone: Shell) -> None:
    alone.change('platform = "reveni"', f'platform = "reveni"\nwebhook_token = "{TOKEN}"')
    ended = alone.run("webhooks")
    assert ended.code == 2
    assert variable("returns.webhook_token") in ended.err
    assert TOKEN not in ended.all


def test_address_that_is_taken_is_told(alone: Shell) -> None:
    alone.set(variable("returns.webhook_token"), TOKEN)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = alone.run("webhooks", "--port", str(other.getsockname()[1]))
    assert ended.code == 2
    assert "name others" in ended.err


def test_subscribing_is_told_once_new_and_then_as_it_stands(shell: Shell) -> None:
    for section in ("returns", "warehouse"):
        shell.secrets[section] = TOKEN + section
        shell.set(variable(f"{section}.webhook_token"), TOKEN + section)
    refused = shell.run("webhooks", "--subscribe")
    assert refused.code == 2
    assert "MARKETPLACE_RETURNS__WEBHOOKS__PUBLIC_URL" in refused.err
    shell.set("MARKETPLACE_RETURNS__WEBHOOKS__PUBLIC_URL", "https://hooks.example.test")
    first = shell.run("webhooks", "--subscribe", "--json")
    assert first.code == 0
    assert {each["now"] for each in first.document["subscriptions"]} == {"new"}
    assert {each["source"] for each in first.document["subscriptions"]} == {"reveni", "peoplevox"}
    again = shell.run("webhooks", "--subscribe")
    assert again.code == 0
    assert "stands" in again.out
    assert "new" not in again.out
    assert shell.sandbox is not None
    shell.sandbox.stop()
    shell.set("MARKETPLACE_RETURNS__WEBHOOKS__PUBLIC_URL", "https://elsewhere.example.test")
    broken = shell.run("webhooks", "--subscribe", "--json")
    assert broken.code == 1
    assert {each["error"] for each in broken.document["failures"]} == {"SourceUnreachable"}
