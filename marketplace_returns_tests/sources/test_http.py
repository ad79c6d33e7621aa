"""What leaves, how often, and what an answer or its lack is taken for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import (
    AuthFailed,
    ContractBroken,
    OutcomeUnknown,
    RateLimited,
    SourceError,
    SourceRefused,
    SourceUnreachable,
)
from marketplace_returns.settings import Timing
from marketplace_returns.sources import http as http_module
from marketplace_returns.sources.budget import NoBudget
from marketplace_returns.sources.http import READ_ATTEMPTS_MAX, READ_WAIT_S_MAX, CallRecord, HttpSource, encode_json
from marketplace_returns.sources.redaction import excerpt

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
KEY = "synthetic-key-of-a-test"


class KeptCalls:
    def __init__(self) -> None:
        self.calls: list[CallRecord] = []

    def record(self, call: CallRecord) -> None:
        self.calls.append(call)


class BlockingBudget(NoBudget):
    def __init__(self) -> None:
        self.blocked: list[tuple[str, float]] = []
        self.given_back = 0

    def give_back(self, operation: str) -> None:
        self.given_back += 1

    def block(self, operation: str, seconds: float) -> None:
        self.blocked.append((operation, seconds))


class Bench:
    """An HttpSource over a scripted server, with everything it was given kept."""

    def __init__(
        self, handler: Callable[[httpx.Request], httpx.Response] | None, base_url: str = "https://m.test"
    ) -> None:
        self.requests: list[httpx.Request] = []
        self.log = KeptCalls()
        self.budget = BlockingBudget()
        self.clock = FixedClock(NOON)

        def keep(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            assert handler is not None
            return handler(request)

        self.source = HttpSource(
            "mirakl",
            base_url,
            {"Authorization": KEY},
            timing=Timing(connect_time_out_s=1, read_time_out_s=1),
            budget=self.budget,
            clock=self.clock,
            log=self.log,
            shop="asos_uk",
            transport=httpx.MockTransport(keep) if handler else None,
            new_request_id=lambda: "request-1",
            random=Random(1),
        )

    def waited_s(self) -> float:
        return (self.clock.now() - NOON).total_seconds()


def answering(*responses: httpx.Response | Exception) -> Bench:
    remaining = iter(responses)

    def handler(_request: httpx.Request) -> httpx.Response:
        response = next(remaining)
        if isinstance(response, Exception):
            raise response
        return response

    return Bench(handler)


def refusal(status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"message": "The order is in a wrong state", "status": status})


@contextmanager
def raw_server(reply: bytes, *, then_reset: bool = False) -> Iterator[str]:
    """Serve one connection with exact bytes, then close (or reset) it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(reply)
            if then_reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(timeout=5)


# What leaves.


def test_every_request_carries_the_key_and_its_request_id() -> None:
    bench = answering(httpx.Response(200, json={}))
    bench.source.read("A01", "GET", "/api/account", params={"shop_id": 2001, "id": ["a", "b"]})
    (request,) = bench.requests
    assert request.headers["Authorization"] == KEY
    assert request.headers["X-Request-Id"] == "request-1"
    assert request.url == "https://m.test/api/account?shop_id=2001&id=a&id=b"


def test_the_key_is_not_sent_to_another_host() -> None:
    bench = answering(httpx.Response(200, json={}))
    bench.source.read("OR15", "GET", "https://files.test/export?file=a")
    assert "Authorization" not in bench.requests[0].headers
    assert bench.requests[0].url == "https://files.test/export?file=a"


def test_decimals_leave_as_exact_json_numbers_and_floats_do_not_leave() -> None:
    assert encode_json({"amount": Decimal("19.90")}) == b'{"amount":19.90}'
    with pytest.raises(TypeError, match="float"):
        encode_json({"refunds": [{"amount": 19.9}]})


def test_numbers_with_a_point_arrive_as_decimals() -> None:
    bench = answering(httpx.Response(200, content=b'{"amount": 19.90, "quantity": 2, "rate": 1e-3}'))
    document = bench.source.read("OR11", "GET", "/api/orders").json()
    assert document == {"amount": Decimal("19.90"), "quantity": 2, "rate": Decimal("0.001")}
    assert str(document["amount"]) == "19.90"


# Reads.


@pytest.mark.parametrize(
    "trouble",
    [httpx.Response(500), httpx.Response(502, text="<html>"), httpx.ReadTimeout("slow"), httpx.ConnectError("refused")],
    ids=["500", "502", "time-out", "refused"],
)
def test_a_read_is_repeated_after_a_passing_trouble(trouble: httpx.Response | Exception) -> None:
    bench = answering(trouble, httpx.Response(200, json={"ok": True}))
    assert bench.source.read("OR11", "GET", "/api/orders").json() == {"ok": True}
    assert 0 < bench.waited_s() < 2
    assert bench.budget.given_back == 1


def test_a_read_gives_up_after_a_bounded_number_of_attempts() -> None:
    bench = answering(*[httpx.Response(503) for _ in range(20)])
    with pytest.raises(SourceUnreachable, match="OR11") as caught:
        bench.source.read("OR11", "GET", "/api/orders")
    assert len(bench.requests) == READ_ATTEMPTS_MAX
    assert caught.value.status == 503


@pytest.mark.proves("R103")
def test_a_read_waits_as_long_as_a_429_says_and_holds_the_operation_for_all() -> None:
    bench = answering(httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200, json={}))
    bench.source.read("OR11", "GET", "/api/orders")
    assert bench.waited_s() == 7
    assert bench.budget.blocked == [("OR11", 7)]


def test_a_read_does_not_wait_beyond_its_bound() -> None:
    bench = answering(httpx.Response(429, headers={"Retry-After": "3000"}))
    with pytest.raises(RateLimited) as caught:
        bench.source.read("OR11", "GET", "/api/orders")
    assert caught.value.retry_after_s == 3000
    assert bench.waited_s() == 0


def test_a_429_without_a_time_backs_off_from_five_seconds() -> None:
    bench = answering(httpx.Response(429), httpx.Response(429), httpx.Response(200, json={}))
    bench.source.read("OR11", "GET", "/api/orders")
    assert 15 <= bench.waited_s() <= min(19, READ_WAIT_S_MAX)


def test_a_refused_read_is_not_repeated() -> None:
    bench = answering(refusal(404))
    with pytest.raises(SourceRefused, match="wrong state"):
        bench.source.read("OR11", "GET", "/api/orders")
    assert len(bench.requests) == 1


def test_a_redirect_of_a_read_is_a_broken_contract_that_points_at_the_base_url() -> None:
    bench = answering(httpx.Response(301, headers={"Location": "https://elsewhere.test/"}))
    with pytest.raises(ContractBroken, match="base_url"):
        bench.source.read("OR11", "GET", "/api/orders")
    assert len(bench.requests) == 1


def test_a_read_of_something_else_than_json_names_operation_and_request() -> None:
    bench = answering(httpx.Response(200, text="<html>welcome</html>"))
    with pytest.raises(ContractBroken, match=r"OR11.*request-1"):
        bench.source.read("OR11", "GET", "/api/orders").json()


# Writes: one try, and what it is taken for.


@pytest.mark.parametrize("status", [400, 404, 405, 406, 409, 410, 415, 422])
def test_a_readable_refusal_of_a_write_means_not_applied(status: int) -> None:
    bench = answering(refusal(status))
    with pytest.raises(SourceRefused) as caught:
        bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
    assert caught.value.status == status
    assert "wrong state" in caught.value.excerpt


@pytest.mark.parametrize("response", [refusal(403), refusal(401), httpx.Response(401, text="<html>")])
def test_a_key_that_is_not_accepted_is_told_apart(response: httpx.Response) -> None:
    bench = answering(response)
    with pytest.raises(AuthFailed, match="key"):
        bench.source.write("OR28", "PUT", "/api/orders/refund", json={})


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")]
)
def test_a_write_that_never_left_may_be_tried_again(failure: Exception) -> None:
    bench = answering(failure)
    with pytest.raises(SourceUnreachable, match="Nothing was sent"):
        bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
    assert len(bench.requests) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ReadTimeout("slow"),
        httpx.WriteTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("broken pipe"),
        httpx.RemoteProtocolError("disconnected"),
        httpx.Response(500, json={"message": "x"}),
        httpx.Response(502, text="<html>"),
        httpx.Response(302, headers={"Location": "/"}),
        httpx.Response(408),
        httpx.Response(403, text="<html>blocked</html>"),
        httpx.Response(400, text="<html>proxy</html>"),
        httpx.Response(200, content=b'{"refunds": [{"refund_id": "1'),
        httpx.Response(201, text="created"),
    ],
    ids=lambda trouble: str(trouble) if isinstance(trouble, httpx.Response) else type(trouble).__name__,
)
def test_every_doubt_about_a_write_is_unknown_and_it_is_never_repeated(trouble: httpx.Response | Exception) -> None:
    bench = answering(trouble)
    with pytest.raises(OutcomeUnknown, match="Read back"):
        bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
    assert len(bench.requests) == 1
    assert bench.waited_s() == 0


def test_a_429_of_a_write_is_not_applied_and_not_repeated() -> None:
    bench = answering(httpx.Response(429, headers={"Retry-After": "9"}))
    with pytest.raises(RateLimited) as caught:
        bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
    assert caught.value.retry_after_s == 9
    assert bench.budget.blocked == [("OR28", 9)]
    assert len(bench.requests) == 1


def test_an_empty_204_is_an_answer() -> None:
    assert answering(httpx.Response(204)).source.write("OR24", "PUT", "/api/orders/1/ship").status == 204


def test_a_body_cut_by_a_closed_connection_is_unknown() -> None:
    with raw_server(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"refunds": [') as url:
        bench = Bench(None, url)
        with pytest.raises(OutcomeUnknown):
            bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
        bench.source.close()


def test_a_reset_before_the_answer_is_unknown() -> None:
    with raw_server(b"", then_reset=True) as url:
        bench = Bench(None, url)
        with pytest.raises(OutcomeUnknown):
            bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
        bench.source.close()


def test_a_reset_of_a_kept_alive_connection_is_unknown() -> None:
    answer = b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)
            connection.recv(65_536)  # the second request arrives, then the line drops

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    bench = Bench(None, f"http://127.0.0.1:{listener.getsockname()[1]}")
    bench.source.write("OR24", "PUT", "/api/orders/1/ship")
    with pytest.raises(OutcomeUnknown):
        bench.source.write("OR24", "PUT", "/api/orders/2/ship")
    bench.source.close()
    listener.close()
    thread.join(timeout=5)


def test_a_gzip_body_that_is_cut_is_unknown() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8bxx"
    with raw_server(reply) as url:
        bench = Bench(None, url)
        with pytest.raises(OutcomeUnknown):
            bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
        bench.source.close()


def test_an_answer_that_drips_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "ANSWER_S_FACTOR", 0.3)
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
            while not stop.wait(0.02):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    bench = Bench(None, f"http://127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(OutcomeUnknown):
        bench.source.write("OR28", "PUT", "/api/orders/refund", json={})
    stop.set()
    bench.source.close()
    listener.close()
    thread.join(timeout=5)


def test_an_answer_beyond_its_size_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "BODY_BYTES_MAX", 10)
    with pytest.raises(OutcomeUnknown):
        answering(httpx.Response(200, json=["x" * 20])).source.write("OR28", "PUT", "/x", json={})


def test_a_closed_port_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    bench = Bench(None, f"http://127.0.0.1:{port}")
    with pytest.raises(SourceUnreachable):
        bench.source.write("OR28", "PUT", "/api/orders/refund", json={})


# What is shown and kept.


@pytest.mark.proves("R44")
def test_refusals_show_neither_the_key_nor_personal_data() -> None:
    body = {
        "message": f"key {KEY} of jane@example.test",
        "firstname": "Jane",
        "shipping_address": {"street_1": "1 High Street", "zip_code": "N1"},
        "errors": [{"field": "amount", "message": "too high"}],
    }
    with pytest.raises(SourceRefused) as caught:
        answering(httpx.Response(400, json=body)).source.write("OR28", "PUT", "/x", json={})
    for private in (KEY, "jane@", "Jane", "High Street", "N1"):
        assert private not in f"{caught.value} {caught.value.excerpt}"
    assert "too high" in caught.value.excerpt


@pytest.mark.proves("R44")
def test_an_xml_refusal_hides_its_private_elements() -> None:
    body = "<Fault><faultstring>No such order</faultstring><CustomerName>Jane</CustomerName></Fault>"
    with pytest.raises(SourceRefused) as caught:
        answering(httpx.Response(400, text=body)).source.read("GetData", "POST", "/x")
    assert "No such order" in caught.value.excerpt
    assert "Jane" not in caught.value.excerpt


def test_an_answer_that_was_cut_short_hides_its_private_fields() -> None:
    body = b'{"order_id": "O1", "customer": {"firstname": "Sam", "street_1" : "1 Sample \\"Street\\"", "city": "Sample'
    shown = excerpt(body)
    assert '"order_id": "O1"' in shown
    assert "Sam" not in shown
    assert "Street" not in shown


def test_an_excerpt_is_at_most_500_characters_long() -> None:
    with pytest.raises(SourceError) as caught:
        answering(httpx.Response(400, json={"message": "x" * 9000})).source.write("OR28", "PUT", "/x", json={})
    assert len(caught.value.excerpt) <= 500
    assert len(str(caught.value)) < 700


@pytest.mark.proves("R44")
def test_every_attempt_is_recorded_without_its_body() -> None:
    bench = answering(httpx.Response(500, text="secret body"), httpx.Response(200, json={"a": 1}))
    bench.source.read("OR11", "GET", "/api/orders")
    first, second = bench.log.calls
    assert (first.status, first.outcome, second.status, second.outcome) == (500, "unknown", 200, "answered")
    assert (second.system, second.shop, second.operation, second.request_id) == (
        "mirakl",
        "asos_uk",
        "OR11",
        "request-1",
    )
    assert second.received_bytes == len(b'{"a":1}')
    assert second.duration_ms > 0
    assert "secret body" not in repr(bench.log.calls)
