"""A process that dies after it claimed what is due and before anything leaves."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from marketplace_returns.alerts import tick
from marketplace_returns_tests.alerts.receiver import Desk


def die(*_arguments: object) -> str:
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


if __name__ == "__main__":
    folder, url = sys.argv[1:]
    tick.send = die
    desk = Desk(Path(folder), {"ops": {"url": url}})
    tick.send_due(desk.ledger, desk.settings, worker="dies")
