"""Money: exact at the edges, split without loss."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_returns.errors import BadArgument
from marketplace_returns.money import (
    TaxCharge,
    cumulative_share,
    divide_half_even,
    exponent,
    to_decimal,
    to_minor,
    unit_amounts,
    unit_share,
)

amounts = st.integers(min_value=0, max_value=10**12)
quantities = st.integers(min_value=1, max_value=500)
currencies = st.sampled_from(["GBP", "EUR", "JPY", "KWD"])


@pytest.mark.parametrize(("currency", "digits"), [("GBP", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("SEK", 2)])
def test_exponent_is_that_of_iso_4217(currency: str, digits: int) -> None:
    assert exponent(currency) == digits


@pytest.mark.parametrize("code", ["", "gbp", "XXX", "POUND"])
def test_unknown_currency_is_refused_by_name(code: str) -> None:
    with pytest.raises(BadArgument, match="ISO 4217"):
        exponent(code)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.30", "GBP", 1230),
        ("12.3000", "GBP", 1230),
        (Decimal("-0.01"), "GBP", -1),
        (7, "JPY", 7),
        ("7.0", "JPY", 7),
        ("1.234", "KWD", 1234),
        ("1E+2", "GBP", 10_000),
        (" 4.50 ", "GBP", 450),
    ],
)
def test_amount_becomes_minor_units(amount: str | Decimal | int, currency: str, minor: int) -> None:
    assert to_minor(amount, currency) == minor


@pytest.mark.proves("R110")
@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("0.001", "GBP"),
        ("0.5", "JPY"),
        ("1.2345", "KWD"),
        ("", "GBP"),
        ("NaN", "GBP"),
        ("Infinity", "GBP"),
        ("12,30", "GBP"),
        ("1_000", "GBP"),
        ("٣", "GBP"),
        ("1e30", "GBP"),
        ("1e999999999", "GBP"),
        ("1." + "0" * 70 + "1", "GBP"),
    ],
)
def test_amount_that_is_no_exact_money_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"amount|minor unit"):
        to_minor(amount, currency)


@pytest.mark.proves("R110")
@pytest.mark.parametrize("amount", [1.5, True])
def test_float_and_boolean_are_never_money(amount: object) -> None:
    with pytest.raises(TypeError):
        to_minor(amount, "GBP")  # type: ignore[arg-type]


@pytest.mark.proves("R110")
@given(st.integers(-(10**18) + 1, 10**18 - 1), currencies)
def test_minor_units_survive_the_way_to_decimal_and_back(minor: int, currency: str) -> None:
    shown = to_decimal(minor, currency)
    assert to_minor(shown, currency) == minor
    assert to_minor(str(shown), currency) == minor


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**9))
def test_division_rounds_half_to_even(numerator: int, denominator: int) -> None:
    exact = (Decimal(2 * numerator) / 2) / Decimal(denominator)
    scaled = divide_half_even(numerator, denominator)
    assert abs(2 * (scaled * denominator - numerator)) <= denominator
    if 2 * numerator % denominator == 0:  # only then is the quotient exact enough for a tie
        assert scaled == int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@pytest.mark.parametrize(("numerator", "rounded"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2)])
def test_ties_go_to_the_even_number(numerator: int, rounded: int) -> None:
    assert divide_half_even(numerator, 2) == rounded


def test_division_by_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not positive"):
        divide_half_even(1, 0)


@pytest.mark.proves("I11")
@given(amounts, quantities)
def test_shares_of_all_units_are_the_whole_and_never_negative(total: int, quantity: int) -> None:
    shares = [unit_share(total, ordinal, quantity) for ordinal in range(1, quantity + 1)]
    assert sum(shares) == total
    assert min(shares) >= 0
    assert max(shares) - min(shares) <= 1 or total < quantity


@given(amounts, st.data())
def test_cumulative_share_is_within_half_a_minor_unit(total: int, data: st.DataObject) -> None:
    whole = data.draw(quantities)
    part = data.draw(st.integers(0, whole))
    share = cumulative_share(total, part, whole)
    assert abs(2 * (share * whole - total * part)) <= whole


@pytest.mark.parametrize(("ordinal", "quantity"), [(0, 3), (4, 3), (1, 0)])
def test_unit_outside_the_line_is_refused(ordinal: int, quantity: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        unit_share(100, ordinal, quantity)


tax_lists = st.lists(amounts, min_size=1, max_size=3).map(
    lambda parts: tuple(TaxCharge(f"TAX{number}", part, "NONE") for number, part in enumerate(parts))
)


@pytest.mark.proves("R60", "I11")
@given(price=amounts, shipping=amounts, taxes=tax_lists, shipping_taxes=tax_lists, quantity=st.integers(1, 40))
def test_units_give_back_every_part_of_the_line_exactly_in_both_tax_modes(
    price: int,
    shipping: int,
    taxes: tuple[TaxCharge, ...],
    shipping_taxes: tuple[TaxCharge, ...],
    quantity: int,
) -> None:
    # TAX_EXCLUDED adds the taxes on top, TAX_INCLUDED holds them inside: the shares are the same arithmetic.
    units = [
        unit_amounts(
            price_minor=price,
            shipping_price_minor=shipping,
            taxes=taxes,
            shipping_taxes=shipping_taxes,
            ordinal=ordinal,
            quantity=quantity,
            include_shipping=True,
        )
        for ordinal in range(1, quantity + 1)
    ]
    assert sum(unit.amount_minor for unit in units) == price
    assert sum(unit.shipping_amount_minor for unit in units) == shipping
    for position, tax in enumerate(taxes):
        assert sum(unit.taxes[position][1] for unit in units) == tax.amount_minor
        assert all(unit.taxes[position][0] == tax.code and unit.taxes[position][1] >= 0 for unit in units)
    for position, tax in enumerate(shipping_taxes):
        assert sum(unit.shipping_taxes[position][1] for unit in units) == tax.amount_minor


@pytest.mark.proves("R60")
@given(price=amounts, rate=st.integers(0, 30), quantity=st.integers(1, 40))
def test_tax_inside_the_price_never_outgrows_what_was_refunded_so_far(price: int, rate: int, quantity: int) -> None:
    tax = divide_half_even(price * rate, 100 + rate)
    for refunded in range(quantity + 1):
        assert cumulative_share(tax, refunded, quantity) <= cumulative_share(price, refunded, quantity)


def test_without_shipping_no_shipping_part_is_refunded() -> None:
    unit = unit_amounts(
        price_minor=1000,
        shipping_price_minor=399,
        taxes=(TaxCharge("VAT", 167, "NONE"),),
        shipping_taxes=(TaxCharge("VAT", 66, "NONE"),),
        ordinal=1,
        quantity=3,
        include_shipping=False,
    )
    assert (unit.amount_minor, unit.taxes) == (333, (("VAT", 56),))
    assert (unit.shipping_amount_minor, unit.shipping_taxes) == (0, ())
