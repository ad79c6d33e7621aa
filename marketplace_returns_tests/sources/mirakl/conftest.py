"""Mirakl as these tests see it: a cassette recorded from the sandbox, or the sandbox itself while recording.

``MARKETPLACE_RETURNS_RECORD=1 pytest marketplace_returns_tests/sources/mirakl`` records anew. Keys are taken out before
anything is written; a request that is not on the cassette fails the test.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import vcr

from marketplace_returns.clock import FixedClock
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns.sandbox.world import World, WorldConfig
from marketplace_returns.settings import Shop, Timing
from marketplace_returns.sources.budget import NoBudget
from marketplace_returns.sources.http import HttpSource, NullCallLog
from marketplace_returns.sources.mirakl.client import MiraklClient

IS_RECORDING = os.environ.get("MARKETPLACE_RETURNS_RECORD", "") == "1"
CASSETTES = Path(__file__).parent / "cassettes"
CASSETTE_BYTES_MAX = 60_000
PLAYED_ORIGIN = "http://127.0.0.1:9"
START = datetime(2026, 1, 1, tzinfo=UTC)


def mirakl_shop(base_url: str, call_profile: str = "sandbox") -> Shop:
    return Shop.model_validate(
        {
            "name": "asos_uk",
            "marketplace": "asos",
            "currency": "GBP",
            "time_zone": "Europe/London",
            "mirakl": {
                "base_url": base_url,
                "shop_id": 2001,
                "call_profile": call_profile,
                "api_key": "sandbox-mirakl-key",
            },
            "returns": {"platform": "reveni", "base_url": "http://127.0.0.1:9/reveni", "store_id": "sandbox-store"},
        }
    )


def client_for(
    base_url: str, *, transport: httpx.BaseTransport | None = None, clock: FixedClock | None = None
) -> MiraklClient:
    shop = mirakl_shop(base_url)
    http = HttpSource(
        "mirakl",
        base_url,
        {"Authorization": shop.mirakl.secret()},
        timing=Timing(),
        budget=NoBudget(),
        clock=clock or FixedClock(START),
        log=NullCallLog(),
        shop=shop.name,
        transport=transport,
    )
    return MiraklClient(shop, http)


@dataclass
class Marketplace:
    """A client, and, while recording only, the sandbox behind it."""

    client: MiraklClient
    sandbox: RunningSandbox | None

    def advance(self, **delay: float) -> None:
        """Let the world live on; on a cassette that has happened already."""
        if self.sandbox is not None:
            self.sandbox.advance(timedelta(**delay))

    def arrange(self, act: Callable[[World], object]) -> None:
        """Let somebody do something in the world; on a cassette that has happened already."""
        if self.sandbox is not None:
            sandbox = self.sandbox
            sandbox.do(lambda: act(sandbox.world))


OpenMarketplace = Callable[..., Any]


@pytest.fixture
def marketplace(request: pytest.FixtureRequest) -> OpenMarketplace:
    """Open the marketplace of one test: ``with marketplace(orders=4) as outside``; keywords are the world's config."""
    cassette = CASSETTES / f"{request.node.name.removeprefix('test_')}.yaml"

    @contextmanager
    def opened(**config: Any) -> Iterator[Marketplace]:
        if not IS_RECORDING:
            with _recorder(PLAYED_ORIGIN).use_cassette(str(cassette)):
                client = client_for(f"{PLAYED_ORIGIN}/mirakl")
                yield Marketplace(client, None)
                client.close()
            return
        cassette.unlink(missing_ok=True)
        world = WorldConfig(
            **({"orders": 4, "days": 1, "skus": 3, "import_delay_s": 0.0, "export_delay_s": 0.0} | config)
        )
        with running_sandbox(world) as sandbox, _recorder(sandbox.base_url).use_cassette(str(cassette)):
            client = client_for(f"{sandbox.base_url}/mirakl")
            yield Marketplace(client, sandbox)
            client.close()
        assert cassette.stat().st_size < CASSETTE_BYTES_MAX, "the cassette is too large: use a smaller world"

    return opened


def _recorder(origin: str) -> vcr.VCR:
    def without_secrets(request: Any) -> Any:
        request.uri = re.sub(r"//[^/]+", "//sandbox.invalid", request.uri, count=1)
        return request

    def with_played_origin(response: dict[str, Any]) -> dict[str, Any]:
        body = response["body"]["string"].replace(origin.encode(), PLAYED_ORIGIN.encode())
        response["body"]["string"] = body
        headers = {name: value for name, value in response["headers"].items() if name.lower() not in {"date", "server"}}
        if "content-length" in headers:
            headers["content-length"] = [str(len(body))]
        response["headers"] = headers
        return response

    recorder = vcr.VCR(
        record_mode="all" if IS_RECORDING else "none",
        match_on=["method", "path", "query", "body_but_forms"],
        filter_headers=["authorization", "x-request-id", "user-agent", "host", "accept-encoding", "connection"],
        before_record_request=without_secrets,
        before_record_response=with_played_origin,
    )
    recorder.register_matcher("body_but_forms", _same_body)
    return recorder


def _same_body(asked: Any, recorded: Any) -> None:
    # The boundary of a form is drawn anew each time, so forms are compared without it.
    bodies = [re.sub(rb"--[0-9a-f]{32}", b"--boundary", _bytes(request.body)) for request in (asked, recorded)]
    assert bodies[0] == bodies[1]


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else str(body or "").encode()
