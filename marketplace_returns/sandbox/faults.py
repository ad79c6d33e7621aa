"""What can be made to go wrong on the way to and from the systems.

Here: fault rules, which call they hit, the named profiles. Not here: how a fault is played on the wire (gate.py). Invariant: which calls
are hit depends on the rule's seed and the call's number only, so a run can be repeated.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

KINDS: Final = frozenset(
    {
        "timeout",  # nothing is done; no answer for delay_s, then the connection closes
        "timeout_after",  # the effect is applied; no answer for delay_s, then the connection closes
        "reset",  # nothing is done; the connection closes at once
        "reset_after",  # the effect is applied; the connection closes at once
        "http_500_before",
        "http_500_after",
        "http_502_html",
        "http_502_html_after",
        "http_429",
        "http_429_no_retry_after",
        "truncated",  # the effect is applied; half of the answer's body arrives
        "slow",  # the answer comes, after delay_s
        "session_expired",  # Peoplevox: this session is gone (the face reads scope["sandbox_fault"])
        "other_shape",  # nothing is done; JSON in which nothing is that should be
        "malformed_row",  # Peoplevox: the first data row of the answer has too few cells (read likewise)
    }
)
FACE_KINDS: Final = frozenset({"session_expired", "malformed_row"})


@dataclass(slots=True)
class FaultRule:
    """Which calls go wrong, how and how often; empty system or operation means any, `about` a text that path or body must hold.

    `skip` lets that many calls by first, `times` bounds the hits (0: no bound), `delay_s` is for timeout and slow, `retry_after_s` for http_429.
    """

    kind: str
    system: str = ""
    operation: str = ""
    times: int = 0
    probability: float = 1.0
    seed: int = 0
    delay_s: float = 60.0
    retry_after_s: int = 2
    writes_only: bool = False
    skip: int = 0
    about: str = ""
    hits: int = 0
    passed: int = 0
    _chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the rule; raises ValueError naming what is wrong."""
        if self.kind not in KINDS:
            raise ValueError(f"fault kind '{self.kind}' is not one of {', '.join(sorted(KINDS))}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"fault probability {self.probability} is not between 0 and 1")
        self._chance = random.Random(self.seed)  # noqa: S311 - play, not secrecy

    def hit(self, system: str, operation: str, *, is_write: bool, said: str = "") -> bool:
        """Whether this call goes wrong, which said that (its path and body); counts the hit."""
        if self.system not in {"", system} or self.operation not in {"", operation} or self.about not in said:
            return False
        if (self.writes_only and not is_write) or (self.times and self.hits >= self.times):
            return False
        if self.passed < self.skip:
            self.passed += 1
            return False
        if self._chance.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def shown(self) -> dict[str, Any]:
        """The rule as the control API shows it."""
        names = (
            "kind",
            "system",
            "operation",
            "times",
            "probability",
            "seed",
            "delay_s",
            "retry_after_s",
            "writes_only",
            "skip",
            "about",
            "hits",
        )
        return {name: getattr(self, name) for name in names}


def read_rule(raw: dict[str, Any]) -> FaultRule:
    """A rule from a JSON object; raises ValueError for unknown names or values."""
    known = {
        "kind",
        "system",
        "operation",
        "times",
        "probability",
        "seed",
        "delay_s",
        "retry_after_s",
        "writes_only",
        "skip",
        "about",
    }
    unknown = set(raw) - known
    if unknown or "kind" not in raw:
        raise ValueError(
            f"a fault rule has the fields {', '.join(sorted(known))} and needs kind; not {sorted(unknown)}"
        )
    return FaultRule(**raw)


def profile(name: str, seed: int = 0) -> list[FaultRule]:
    """The rules of a named profile: none, light (about 1 call in 100) or heavy (about 1 in 12); ValueError for another name."""
    shares = {"none": 0.0, "light": 0.0015, "heavy": 0.012}
    if name not in shares:
        raise ValueError(f"fault profile '{name}' is not one of {', '.join(shares)}")
    if name == "none":
        return []
    kinds = ("reset", "http_500_before", "http_502_html", "http_429", "truncated", "http_500_after", "reset_after")
    return [
        FaultRule(kind, probability=shares[name], seed=seed + number, retry_after_s=1)
        for number, kind in enumerate(kinds)
    ]
