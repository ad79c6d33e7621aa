"""The history: one row for everything that was decided, sent, answered or done by a person, chained by hashes.

Here live writing events, reading attempts out of them, and proving the chain. What must not live here: what an event means
for a write (``steps.py``). The invariants: an event is committed with the change it tells of, or neither is; each shop has a
chain of its own, in which a row's hash covers its content, its place and the row before; the database refuses to change or
delete a row; no event holds a body, a secret or personal data (texts are cut as for errors).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, select, text, update

from marketplace_returns.ledger import tables
from marketplace_returns.ledger.connection import lock_shop
from marketplace_returns.ledger.intents import Intent, decode, digest, encode, intent_id
from marketplace_returns.ledger.outcomes import (
    Absent,
    AlreadyDone,
    Blocked,
    Confirmed,
    Conflicting,
    Found,
    NotSent,
    Outcome,
    Preparation,
    ReadBack,
    Ready,
    Rejected,
    Unknown,
)
from marketplace_returns.ledger.states import DONE
from marketplace_returns.sources.redaction import excerpt

SENDING: Final = "sending"
ANSWERED: Final = "answered"
LEFT: Final = "left"
RETRY: Final = "retry"
_PLAN_FACTS: Final = ("body_hash", "evidence_hash", "amount_minor", "currency")
_ROWS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``subject`` is an intent's id, ``exception 12`` or ``month 2026-10``; ``actor`` a lane, worker or person."""

    shop: str
    name: str
    subject: str
    actor: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as it is read back. ``position`` is its place in the chain of its shop; 0 where the chain does not tell of it."""

    at: datetime
    event: str
    subject: str
    actor: str
    facts: Mapping[str, Any]
    shop: str
    position: int = 0

    @classmethod
    def of(cls, row: Row[Any]) -> Happening:
        """Make it of a row of ``audit_log``."""
        return cls(row.at, row.event, row.subject, row.actor, decode(row.facts), row.shop, row.position)


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain, or a write beside it, is not as it was written."""

    kind: str
    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A shop's chain as it was found: how many events, the hash of the last, and what is wrong first, if anything."""

    shop: str
    events: int
    head: str
    broken: Break | None = None


class Journal:
    """The events of one transaction, written at its end.

    Written last, so that who holds a shop's chain waits for no other lock: two workers cannot block each other.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._events: list[Event] = []

    def add(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(event)

    def of_intent(self, name: str, intent: Intent, actor: str = "", **facts: Any) -> None:
        """Keep what happened to a write, with the state it is in now."""
        self.add(Event(intent.shop, name, intent.intent_id, actor, {"state": intent.state, **facts}))

    def write(self, connection: Connection) -> None:
        """Append the events to the chains of their shops."""
        by_shop: dict[str, list[Event]] = {}
        for event in self._events:
            by_shop.setdefault(event.shop, []).append(event)
        for shop in sorted(by_shop):
            _append(connection, shop, by_shop[shop], self.now)


def planned_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the history keeps of a plan: what it is about, and hashes of its body and evidence."""
    ids = ("order_id", "order_line_id", "return_id", "return_unit_id")
    return {
        "state": row["state"],
        "kind": row["kind"],
        "natural_key": row["natural_key"],
        **{name: row[name] for name in ids if row[name]},
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "body_hash": row["body_hash"],
        "evidence_hash": digest(row["evidence"]),
    }


def words(said: str) -> str:
    """Return a text as the history may keep it: short, without mail addresses."""
    return excerpt(said.encode())


def told_before(preparation: Preparation) -> dict[str, Any]:
    """Return what a pre-read said."""
    match preparation:
        case Ready(baseline):
            return {"baseline": dict(baseline)}
        case AlreadyDone(ref, detail):
            return {"seen": "ALREADY_DONE", "ref": ref, "text": words(detail)}
        case Blocked(exception_type, message):
            return {"seen": "BLOCKED", "exception": exception_type, "text": words(message)}
        case Rejected() | NotSent():
            return _answer(preparation)


def told_after(outcome: Outcome) -> dict[str, Any]:
    """Return what a send was answered."""
    return _answer(outcome)


def told_back(seen: ReadBack | str) -> dict[str, Any]:
    """Return what a read-back saw; a text says why none could be made."""
    match seen:
        case Found(ref):
            return {"seen": "FOUND", "ref": ref}
        case Absent(is_fresh):
            return {"seen": "ABSENT", "is_fresh": is_fresh}
        case Conflicting(detail):
            return {"seen": "CONFLICTING", "text": words(detail)}
        case Rejected(code, message):
            return {"seen": "REJECTED", "text": words(f"{code} {message}".strip())}
        case str():
            return {"seen": "NOT_READ", "text": words(seen)}


def attempts(connection: Connection, intent_ids: Sequence[str]) -> list[dict[str, object]]:
    """Return every try of these writes, in order: when it began and ended, who made it, and what came of it.

    ``outcome`` is SENDING while nothing came yet. An answer that came after the worker was given up stands in its place.
    """
    table = tables.audit_log
    rows = connection.execute(
        select(table.c.subject, table.c.at, table.c.event, table.c.actor, table.c.facts)
        .where(table.c.subject.in_(list(intent_ids)), table.c.event.in_((SENDING, LEFT, ANSWERED)))
        .order_by(table.c.subject, table.c.position)
    )
    tries: dict[tuple[str, int], dict[str, object]] = {}
    for row in rows:
        facts = decode(row.facts)
        number = int(facts["attempt"])
        if row.event == SENDING:
            tries[row.subject, number] = {
                "intent_id": row.subject,
                "number": number,
                "worker": row.actor,
                "started_at": row.at,
                "ended_at": None,
                "outcome": "SENDING",
                "request_id": "",
                "excerpt": "",
            }
        elif (row.subject, number) in tries:
            tries[row.subject, number] |= {
                "ended_at": row.at,
                "outcome": facts["outcome"],
                "request_id": facts.get("request_id", ""),
                "excerpt": facts.get("text") or facts.get("ref", ""),
            }
    return list(tries.values())


def retried_since(connection: Connection, intent_ids: Sequence[str], since: datetime) -> frozenset[str]:
    """Return which of these writes a person asked to go on with after an instant."""
    table = tables.audit_log
    asked = select(table.c.subject).where(
        table.c.subject.in_(list(intent_ids)), table.c.event == RETRY, table.c.at > since
    )
    return frozenset(connection.execute(asked).scalars())


def last_mapping_hash(connection: Connection, table: str) -> str:
    """Return the hash of a mapping table's file after the last change that any shop's chain tells of, or nothing."""
    log = tables.audit_log
    told = (
        select(log.c.facts).where(log.c.subject == f"mapping {table}").order_by(log.c.at.desc(), log.c.position.desc())
    )
    found = connection.execute(told.limit(1)).scalar()
    return str(decode(found).get("after", "")) if found else ""


def shops(connection: Connection) -> list[str]:
    """Return the shops that have a chain."""
    log, heads = tables.audit_log.c.shop, tables.audit_heads.c.shop
    return sorted(connection.execute(select(log).union(select(heads))).scalars())


def freeze(connection: Connection) -> None:
    """Let every question of this reading transaction see one state of the ledger, while others write on."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def verify(connection: Connection, shop: str) -> Chain:
    """Prove a shop's chain from its first row to its last, and that each write stands where its last event left it."""
    last = tables.audit_heads
    head = connection.execute(select(last.c.position, last.c.hash).where(last.c.shop == shop)).first()
    known = (head.position, head.hash) if head is not None else (0, "")
    writes = _Writes()
    link = _Link(shop)
    log = tables.audit_log
    query = select(log).where(log.c.shop == shop).order_by(log.c.position)
    rows = connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
    broken: Break | None = None
    for found in rows:
        row = dict(found._mapping)
        broken = link.follow(row)
        if broken is not None:
            break
        writes.follow(row)
    rows.close()
    broken = broken or link.end(*known) or writes.check(connection, shop)
    return Chain(shop, link.position, link.hash, broken)


@dataclass(slots=True)
class _Link:
    """How far a chain was followed."""

    shop: str
    position: int = 0
    hash: str = ""
    before: str = ""
    """The hash of the row before the last one followed."""

    def follow(self, row: Mapping[str, Any]) -> Break | None:
        """Take the next row, or say what is wrong with it or before it."""
        expected = self.position + 1
        if row["position"] < expected:
            return Break("inserted", row["position"], f"row {row['position']} was put in: a chain begins at 1")
        if row["position"] > expected:
            return Break(
                "missing", expected, f"row {expected} is missing: row {row['position']} follows {self.position}"
            )
        if _hash(row) != row["hash"]:
            return self._unlike(row, expected)
        if row["previous_hash"] != self.hash:
            return Break(
                "changed", self.position, f"row {self.position} was changed: row {expected} was written after another"
            )
        self.position, self.hash, self.before = expected, row["hash"], self.hash
        return None

    def _unlike(self, row: Mapping[str, Any], expected: int) -> Break:
        """Say how a row whose hash does not fit it came about."""
        if row["hash"] == self.hash:
            return Break("inserted", expected, f"row {expected} was put in: it is a copy of row {self.position}")
        if _hash(row, place=expected + 1) == row["hash"]:
            return Break("missing", expected, f"row {expected} is missing: the later ones were moved up")
        if _hash(row, place=expected - 1) == row["hash"] and row["previous_hash"] == self.before:
            return Break("inserted", self.position, f"row {self.position} was put in: the later ones were moved down")
        return Break("changed", expected, f"row {expected} ({row['event']} {row['subject']}) was changed")

    def end(self, position: int, last_hash: str) -> Break | None:
        """Compare with where the chain ended when it was last written."""
        if position > self.position:
            gone = self.position + 1
            return Break("missing", gone, f"row {gone} is missing: the chain was written up to row {position}")
        if position < self.position:
            return Break(
                "inserted", position + 1, f"row {position + 1} was put in: the chain was written up to row {position}"
            )
        if last_hash != self.hash:
            return Break("changed", position, f"row {position} was changed: it is not the one that was written last")
        return None


class _Writes:
    """Where each write's last event left it: its state, what was planned, and the name it has outside."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, str]] = {}
        self._plans: dict[str, tuple[Any, ...]] = {}
        self._refs: dict[str, str] = {}

    def follow(self, row: Mapping[str, Any]) -> None:
        """Take over what an event says of its write."""
        facts = decode(row["facts"])
        if "state" not in facts or " " in row["subject"]:
            return
        self._last[row["subject"]] = (row["position"], str(facts["state"]))
        if "body_hash" in facts:
            self._plans[row["subject"]] = tuple(facts[name] for name in _PLAN_FACTS)
        if facts["state"] in DONE and facts.get("ref") and "late" not in facts:
            self._refs[row["subject"]] = str(facts["ref"])

    def check(self, connection: Connection, shop: str) -> Break | None:
        """Say which write is not as the history left it: changed, lost, or there without a word of how."""
        table = tables.intents
        names = ("intent_id", "shop", "kind", "natural_key", "state", "body", "evidence", "amount_minor", "currency")
        columns = (*(table.c[name] for name in names), table.c.external_ref)
        wrong: list[tuple[int, str]] = []
        query = select(*columns).where(table.c.shop == shop).order_by(table.c.intent_id)
        rows = connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
        for row in rows:
            position, state = self._last.pop(row.intent_id, (0, ""))
            if state != row.state:
                told = f"the history left it {state}" if state else "the history does not know it"
                wrong.append((position, f"write {row.intent_id} is {row.state}, but {told}"))
            elif self._plans.get(row.intent_id) != _plan_of(row):
                wrong.append((position, f"write {row.intent_id} has another body, amount or evidence than was planned"))
            elif row.state in DONE and self._refs.get(row.intent_id, "") != row.external_ref:
                wrong.append((position, f"write {row.intent_id} has another name outside than it was answered"))
            elif intent_id(row.shop, row.kind, row.natural_key) != row.intent_id:
                wrong.append((position, f"write {row.intent_id} has another key than its id is made of"))
        wrong += [(position, f"write {key} is gone from the ledger") for key, (position, _) in self._last.items()]
        if not wrong:
            return None
        position, message = min(wrong)
        return Break("write", position, message)


def _plan_of(row: Any) -> tuple[Any, ...]:
    """Return of a write's row what ``_PLAN_FACTS`` are of its event."""
    return digest(row.body), digest(row.evidence), row.amount_minor, row.currency


def _append(connection: Connection, shop: str, events: Iterable[Event], now: datetime) -> None:
    lock_shop(connection, shop, "audit")
    heads = tables.audit_heads
    head = connection.execute(select(heads.c.position, heads.c.hash).where(heads.c.shop == shop)).first()
    position, previous = (head.position, head.hash) if head is not None else (0, "")
    rows: list[dict[str, Any]] = []
    for event in events:
        position += 1
        row = {
            "shop": shop,
            "position": position,
            "at": now,
            "event": event.name,
            "subject": event.subject,
            "actor": event.actor,
            "facts": encode(event.facts),
            "previous_hash": previous,
        }
        row["hash"] = previous = _hash(row)
        rows.append(row)
    connection.execute(tables.audit_log.insert(), rows)
    if head is None:
        connection.execute(heads.insert().values(shop=shop, position=position, hash=previous))
    else:
        connection.execute(update(heads).where(heads.c.shop == shop).values(position=position, hash=previous))


def _hash(row: Mapping[str, Any], place: int | None = None) -> str:
    """Return the hash over a row's content, its place and the hash before it."""
    content = (
        row["previous_hash"],
        row["shop"],
        row["position"] if place is None else place,
        row["at"].astimezone(UTC).isoformat(timespec="microseconds"),
        row["event"],
        row["subject"],
        row["actor"],
        row["facts"],
    )
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def _answer(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Confirmed(ref, request_id, is_adopted):
            return {"outcome": "CONFIRMED", "ref": ref, "is_adopted": is_adopted, "request_id": request_id}
        case Rejected():
            said = words(f"{outcome.code} {outcome.message}".strip())
            return {"outcome": "REJECTED", "text": said, "request_id": outcome.request_id}
        case NotSent():
            return {"outcome": "NOT_SENT", "text": words(outcome.reason), "request_id": outcome.request_id}
        case Unknown(reason, request_id, ref):
            return {"outcome": "UNKNOWN", "text": words(reason), "request_id": request_id, "ref": ref}
