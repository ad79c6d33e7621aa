"""From a number of the books to the lines that make it, and to the landed payload that says so (R7).

Here: what no single order owns, by its id: payout cycles, accounting documents, journals, VAT and the control account of a month, and what names a line of the
transaction log. Not here: orders (``trace``), how a month is made (``journal_lines.sql``), what people see of it. The invariant: nothing is
written, and no amount is shown without the lines it adds up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import duckdb

from marketplace_returns.lake.connection import all_threads, snapshot_of
from marketplace_returns.ledger.periods import FINAL, Period
from marketplace_returns.model import statement
from marketplace_returns.periods import Month, month_bounds, month_of
from marketplace_returns.reconciliation.close import SignedMonth, run_query, stage_posted_lines, stage_vat_documents
from marketplace_returns.reconciliation.journals import INCLUDED_VAT
from marketplace_returns.reconciliation.trace import PACKAGE, LogLine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.lake.connection import Lake
    from marketplace_returns.settings import Shop

LARGEST_MAX: Final = 5
"""As many log lines are shown of what adds up thousands."""
PAYMENT: Final = "PAYMENT"
"""The type of the log line that takes a payout out of what is owed."""
INFORMATIVE: Final = "NOT_APPLICABLE"
"""The state of a log line that no month adds up."""
CARRIED: Final = "carried forward from earlier months"
POSTS: Final = "posts it"
CARRIES: Final = "carries it forward"
"""What a journal does with a log line: an open journal posts it, and the cycle that it comes into later carries it."""
_VAT: Final = re.compile(r"vat:(?P<shop>.+?)-(?P<month>\d{4}-(?:0[1-9]|1[0-2]))(?P<row>-.*)?", re.ASCII | re.DOTALL)
_CONTROL: Final = re.compile(
    r"control:(?P<shop>.+?)-(?P<month>\d{4}-(?:0[1-9]|1[0-2]))(?P<row>-.*)?", re.ASCII | re.DOTALL
)
_JOURNAL: Final = re.compile(
    r"(?P<shop>.+?)-(?P<month>\d{4}-(?:0[1-9]|1[0-2]))-(?P<reference>.+)", re.ASCII | re.DOTALL
)
_DOCUMENT_NUMBER: Final = re.compile(r"(?P<letters>[A-Za-z/_-]*)(?P<digits>\d{1,18})", re.ASCII)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9000, 1, 1, tzinfo=UTC)

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Sum:
    """The log lines of one type, added up; ``amount_minor`` in minor units of ``currency``, + is owed by the marketplace."""

    component: str
    transaction_type: str
    currency: str
    lines: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class AddedUp:
    """What an amount is made of: sums per type, and the lines that move most, the largest first."""

    sums: tuple[Sum, ...] = ()
    largest: tuple[LogLine, ...] = ()

    @property
    def lines(self) -> int:
        """How many log lines there are."""
        return sum(each.lines for each in self.sums)

    def amount_minor(self, currency: str) -> int:
        """Return the sum in a currency, payments left out, in its minor units."""
        return sum(
            each.amount_minor for each in self.sums if each.currency == currency and each.transaction_type != PAYMENT
        )

    def paid_minor(self, currency: str) -> int | None:
        """Return what was paid in a currency, in its minor units; None where nothing was."""
        paid = [
            -each.amount_minor for each in self.sums if each.currency == currency and each.transaction_type == PAYMENT
        ]
        return sum(paid) if paid else None


@dataclass(frozen=True, slots=True)
class Document:
    """An accounting document of the marketplace (IV01); amounts in minor units of ``currency``, instants in UTC."""

    shop: str
    document_id: str
    invoice_id: int | None
    invoice_type: str
    invoice_state: str | None
    billing_cycle_id: str | None
    currency: str
    amount_transferred_minor: int | None
    total_excl_minor: int | None
    total_incl_minor: int | None
    payment_state: str | None
    payment_reference: str | None
    created_at: datetime
    issued_at: datetime | None
    payload_hash: str
    fetched_at: datetime
    added_up: AddedUp = AddedUp()


@dataclass(frozen=True, slots=True)
class Cycle:
    """A payout cycle: its statement (SBC11), documents and log lines; amounts in minor units of ``currency``, instants in UTC."""

    shop: str
    billing_cycle_id: str
    currency: str
    created_at: datetime
    pay_out_state: str
    log_amount_minor: int
    payment_amount_minor: int | None
    invoice_amount_minor: int | None
    documents: tuple[Document, ...]
    added_up: AddedUp
    statement_amount_minor: int | None = None
    operator_amount_minor: int | None = None
    pay_out_reference: str | None = None
    pay_out_at: datetime | None = None
    failure_reason: str | None = None
    payload_hash: str | None = None
    fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of a journal and what it adds up; ``difference_minor`` is the line less that, 0 unless the log or the mapping changed since."""

    line_no: int
    account: str
    description: str
    debit_minor: int
    credit_minor: int
    added_up: AddedUp
    difference_minor: int | None


@dataclass(frozen=True, slots=True)
class TaxedDocument:
    """An order line or a refund (``document_id``) with its taxes of one row of ``vat_summary``; amounts in minor units, refunds with minus.

    ``tax_minor`` is the whole tax, ``logged_tax_minor`` what the log books of it beside the amounts.
    """

    document_id: str
    order_line_id: str
    net_minor: int
    tax_minor: int
    logged_tax_minor: int


@dataclass(frozen=True, slots=True)
class Vat:
    """A row of ``vat_summary`` and what it adds up: order lines and refunds, or lines of the log; amounts in minor units of ``currency``.

    Attributes:
        reference: opens the row.
        direction: as in ``vat_summary``, and so on to ``logged_tax_minor``.
        documents: how many there are; of ``input`` and ``operator_remitted`` none, for these the log has lines.
        net_lines: the lines of the log that are its net, with the sign of the log: - is charged to the seller.
        tax_lines: those that are its tax.
        documents_net_minor: their net, and so on to ``documents_logged_tax_minor``.
        largest: those of the most tax, the largest first.
        is_inside: only what lies inside prices is looked at, as the journal ``included_vat`` does.
    """

    reference: str
    currency: str
    direction: str
    tax_code: str
    rate: Decimal | None
    net_minor: int
    tax_minor: int
    logged_tax_minor: int
    documents: int = 0
    documents_net_minor: int = 0
    documents_tax_minor: int = 0
    documents_logged_tax_minor: int = 0
    largest: tuple[TaxedDocument, ...] = ()
    is_inside: bool = False
    net_lines: AddedUp = AddedUp()
    tax_lines: AddedUp = AddedUp()

    @property
    def is_of_documents(self) -> bool:
        """Order lines and refunds make it, not lines of the log."""
        return "output" in self.direction

    @property
    def amount_minor(self) -> int:
        """The tax that is looked at, as the row has it."""
        return self.tax_minor - (self.logged_tax_minor if self.is_inside else 0)

    @property
    def documents_amount_minor(self) -> int:
        """The same as its documents add up to now."""
        return self.documents_tax_minor - (self.documents_logged_tax_minor if self.is_inside else 0)

    @property
    def difference_minor(self) -> int:
        """The tax of the row less that of its documents or log lines, 0 unless they or the mapping changed since the month was closed."""
        if not self.is_of_documents:
            return self.tax_minor + self.tax_lines.amount_minor(self.currency)
        return self.amount_minor - self.documents_amount_minor

    @property
    def net_difference_minor(self) -> int:
        """The same of the net; 0 where only what lies inside prices is looked at."""
        if not self.is_of_documents:
            return self.net_minor + self.net_lines.amount_minor(self.currency)
        return 0 if self.is_inside else self.net_minor - self.documents_net_minor


@dataclass(frozen=True, slots=True)
class VatReturn:
    """Rows of a month's ``vat_summary`` as it was closed last; ``lake_version`` is the snapshot that a signed month is kept in."""

    shop: str
    month: str
    lake_version: int | None
    vat: tuple[Vat, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal of a month as it was closed last; amounts in minor units of ``currency``.

    ``lake_version`` is the snapshot that a signed month is kept in. ``vat`` is there where the journal is that of the VAT inside prices.
    """

    shop: str
    month: str
    journal_id: str
    reference: str
    currency: str
    lake_version: int | None
    lines: tuple[JournalLine, ...]
    vat: tuple[Vat, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedBy:
    """A row of a month-end table that names a log line, or a journal that posts it, and what it says of it."""

    table: str
    month: str
    reference: str
    words: str


@dataclass(frozen=True, slots=True)
class Payload:
    """A landed object as it came, without personal fields; ``body`` is its JSON, ``fetched_at`` a UTC instant."""

    shop: str
    source: str
    object_type: str
    object_id: str
    content_hash: str
    fetched_at: datetime
    body: str


@dataclass(frozen=True, slots=True)
class ControlRow:
    """A row of ``control_roll_forward`` and the log lines it adds up; amounts in minor units of ``currency``.

    ``reference`` opens the row; ``difference_minor`` is the row less its lines, 0 unless the log or the mapping changed since.
    """

    reference: str
    currency: str
    component: str
    amount_minor: int
    added_up: AddedUp
    difference_minor: int


@dataclass(frozen=True, slots=True)
class ControlAccount:
    """Rows of a month's ``control_roll_forward`` as it was closed last; ``lake_version`` is the snapshot that a signed month is kept in."""

    shop: str
    month: str
    lake_version: int | None
    rows: tuple[ControlRow, ...]


Thing = Cycle | Document | Journal | VatReturn | ControlAccount


@dataclass(frozen=True, slots=True)
class Books:
    """Where the numbers of the books are looked up.

    ``con`` has the lake attached and ``model.attach_reports`` behind it; ``lake`` gives a connection of its own on what a month was made of;
    ``period`` gives the state of a shop's month.
    """

    con: DuckDBPyConnection
    lake: Lake
    shops: Mapping[str, Shop]
    period: Callable[[str, Month], Period]


def find(books: Books, reference: str) -> list[Thing]:
    """Return the payout cycle, accounting document, journal, VAT or control account that has an id or number, of each shop that has one.

    What is unknown costs a look at small tables, never at the log.
    """
    wanted, con = reference.strip(), books.con
    if not wanted or "\0" in wanted:  # which the database cannot be asked for
        return []
    if _VAT.fullmatch(wanted):
        return list(_vat_returns(books, wanted))
    if _CONTROL.fullmatch(wanted):
        return list(_control_accounts(books, wanted))
    found: list[Thing] = [each for each in _cycles(con, wanted) if each.shop in books.shops]
    found = found or [each for each in _documents(con, wanted) if each.shop in books.shops]
    return found or list(_journals(books, wanted))


def named_by(books: Books, line: LogLine) -> list[NamedBy]:
    """Return the rows of month-end tables that name a log line, and the journals that post it or carry it forward, oldest month first."""
    shop = books.shops[line.shop]
    parameters = {
        "shop": line.shop,
        "transaction_id": line.transaction_id,
        "currency": line.currency,
        "billing_cycle_id": line.billing_cycle_id,
        "month": str(month_of(line.created_at, shop.time_zone)),
        "is_payment": line.transaction_type == PAYMENT,
        "counted_minor": 0 if line.payment_state == INFORMATIVE else line.amount_minor,
        "posts": POSTS,
        "carries": CARRIES,
        "carried": CARRIED,
    }
    parameters["cycle_month"] = _came_into_its_cycle(books, shop, line, parameters)
    return [NamedBy(*row) for row in _of_months(books.con, statement("trace_named_by", PACKAGE), parameters)]


def _came_into_its_cycle(books: Books, shop: Shop, line: LogLine, parameters: Mapping[str, Any]) -> str | None:
    """Return the first month whose journals have a line in its cycle: when that was closed, or a later one that it was moved in."""
    months = _of_months(books.con, statement("trace_cycle_months", PACKAGE), parameters)
    for month, is_carried in months[:0:-1]:
        if is_carried and month > parameters["month"]:
            version = _signed_version(books, shop, Month.parse(month))
            at = snapshot_of(books.con) if version is None else version
            with _posted_lines(books, shop, Month.parse(month), at) as con:
                if run_query(con, statement("trace_is_moved", PACKAGE), parameters).fetchone():
                    return str(month)
    return str(months[0][0]) if months else None


def payloads(con: DuckDBPyConnection, shop: str, landed: Iterable[tuple[str | None, datetime | None]]) -> list[Payload]:
    """Return the landed payloads of some content hashes, each with the instant its typed row was fetched at, if that is known."""
    by_instant: dict[datetime | None, set[str]] = {}
    for content_hash, fetched_at in landed:
        if content_hash is not None:
            by_instant.setdefault(fetched_at, set()).add(content_hash)
    wanted = set[str]().union(*by_instant.values())
    found: dict[tuple[Any, ...], Payload] = {}
    for fetched_at, hashes in by_instant.items():
        if fetched_at is not None:
            found |= _payloads(con, shop, hashes, fetched_at, fetched_at)
    # Of a row that a whole list showed again, or whose content came before.
    if left := wanted - {each.content_hash for each in found.values()}:
        found |= _payloads(con, shop, left, _BEGINNING, _END)
    return [found[key] for key in sorted(found)]


def _payloads(
    con: DuckDBPyConnection, shop: str, hashes: set[str], since: datetime, until: datetime
) -> dict[tuple[Any, ...], Payload]:
    parameters = {"shop": shop, "hashes": sorted(hashes), "fetched_from": since, "fetched_until": until}
    rows = run_query(con, statement("trace_payloads", PACKAGE), parameters).fetchall()
    return {row[1:6]: Payload(*row) for row in rows}


def _cycles(con: DuckDBPyConnection, number: str) -> list[Cycle]:
    stated: list[dict[str, Any]] = _rows(run_query(con, statement("trace_cycle", PACKAGE), {"number": number}), dict)
    if not stated:
        names = ("shop", "billing_cycle_id", "currency", "created_at", "pay_out_state")
        rows = _of_months(con, statement("trace_cycle_in_log", PACKAGE), {"number": number})
        stated = [dict(zip(names, row, strict=True)) for row in rows]
    found = []
    for facts in stated:
        shop, currency = facts["shop"], facts["currency"]
        documents = [each for each in _stated_documents(con, billing_cycle_id=number) if each.shop == shop]
        invoiced = [
            each.amount_transferred_minor
            for each in documents
            if each.invoice_type == "AUTO_INVOICE"
            and each.currency == currency
            and each.amount_transferred_minor is not None
        ]
        added_up = _log_sums(con, shop, billing_cycle_id=number)
        found.append(
            Cycle(
                **facts,
                log_amount_minor=added_up.amount_minor(currency),
                payment_amount_minor=added_up.paid_minor(currency),
                invoice_amount_minor=sum(invoiced) if invoiced else None,
                documents=tuple(documents),
                added_up=added_up,
            )
        )
    return found


def _documents(con: DuckDBPyConnection, number: str) -> list[Document]:
    """Return the documents of an id, or of a number: IV01 has its digits, the log the whole of it, which has to be the same."""
    shape = _DOCUMENT_NUMBER.fullmatch(number)
    invoice_id = int(shape["digits"]) if shape else None
    found = []
    for each in _stated_documents(con, document_id=number, invoice_id=invoice_id):
        added_up = _log_sums(con, each.shop, document_id=each.document_id)
        numbers = {line.accounting_document_number for line in added_up.largest}
        if each.document_id == number or str(invoice_id) == number or number in numbers:
            found.append(replace(each, added_up=added_up))
    return found


def _stated_documents(
    con: DuckDBPyConnection,
    *,
    document_id: str | None = None,
    invoice_id: int | None = None,
    billing_cycle_id: str | None = None,
) -> list[Document]:
    parameters = {"document_id": document_id, "invoice_id": invoice_id, "billing_cycle_id": billing_cycle_id}
    return _rows(run_query(con, statement("trace_documents", PACKAGE), parameters), Document)


def _log_sums(
    con: DuckDBPyConnection, shop: str, *, billing_cycle_id: str | None = None, document_id: str | None = None
) -> AddedUp:
    parameters = {
        "shop": shop,
        "billing_cycle_id": billing_cycle_id,
        "document_id": document_id,
        "largest": LARGEST_MAX,
    }
    with all_threads(con):
        return _added_up(_rows(run_query(con, statement("trace_log_sums", PACKAGE), parameters), dict))


def _added_up(rows: Sequence[Mapping[str, Any]]) -> AddedUp:
    """Return the rows of one amount: each has the columns of ``Sum`` and its largest lines."""
    sums = tuple(Sum(**{each.name: row[each.name] for each in fields(Sum)}) for row in rows)
    lines = [line for row in rows for line in row["largest"] or ()]
    lines.sort(key=lambda line: (-line["size"], line["transaction_id"]))
    names = [each.name for each in fields(LogLine)]
    return AddedUp(sums, tuple(LogLine(**{name: line[name] for name in names}) for line in lines[:LARGEST_MAX]))


def _closed_month(books: Books, shape: re.Match[str] | None) -> tuple[Shop, Month, int | None, int] | None:
    """Return the shop and month that a reference names, the snapshot that holds the month where it is signed, and the one to read it in."""
    shop = books.shops.get(shape["shop"]) if shape else None
    if shape is None or shop is None:
        return None
    month = Month.parse(shape["month"])
    version = _signed_version(books, shop, month)
    return shop, month, version, snapshot_of(books.con) if version is None else version


def _signed_version(books: Books, shop: Shop, month: Month) -> int | None:
    period = books.period(shop.name, month)
    return int(period.lake_snapshot) if period.state in FINAL else None


def _vat_returns(books: Books, reference: str) -> Iterable[VatReturn]:
    """Return the VAT of a month: all, or what its reference goes on with: direction, tax code, rate, and currency where it is not the shop's."""
    closed = _closed_month(books, _VAT.fullmatch(reference))
    if closed is None:
        return
    shop, month, version, at = closed
    rows = _vat_rows(books, shop, month, at)
    found = [each for each in rows if each.reference == reference] or [
        each for each in rows if each.reference.startswith(f"{reference}-")
    ]
    if found:
        vat = _with_log_lines(books, shop, month, _with_documents(books, shop, month, found, at), at)
        yield VatReturn(shop.name, str(month), version, tuple(vat))


def _control_accounts(books: Books, reference: str) -> Iterable[ControlAccount]:
    """Return the control account of a month: all, or the row that its reference names, with the currency where it is not the shop's."""
    closed = _closed_month(books, _CONTROL.fullmatch(reference))
    if closed is None:
        return
    shop, month, version, at = closed
    whole = f"control:{shop.name}-{month}"
    named = [
        (f"{whole}-{component}{'' if currency == shop.currency else f'-{currency}'}", currency, component, amount_minor)
        for currency, component, amount_minor in _of_months(
            books.con, _at(at, "trace_control_rows"), {"shop": shop.name, "month": str(month)}
        )
    ]
    wanted = [each for each in named if reference in {whole, each[0]}]
    if not wanted:
        return
    parameters = {"components": sorted({component for _, _, component, _ in wanted}), "largest": LARGEST_MAX}
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with _posted_lines(books, shop, month, at) as con:
        made: list[dict[str, Any]] = _rows(run_query(con, statement("trace_control_log", PACKAGE), parameters), dict)
    for each in made:
        parts.setdefault((each["currency"], each["row_component"]), []).append(each)
    rows = []
    for name, currency, component, amount_minor in wanted:
        of_row = parts.get((currency, component), [])
        left = amount_minor - sum(each["amount_minor"] for each in of_row)
        rows.append(ControlRow(name, currency, component, amount_minor, _added_up(of_row), left))
    yield ControlAccount(shop.name, str(month), version, tuple(rows))


def _vat_rows(books: Books, shop: Shop, month: Month, at: int) -> list[Vat]:
    rows = _of_months(books.con, _at(at, "trace_vat_rows"), {"shop": shop.name, "month": str(month)})
    found = []
    for currency, direction, tax_code, rate, *amounts in rows:
        parts = (
            f"vat:{shop.name}-{month}",
            direction,
            tax_code,
            "" if rate is None else f"{rate.normalize():f}",
            "" if currency == shop.currency else currency,
        )
        found.append(Vat("-".join(part for part in parts if part), currency, direction, tax_code, rate, *amounts))
    return found


def _with_documents(
    books: Books, shop: Shop, month: Month, rows: Sequence[Vat], at: int, *, is_inside: bool = False
) -> list[Vat]:
    """Give rows of ``vat_summary`` the order lines and refunds they add up, as the lake had them in a version."""
    directions = {each.direction for each in rows if each.is_of_documents}
    if not directions:
        return list(rows)
    is_late = any(direction.startswith("prior_") for direction in directions)
    before = SignedMonth.of(books.period(shop.name, month.previous())) if is_late else None
    parameters = {
        "directions": sorted(directions),
        "codes": sorted({each.tax_code for each in rows}),
        "is_inside": is_inside,
        "largest": LARGEST_MAX,
    }
    con = books.lake.connect(version=at)
    try:
        with all_threads(con):
            stage_vat_documents(con, shop, month, before)
            added_up: list[dict[str, Any]] = _rows(run_query(con, statement("trace_vat", PACKAGE), parameters), dict)
    finally:
        con.close()
    by_row = {(each["currency"], each["direction"], each["tax_code"], each["rate"]): each for each in added_up}
    found = []
    for row in rows:
        made = by_row.get((row.currency, row.direction, row.tax_code, row.rate))
        of_row = replace(row, is_inside=is_inside)
        found.append(of_row if made is None else _made_of(of_row, made))
    return found


def _with_log_lines(books: Books, shop: Shop, month: Month, rows: Sequence[Vat], at: int) -> list[Vat]:
    """Give rows of ``vat_summary`` that the log books the lines they add up, as the lake had them in a version."""
    booked = [each for each in rows if not each.is_of_documents]
    if not booked:
        return list(rows)
    parameters = {
        "directions": sorted({each.direction for each in booked}),
        "codes": sorted({each.tax_code for each in booked}),
        "largest": LARGEST_MAX,
    }
    parts: dict[tuple[str, str, str, bool], list[dict[str, Any]]] = {}
    with _posted_lines(books, shop, month, at) as con:
        added_up: list[dict[str, Any]] = _rows(run_query(con, statement("trace_vat_log", PACKAGE), parameters), dict)
        for row in added_up:
            parts.setdefault((row["currency"], row["direction"], row["tax_code"], row["is_tax"]), []).append(row)
    found = []
    for each in rows:
        net, tax = (
            _added_up(parts.get((each.currency, each.direction, each.tax_code, is_tax), [])) for is_tax in (False, True)
        )
        found.append(each if each.is_of_documents else replace(each, net_lines=net, tax_lines=tax))
    return found


def _made_of(row: Vat, made: Mapping[str, Any]) -> Vat:
    names = [each.name for each in fields(TaxedDocument)]
    return replace(
        row,
        documents=made["documents"],
        documents_net_minor=made["net_minor"],
        documents_tax_minor=made["tax_minor"],
        documents_logged_tax_minor=made["logged_tax_minor"],
        largest=tuple(TaxedDocument(**{name: each[name] for name in names}) for each in made["largest"]),
    )


def _journals(books: Books, number: str) -> Iterable[Journal]:
    con, closed = books.con, _closed_month(books, _JOURNAL.fullmatch(number))
    if closed is None:
        return
    shop, month, version, at = closed
    start, end = month_bounds(month, shop.time_zone)
    parameters: dict[str, Any] = {
        "shop": shop.name,
        "month": str(month),
        "journal_id": number,
        "month_start": start,
        "month_end": end,
        "largest": LARGEST_MAX,
    }
    posted = _of_months(con, _at(at, "trace_journal"), parameters)
    if not posted:
        return
    currency, reference = posted[0][0], posted[0][-1]
    parameters |= {"currency": currency, "reference": reference}
    made: dict[tuple[str, str], list[dict[str, Any]]] = {}
    vat: list[Vat] = []
    if reference == INCLUDED_VAT:
        inside = [
            each
            for each in _vat_rows(books, shop, month, at)
            if each.currency == currency and each.is_of_documents and each.tax_minor != each.logged_tax_minor
        ]
        vat = _with_documents(books, shop, month, inside, at, is_inside=True)
    else:
        with _posted_lines(books, shop, month, at) as then:
            ((parameters["is_closed_in_month"], late_from),) = run_query(
                then, statement("trace_journal_late", PACKAGE), parameters
            ).fetchall()
            parameters["log_from"] = _BEGINNING if parameters["is_closed_in_month"] else min(start, late_from or start)
            log = run_query(then, statement("trace_journal_log", PACKAGE), parameters)
            rows: list[dict[str, Any]] = _rows(log, dict)
        for row in rows:
            made.setdefault((row["account"], row["description"]), []).append(row)
    lines = []
    for _, line_no, account, description, debit_minor, credit_minor, _ in posted:
        of_line = made.get((account, description), [])
        expected = sum(row["debit_minor"] for row in of_line)
        lines.append(
            JournalLine(
                line_no,
                account,
                description,
                debit_minor,
                credit_minor,
                _added_up(of_line),
                None if reference == INCLUDED_VAT else debit_minor - credit_minor - expected,
            )
        )
    yield Journal(shop.name, str(month), number, reference, currency, version, tuple(lines), tuple(vat))


@contextmanager
def _posted_lines(books: Books, shop: Shop, month: Month, at: int) -> Iterator[DuckDBPyConnection]:
    """Open a connection that has what a month posts of the log (``posted_lines``), as the lake had it in a version."""
    before = SignedMonth.of(books.period(shop.name, month.previous()))
    types = books.con.execute("SELECT type, component, ledger_account FROM mapping.transaction_types").to_arrow_table()
    con = books.lake.connect(version=at)
    try:
        with all_threads(con):
            stage_posted_lines(con, shop, month, before, types)
            yield con
    finally:
        con.close()


def _at(version: int, name: str) -> str:
    """Return the statement of a file for a version of the lake, which can only be written out."""
    return statement(name, PACKAGE).replace("$version", str(int(version)))


def _of_months(con: DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return rows of month-end tables; none in a lake whose first month was never closed."""
    try:
        return run_query(con, query, parameters).fetchall()
    except duckdb.CatalogException:
        return []


def _rows(found: DuckDBPyConnection, row: Callable[..., Row]) -> list[Row]:
    names = [column[0] for column in found.description or []]
    return [row(**dict(zip(names, values, strict=True))) for values in found.fetchall()]
