"""``console`` and ``console user`` on the command line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from marketplace_returns.cli.main import run
from marketplace_returns.settings import PASSWORD_VARIABLE
from marketplace_returns_tests.benchmarks.webhooks import SETTINGS
from marketplace_returns_tests.console.served import PASSWORD


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_ledger: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "data").mkdir()
    shutil.copy(new_ledger, tmp_path / "data")
    (tmp_path / "shops.toml").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARKETPLACE_RETURNS_CONFIG", "shops.toml")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    return tmp_path


def ended(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["marketplace-returns", "console", *words])
    with pytest.raises(SystemExit) as end:
        run()
    return int(end.value.code or 0)


def test_accounts_are_made_listed_and_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    assert ended(monkeypatch, "user", "add", "anna.berg", "--role", "finance") == 0
    assert "anna.berg may log in as finance." in capsys.readouterr().out
    assert ended(monkeypatch, "user", "add", "anna.berg", "--role", "care") == 2
    assert "there is an account anna.berg already" in capsys.readouterr().err
    assert ended(monkeypatch, "user", "password", "anna.berg") == 0
    capsys.readouterr()
    assert ended(monkeypatch, "user", "role", "anna.berg", "--role", "operations") == 0
    assert "anna.berg is operations now; whoever is logged in as anna.berg logs in again." in capsys.readouterr().out
    assert ended(monkeypatch, "user", "role", "anna.berg", "--role", "boss") == 2
    assert ended(monkeypatch, "user", "role", "nobody", "--role", "care") == 2
    assert ended(monkeypatch, "user", "disable", "anna.berg") == 0
    capsys.readouterr()
    assert ended(monkeypatch, "user", "list", "--json") == 0
    told = capsys.readouterr().out
    (account,) = json.loads(told)["accounts"]
    assert (account["name"], account["role"], bool(account["disabled_at"])) == ("anna.berg", "operations", True)
    assert "argon2" not in told
    assert ended(monkeypatch, "user", "disable", "nobody") == 2
    assert "there is no account nobody" in capsys.readouterr().err


def test_a_password_is_never_an_argument_and_never_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, "user", "add", "bob", "--role", "care", "--password", PASSWORD) == 2
    monkeypatch.setenv(PASSWORD_VARIABLE, "short")
    assert ended(monkeypatch, "user", "add", "bob", "--role", "care") == 2
    assert "12 to 256 characters" in capsys.readouterr().err
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    assert ended(monkeypatch, "user", "add", "bob", "--role", "boss") == 2
    assert "use one of finance, operations, care, warehouse, admin" in capsys.readouterr().err


def test_it_is_not_opened_to_others_without_https(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, "--host", "0.0.0.0") == 2
    assert "passwords would go unencrypted" in capsys.readouterr().err
