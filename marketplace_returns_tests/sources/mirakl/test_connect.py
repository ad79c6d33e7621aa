"""A client for a real marketplace has its key and its budget."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import RateLimited
from marketplace_returns.settings import Settings, Timing
from marketplace_returns.sources.budget import NoBudget, SharedBudget
from marketplace_returns.sources.http import NullCallLog
from marketplace_returns.sources.mirakl.connect import connect, open_budget
from marketplace_returns.sources.mirakl.frequencies import ceilings

from .conftest import START, mirakl_shop


def settings(data_dir: Path) -> Settings:
    return Settings.model_construct(data_dir=data_dir, ledger_url="", timing=Timing())


@pytest.mark.proves("R103")
def test_a_list_that_may_be_read_once_a_day_is_read_once_by_all_clients(tmp_path: Path) -> None:
    shop = mirakl_shop("https://tenant.invalid", "seller")
    calls: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200, json={"carriers": []})

    for number in range(2):
        client = connect(
            settings(tmp_path),
            shop,
            clock=FixedClock(START),
            log=NullCallLog(),
            transport=httpx.MockTransport(handler),
        )
        if number == 0:
            client.carriers()
        else:
            with pytest.raises(RateLimited, match="SH21"):
                client.carriers()
        client.close()
    assert len(calls) == 1


def test_pages_of_one_poll_are_not_torn_apart(tmp_path: Path) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page_token", "0"))
        return httpx.Response(
            200, json={"data": [{"id": page}], "next_page_token": str(page + 1) if page < 40 else None}
        )

    clock = FixedClock(START)
    shop = mirakl_shop("https://tenant.invalid", "seller")
    client = connect(settings(tmp_path), shop, clock=clock, log=NullCallLog(), transport=httpx.MockTransport(handler))
    assert len(list(client.returns(START, START))) == 41
    assert clock.now() == START
    client.close()


def test_only_the_sandbox_has_no_budget(tmp_path: Path) -> None:
    clock = FixedClock(START)
    assert isinstance(open_budget(settings(tmp_path), mirakl_shop("http://127.0.0.1:9"), clock), NoBudget)
    real = open_budget(settings(tmp_path), mirakl_shop("https://tenant.invalid", "seller"), clock)
    assert isinstance(real, SharedBudget)
    real.close()


def test_an_external_partner_may_poll_orders_less_often() -> None:
    assert ceilings("external_partner")["OR11"][0].calls == 4
    assert min(rate.calls * 3600 / rate.window_s for rate in ceilings("seller")["OR11"]) == 60
    assert ceilings("sandbox") == {}
