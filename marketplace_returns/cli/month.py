"""``reconcile`` and ``export``: the month-end tables, their proofs, and the pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from marketplace_returns.cli.context import month_of, opened, run_id, shops
from marketplace_returns.cli.output import Output, amount, cell, moment, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.errors import BadArgument
from marketplace_returns.lake.tables import Kind
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.month import ClosedMonth, TableView, close, export_pack, unread_streams
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.reconciliation.invariants import COUNTED, CheckResult, counted

ID_SHOWN: Final = 8
"""Characters of a payout's id that people are shown: enough to find it."""
_PAYOUT_HEADS: Final = {
    "billing_cycle_id": "cycle",
    "date_created": "day",
    "statement_amount": "statement",
    "ledger_amount": "booked",
    "payment_amount": "paid",
}
MonthOption = Annotated[str, typer.Option("--month", help="The month, such as 2026-10.")]


def reconcile(month: MonthOption, shop: ShopOption = None, as_json: JsonOption = False) -> int:
    """Make the month-end tables and print the proofs; exits 1 while a proof fails or a payout is unproven."""
    output = Output(as_json=as_json)
    wanted = month_of(month)
    closed: dict[str, ClosedMonth] = {}
    with opened() as app:
        for name in shops(app, shop):
            _refuse_unread(app, name, wanted)
            with output.progress(name) as step:
                step(f"closing {wanted}", None)
                closed[name] = close(app, name, wanted, run_id=run_id("reconcile"))
            unread = unread_streams(app, name, wanted)
            if unread:
                output.say(f"{name}: {wanted} was not read to its end yet by {', '.join(unread)}; it is not final.")
    output.show(
        {
            "month": month,
            "shops": [
                {"shop": name, "rows": done.result.rows, "codes": done.result.codes, "checks": list(done.checks)}
                for name, done in closed.items()
            ],
        },
        lambda page: _render_months(page, closed),
    )
    return 0 if all(is_proven(done) for done in closed.values()) else 1


def is_proven(done: ClosedMonth) -> bool:
    """Tell whether every identity of a month holds and no payout varies."""
    return all(check.ok for check in done.checks) and not done.result.codes.get("payout_proof", {}).get("VARIANCE")


def export(
    month: MonthOption,
    out: Annotated[str, typer.Option("--out", help="Folder for the pack; made where it is not there.")],
    shop: ShopOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write the month-end pack: a CSV per table, one workbook, the close on one page, and a manifest with hashes."""
    output = Output(as_json=as_json)
    wanted = month_of(month)
    folder = _make_folder(out)
    with opened() as app, output.progress("export") as step:
        step(f"writing the pack of {wanted}", None)
        manifest = export_pack(app, shops(app, shop), wanted, folder)
    output.show(
        {"folder": folder, "manifest": manifest},
        lambda page: page.print(
            table(
                f"Month-end pack {month} in {folder}",
                ("file", "rows", "sha256"),
                [
                    (file.name, file.rows if file.name.endswith(".csv") else "", file.sha256[:16])
                    for file in manifest.files
                ],
                right=("rows",),
            )
        ),
    )
    return 0


def _refuse_unread(app: App, shop: str, month: Month) -> None:
    """Raise BadArgument for a month of which nothing can have been read: its tables would be empty, not proven."""
    start, _ = month_bounds(month, app.shop(shop).time_zone)
    read_at = max((at for at, _ in app.ledger.cursors(shop).values()), default=None)
    if read_at is not None and read_at <= start:
        raise BadArgument(
            f"--month {month}: {shop} was read up to {moment(read_at)} UTC only, so this month holds no data: "
            "give an earlier month, or read on with 'sync'"
        )


def _make_folder(out: str) -> Path:
    if not out.strip():
        raise BadArgument("--out is empty: name a folder for the pack, such as pack (or . for this one)")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise BadArgument(f"--out {folder}: no folder can be made there ({refused.strerror}): give another") from None
    return folder


def _render_months(page: Console, closed: dict[str, ClosedMonth]) -> None:
    for name, done in closed.items():
        render_month(page, name, done)


def render_month(page: Console, shop: str, done: ClosedMonth) -> None:
    """Draw the proofs of a month: checks, payouts, and what each table holds."""
    page.print(
        table(
            f"{shop} {done.result.month}: proofs",
            ("check", "verdict", "difference", "rows", "in words"),
            [(check.id, verdict(check), difference(check), check.checked, in_words(check)) for check in done.checks],
            right=("difference", "rows"),
            wrap=("in words",),
        )
    )
    page.print(
        table(
            f"{shop} {done.result.month}: tables",
            ("table", "rows", "codes"),
            [
                (name, rows_, ", ".join(f"{code or 'as it should be'} {n}" for code, n in codes_of(done, name)))
                for name, rows_ in done.result.rows.items()
            ],
            right=("rows",),
            wrap=("codes",),
        )
    )


def render_payouts(page: Console, payouts: TableView, currency: str) -> None:
    """Draw the month's payouts: what was stated, booked and paid, the difference and whether it is proven."""
    shown = [
        (position, name)
        for position, name in enumerate(payouts.columns)
        if name not in {"shop", "currency", "pay_out_state"}
    ]
    page.print(
        table(
            f"Payouts ({currency})",
            [_PAYOUT_HEADS.get(name, name) for _, name in shown],
            [
                [
                    str(row[position])[:ID_SHOWN]
                    if name == "billing_cycle_id"
                    else cell(row[position], payouts.kinds[name], currency)
                    for position, name in shown
                ]
                for row in payouts.rows
            ],
            right=[_PAYOUT_HEADS.get(name, name) for _, name in shown if payouts.kinds[name] is Kind.MONEY],
        )
    )


def codes_of(done: ClosedMonth, name: str) -> list[tuple[str, int]]:
    """Return the codes of a table and how many rows have each, the most frequent first."""
    return sorted(done.result.codes.get(name, {}).items(), key=lambda found: (-found[1], found[0]))


def in_words(check: CheckResult) -> str:
    """Return what a check says, without its id, which has a column of its own."""
    return check.message.removeprefix(f"{check.id}: ")


def verdict(check: CheckResult) -> Text:
    """Say in a word how a check ended."""
    if not check.has_data:
        return Text("no data")
    return Text("holds", "green") if check.ok else Text("FAILS", "red")


def difference(check: CheckResult) -> str:
    """Write a check's difference by currency, or as a count; 0 where it is none."""
    if check.difference_minor and check.id in COUNTED:
        return counted(sum(check.difference_minor.values()), COUNTED[check.id])
    return ", ".join(amount(minor, currency) for currency, minor in check.difference_minor.items()) or "0"
