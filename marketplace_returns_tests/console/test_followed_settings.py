"""The console follows the settings file: what can change under it does, what cannot is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.console.roles import Role
from marketplace_returns.settings import load_settings
from marketplace_returns_tests.console.served import served, told
from marketplace_returns_tests.ledger.world import NOW

SHOP = """
[shops.{name}]
marketplace = "asos"
currency = "GBP"
time_zone = "Europe/London"
mirakl = {{ base_url = "https://example.mirakl.net", shop_id = {number} }}
returns = {{ platform = "reveni", base_url = "https://api.reveni.io", store_id = "store" }}
"""


def test_a_new_shop_is_seen_at_once_and_a_file_that_cannot_be_followed_is_told(
    tmp_path: Path, new_ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mappings").mkdir()
    shutil.copy(new_ledger, tmp_path)
    file = tmp_path / "shops.toml"
    head = f'data_dir = "{tmp_path}"\nmappings_dir = "mappings"\n'
    one, two = SHOP.format(name="asos_uk", number=1), SHOP.format(name="asos_eu", number=2)
    file.write_text(head + one, encoding="utf-8")
    with served(load_settings(file), FixedClock(NOW), roles=(Role.ADMIN,)) as console:
        admin = console.person(Role.ADMIN)
        assert "asos_eu" not in admin.get("/exceptions") + admin.get("/writes")

        file.write_text(head + one + two, encoding="utf-8")
        assert '<option value="asos_eu"' in admin.get("/exceptions") or "asos_eu</option>" in admin.get("/exceptions")
        held = admin.did("/writes/asos_eu", "/writes", kind="refund", mode="off", reason="not yet")
        assert "is held back to off" in held
        assert "asos_eu" in admin.get("/lanes"), "a page over the lake"

        file.write_text(head + one + two.replace("asos_eu", "asos eu"), encoding="utf-8")
        assert "shops.toml" in told(admin.get("/exceptions", status=503))
        elsewhere = head.replace(f'"{tmp_path}"', '"elsewhere"')
        file.write_text(elsewhere + one, encoding="utf-8")
        assert "data_dir changed in the settings since the console began: restart it" in told(
            admin.get("/exceptions", status=503)
        )
        assert not (tmp_path / "elsewhere").exists()

        file.write_text(head + one, encoding="utf-8")
        assert "asos_eu" not in admin.get("/lanes")
