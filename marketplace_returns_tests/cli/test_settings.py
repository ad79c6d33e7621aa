"""A mistake in the settings is one message that names the place and the mend, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace_returns_tests.cli.conftest import Shell, variable

MADE_UP = "made-up-secret"


def test_missing_settings_file_is_named_with_its_variable(alone: Shell) -> None:
    alone.set("MARKETPLACE_RETURNS_CONFIG", "nowhere.toml")
    ended = alone.run("sync", "--json")
    assert ended.code == 2
    assert "nowhere.toml (named by MARKETPLACE_RETURNS_CONFIG): there is no such settings file" in ended.err
    assert ended.document["error"] == {"type": "BadSettings", "message": ended.err.strip()}


@pytest.mark.parametrize(
    ("old", "new", "place", "mend"),
    [
        ("shop_id = 2001", "shop_id = 2001\nshopid = 2", "shops.asos_uk.mirakl.shopid", "mend its name"),
        ("[timing]", "[timing]\nread_timeout_s = 3", "timing.read_timeout_s", "mend its name"),
        ('data_dir = "data"', 'data_dirr = "data"', "data_dirr", "known ones are data_dir"),
        ('refund_trigger = "inspected"', 'refund_trigger = "asap"', "policy.refund_trigger", "use one of 'inspected'"),
        ('default = "live"', 'refnd = "live"', "writes.refnd", "use default, accept_order"),
        ('default = "live"', 'default = "on"', "writes.default", "use one of 'live'"),
        ("[timing]", "[timing", "shops.toml", "is not valid TOML"),
        ('mappings_dir = "mappings"', 'mappings_dir = "nowhere"', "nowhere", "create it or set mappings_dir"),
        ('data_dir = "data"', 'data_dir = "mappings/skus.csv"', "data_dir mappings/skus.csv", "name another"),
        ('ledger_url = ""', 'ledger_url = "mysql://db/x"', "ledger_url", "give a postgresql:// URL"),
        (
            'ledger_url = ""',
            f'ledger_url = "postgresql://u:{MADE_UP}@db/x"',
            "ledger_url",
            "MARKETPLACE_RETURNS__LEDGER_URL",
        ),
        ('platform = "reveni"', 'platform = "shoebox"', "returns.platform", "reveni"),
        ("shop_id = 2001", f'shop_id = 2001\napi_key = "{MADE_UP}"', "mirakl.api_key", variable("mirakl.api_key")),
    ],
)
def test_mistake_in_the_file_names_its_place_and_mend(alone: Shell, old: str, new: str, place: str, mend: str) -> None:
    alone.change(old, new)
    ended = alone.run("exceptions", "list", "--json")
    assert ended.code == 2
    assert place in ended.err
    assert mend in ended.err
    assert ended.err.count("\n") == 1
    assert MADE_UP not in ended.all


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{variable('mirakl.shopid')}=3", f".env, {variable('mirakl.shopid')}: is not a setting"),
        ("MARKETPLACE_RETURNS__DATADIR=x", ".env, MARKETPLACE_RETURNS__DATADIR: 'datadir' is not a setting"),
        ("MARKETPLACE_RETURNS__TIMING__READ_BACK_AFTER_S=soon", ".env, MARKETPLACE_RETURNS__TIMING__READ_BACK_AFTER_S"),
    ],
)
def test_mistake_in_the_env_file_is_told_of_that_file(alone: Shell, text: str, told: str) -> None:
    Path(".env").write_text(text + "\n")
    ended = alone.run("exceptions", "list")
    assert ended.code == 2
    assert told in ended.err


def test_env_file_that_is_no_text_is_named(alone: Shell) -> None:
    Path(".env").write_bytes(b"\xff\xfe=")
    ended = alone.run("exceptions", "list")
    assert (ended.code, ended.err) == (2, ".env: is not UTF-8 text: save it as UTF-8\n")


def test_missing_secret_names_its_variable_when_it_is_needed(alone: Shell) -> None:
    assert alone.run("exceptions", "list").code == 0
    ended = alone.run("sync", "--json")
    assert ended.code == 2
    assert variable("mirakl.api_key") in ended.err
    assert ended.err.count("\n") == 1


def test_ledger_that_does_not_answer_is_named_without_its_password(alone: Shell) -> None:
    alone.set("MARKETPLACE_RETURNS__LEDGER_URL", f"postgresql://user:{MADE_UP}@127.0.0.1:9/db")
    ended = alone.run("exceptions", "list", "--json")
    assert ended.code == 2
    assert ended.err.startswith("ledger_url: the ledger cannot be opened")
    assert MADE_UP not in ended.all
