"""Which column of a tenant's answer means what.

Here: the templates and reports that are read, their columns under our names, and the match of a tenant's captions to
them. Captions can be renamed by every tenant, so nothing is read by position. Invariant: a column is found by its name
or not at all: a needed one that is missing stops the read, and none is ever guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from marketplace_returns.errors import ContractBroken
from marketplace_returns.sources.peoplevox.dialect import to_utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

SYSTEM = "peoplevox"
ANY_SITE = "*"
"""The site of a stock figure that names none: it is of the whole tenant."""
_NOT_A_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Column:
    """One column under our name; `captions` are the names it is known by, compared without case, blanks and marks.

    `default` is the value of a row that has none.
    """

    name: str
    captions: tuple[str, ...]
    is_needed: bool = True
    is_instant: bool = False
    default: str = ""


@dataclass(frozen=True)
class Template:
    """One table of the service; `row_key` numbers rows that nothing but their order tells apart."""

    name: str
    columns: tuple[Column, ...]
    is_report: bool = False
    row_key: tuple[str, ...] = ()
    window: str = ""

    @property
    def operation(self) -> str:
        """The operation that reads it."""
        return "GetReportData" if self.is_report else "GetData"


DESPATCHES = Template(
    "Despatch summary",
    (
        Column("despatch_number", ("Despatch number",)),
        Column("sales_order_number", ("Salesorder number", "Sales order no.")),  # misspelt by the vendor
        Column("item_code", ("Item code",)),
        Column("quantity", ("No of items", "Quantity")),
        Column("carrier", ("Carrier",), is_needed=False),
        Column("service", ("Service",), is_needed=False),
        Column("tracking_number", ("Tracking number",), is_needed=False),
        Column("site", ("Site reference",), is_needed=False),
        Column("despatched_at", ("Despatch date",), is_instant=True),
    ),
    is_report=True,
    row_key=("despatch_number", "item_code"),
    window="despatched_at",
)

RETURNS = Template(
    "Return summary",
    (
        Column("return_code", ("Return code",)),
        Column("sales_order_number", ("Sales order number", "Sales order no.")),
        Column("item_code", ("Item code",)),
        Column("quantity", ("Quantity",)),
        Column("return_condition", ("Return condition",)),
        Column("is_reusable", ("Is Reusable",)),
        Column("return_reason", ("Return reason",), is_needed=False),
        Column("site", ("Site reference",), is_needed=False),
        Column("returned_at", ("Return date",), is_instant=True),
    ),
    is_report=True,
    row_key=("return_code", "item_code"),
    window="returned_at",
)

GOODS_IN = Template(
    "Goods in summary",
    (
        Column("goods_in_reference", ("Goods in reference number",)),
        Column("purchase_order_number", ("Purchase order number",), is_needed=False),
        Column("item_code", ("Item code",)),
        Column("quantity", ("Quantity",)),
        Column("site", ("Site reference",), is_needed=False),
        Column("delivered_at", ("Delivery date",), is_instant=True),
        Column("reconciled_at", ("Reconciled date",), is_needed=False, is_instant=True),
    ),
    is_report=True,
    row_key=("goods_in_reference", "item_code"),
    window="delivered_at",
)

STOCK = Template(
    "Item inventory summary",
    (
        Column("item_code", ("Item code",)),
        Column("site", ("Site reference",), is_needed=False, default=ANY_SITE),
        Column("available", ("Available",)),
        Column("on_hand", ("On hand",), is_needed=False),
    ),
    is_report=True,
)

SALES_ORDERS = Template(
    "Sales orders",
    (
        Column("sales_order_number", ("SalesOrderNumber",)),
        Column("status", ("Status",)),
        Column("created_at", ("CreatedDate",), is_needed=False, is_instant=True),
    ),
)

SALES_ORDER_ITEMS = Template(
    "Sales order items",
    (
        Column("sales_order_number", ("SalesOrderNumber",)),
        Column("line", ("Line",)),
        Column("item_code", ("ItemCode",)),
        Column("quantity", ("QuantityOrdered",)),
    ),
)

PURCHASE_ORDERS = Template(
    "Purchase orders",
    (
        Column("purchase_order_number", ("PurchaseOrderNumber",)),
        Column("status", ("Status",)),
        Column("reference", ("Reference", "Reference 2"), is_needed=False),
    ),
)

PURCHASE_ORDER_ITEMS = Template(
    "Purchase order items",
    (
        Column("purchase_order_number", ("PurchaseOrderNumber",)),
        Column("line", ("Line",)),
        Column("item_code", ("ItemCode",)),
        Column("quantity", ("Quantity",)),
        Column("status", ("Status",), is_needed=False),
    ),
)

ITEM_TYPES = Template(
    "Item types",
    (
        Column("item_code", ("ItemCode",)),
        Column("name", ("Name",), is_needed=False),
        Column("barcode", ("Barcode",), is_needed=False),
    ),
)

# Sales orders carry the shopper's name and address, and nothing that reads them here needs either.
_PERSONAL = re.compile(r"address|email|contact|phone|mobile|^customer$|firstname|lastname|username|comments")


def normalised(caption: str) -> str:
    """Return a caption as it is compared: lower case, letters and digits only (`Item Code` = `ItemCode`)."""
    return _NOT_A_LETTER.sub("", caption).casefold()


@dataclass(frozen=True)
class Reading:
    """How one tenant's table is read: which caption stands for which of our columns.

    Attributes:
        captions: our column name to the tenant's caption.
        places: position in a row, the name its value gets, and whether it is a date.
    """

    template: Template
    captions: Mapping[str, str]
    places: tuple[tuple[int, str, bool], ...]
    width: int

    def row(self, cells: Sequence[str], zone: ZoneInfo) -> dict[str, Any]:
        """Return a row under our names, dates as UTC; a cell the row lacks is left out, one too many is `surplus`."""
        found: dict[str, Any] = {
            name: to_utc_text(cells[place], zone) if is_instant else cells[place]
            for place, name, is_instant in self.places
            if place < len(cells)
        }
        if len(cells) > self.width:
            found["surplus"] = ",".join(cells[self.width :])
        for column in self.template.columns:
            if column.default and not found.get(column.name):
                found[column.name] = column.default
        return found


class RowNumbers:
    """Numbers the rows that share a key, 1.. in the order they come, over all pages of one read."""

    def __init__(self, template: Template) -> None:
        self._key = template.row_key
        self._seen: Counter[tuple[str, ...]] = Counter()

    def number(self, page: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Put `row_no` on the rows of a template whose rows need one."""
        if self._key:
            for row in page:
                key = tuple(str(row.get(name, "")) for name in self._key)
                self._seen[key] += 1
                row["row_no"] = self._seen[key]
        return page


def read_captions(
    template: Template, captions: Sequence[str], aliases: Mapping[str, str] = MappingProxyType({})
) -> Reading:
    """Match a tenant's captions to our columns.

    `aliases` maps a tenant's own caption to one of the names known here, such as `{"Reusable?": "Is Reusable"}`.
    Captions that mean nothing here keep their own name; those of personal data are not read. Raises ContractBroken
    naming the template and the caption where a needed column is missing or found twice.
    """
    renamed = {normalised(own): normalised(known) for own, known in aliases.items()}
    by_caption = {normalised(known): column for column in template.columns for known in column.captions}
    found: dict[str, str] = {}
    places: list[tuple[int, str, bool]] = []
    for place, caption in enumerate(captions):
        key = normalised(caption)
        column = by_caption.get(renamed.get(key, key))
        if column is None:
            if caption and not _PERSONAL.search(key):
                places.append((place, caption, False))
        elif column.name in found:
            raise _broken(
                template,
                f"the captions {found[column.name]!r} and {caption!r} both mean {column.captions[0]!r}; rename one",
            )
        else:
            found[column.name] = caption
            places.append((place, column.name, column.is_instant))
    for column in template.columns:
        if column.is_needed and column.name not in found:
            raise _broken(
                template,
                f"the caption {column.captions[0]!r} is missing (there are: {', '.join(captions)[:200]}); show the "
                "column to the integration user, or name its own caption in the warehouse's captions setting",
            )
    return Reading(template, found, tuple(places), len(captions))


def _broken(template: Template, reason: str) -> ContractBroken:
    return ContractBroken(
        f"{SYSTEM} {template.operation} {template.name!r}: {reason}", system=SYSTEM, operation=template.operation
    )
