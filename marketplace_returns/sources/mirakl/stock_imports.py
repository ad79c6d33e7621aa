"""Stock files: how they are written and what Mirakl says about them.

Here lives the file of STO01 and the answers of STO01, STO02 and STO03. What must not live here: sending, and any
other field of an offer (OF24 would reset them, Mirakl fact G10). The invariant: a file holds each offer once, with an
absolute quantity of at least 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from marketplace_returns.errors import BadArgument
from marketplace_returns.sources.answers import Answer

COLUMNS = ("offer-sku", "quantity", "warehouse-code", "update-delete")


class StockImportState(StrEnum):
    """How far Mirakl is with a stock file; a state we do not know counts as not finished."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    OTHER = "OTHER"

    @classmethod
    def _missing_(cls, value: object) -> StockImportState:
        return cls.OTHER


@dataclass(frozen=True, slots=True)
class StockImport:
    """The state of one stock file (STO02). COMPLETE may still hold refused lines: look at ``has_error_report``."""

    import_id: str
    state: StockImportState
    lines_in_success: int
    lines_in_error: int
    has_error_report: bool

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to the file."""
        return self.state in {StockImportState.COMPLETE, StockImportState.FAILED}


@dataclass(frozen=True, slots=True)
class StockImportError:
    """One refused line of a stock file (STO03)."""

    line: int
    reason: str
    offer_sku: str


def stock_file(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows of ``{"offer_sku", "quantity"}`` as the CSV of STO01; raises BadArgument for a quantity that is none."""
    sheet = io.StringIO()
    writer = csv.writer(sheet, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        quantity = row["quantity"]
        if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 0:
            raise BadArgument(
                f"STO01: the quantity of {row['offer_sku']} is {quantity!r}: give a whole number of at least 0"
            )
        writer.writerow([row["offer_sku"], quantity, "", ""])
    return sheet.getvalue().encode()


def import_id(answer: Answer) -> str:
    """Read the id of a file that Mirakl took in (STO01); raises OutcomeUnknown when there is none."""
    document = answer.json_or_none()
    if not isinstance(document, dict) or not isinstance(document.get("import_id"), str | int):
        raise answer.unclear("has no import_id")
    return str(document["import_id"])


def stock_import(answer: Answer) -> StockImport:
    """Read STO02's answer; raises ContractBroken when it has no status."""
    document = answer.json_object()
    if not isinstance(document.get("status"), str):
        raise answer.broken("has no status")
    return StockImport(
        import_id=str(document.get("import_id", "")),
        state=StockImportState(document["status"]),
        lines_in_success=int(document.get("lines_in_success") or 0),
        lines_in_error=int(document.get("lines_in_error") or 0),
        has_error_report=bool(document.get("has_error_report")),
    )


def stock_import_errors(answer: Answer) -> list[StockImportError]:
    """Read STO03's CSV: line number, reason, then the columns as sent; raises ContractBroken when it is not that."""
    try:
        text = answer.body.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise answer.broken("is not UTF-8 text") from cause
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=";") if row]
    errors: list[StockImportError] = []
    for number, row in enumerate(rows):
        if number == 0 and not row[0].strip().isdigit():
            continue  # the header
        if len(row) < 3 or not row[0].strip().isdigit():
            raise answer.broken(f"has no line number, reason and offer-sku in row {number + 1}")
        errors.append(StockImportError(line=int(row[0]), reason=row[1], offer_sku=row[2]))
    return errors
