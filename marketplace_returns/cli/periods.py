"""``close``, ``sign`` and ``reopen``: a month's way from open to locked, each step with the name of the one who takes it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from marketplace_returns.cli.context import month_of, opened, run_id
from marketplace_returns.cli.month import MonthOption, in_words, is_proven, verdict
from marketplace_returns.cli.output import Output, moment, table
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.ledger.periods import Period
from marketplace_returns.orchestration import month as months

OneShop = Annotated[str, typer.Option("--shop", help="Name of the shop as in the settings.")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does this.")]


def close(month: MonthOption, shop: OneShop, by: ByOption, as_json: JsonOption = False) -> int:
    """Close a month for review: make it, prove it, keep its pack as evidence; exits 1 while a proof fails."""
    output = Output(as_json=as_json)
    wanted = month_of(month)
    with opened() as app, output.progress(shop) as step:
        app.shop(shop)
        step(f"closing {wanted}", None)
        closed, period = months.prepare(app, shop, wanted, by=by, run_id=run_id("close"))
        folder = months.evidence(app, shop, wanted)

    def render(page: Console) -> None:
        rows = [(each.id, verdict(each), in_words(each)) for each in closed.checks]
        page.print(table(f"{shop} {wanted}: proofs", ("id", "result", "what it says"), rows, wrap=("what it says",)))
        page.print(f"\n{_sentence(period)} Evidence: {folder}. Somebody else signs it with 'sign'.")

    output.show({"period": _document(period), "evidence": folder, "checks": list(closed.checks)}, render)
    return 0 if is_proven(closed) else 1


def sign(
    month: MonthOption,
    shop: OneShop,
    by: ByOption,
    reason: Annotated[str, typer.Option("--reason", help="Why it is signed though proofs fail.")] = "",
    as_json: JsonOption = False,
) -> int:
    """Sign a month in review, not by the one who closed it; sign it once more to lock it."""
    output = Output(as_json=as_json)
    with opened() as app, output.progress(shop) as step:
        app.shop(shop)
        step(f"reading {month} as it was closed", None)
        period = months.sign(app, shop, month_of(month), by=by, reason=reason)
    output.show({"period": _document(period)}, lambda page: page.print(_sentence(period)))
    return 0


def reopen(
    month: MonthOption,
    shop: OneShop,
    by: ByOption,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the ledger.")],
    as_json: JsonOption = False,
) -> int:
    """Open a month again that was closed, signed or locked."""
    output = Output(as_json=as_json)
    with opened() as app:
        app.shop(shop)
        period = months.reopen(app, shop, month_of(month), by=by, reason=reason)
    output.show({"period": _document(period)}, lambda page: page.print(_sentence(period)))
    return 0


def _sentence(period: Period) -> str:
    said = f"{period.month} of {period.shop} is {period.state}"
    if period.prepared_at is not None and period.lake_snapshot:
        said += f", closed by {period.prepared_by} at {moment(period.prepared_at)} UTC"
    if period.approved_at is not None:
        said += f", signed by {period.approved_by} at {moment(period.approved_at)} UTC"
    return f"{said}: {period.reason}." if period.reason else f"{said}."


def _document(period: Period) -> dict[str, Any]:
    return {
        "shop": period.shop,
        "month": str(period.month),
        "state": str(period.state),
        "prepared_by": period.prepared_by,
        "prepared_at": period.prepared_at,
        "approved_by": period.approved_by,
        "approved_at": period.approved_at,
        "lake_snapshot": period.lake_snapshot,
        "manifest_hash": period.manifest_hash,
        "reason": period.reason,
    }
