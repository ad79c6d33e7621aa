"""The few limits that a row must keep beyond its types, and the SQL that finds the rows which do not.

Here live the limits. What must not: the schema that words a failure (``schemas``: its libraries cost a second and a half to
load, and only a row that fails needs them). The invariant: ``beyond_limits`` finds exactly the rows that fail a limit.
"""

from __future__ import annotations

from marketplace_returns.lake.tables import Kind, Table

# Amounts that only ever go one way; what is not named here may have either sign (transactions, billing cycles).
NEVER_NEGATIVE = {
    "mirakl__orders": ("price_minor", "shipping_price_minor", "total_price_minor"),
    "mirakl__order_lines": ("quantity", "price_minor", "shipping_price_minor", "total_price_minor", "unit_price"),
    "mirakl__order_line_taxes": ("amount_minor",),
    "mirakl__refunds": ("amount_minor", "shipping_amount_minor", "tax_minor", "shipping_tax_minor"),
    "mirakl__refund_taxes": ("amount_minor",),
    "mirakl__cancelations": ("quantity", "amount_minor", "shipping_amount_minor", "tax_minor"),
    "mirakl__return_lines": ("quantity",),
    "mirakl__shipment_lines": ("quantity",),
    "mirakl__offers": ("quantity", "price_minor"),
    "reveni__return_items": ("quantity",),
    "peoplevox__despatches": ("quantity",),
    "peoplevox__returns": ("quantity",),
}
UNITS_MAX = 10_000
COUNTED_OUT = {
    "mirakl__order_lines": ("quantity",),
    "mirakl__refunds": ("quantity",),
    "mirakl__return_lines": ("quantity",),
    "mirakl__shipment_lines": ("quantity",),
    "reveni__return_items": ("quantity",),
    "rebound__return_items": ("quantity", "received_quantity"),
    "peoplevox__despatches": ("quantity",),
    "peoplevox__returns": ("quantity",),
}
"""Quantities of which the model makes a row per unit: a line of more than ``UNITS_MAX`` would take the memory of the whole shop's pass."""
NAME_CHARACTERS_MAX = 100
"""Of an id or another part of a key, as long as the sources' own longest: the natural key of a write is made of up to three."""
ONE_OF = {
    "mirakl__orders": {"order_tax_mode": ("TAX_INCLUDED", "TAX_EXCLUDED")},
    "mirakl__order_line_taxes": {"tax_kind": ("product", "shipping")},
    "mirakl__refund_taxes": {"tax_kind": ("product", "shipping")},
}


def names_of(table: Table) -> tuple[str, ...]:
    """Return the columns that hold ids or are of the key, but for our own."""
    texts = (
        column.name for column in table.columns if column.kind is Kind.TEXT and column.name not in {"shop", "run_id"}
    )
    return tuple(name for name in texts if name in table.key or name.endswith(("_id", "sku")))


def beyond_limits(table: Table) -> str:
    """Return the SQL of whether a typed row fails a limit of ``schemas.schema_of``; never NULL.

    A batch is asked in bulk by this, and pandera sees and words only the rows that it finds: a frame of every row would
    cost more than all the rest of an ingest.
    """
    tests = [f"{name} < 0" for name in NEVER_NEGATIVE.get(table.name, ())]
    tests += [f"{name} > {UNITS_MAX}" for name in COUNTED_OUT.get(table.name, ())]
    tests += [f"length({name}) > {NAME_CHARACTERS_MAX}" for name in names_of(table)]
    for name, allowed in ONE_OF.get(table.name, {}).items():
        tests.append(f"{name} NOT IN ({', '.join(map(repr, allowed))})")
    return f"coalesce({' OR '.join(tests)}, FALSE)" if tests else "FALSE"
