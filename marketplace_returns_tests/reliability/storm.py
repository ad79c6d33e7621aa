"""A storm of 429: every call refused for a while, then every second one, while orders, returns and refunds go on.

Here live the storm, the installation in it with its real call budget, and the judge. Not here: how the pipeline waits.
Invariant: what is judged is the outside's own log of calls, every refused one in it, never what our side says it did.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from starlette.types import Receive, Scope, Send

from marketplace_returns.errors import SourceError
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.signals import waiting_orders
from marketplace_returns.orchestration.streams import ORDERS
from marketplace_returns.orchestration.sync import decide, decided_on, poll_or_tell, run_pass, send
from marketplace_returns.sandbox.app import build
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.gate import _answer
from marketplace_returns.sandbox.server import RunningSandbox
from marketplace_returns.sandbox.truth import examine
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import Settings, WriteKind
from marketplace_returns.sources.mirakl.frequencies import ACCEPTANCE_LOOK_S
from marketplace_returns_tests.orchestration.conftest import SHOP, settings_for
from marketplace_returns_tests.reliability import page
from marketplace_returns_tests.reliability.stage import Door

SEED = 429
RETRY_AFTER_S = (1, 120)
DAY_S = 86_400
CEILINGS = {
    "A01": ((1, DAY_S),),
    "SH21": ((1, DAY_S),),
    "OR11": ((60, 3600),),
    "OR13": ((1, 300),),
    "OR14": ((1, 2),),
    "RT11": ((12, 3600),),
    "STO01": ((1, 60),),
    "STO02": ((1, 15),),
    "STO03": ((1, 60),),
    "TL02": ((20, 60), (60, 3600)),
    "SBC11": ((1, DAY_S),),
    "IV01": ((1, DAY_S),),
}
"""Mirakl's published call frequencies: at most so many calls of an operation in any window of so many seconds."""

PAGES_ARE_ONE_CALL = ("RT11", "SBC11", "IV01")
TICK = timedelta(seconds=60)
LOOK_EVERY = timedelta(seconds=ACCEPTANCE_LOOK_S)
PASS_EVERY = timedelta(minutes=5)
OPEN = (State.PLANNED, State.SENDING, State.UNKNOWN)


@dataclass(frozen=True)
class Call:
    """One call as the outside saw it; ``retry_after_s`` where it was refused by the storm."""

    at: datetime
    system: str
    operation: str
    is_further_page: bool
    retry_after_s: int | None = None


class StormClock:
    """The time of both sides, to the microsecond; a wait lets the world live on."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self._now = sandbox.world.clock.now()

    def now(self) -> datetime:
        """Return the instant."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.move_to(self._now + timedelta(seconds=seconds))

    def move_to(self, instant: datetime) -> None:
        """Let both sides live until an instant."""
        if instant > self._now:
            self._now = instant
            self.sandbox.advance_to(instant)


class StormDoor(Door):
    """The application that is served; in the storm it refuses calls, with a time that it draws."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.refused_share: Callable[[datetime], float] = lambda _now: 0.0
        self.now: Callable[[], datetime] | None = None
        self.decided: dict[str, datetime] = {}
        """When each order's decision (OR21) was passed on."""
        self._chance = Random(seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a call or pass it on, and log it."""
        assert self.gate is not None
        if scope["type"] != "http" or scope["path"].startswith("/sandbox") or self.now is None:
            await self.gate(scope, receive, send)
            return
        system, operation, _ = self.gate._name(scope)
        query = scope["query_string"]
        is_further_page = b"page_token=" in query or (b"offset=" in query and b"offset=0" not in query)
        now = self.now()
        if self._chance.random() < self.refused_share(now):
            wait_s = self._chance.randint(*RETRY_AFTER_S)
            self.calls.append(Call(now, system, operation, is_further_page, wait_s))
            await _answer(send, 429, b'{"message":"Too many requests","status":429}', retry_after_s=wait_s)
            return
        self.calls.append(Call(now, system, operation, is_further_page))
        await self.gate(scope, receive, send)
        if operation == "OR21":
            self.decided.setdefault(scope["path"].split("/")[-2], now)


@dataclass(frozen=True)
class Plan:
    """How long each part lasts, and how big the world is."""

    full: timedelta = timedelta(minutes=10)
    half: timedelta = timedelta(minutes=20)
    orders: int = 1200
    days: int = 20
    passes_before: tuple[int, ...] = (72, 72, 72, 72, 72, 24)
    """Hours between the passes before the storm."""

    unseen_hours: int = 9
    """How long the world then lived on without us, so that the storm meets a queue."""

    @property
    def length(self) -> timedelta:
        """Return how long the storm lasts."""
        return self.full + self.half


@dataclass
class Outcome:
    """What a storm came to."""

    calls: int = 0
    refused: int = 0
    in_storm: int = 0
    too_early: list[str] = field(default_factory=list)
    over_budget: list[str] = field(default_factory=list)
    busiest: dict[str, str] = field(default_factory=dict)
    queue_at_end: int = 0
    max_queue: int = 0
    max_age_s: float = 0.0
    drained_after_s: float | None = None
    accepted: int = 0
    accepted_latest_s: float = 0.0
    writes: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    length_s: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Return what did not hold."""
        found = [*self.too_early, *self.over_budget, *self.wrongs, *self.missing]
        if self.drained_after_s is None or self.drained_after_s > 2 * self.length_s:
            found.append(f"the queue was not drained within twice the storm's length: {self.drained_after_s} s")
        return found


def play(plan: Plan, seed: int = SEED) -> Outcome:
    """Play a storm; the world and the draws depend on the seed alone."""
    config = WorldConfig(
        seed=seed,
        orders=plan.orders,
        days=plan.days,
        skus=40,
        acceptance_hours=120,
        import_delay_s=0.0,
        export_delay_s=0.0,
    )
    world, door = World(config), StormDoor(seed)
    sandbox = RunningSandbox(world, door, "127.0.0.1", 0)  # type: ignore[arg-type]
    gate = build(world)
    sandbox.gate = door.gate = gate
    sandbox.start()
    try:
        with tempfile.TemporaryDirectory(prefix="storm-") as folder:
            app = App.open(_settings(sandbox, Path(folder)), StormClock(sandbox))
            try:
                return _Storm(plan, sandbox, door, app).play()
            finally:
                app.close()
    finally:
        sandbox.stop()


def _settings(sandbox: RunningSandbox, folder: Path) -> Settings:
    """Return settings with the call budget of a real seller's key."""
    settings = settings_for(sandbox, folder / "data")
    shop = settings.shops[SHOP]
    mirakl = shop.mirakl.model_copy(update={"call_profile": "seller"})
    return settings.model_copy(update={"shops": {SHOP: shop.model_copy(update={"mirakl": mirakl})}})


class _Storm:
    """One storm and what is seen of it."""

    def __init__(self, plan: Plan, sandbox: RunningSandbox, door: StormDoor, app: App) -> None:
        self.plan, self.sandbox, self.door, self.app = plan, sandbox, door, app
        assert isinstance(app.clock, StormClock)
        self.clock = app.clock
        self.outcome = Outcome(length_s=plan.length.total_seconds())
        self._looked_at = self._passed_at = self.clock.now() - timedelta(days=1)
        self._run = 0

    def play(self) -> Outcome:
        """Play it, and judge."""
        self.door.now = self.clock.now
        for hours in self.plan.passes_before:
            self.clock.move_to(self.clock.now() + timedelta(hours=hours))
            self._tick(is_first=True)
        self.clock.move_to(self.clock.now() + timedelta(hours=self.plan.unseen_hours))
        began = self.clock.now()
        full_until, until = began + self.plan.full, began + self.plan.length
        self.door.refused_share = lambda now: 1.0 if now < full_until else 0.5 if now < until else 0.0
        self._live_until(until)
        ended = self.clock.now()
        waiting = {each.intent_id for each in self._open() if each.planned_at <= ended}
        self.outcome.queue_at_end = len(waiting)
        give_up = ended + 3 * self.plan.length
        while waiting and self.clock.now() < give_up:
            self._live_until(self.clock.now() + TICK)
            waiting &= {each.intent_id for each in self._open()}
        if not waiting:
            self.outcome.drained_after_s = (self.clock.now() - ended).total_seconds()
        self._judge(began, until)
        return self.outcome

    def _live_until(self, until: datetime) -> None:
        while self.clock.now() < until:
            self.clock.move_to(min(self.clock.now() + TICK, until))
            self._tick()
            self._watch()

    def _tick(self, *, is_first: bool = False) -> None:
        """Do what sensors and schedules would do now: accept what waits, pass, send what is due."""
        now = self.clock.now()
        self._run += 1
        run_id = f"storm-{self._run}"
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._accept(run_id)
        if now - self._passed_at >= PASS_EVERY or is_first:
            self._passed_at = now
            report = run_pass(self.app, SHOP, run_id=run_id)
            self._count(report.sent.by_kind_and_state)
        elif self.app.ledger.has_due(self.app.shop(SHOP)):
            self._count(send(self.app, SHOP, run_id=run_id).by_kind_and_state)

    def _accept(self, run_id: str) -> None:
        try:
            if waiting_orders(self.app, SHOP):
                poll_or_tell(self.app, SHOP, ORDERS, run_id=run_id)
                decide(self.app, decided_on(self.app, SHOP, run_id=run_id), SHOP, "accept_orders")
                sent = send(self.app, SHOP, run_id=run_id, kinds=(WriteKind.ACCEPT_ORDER,))
                self._count(sent.by_kind_and_state)
        except SourceError:
            return  # the next look is soon

    def _count(self, sent: Any) -> None:
        for (kind, state), count in sent.items():
            if state in {State.CONFIRMED, State.REJECTED, State.CONFLICT}:
                self.outcome.writes[f"{kind} {state}"] += count

    def _open(self) -> list[Any]:
        return self.app.ledger.intents(shop=SHOP, states=OPEN)

    def _watch(self) -> None:
        waiting, now = self._open(), self.clock.now()
        self.outcome.max_queue = max(self.outcome.max_queue, len(waiting))
        ages = ((now - each.planned_at).total_seconds() for each in waiting)
        self.outcome.max_age_s = max(self.outcome.max_age_s, *ages, 0.0)

    def _judge(self, began: datetime, until: datetime) -> None:
        outcome, calls = self.outcome, self.door.calls
        outcome.calls = sum(each.at >= began for each in calls)
        outcome.refused = sum(each.retry_after_s is not None for each in calls)
        outcome.in_storm = sum(began <= each.at < until for each in calls)
        outcome.too_early = too_early(calls)
        outcome.over_budget, outcome.busiest = over_budget(calls)
        truth = self.sandbox.do(lambda: examine(self.sandbox.world, timedelta(hours=6)))
        outcome.wrongs = [f"{check['name']}: {each}" for check in truth["checks"] for each in check["violations"]]
        for order in self.sandbox.world.marketplace.orders.values():
            if began <= order.created_at < until:
                decided_at = self.door.decided.get(order.id)
                if decided_at is None or order.timed_out:
                    outcome.missing.append(f"order {order.id} of {order.created_at} was not accepted in time")
                    continue
                outcome.accepted += 1
                outcome.accepted_latest_s = max(
                    outcome.accepted_latest_s, (decided_at - order.created_at).total_seconds()
                )


def too_early(calls: list[Call]) -> list[str]:
    """Return the calls that came before an earlier refusal of their operation had allowed it."""
    free_at: dict[tuple[str, str], datetime] = {}
    found = []
    for each in calls:
        key = (each.system, each.operation)
        if key in free_at and each.at < free_at[key]:
            found.append(f"{each.system} {each.operation} at {each.at}, though refused until {free_at[key]}")
        if each.retry_after_s is not None:
            free_at[key] = each.at + timedelta(seconds=each.retry_after_s)
    return found


def over_budget(calls: list[Call]) -> tuple[list[str], dict[str, str]]:
    """Return the windows that held more calls than published, refused ones counted, and how full the fullest was."""
    times: dict[str, list[datetime]] = defaultdict(list)
    for each in calls:
        if each.system == "mirakl" and not (each.is_further_page and each.operation in PAGES_ARE_ONE_CALL):
            times[each.operation].append(each.at)
    found, busiest = [], {}
    for operation, ceilings in CEILINGS.items():
        for allowed, window_s in ceilings:
            most = _most(times[operation], window_s)
            busiest[f"{operation} in {window_s} s"] = f"{most} of {allowed}"
            if most > allowed:
                found.append(f"{operation}: {most} calls in {window_s} s, {allowed} are allowed")
    return found, busiest


def _most(times: list[datetime], window_s: int) -> int:
    most = first = 0
    for number, at in enumerate(times):
        while at - times[first] >= timedelta(seconds=window_s):
            first += 1
        most = max(most, number - first + 1)
    return most


_SECTION = """
## A storm of 429

Every call to every system is refused for {full} minutes, then every second one for {half} minutes, each with a `Retry-After`
drawn from {low} to {high} s. Meanwhile customers order and parcels move. Our side is the real installation: the call budget of
a seller's key, the HTTP door, passes every five minutes, a look for waiting orders every 2 minutes, and what is due is sent. Time is
virtual. The judge is the outside's log of calls, refused ones counted, and its records.

{figures}

How full the fullest window of each published call frequency was:

{busiest}
"""


def section(plan: Plan, outcome: Outcome) -> str:
    """Return the section of the page."""
    figures = [
        ("calls in the storm and until the queue was drained", outcome.calls),
        ("of these in the storm", outcome.in_storm),
        ("refused with 429", outcome.refused),
        ("**calls before their `Retry-After`**", len(outcome.too_early)),
        ("**windows over their call frequency**", len(outcome.over_budget)),
        ("writes that waited at the most", outcome.max_queue),
        ("oldest write that waited, s", round(outcome.max_age_s)),
        ("writes that waited when the storm ended", outcome.queue_at_end),
        ("queue drained after the storm, s (at most twice its length)", round(outcome.drained_after_s or 0)),
        ("orders placed in the storm, all accepted", outcome.accepted),
        ("the slowest of them from order to acceptance, s (120 h are allowed)", round(outcome.accepted_latest_s)),
        ("**wrong, doubled or missing in the outside's records**", len(outcome.wrongs) + len(outcome.missing)),
        ("seed", SEED),
    ]
    return _SECTION.format(
        full=int(plan.full.total_seconds() // 60),
        half=int(plan.half.total_seconds() // 60),
        low=RETRY_AFTER_S[0],
        high=RETRY_AFTER_S[1],
        figures=page.table(("what", "figure"), figures),
        busiest=page.table(("operation and window", "calls"), outcome.busiest.items()),
    )


def main(words: list[str]) -> int:
    """Play the storm; return 1 where something did not hold. A run that held writes the page."""
    parser = argparse.ArgumentParser(prog="reliability storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    wanted = parser.parse_args(words)
    console = Console(soft_wrap=True, highlight=False)
    plan = Plan()
    outcome = play(plan, wanted.seed)
    console.print(section(plan, outcome), markup=False)
    for failure in outcome.failures:
        console.print(failure, markup=False, style="red")
    if outcome.failures:
        return 1
    if wanted.seed == SEED:
        page.write("storm", section(plan, outcome))
        console.print(f"written: {page.PAGE.relative_to(page.ROOT)}")
    return 0
