"""Webhooks of the sandbox's systems: who asked to be told of what, and what is on its way to them.

Here: subscriptions, the form each system's call has, what is late, repeated or out of order. Not here: sending over HTTP (delivery.py), when
something happens (the parts publish). Invariant: publishing costs the world nothing but memory, and where nobody subscribed not even that.

For the parts and faces:
    world.notifications.subscribe(source, event_types, address, ...) -> id;  unsubscribe(source, id) -> was there
    world.notifications.publish(source, event_type, facts)      facts: the JSON body of the call, or, where the subscriber gave a text with
                                                                {placeholders}, their values
    world.notifications.return_changed(found, "created")        what the returns platform says of a return, in the words of every platform
                                                                that is subscribed to (RETURN_EVENTS: one function per platform)
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from marketplace_returns.sandbox.returns_platform import PlatformReturn
    from marketplace_returns.sandbox.world import World

WAITING_MAX: Final = 100_000  # more are dropped, oldest first, as a sender gives up on a receiver that is down
SIGNATURE_HEADERS: Final = {"reveni": "X-Reveni-Signature", "rebound": "X-Rebound-Signature"}
_PLACEHOLDER = re.compile(r"\{([A-Za-z.]+)\}")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told of what; `address` and `parameters` may hold placeholders, which are filled with the facts of the event."""

    id: str
    source: str
    event_types: frozenset[str]
    address: str
    method: str = "POST"
    parameters: str | None = None
    encode: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call to be made; `signature_header` names the header to sign the body in, where the system signs."""

    source: str
    event_type: str
    method: str
    address: str
    body: bytes
    content_type: str
    signature_header: str = ""


@dataclass(slots=True)
class Notifications:
    """The subscriptions of one world and the calls that wait; `counts` by (source, what became of the call)."""

    world: World
    subscriptions: dict[tuple[str, str], Subscription] = field(default_factory=dict)
    waiting: deque[Call] = field(default_factory=deque)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def subscribe(
        self,
        source: str,
        event_types: Iterable[str],
        address: str,
        *,
        method: str = "POST",
        parameters: str | None = None,
        encode: bool = False,
        subscription_id: str | None = None,
    ) -> str:
        """Tell `address` of these events from now on; returns the subscription's id."""
        number = subscription_id or str(self.world.chance.number(f"subscription:{source}"))
        self.subscriptions[source, number] = Subscription(
            number, source, frozenset(event_types), address, method, parameters, encode
        )
        return number

    def unsubscribe(self, source: str, subscription_id: str) -> bool:
        """Forget a subscription; whether there was one."""
        return self.subscriptions.pop((source, subscription_id), None) is not None

    def publish(self, source: str, event_type: str, facts: Json) -> None:
        """Put a call for every subscriber on its way: sometimes twice, sometimes before an earlier one, as real senders do."""
        if not self.subscriptions:
            return
        config = self.world.config
        for one in self.subscriptions.values():
            if one.source != source or event_type not in one.event_types:
                continue
            call = _call(one, event_type, facts)
            chance = self.world.chance.of("webhook", source, self.world.chance.number("webhook"))
            for _ in range(1 + (chance.random() < config.webhook_repeat_rate)):
                self.counts[source, "published"] += 1
                if self.waiting and chance.random() < config.webhook_disorder_rate:
                    self.waiting.insert(max(0, len(self.waiting) - chance.randint(1, 10)), call)
                else:
                    self.waiting.append(call)
            while len(self.waiting) > WAITING_MAX:
                self.counts[self.waiting.popleft().source, "dropped"] += 1

    def return_changed(self, found: PlatformReturn, what: str) -> None:
        """Publish that a return was `created` or `updated`, thin: its id, and no line."""
        if not self.subscriptions:
            return
        number = self.world.chance.uuid("webhook_event")
        for source, event_of in RETURN_EVENTS.items():
            event_type, body = event_of(found, what, number, self.world.clock.now())
            self.publish(source, event_type, body)

    def shown(self) -> dict[str, Any]:
        """The subscriptions without their addresses' secrets, how many calls wait and what became of the others."""
        counts: dict[str, dict[str, int]] = {}
        for (source, what), count in sorted(self.counts.items()):
            counts.setdefault(source, {})[what] = count
        return {
            "subscriptions": [
                {"source": one.source, "id": one.id, "event_types": sorted(one.event_types), "method": one.method}
                for one in self.subscriptions.values()
            ],
            "waiting": len(self.waiting),
            "counts": counts,
        }


def _call(one: Subscription, event_type: str, facts: Json) -> Call:
    def filled(text: str) -> str:
        def value(match: re.Match[str]) -> str:
            known = str(facts.get(match[1], ""))
            return quote(known, safe="") if one.encode else known

        return _PLACEHOLDER.sub(value, text)

    if one.parameters is not None or one.method == "GET":
        body = filled(one.parameters or "").encode()
        return Call(one.source, event_type, one.method, filled(one.address), body, "application/x-www-form-urlencoded")
    header = SIGNATURE_HEADERS.get(one.source, "")
    return Call(one.source, event_type, one.method, one.address, msgspec.json.encode(facts), "application/json", header)


def _reveni(found: PlatformReturn, what: str, number: str, now: datetime) -> tuple[str, Json]:
    event_type = f"return.{what}"
    data = {"resource_id": found.id, "status": found.status}
    return event_type, {"id": number, "event": event_type, "created": int(now.timestamp()), "data": data}


def _rebound(found: PlatformReturn, what: str, number: str, now: datetime) -> tuple[str, Json]:
    is_processed = found.resolved_at is not None
    event_type = f"return_order.{'processed' if is_processed else what}"
    data = {"return_order_id": found.id}
    return event_type, {"id": number, "type": event_type, "occurred_at": _instant(now), "data": data}


def _returngo(found: PlatformReturn, what: str, number: str, now: datetime) -> tuple[str, Json]:
    event_type = "RMA_CREATED" if what == "created" else "RMA_STATUS_UPDATED"
    return event_type, {"eventName": event_type, "rmaId": found.id, "eventDate": _instant(now), "eventId": number}


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


RETURN_EVENTS: Final[Mapping[str, Callable[[PlatformReturn, str, str, datetime], tuple[str, Json]]]] = {
    "reveni": _reveni,
    "rebound": _rebound,
    "returngo": _returngo,
}
"""What each returns platform says of a return: (return, created or updated, the event's id, now) -> (event type, body)."""
