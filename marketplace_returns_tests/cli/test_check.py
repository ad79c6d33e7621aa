"""``check``: what it tells people and programs, and how it ends."""

from __future__ import annotations

import pytest

from marketplace_returns_tests.cli.conftest import Shell, variable

pytestmark = pytest.mark.proves("R116")


@pytest.mark.played
def test_check_ends_clean_with_gaps_or_refused_and_sends_nothing(shell: Shell) -> None:
    clean = shell.run("check", "--json")
    assert (clean.code, clean.document["audits"][0]["gaps"]) == (0, [])
    assert clean.document["audits"][0]["notes"]
    shell.set(variable("warehouse.password"), None)
    told = shell.run("check")
    assert told.code == 1
    assert "critical" in told.out
    assert "1 gaps" in told.out
    shell.change('currency = "GBP"', 'currency = "XXQ"')
    assert shell.run("check", "--json").code == 2
    assert shell.writes() == 0
