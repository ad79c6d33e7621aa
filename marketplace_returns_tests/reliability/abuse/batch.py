"""One batch of mutants: read, land, type, decide, send, judge.

Here live both ways that a mutant can do harm: what it leaves in the lake, and what a write sees that looks before it leaves.
Not here: how many (play.py). Invariant: a mutant whose effect is not known to be typed, set aside or refused has failed.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from itertools import chain
from random import Random
from typing import Any

from marketplace_returns.errors import SourceError, SourceRefused
from marketplace_returns.lake import landing
from marketplace_returns.lake.personal import NOTHING, RULES, split
from marketplace_returns.lake.pull import Page, stream_of, take
from marketplace_returns.lanes import LANES
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.streams import streams_of
from marketplace_returns.orchestration.sync import decide, extend_model, pull_due, send, tell_set_aside, tell_source
from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.orchestration.conftest import SHOP
from marketplace_returns_tests.reliability.abuse.mutate import Mutant, Reply, mutate
from marketplace_returns_tests.reliability.abuse.reads import Read
from marketplace_returns_tests.reliability.abuse.scene import Scene

UNFOUNDED = "expected receipt without a return"
MISNUMBERED = {"wrong carrier or tracking", "parcels and shipments differ in number"}
"""How the sandbox's truth calls an announcement of a return that is not in its world, and parcels confirmed by other numbers than its own."""

UNCHANGED, TYPED, SET_ASIDE, REFUSED, DIED = "unchanged", "typed", "set aside", "refused", "died"


@dataclass
class Made:
    """One mutant and what became of it."""

    read: str
    mutation: str
    place: str
    fate: str = ""
    pages: list[Page] = field(default_factory=list, repr=False)
    hashes: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    text: str = field(default="", repr=False)

    def told(self) -> str:
        """Say which it is."""
        return f"{self.read}: {self.mutation} at {self.place}"


@dataclass
class Verdict:
    """What came of a batch: counts by what is counted, and the failures in words."""

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Add another's."""
        self.counts.update(other.counts)
        self.failures += other.failures
        self.wrongs += other.wrongs


# -- mutants that land ------------------------------------------------------------------------------------------------


def land(scene: Scene, source: str, reads: Sequence[Read], chance: Random, size: int) -> Verdict:
    """Read with ``size`` mutants, land what they give, let every lane decide and send, and hold all against the truth."""
    verdict = Verdict()
    with scene.batch() as app:
        before = scene.wrongs()
        made = [
            _read(scene, app, source, chance.choices(reads, [each.weight for each in reads])[0], chance, verdict)
            for _ in range(size)
        ]
        for stream in dict.fromkeys(read.stream for read in reads):
            _land(app, stream, [each for each in made if each.read.startswith(f"{stream} ") and each.pages], verdict)
        for each in made:
            verdict.counts["fate", each.mutation, each.fate] += 1
            verdict.counts["read", each.read, each.fate] += 1
        try:
            _pass(scene, app, verdict)
        except Exception:  # noqa: BLE001 - whatever it was, the run has died
            verdict.failures.append(f"{source}: the pass over {size} mutants died: {traceback.format_exc(limit=-4)}")
        for key, wrong in scene.wrongs().items():
            if key in before:
                continue
            if _is_as_told(app, reference=key[1], problem=key[2]):
                verdict.counts["as told",] += 1
            else:
                suspects = [each.told() for each in made if key[1].removeprefix("RTN-") in each.text][:4]
                verdict.wrongs.append(f"{source}: {key[0]}: {wrong} <- {suspects}")
    return verdict


def _is_as_told(app: App, *, reference: str, problem: str) -> bool:
    """Tell whether what the world calls wrong is exactly what a mutant told, well formed: another id or number in place of the right one.

    Such a fact cannot be told from a true one. It moves no money and no stock: a return that is not there is announced and never
    arrives, and a parcel is confirmed with the number that the warehouse gave it.
    """
    if problem == UNFOUNDED:
        returns = "SELECT 'RTN-' || platform_return_id FROM model.platform_returns WHERE shop = ?"
        return (reference,) in app.con.execute(returns, [SHOP]).fetchall()
    if problem not in MISNUMBERED:
        return False
    parcels = "SELECT despatch_number, tracking_number FROM lake.core.peoplevox__despatches WHERE shop = ?"
    told = app.con.execute(f"{parcels} AND sales_order_number = ?", [SHOP, reference]).fetchall()
    confirmed = {
        (line["package_reference"], intent.body["tracking"]["tracking_number"])
        for intent in app.ledger.intents(shop=SHOP, order_id=reference, kinds=[WriteKind.CONFIRM_DESPATCH])
        for line in intent.body["shipment_lines"]
    }
    return confirmed <= set(told)


def _read(scene: Scene, app: App, source: str, read: Read, chance: Random, verdict: Verdict) -> Made:
    """Read once as it is and once with a mutant."""
    client, tape = app.client(app.shop(SHOP), source), scene.tape
    if read.name not in scene.as_they_are:
        tape.begin()
        pages: list[Page] = []
        try:
            pages = list(read.read(app, client))
        except SourceRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:  # switched off at the source
                raise
        scene.as_they_are[read.name] = (pages, list(tape.asked))
    as_it_is, asked = scene.as_they_are[read.name]
    tape.begin(chance.choice(asked), lambda reply: mutate(reply, chance))
    made = Made(read.name, "", "")
    try:
        made.pages = list(read.read(app, client))
        made.fate = UNCHANGED if made.pages == as_it_is else TYPED
    except SourceError as error:
        made.fate = REFUSED
        tell_source(app, SHOP, read.stream, error)
        told = [each for each in app.ledger.exceptions(shop=SHOP) if each.lane == f"source/{read.stream}"]
        if not told:
            verdict.failures.append(f"{read.name}: {error} is no exception")
    except Exception:  # noqa: BLE001 - whatever it was, the run has died
        made.fate = DIED
        verdict.failures.append(f"{read.name}: {_names(tape.made)} died: {traceback.format_exc(limit=-3)}")
    if tape.made:
        made.mutation, made.place = tape.made[0].name, tape.made[0].place
        made.text = tape.made[0].reply.body.decode("latin-1")
    tape.begin()
    if source == "rebound":
        # after a refused login no call leaves any more: another process would start anew
        app._clients.pop((SHOP, source), None)
    return made


def _land(app: App, stream: str, made: Sequence[Made], verdict: Verdict) -> None:
    """Land what the mutants of a stream gave, in one batch; see that nothing of it is lost."""
    kind = stream_of(stream).kind
    if not made:
        return
    try:
        result = take(
            app.lake,
            stream,
            SHOP,
            chain.from_iterable(each.pages for each in made),
            run_id="abuse",
            clock=app.clock,
            con=app.con,
        )
    except Exception:  # noqa: BLE001 - whatever it was, the run has died
        for each in made:
            each.fate = DIED
        verdict.failures.append(f"{stream}: landing died: {traceback.format_exc(limit=-4)}")
        _find_who_died(app, stream, made, verdict)
        return
    (declared,) = [each for each in streams_of(app.shop(SHOP)) if each.name == stream]
    tell_set_aside(app, SHOP, declared, result)
    kept = {
        tuple(row)
        for row in app.con.execute(
            "SELECT object_id, content_hash FROM lake.landing.payloads WHERE shop = ? AND source = ? AND object_type = ?",
            [SHOP, kind.source, kind.name],
        ).fetchall()
    }
    aside = {
        row[0]
        for row in app.con.execute(
            "SELECT payload_hash FROM lake.landing.quarantine WHERE shop = ? AND source = ? AND raw_row <> ''",
            [SHOP, kind.source],
        ).fetchall()
    }
    rule = RULES.get((kind.source, kind.name), NOTHING)
    for each in made:
        each.hashes = tuple(_identity(kind, rule, item) for page in each.pages for item in page)
        lost = [found for found in each.hashes if found not in kept]
        if lost:
            verdict.failures.append(f"{each.told()}: {len(lost)} payloads are not kept")
        if any(found[1] in aside for found in each.hashes):
            each.fate = SET_ASIDE
    is_told = any(each.lane == f"quarantine/{stream}" for each in app.ledger.exceptions(shop=SHOP))
    if any(each.fate == SET_ASIDE for each in made) and not is_told:
        verdict.failures.append(f"{stream}: rows are set aside and no exception says so")


def _find_who_died(app: App, stream: str, made: Sequence[Made], verdict: Verdict) -> None:
    """Land the mutants one by one, so that the one that breaks the landing is named."""
    for each in made:
        try:
            take(app.lake, stream, SHOP, each.pages, run_id="abuse-alone", clock=app.clock, con=app.con)
        except Exception as error:  # noqa: BLE001 - it is told
            verdict.failures.append(f"{each.told()} breaks the landing: {type(error).__name__}: {str(error)[:300]}")
            return


def _identity(kind: Any, rule: Any, item: Any) -> tuple[str, str]:
    """Return the id and content hash under which an object lands."""
    is_object = isinstance(item, dict)
    body = split(item, rule)[0] if is_object else item
    return kind.id_of(item) if is_object else "", hashlib.sha256(landing._AS_CAME.encode(body)).hexdigest()


def _pass(scene: Scene, app: App, verdict: Verdict) -> None:
    """Let every lane decide on what landed, and send what is due to the world as it is."""
    extend_model(app, SHOP, run_id="abuse")
    for lane in LANES:
        report = decide(app, app.con, SHOP, lane)
        verdict.counts["planned",] += report.planned
    with scene.seen_as_it_is():
        sent = send(app, SHOP, run_id="abuse")
    for (kind, state), count in sent.by_kind_and_state.items():
        verdict.counts["write", str(kind), str(state)] += count


# -- mutants that a write looks at ------------------------------------------------------------------------------------

LOSES_REPLY = ("reset_after", "http_500_after", "reset")
SETTLING_MAX = 12
ABUSED_MAX = 7
"""Up to here every second round of looks is abused: a true look always lies between two that may hide what is there."""


def look(scene: Scene, source: str, chance: Random, share: float) -> Verdict:
    """Let a true pass send its writes while what they look at is abused; then let all come to rest and hold it against the truth.

    Some writes lose their reply, so that they are read back, and those looks are abused too.
    """
    verdict = Verdict()
    with scene.batch() as app:
        before = scene.wrongs()
        tape = scene.tape
        tape.is_keeping = False
        _, failures = pull_due(app, SHOP, run_id="true", everything=True)
        assert not failures, failures
        extend_model(app, SHOP, run_id="true")
        for lane in LANES:
            decide(app, app.con, SHOP, lane)
        tape.begin()

        def abuse(reply: Reply) -> Mutant | None:
            return mutate(reply, chance) if chance.random() < share else None

        for number in range(SETTLING_MAX):
            is_abused = number < ABUSED_MAX and number % 2 == 0
            if is_abused:
                for kind in LOSES_REPLY:
                    scene.sandbox.add_fault(
                        FaultRule(kind=kind, probability=0.1, seed=chance.randrange(1 << 30), writes_only=True)
                    )
                tape.look = abuse
            else:
                scene.sandbox.clear_faults()
                tape.look = None
            tape.begin()
            try:
                sent = send(app, SHOP, run_id=f"look-{number}")
            except Exception:  # noqa: BLE001 - whatever it was, the run has died
                verdict.failures.append(f"{source}: sending died: {traceback.format_exc(limit=-5)}")
                sent = None
            for each in tape.made:
                verdict.counts["look", each.name] += 1
            tape.look = None
            scene.sandbox.clear_faults()
            if sent is not None:
                for (kind_, state), count in sent.by_kind_and_state.items():
                    verdict.counts["write", str(kind_), str(state)] += count
            _later(scene, app)
        _at_rest(app, source, verdict)
        tape.is_keeping = True
        for key, wrong in scene.wrongs().items():
            if key not in before:
                verdict.wrongs.append(f"{source}: looked at: {key[0]}: {wrong}")
    return verdict


def _later(scene: Scene, app: App) -> None:
    """Let so much time pass that something is due again."""
    open_states = (State.UNKNOWN, State.SENDING, State.PLANNED)
    now = app.clock.now()
    due = [
        each.read_back_at or each.lease_until or each.not_before or now
        for each in app.ledger.intents(shop=SHOP, states=open_states)
    ]
    scene.clock.move_to(max(min(due, default=now), now) + timedelta(seconds=61))


def _at_rest(app: App, source: str, verdict: Verdict) -> None:
    """See that every write is done or has an owner."""
    owned = {each.intent_id for each in app.ledger.exceptions(shop=SHOP) if each.owner}
    for each in app.ledger.intents(shop=SHOP):
        if each.state in {State.SENDING, State.UNKNOWN}:
            verdict.failures.append(
                f"{source}: {each.kind} {each.natural_key} did not come to rest: {each.state} {each.last_error}"
            )
        if each.state in {State.CONFLICT, State.REJECTED} and each.intent_id not in owned:
            verdict.failures.append(f"{source}: {each.kind} {each.natural_key} is {each.state} and nobody owns it")


def _names(made: Sequence[Mutant]) -> str:
    return "; ".join(f"{each.name} at {each.place}" for each in made[:1])
