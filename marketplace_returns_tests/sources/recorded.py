"""The outside as tests see it: a cassette recorded from the sandbox, or the sandbox itself while recording.

`MARKETPLACE_RETURNS_RECORD=1 pytest marketplace_returns_tests/sources` records anew. Keys, passwords and session ids are
taken out before anything is written; a request that is not on the cassette fails the test.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
import vcr
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from marketplace_returns.sandbox.world import World

IS_RECORDING = os.environ.get("MARKETPLACE_RETURNS_RECORD", "") == "1"
_SECRET_XML = re.compile(rb"<(SessionId|password)>[^<]*</\1>")
_SECRET_FORM = re.compile(rb"\b(login|api_key|client_id|client_secret)=[^&]*")
_TOKEN = re.compile(rb'("access_token":")[^"]*')
_SESSION_ID = re.compile(rb"(<Detail>[^<,]*,)[0-9a-fA-F-]{32,36}(</Detail>)")


@dataclass
class Outside:
    """Where the system is called, and, while recording only, the world behind it."""

    base_url: str
    world: World | None

    def advance(self, **delay: float) -> None:
        """Let the world live on; on a cassette that has happened already."""
        if self.world is not None:
            self.world.advance(timedelta(**delay))

    def arrange(self, act: Callable[[World], object]) -> None:
        """Let somebody do something in the world; on a cassette that has happened already."""
        if self.world is not None:
            act(self.world)


@contextmanager
def outside(
    cassette: Path, prefix: str, make_world: Callable[[], World], routes: Callable[[World], list[Route]]
) -> Iterator[Outside]:
    """Play `cassette`, or record it from a sandbox that serves `routes` under `prefix`."""
    recorder = vcr.VCR(
        record_mode="all" if IS_RECORDING else "none",
        match_on=["method", "path", "query", "body"],
        filter_headers=["authorization", "x-api-key", "x-request-id", "user-agent", "host"],
        before_record_request=_without_secrets,
        before_record_response=_without_session_id,
        decode_compressed_response=True,
    )
    if not IS_RECORDING:
        with recorder.use_cassette(str(cassette)):
            yield Outside(f"http://127.0.0.1:9{prefix}", None)
        return
    cassette.unlink(missing_ok=True)
    world = make_world()
    app = Starlette(routes=[Mount(prefix, routes=routes(world))])
    with _serving(app) as origin, recorder.use_cassette(str(cassette)):
        yield Outside(origin + prefix, world)


@contextmanager
def _serving(app: Starlette) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _without_secrets(request: Any) -> Any:
    request.uri = re.sub(r"//[^/]+", "//sandbox.invalid", request.uri, count=1)
    if request.body:
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        body = _SECRET_XML.sub(rb"<\1>hidden</\1>", body)
        if b"form-urlencoded" in str(request.headers.get("content-type", "")).encode():
            body = _SECRET_FORM.sub(rb"\1=hidden", body)
        request.body = body
    return request


def _without_session_id(response: dict[str, Any]) -> dict[str, Any]:
    shown = _SESSION_ID.sub(rb"\1hidden\2", response["body"]["string"])
    response["body"]["string"] = _TOKEN.sub(rb"\1hidden", shown)
    response["headers"].pop("date", None)
    return response
