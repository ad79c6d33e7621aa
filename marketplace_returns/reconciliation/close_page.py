"""The close on one plain HTML page, for people who have no Dagster: proofs, totals, pictures, payouts, what is open and whose it is.

Here: what the page says of a month, from the tables of the pack. Not here: how it looks (``close.html.j2``), or figures of its own.
The invariant: one file that loads nothing and runs nothing; every text is escaped; the same month gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.money import amount_text
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.metrics import Figure

if TYPE_CHECKING:
    from datetime import datetime

    from duckdb import DuckDBPyConnection

PACKAGE: Final = "marketplace_returns.reconciliation"
VARIANCES_MAX: Final = 20
"""The largest variances that the page names; the tables have all."""
_LOOKS: Final = {
    "PROVEN": "good",
    "VARIANCE": "bad",
    "SIGNED": "good",
    "LOCKED": "good",
    "OPEN": "wait",
    "REVIEW": "wait",
}
# The shop's currency comes first, a stray one after it.
_MAIN_FIRST: Final = """currency <> (
    SELECT currency FROM shown_control_roll_forward WHERE shop = $shop GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1
), currency"""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, and how it looks where it is a word that is good or bad."""

    text: str
    look: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table on the page."""

    cells: tuple[Cell, ...]
    is_total: bool = False


@dataclass(frozen=True, slots=True)
class TableOnPage:
    """A titled table; columns are (name, is a number). The picture is base64."""

    title: str
    columns: tuple[tuple[str, bool], ...] = ()
    rows: tuple[Row, ...] = ()
    note: str = ""
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One figure at the top of the page."""

    figure: str
    caption: str


@dataclass(frozen=True, slots=True)
class ProofOnPage:
    """A proof as the page shows it."""

    id: str
    result: str
    message: str
    look: str


@dataclass(frozen=True, slots=True)
class ShopPage:
    """What the page says of one shop's month."""

    shop: str
    state: str
    state_look: str
    prepared: str
    approved: str
    snapshot: str
    proofs: tuple[ProofOnPage, ...]
    failing: tuple[str, ...]
    held: int
    cards: tuple[Card, ...]
    metrics: tuple[Card, ...]
    tables: tuple[TableOnPage, ...]


def close_page(
    con: DuckDBPyConnection,
    shops: Sequence[str],
    month: Month,
    *,
    proofs: Sequence[tuple[str, str, str, str]],
    metrics: Mapping[str, Sequence[Figure]],
    pictures: Mapping[str, Mapping[str, bytes]],
    made_with: Mapping[str, str],
) -> str:
    """Return the page of a month; ``pack.show_month`` comes first.

    Args:
        con: has the month's tables as ``shown_<table>``.
        shops: in the order in which they stand on the page.
        month: the accounting month.
        proofs: (shop, invariant, PROVEN or VARIANCE or NO DATA, what it says).
        metrics: the reviewer metrics by shop (``metrics.figures``).
        pictures: by shop, and by the table that they stand beside.
        made_with: by shop, in words; a shop that is not in it names nothing.
    """
    # As drawing is: only an export should pay for loading it.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string(resources.files(PACKAGE).joinpath("close.html.j2").read_text(encoding="utf-8"))
    pages = [
        _page(con, shop, [proof[1:] for proof in proofs if proof[0] == shop], metrics[shop], pictures.get(shop, {}))
        for shop in shops
    ]
    return template.render(month=str(month), pages=pages, made_with=made_with)


def _page(
    con: DuckDBPyConnection,
    shop: str,
    proofs: Sequence[tuple[str, str, str]],
    metrics: Sequence[Figure],
    pictures: Mapping[str, bytes],
) -> ShopPage:
    (state, prepared_by, prepared_at, approved_by, approved_at, snapshot) = con.execute(
        "SELECT state, prepared_by, prepared_at, approved_by, approved_at, lake_snapshot FROM shown_sign_off WHERE shop = $shop",
        {"shop": shop},
    ).fetchone() or ("OPEN", "", None, "", None, "")
    return ShopPage(
        shop=shop,
        state=state,
        state_look=_LOOKS.get(state, ""),
        prepared=_signed(prepared_by, prepared_at),
        approved=_signed(approved_by, approved_at),
        snapshot=snapshot or "",
        proofs=tuple(
            ProofOnPage(name, result, says.removeprefix(f"{name}: "), _LOOKS.get(result, ""))
            for name, result, says in proofs
        ),
        failing=tuple(name for name, result, _ in proofs if result == "VARIANCE"),
        held=sum(result == "PROVEN" for _, result, _ in proofs),
        cards=tuple(_cards(con, shop)),
        metrics=tuple(Card(each.figure, f"{each.name}: {each.says}") for each in metrics),
        tables=(
            _payouts(con, shop),
            _control_account(con, shop, _inline(pictures, "control_roll_forward")),
            _variances(con, shop, _inline(pictures, "aged_unmatched")),
            _ages(con, shop, _inline(pictures, "refund_accrual_bridge")),
            TableOnPage("Refunds by verdict", picture=_inline(pictures, "refund_three_way")),
            TableOnPage("Returns by week", picture=_inline(pictures, "returns_by_week")),
        ),
    )


def _cards(con: DuckDBPyConnection, shop: str) -> list[Card]:
    cards = []
    for table, component, caption in (
        ("control_roll_forward", "closing", "owed by the marketplace at the month's end"),
        ("reserve_roll_forward", "closing", "held back in its reserve at the month's end"),
        ("control_roll_forward", "payout", "paid out in the month"),
    ):
        for currency, amount in _asked(
            con,
            f"SELECT currency, amount_minor FROM shown_{table} WHERE shop = $shop AND component = $component ORDER BY {{main_first}}",
            {"shop": shop, "component": component},
        ):
            cards.append(Card(amount_text(-amount if component == "payout" else amount, currency), caption))
    return cards


def _payouts(con: DuckDBPyConnection, shop: str) -> TableOnPage:
    rows = _asked(
        con,
        """SELECT currency, billing_cycle_id, strftime(date_created, '%Y-%m-%d'), status, pay_out_state, statement_amount_minor,
            ledger_amount_minor, payment_amount_minor, difference_minor
        FROM shown_payout_proof WHERE shop = $shop ORDER BY {main_first}, date_created, billing_cycle_id""",
        {"shop": shop},
    )
    return TableOnPage(
        "Payouts",
        _columns("closed", "result", "cycle", "state", "statement#", "log#", "payment#", "difference#"),
        tuple(
            Row(
                (
                    Cell(closed),
                    Cell(status, _LOOKS.get(status, "")),
                    *map(Cell, (cycle, state)),
                    *(Cell(amount_text(amount, currency)) for amount in amounts),
                )
            )
            for currency, cycle, closed, status, state, *amounts in rows
        ),
        note="" if rows else "No payout cycle is dated in this month.",
    )


def _control_account(con: DuckDBPyConnection, shop: str, picture: str) -> TableOnPage:
    rows = _asked(
        con,
        "SELECT currency, component, amount_minor FROM shown_control_roll_forward WHERE shop = $shop ORDER BY {main_first}, row_no",
        {"shop": shop},
    )
    return TableOnPage(
        "What the marketplace owes, from opening to closing",
        _columns("component", "amount#"),
        tuple(
            Row((Cell(component), Cell(amount_text(amount, currency))), is_total=component in {"opening", "closing"})
            for currency, component, amount in rows
        ),
        picture=picture,
    )


def _variances(con: DuckDBPyConnection, shop: str, picture: str) -> TableOnPage:
    rows = _asked(
        con,
        """SELECT currency, kind, reference, amount_minor, age_days, owner FROM shown_aged_unmatched
        WHERE shop = $shop AND NOT is_in_time(kind) ORDER BY abs(amount_minor) DESC, {main_first}, kind, reference""",
        {"shop": shop},
    )
    note = (
        f"The {VARIANCES_MAX} largest of {len(rows):,}; aged_unmatched.csv has all."
        if len(rows) > VARIANCES_MAX
        else ""
    )
    return TableOnPage(
        "Largest variances",
        _columns("code", "amount#", "days#", "owner", "reference"),
        tuple(
            Row(tuple(map(Cell, (kind, amount_text(amount, currency), str(days), owner, reference))))
            for currency, kind, reference, amount, days, owner in rows[:VARIANCES_MAX]
        ),
        note=note or ("" if rows else "Nothing is unmatched but by time."),
        picture=picture,
    )


def _ages(con: DuckDBPyConnection, shop: str, picture: str) -> TableOnPage:
    rows = _asked(
        con,
        """SELECT currency, bucket, owner, count(*), CAST(sum(abs(amount_minor)) AS BIGINT)
        FROM shown_aged_unmatched WHERE shop = $shop GROUP BY currency, bucket, owner ORDER BY max(age_days) DESC, {main_first}, owner""",
        {"shop": shop},
    )
    return TableOnPage(
        "Open items by age and owner",
        _columns("days", "owner", "rows#", "amount#"),
        tuple(
            Row(tuple(map(Cell, (bucket, owner, f"{count:,}", amount_text(amount, currency)))))
            for currency, bucket, owner, count, amount in rows
        ),
        note="" if rows else "Nothing is open.",
        picture=picture,
    )


def _asked(con: DuckDBPyConnection, query: str, bound: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return con.execute(query.format(main_first=_MAIN_FIRST), dict(bound)).fetchall()


def _columns(*names: str) -> tuple[tuple[str, bool], ...]:
    """Return the columns; a ``#`` at the end of a name says that it is a number."""
    return tuple((name.removesuffix("#"), name.endswith("#")) for name in names)


def _signed(by: str | None, at: datetime | None) -> str:
    return f"{by} on {at:%Y-%m-%d %H:%M} UTC" if by and at else by or ""


def _inline(pictures: Mapping[str, bytes], table: str) -> str:
    return base64.b64encode(pictures.get(table, b"")).decode()
