"""Money as integers of minor units.

Here: ISO 4217 scales, the edge conversions from and to ``Decimal``, and the one way an amount is split over units
(I11). Not here: anything that knows an order or a tax system. The invariant: no float, no sum across currencies, and
the shares of all units of a line add up to the line exactly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

from marketplace_returns.errors import BadArgument

# ISO 4217 active codes by digits of the minor unit.
_NO_DIGITS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DIGITS: Final = "CLF UYW"
_TWO_DIGITS: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY
COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR
IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD
NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP
SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
_EXPONENTS: Final[dict[str, int]] = {
    code: digits
    for digits, codes in ((0, _NO_DIGITS), (2, _TWO_DIGITS), (3, _THREE_DIGITS), (4, _FOUR_DIGITS))
    for code in codes.split()
}
# Wide enough for any money; a longer number raises rather than being rounded.
_EXACT: Final = Context(prec=60, traps=[InvalidOperation, Overflow, Inexact])
_AMOUNT_TEXT: Final = re.compile(r"\s*[+-]?\d+(\.\d+)?([eE][+-]?\d{1,9})?\s*", re.ASCII)
_AMOUNT_MAX_DIGITS: Final = 17  # below 10**18, which a BIGINT of the lake holds


@dataclass(frozen=True, slots=True)
class TaxCharge:
    """One tax of a whole order line: its code, its amount in minor units, and OR11's ``tax_calculation_rule``."""

    code: str
    amount_minor: int
    calculation_rule: str


@dataclass(frozen=True, slots=True)
class UnitAmounts:
    """What one unit of an order line is worth, in minor units of its tax mode; taxes as (code, minor units)."""

    amount_minor: int
    shipping_amount_minor: int
    taxes: tuple[tuple[str, int], ...]
    shipping_taxes: tuple[tuple[str, int], ...]


def exponent(currency: str) -> int:
    """Return the digits of a currency's minor unit (ISO 4217): 2 for GBP, 0 for JPY, 3 for KWD.

    Raises:
        BadArgument: the code is not an active ISO 4217 code.
    """
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise BadArgument(
            f"currency {currency!r} is not an ISO 4217 code: use three capital letters, such as GBP or EUR"
        ) from None


def to_minor(amount: Decimal | str | int, currency: str) -> int:
    """Return an amount of the currency's major unit as minor units: ``to_minor("12.30", "GBP") == 1230``.

    Raises:
        ValueError: not a finite number, too large, or finer than the currency's minor unit.
        TypeError: a float or a boolean, which are never money.
        BadArgument: unknown currency.
    """
    digits = exponent(currency)
    if isinstance(amount, bool) or not isinstance(amount, Decimal | str | int):
        raise TypeError(f"money comes as Decimal, text or whole number, not as {type(amount).__name__}: {amount!r}")
    if isinstance(amount, str) and _AMOUNT_TEXT.fullmatch(amount) is None:
        raise ValueError(f"{amount!r} is not an amount of money")
    try:
        scaled = Decimal(amount).scaleb(digits, _EXACT)
    except ArithmeticError:
        raise ValueError(f"{amount!r} is not an amount of money") from None
    if not scaled.is_finite() or scaled.adjusted() > _AMOUNT_MAX_DIGITS:
        raise ValueError(f"{amount!r} is no amount of money, or larger than any this program keeps")
    minor = int(scaled)
    if scaled != minor:
        raise ValueError(f"{amount!r} is finer than the minor unit of {currency} ({digits} decimals)")
    return minor


def to_decimal(amount_minor: int, currency: str) -> Decimal:
    """Return minor units as a Decimal of the major unit with the currency's decimals: ``1230`` GBP is ``12.30``.

    Raises:
        BadArgument: unknown currency.
    """
    return Decimal(amount_minor).scaleb(-exponent(currency), _EXACT)


def amount_text(amount_minor: int | None, currency: str) -> str:
    """Write an amount as people read it, such as 1,234.50 GBP; "" where there is none."""
    return "" if amount_minor is None else f"{to_decimal(amount_minor, currency):,} {currency}"


def divide_half_even(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded to a whole number, ties to the even one; exact for any size.

    Raises:
        ValueError: the denominator is not positive.
    """
    if denominator <= 0:
        raise ValueError(f"denominator {denominator} is not positive")
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def cumulative_share(total_minor: int, part: int, whole: int) -> int:
    """Return the half-even share of ``part`` out of ``whole`` of a total in minor units (I11).

    Raises:
        ValueError: the part is not within 0..whole, or the whole is not positive.
    """
    if not 0 <= part <= whole:
        raise ValueError(f"part {part} is not within 0..{whole}")
    return divide_half_even(total_minor * part, whole)


def unit_share(total_minor: int, ordinal: int, quantity: int) -> int:
    """Return what unit ``ordinal`` (1..quantity) has of a total in minor units; over all ordinals it sums to the total.

    The share belongs to the ordinal alone, so units may be refunded in any order and never move each other's amount.

    Raises:
        ValueError: the ordinal is not within 1..quantity.
    """
    if not 1 <= ordinal <= quantity:
        raise ValueError(f"unit {ordinal} is not within 1..{quantity}")
    return cumulative_share(total_minor, ordinal, quantity) - cumulative_share(total_minor, ordinal - 1, quantity)


def unit_amounts(
    *,
    price_minor: int,
    shipping_price_minor: int,
    taxes: Sequence[TaxCharge],
    shipping_taxes: Sequence[TaxCharge],
    ordinal: int,
    quantity: int,
    include_shipping: bool,
) -> UnitAmounts:
    """Return what unit ``ordinal`` of an order line is refunded, from the line's own OR11 figures (R3, R60).

    All amounts are minor units of the line's currency, in the order's tax mode; each tax code is shared on its own, so
    the units of a line give back every code exactly, whichever mode the order is in. Without shipping the shipping
    amount is 0 and its taxes are absent; a tax whose whole is not zero is always named, even where this unit's share
    is 0 (R60: never null).

    Raises:
        ValueError: the ordinal is not within 1..quantity.
    """
    shipping_minor = unit_share(shipping_price_minor, ordinal, quantity) if include_shipping else 0
    return UnitAmounts(
        amount_minor=unit_share(price_minor, ordinal, quantity),
        shipping_amount_minor=shipping_minor,
        taxes=_tax_shares(taxes, ordinal, quantity),
        shipping_taxes=_tax_shares(shipping_taxes, ordinal, quantity) if include_shipping else (),
    )


def _tax_shares(taxes: Sequence[TaxCharge], ordinal: int, quantity: int) -> tuple[tuple[str, int], ...]:
    return tuple((tax.code, unit_share(tax.amount_minor, ordinal, quantity)) for tax in taxes)
