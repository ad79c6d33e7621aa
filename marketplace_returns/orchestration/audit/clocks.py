"""Clocks: do this machine and every system agree on the time (deadlines, windows and cut-offs rest on it).

Here: the Date header of each system against this machine's time of day. The invariant: one request without a key per system,
which changes nothing whatever its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Final

from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level
from marketplace_returns.sources.clocks import ahead_by

_finding = partial(Finding, area="clocks")

SKEW_MAX: Final = timedelta(seconds=60)
"""Polls overlap by minutes and deadlines are hours, so a minute apart does no harm."""


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find clocks that are more than a minute apart."""
    shop = inspection.shop
    addresses = {"mirakl": shop.mirakl.base_url}
    if shop.returns.read == "api":
        addresses[shop.returns.platform] = shop.returns.base_url
    if shop.warehouse is not None and shop.warehouse.read == "api":
        addresses[shop.warehouse.system] = shop.warehouse.base_url
    measured = {
        system: ahead
        for system, address in addresses.items()
        if (ahead := ahead_by(address, inspection.app.settings.timing, inspection.wall)) is not None
    }
    skewed = {system: ahead for system, ahead in measured.items() if abs(ahead) > SKEW_MAX}
    # Several systems that agree with each other and not with us: it is us.
    if len(measured) > 1 and len(skewed) == len(measured) and max(skewed.values()) - min(skewed.values()) <= SKEW_MAX:
        yield _finding(
            shop=shop.name,
            subject="this machine",
            level=Level.CRITICAL,
            finding=f"All systems agree that this machine's clock is {_words(-next(iter(skewed.values())))}.",
            fix="Set this machine's clock by NTP (timedatectl set-ntp true) and run the audit again.",
        )
        return
    for system, ahead in skewed.items():
        yield _finding(
            shop=shop.name,
            subject=system,
            level=Level.HIGH,
            finding=f"The clock of {system} is {_words(ahead)} against this machine's.",
            fix=f"Tell the operator of {system}; until it is right, its times may fall outside of the windows that are polled.",
        )


def _words(ahead: timedelta) -> str:
    """Say it to the minute: the header tells whole seconds, and the answer took its time."""
    minutes = round(abs(ahead).total_seconds() / 60)
    return f"{timedelta(minutes=minutes)} {'fast' if ahead > timedelta(0) else 'slow'}"
