"""What a row more in a mapping table would move, before it is saved: the lanes decide twice, with and without it.

Here: deciding in shadow and comparing. Not here: changing a table (``mapping_change``), a rule of a lane. The invariants: nothing
is written, to the lake, the ledger or outside; both decisions stand on one state of the lake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from marketplace_returns import model
from marketplace_returns.desk.lookup import Desk
from marketplace_returns.lake.connection import all_threads, one_snapshot, snapshot_of
from marketplace_returns.lanes import LANES
from marketplace_returns.ledger.exceptions import fingerprint
from marketplace_returns.ledger.intents import encode, intent_id
from marketplace_returns.ledger.states import State
from marketplace_returns.monitoring import look
from marketplace_returns.monitoring.watch import Seen
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan
    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

EXAMPLES_MAX: Final = 5
REVIEW: Final = "mapping_review"
_NOT_SENT: Final = frozenset({State.PLANNED, State.SHADOWED, State.SUPERSEDED, State.REJECTED})

What = Literal["closes", "opens", "plans", "drops", "changes"]


@dataclass(frozen=True, slots=True)
class Effect:
    """Things of one sort that would move. ``name`` is the exception's type or the write's kind; money in minor units by currency."""

    shop: str
    what: What
    name: str
    count: int
    amounts: tuple[tuple[str, int], ...]
    examples: tuple[str, ...]
    mode: str = ""
    """For writes: live, shadow or off now."""


@dataclass(frozen=True, slots=True)
class _Decided:
    intents: Mapping[str, IntentPlan]
    exceptions: Mapping[str, ExceptionPlan]


def preview(desk: Desk, mappings: Mappings, now: datetime) -> list[Effect]:
    """Return what all shops' lanes would decide otherwise with these mappings; nothing where they decide the same."""
    version = snapshot_of(desk.con)
    effects: list[Effect] = []
    for name in sorted(desk.settings.shops):
        shop = desk.settings.shop(name)
        before = _decide(desk, shop, desk.mappings, now, version=version)
        effects += _compare(desk, shop, before, _decide(desk, shop, mappings, now, version=version))
    return effects


def review(desk: Desk, shop_name: str, now: datetime) -> Seen:
    """Return every outside code of a shop with its state, count and an example: see ``mapping_review.sql``."""
    shop = desk.settings.shop(shop_name)
    with closing(desk.lake.connect()) as con, all_threads(con):
        # Three of the model's views are asked, once each: to compute all of it first takes twice as long.
        model.attach(con, desk.settings, desk.mappings, desk.facts())
        return look(con, REVIEW, shop, now)


def _decide(desk: Desk, shop: Shop, mappings: Mappings, now: datetime, *, version: int) -> _Decided:
    """Let every lane decide on one state of the lake; nothing can be written to it there."""
    intents: dict[str, IntentPlan] = {}
    exceptions: dict[str, ExceptionPlan] = {}
    with closing(desk.lake.connect(version=version)) as con:
        model.attach_facts(con, desk.settings, mappings, desk.facts())
        model.compute(con, shop.name)
        with one_snapshot(con):
            for decide in LANES.values():
                decision = decide(con, shop, mappings, now)
                intents |= {intent_id(each.shop, each.kind, each.natural_key): each for each in decision.intents}
                exceptions |= {fingerprint(each): each for each in decision.exceptions}
    return _Decided(intents, exceptions)


def _compare(desk: Desk, shop: Shop, before: _Decided, after: _Decided) -> list[Effect]:
    gone = [each for key, each in before.exceptions.items() if key not in after.exceptions]
    new = [each for key, each in after.exceptions.items() if key not in before.exceptions]
    changed = {
        key: each
        for key, each in after.intents.items()
        if key in before.intents and encode(before.intents[key].body) != encode(each.body)
    }
    planned = {key: each for key, each in after.intents.items() if key not in before.intents}
    dropped = {key: each for key, each in before.intents.items() if key not in after.intents}
    # What is sent or unclear stays as it is, whatever a lane says now.
    states = {each.intent_id: each.state for each in desk.ledger.intents(intent_ids=[*changed, *planned, *dropped])}
    writes: tuple[tuple[What, Mapping[str, IntentPlan]], ...] = (
        ("plans", planned),
        ("changes", changed),
        ("drops", dropped),
    )
    effects = [
        *_grouped(shop, "closes", ((each.type, _about(each.entity), each) for each in gone)),
        *_grouped(shop, "opens", ((each.type, _about(each.entity), each) for each in new)),
    ]
    for what, plans in writes:
        moving = [each for key, each in plans.items() if states.get(key, State.PLANNED) in _NOT_SENT]
        effects += _grouped(shop, what, ((str(each.kind), each.natural_key, each) for each in moving))
    return effects


def _grouped(shop: Shop, what: What, things: Iterable[tuple[str, str, Any]]) -> list[Effect]:
    by_name: dict[str, list[tuple[str, Any]]] = {}
    for name, about, each in things:
        by_name.setdefault(name, []).append((about, each))
    effects = []
    for name, found in sorted(by_name.items()):
        amounts: dict[str, int] = {}
        for _, each in found:
            if each.amount_minor:
                amounts[each.currency] = amounts.get(each.currency, 0) + each.amount_minor
        examples = tuple(sorted(about for about, _ in found)[:EXAMPLES_MAX])
        mode = "" if what in ("closes", "opens") else _mode(shop, name)
        effects.append(Effect(shop.name, what, name, len(found), tuple(sorted(amounts.items())), examples, mode))
    return effects


def _mode(shop: Shop, kind: str) -> str:
    return str(shop.write_mode(WriteKind(kind)))


def _about(entity: Mapping[str, str]) -> str:
    """Name a thing by the narrowest of its ids."""
    for name in ("return_unit_id", "return_id", "order_line_id", "order_id"):
        if entity.get(name):
            return entity[name]
    return ", ".join(entity.values())
