"""The sandbox's own money arithmetic.

Here: rounding and splitting of integer minor units, and their faces on the wire. Not here: anything from the rest of the
package (a misunderstanding must not cancel out). Invariant: no float, ever; parts of a split add up to the whole.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache

AMOUNT_DIGITS_MAX = 15
MINOR_DIGITS = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "OMR": 3, "JOD": 3, "TND": 3}


def minor_digits(currency: str) -> int:
    """Decimal digits of the minor unit of an ISO 4217 currency (2 unless listed)."""
    return MINOR_DIGITS.get(currency, 2)


def half_even(numerator: int, denominator: int) -> int:
    """Numerator / denominator rounded to an integer, ties to even; denominator must be positive."""
    if denominator <= 0:
        raise ValueError(f"denominator {denominator} is not positive")
    quotient, remainder = divmod(numerator, denominator)
    doubled = 2 * remainder
    if doubled > denominator or (doubled == denominator and quotient % 2):
        return quotient + 1
    return quotient


def share(total_minor: int, part: int, whole: int) -> int:
    """Half-even part of a total, `total x part / whole`; the whole of it is the total itself."""
    return half_even(total_minor * part, whole)


@lru_cache(maxsize=65536)
def to_decimal(minor: int, currency: str) -> Decimal:
    """A minor-unit integer as the Decimal that goes on the wire."""
    return Decimal(minor).scaleb(-minor_digits(currency))


def from_wire(value: object, currency: str) -> int:
    """A JSON number or decimal string as minor units; raises ValueError when it is no amount or finer than a minor unit."""
    try:
        # repr of a float is the shortest text that reads back to it: exactly the digits the client wrote
        exact = Decimal("NaN" if isinstance(value, bool) else str(value)).scaleb(minor_digits(currency))
        # int() of 1E+400000 would take the machine's time
        minor = int(exact) if not exact or exact.adjusted() <= AMOUNT_DIGITS_MAX else None
    except (InvalidOperation, OverflowError, ValueError) as bad:
        raise ValueError(f"{value!r} is not an amount") from bad
    if minor is None:
        raise ValueError(f"{value!r} is too large an amount")
    if exact != minor:
        raise ValueError(f"{value!r} has more decimals than {currency} allows")
    return minor
