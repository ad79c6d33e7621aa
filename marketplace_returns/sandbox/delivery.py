"""Carries the world's webhooks to their addresses, in the background of the server.

Here: the HTTP calls, signatures, second tries. Not here: what is told to whom (notifications.py). Invariant: the world never waits for a
receiver; a call is tried a few times and then given up, as the real systems do.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import httpx

from marketplace_returns.sandbox.notifications import Call
from marketplace_returns.sandbox.world import World

IDLE_S: Final = 0.05
TIME_OUT_S: Final = 5.0
AT_ONCE: Final = 8
TRIES_MAX: Final = 4
RETRY_S: Final = 0.25


async def deliver(world: World, live: Callable[[], None] | None) -> None:
    """Deliver what waits until cancelled; with `live` the world lives on meanwhile, although nobody calls it."""
    async with httpx.AsyncClient(timeout=TIME_OUT_S, follow_redirects=False) as http:
        while True:
            notifications = world.notifications
            if live is not None and notifications.subscriptions:
                live()
            calls = [notifications.waiting.popleft() for _ in range(min(AT_ONCE, len(notifications.waiting)))]
            if calls:
                await asyncio.gather(*(_deliver(world, http, call) for call in calls))
            else:
                await asyncio.sleep(IDLE_S)


async def _deliver(world: World, http: httpx.AsyncClient, call: Call) -> None:
    headers = {"Content-Type": call.content_type, "User-Agent": f"sandbox-{call.source}"}
    secret = world.config.webhook_secret
    if call.signature_header and secret:
        signature = hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()
        headers[call.signature_header] = f"sha256={signature}"
    for number in range(TRIES_MAX):
        if number:
            await asyncio.sleep(RETRY_S * 2**number)
        try:
            answer = await http.request(call.method, call.address, content=call.body or None, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            continue
        if answer.is_success:
            world.notifications.counts[call.source, "delivered"] += 1
            return
        if 400 <= answer.status_code < 500 and answer.status_code != 429:
            break
    world.notifications.counts[call.source, "failed"] += 1
