"""The sandbox tells of what happens as the real systems do: thin, signed, repeated, out of order, and never waiting."""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox

WAIT_S = 20.0
SMALL = {"orders": 6, "days": 1, "skus": 4}


@contextmanager
def listener(status: int = 200) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str], bytes]]]]:
    """A receiver that keeps (method, path, headers, body) of every call."""
    heard: list[tuple[str, str, dict[str, str], bytes]] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            heard.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        server.server_close()


def subscribe(sandbox: RunningSandbox, **body: object) -> dict[str, Any]:
    answer = httpx.post(f"{sandbox.base_url}/sandbox/webhooks", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def settled(sandbox: RunningSandbox, source: str) -> dict[str, int]:
    """Wait until every call of a source was delivered or given up."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        counts = httpx.get(f"{sandbox.base_url}/sandbox/webhooks").json()["counts"].get(source, {})
        if counts and counts.get("delivered", 0) + counts.get("failed", 0) == counts["published"]:
            return dict(counts)
        time.sleep(0.02)
    raise AssertionError("the calls were not settled")


def deliver_goods(sandbox: RunningSandbox, times: int = 1) -> None:
    world = sandbox.world
    for _ in range(times):
        sandbox.do(lambda: world.warehouse.take_delivery(next(iter(world.products)), 3))


def test_warehouse_fills_placeholders_by_get_and_by_post() -> None:
    config = WorldConfig(**SMALL, webhook_repeat_rate=0.0, webhook_disorder_rate=0.0)  # type: ignore[arg-type]
    with running_sandbox(config) as sandbox, listener() as (url, heard):
        kinds = ["AvailabilityChanges"]
        subscribe(
            sandbox,
            source="peoplevox",
            event_types=kinds,
            method="GET",
            url=f"{url}/get?event=AvailabilityChanges&ItemCode={{ItemCode}}",
        )
        subscribe(
            sandbox,
            source="peoplevox",
            event_types=kinds,
            url=f"{url}/post",
            parameters="ItemCode={ItemCode}&Available={Available}&Unknown={Nothing}",
        )
        deliver_goods(sandbox)
        assert settled(sandbox, "peoplevox")["delivered"] == 2
        item_code = next(iter(sandbox.world.products))
        available = sandbox.world.warehouse.available(item_code)
        by_path = {path.partition("?")[0]: (method, path, body) for method, path, _, body in heard}
        assert by_path["/get"] == ("GET", f"/get?event=AvailabilityChanges&ItemCode={item_code}", b"")
        assert by_path["/post"] == (
            "POST", "/post", f"ItemCode={item_code}&Available={available}&Unknown=".encode(),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "header"), [("reveni", "x-reveni-signature"), ("rebound", "x-rebound-signature"), ("returngo", "")]
)
def test_returns_platform_tells_thinly_and_signs_where_it_does(source: str, header: str) -> None:
    config = WorldConfig(**SMALL, webhook_secret="synthetic", webhook_repeat_rate=0.0)  # type: ignore[arg-type]
    event_types = ["return.created", "return_order.created", "RMA_CREATED"]
    with running_sandbox(config) as sandbox, listener() as (url, heard):
        subscribe(sandbox, source=source, event_types=event_types, url=url)
        world = sandbox.world
        sandbox.do(lambda: world.platform.create_return(a_return(world)))
        assert settled(sandbox, source) == {"published": 1, "delivered": 1}
        ((_, _, headers, body),) = heard
        expected = f"sha256={hmac.new(b'synthetic', body, hashlib.sha256).hexdigest()}"
        assert headers.get(header, "") == (expected if header else "")
        told = json.loads(body)
        assert next(iter(world.platform.returns)) in body.decode()
        assert not {"lines", "return_items", "items", "customer"} & set(told)


@pytest.mark.played
def test_calls_come_twice_and_out_of_order_but_none_is_left_out() -> None:
    config = WorldConfig(**SMALL, webhook_repeat_rate=0.5, webhook_disorder_rate=0.5)  # type: ignore[arg-type]
    with running_sandbox(config) as sandbox, listener() as (url, heard):
        world = sandbox.world
        sandbox.do(lambda: world.notifications.subscribe("peoplevox", ["X"], url, parameters="number={number}"))
        sandbox.do(lambda: [world.notifications.publish("peoplevox", "X", {"number": n}) for n in range(60)])
        assert settled(sandbox, "peoplevox")["delivered"] == len(heard) > 60
        numbers = [int(body.partition(b"=")[2]) for _, _, _, body in heard]
        assert set(numbers) == set(range(60))
        assert numbers != sorted(numbers)


def test_receiver_that_is_down_or_refuses_holds_up_nothing_and_is_given_up() -> None:
    config = WorldConfig(**SMALL, webhook_repeat_rate=0.0)  # type: ignore[arg-type]
    with running_sandbox(config) as sandbox, listener(status=401) as (url, _):
        subscribe(sandbox, source="peoplevox", event_types=["GoodsReceived"], url="http://127.0.0.1:9/nobody")
        subscribe(sandbox, source="peoplevox", event_types=["AvailabilityChanges"], url=url)
        began = time.monotonic()
        deliver_goods(sandbox)
        sandbox.advance(timedelta(days=2))
        assert time.monotonic() - began < WAIT_S / 2
        assert settled(sandbox, "peoplevox").keys() == {"published", "failed"}


def test_nothing_is_told_where_nobody_asked_and_a_saved_world_goes_on_telling() -> None:
    with running_sandbox(WorldConfig(**SMALL)) as sandbox, listener() as (url, heard):  # type: ignore[arg-type]
        deliver_goods(sandbox)
        assert not sandbox.world.notifications.counts
        subscribe(sandbox, source="peoplevox", event_types=["GoodsReceived"], url=url)
        kept = pickle.loads(sandbox.do(lambda: pickle.dumps(sandbox.world)))
        assert len(kept.notifications.subscriptions) == 1
        httpx.delete(f"{sandbox.base_url}/sandbox/webhooks")
        deliver_goods(sandbox)
        assert heard == []


def test_with_the_wall_clock_the_world_tells_by_itself() -> None:
    config = WorldConfig(**SMALL)  # type: ignore[arg-type]
    with running_sandbox(config, real_clock=True) as sandbox, listener() as (url, _):
        subscribe(sandbox, source="peoplevox", event_types=["GoodsReceived"], url=url)
        sandbox.do(
            lambda: sandbox.world.timeline.after(
                timedelta(seconds=1), sandbox.world.warehouse.take_delivery, next(iter(sandbox.world.products)), 1
            )
        )
        # nobody calls the sandbox meanwhile; the listener alone is asked
        deadline = time.monotonic() + WAIT_S
        while not sandbox.world.notifications.counts["peoplevox", "delivered"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def a_return(world: Any) -> Any:
    from marketplace_returns.sandbox.returns_platform import NewReturn, NewReturnLine

    line = NewReturnLine("L1", next(iter(world.products)), 1, 1250, 208, "too_small")
    return NewReturn("RT-1", "ORDER-1-A", "ORDER-1", "GBP", (line,))
