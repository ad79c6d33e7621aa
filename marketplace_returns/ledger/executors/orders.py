"""Reading the marketplace's orders and returns for the executors: what an object says now, by id.

Here live fresh reads and the words for states. What must not live here: any write. The invariant: an id that the marketplace
does not show is absent from the answer, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.errors import SourceError
from marketplace_returns.ledger.executors import forms
from marketplace_returns.ledger.outcomes import Confirmed, Outcome, Rejected, not_looked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.sources.mirakl.client import MiraklClient

Row = dict[str, Any]

NOT_DECIDED: Final = frozenset({"STAGING", "WAITING_ACCEPTANCE"})
NOT_SHIPPED: Final = frozenset({*NOT_DECIDED, "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT", "SHIPPING"})
ENDED_UNSHIPPED: Final = frozenset({"REFUSED", "CANCELED"})


def orders_now(mirakl: MiraklClient, intents: Iterable[Intent]) -> dict[str, Row]:
    """Read the orders of some intents (OR11), by order id; raises ContractBroken where one is not of the form."""
    wanted = sorted({intent.order_id for intent in intents})
    rows = [row for page in mirakl.orders_by_id(wanted) for row in page]
    return {row["order_id"]: row for row in forms.sound(rows, forms.Order, "OR11")}


def returns_now(mirakl: MiraklClient, intents: Iterable[Intent]) -> dict[str, Row]:
    """Read the returns of some intents (RT11), by return id; raises ContractBroken where one is not of the form."""
    wanted = sorted({intent.return_id for intent in intents})
    rows = [row for page in mirakl.returns_by_id(wanted) for row in page]
    return {row["id"]: row for row in forms.sound(rows, forms.Return, "RT11")}


def line_of(order: Row, order_line_id: str) -> Row | None:
    """Return the line of an order, or None."""
    return next((line for line in order.get("order_lines") or () if line["order_line_id"] == order_line_id), None)


def look_at_refused(
    intents: Sequence[Intent],
    outcomes: dict[str, Outcome],
    read: Callable[[Sequence[Intent]], Mapping[str, Row]],
    is_done: Callable[[Intent, Row | None], bool],
    key: Callable[[Intent], str],
) -> dict[str, Outcome]:
    """Turn refusals of what is done already into confirmations: the second call of a state change is refused by nature.

    One read for all refused of the batch. Where it cannot be made nothing was applied, so they wait for another try.
    """
    refused = [
        intent
        for intent in intents
        if isinstance(outcome := outcomes.get(intent.intent_id), Rejected) and outcome.root_cause == "validation"
    ]
    if not refused:
        return outcomes
    try:
        now = read(refused)
    except SourceError as error:
        return outcomes | {intent.intent_id: not_looked(error) for intent in refused}
    done = {intent.intent_id: Confirmed(is_adopted=True) for intent in refused if is_done(intent, now.get(key(intent)))}
    return outcomes | done
