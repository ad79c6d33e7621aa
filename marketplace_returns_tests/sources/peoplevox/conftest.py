"""A Peoplevox client against a cassette (or the sandbox while recording), or against answers written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.sandbox import peoplevox as sandbox_peoplevox
from marketplace_returns.sandbox.world import World, WorldConfig
from marketplace_returns.settings import Shop, Timing
from marketplace_returns.sources.budget import NoBudget
from marketplace_returns.sources.http import NullCallLog
from marketplace_returns.sources.peoplevox.client import PeoplevoxClient, connect
from marketplace_returns_tests.sources.recorded import Outside, outside

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
RENAMED = (("Despatch summary", "Item code", "Item Code"), ("Return summary", "Is Reusable", "Reusable?"))
CAPTIONS = {"Reusable?": "Is Reusable"}


def make_world() -> World:
    return World(WorldConfig(start=START, orders=1, skus=5, renamed_captions=RENAMED))


def shop(base_url: str, **warehouse: object) -> Shop:
    return Shop.model_validate(
        {
            "name": "asos_uk",
            "marketplace": "asos",
            "currency": "GBP",
            "time_zone": "Europe/London",
            "mirakl": {"base_url": "http://127.0.0.1:9", "shop_id": 1, "call_profile": "sandbox"},
            "returns": {"platform": "reveni", "base_url": "https://reveni.example", "store_id": "sandbox-store"},
            "warehouse": {
                "base_url": base_url,
                "client_id": "sandboxwms",
                "username": "sandbox-user",
                "password": "sandbox-password",
                "site": "MAIN",
                "time_zone": "Europe/London",
                "captions": CAPTIONS,
                **warehouse,
            },
        }
    )


def client_of(base_url: str, transport: httpx.BaseTransport | None = None, **warehouse: object) -> PeoplevoxClient:
    return connect(
        shop(base_url, **warehouse),
        timing=Timing(),
        budget=NoBudget(),
        clock=FixedClock(START),
        log=NullCallLog(),
        transport=transport,
    )


@dataclass
class Warehouse:
    """A recorded warehouse and the client that talks to it."""

    outside: Outside
    client: PeoplevoxClient
    item_codes: list[str]


@pytest.fixture
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    cassette = Path(__file__).parent / "cassettes" / f"{request.node.name.removeprefix('test_')}.yaml"
    with outside(cassette, "/peoplevox", make_world, sandbox_peoplevox.routes) as there:
        yield Warehouse(there, client_of(there.base_url), list(make_world().products))


class Scripted:
    """A service that answers each operation from a script, in the form of the documented answers."""

    def __init__(self, answers: dict[str, list[httpx.Response]]) -> None:
        self._answers = {"Authenticate": [answer_of("Authenticate", "sandboxwms,SESSION")] * 3} | answers
        self.operations: list[str] = []
        self.bodies: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        operation = request.headers["SOAPAction"].strip('"').rpartition("/")[2]
        self.operations.append(operation)
        self.bodies.append(request.content.decode())
        answers = self._answers[operation]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def scripted() -> Callable[..., tuple[PeoplevoxClient, Scripted]]:
    def make(
        warehouse: dict[str, object] | None = None, **answers: list[httpx.Response]
    ) -> tuple[PeoplevoxClient, Scripted]:
        service = Scripted(answers)
        return client_of("https://wms.example", httpx.MockTransport(service), **(warehouse or {})), service

    return make


def answer_of(
    operation: str, detail: str, *, response_id: int = 0, total_count: int = 1, statuses: list[str] | None = None
) -> httpx.Response:
    told = "".join(
        f"<IntegrationStatusResponse><Status>{escape(status)}</Status></IntegrationStatusResponse>"
        for status in statuses or []
    )
    return httpx.Response(
        200,
        text=(
            '<?xml version="1.0" encoding="utf-8"?>'
            '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
            f'<{operation}Response xmlns="http://www.peoplevox.net/"><{operation}Result>'
            f"<ResponseId>{response_id}</ResponseId><TotalCount>{total_count}</TotalCount>"
            f"<Detail>{escape(detail)}</Detail><Statuses>{told}</Statuses>"
            f"</{operation}Result></{operation}Response></soap:Body></soap:Envelope>"
        ),
    )


def fault(text: str, status: int = 200) -> httpx.Response:
    return httpx.Response(
        status,
        text=(
            '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
            f"<faultcode>soap:Server</faultcode><faultstring>{text}</faultstring></soap:Fault></soap:Body></soap:Envelope>"
        ),
    )
