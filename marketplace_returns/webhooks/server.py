"""A web service of ours as a process: the webhook service, the console.

Here: the socket, and how the server is set up. Not here: what is served. The invariants: no address is logged, for it holds a
token; at the end what was accepted is written first.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from marketplace_returns.errors import BadArgument

CONNECTIONS_MAX: Final = 2_000
KEEP_ALIVE_S: Final = 30
STOP_S: Final = 15


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one. Raises BadArgument where the address cannot be had."""
    # named TCP, or the event loop leaves Nagle's algorithm on and every answer waits 40 ms for an acknowledgement
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as refused:
        made.close()
        raise BadArgument(
            f"--host {host} --port {port}: cannot be listened on ({refused.strerror}): name others"
        ) from None
    return made


def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    on_start: Callable[[], None] = lambda: None,
    *,
    trusted_proxy: str = "",
) -> None:
    """Serve until the process is told to stop (SIGINT, SIGTERM); ``on_start`` is called once requests are answered.

    ``trusted_proxy`` names the addresses, parted by commas, that are believed when they say for whom they ask.
    """
    logging.getLogger("marketplace_returns").addHandler(logging.StreamHandler())
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxy),
            forwarded_allow_ips=trusted_proxy or None,
            lifespan="on",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
        )
    )

    async def run() -> None:
        serving = asyncio.get_running_loop().create_task(server.serve(sockets=list(sockets)))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            on_start()
        await serving

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(run())
