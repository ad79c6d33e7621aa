"""Alerts: people hear of exceptions where they are, through Apprise.

Here: who is told what and when (``routing``), in which words (``messages``), how it leaves (``sending``), and one tick of it all
(``tick``). Not here: what was told already (the ledger keeps it), what is an exception (lanes and monitoring). The invariants: each
stage of each opening is told a channel once; no alert is lost where a channel is down or a sender dies, it may come twice; one
message a channel and tick; no personal data and no secret in it.
"""

from marketplace_returns.alerts.routing import owners_without_channel
from marketplace_returns.alerts.tick import Told, send_due, try_channels

__all__ = ["Told", "owners_without_channel", "send_due", "try_channels"]
