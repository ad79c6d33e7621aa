"""Playing one cell: a struck run in a worker process, a restart, quiescence, and the verdict of the sandbox's records.

Here live the run and the judge. Not here: the tables. Invariant: a cell in which the fault did not strike, or in which the
worker ended otherwise than it should, has failed, whatever became of the write.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from marketplace_returns.clock import Clock
from marketplace_returns.lanes.plan import IntentPlan
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.connection import LEDGER_FILE
from marketplace_returns.ledger.intents import Intent, intent_id
from marketplace_returns.ledger.states import DONE, State
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns_tests.ledger.sandboxed import Inside, connected, shop_of
from marketplace_returns_tests.reliability.grid import Cell, Strike
from marketplace_returns_tests.reliability.stage import Stage, StageClock
from marketplace_returns_tests.reliability.worker import STARVED, Order, Workers, job

ROUNDS_MAX = 60
"""After so many passes, each at the time when something is due next, a write has come to rest or never will."""

TIME_OUT_S = 0.25
"""The read time-out of a call that is to run into it."""

STALLED_S = 0.6
"""How long the outside stays silent then."""

HELD_S = 60.0
"""How long the outside holds a call whose worker is killed meanwhile."""

HIT_WAIT_S = 30.0

WITH_PERSON = frozenset({State.CONFLICT, State.REJECTED})


@dataclass(frozen=True)
class Result:
    """What became of a cell. ``outcome`` is one word for it; ``failures`` is empty where all is well."""

    cell: Cell
    outcome: str
    effects: int
    duplicates: int
    lost: int
    unexplained: int
    attempts: int
    repeated: int
    seconds: float
    failures: tuple[str, ...] = field(default=())


def play(cell: Cell, stage: Stage, workers: Workers) -> Result:
    """Play one cell that makes sense."""
    strike, write = cell.strike, cell.write
    assert isinstance(strike, Strike)
    started = time.perf_counter()
    prepared = stage.prepared(write)
    stage.show(pickle.loads(prepared.world))
    stage.door.watched = set(write.calls)
    stage.door.is_applied = lambda: write.effect(stage.sandbox.world, prepared.plan) > 0
    stage.door.repeated = 0
    plans = (prepared.plan, *((prepared.other,) if strike.with_other and prepared.other else ()))
    folder = stage.folder / cell.name.replace("/", "_")
    folder.mkdir(parents=True)
    (folder / LEDGER_FILE).write_bytes(stage.empty_ledger())

    failures = _struck_run(cell, strike, stage, workers, folder, plans)
    with connected(folder, shop_of(stage.sandbox), StageClock(stage.sandbox)) as inside:
        for number in range(strike.again):
            job(inside, plans, f"again-{number}")
        _settle(inside, plans)
        seconds = time.perf_counter() - started
        result = _judge(cell, stage, inside.ledger, plans, failures, seconds)
    shutil.rmtree(folder)
    return result


def _struck_run(
    cell: Cell, strike: Strike, stage: Stage, workers: Workers, folder: Path, plans: tuple[IntentPlan, ...]
) -> list[str]:
    """Run the job in one or two workers while the strike is on; return what did not go as it should."""
    write, sandbox = cell.write, stage.sandbox
    rule: FaultRule | None = None
    if kind := strike.rule or strike.looked:
        system, operation = write.looks if strike.looked and write.looks else write.struck_call
        skip = write.calls[: write.struck].count(write.struck_call) if strike.rule else 0
        delay_s = HELD_S if strike.is_killed else STALLED_S
        times = 0 if strike.looked else 1
        rule = FaultRule(kind=kind, system=system, operation=operation, times=times, skip=skip, delay_s=delay_s)
        sandbox.add_fault(rule)
    meets_time_out = kind.startswith("timeout") and not strike.is_killed
    orders = [
        Order(
            folder=folder,
            base_url=sandbox.base_url,
            shop=shop_of(sandbox),
            plans=plans,
            name=f"worker-{number}",
            hook=strike.hook,
            number=write.struck,
            time_out_s=TIME_OUT_S if meets_time_out else 0.0,
            is_looking=bool(strike.looked),
            waits_for_go=strike.workers > 1,
        )
        for number in range(strike.workers)
    ]
    pids = {order.name: workers.start(order) for order in orders}
    (folder / "go").touch()
    killed = ""
    if strike.is_killed and rule is not None:
        killed = _kill_at_hit(rule, pids, folder, stage)
    ends = {name: workers.wait(pid) for name, pid in pids.items()}
    sandbox.clear_faults()

    failures = []
    if rule is not None and not rule.hits:
        failures.append(f"the fault {rule.kind} did not strike {rule.system} {rule.operation}")
    if strike.hook and not (folder / "struck").exists():
        failures.append(f"the hook {strike.hook} did not strike")
    is_dying = strike.hook.startswith("die") or strike.hook == "half_then_die"
    wanted = {-signal.SIGKILL} if is_dying else {STARVED} if "lock" in strike.hook or "disk" in strike.hook else {0}
    allowed = wanted | ({0} if strike.workers > 1 else set())
    for name, end in ends.items():
        if end not in ({-signal.SIGKILL} if name == killed else allowed):
            failures.append(f"{name} ended with {end}")
    if is_dying and -signal.SIGKILL not in ends.values():
        failures.append("no worker was killed")
    return failures


def _kill_at_hit(rule: FaultRule, pids: dict[str, int], folder: Path, stage: Stage) -> str:
    """Kill the worker whose call the outside holds; return its name."""
    deadline = time.monotonic() + HIT_WAIT_S
    while not rule.hits:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no call of {rule.operation} came")
        time.sleep(0.001)
    time.sleep(0.02)  # the effect of the call is applied
    name = next(iter(pids))
    if len(pids) > 1:
        with connected(folder, shop_of(stage.sandbox), StageClock(stage.sandbox)) as inside:
            name = next(each.lease_owner for each in inside.ledger.intents(states=(State.SENDING,)))
    os.kill(pids[name], signal.SIGKILL)
    return name


def _settle(inside: Inside, plans: Sequence[IntentPlan]) -> None:
    """Restart: run passes, each when something is due next, until every write has come to rest."""
    clock = inside.ledger.clock
    for number in range(ROUNDS_MAX):
        job(inside, plans, f"restarted-{number}")
        resting = [
            each for each in inside.ledger.intents() if each.state in {State.PLANNED, State.SENDING, State.UNKNOWN}
        ]
        if not resting:
            clock.wait(2 * 3600)  # what the outside does with it later counts too
            return
        clock.wait(min(_due_in_s(each, clock) for each in resting))


def _due_in_s(intent: Intent, clock: Clock) -> float:
    due_at = {
        State.PLANNED: intent.lease_until or intent.not_before,
        State.SENDING: intent.lease_until,
        State.UNKNOWN: intent.read_back_at,
    }[intent.state]
    now = clock.now()
    return max((due_at or now) - now, timedelta(0)).total_seconds() + 1


def _judge(
    cell: Cell, stage: Stage, ledger: Ledger, plans: Sequence[IntentPlan], failures: list[str], seconds: float
) -> Result:
    """Hold our ledger against the sandbox's records."""
    verdict = _Verdict(failures)
    by_id = {each.intent_id: each for each in ledger.intents()}
    keys = [intent_id(each.shop, each.kind, each.natural_key) for each in plans]
    main, owned = by_id.get(keys[0]), {each.intent_id for each in ledger.exceptions() if each.owner}
    for key in keys:
        _is_at_rest(verdict, by_id.get(key), is_owned=key in owned)
    effects = stage.sandbox.do(lambda: cell.write.effect(stage.sandbox.world, plans[0]))
    is_with_person = main is not None and main.state in WITH_PERSON and keys[0] in owned
    if effects > 1:
        verdict.count("duplicates", f"applied {effects} times", effects - 1)
    if not effects and not is_with_person:
        verdict.count("lost", f"not applied, and the ledger says {main.state if main else 'nothing'}")
    if effects and main is not None and main.state is State.REJECTED:
        verdict.count("unexplained", "applied, and the ledger says REJECTED")
    attempts = len(ledger.attempts(keys[:1]))
    is_of_other = len(keys) > 1 and attempts == 1  # the other write went again, and by right
    if stage.door.repeated and not cell.write.is_absolute and not is_of_other:
        verdict.count("duplicates", f"sent again {stage.door.repeated} times though it was applied")
    if len(keys) > 1 and (other := by_id.get(keys[1])) is not None and other.state is not State.REJECTED:
        verdict.failures.append(f"the other write is {other.state}, not REJECTED")
    for each in ledger.attempts(keys):
        if each["ended_at"] is None:
            verdict.count("unexplained", f"attempt {each['number']} has no end")
    for left in ledger.exceptions():
        if left.intent_id in by_id and by_id[left.intent_id].state in DONE:
            verdict.count("unexplained", f"{left.type} is open though its write is done")
    return Result(
        cell=cell,
        outcome=_word(main, attempts),
        effects=effects,
        **verdict.counts,
        attempts=attempts,
        repeated=stage.door.repeated,
        seconds=seconds,
        failures=tuple(verdict.failures),
    )


class _Verdict:
    """What does not hold in a cell, counted and in words."""

    def __init__(self, failures: list[str]) -> None:
        self.failures = failures
        self.counts = dict.fromkeys(("duplicates", "lost", "unexplained"), 0)

    def count(self, what: str, words: str, times: int = 1) -> None:
        self.counts[what] += times
        self.failures.append(words)


def _is_at_rest(verdict: _Verdict, found: Intent | None, *, is_owned: bool) -> None:
    """See that a write is done, or that somebody owns what became of it."""
    if found is None:
        verdict.count("lost", "an intent is missing")
    elif found.state in WITH_PERSON:
        if not is_owned:
            verdict.count("unexplained", f"{found.kind} is {found.state} and nobody owns it: {found.last_error}")
    elif found.state not in DONE:
        verdict.count("unexplained", f"{found.kind} did not come to rest: {found.state}, {found.last_error}")


def _word(main: Intent | None, attempts: int) -> str:
    if main is None:
        return "missing"
    if main.state in DONE:
        how = "adopted" if main.is_adopted else "confirmed"
        return how if attempts <= 1 else f"{how} after {attempts} attempts"
    return f"{main.state.lower()}, with a person"
