"""The verdict on a seed: the sandbox's own truth held against the ledger, after everything has come to rest.

Here live what counts as doubled, as lost, and as not explained. Not here: playing (play.py). Invariant: what is doubled is
never excused; what is missing is excused only by an open exception that has an owner and names it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from marketplace_returns.ledger.exceptions import OpenException
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.states import DONE, State
from marketplace_returns.orchestration.app import App
from marketplace_returns.sandbox import truth
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import WriteKind

NOT_DONE = frozenset(
    {
        "not accepted in time",
        "no warehouse order",
        "cancelled, still open in the warehouse",
        "despatched, not confirmed",
        "not expected by the warehouse",
        "cancelled, still expected by the warehouse",
        "expected with other items",
        "no platform return",
        "not refunded",
        "refunded, not closed",
        "offer and warehouse differ",
    }
)
"""What the truth finds missing; all else that it finds is wrong or doubled."""

BOOKS = "every payout equals its ledger lines"
"""The operator's own books, which no write of ours changes."""


@dataclass
class Verdict:
    """What does not hold, in words and counted; ``with_person`` counts what is missing and owned."""

    doubled: int = 0
    lost: int = 0
    unexplained: int = 0
    with_person: int = 0
    raced: int = 0
    words: list[str] = field(default_factory=list)

    def count(self, what: str, words: str, times: int = 1) -> None:
        """Add what does not hold."""
        setattr(self, what, getattr(self, what) + times)
        self.words.append(f"{what}: {words}")


def judge(world: World, app: App) -> Verdict:
    """Hold the world against the ledger."""
    verdict = Verdict()
    intents = app.ledger.intents()
    open_exceptions = [each for each in app.ledger.exceptions() if each.owner]
    owned = _owned(open_exceptions, intents)
    for check in _checks(world):
        if check.name == BOOKS:
            continue
        for broken in check.violations:
            _judge_broken(verdict, world, check.name, broken, owned)
    _judge_refunds(verdict, world, intents)
    _judge_rest(verdict, app, intents, open_exceptions)
    return verdict


def _checks(world: World) -> Iterator[truth.Check]:
    due = world.clock.now()
    yield truth._orders_decided(world)
    yield truth._warehouse_orders(world, due)
    yield truth._despatches(world, due)
    yield truth._expected_receipts(world, due)
    yield truth._platform_returns(world, due)
    yield from truth._refunds(world, due)
    yield truth._returns_closed(world, due)
    yield truth._stock(world, due)


def _owned(open_exceptions: list[OpenException], intents: list[Intent]) -> dict[str, str]:
    """Return what somebody looks at, by every id that an open exception or its write names."""
    by_id = {each.intent_id: each for each in intents}
    owned: dict[str, str] = {}
    for each in open_exceptions:
        names = {*each.entity.values(), *_texts(each.evidence)}
        if (intent := by_id.get(each.intent_id)) is not None:
            names |= {intent.order_id, intent.order_line_id, intent.return_id, intent.natural_key}
        for name in names - {""}:
            owned[name] = each.type
            owned.setdefault(name.partition("#")[0], each.type)
            owned.setdefault(name.removeprefix("RTN-"), each.type)
    return owned


def _texts(evidence: Any) -> Iterator[str]:
    if isinstance(evidence, str):
        yield evidence
    elif isinstance(evidence, dict):
        for value in evidence.values():
            yield from _texts(value)
    elif isinstance(evidence, list):
        for value in evidence:
            yield from _texts(value)


def _judge_broken(verdict: Verdict, world: World, name: str, broken: dict[str, Any], owned: dict[str, str]) -> None:
    reference, problem = str(broken["reference"]), str(broken["problem"])
    if problem in NOT_DONE:
        if any(about in owned for about in _about(world, reference)):
            verdict.with_person += 1
        elif problem == "expected with other items" and _came_first(world, reference):
            verdict.raced += 1
        else:
            verdict.count("lost", f"{name}: {broken}")
    elif _was_by_hand(world, reference):
        verdict.raced += 1
    else:
        verdict.count("doubled", f"{name}: {broken}")


def _about(world: World, reference: str) -> Iterator[str]:
    """Yield the ids by which an exception may name the same thing."""
    yield reference
    if reference in world.marketplace.order_of_line:
        yield world.marketplace.order_of_line[reference]
        for one in world.returns.by_order(world.marketplace.order_of_line[reference]):
            if any(part.order_line_id == reference for part in one.lines):
                yield one.id
    if reference in world.returns.returns:
        one = world.returns.returns[reference]
        yield one.order_id
        yield from (part.order_line_id for part in one.lines)
    if reference in world.marketplace.orders:
        yield from (line.id for line in world.marketplace.orders[reference].lines)


def _came_first(world: World, return_id: str) -> bool:
    """Tell whether the goods came before the warehouse had their lines: then nothing is announced any more."""
    announced = world.warehouse.purchase_orders.get(f"RTN-{return_id}")
    has_come = return_id in world.returns.returns and world.returns.returns[return_id].inspected_at is not None
    return announced is not None and not announced.items and (has_come or announced.status == "Received")


def _was_by_hand(world: World, line_id: str) -> bool:
    """Tell whether a person refunded on this line too, so that the truth cannot say whose refund is for which unit."""
    if line_id not in world.marketplace.order_of_line:
        return False
    _, line = world.marketplace.find_line(line_id)
    return any(refund.origin == "portal" for refund in line.refunds)


def _judge_refunds(verdict: Verdict, world: World, intents: list[Intent]) -> None:
    """See that every refund of ours belongs to one write, every done write to one refund, and no line got too much."""
    claimed: dict[str, list[Intent]] = defaultdict(list)
    stuck = {each.order_line_id for each in intents if each.kind is WriteKind.REFUND and each.state is State.CONFLICT}
    for each in intents:
        if each.kind is WriteKind.REFUND and each.state in DONE:
            claimed[each.external_ref].append(each)
            if each.external_ref not in world.refunds.by_id:
                verdict.count(
                    "unexplained", f"refund {each.natural_key} is {each.state} and there is no {each.external_ref}"
                )
    for refund in world.refunds.by_id.values():
        found = claimed.get(refund.id, [])
        if len(found) > 1:
            verdict.count("unexplained", f"refund {refund.id} belongs to {[each.natural_key for each in found]}")
        if refund.origin == "api" and not found and refund.line_id not in stuck:
            verdict.count("unexplained", f"refund {refund.id} of {refund.line_id} belongs to no write")
    for order in world.marketplace.orders.values():
        for line in order.lines:
            if line.refunded_minor() > line.price_minor:
                verdict.count("doubled", f"{line.id}: refunded {line.refunded_minor()} of {line.price_minor}")


def _judge_rest(verdict: Verdict, app: App, intents: list[Intent], open_exceptions: list[OpenException]) -> None:
    """See that everything is at rest, and that what a person must decide has one."""
    now = app.clock.now()
    owners = {each.intent_id for each in open_exceptions}
    by_id = {each.intent_id: each for each in intents}
    # An order whose refund somebody looks at gets no other one meanwhile.
    frozen = {each.order_id for each in intents if each.state is State.CONFLICT and each.intent_id in owners}
    for each in intents:
        if each.kind is WriteKind.REFUND and each.state is State.PLANNED and each.order_id in frozen:
            verdict.with_person += 1
            continue
        about = f"{each.kind} {each.natural_key} is {each.state}: {each.last_error}"
        is_due = each.state is State.PLANNED and (each.not_before is None or each.not_before <= now)
        if each.state in {State.SENDING, State.UNKNOWN} or is_due:
            verdict.count("unexplained", f"not at rest: {about}")
        elif each.state in {State.CONFLICT, State.REJECTED} and each.intent_id not in owners:
            verdict.count("unexplained", f"nobody owns it: {about}")
    for attempt in app.ledger.attempts(list(by_id)):
        if attempt["ended_at"] is None:
            verdict.count("unexplained", f"an attempt of {attempt['intent_id']} has no end")
    for left in open_exceptions:
        if left.intent_id in by_id and by_id[left.intent_id].state in DONE and left.type != "REFUND_MANUAL_ADOPTED":
            verdict.count("unexplained", f"{left.type} is open though its write is done: {left.message}")


def kinds_of(intents: list[Intent]) -> Counter[str]:
    """Return how many writes were made, by kind."""
    return Counter(str(each.kind) for each in intents if each.state in DONE)
