"""What is written to Reveni: returns and the merchant's verdicts, as bodies and as calls.

Here: the bodies of POST /returns and partial_validate, and how a write is seen again. Not here: paths and answers
(``client``), nor when to write (``lanes``). Invariant: our key is ``external_id``; a verdict is one entry per item and
status, and its units add up to the item's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marketplace_returns.sources.platform import ItemOutcome, NewReturn
    from marketplace_returns.sources.reveni.client import ReveniClient


def creation(wanted: NewReturn) -> dict[str, Any]:
    """Return the body of POST /returns."""
    return {
        "external_id": wanted.return_id,
        "order": {"external_id": wanted.order_id, "name": wanted.order_id},
        "currency": wanted.currency,
        "return_items": [
            {
                "external_id": line.order_line_id,
                "sku": line.sku,
                "quantity": line.quantity,
                "unit_price": line.unit_price,
                "tax_amount": line.tax_amount,
                "return_reason": line.reason,
            }
            for line in wanted.lines
        ],
    }


def outcome(platform_return_id: str, items: Sequence[ItemOutcome]) -> dict[str, Any]:
    """Return the verdict per item; units of one item may be accepted and rejected."""
    verdicts: list[dict[str, Any]] = []
    for item in items:
        if item.accepted:
            verdicts.append({"item_id": item.item_id, "quantity": item.accepted, "status": "accepted"})
        if item.rejected:
            verdicts.append(
                {
                    "item_id": item.item_id,
                    "quantity": item.rejected,
                    "status": "rejected",
                    "reject_reason": item.reject_reason,
                }
            )
    return {"platform_return_id": platform_return_id, "items": verdicts}


class ReveniWrites:
    """The writes of one store."""

    def __init__(self, client: ReveniClient) -> None:
        self._client = client

    def find(self, key: str, order_id: str) -> list[str]:
        """Return the ids of the returns created with our key."""
        return [str(found["id"]) for found in self._client.find_by_external_id(key)]

    def create(self, body: Mapping[str, Any]) -> str:
        """POST /returns; a 409 gives the return that is there."""
        return str(self._client.create_return(body)["id"])

    def report_outcome(self, body: Mapping[str, Any]) -> None:
        """POST /returns/{id}/partial_validate."""
        self._client.validate(str(body["platform_return_id"]), body["items"])

    def is_reported(self, body: Mapping[str, Any]) -> bool:
        """Tell whether none of the items is pending."""
        found = self._client.return_by_id(str(body["platform_return_id"]))
        status = {str(item["id"]): str(item.get("status", "pending")) for item in found.get("return_items") or ()}
        return all(status.get(str(item["item_id"]), "pending").lower() != "pending" for item in body["items"])
