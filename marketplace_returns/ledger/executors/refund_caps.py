"""How much of an order line may still be refunded, part by part (I7).

Here lives arithmetic over Decimal amounts as the marketplace gives them. The invariant: money that was sent and money that
may have been sent both count as spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

_ZERO: Final = Decimal(0)
_PARTS: Final = (("amount", "price", "product"), ("shipping_amount", "shipping_price", "shipping"))
_TAXES: Final = (("taxes", "product tax"), ("shipping_taxes", "shipping tax"))


def money_of(refund: Mapping[str, Any]) -> tuple[Decimal, Decimal]:
    """Return (product part, shipping part) of a refund as OR28 or OR11 write it."""
    return amount(refund.get("amount")), amount(refund.get("shipping_amount"))


def amount(value: Any) -> Decimal:
    """Read an amount of the marketplace (number or text, null for none) as Decimal."""
    return Decimal(str(value)) if value is not None else _ZERO


def over_cap(line: Mapping[str, Any], spent: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> str:
    """Say which part of the line a refund would overdraw, or nothing where it fits.

    ``spent`` are all refunds of the line, seen or sent. The line's price is without cancelled quantities already, so
    cancelations are not counted a second time.
    """
    for part, of_line, name in _PARTS:
        total = sum((amount(each.get(part)) for each in spent), _ZERO) + amount(wanted.get(part))
        if total > amount(line.get(of_line)):
            return f"{name} refunds of the line would be {total} of {amount(line.get(of_line))}"
    for part, name in _TAXES:
        limits = _by_code(line.get(part) or ())
        before = _by_code(tax for each in spent for tax in each.get(part) or ())
        for code, value in _by_code(wanted.get(part) or ()).items():
            if before.get(code, _ZERO) + value > limits.get(code, _ZERO):
                return f"{name} {code} refunds of the line would be {before.get(code, _ZERO) + value} of {limits.get(code, _ZERO)}"
    return ""


def unknown_taxes(line: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the taxes that a refund names and the line has not: the marketplace refuses them, whatever their amount."""
    return sorted(
        f"{name} {tax['code']}"
        for part, name in _TAXES
        for tax in wanted.get(part) or ()
        if tax["code"] not in {known["code"] for known in line.get(part) or ()}
    )


def _by_code(taxes: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for tax in taxes:
        totals[tax["code"]] = totals.get(tax["code"], _ZERO) + amount(tax.get("amount"))
    return totals
