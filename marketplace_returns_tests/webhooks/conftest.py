"""The webhook service as a real process on loopback, for three shops with a returns platform each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from marketplace_returns_tests.benchmarks.webhooks import SETTINGS, TOKEN, Service, service

BODY_BYTES_MAX = 4_000
OTHERS = """
[shops.rebound_uk]
marketplace = "asos"
currency = "GBP"
time_zone = "Europe/London"
[shops.rebound_uk.mirakl]
base_url = "http://127.0.0.1:9"
shop_id = 2002
call_profile = "sandbox"
[shops.rebound_uk.returns]
platform = "rebound"
generation = "v2"
base_url = "http://127.0.0.1:9"
client_id = "client"
token_url = "http://127.0.0.1:9/token"
[shops.returngo_uk]
marketplace = "asos"
currency = "GBP"
time_zone = "Europe/London"
[shops.returngo_uk.mirakl]
base_url = "http://127.0.0.1:9"
shop_id = 2003
call_profile = "sandbox"
[shops.returngo_uk.returns]
platform = "returngo"
base_url = "http://127.0.0.1:9"
shop_name = "shop"
"""
VARIABLES = {
    "MARKETPLACE_RETURNS__WEBHOOKS__BODY_BYTES_MAX": str(BODY_BYTES_MAX),
    "MARKETPLACE_RETURNS__WEBHOOKS__BODY_TIME_OUT_S": "1",
    "MARKETPLACE_RETURNS__SHOPS__REBOUND_UK__RETURNS__WEBHOOK_TOKEN": TOKEN,
    "MARKETPLACE_RETURNS__SHOPS__RETURNGO_UK__RETURNS__WEBHOOK_TOKEN": TOKEN,
}


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service; the shop with Reveni has a signing secret, the others have none."""
    folder = tmp_path_factory.mktemp("webhooks")
    with service(folder, settings=SETTINGS + OTHERS, **VARIABLES) as made:
        yield made
        assert made.stop() == 0


@pytest.fixture
def http(served: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=20) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
