"""What each variance code of a month is to the people who work on it: the exception it opens, and so its owner.

Here: the table of codes. Not here: finding variances (the tables' SQL) or keeping exceptions (the ledger). The invariant: each
code has exactly one owner, the one of its exception's type.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.mappings import Mappings

ELSE: Final = "PAYOUT_VARIANCE"
"""What every code is that is not named below: a difference of money."""

EXCEPTION_OF_CODE: Final[dict[str, str]] = {
    "UNMAPPED_TYPE": "TL_UNMAPPED_TYPE",
    "MANUAL_PORTAL_REFUND": "REFUND_MANUAL_ADOPTED",
    "RECEIPT_WITHOUT_REFUND": "REFUND_OVERDUE",
    "TIMING_REFUND_PENDING": "REFUND_OVERDUE",
    "DUPLICATE_REFUND": "REFUND_CONFLICT",
    "REFUND_WITHOUT_RECEIPT": "REFUND_CONFLICT",
    "REFUND_WITHOUT_RECEIPT (SLA_FORCED)": "INSPECTION_OVERDUE",
    "LATE_ITEM": "PERIOD_LATE_ITEM",
    "UNKNOWN": "REFUND_CONFLICT",
}


def exception_of(code: str) -> str:
    """Return the exception type of a variance code."""
    return EXCEPTION_OF_CODE.get(code, ELSE)


def code_owners(mappings: Mappings) -> pa.Table:
    """Return ``code``, ``owner`` of every code that is named, and the owner of all others under the empty code."""
    rules = {**default_rules(), **{rule.type: rule for rule in mappings.exceptions}}
    types = {**EXCEPTION_OF_CODE, "": ELSE}
    return pa.table({"code": list(types), "owner": [rules[kind].owner for kind in types.values()]})
