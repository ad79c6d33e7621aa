"""The mapping tables: what each outside word means here, kept as CSV files by the people who know.

Here: the nine tables, what their columns may hold, how they are read and refused. Not here: what is done about a word
that is not in them (the lanes raise that). The invariants: what loads is whole and free of contradictions, no two rows
answer the same question (outside codes are compared without regard to case), and equal contents have equal versions.
"""

from __future__ import annotations

import csv
import hashlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from marketplace_returns.errors import BadArgument, BadMapping

_RATE: Final = pa.decimal128(38, 10)
_NOTHING: Final[Mapping[str, str]] = types.MappingProxyType({})


class SourceSystem(StrEnum):
    """The outside systems whose words are mapped."""

    MIRAKL = "mirakl"
    REVENI = "reveni"
    REBOUND = "rebound"
    RETURNGO = "returngo"
    PEOPLEVOX = "peoplevox"


class Flow(StrEnum):
    """What a reason is translated for."""

    CREATE_RETURN = "create_return"
    REFUND = "refund"
    REPORT_RETURN = "report_return"
    REPORT_COMPLIANCE = "report_compliance"
    RESOLVE_INCIDENT = "resolve_incident"


class TargetVocabulary(StrEnum):
    """The list of words a reason is translated into."""

    REVENI = "reveni"
    REBOUND = "rebound"
    RETURNGO = "returngo"
    MIRAKL_REFUND = "mirakl_refund"
    MIRAKL_RETURN = "mirakl_return"
    MIRAKL_NON_COMPLIANT = "mirakl_non_compliant"
    MIRAKL_INCIDENT_CLOSE = "mirakl_incident_close"


class Disposition(StrEnum):
    """What inspection made of a returned unit."""

    SELLABLE = "sellable"
    DAMAGED = "damaged"
    WRONG_ITEM = "wrong_item"
    MISSING = "missing"
    QUARANTINE = "quarantine"
    DISPOSE = "dispose"


class ReturnStatus(StrEnum):
    """Where a return stands, in the words all systems share."""

    REQUESTED = "requested"
    APPROVED = "approved"
    IN_TRANSIT = "in_transit"
    AT_HUB = "at_hub"
    RECEIVED = "received"
    IN_REVIEW = "in_review"
    INSPECTED = "inspected"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Component(StrEnum):
    """The part of the marketplace control account a transaction type belongs to."""

    SALES = "sales"
    SALES_TAX = "sales_tax"
    SHIPPING = "shipping"
    SHIPPING_TAX = "shipping_tax"
    COMMISSION = "commission"
    COMMISSION_VAT = "commission_vat"
    REFUND = "refund"
    REFUND_TAX = "refund_tax"
    REFUND_SHIPPING = "refund_shipping"
    REFUND_SHIPPING_TAX = "refund_shipping_tax"
    COMMISSION_REFUND = "commission_refund"
    COMMISSION_REFUND_VAT = "commission_refund_vat"
    FEES = "fees"
    SUBSCRIPTION = "subscription"
    PENALTY = "penalty"
    MANUAL = "manual"
    ONE_OFF = "one_off"
    OPERATOR_REMITTED = "operator_remitted"
    OPERATOR_PAID = "operator_paid"
    PURCHASE = "purchase"
    RESERVE = "reserve"
    PAYOUT = "payout"


class JournalTarget(StrEnum):
    """The accounting systems journals are written for."""

    GENERIC = "generic"
    XERO = "xero"
    QUICKBOOKS = "quickbooks"
    NETSUITE = "netsuite"
    SAGE = "sage"


class Severity(StrEnum):
    """How loud an exception is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


_PLATFORMS: Final = frozenset({TargetVocabulary.REVENI, TargetVocabulary.REBOUND, TargetVocabulary.RETURNGO})
# A compliance verdict goes to both sides: as a reason to the marketplace, as a reject reason to the platform.
_TARGETS_OF_FLOW: Final[Mapping[Flow, frozenset[TargetVocabulary]]] = types.MappingProxyType(
    {
        Flow.CREATE_RETURN: _PLATFORMS,
        Flow.REFUND: frozenset({TargetVocabulary.MIRAKL_REFUND}),
        Flow.REPORT_RETURN: frozenset({TargetVocabulary.MIRAKL_RETURN}),
        Flow.REPORT_COMPLIANCE: _PLATFORMS | {TargetVocabulary.MIRAKL_NON_COMPLIANT},
        Flow.RESOLVE_INCIDENT: frozenset({TargetVocabulary.MIRAKL_INCIDENT_CLOSE}),
    }
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason of one system in the words of another, for one flow, from a day on (always, where none is given).

    In a ``create_return`` row the source code ``*`` is the fallback of policy ``reason_unmapped_return``; in
    ``report_compliance`` the source code is the canonical disposition.
    """

    source_system: SourceSystem
    source_code: str
    flow: Flow
    target_vocabulary: TargetVocabulary
    target_code: str
    valid_from: date | None
    approved_by: str | None


@dataclass(frozen=True, slots=True)
class DispositionRow:
    """What a system's inspection word means; Peoplevox: ``condition|reusable``, Reveni: ``status|restock choice``."""

    source_system: SourceSystem
    source_code: str
    canonical: Disposition


@dataclass(frozen=True, slots=True)
class Carrier:
    """A warehouse's carrier as the marketplace registers it (SH21); source code ``*`` is the default carrier."""

    source_system: SourceSystem
    source_code: str
    carrier_code: str
    carrier_name: str | None
    tracking_url_template: str | None


@dataclass(frozen=True, slots=True)
class Sku:
    """The warehouse item behind an offer, where it is not named like the offer."""

    shop: str
    offer_sku: str
    item_code: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a system's return status means."""

    source_system: SourceSystem
    source_code: str
    canonical: ReturnStatus


@dataclass(frozen=True, slots=True)
class TransactionType:
    """Where a line of the transaction log belongs: component, the sign it normally has (1 or -1), ledger account."""

    type: str
    component: Component
    sign: Literal[1, -1]
    ledger_account: str


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """An account of ours as an accounting system knows it."""

    account: str
    target: JournalTarget
    code: str
    tax_rate: str | None


@dataclass(frozen=True, slots=True)
class ExceptionRule:
    """Who looks after a type of exception, how loud, and within how many hours."""

    type: str
    owner: str
    severity: Severity
    sla_hours: int
    playbook: str


@dataclass(frozen=True, slots=True)
class CommissionRate:
    """The contract's commission of a category from a day on, as a fraction; category ``*`` is every other category."""

    shop: str
    category: str
    valid_from: date
    rate: Decimal
    credit_on_refund: Literal["full", "partial", "none"]


@dataclass(frozen=True, slots=True)
class _Declaration:
    """A table's row type, whose it is, and the columns that no two rows may share; ``folded`` ones compare without case."""

    row: type[Any]
    owner: str
    key: tuple[str, ...]
    folded: frozenset[str] = frozenset()


_CODE: Final = frozenset({"source_code"})
_TABLES: Final[Mapping[str, _Declaration]] = types.MappingProxyType(
    {
        "reasons": _Declaration(
            Reason, "operations", ("source_system", "source_code", "flow", "target_vocabulary", "valid_from"), _CODE
        ),
        "dispositions": _Declaration(DispositionRow, "operations", ("source_system", "source_code"), _CODE),
        "carriers": _Declaration(Carrier, "operations", ("source_system", "source_code"), _CODE),
        "skus": _Declaration(Sku, "operations", ("shop", "offer_sku")),
        "statuses": _Declaration(Status, "operations", ("source_system", "source_code"), _CODE),
        "transaction_types": _Declaration(TransactionType, "finance", ("type",)),
        "ledger_accounts": _Declaration(LedgerAccount, "finance", ("account", "target")),
        "exceptions": _Declaration(ExceptionRule, "operations", ("type",)),
        "commission_rates": _Declaration(CommissionRate, "finance", ("shop", "category", "valid_from")),
    }
)


MAPPING_TABLES: Final = tuple(_TABLES)
"""The names of the mapping tables."""


@dataclass(frozen=True)
class Mappings:
    """All mapping tables as they were at one time; ``version`` names their contents, whatever the order of rows.

    ``files`` gives the SHA-256 of each file that was read, by its name.
    """

    reasons: tuple[Reason, ...] = ()
    dispositions: tuple[DispositionRow, ...] = ()
    carriers: tuple[Carrier, ...] = ()
    skus: tuple[Sku, ...] = ()
    statuses: tuple[Status, ...] = ()
    transaction_types: tuple[TransactionType, ...] = ()
    ledger_accounts: tuple[LedgerAccount, ...] = ()
    exceptions: tuple[ExceptionRule, ...] = ()
    commission_rates: tuple[CommissionRate, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def version(self) -> str:
        """Sixteen hex digits of the contents: recorded on every write that used them (R33)."""
        digest = hashlib.sha256()
        for name in _TABLES:
            digest.update(name.encode())
            for text in sorted(repr(row) for row in getattr(self, name)):
                digest.update(b"\n" + text.encode())
        return digest.hexdigest()[:16]

    def frames(self) -> dict[str, pa.Table]:
        """Return each table as Arrow, named as its file: words as text, days as date32, rates as decimal(38, 10)."""
        return {name: _frame(table.row, getattr(self, name)) for name, table in _TABLES.items()}


def load_mappings(directory: Path, instead: Mapping[str, str] = _NOTHING) -> Mappings:
    """Read and check ``<table>.csv`` of a directory; a file that is absent is an empty table.

    ``instead`` gives by table the text that its file is to have: what loads with it may be written there.

    Raises:
        BadMapping: the first mistake, with file, line, reason and mend.
    """
    if not directory.is_dir():
        raise BadMapping(f"{directory}: there is no such folder: create it or set mappings_dir to the mapping tables")
    for path in sorted(directory.glob("*.csv")):
        if path.stem not in _TABLES:
            raise BadMapping(f"{path}: is not a mapping table: mend its name, known ones are {', '.join(_TABLES)}")
    tables: dict[str, Any] = {}
    files: dict[str, str] = {}
    for name, table in _TABLES.items():
        path = directory / f"{name}.csv"
        content = instead[name].encode() if name in instead else _content(path)
        if content is not None:
            tables[name] = tuple(_read(path, table, content))
            files[path.name] = hashlib.sha256(content).hexdigest()
    return Mappings(**tables, files=files)


def owner_of(table: str) -> str:
    """Return the department that a mapping table belongs to, by its name in the exception catalogue."""
    return _TABLES[table].owner


def columns_of(table: str) -> dict[str, tuple[str, ...]]:
    """Return the columns of a mapping table, each with the words it may hold (none: any text), in the declared order.

    Raises:
        BadArgument: there is no such table.
    """
    if table not in _TABLES:
        raise BadArgument(f"there is no mapping table {table!r}: use one of {', '.join(_TABLES)}")
    return {name: converter.words for name, converter in _converters(_TABLES[table].row).items()}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as unreadable:
        raise BadMapping(f"{path}: cannot be read ({unreadable.strerror}): mend the file or its permissions") from None


def _read(path: Path, table: _Declaration, content: bytes) -> Iterator[Any]:
    converters = _converters(table.row)
    first_lines: dict[tuple[Any, ...], int] = {}
    for line, cells in _rows(path, content, list(converters)):
        values: dict[str, Any] = {}
        for column, convert in converters.items():
            try:
                values[column] = convert.of(cells[column])
            except ValueError as wrong:
                raise BadMapping(f"{path}, line {line}, {column}: {wrong}") from None
        row = table.row(**values)
        _check_row(row, f"{path}, line {line}")
        key = tuple(values[column].casefold() if column in table.folded else values[column] for column in table.key)
        if key in first_lines:
            named = ", ".join(f"{column} {cells[column] or 'empty'}" for column in table.key)
            raise BadMapping(
                f"{path}, line {line}: is a second row for {named} (first on line {first_lines[key]}): remove one"
            )
        first_lines[key] = line
        yield row


def _rows(path: Path, content: bytes, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, cells by column) with spaces around the cells taken off; blank lines are passed over."""
    try:
        reader = csv.reader(StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError:
        raise BadMapping(f"{path}: is not UTF-8 text: save it as CSV UTF-8") from None
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(path, header, columns)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise BadMapping(
                    f"{path}, line {reader.line_num}: has {len(cells)} cells, the header has {len(header)}: "
                    "put cells that hold a comma into double quotes"
                )
            yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as broken:
        raise BadMapping(f"{path}, line {reader.line_num}: is not readable CSV ({broken}): mend its quotes") from None


def _check_header(path: Path, header: list[str], columns: list[str]) -> None:
    known = ", ".join(columns)
    for column in header:
        if column not in columns:
            raise BadMapping(f"{path}, line 1: unknown column {column!r}: the columns are {known}")
        if header.count(column) > 1:
            raise BadMapping(f"{path}, line 1: column {column!r} is there twice: remove one")
    for column in columns:
        if column not in header:
            raise BadMapping(f"{path}, line 1: column {column!r} is missing: the columns are {known}")


def _check_row(row: Any, place: str) -> None:
    """Check what one cell alone cannot say."""
    match row:
        case Reason(flow=flow, target_vocabulary=target) if target not in _TARGETS_OF_FLOW[flow]:
            allowed = ", ".join(sorted(_TARGETS_OF_FLOW[flow]))
            raise BadMapping(f"{place}, target_vocabulary: flow {flow} does not translate into {target}: use {allowed}")
        case CommissionRate(rate=rate) if not 0 <= rate <= 1:
            raise BadMapping(f"{place}, rate: {rate} is not a fraction from 0 to 1: write 15 % as 0.15")
        case ExceptionRule(sla_hours=hours) if hours <= 0:
            raise BadMapping(f"{place}, sla_hours: {hours} is not a number of hours above 0")
        case _:
            return


@dataclass(frozen=True, slots=True)
class _Converter:
    """Turns a cell into its column's type, and says what is wrong in words for the person who edits the file."""

    kind: Any
    may_be_empty: bool

    def of(self, cell: str) -> Any:
        if not cell:
            if self.may_be_empty:
                return None
            raise ValueError("is empty: fill it in or remove the row")
        if self.kind is str:
            return cell
        if self.kind is date:
            return _day(cell)
        if self.kind is Decimal or self.kind is int:
            return _number(cell, self.kind)
        return self._word(cell)

    def _word(self, cell: str) -> Any:
        """Return the vocabulary's own member; words are compared without regard to case."""
        words = get_args(self.kind) if get_origin(self.kind) is Literal else tuple(self.kind)
        for word in words:
            if str(word).casefold() == cell.casefold():
                return word
        raise ValueError(f"{cell!r} is not one of its words: use {', '.join(str(word) for word in words)}")

    @property
    def words(self) -> tuple[str, ...]:
        """The words a cell may hold; none where it holds any text."""
        if get_origin(self.kind) is Literal:
            return tuple(str(word) for word in get_args(self.kind))
        return tuple(str(word) for word in self.kind) if issubclass(self.kind, StrEnum) else ()

    @property
    def arrow_type(self) -> pa.DataType:
        if self.kind is date:
            return pa.date32()
        if self.kind is Decimal:
            return _RATE
        words = get_args(self.kind) if get_origin(self.kind) is Literal else ()
        if self.kind is int or (words and isinstance(words[0], int)):
            return pa.int64()
        return pa.string()


def _day(cell: str) -> date:
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a day: write it as 2026-10-31") from None


def _number(cell: str, kind: type[int] | type[Decimal]) -> int | Decimal:
    try:
        number = kind(cell)
    except (ValueError, InvalidOperation):
        number = Decimal("NaN")
    if isinstance(number, Decimal) and not number.is_finite():
        wanted = "whole number" if kind is int else "number with a decimal point"
        raise ValueError(f"{cell!r} is not a {wanted}: write it in digits only")
    return number


def _converters(row: type[Any]) -> dict[str, _Converter]:
    hints = get_type_hints(row)
    converters = {}
    for column in fields(row):
        kind = hints[column.name]
        is_optional = get_origin(kind) in {Union, types.UnionType}
        if is_optional:
            kind = next(part for part in get_args(kind) if part is not types.NoneType)
        converters[column.name] = _Converter(kind, is_optional)
    return converters


def _frame(row: type[Any], rows: tuple[Any, ...]) -> pa.Table:
    schema = pa.schema([(name, converter.arrow_type) for name, converter in _converters(row).items()])
    columns = [pa.array([getattr(each, name) for each in rows], type=schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)
