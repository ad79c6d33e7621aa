"""What is written to ReBound: returns.

Here: the body of a creation, and how a return stands under our key. Not here: paths, answers and the names each generation
has for the body's fields (`legacy`, `current`), nor when to write (`lanes`). Invariants: our key is the return's
`external_id`, and it is searched before every creation, for ReBound compares nothing; a line of several units is announced as
so many items, for ReBound finds one disposition per item. ReBound takes no outcome of a refund: nothing public says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from marketplace_returns.errors import BadArgument
from marketplace_returns.sources.rebound.layout import LINE_KEY_FIELD

if TYPE_CHECKING:
    from marketplace_returns.sources.platform import ItemOutcome, NewReturn
    from marketplace_returns.sources.rebound.client import ReboundClient


def creation(wanted: NewReturn) -> dict[str, Any]:
    """Return the body of a creation, in the older API's names: all of it text, as ReBound has it."""
    return {
        "external_id": wanted.return_id,
        "order_reference": wanted.order_id,
        "item": [
            {
                "sku_code": line.sku,
                "quantity": "1",
                "price": line.unit_price,
                "reason": [{"reason": line.reason}],
                "custom_fields": {LINE_KEY_FIELD: line.order_line_id},
            }
            for line in wanted.lines
            for _ in range(line.quantity)
        ],
    }


def outcome(platform_return_id: str, items: Sequence[ItemOutcome]) -> NoReturn:
    """Refuse: no item of ReBound's waits for an outcome, so nothing may ask for its report."""
    raise BadArgument(
        f"ReBound takes no outcome of a refund: nothing is to be told of the {len(items)} items of {platform_return_id}"
    )


class ReboundWrites:
    """The writes of one account."""

    def __init__(self, client: ReboundClient) -> None:
        self._client = client

    def find(self, key: str, order_id: str) -> list[str]:
        """Return the ids of the returns that stand under our key."""
        return self._client.find_by_key(key, order_id)

    def create(self, body: Mapping[str, Any]) -> str:
        """Create a return, unless one stands under our key: then that one's id is given."""
        known = self.find(str(body["external_id"]), str(body["order_reference"]))
        return known[0] if known else self._client.create_return(body)

    def report_outcome(self, body: Mapping[str, Any]) -> None:
        """Refuse, as `outcome` does."""
        outcome(str(body.get("platform_return_id", "")), ())

    def is_reported(self, body: Mapping[str, Any]) -> bool:
        """Tell that nothing is left to be reported."""
        del body
        return True
