"""What is kept of the customer behind an order: shown, erased, and ended when its time is over.

Here: which parts of the installation that takes, and in which order. Not here: how each part does it (``lake.personal_store``,
``lake.erasing``, ``ledger.erasing``). The invariants: financial facts stay (amounts, ids, taxes, states, the history's chain); an
erasure that ends half-way is finished by doing it again, and done twice it is done once; what is erased is not kept again.

In this order: words out of the ledger (the personal fields say which), extract files blanked, the personal fields, payloads cut down,
the event. The lake's old files go with the next upkeep, which finishes every erasure that is not settled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa

from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.connection import CATALOG_FILE, FILES_FOLDER, FOLDER, Lake
from marketplace_returns.lake.erasing import cut_landed_down, forget_past
from marketplace_returns.lake.personal_store import PersonalRow, PersonalStore, object_name, order_name
from marketplace_returns.ledger import audit
from marketplace_returns.ledger.erasing import EXPORTED, without
from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.extract_files import blank_erased, end_old
from marketplace_returns.reconciliation import trace
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.ledger import Ledger
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.settings import PrivacySettings

Say = Callable[[str], None]

NOT_LEFT: Final = ("STAGING", "WAITING_ACCEPTANCE", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT", "SHIPPING")
"""States of an order whose parcel is still to be sent (OR11)."""
_ENDED: Final = ("CLOSED", "REFUSED", "CANCELED")
_ON_ITS_WAY: Final = (State.PLANNED, State.SENDING, State.UNKNOWN)
_OF_A_PERSON: Final = ("name", "mail", "phone", "street", "address", "company")
_WORD_CHARS_MIN: Final = 4
NOT_HELD: Final = (
    "Bank and card numbers of the customer: left out when a payload lands.",
    "The customer's account, password and other orders: never read; orders are not joined by e-mail.",
    "Return labels, photographs and the customer's free words to ReBound and ReturnGO: left out when a payload lands.",
    "Bodies of webhooks: only the ids in them are kept.",
    "Profiles, scores, or decisions made by a machine alone about the person: none are made.",
)


@dataclass(frozen=True, slots=True)
class Customer:
    """The order a customer is known by here, and what its objects are called."""

    shop: str
    order_id: str
    order_state: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did; ``history_events`` hold the customer's words in a text that cannot change."""

    shop: str
    order_id: str
    is_first: bool
    personal_objects: int
    payloads: int
    extract_files: int
    writes: int
    exceptions: int
    history_events: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What the upkeep ended: personal fields whose time was over, extract files, and erasures that are settled now."""

    personal_objects: int
    extract_files: int
    erasures: int
    landing_files: int


def find_customer(app: App, reference: str, shop: str | None) -> Customer:
    """Find the one order that has a number, or that it belongs to; BadArgument where there is none, or more than one."""
    reference = reference.strip()
    wanted = app.shop(shop).name if shop is not None else None
    known = app.con.execute("SELECT shop, order_id FROM lake.core.mirakl__orders WHERE order_id = ?", [reference])
    orders = {(of_shop, order_id) for of_shop, order_id in known.fetchall() if wanted in (None, of_shop)}
    if not orders:
        found = trace.find(app.con, reference)
        orders = {(each.shop, each.order_id) for each in found if wanted in (None, each.shop)}
    if not orders:  # its personal fields came, and the order itself not yet
        named = [object_name("mirakl", "order", reference), order_name(reference)]
        orders = {(each.shop, reference) for each in app.lake.personal.held(wanted, named)}
        orders |= {(each.shop, reference) for each in app.lake.personal.erasures(wanted) if each.order_id == reference}
    if not orders:
        raise BadArgument(
            f"{reference!r} is no order, or number of an order, that was read so far of {wanted or 'any shop'}"
        )
    if len(orders) > 1:
        listed = ", ".join(f"{order_id} of {of_shop}" for of_shop, order_id in sorted(orders))
        raise BadArgument(
            f"{reference!r} belongs to {len(orders)} orders ({listed}): give the order's own id, and --shop"
        )
    ((of_shop, order_id),) = orders
    state = app.con.execute(
        "SELECT order_state FROM lake.core.mirakl__orders WHERE shop = ? AND order_id = ?", [of_shop, order_id]
    ).fetchone()
    objects = {object_name(*each) for each in trace.objects(app.con, of_shop, order_id)}
    names = objects | {order_name(order_id), object_name("mirakl", "order", order_id)}
    return Customer(of_shop, order_id, state[0] if state else "", frozenset(names))


def export(app: App, customer: Customer, *, by: str, note: str) -> dict[str, Any]:
    """Return everything that is held about the customer of an order, and what is not; the history has it first, with who and why.

    Raises:
        BadArgument: nobody is named, or no reason.
    """
    by, note = _said("exporting", by, note)
    shop, order_id = customer.shop, customer.order_id
    app.ledger.note_disclosed([(shop, order_id)], EXPORTED, by=by, note=note)
    store = app.lake.personal
    numbers = _numbers(app.con, shop, order_id, customer.names)
    return {
        "shop": shop,
        "order_id": order_id,
        "exported_at": app.clock.now(),
        "erased_at": min((each.erased_at for each in store.erasures(shop) if each.order_id == order_id), default=None),
        "personal": [
            {
                "source": row.source,
                "object_type": row.object_type,
                "object_id": row.object_id,
                "fetched_at": row.fetched_at,
                "fields": msgspec.json.decode(row.fields),
            }
            for row in store.held(shop, customer.names)
        ],
        "order": trace.rows_of(app.con, shop, order_id),
        "writes": app.ledger.intents(shop=shop, order_id=order_id),
        "exceptions": app.ledger.exceptions_of_order(shop, order_id, numbers),
        "history": app.ledger.history(shop, order_id, numbers),
        "not_held": list(NOT_HELD),
    }


def refuse_on_its_way(app: App, customer: Customer) -> None:
    """Raise BadArgument while the warehouse still needs the customer's address."""
    pending = app.ledger.intents(
        shop=customer.shop, order_id=customer.order_id, kinds=[WriteKind.CREATE_WAREHOUSE_ORDER], states=_ON_ITS_WAY
    )
    if customer.order_state in NOT_LEFT or pending:
        raise BadArgument(
            f"order {customer.order_id} of {customer.shop} is still to be sent ({customer.order_state or 'not read yet'}): the "
            "warehouse needs its address. Erase it when it has left or is cancelled; --force erases it now, and it cannot be sent"
        )


def preview(app: App, customer: Customer) -> list[PersonalRow]:
    """Return the personal fields that an erasure would delete."""
    return app.lake.personal.held(customer.shop, customer.names)


def erase(app: App, customer: Customer, *, by: str, note: str, run_id: str) -> Erased:
    """Erase the customer of an order; may be done again, and by two at once.

    Raises:
        BadArgument: nobody is named, or no reason.
        LakeBusy, LedgerBusy: others hold them; do it again to finish.
    """
    by, note = _said("erasing", by, note)
    shop, order_id = customer.shop, customer.order_id
    store = app.lake.personal
    words = _words(store.held(shop, customer.names))
    redacted = app.ledger.redact(shop, order_id, words, _numbers(app.con, shop, order_id, customer.names))
    extracts = blank_erased(app, shop, customer.names)
    deleted = store.erase(shop, order_id, customer.names, app.clock.now())
    payloads = cut_landed_down(app.lake, app.con, shop, customer.names, run_id=run_id)
    facts = {
        "personal_objects": deleted,
        "payloads": payloads,
        "extract_files": extracts,
        "writes": redacted.intents,
        "exceptions": redacted.exceptions,
        "note": audit.words(without(note, words)),
    }
    is_first = app.ledger.note_erasure(shop, order_id, by, facts)
    return Erased(
        shop,
        order_id,
        is_first,
        personal_objects=deleted,
        payloads=payloads,
        extract_files=extracts,
        writes=redacted.intents,
        exceptions=redacted.exceptions,
        history_events=redacted.history,
    )


def erase_again(lake: Lake, ledger: Ledger, backed_up: PersonalStore, *, run_id: str) -> int:
    """Erase from a restored ledger and lake whom they show again; return the orders. ``backed_up`` is the backup's own store."""
    by_order: dict[tuple[str, str], set[str]] = {}
    for each in lake.personal.erasures():
        by_order.setdefault((each.shop, each.order_id), set()).add(each.name)
    con = lake.connect()
    try:
        for (shop, order_id), names in by_order.items():
            words = _words(backed_up.held(shop, names))
            redacted = ledger.redact(shop, order_id, words, _numbers(con, shop, order_id, names))
            cut_landed_down(lake, con, shop, names, run_id=run_id)
            facts = {
                "writes": redacted.intents,
                "exceptions": redacted.exceptions,
                "note": "erased again after a restore",
            }
            ledger.note_erasure(shop, order_id, "restore", facts)
    finally:
        con.close()
    return len(by_order)


def end_what_is_over(app: App, *, run_id: str, say: Say) -> Ended:
    """Delete personal fields whose time is over, and finish the erasures whose words may still be in old files.

    Raises:
        LakeBusy: others hold the lake; what was done before stays done.
    """
    say("personal fields whose time is over")
    fields = sum(app.lake.personal.forget(_due(app, *kind)) for kind in app.lake.personal.kinds())
    extracts = end_old(app)
    open_erasures = [each for each in app.lake.personal.erasures() if not each.is_settled]
    files = 0
    if open_erasures:
        say("old files that may hold what was erased")
        for lake in (app.lake, *_replaced_lakes(app.settings.data_dir)):
            con = lake.connect()
            try:
                for shop in sorted({each.shop for each in open_erasures}):
                    names = {each.name for each in open_erasures if each.shop == shop}
                    cut_landed_down(lake, con, shop, names, run_id=run_id)
                files += forget_past(lake, con)
            finally:
                con.close()
        for shop in sorted({each.shop for each in open_erasures}):
            blank_erased(app, shop, {each.name for each in open_erasures if each.shop == shop})
        if app.ledger.empty_log():
            app.lake.personal.settle(open_erasures, app.clock.now())
    return Ended(fields, extracts, len({(each.shop, each.order_id) for each in open_erasures}), files)


def _due(app: App, shop: str, source: str, object_type: str) -> list[PersonalRow]:
    """Return the personal fields of a kind of object whose time is over."""
    days, now = app.settings.privacy, app.clock.now()
    older = app.lake.personal.older(shop, source, object_type, now - _kept_for(days, source, object_type))
    if (source, object_type) != ("mirakl", "order") or not older:
        return older
    given = pa.table({"object_id": [row.object_id for row in older]})
    con = app.lake.connect()
    try:
        con.register("asked", given)
        ended = con.execute(
            """
            SELECT order_id FROM lake.core.mirakl__orders AS o SEMI JOIN asked ON asked.object_id = o.order_id
            WHERE o.shop = $shop AND list_contains($ended, o.order_state) AND o.updated_at < $before
            """,
            {"shop": shop, "ended": list(_ENDED), "before": now - timedelta(days=days.order_days)},
        ).fetchall()
    finally:
        con.close()
    over = {order_id for (order_id,) in ended}
    forgotten_by = now - timedelta(days=days.open_order_days)
    return [row for row in older if row.object_id in over or row.fetched_at < forgotten_by]


def _kept_for(days: PrivacySettings, source: str, object_type: str) -> timedelta:
    """Return how long the personal fields of a kind are kept at the least, from when they were fetched."""
    if (source, object_type) == ("mirakl", "order"):
        return timedelta(days=min(days.order_days, days.open_order_days))
    return timedelta(days=days.return_days if object_type == "return" else days.other_days)


def _replaced_lakes(data_dir: Path) -> list[Lake]:
    """Return the lakes that restores have put aside."""
    folders = [path / FOLDER for path in sorted(data_dir.glob("replaced-*")) if (path / FOLDER / CATALOG_FILE).exists()]
    return [Lake(folder.resolve(), storage=str(folder.resolve() / FILES_FOLDER)) for folder in folders]


def _numbers(con: DuckDBPyConnection, shop: str, order_id: str, names: Collection[str]) -> dict[str, set[str]]:
    """Return the ids of an order's parts by their names in an exception's entity; ``names`` tell its returns on platforms."""
    parts = [name.split("/", 2) for name in names]
    of_platforms = {part[2] for part in parts if len(part) == 3 and part[1] == "return" and part[0] != "mirakl"}
    return {**trace.numbers(con, shop, order_id), "platform_return_id": of_platforms}


def _words(rows: Sequence[PersonalRow]) -> frozenset[str]:
    """Return what may name the customer in a text: names, mail, phone, street; too short a word would hit others."""
    return frozenset(
        value.strip()
        for row in rows
        for name, value in row.leaves.items()
        if isinstance(value, str)
        and len(value.strip()) >= _WORD_CHARS_MIN
        and any(part in name.rsplit(".", 1)[-1].casefold() for part in _OF_A_PERSON)
    )


def _said(what: str, by: str, note: str) -> tuple[str, str]:
    """Return who and why, one line each."""
    by, note = " ".join(by.split()), " ".join(note.split())
    if not by or not note:
        raise BadArgument(
            f"{what} needs --by, the name of who decided, and --note, the reason: both stay in the history"
        )
    return by, note


def write_private(path: Path, document: bytes) -> None:
    """Write a new file that only its owner can read; BadArgument where there is one already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadArgument(f"{path} is there already: name a new file") from None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadArgument(f"{path}: there is no folder for it: name a file in a folder that is there") from None
    with os.fdopen(handle, "wb") as file:
        file.write(document)
