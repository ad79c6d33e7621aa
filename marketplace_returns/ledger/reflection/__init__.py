"""Closing the loop: a write that was answered is believed only when the source itself shows it (R39).

Here live the steps CONFIRMED → REFLECTED → SETTLED, decided by one SQL file per kind over the lake, and the exceptions of
writes that do not show in time. What must not live here: calls to the outside. The invariant: nothing is REFLECTED without a
row of the lake that shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from marketplace_returns.lake.connection import side_by_side
from marketplace_returns.lake.sql import statement
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger.ledger import Ledger
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import Shop, WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.ledger.intents import Intent

LANE: Final = "reflection"
PACKAGE: Final = "marketplace_returns.ledger.reflection"
SHOWN_WITHIN: Final = timedelta(hours=6)
"""A write that was answered and does not show in the lake after this long opens an exception (R39, R72)."""

EXCEPTION_OF_KIND: Final = MappingProxyType(
    {
        WriteKind.ACCEPT_ORDER: "STATUS_DRIFT",
        WriteKind.CREATE_WAREHOUSE_ORDER: "WMS_ORDER_MISSING",
        WriteKind.CONFIRM_DESPATCH: "DESPATCH_NOT_REFLECTED",
        WriteKind.CREATE_PLATFORM_RETURN: "STATUS_DRIFT",
        WriteKind.LINK_RETURN: "STATUS_DRIFT",
        WriteKind.CREATE_EXPECTED_RECEIPT: "ASN_MISSING",
        WriteKind.RECEIVE_RETURN: "STATUS_DRIFT",
        WriteKind.REPORT_COMPLIANCE: "STATUS_DRIFT",
        WriteKind.REFUND: "REFUND_CONFLICT",
        WriteKind.REPORT_REFUND_OUTCOME: "STATUS_DRIFT",
        WriteKind.RESOLVE_INCIDENT: "INCIDENT_DRIFT",
        WriteKind.CLOSE_RETURN: "STATUS_DRIFT",
        WriteKind.PUSH_STOCK: "STOCK_DRIFT",
    }
)


@dataclass(frozen=True, slots=True)
class Reflected:
    """How many writes were seen, how many refunds settled, and how many are late to show."""

    reflected: int
    settled: int
    late: int


def reflect(ledger: Ledger, con: DuckDBPyConnection, shop: Shop, now: datetime) -> Reflected:
    """Move on the writes of a shop that the lake shows, and open exceptions for those that are late to show.

    ``con`` is a connection with the lake attached and the platforms' reports in it (``model.attach_reported``). Cost grows with the writes that are not reflected or settled yet.
    """
    confirmed = ledger.intents(shop=shop.name, states=(State.CONFIRMED,))
    reads = {stream: read_at for stream, (read_at, _) in ledger.cursors(shop.name).items()}
    seen = _shown(con, shop, confirmed, {str(each.kind) for each in confirmed}, reads)
    reflected = ledger.mark_seen(seen, State.REFLECTED)
    waiting = ledger.intents(shop=shop.name, kinds=(WriteKind.REFUND,), states=(State.REFLECTED,))
    settled = ledger.mark_seen(_shown(con, shop, waiting, {"refund_settled"}, reads), State.SETTLED)
    late = [
        _late(each)
        for each in confirmed
        if each.intent_id not in seen and each.confirmed_at is not None and now - each.confirmed_at > SHOWN_WITHIN
    ]
    ledger.raise_exceptions(shop.name, LANE, late)
    return Reflected(reflected=reflected, settled=settled, late=len(late))


def _shown(
    con: DuckDBPyConnection,
    shop: Shop,
    intents: list[Intent],
    queries: Iterable[str],
    reads: Mapping[str, datetime],
) -> set[str]:
    if not intents:
        return set()
    texts = ("offer_sku",)
    columns = ("intent_id", "natural_key", "order_id", "order_line_id", "return_id", "external_ref")
    writes = pa.table(
        {
            "kind": [str(each.kind) for each in intents],
            "confirmed_at": pa.array([each.confirmed_at for each in intents], type=pa.timestamp("us", tz="UTC")),
            "sent_at": pa.array([each.sent_at for each in intents], type=pa.timestamp("us", tz="UTC")),
            "quantity": pa.array([each.body.get("quantity") for each in intents], type=pa.int64()),
            **{name: pa.array([each.body.get(name) for each in intents], type=pa.string()) for name in texts},
            **{name: pa.array([getattr(each, name) for each in intents], type=pa.string()) for name in columns},
        }
    )
    stream_reads = pa.table(
        {
            "stream": pa.array(list(reads), type=pa.string()),
            "read_at": pa.array(list(reads.values()), type=pa.timestamp("us", tz="UTC")),
        }
    )

    def seen(query: str, own: DuckDBPyConnection) -> set[str]:
        own.register("done_writes", writes)
        own.register("stream_reads", stream_reads)
        return {row[0] for row in own.execute(statement(query, PACKAGE), {"shop": shop.name}).fetchall()}

    return set().union(*side_by_side(con, [partial(seen, query) for query in sorted(queries)]))


def _late(intent: Intent) -> ExceptionPlan:
    about = intent.order_id or intent.return_id or intent.natural_key
    return ExceptionPlan(
        shop=intent.shop,
        type=EXCEPTION_OF_KIND[intent.kind],
        entity={"natural_key": intent.natural_key, "order_id": intent.order_id},
        cause=f"not reflected {intent.kind}",
        message=f"{intent.kind} of {about} was answered as done (ref {intent.external_ref or 'none'}) and the source does not "
        f"show it after {SHOWN_WITHIN.total_seconds() / 3600:.0f} h. Compare both sides by hand.",
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        evidence={"intent_id": intent.intent_id},
    )
