"""Subscribing: having the sources call us where they take that by their API.

Here: which events we want and what stands already. Not here: receiving them (``webhooks``), or the calls (``sources``). The
invariants: what stands for the same address is not subscribed again; an address that changed (another token, another host)
replaces the one before. A subscription whose answer was lost is made again: at worst an event comes twice, which changes
nothing, and no source lists what stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from marketplace_returns.errors import BadSettings, SourceRefused
from marketplace_returns.settings_mistakes import variable_name
from marketplace_returns.webhooks.inbox import Subscription

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.webhooks.app import Door

WANTED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "peoplevox": (
            "AvailabilityChanges",
            "DespatchPackageDespatched",
            "GoodsReceived",
            "Returns",
            "SalesOrderStatusChanges",
        ),
        "reveni": ("return.created", "return.updated"),
        "returngo": ("RMA_CREATED", "RMA_STATUS_UPDATED", "SHIPMENT_STATUS_UPDATED", "TRANSACTION_CREATED"),
    }
)
"""The events that lead to work here. ReBound is not among them: how it is subscribed is agreed with its staff."""


@runtime_checkable
class Subscriber(Protocol):
    """A client whose system takes subscriptions over its API."""

    def subscribe(self, event_type: str, url: str) -> str:
        """Have events of a type sent to an address; return the subscription's id there."""

    def unsubscribe(self, subscription_id: str) -> None:
        """Take a subscription back; SourceRefused where there is none of that id."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What became of one event of a source: ``new``, ``replaced``, ``stands``, or ``by hand`` where no API takes it."""

    shop: str
    source: str
    event_type: str
    now: str


def subscribe(app: App, door: Door) -> list[Subscribed]:
    """Have a source call us for every event we want; once for each address.

    Raises:
        BadSettings: ``webhooks.public_url`` is not set, or a secret.
        SourceError: what was subscribed before stands.
    """
    base = app.settings.webhooks.public_url
    if not base:
        raise BadSettings(
            "webhooks.public_url is needed to subscribe: set the address the outside reaches this service at, in the "
            f"settings or as {variable_name('webhooks.public_url')}"
        )
    shop = app.shop(door.shop)
    client = app.client(shop, door.source) if door.source in WANTED else None
    if not isinstance(client, Subscriber):
        return [Subscribed(door.shop, door.source, "*", "by hand")]
    url = f"{base}/webhooks/{door.shop}/{door.source}/{door.token.decode()}"
    address_hash = hashlib.sha256(url.encode()).hexdigest()
    inbox = app.inbox(is_made=True)
    assert inbox is not None  # noqa: S101 - made just now
    standing = inbox.subscriptions(door.shop, door.source)
    done = []
    for event_type in WANTED[door.source]:
        before = standing.get(event_type)
        if before is not None and before.address_hash == address_hash and before.subscription_id:
            done.append(Subscribed(door.shop, door.source, event_type, "stands"))
            continue
        # written down before the call: a call whose answer is lost shows as a subscription without an id
        made = Subscription(door.shop, door.source, event_type, address_hash, "")
        if before is None:
            inbox.remember(made, app.clock.now())
        inbox.remember(replace(made, subscription_id=client.subscribe(event_type, url)), app.clock.now())
        if before is not None and before.subscription_id:
            _take_back(client, before.subscription_id)
        done.append(Subscribed(door.shop, door.source, event_type, "replaced" if before is not None else "new"))
    return done


def _take_back(client: Subscriber, subscription_id: str) -> None:
    """Unsubscribe the address before; one that is gone already is what was wanted."""
    try:
        client.unsubscribe(subscription_id)
    except SourceRefused as refused:
        if refused.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND, None}:
            raise
