"""What an executor relies on in what it reads before and after a write.

Here live the facts by name and kind, and the one check of them. What must not live here: what they mean. The invariant: an
answer in which one of them is missing or of another kind is no answer, so that nothing is sent and nothing settled by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec

from marketplace_returns.errors import ContractBroken

_Id = str | int
_Word = Annotated[str, msgspec.Meta(min_length=1)]
RowT = TypeVar("RowT", bound=Mapping[str, Any])


class _Money(msgspec.Struct):
    """Amounts that are compared: each a finite number."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Decimal) and not (value.is_finite() and abs(value) < _AMOUNT_MAX):
                raise ValueError(f"{name} is not an amount")


_AMOUNT_MAX = Decimal(10) ** 15


class Tax(_Money):
    """A tax of a line or a refund."""

    code: _Word
    amount: Decimal | None = None


class Refund(_Money):
    """A refund that stands on a line."""

    id: _Id
    created_date: str
    amount: Decimal | None = None
    shipping_amount: Decimal | None = None
    taxes: list[Tax] | None = None
    shipping_taxes: list[Tax] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if datetime.fromisoformat(self.created_date).tzinfo is None:
            raise ValueError("created_date has no time zone")


class OrderLine(_Money):
    """A line of an order."""

    order_line_id: _Word
    price: Decimal | None = None
    shipping_price: Decimal | None = None
    taxes: list[Tax] | None = None
    shipping_taxes: list[Tax] | None = None
    refunds: list[Refund] | None = None


class Order(msgspec.Struct):
    """An order (OR11)."""

    order_id: _Word
    order_state: _Word
    order_lines: list[OrderLine]
    shipping_tracking: str | None = None


class ReturnLine(msgspec.Struct):
    """A line of a return."""

    order_line_id: _Word


class Return(msgspec.Struct):
    """A return (RT11)."""

    id: _Word
    state: _Word
    return_lines: list[ReturnLine] | None = None


class ShipmentLine(msgspec.Struct):
    """A line of a shipment."""

    order_line_id: _Word
    quantity: int


class _Tracking(msgspec.Struct):
    tracking_number: str | None = None


class Shipment(msgspec.Struct):
    """A shipment (ST11)."""

    id: _Id
    order_id: _Word
    shipment_lines: list[ShipmentLine] | None = None
    tracking: _Tracking | None = None


def sound(rows: Iterable[RowT], form: type[msgspec.Struct], operation: str) -> list[RowT]:
    """Return the rows (of ``operation``) as they are; raises ContractBroken where one is not of the form, naming the place."""
    checked = []
    for row in rows:
        try:
            msgspec.convert(row, form, strict=False)
        except msgspec.ValidationError as error:
            raise ContractBroken(
                f"mirakl {operation}: what it says of {form.__name__.lower()}s is not of the agreed form ({error}). Nothing was sent or settled by it; "
                f"compare it with the published contract.",
                system="mirakl",
                operation=operation,
            ) from None
        checked.append(row)
    return checked
