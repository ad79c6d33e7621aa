"""How often Mirakl may be called.

Here lives the published table of call frequencies, one row per operation used. What must not live here: counting (see
``sources/budget.py``). The invariant: an operation that has a published ceiling has it here, for each kind of key.

How the published words are read. Mirakl enforces frequencies over the last hour, so "once per minute" of OR11 is 60 calls an
hour, whatever they ask; they are spent in windows of five minutes, for whoever burns an hour's calls in ten minutes accepts no
order in the other fifty. Of the five calls one at least is the fresh read's before a refund, two at most, and these two half a
window apart, so that no refund waits for a whole one; three at least are for the orders to accept, the regular poll being one of
them. RT11 is spent in quarters of an hour. Where a poll's ceiling is
so low that a second page would never be read (RT11, SBC11, IV01; the latter two say "as many times as there are pages"),
further pages belong to the poll and are not counted. Operations of an event (a refund, an acceptance) have no ceiling; a 429
holds every operation back.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from marketplace_returns.sources.budget import Rate

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0
ACCEPTANCE_LOOK_S = 100
"""How often orders are read, or those that wait for acceptance asked for: three of OR11's five calls in five minutes."""

CallProfile = Literal["seller", "external_partner", "sandbox"]

_ONCE_A_DAY = (Rate(1, DAY_S),)

_SELLER: Mapping[str, tuple[Rate, ...]] = MappingProxyType(
    {
        "A01": _ONCE_A_DAY,
        "SH21": _ONCE_A_DAY,
        "OR11": (Rate(5, 5 * MINUTE_S, reserved=1, regular=3), Rate(5, 2.5 * MINUTE_S, regular=4)),
        "OR13": (Rate(1, 5 * MINUTE_S),),
        "OR14": (Rate(1, 2.0),),
        "RT11": (Rate(3, 15 * MINUTE_S),),
        "STO01": (Rate(1, MINUTE_S),),
        "STO02": (Rate(1, 15.0),),
        "STO03": (Rate(1, MINUTE_S),),
        "TL02": (Rate(20, MINUTE_S), Rate(60, HOUR_S)),
        "TL03": _ONCE_A_DAY,
        "TL04": (Rate(1, 10.0),),
        "SBC11": _ONCE_A_DAY,
        "IV01": _ONCE_A_DAY,
    }
)
_EXTERNAL_PARTNER: Mapping[str, tuple[Rate, ...]] = MappingProxyType(
    {**_SELLER, "OR11": (Rate(4, HOUR_S, reserved=1),)}
)


def ceilings(profile: CallProfile) -> Mapping[str, tuple[Rate, ...]]:
    """Return the ceilings of a kind of key; the sandbox has none (apis: Appendix A; Mirakl fact G5)."""
    match profile:
        case "seller":
            return _SELLER
        case "external_partner":
            return _EXTERNAL_PARTNER
        case "sandbox":
            return MappingProxyType({})
