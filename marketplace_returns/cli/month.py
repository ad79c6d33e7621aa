"""``reconcile`` and ``export``: the month-end tables, their proofs, and the pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from marketplace_returns.cli.context import month_of, opened, run_id, shops
from marketplace_returns.cli.output import Output, amount, table
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.orchestration.month import ClosedMonth, close, export_pack
from marketplace_returns.reconciliation.invariants import CheckResult

MonthOption = Annotated[str, typer.Option("--month", help="The month, such as 2026-10.")]


def reconcile(month: MonthOption, shop: ShopOption = None, as_json: JsonOption = False) -> int:
    """Make the month-end tables and print the proofs; exits 1 while a proof fails or a payout is unproven."""
    output = Output(as_json=as_json)
    wanted = month_of(month)
    closed: dict[str, ClosedMonth] = {}
    with opened() as app:
        for name in shops(app, shop):
            with output.progress(name) as step:
                step(f"closing {wanted}", None)
                closed[name] = close(app, name, wanted, run_id=run_id("reconcile"))
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
    out: Annotated[Path, typer.Option("--out", help="Folder for the pack; made where it is not there.")],
    shop: ShopOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write the month-end pack: a CSV per table, one workbook, and a manifest with hashes."""
    output = Output(as_json=as_json)
    wanted = month_of(month)
    with opened() as app, output.progress("export") as step:
        step(f"writing the pack of {wanted}", None)
        manifest = export_pack(app, shops(app, shop), wanted, out)
    output.show(
        {"folder": out, "manifest": manifest},
        lambda page: page.print(
            table(
                f"Month-end pack {month} in {out}",
                ("file", "rows", "sha256"),
                [(file.name, file.rows or "", file.sha256[:16]) for file in manifest.files],
                right=("rows",),
            )
        ),
    )
    return 0


def _render_months(page: Console, closed: dict[str, ClosedMonth]) -> None:
    for name, done in closed.items():
        render_month(page, name, done)


def render_month(page: Console, shop: str, done: ClosedMonth) -> None:
    """Draw the proofs of a month: checks, payouts, and what each table holds."""
    page.print(
        table(
            f"{shop} {done.result.month}: proofs",
            ("check", "verdict", "difference", "rows checked", "in words"),
            [(check.id, verdict(check), difference(check), check.checked, check.message) for check in done.checks],
            right=("difference", "rows checked"),
        )
    )
    page.print(
        table(
            f"{shop} {done.result.month}: tables",
            ("table", "rows", "codes"),
            [
                (name, rows_, ", ".join(f"{code} {count}" for code, count in done.result.codes.get(name, {}).items()))
                for name, rows_ in done.result.rows.items()
            ],
            right=("rows",),
        )
    )


def verdict(check: CheckResult) -> str:
    """Say in a word how a check ended."""
    if not check.has_data:
        return "no data"
    return "[green]holds[/]" if check.ok else "[red]FAILS[/]"


def difference(check: CheckResult) -> str:
    """Write a check's difference by currency; 0.00 where it is none."""
    return ", ".join(amount(minor, currency) for currency, minor in check.difference_minor.items()) or "0"
