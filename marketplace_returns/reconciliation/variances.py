"""Turns what a closed month could not match into exceptions with an owner.

Here: which exception each variance code is, and the bound on how many are opened. Not here: finding variances (the
tables and ``invariants``) or keeping exceptions (the ledger). The invariant: every variance of the month is named by an
exception, one each up to a bound, the rest by one exception per code that counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.lanes.plan import ExceptionPlan, LaneDecision
from marketplace_returns.ledger.exceptions import HANDED_ON
from marketplace_returns.model import statement
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import PACKAGE, month_parameters, run_query
from marketplace_returns.reconciliation.codes import ELSE, exception_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.ledger.exceptions import OpenException
    from marketplace_returns.reconciliation.invariants import CheckResult
    from marketplace_returns.settings import Shop

LANE: Final = "month_end"
NAMED_MAX: Final = 200
"""Variances of one code that get an exception each; more of a code share one."""

_EVERY: Final = 2**62
_OF_ALL: Final = "rows"
"""In the evidence of what shares an exception: how many rows of the code there are."""

_MEND: Final[dict[str, str]] = {
    "UNMAPPED_TYPE": "add the transaction type to transaction_types.csv and close the month again",
    "PAYOUT": "compare the statement with the log's lines of the cycle and ask the marketplace for the missing ones",
    "FX": "ask the marketplace why log and order, refund or payout cycle are in different currencies; nothing was added up across them",
    "PAYOUT_FAILED_KYC": "complete what the marketplace asks for; the payout is repeated",
    "MISSING_EXTRACT": "read the source again for these dates with 'marketplace-returns backfill', then close again",
    "COMMISSION_RATE": "compare the rate with the contract and claim the difference",
    "COMMISSION_CREDIT_MISSING": "claim the commission of the refund from the marketplace",
    "TAX_CODE": "compare the tax codes of order and log, and correct the tax return if needed",
    "SHIPPING_NOT_REFUNDED": "decide whether the customer is owed the shipping",
    "MANUAL_PORTAL_REFUND": "name who refunded by hand and why",
    "DUPLICATE_REFUND": "ask the marketplace to reverse one of the refunds",
    "REFUND_WITHOUT_RECEIPT": "find the parcel or record why the refund was given",
    "REFUND_WITHOUT_RECEIPT (SLA_FORCED)": "find the parcel: the deadline had it refunded before anybody inspected it",
    "LATE_ITEM": "see that the adjustment is meant: it came for a month that is signed, and is posted in this one",
    "RECEIPT_WITHOUT_REFUND": "refund the unit or record why it is not refunded",
}
_STANDING: Final = frozenset({"UNMAPPED_TYPE", "PAYOUT", "PAYOUT_FAILED_KYC", "RECEIPT_WITHOUT_REFUND"})
"""Codes that only the facts end. Of all others a person's explanation ends them, while the amount is the same."""

_MEND_ELSE: Final = "look at both sides and record what it is"


@dataclass(frozen=True, slots=True)
class _Variance:
    """One row of ``variances.sql``."""

    code: str
    currency: str
    amount_minor: int
    order_id: str
    order_line_id: str
    return_unit_id: str
    refund_id: str
    billing_cycle_id: str
    transaction_type: str
    transaction_id: str
    reference: str
    place: int
    of_code: int
    code_minor: int

    @property
    def entity(self) -> dict[str, str]:
        """The ids it is about, without the empty ones; of FX the currency too, for the same ids have a row in each."""
        ids = ("order_id", "order_line_id", "return_unit_id", "refund_id", "billing_cycle_id")
        names = (*ids, "transaction_type", "transaction_id", *(("currency",) if self.code == "FX" else ()))
        return {name: value for name in names if (value := getattr(self, name))}


def decide(con: DuckDBPyConnection, shop: Shop, month: Month, results: tuple[CheckResult, ...] = ()) -> LaneDecision:
    """Return every variance of a closed month as exceptions for the ledger; it plans no writes.

    The lane's name carries the month, so that closing one month does not end the exceptions of another, but for what an earlier one
    left unmatched (``brought_forward.sql``): that is ended by the month that does not name it any more. ``results`` of
    ``check_month`` add one exception per failing proof that no coded row explains.
    """
    variances = _variances(con, shop, month)
    exceptions = [*_named(shop, month, variances), *_failing_proofs(shop.name, month, results)]
    return LaneDecision(
        lane=f"{LANE}:{month}",
        shop=shop.name,
        intents=(),
        exceptions=tuple(exceptions),
        considered=sum(v.of_code for v in variances if v.place == 1),
    )


@dataclass(frozen=True, slots=True)
class Item:
    """What an exception of a closed month is about, as tables and proofs name it.

    Attributes:
        reference: that of ``aged_unmatched``, or the order line of what is only named.
        code: its variance code.
        is_aged: it is in ``aged_unmatched``, and a later month looks at it again.
    """

    reference: str
    code: str
    is_aged: bool


def items_of(con: DuckDBPyConnection, shop: Shop, exception: OpenException) -> list[Item]:
    """Return what an exception is about: one item, none, or all that were too many of a code to be named one by one.

    ``con`` has been through ``close.stage_words``.
    """
    code = str(exception.evidence.get("code", ""))
    if not code:
        return []
    if _OF_ALL not in exception.evidence:
        item = _item(code, exception.entity, str(exception.evidence.get(HANDED_ON, "")))
        return [] if item is None else [item]
    month, currency = Month.parse(exception.entity["month"]), exception.entity.get("currency", shop.currency)
    rest = [
        each
        for each in _variances(con, shop, month, is_every=True)
        if (each.code, each.currency) == (code, currency) and each.place > NAMED_MAX
    ]
    return [item for each in rest if (item := _item(code, each.entity, each.reference))]


def explained(con: DuckDBPyConnection, shop: Shop, closed_by_hand: Iterable[OpenException]) -> Iterator[str]:
    """Return the references of unmatched items that a person resolved with a reason: no later month brings them forward.

    ``con`` has been through ``close.stage_words`` when they are asked for.
    """
    for each in closed_by_hand:
        yield from (item.reference for item in items_of(con, shop, each) if item.is_aged)


def _item(code: str, entity: Mapping[str, str], reference: str) -> Item | None:
    if reference:
        return Item(reference, code, is_aged=True)
    is_of_line = entity.keys() == {"order_id", "order_line_id"}
    return Item(entity["order_line_id"], code, is_aged=False) if is_of_line else None


def _variances(con: DuckDBPyConnection, shop: Shop, month: Month, *, is_every: bool = False) -> list[_Variance]:
    """Return what of a month needs a person, or every row that ever did."""
    bound = {**month_parameters(shop, month), "named_max": _EVERY if is_every else NAMED_MAX, "is_every": is_every}
    return [_Variance(*row) for row in run_query(con, statement("variances", PACKAGE), bound).fetchall()]


def _named(shop: Shop, month: Month, variances: list[_Variance]) -> Iterator[ExceptionPlan]:
    for variance in variances:
        code = variance.code
        kind = exception_of(code)
        mend = _MEND.get(code, _MEND_ELSE)
        named = ", ".join(f"{name} {value}" for name, value in variance.entity.items())
        yield ExceptionPlan(
            shop=shop.name,
            type=kind,
            entity=variance.entity,
            cause=code,
            message=f"{code} in {month}: {named}: {mend}.",
            amount_minor=variance.amount_minor,
            currency=variance.currency,
            evidence={
                "month": str(month),
                "code": code,
                **({HANDED_ON: variance.reference} if variance.reference else {}),
            },
            root_cause="mapping" if code == "UNMAPPED_TYPE" else "",
            happened=f"{code}: {named}" if code not in _STANDING else "",
        )
        if variance.place == NAMED_MAX and variance.of_code > NAMED_MAX:
            is_of_shop = variance.currency == shop.currency
            yield ExceptionPlan(
                shop=shop.name,
                type=kind,
                entity={"month": str(month), "code": code, **({} if is_of_shop else {"currency": variance.currency})},
                cause=code,
                message=f"{code} in {month}: {variance.of_code} rows in all, {NAMED_MAX} of them named one by one; "
                f"the month-end pack lists the rest: {mend}.",
                amount_minor=variance.code_minor,
                currency=variance.currency,
                evidence={"month": str(month), "code": code, _OF_ALL: variance.of_code},
                happened=f"{code}: {variance.of_code} rows" if code not in _STANDING else "",
            )


def _failing_proofs(shop: str, month: Month, results: tuple[CheckResult, ...]) -> Iterator[ExceptionPlan]:
    for result in results:
        if result.ok or result.id not in {
            "I2",
            "I3",
            "I4",
            "I7",
            "I8",
            "I10",
            "I11",
            "I13",
            "I14",
            "I15",
            "I17",
            "I18",
        }:
            continue  # what fails in the others is a coded row, named above
        evidence: dict[str, Any] = {"month": str(month), "failed": result.failed, "first": result.failing[0].subject}
        yield ExceptionPlan(
            shop=shop,
            type="STOCK_DRIFT" if result.id == "I10" else ELSE,
            entity={"month": str(month), "invariant": result.id},
            cause=result.id,
            message=f"{result.message}: {_MEND_ELSE}.",
            evidence=evidence,
        )
