"""One audit of a shop: every area in order, its findings gravest first.

Here: the order of the areas and what they are given. Not here: any check. The invariant: an area that fails tells so as a
finding and stops none of the others.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marketplace_returns.clock import SystemClock
from marketplace_returns.errors import MarketplaceReturnsError
from marketplace_returns.orchestration.audit import (
    access,
    catalogue,
    clocks,
    extracts,
    permissions,
    platform,
    storage,
    translations,
    written_settings,
)
from marketplace_returns.orchestration.audit.findings import Audit, Finding, Inspection, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from marketplace_returns.clock import Clock
    from marketplace_returns.orchestration.app import App

    Area = Callable[[Inspection], Iterable[Finding]]

# Access comes before what it brings: the others look at what could be read.
AREAS: Final[Mapping[str, Area]] = MappingProxyType(
    {
        "settings": written_settings.inspect,
        "storage": storage.inspect,
        "access": access.inspect,
        "clocks": clocks.inspect,
        "permissions": permissions.inspect,
        "mappings": translations.inspect,
        "catalogue": catalogue.inspect,
        "returns platform": platform.inspect,
        "extracts": extracts.inspect,
    }
)
_GRAVEST_FIRST: Final = tuple(Level)


def inspect(
    app: App,
    shop_name: str,
    *,
    run_id: str,
    wall: Clock | None = None,
    dagster_home: Path | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Audit:
    """Audit one shop, both sides; reads only (R116).

    ``wall`` is this machine's time of day; ``dagster_home`` the folder Dagster will run in, where it is to be checked.

    Raises:
        BadArgument: an unknown shop.
    """
    shop = app.shop(shop_name)
    say = on_progress or (lambda _: None)
    inspection = Inspection(app, shop, wall or SystemClock(), run_id, dagster_home, say)
    findings: list[Finding] = []
    counts: dict[str, int] = {}
    for name, area in AREAS.items():
        say(f"{name}: looking")
        found = _asked(inspection, name, area)
        counts[name] = sum(each.is_gap for each in found)
        findings += found
    findings.sort(key=lambda each: (_GRAVEST_FIRST.index(each.level), list(AREAS).index(each.area), each.subject))
    return Audit(shop.name, app.clock.now(), tuple(findings), MappingProxyType(counts))


def _asked(inspection: Inspection, name: str, area: Area) -> list[Finding]:
    try:
        return list(area(inspection))
    except MarketplaceReturnsError as error:
        return [
            Finding(
                shop=inspection.shop.name,
                area=name,
                subject=name,
                level=Level.HIGH,
                finding=f"could not be inspected: {error}",
                fix="Mend that and run the audit again.",
            )
        ]
