"""One seed, from an empty shop to rest: the world lives, passes come, things go wrong, then all is settled and judged.

Here live what a seed decides and the order of things. Not here: what goes wrong (trouble.py, people.py), the verdict
(judge.py). Invariant: the same seed gives the same run, to the last word of its trace.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit

from marketplace_returns.ledger.dispatch import drain, read_backs
from marketplace_returns.ledger.intents import Intent
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.inbox import drain_inbox
from marketplace_returns.orchestration.sync import run_pass, send
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.world import World
from marketplace_returns.settings import WriteKind
from marketplace_returns.sources.peoplevox.client import EVENT_PARAMETERS
from marketplace_returns.webhooks.events import read_event
from marketplace_returns_tests.reliability.simulation.installation import (
    SHOP,
    Installation,
    Workshop,
    ledger_hash,
    seeded,
    settings_of,
)
from marketplace_returns_tests.reliability.simulation.judge import judge, kinds_of
from marketplace_returns_tests.reliability.simulation.outside import BASE_URL, VirtualClock, standing_still
from marketplace_returns_tests.reliability.simulation.people import People
from marketplace_returns_tests.reliability.simulation.trouble import Crash, Outside, Trace, mortal

ORDERS = 200
MANY_ORDERS = 50
SETTLING_PASSES_MAX = 40
SETTLING_STEP_MAX = timedelta(hours=4)
QUIET_PASSES = 2
"""A pass without a write may be one whose calls were used up; a quarter of an hour later they are not."""
STARTS = (
    datetime(2026, 6, 10, 6, tzinfo=UTC),
    datetime(2026, 9, 29, 15, tzinfo=UTC),
    datetime(2026, 10, 24, 20, tzinfo=UTC),  # the clocks go back in this night
    datetime(2027, 3, 27, 19, tzinfo=UTC),  # the clocks go forward in this night
)


EVENT_TYPES = {
    "reveni": ("return.created", "return.updated"),
    "rebound": ("return_order.created", "return_order.updated", "return_order.processed"),
    "returngo": ("RMA_CREATED", "RMA_STATUS_UPDATED"),
}
"""What each platform is asked to tell."""


@dataclass(frozen=True)
class Setting:
    """What a seed decides before it begins."""

    config: WorldConfig
    policy: dict[str, str]
    span: timedelta
    passes: int
    late_passes_max: int
    write_rate: float
    read_rate: float
    death_rate: float
    acts: float
    webhooks: float


@dataclass
class Result:
    """What became of a seed."""

    seed: int
    orders: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    unknown: int = 0
    adopted: int = 0
    sent_again: int = 0
    with_person: int = 0
    doubled: int = 0
    lost: int = 0
    unexplained: int = 0
    raced: int = 0
    refunds: int = 0
    passes: int = 0
    crashes: int = 0
    trouble: Counter[str] = field(default_factory=Counter)
    resolved_s: list[float] = field(default_factory=list)
    trace: str = ""
    ledger: str = ""
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def setting_of(seed: int, orders: int) -> Setting:
    """Draw a seed's setting; a shop with few orders gets few passes."""
    chance = Random(f"{seed}/setting")
    platform = chance.choices(("reveni", "rebound", "returngo"), (6, 2, 2))[0]
    config = WorldConfig(
        seed=seed,
        orders=orders,
        days=2,
        skus=40,
        pace=chance.choice((24.0, 36.0, 48.0)),
        start=chance.choice(STARTS),
        multi_unit_rate=0.25,
        tax_mode=chance.choice(("TAX_INCLUDED", "TAX_EXCLUDED")),
        tax_rules=chance.choice(("proportional", "none", "mixed")),
        multi_shipment=chance.random() < 0.3,
        split_parcel_rate=0.15,
        incident_rate=0.02,
        platform=platform,  # type: ignore[arg-type]
        rebound_generation=chance.choice(("legacy_ir", "v2")),
        rebound_hub_rate=0.0,
        import_delay_s=chance.choice((0.0, 1.0)),
    )
    return Setting(
        config,
        {},
        span=timedelta(hours=24 * 18 / config.pace),
        passes=chance.randint(5, 8) if orders >= MANY_ORDERS else 2,
        late_passes_max=9 if orders >= MANY_ORDERS else 3,
        write_rate=chance.choice((0.08, 0.15, 0.25)),
        read_rate=chance.choice((0.01, 0.03)),
        death_rate=chance.choice((0.0, 0.001, 0.004)),
        acts=chance.choice((5, 12)),
        webhooks=chance.choice((0.0, 0.5)),
    )


class Play:
    """A seed on its way."""

    def __init__(self, seed: int, workshop: Workshop, *, orders: int = ORDERS, is_on_ducklake: bool = False) -> None:
        self.seed = seed
        self.setting = setting = setting_of(seed, orders)
        self.chance = Random(f"{seed}/play")
        self.trace = Trace()
        self.world = World(setting.config, wall=standing_still)
        self.clock = VirtualClock(self.world)
        calls = Random(f"{seed}/calls")
        self.outside = Outside(self.world, self.clock, calls, self.trace, setting.write_rate, setting.read_rate)
        self.folder = workshop.place(f"{seed}-{'ducklake' if is_on_ducklake else 'plain'}-{time.monotonic_ns()}")
        settings = settings_of(self.world, self.folder, setting.policy)
        workshop.empty_ledger(settings, self.clock)
        self.installation = Installation(
            workshop, settings, self.clock, self.outside, workshop.mappings, is_on_ducklake=is_on_ducklake
        )
        people = Random(f"{seed}/people")
        self.people = People(self.world, self.clock, people, self.trace, self.installation)
        self.outside.other_worker = self._other_worker
        if setting.webhooks:
            self._subscribe()
        self.result = Result(seed)
        self.app: App | None = None
        self._runs = 0
        self._switch: Any = None

    def run(self) -> Result:
        """Play it to its end."""
        started = time.process_time()
        death = Random(f"{self.seed}/death")
        jitter = Random(f"{self.seed}/jitter")
        try:
            with seeded(jitter), mortal(death, self.setting.death_rate, self.trace) as self._switch:
                self._live()
                self._settle()
                self._sum_up()
        finally:
            if self.app is not None:
                self.app.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        self.result.seconds = time.process_time() - started
        return self.result

    def _subscribe(self) -> None:
        platform = self.setting.config.platform
        self.world.notifications.subscribe(platform, EVENT_TYPES[platform], BASE_URL)
        for event_type, named in EVENT_PARAMETERS.items():
            parameters = f"event={event_type}&{named}"
            self.world.notifications.subscribe("peoplevox", [event_type], BASE_URL, parameters=parameters)

    # -- the way ----------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        """Let the world live with trouble, and passes in between."""
        setting = self.setting
        begin = self.clock.true_now()
        self.people.plan(2 * setting.span, setting.acts)
        times = sorted(self.chance.random() ** 1.3 for _ in range(setting.passes))
        for part in times:
            self.clock.advance_to(begin + part * setting.span)
            self._troubled_pass()
        for _ in range(
            setting.late_passes_max
        ):  # refunds come last: they are to meet as much trouble as what comes first
            if not self._busy_at():
                return
            self._live_on()
            self._troubled_pass()

    def _troubled_pass(self) -> None:
        """Do a pass while things may go wrong, and now and then what comes between two passes."""
        self._new_skew()
        self._switch(True)
        self._work(self._pass)
        for _ in range(self.chance.randint(0, 2)):
            self.clock.wait(self.chance.uniform(20, 1200))
            self._work(self._hear if self.chance.random() < self.setting.webhooks else self._send)
        self._switch(False)

    def _settle(self) -> None:
        """Let all trouble end, and pass until nothing is left to do."""
        self.outside.is_calm = True
        self.people.all_is_well()
        self.clock.skew = timedelta(0)
        self._restart()
        quiet, has_swept = 0, False
        for _ in range(SETTLING_PASSES_MAX):
            before = self.outside.gate.writes.total()
            self._work(self._pass)
            self._retry_what_was_mended()
            self._wait_for_unclear()
            quiet = quiet + 1 if self.outside.gate.writes.total() == before else 0
            if quiet < QUIET_PASSES or self._busy_at():
                self._live_on()
            elif has_swept:
                return
            else:
                has_swept, quiet = True, 0
                self._wait_for_tomorrow()
        self.result.failures.append(f"still at work after {SETTLING_PASSES_MAX} passes")

    def _wait_for_tomorrow(self) -> None:
        """Let the day end: the first polls of a day read again what people changed in the last ones."""
        now = self.clock.true_now()
        tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=10)
        self.clock.wait((tomorrow - now).total_seconds())

    def _busy_at(self) -> list[datetime]:
        """Return when something is planned within a day that leads to a write of ours."""
        horizon = self.clock.true_now() + timedelta(hours=24)
        return [due for due, _, action, _ in self.world.timeline._agenda if due <= horizon and action.__name__ in _BUSY]

    def _live_on(self) -> None:
        """Let what is planned happen, but for so long only that a parcel on its way is met by a pass."""
        now = self.clock.true_now()
        step = min(max(self._busy_at(), default=now) - now, SETTLING_STEP_MAX)
        self.clock.wait(max(step.total_seconds(), 900.0))

    def _wait_for_unclear(self) -> None:
        """Read back what is unclear, each when it is due, without deciding anything anew."""
        for _ in range(30):
            app = self._opened()
            waiting = app.ledger.intents(states=(State.UNKNOWN, State.SENDING))
            if not waiting:
                return
            now = self.clock.now()
            due = min(
                (each.read_back_at if each.state is State.UNKNOWN else each.lease_until) or now for each in waiting
            )
            self.clock.wait(max(1.0, (due - now).total_seconds() + 1))
            self._work(self._send)

    def _retry_what_was_mended(self) -> None:
        """Let the owners press retry where a right, a balance or a mapping was mended."""
        app = self._opened()
        for each in app.ledger.exceptions():
            if each.intent_id and each.root_cause in {"permission", "balance"}:
                (intent,) = app.ledger.intents(intent_ids=[each.intent_id])
                if intent.state in {State.REJECTED, State.PLANNED}:
                    app.ledger.retry(each.exception_id, by="simulated", note="mended")

    # -- workers ----------------------------------------------------------------------------------------------------

    def _opened(self) -> App:
        if self.app is None:
            self.app = self.installation.open()
        return self.app

    def _restart(self) -> None:
        if self.app is not None:
            self.app.close()
        self.app = None

    def _work(self, job: Any) -> None:
        """Do a job; where its worker dies, another process is started that does it again."""
        for _ in range(20):
            self._runs += 1
            app = self._opened()
            app.mappings = self.installation.mappings
            try:
                job(app, f"run-{self._runs}")
            except Crash:
                self.trace.note(self.clock.true_now().isoformat(), "the worker died")
                self.result.crashes += 1
                self.installation.bury(app)
                self.app = None
                self.clock.wait(self.chance.choice((1, 5, 60, 900)))
            else:
                return
        raise AssertionError("twenty workers died over one job")

    def _pass(self, app: App, run_id: str) -> None:
        self.result.passes += 1
        run_pass(app, SHOP, run_id=run_id)

    def _send(self, app: App, run_id: str) -> None:
        send(app, SHOP, run_id=run_id)

    def _hear(self, app: App, run_id: str) -> None:
        """Take the webhooks that came, repeated and out of order as they are, and read again what they point at."""
        inbox, waiting = app.inbox(), self.world.notifications.waiting
        assert inbox is not None
        events = []
        for call in waiting:
            query = urlsplit(call.address).query.encode()
            events.append(read_event(SHOP, call.source, query, call.body, app.clock.now()))
        inbox.keep(events)
        waiting.clear()  # a sender tries again until it is told that its call is kept
        report = drain_inbox(app, SHOP, run_id=run_id)
        self.trace.note(run_id, "webhooks", report.taken, report.read, report.waiting)
        self.trace.counts["webhooks"] += report.taken

    def _other_worker(self) -> None:
        """Let a second worker send what is due while the first one waits for its answer."""
        if self.app is None:
            return
        other = self.installation.open(beside=self.app)
        self.outside.other_worker = None
        self._runs += 1
        try:
            send_only(other, f"beside-{self._runs}")
        except Crash:
            self.trace.note("the other worker died")
            self.result.crashes += 1
            other.ledger._engine.dispose()
        else:
            other.ledger.close()
        finally:
            self.outside.other_worker = self._other_worker

    def _new_skew(self) -> None:
        if self.chance.random() < 0.4:
            self.clock.skew = timedelta(seconds=self.chance.uniform(-100, 100))

    # -- sums -------------------------------------------------------------------------------------------------------

    def _sum_up(self) -> None:
        app, result = self._opened(), self.result
        verdict = judge(self.world, app)
        intents = app.ledger.intents()
        attempts = app.ledger.attempts([each.intent_id for each in intents])
        result.orders = len(self.world.marketplace.orders)
        result.writes = kinds_of(intents)
        result.refunds = sum(refund.origin == "api" for refund in self.world.refunds.by_id.values())
        result.attempts = len(attempts)
        files = {each.intent_id for each in intents if each.kind is WriteKind.PUSH_STOCK}  # are often just not done yet
        result.unknown = sum(each["outcome"] == "UNKNOWN" and each["intent_id"] not in files for each in attempts)
        result.adopted = sum(each.is_adopted for each in intents)
        result.sent_again = sum(each.attempt_count > 1 for each in intents)
        result.with_person = verdict.with_person
        result.doubled, result.lost, result.unexplained = verdict.doubled, verdict.lost, verdict.unexplained
        result.raced = verdict.raced
        result.failures += verdict.words
        result.trouble = self.trace.counts
        result.resolved_s = list(_resolved_s(intents, attempts))
        result.trace, result.ledger = self.trace.digest(), ledger_hash(app)


_BUSY = frozenset(
    {
        "_order",
        "_confirm_debit",
        "_ask_debit",
        "_pick",
        "receive",
        "_open_return",
        "_change_mind",
        "_post",
        "_arrive",
        "_inspect",
        "_confirm_payment",
    }
)
"""What of the world's agenda leads to a write of ours."""


def send_only(app: App, run_id: str) -> None:
    """Read back and send what is due, as a worker beside another does."""
    shop = app.shop(SHOP)
    executors = app.executors(shop)
    read_backs(app.ledger, shop, executors, worker=run_id)
    drain(app.ledger, shop, executors, app.clock, worker=run_id)


def _resolved_s(intents: list[Intent], attempts: list[dict[str, object]]) -> Any:
    """Yield how long each unclear write that is settled now was unclear, in virtual seconds."""
    by_id = {each.intent_id: each for each in intents}
    for attempt in attempts:
        intent = by_id[str(attempt["intent_id"])]
        if attempt["outcome"] == "UNKNOWN" and attempt["number"] == intent.attempt_count and intent.confirmed_at:
            yield (intent.confirmed_at - attempt["started_at"]).total_seconds()  # type: ignore[operator]
