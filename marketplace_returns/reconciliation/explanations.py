"""Says of the rows that fail a proof which ones a person has explained, and who.

Here: matching failing rows with exceptions that were resolved with a reason. Not here: proofs (``invariants``), or what a later month looks
at again (``variances.explained``). The invariant: an explanation changes no amount, no code and no verdict: what differs stays differing,
until it is mended or the month is signed with a reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.close import month_parameters, run_query
from marketplace_returns.reconciliation.invariants import CheckResult, FailingRow, proof_query
from marketplace_returns.reconciliation.variances import Item, items_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.ledger.exceptions import OpenException
    from marketplace_returns.settings import Shop

_BY_CODE: Final = frozenset({"I5", "I6", "I9", "I12"})
"""Proofs whose failing rows are coded rows with an exception each, by their code."""
_BY_ITEM: Final = frozenset({"I1", "I16"})
"""The same, whose rows name the item and not its code."""
_NAMED_MAX: Final = 5


def explain(
    con: DuckDBPyConnection,
    shop: Shop,
    month: Month,
    results: Sequence[CheckResult],
    closed_by_hand: Iterable[OpenException],
) -> tuple[CheckResult, ...]:
    """Return proofs of a month with their failing rows marked as explained, and their message saying how many are and by whom.

    ``con`` is one that the proofs were made with; ``closed_by_hand`` what people resolved of the shop's month-ends.
    """
    given = [
        (each, item)
        for each in closed_by_hand
        # What shares an exception is of one month.
        if each.resolved_by and each.entity.get("month", str(month)) == str(month)
        for item in items_of(con, shop, each)
    ]
    if not given:
        return tuple(results)
    return tuple(_explained(con, shop, month, result, given) for result in results)


def _explained(
    con: DuckDBPyConnection, shop: Shop, month: Month, result: CheckResult, given: Sequence[tuple[OpenException, Item]]
) -> CheckResult:
    if result.ok or result.id not in _BY_CODE | _BY_ITEM:
        return result
    explanations = {each.exception_id: each for each, _ in given}
    rows = run_query(
        con,
        f"""WITH explained AS (
            SELECT unnest($references) AS reference, unnest($codes) AS code, unnest($exception_ids) AS exception_id, unnest($of_items) AS is_of_item
        )
        SELECT f.currency, f.subject, f.detail, min(e.exception_id)
        FROM (FROM ({proof_query(result.id)}) WHERE is_failing) AS f
        INNER JOIN explained AS e
            -- I16 names a refund by its id alone.
            ON e.reference IN (f.subject, 'refund:' || f.subject)
            AND CASE WHEN $is_by_item THEN e.is_of_item ELSE e.code = f.detail END
        GROUP BY ALL
        ORDER BY ALL""",
        {
            **month_parameters(shop, month),
            "references": [item.reference for _, item in given],
            "codes": [item.code for _, item in given],
            "exception_ids": [each.exception_id for each, _ in given],
            "of_items": [item.is_aged for _, item in given],
            "is_by_item": result.id in _BY_ITEM,
        },
    ).fetchall()
    found = {(currency, subject, detail): explanations[key] for currency, subject, detail, key in rows}
    if not found:
        return result
    return dataclasses.replace(
        result,
        failing=tuple(_marked(row, found.get((row.currency, row.subject, row.detail))) for row in result.failing),
        message=f"{result.message}; {_told(len(found), result.failed, list(found.values()))}",
    )


def _marked(row: FailingRow, exception: OpenException | None) -> FailingRow:
    # The reason stands in the ledger alone, where an erasure reaches it: packs and Dagster keep what they are given.
    return (
        row
        if exception is None
        else dataclasses.replace(row, explained=f"by {exception.resolved_by} (exception {exception.exception_id})")
    )


def _told(explained: int, failed: int, exceptions: list[OpenException]) -> str:
    """Say how many of the failing rows are explained, by whom, and in which exceptions."""
    names = sorted({each.resolved_by for each in exceptions})
    keys = [str(key) for key in sorted({each.exception_id for each in exceptions})]
    if len(keys) > _NAMED_MAX:
        keys = [*keys[:_NAMED_MAX], f"{len(keys) - _NAMED_MAX} more"]
    how_many = f"{explained} of them" if explained < failed else "all" if failed > 1 else "it"
    are = "is" if explained == 1 else "are"
    return f"{how_many} {are} explained, by {_listed(names)} (exception{'s' if len(keys) > 1 else ''} {_listed(keys)})"


def _listed(words: list[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
