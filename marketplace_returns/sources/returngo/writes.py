"""What is written to ReturnGO: RMAs and the outcome of refunds, as bodies and as calls.

Here: the body of POST /rma/createByPolicy, what an outcome holds, and how a write is seen again. Not here: paths and answers
(``client``), nor when to write (``lanes``). Invariant: our key is searched before a creation is repeated, and a
transaction's outcome is given only while it waits for one.

An item is one returned unit, as in ReturnGO (``returnedItemId``), so an order line of several units has several items. A
transaction moves the money of one or more items and may not exist when the outcome is planned; so the body says what came
of each item, and the transactions it settles are looked up when it is sent: each that waits and has one of the items
among its ``returnItemIds`` becomes ``Success`` with the marketplace's refunds, or ``Failed`` where all its items were
refused. A repeat touches only what still waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.errors import SourceRefused
from marketplace_returns.sources.returngo.client import EXTERNAL_ID, rma_key

if TYPE_CHECKING:
    from marketplace_returns.sources.platform import ItemOutcome, NewReturn
    from marketplace_returns.sources.returngo.client import ReturnGoClient

WAITING: Final = frozenset({"requested", "pending"})
"""Statuses of a transaction that waits: `Requested` is documented, `Pending` is how the rest of the API says it.

``model/reported/returngo/items.sql`` says the same.
"""
SUCCESS: Final = "Success"
FAILED: Final = "Failed"


def creation(wanted: NewReturn) -> dict[str, Any]:
    """Return the body of POST /rma/createByPolicy; prices are ReturnGO's own affair."""
    return {
        "order_name": wanted.order_id,
        EXTERNAL_ID: wanted.return_id,
        "items": [
            {
                "sku": line.sku,
                "quantity": line.quantity,
                "returnReason": line.reason,
                EXTERNAL_ID: line.order_line_id,
            }
            for line in wanted.lines
        ],
    }


def outcome(platform_return_id: str, items: Sequence[ItemOutcome]) -> dict[str, Any]:
    """Return what came of each item; the marketplace's refunds are those of its order line."""
    return {
        "platform_return_id": platform_return_id,
        "items": [
            {
                "item_id": item.item_id,
                "is_refunded": item.accepted > 0,
                "refund_ids": list(item.refund_ids) if item.accepted > 0 else [],
            }
            for item in items
        ],
    }


class ReturnGoWrites:
    """The writes of one shop."""

    def __init__(self, client: ReturnGoClient) -> None:
        self._client = client

    def find(self, key: str, order_id: str) -> list[str]:
        """Return the ids of the order's RMAs that carry our key: a list call and one for each RMA of the order."""
        listed = [
            rma_key(row["rmaId"]) for page in self._client.list_rmas(order_name=order_id, urgent=True) for row in page
        ]
        return [
            rma_id
            for rma_id in dict.fromkeys(listed)
            if str(self._client.rma(rma_id, urgent=True).get(EXTERNAL_ID) or "") == key
        ]

    def create(self, body: Mapping[str, Any]) -> str:
        """POST /rma/createByPolicy; where it is refused because the RMA is there already, that one is given."""
        try:
            return self._client.create_rma(body)
        except SourceRefused as refusal:
            if refusal.status not in {400, 409, 422}:
                raise
            standing = self.find(str(body[EXTERNAL_ID]), str(body["order_name"]))
            if not standing:
                raise
            return min(standing, key=lambda rma_id: (len(rma_id), rma_id))

    def report_outcome(self, body: Mapping[str, Any]) -> None:
        """PUT /transaction/{id} for each transaction of the items that waits."""
        items = _by_id(body)
        for transaction in self._transactions(body):
            if not _waits(transaction):
                continue
            told = [items[item_id] for item_id in _item_ids(transaction) if item_id in items]
            self._client.report_transaction(str(transaction["id"]), self._said(told))

    def is_reported(self, body: Mapping[str, Any]) -> bool:
        """Tell whether the items have a transaction and none of theirs waits."""
        found = self._transactions(body)
        return bool(found) and not any(_waits(transaction) for transaction in found)

    def _said(self, told: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the body for one transaction: its refunds, or that there are none."""
        if not any(item["is_refunded"] for item in told):
            return {"status": FAILED}
        refund_ids = sorted({refund_id for item in told for refund_id in item["refund_ids"]})
        return {
            "status": SUCCESS,
            "externalReferenceId": ",".join(refund_ids),
            "externalReferenceType": self._client.refund_reference_type,
        }

    def _transactions(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read the RMA and return those of its transactions that move an item of the body's."""
        items = _by_id(body)
        rma = self._client.rma(str(body["platform_return_id"]), urgent=True)
        return [each for each in rma.get("transactions") or () if not items.keys().isdisjoint(_item_ids(each))]


def _by_id(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(item["item_id"]): item for item in body["items"]}


def _item_ids(transaction: Mapping[str, Any]) -> list[str]:
    return [str(item_id) for item_id in transaction.get("returnItemIds") or ()]


def _waits(transaction: Mapping[str, Any]) -> bool:
    return str(transaction.get("status", "")).casefold() in WAITING
