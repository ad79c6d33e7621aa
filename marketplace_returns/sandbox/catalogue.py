"""The reference data of the sandbox: products, carriers, reasons, addresses.

Here: lists that never change while a world runs. Not here: stock, prices paid, anything that happens. Invariant: everything is
made up; no name, address or number belongs to a person or a shop.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

GARMENTS = (
    ("DRS", "Dress", "dresses", 15),
    ("TOP", "Top", "tops", 15),
    ("JKT", "Jacket", "outerwear", 18),
    ("JNS", "Jeans", "denim", 15),
    ("SHO", "Shoes", "shoes", 20),
    ("BAG", "Bag", "accessories", 18),
)
COLOURS = ("Black", "Navy", "Sage", "Rust", "Ivory")
SIZES = ("XS", "S", "M", "L", "XL")
PRICE_ENDINGS = (0, 50, 95, 99)

RETURN_REASONS = (
    "RETURN_CHANGED_MIND",
    "RETURN_CM_DONT_LIKE",
    "RETURN_PDNT_TOO_BIG",
    "RETURN_PDNT_TOO_SMALL",
    "RETURN_PRODUCT_DOES_NOT_FIT",
    "RETURN_DEFECTIVE_ITEM",
    "RETURN_DPD_WRONG_SIZE",
    "RETURN_CM_QUALITY",
)
RETURN_METHODS = (
    "RETURN_METHOD_BY_MAIL",
    "RETURN_METHOD_DROP_OFF_POINT",
    "RETURN_METHOD_HOME_PICKUP",
    "RETURN_METHOD_IN_STORE",
    "RETURN_METHOD_RETURNLESS",
)
REJECTION_REASONS = (
    "RETURN_REJECTION_NOT_ELIGIBLE",
    "RETURN_REJECTION_NOT_NEEDED",
    "RETURN_REJECTION_WINDOW_CLOSED",
)
NON_COMPLIANCE_REASONS = (
    "RETURN_NON_COMPLIANT_MISSING_ITEM",
    "RETURN_NON_COMPLIANT_WRONG_PRODUCT",
    "RETURN_NON_COMPLIANT_DAMAGED_PRODUCT",
    "RETURN_NON_COMPLIANT_WINDOW_CLOSED",
    "RETURN_NON_COMPLIANT_OTHER",
)


@dataclass(frozen=True, slots=True)
class Product:
    """One thing for sale: the offer's sku is the warehouse's item code; price in minor units."""

    sku: str
    product_sku: str
    offer_id: int
    title: str
    category_code: str
    category_label: str
    commission_percent: int
    price_minor: int
    barcode: str


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier as the marketplace registers it (SH21) and as the warehouse names it."""

    code: str
    label: str
    standard_code: str
    tracking_url: str
    warehouse_name: str
    warehouse_service: str


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code of RE01."""

    code: str
    type: str
    label: str
    is_shop_right: bool


CARRIERS = (
    Carrier("DPDUK", "DPD UK", "DPD_UK", "https://tracking.invalid/dpd/{trackingId}", "DPD", "Next Day"),
    Carrier("EVRI", "Evri", "EVRI", "https://tracking.invalid/evri/{trackingId}", "Evri", "Standard"),
    Carrier(
        "ROYALMAIL", "Royal Mail", "ROYAL_MAIL", "https://tracking.invalid/rm/{trackingId}", "Royal Mail", "Tracked 48"
    ),
)
CARRIER_BY_CODE = {carrier.code: carrier for carrier in CARRIERS}
CARRIER_BY_WAREHOUSE_NAME = {carrier.warehouse_name: carrier for carrier in CARRIERS}

REASONS = (
    Reason("1", "INCIDENT_OPEN", "Item not received", False),
    Reason("2", "INCIDENT_OPEN", "Item not as ordered", False),
    Reason("3", "INCIDENT_OPEN", "Item defective", False),
    Reason("10", "INCIDENT_CLOSE", "Replacement received", True),
    Reason("11", "INCIDENT_CLOSE", "Solved with the customer", True),
    Reason("14", "REFUND", "No response from shop", False),
    Reason("15", "REFUND", "Out of stock", True),
    Reason("16", "REFUND", "Cancelled by client before shipping", True),
    Reason("17", "REFUND", "Item returned", True),
    Reason("18", "REFUND", "Item not received", True),
    Reason("19", "REFUND", "Agreement with seller", True),
    Reason("34", "CANCELATION", "Cancelled by client", True),
    Reason("35", "CANCELATION", "Out of stock", True),
    Reason("SYSTEM_LATE_SHIPMENT_CANCELATION", "CANCELATION", "Cancelled, shipped late", False),
    *(
        Reason(code, "RETURN", code.removeprefix("RETURN_").replace("_", " ").capitalize(), True)
        for code in RETURN_REASONS
    ),
    *(
        Reason(code, "RETURN_REJECTION", code.removeprefix("RETURN_REJECTION_").capitalize(), True)
        for code in REJECTION_REASONS
    ),
    *(
        Reason(code, "RETURN_NON_COMPLIANT", code.removeprefix("RETURN_NON_COMPLIANT_").capitalize(), True)
        for code in NON_COMPLIANCE_REASONS
    ),
)
REASON_BY_CODE = {reason.code: reason for reason in REASONS}


def make_products(count: int, chance: random.Random) -> list[Product]:
    """`count` products with distinct skus, prices from 9.00 to 90.99."""
    products = []
    for number in range(count):
        prefix, garment, category, percent = GARMENTS[number % len(GARMENTS)]
        colour, size = chance.choice(COLOURS), chance.choice(SIZES)
        style = 1000 + number
        products.append(
            Product(
                sku=f"{prefix}-{style}-{colour[:3].upper()}-{size}",
                product_sku=f"P{style:08d}",
                offer_id=50_000 + number,
                title=f"{garment} {style} {colour} {size}",
                category_code=category,
                category_label=category.capitalize(),
                commission_percent=percent,
                price_minor=chance.randint(9, 90) * 100 + chance.choice(PRICE_ENDINGS),
                barcode=f"20{style:010d}",
            )
        )
    return products
