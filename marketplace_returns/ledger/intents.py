"""Intents as rows: how plans become intents, how they are found, and how a worker claims them.

Here lives everything about an intent that happens before it is sent. What must not live here: steps while a write is under
way (``steps.py``). The invariant: an intent is known by (shop, kind, natural key); its body changes only while nothing of it
can be outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, RowMapping, and_, bindparam, func, or_, select, update

from marketplace_returns.lanes.plan import DELTA_KEY, IntentPlan, LaneDecision
from marketplace_returns.ledger import tables
from marketplace_returns.ledger.connection import chunks, lock_shop
from marketplace_returns.ledger.states import DONE, State, check_step
from marketplace_returns.settings import Shop, WriteKind, WriteMode

_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_decoder = msgspec.json.Decoder(float_hook=Decimal)

_STATE_COLUMNS: Final = (
    "state",
    "not_before",
    "updated_at",
    "lease_owner",
    "lease_until",
    "attempt_count",
    "unknown_count",
    "baseline",
    "sent_at",
    "read_back_at",
    "read_back_count",
    "first_empty_read_at",
    "external_ref",
    "is_adopted",
    "confirmed_at",
    "reflected_at",
    "settled_at",
    "root_cause",
    "last_error",
)
_PLAN_COLUMNS: Final = ("body", "body_hash", "evidence", "amount_minor", "currency", "priority", "not_before")


@dataclass(frozen=True, slots=True)
class Intent:
    """One write to the outside: what, why, and where it stands. Amounts in minor units of ``currency``."""

    intent_id: str
    shop: str
    kind: WriteKind
    natural_key: str
    lane: str
    state: State
    body: dict[str, Any]
    evidence: dict[str, Any]
    order_id: str
    order_line_id: str
    return_id: str
    return_unit_id: str
    amount_minor: int
    currency: str
    priority: int
    not_before: datetime | None
    planned_at: datetime
    updated_at: datetime
    lease_owner: str
    lease_until: datetime | None
    attempt_count: int
    unknown_count: int
    baseline: dict[str, Any]
    sent_at: datetime | None
    read_back_at: datetime | None
    read_back_count: int
    first_empty_read_at: datetime | None
    external_ref: str
    is_adopted: bool
    confirmed_at: datetime | None
    reflected_at: datetime | None
    settled_at: datetime | None
    root_cause: str
    last_error: str


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of a lane's plans."""

    new: tuple[dict[str, Any], ...]
    """The rows of new intents."""
    changed: tuple[dict[str, Any], ...]
    """The rows of known ones that follow the facts now, with ``from_state``."""
    known: int
    superseded: tuple[str, ...]

    @property
    def replanned(self) -> tuple[str, ...]:
        """The ids of those that were refused and are planned again."""
        return tuple(row["intent_id"] for row in self.changed if row["from_state"] is State.REJECTED)


def intent_id(shop: str, kind: WriteKind, natural_key: str) -> str:
    """Return the id of an intent: the same in every ledger, so that logs and restored ledgers agree."""
    return hashlib.sha256(f"{shop}\n{kind}\n{natural_key}".encode()).hexdigest()[:24]


def digest(text: str) -> str:
    """Return the hash that bodies and evidence are known by."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def encode(value: Mapping[str, Any]) -> str:
    """Write facts as JSON: Decimal as exact numbers, keys in order."""
    return _encoder.encode(dict(value)).decode()


def decode(text: str) -> dict[str, Any]:
    """Read facts back: numbers with a point become Decimal."""
    found: dict[str, Any] = _decoder.decode(text)
    return found


def from_row(row: Mapping[str, Any] | RowMapping) -> Intent:
    """Make an intent of a row of the table."""
    values = {field.name: row[field.name] for field in fields(Intent)}
    values["kind"], values["state"] = WriteKind(row["kind"]), State(row["state"])
    for name in ("body", "evidence", "baseline"):
        values[name] = decode(row[name])
    return Intent(**values)


def plan(connection: Connection, decision: LaneDecision, shop: Shop, now: datetime) -> Planned:
    """Make a lane's plans intents: new ones are added, unsent ones follow the facts, unasked-for ones are superseded.

    A write mode of ``shadow`` keeps the intent SHADOWED (shown, never sent); ``live`` and ``off`` keep it PLANNED. An
    intent that was refused is planned again only when its body changed, such as after a mapping was mended (R71).
    """
    lock_shop(connection, shop.name, "plan")
    known = _known(connection, decision)
    new: dict[str, dict[str, Any]] = {}
    changed: list[dict[str, Any]] = []
    for each in decision.intents:
        key = intent_id(each.shop, each.kind, each.natural_key)
        wanted = State.SHADOWED if shop.write_mode(each.kind) is WriteMode.SHADOW else State.PLANNED
        row = _plan_row(each, decision.lane, key, wanted, now)
        if key in new:
            continue  # a lane that names one write twice means it once
        if key not in known:
            new[key] = row
        elif change := _follow(known[key], row, wanted):
            changed.append(change)
    if new:
        connection.execute(tables.intents.insert(), list(new.values()))
    if changed:
        changed = _update_plans(connection, changed, now)
    superseded = _supersede(connection, decision, {*new, *known}, now)
    return Planned(
        new=tuple(new.values()),
        changed=tuple(changed),
        known=len(decision.intents) - len(new),
        superseded=tuple(superseded),
    )


def claim(
    connection: Connection, shop: str, kind: WriteKind, *, worker: str, until: datetime, now: datetime, limit: int
) -> list[Intent]:
    """Lease due planned intents of a shop and kind to a worker, most urgent first.

    Of refunds at most one per order is given, and none of an order that has a refund on its way, unclear or in conflict:
    two at once could not be told apart on read-back (R48).
    """
    lock_shop(connection, shop, f"claim {kind}")
    table = tables.intents
    order = (table.c.priority.desc(), table.c.planned_at, table.c.intent_id)
    is_free = or_(table.c.lease_until.is_(None), table.c.lease_until <= now)
    due = and_(
        table.c.shop == shop,
        table.c.kind == kind,
        table.c.state == State.PLANNED,
        or_(table.c.not_before.is_(None), table.c.not_before <= now),
        is_free,
    )
    query = select(table).where(due).order_by(*order).limit(limit)
    if kind is WriteKind.REFUND:
        other = tables.intents.alias("other")
        is_held = (
            select(other.c.intent_id)
            .where(
                other.c.shop == shop,
                other.c.order_id == table.c.order_id,
                other.c.kind == kind,
                or_(
                    other.c.state.in_((State.SENDING, State.UNKNOWN, State.CONFLICT)),
                    and_(other.c.state == State.PLANNED, other.c.lease_until > now),
                ),
            )
            .exists()
        )
        place = func.row_number().over(partition_by=table.c.order_id, order_by=order).label("place")
        ranked = select(table, place).where(due, ~is_held).subquery()
        ranked_order = (ranked.c.priority.desc(), ranked.c.planned_at, ranked.c.intent_id)
        query = select(ranked).where(ranked.c.place == 1).order_by(*ranked_order).limit(limit)
    rows = connection.execute(query).mappings().all()
    leased: dict[str, Intent] = {}
    for keys in chunks([row["intent_id"] for row in rows]):
        # As they are now: between the look and this another worker of a Postgres ledger may have planned one anew.
        taking = update(table).where(table.c.intent_id.in_(keys), table.c.state == State.PLANNED, is_free)
        given = connection.execute(taking.values(lease_owner=worker, lease_until=until).returning(table))
        leased |= {row["intent_id"]: from_row(row) for row in given.mappings()}
    return [leased[row["intent_id"]] for row in rows if row["intent_id"] in leased]


def lease(connection: Connection, intent_ids: Sequence[str], *, worker: str, until: datetime | None) -> None:
    """Give intents to a worker until an instant; to nobody where it is None."""
    for keys in chunks(intent_ids):
        connection.execute(
            update(tables.intents)
            .where(tables.intents.c.intent_id.in_(keys))
            .values(lease_owner=worker, lease_until=until)
        )


def find(
    connection: Connection,
    *,
    shop: str | None = None,
    kinds: Collection[WriteKind] | None = None,
    states: Collection[State] | None = None,
    order_id: str | None = None,
    order_line_ids: Collection[str] | None = None,
    return_id: str | None = None,
    intent_ids: Collection[str] | None = None,
    limit: int | None = None,
) -> list[Intent]:
    """Return the intents that fit all that is given, oldest first."""
    table = tables.intents
    query = select(table).order_by(table.c.planned_at, table.c.intent_id)
    for column, value in ((table.c.shop, shop), (table.c.order_id, order_id), (table.c.return_id, return_id)):
        if value is not None:
            query = query.where(column == value)
    for column, values in (
        (table.c.kind, kinds),
        (table.c.state, states),
        (table.c.order_line_id, order_line_ids),
        (table.c.intent_id, intent_ids),
    ):
        if values is not None:
            query = query.where(column.in_(list(values)))
    if limit is not None:
        query = query.limit(limit)
    return [from_row(row) for row in connection.execute(query).mappings()]


def platform_links(connection: Connection, shops: Collection[str]) -> list[dict[str, str]]:
    """Return (shop, return_id, platform_return_id) of the platform returns that our writes made."""
    table = tables.intents
    query = select(table.c.shop, table.c.return_id, table.c.external_ref.label("platform_return_id")).where(
        table.c.shop.in_(list(shops)),
        table.c.kind == WriteKind.CREATE_PLATFORM_RETURN,
        table.c.state.in_(list(DONE)),
        table.c.external_ref != "",
    )
    return [dict(row) for row in connection.execute(query.order_by(table.c.planned_at, table.c.intent_id)).mappings()]


def read_backs_due(connection: Connection, shop: str, kind: WriteKind, now: datetime, limit: int) -> list[Intent]:
    """Return unclear writes whose time to be read back has come, and that no other worker holds."""
    table = tables.intents
    query = (
        select(table)
        .where(
            table.c.shop == shop,
            table.c.kind == kind,
            table.c.state == State.UNKNOWN,
            table.c.read_back_at <= now,
            or_(table.c.lease_until.is_(None), table.c.lease_until <= now),
        )
        .order_by(table.c.read_back_at, table.c.intent_id)
        .limit(limit)
    )
    return [from_row(row) for row in connection.execute(query).mappings()]


def abandoned(connection: Connection, now: datetime) -> list[Intent]:
    """Return writes whose worker began to send and did not come back within its lease, locked."""
    table = tables.intents
    left = select(table).where(table.c.state == State.SENDING, table.c.lease_until <= now)
    query = left.order_by(table.c.intent_id).with_for_update()
    return [from_row(row) for row in connection.execute(query).mappings()]


def counts(connection: Connection, shop: str | None) -> dict[tuple[WriteKind, State], int]:
    """Return how many intents there are by kind and state."""
    table = tables.intents
    query = select(table.c.kind, table.c.state, func.count()).group_by(table.c.kind, table.c.state)
    if shop is not None:
        query = query.where(table.c.shop == shop)
    return {(WriteKind(kind), State(state)): count for kind, state, count in connection.execute(query)}


def has_due(connection: Connection, shop: str, live: Collection[WriteKind], now: datetime) -> bool:
    """Tell whether a shop has an intent of a live kind to send, any to read back now, or one left by a dead worker."""
    table = tables.intents
    is_free = or_(table.c.lease_until.is_(None), table.c.lease_until <= now)
    due = or_(
        and_(
            table.c.state == State.PLANNED,
            table.c.kind.in_(list(live)),
            or_(table.c.not_before.is_(None), table.c.not_before <= now),
            is_free,
        ),
        and_(table.c.state == State.UNKNOWN, table.c.read_back_at <= now, is_free),
        and_(table.c.state == State.SENDING, table.c.lease_until <= now),
    )
    return connection.execute(select(table.c.intent_id).where(table.c.shop == shop, due).limit(1)).first() is not None


def is_confirmed_after(connection: Connection, shop: str, kind: WriteKind, at: datetime) -> bool:
    """Tell whether a write of a kind was confirmed after an instant."""
    table = tables.intents
    query = select(table.c.intent_id).where(table.c.shop == shop, table.c.kind == kind, table.c.confirmed_at > at)
    return connection.execute(query.limit(1)).first() is not None


def supersede_older_values(
    connection: Connection, claimed: Sequence[Intent], now: datetime
) -> tuple[list[Intent], list[Intent]]:
    """Return of claimed stock values (those that nothing newer of their SKU follows, the older ones, now superseded).

    Additions (``DELTA_KEY``) replace nothing and are all kept.
    """
    additions = [each for each in claimed if each.natural_key.startswith(DELTA_KEY)]
    claimed = [each for each in claimed if not each.natural_key.startswith(DELTA_KEY)]
    if not claimed:
        return additions, []
    table = tables.intents
    newest: dict[str, tuple[datetime, str]] = {}
    later = select(table.c.natural_key, table.c.planned_at).where(
        table.c.shop == claimed[0].shop,
        table.c.kind == WriteKind.PUSH_STOCK,
        table.c.planned_at >= min(each.planned_at for each in claimed),
        table.c.state != State.SUPERSEDED,
    )
    for natural_key, planned_at in connection.execute(later):
        sku = _sku_of(natural_key)
        newest[sku] = max(newest.get(sku, (planned_at, natural_key)), (planned_at, natural_key))
    kept = [each for each in claimed if newest[_sku_of(each.natural_key)] == (each.planned_at, each.natural_key)]
    kept_ids = {each.intent_id for each in kept}
    older = [replace(each, state=State.SUPERSEDED) for each in claimed if each.intent_id not in kept_ids]
    _set_superseded(connection, [each.intent_id for each in older], now)
    return [*additions, *kept], older


def load(connection: Connection, intent_ids: Sequence[str]) -> dict[str, Intent]:
    """Return intents by id, locked against other writers until the transaction ends."""
    found: dict[str, Intent] = {}
    for keys in chunks(intent_ids):
        # In the order of their ids, as everywhere, so that two workers never wait for each other.
        chosen = select(tables.intents).where(tables.intents.c.intent_id.in_(keys))
        query = chosen.order_by(tables.intents.c.intent_id).with_for_update()
        found |= {row["intent_id"]: from_row(row) for row in connection.execute(query).mappings()}
    return found


def save(connection: Connection, changed: Sequence[Intent]) -> None:
    """Write the state and its facts of intents that were loaded in this transaction; plans are not touched."""
    if not changed:
        return
    rows = [
        {"key": each.intent_id, **{f"new_{name}": getattr(each, name) for name in _STATE_COLUMNS}} for each in changed
    ]
    for row, each in zip(rows, changed, strict=True):
        row["new_baseline"] = encode(each.baseline)
    connection.execute(
        update(tables.intents)
        .where(tables.intents.c.intent_id == bindparam("key"))
        .values({name: bindparam(f"new_{name}") for name in _STATE_COLUMNS}),
        rows,
    )


def _sku_of(natural_key: str) -> str:
    return natural_key.rpartition("@")[0]


def _id_of(each: IntentPlan) -> str:
    return intent_id(each.shop, each.kind, each.natural_key)


def _plan_row(each: IntentPlan, lane: str, key: str, state: State, now: datetime) -> dict[str, Any]:
    body = encode(each.body)
    return {
        "intent_id": key,
        "shop": each.shop,
        "kind": each.kind,
        "natural_key": each.natural_key,
        "lane": lane,
        "state": state,
        "body": body,
        "body_hash": digest(body),
        "evidence": encode(each.evidence),
        "order_id": each.order_id,
        "order_line_id": each.order_line_id,
        "return_id": each.return_id,
        "return_unit_id": each.return_unit_id,
        "amount_minor": each.amount_minor,
        "currency": each.currency,
        "priority": each.priority,
        "not_before": each.not_before,
        "planned_at": now,
        "updated_at": now,
    }


def _known(connection: Connection, decision: LaneDecision) -> dict[str, RowMapping]:
    table = tables.intents
    columns = (table.c.intent_id, table.c.state, table.c.body_hash, table.c.unknown_count, table.c.not_before)
    found: dict[str, RowMapping] = {}
    for keys in chunks([_id_of(each) for each in decision.intents]):
        for row in connection.execute(select(*columns).where(table.c.intent_id.in_(keys))).mappings():
            found[row["intent_id"]] = row
    return found


def _follow(known: RowMapping, row: dict[str, Any], wanted: State) -> dict[str, Any] | None:
    """Say how a known intent follows a plan made anew, or None where it stays as it is."""
    current = State(known["state"])
    is_changed = known["body_hash"] != row["body_hash"]
    match current:
        case State.PLANNED | State.SHADOWED:
            # Once a try ended unclear the body is what was read back for, so it stays.
            if current is wanted and (not is_changed or known["unknown_count"]):
                return None
        case State.SUPERSEDED:
            pass
        case State.REJECTED if is_changed:
            pass
        case _:
            return None
    if current is not wanted:
        check_step(row["intent_id"], current, wanted)
    parked = known["not_before"] if not is_changed else None
    return {**row, "from_state": current, "not_before": row["not_before"] or parked}


def _update_plans(connection: Connection, changes: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Write the changes of those that still are as they were read and that no worker prepares; return these."""
    table = tables.intents
    is_free = or_(table.c.lease_until.is_(None), table.c.lease_until <= now)
    states: dict[str, State] = {}
    for keys in chunks(sorted(change["intent_id"] for change in changes)):
        rows = select(table.c.intent_id, table.c.state).where(table.c.intent_id.in_(keys), is_free)
        locked = rows.order_by(table.c.intent_id).with_for_update()
        states |= {row.intent_id: State(row.state) for row in connection.execute(locked)}
    held = [change for change in changes if states.get(change["intent_id"]) is change["from_state"]]
    if held:
        connection.execute(
            update(table)
            .where(table.c.intent_id == bindparam("key"))
            .values(
                state=bindparam("to_state"),
                updated_at=now,
                root_cause="",
                last_error="",
                **{name: bindparam(f"new_{name}") for name in _PLAN_COLUMNS},
            ),
            [
                {
                    "key": each["intent_id"],
                    "to_state": each["state"],
                    **{f"new_{name}": each[name] for name in _PLAN_COLUMNS},
                }
                for each in held
            ],
        )
    return held


def _supersede(connection: Connection, decision: LaneDecision, wanted: set[str], now: datetime) -> list[str]:
    """Set aside what this lane planned before and no longer asks for; nothing of it is outside."""
    table = tables.intents
    waiting = connection.execute(
        select(table.c.intent_id).where(
            table.c.shop == decision.shop,
            table.c.lane == decision.lane,
            table.c.state.in_((State.PLANNED, State.SHADOWED, State.REJECTED)),
            or_(table.c.lease_until.is_(None), table.c.lease_until <= now),
        )
    ).scalars()
    return _set_superseded(connection, [key for key in waiting if key not in wanted], now)


def _set_superseded(connection: Connection, intent_ids: Sequence[str], now: datetime) -> list[str]:
    """Set intents aside that still have not left; return which."""
    table = tables.intents
    changed: list[str] = []
    for keys in chunks(intent_ids):
        changed += connection.execute(
            update(table)
            .where(table.c.intent_id.in_(keys), table.c.state.in_((State.PLANNED, State.SHADOWED, State.REJECTED)))
            .values(state=State.SUPERSEDED, updated_at=now, lease_owner="", lease_until=None)
            .returning(table.c.intent_id)
        ).scalars()
    return changed
