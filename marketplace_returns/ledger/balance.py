"""Refunds that wait for the shop's balance go on once sales became payable (R101).

Here: which parked refunds have reason to be tried before their own time. Not here: parking them (``executors.refund``) or sending
them. The invariant: one new try for each time that sales came in after the last refusal, so that no empty balance is asked in a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from marketplace_returns.lake.sql import statement
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import Shop, WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.ledger.ledger import Ledger

ROOT_CAUSE: Final = "balance"


def wake(ledger: Ledger, con: DuckDBPyConnection, shop: Shop) -> int:
    """Let the refunds of a shop that wait for its balance be tried now, where sales became payable since; return how many.

    ``con`` is a connection with the lake attached.
    """
    waiting = [
        each
        for each in ledger.intents(shop=shop.name, kinds=(WriteKind.REFUND,), states=(State.PLANNED,))
        if each.root_cause == ROOT_CAUSE and each.not_before is not None
    ]
    if not waiting:
        return 0
    query = statement("payable_since", "marketplace_returns.ledger")
    ((since,),) = con.execute(query, {"shop": shop.name}).fetchall()
    return ledger.go_on([each.intent_id for each in waiting if since is not None and since > each.updated_at])
