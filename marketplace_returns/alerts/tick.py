"""One tick of the alerts: every channel is told what it was not told of yet.

Here: claim, send, keep, channel by channel. Not here: who is told what (``routing``) and how (``sending``). The invariants: nothing
leaves that is not claimed in the ledger; a failure keeps the whole batch and is itself an exception; a channel's failure is nobody
else's. A tick with nothing to tell reads and writes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marketplace_returns.alerts import routing
from marketplace_returns.alerts.messages import compose, trial_message
from marketplace_returns.alerts.sending import send
from marketplace_returns.errors import BadSettings
from marketplace_returns.lanes.plan import ExceptionPlan

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from marketplace_returns.ledger import Ledger
    from marketplace_returns.ledger.alerts import Batch
    from marketplace_returns.settings import AlertChannel, Settings

LEASE_S: Final = 120.0
"""How long a claim holds: longer than any try over a channel takes; a sender that died is followed after it."""

_AT_ONCE_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a channel: how much it was told now, or why not. ``down_since``: it has failed since then and is tried again."""

    channel: str
    sent: int
    message: str = ""
    is_setting_wrong: bool = False
    down_since: datetime | None = None

    @property
    def is_in_order(self) -> bool:
        """Whether nothing stands between this channel and its people."""
        return not self.message and self.down_since is None


def send_due(ledger: Ledger, settings: Settings, *, worker: str) -> list[Told]:
    """Tell every channel what it was not told of yet, one message each; ``worker`` names this tick and no other.

    Two ticks at once tell each thing once. One that dies after it claimed is followed by another when the claim runs out.
    """
    tick = _Tick(ledger, settings, worker)
    return _each(settings, tick.tell)


def try_channels(settings: Settings) -> list[Told]:
    """Send one test alert to every channel at once, whatever its hours; return what happened to each.

    Raises:
        BadSettings: there is no channel.
    """
    if not settings.alerts.channels:
        raise BadSettings(
            "no alert channel is set: add [alerts.channels.<name>] to the settings file, and its Apprise URL as "
            "MARKETPLACE_RETURNS__ALERTS__CHANNELS__<NAME>__URL to the environment"
        )
    return _each(settings, _tried)


def _tried(name: str, channel: AlertChannel) -> Told:
    try:
        reason = send(name, channel, lambda _room: trial_message())
    except BadSettings as mistake:
        return Told(name, 0, str(mistake), is_setting_wrong=True)
    return Told(name, 0 if reason else 1, reason)


@dataclass(frozen=True, slots=True)
class _Tick:
    ledger: Ledger
    settings: Settings
    worker: str

    def tell(self, name: str, channel: AlertChannel) -> Told:
        """Tell one channel what is due."""
        alerts, now = self.settings.alerts, self.ledger.clock.now()
        state = self.ledger.alert_channel(name)
        if state.retry_at is not None and now < state.retry_at:
            return Told(name, 0, state.last_error, down_since=state.down_since)
        digest = routing.digest_due(alerts, state, now)
        wanted = routing.wanted(name, alerts, self.ledger.owners(), now, with_digest=digest is not None)
        told = Told(name, 0, state.last_error, down_since=state.down_since)
        if self.ledger.alerts_due(wanted):
            batch = self.ledger.claim_alerts(wanted, worker=self.worker, lease_s=LEASE_S)
            if not batch:  # another sender was quicker
                return told
            told = self._send(name, channel, batch)
            if not told.is_in_order:
                return told
        if digest is not None:
            self.ledger.digest_told(name, digest)
        return told

    def _send(self, name: str, channel: AlertChannel, batch: Batch) -> Told:
        is_setting_wrong = False
        try:
            reason = send(name, channel, lambda room: compose(batch, self.settings, characters_max=room))
        except BadSettings as mistake:
            reason, is_setting_wrong = str(mistake), True
        shop = min(channel.shops or self.settings.shops)
        if not reason:
            self.ledger.alerts_taken(batch, worker=self.worker, shop=shop)
            return Told(name, len(batch.tellings) + len(batch.events))
        now = self.ledger.clock.now()
        failures = self.ledger.alert_channel(name).failures
        down = self.ledger.alerts_refused(
            batch,
            worker=self.worker,
            reason=reason,
            retry_at=now + routing.retry_after(failures),
            plan=_down(shop, name, reason),
        )
        return Told(name, 0, reason, is_setting_wrong, down.down_since)


def _down(shop: str, name: str, reason: str) -> ExceptionPlan:
    """Make the exception of a channel that fails: other channels tell of it, and the queue shows it."""
    return ExceptionPlan(
        shop=shop,
        type="SOURCE_STALE",
        entity={"alert_channel": name},
        cause="alert channel",
        message=(
            f"Alert channel {name} took no alert: {reason}. Nothing is lost: what it should have told is kept and sent as one "
            "message when it works again. Try it with `alerts test`."
        ),
    )


def _each(settings: Settings, tell: Callable[[str, AlertChannel], Told]) -> list[Told]:
    channels = settings.alerts.channels
    if not channels:
        return []
    with ThreadPoolExecutor(max_workers=min(len(channels), _AT_ONCE_MAX)) as pool:
        return list(pool.map(tell, channels, channels.values()))
