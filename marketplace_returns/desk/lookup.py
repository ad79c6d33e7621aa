"""The look-up: from any number to the orders it belongs to, where each stands, what happened and what is open (R24, R46).

Here: finding, gathering the facts of one order, and the status told over them. Not here: the words (``order_status``), which
rows belong to an order (``order_slice``), personal data (none is read). The invariant: what it costs goes with the order, not
with the history.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from marketplace_returns import model
from marketplace_returns.desk.order_slice import OrderMemory, order_slice
from marketplace_returns.desk.order_status import OrderFacts, Problem, ReturnFacts, Status, WriteFacts, tell
from marketplace_returns.ledger.states import DONE
from marketplace_returns.reconciliation.close import run_query
from marketplace_returns.reconciliation.trace import (
    Event,
    Found,
    LogLine,
    events,
    find_by_number,
    log_lines,
    of_log_lines,
)
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake
    from marketplace_returns.ledger import Ledger
    from marketplace_returns.ledger.exceptions import OpenException
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Settings

PACKAGE: Final = "marketplace_returns.desk"
ORDERS_MAX: Final = 20
"""As many orders are told of one number; a commercial id has a handful."""

_INTENT: Final = re.compile(r"(?:intent:)?([0-9a-f]{24})")


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order as the desk shows it; amounts in minor units of ``facts.currency``, instants in UTC."""

    shop: str
    order_id: str
    status: Status
    facts: OrderFacts
    returns: tuple[tuple[ReturnFacts, Status], ...]
    events: tuple[Event, ...]
    writes: tuple[Intent, ...]
    exceptions: tuple[OpenException, ...]


@dataclass(frozen=True, slots=True)
class LookUp:
    """What a number was found to be, and the orders it belongs to; none where nothing that was read has it."""

    reference: str
    found_as: tuple[str, ...]
    orders: tuple[OrderView, ...]
    more: int = 0
    """How many further orders have the number."""
    log_lines: tuple[LogLine, ...] = ()
    """The lines of the transaction log that have it, with or without an order."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the desk works on: the installation, opened.

    ``con`` has the lake attached and ``model.attach_reports`` behind it; questions only read it.
    """

    con: DuckDBPyConnection
    ledger: Ledger
    settings: Settings
    mappings: Mappings
    lake: Lake
    """Gives connections of their own, for what would disturb the model that ``con`` holds."""
    facts: Callable[[], model.LedgerFacts]
    """Gives what the model takes from the ledger."""
    memory: OrderMemory = field(default_factory=OrderMemory)
    """Holds the order that is looked at."""


def look_up(desk: Desk, reference: str, now: datetime) -> LookUp:
    """Find the orders of any number and tell where each stands."""
    found = find_by_number(desk.con, reference) or _of_intent(desk, reference)
    lines = [] if found else [each for each in log_lines(desk.con, reference) if each.shop in desk.settings.shops]
    found = found or of_log_lines(lines)
    keys = sorted({(each.shop, each.order_id) for each in found if each.shop in desk.settings.shops})
    orders = []
    for shop, order_id in keys[:ORDERS_MAX]:
        view = _view(desk, shop, order_id, now)
        if view is not None:
            orders.append(view)
    kinds = tuple(sorted({each.kind for each in found}))
    return LookUp(reference.strip(), kinds, tuple(orders), max(0, len(keys) - ORDERS_MAX), tuple(lines))


def _of_intent(desk: Desk, reference: str) -> list[Found]:
    """Return the order of a write of ours, by its id as the ledger and ``refund_three_way`` have it."""
    shape = _INTENT.fullmatch(reference.strip())
    writes = desk.ledger.intents(intent_ids=[shape[1]]) if shape else []
    return [Found(each.shop, each.order_id, "write of ours") for each in writes if each.order_id]


def _view(desk: Desk, shop_name: str, order_id: str, now: datetime) -> OrderView | None:
    shop, ledger = desk.settings.shop(shop_name), desk.ledger
    writes = ledger.intents(shop=shop_name, order_id=order_id)
    waiting = ledger.exceptions(shop=shop_name, order_id=order_id)
    facts = _facts_of(writes)
    with order_slice(
        desk.memory, desk.lake, desk.con, desk.settings, desk.mappings, shop=shop, order_id=order_id, facts=facts
    ) as small:
        if small is None:
            return None  # a warehouse's or platform's number of an order the marketplace never told us of
        heads = _rows(small, "order_head", OrderFacts, shop=shop_name, order_id=order_id)
        returns = _rows(
            small,
            "order_returns",
            ReturnFacts,
            shop=shop_name,
            order_id=order_id,
            deadline_from=str(shop.policy.refund_deadline_from),
            deadline_hours=shop.policy.refund_deadline_hours,
        )
        happened = events(small, shop_name, order_id)
    told = tell(
        heads[0],
        returns,
        [WriteFacts(each.kind, each.state, each.return_id, each.not_before) for each in writes],
        [
            Problem(each.type, each.owner, each.message, each.due_at, each.entity.get("return_id", ""), each.severity)
            for each in waiting
        ],
        owners=ledger.owners(),
        time_zone=shop.time_zone,
        now=now,
    )
    return OrderView(
        shop=shop_name,
        order_id=order_id,
        status=told.order,
        facts=heads[0],
        returns=tuple((each, told.returns[each.return_id]) for each in returns),
        events=tuple(happened),
        writes=tuple(writes),
        exceptions=tuple(waiting),
    )


def _facts_of(writes: list[Intent]) -> model.LedgerFacts:
    """Return which platform returns our writes of this order made."""
    links = [
        {"shop": each.shop, "return_id": each.return_id, "platform_return_id": each.external_ref}
        for each in writes
        if each.kind is WriteKind.CREATE_PLATFORM_RETURN and each.state in DONE and each.external_ref
    ]
    return model.LedgerFacts(pa.Table.from_pylist(links, schema=model.PLATFORM_LINKS))


def _rows(con: DuckDBPyConnection, name: str, row: type[Any], **parameters: Any) -> list[Any]:
    found = run_query(con, model.statement(name, PACKAGE), parameters)
    names = [column[0] for column in found.description or []]
    wanted = {each.name for each in fields(row)}
    return [row(**{k: v for k, v in zip(names, values, strict=True) if k in wanted}) for values in found.fetchall()]
