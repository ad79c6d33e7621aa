"""``check``: the system audit, both sides, each gap with its fix (R116)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from marketplace_returns.cli.context import opened, run_id, shops
from marketplace_returns.cli.output import Output, table
from marketplace_returns.cli.serve import WORKSPACE
from marketplace_returns.cli.work import JsonOption, ShopOption
from marketplace_returns.orchestration.audit import Audit, inspect


def check(
    shop: ShopOption = None,
    notes: bool = typer.Option(False, "--notes", help="Show also what is no gap but worth knowing."),
    as_json: JsonOption = False,
) -> int:
    """Audit settings, mappings, permissions, reasons, carriers, platform flags, catalogue, clocks and key rights; reads only."""
    output = Output(as_json=as_json)
    audits: list[Audit] = []
    with opened() as app:
        for name in shops(app, shop):
            with output.progress(name) as step:
                audits.append(
                    inspect(
                        app,
                        name,
                        run_id=run_id("check"),
                        dagster_home=Path.cwd() if WORKSPACE.exists() else None,
                        on_progress=lambda words, step=step: step(words, None),  # type: ignore[misc]
                    )
                )
    output.show({"audits": [_document(audit) for audit in audits]}, lambda page: _render(page, audits, notes=notes))
    return 1 if any(audit.gaps for audit in audits) else 0


def _document(audit: Audit) -> dict[str, Any]:
    return {
        "shop": audit.shop,
        "inspected_at": audit.inspected_at,
        "areas": dict(audit.areas),
        "gaps": [each for each in audit.findings if each.is_gap],
        "notes": [each for each in audit.findings if not each.is_gap],
    }


def _render(page: Console, audits: list[Audit], *, notes: bool) -> None:
    for audit in audits:
        shown = audit.findings if notes else audit.gaps
        if shown:
            page.print(
                table(
                    f"{audit.shop}: what the audit found",
                    ("severity", "area", "finding", "fix"),
                    [(each.level, each.area, each.finding, each.fix) for each in shown],
                    wrap=("finding", "fix", "area"),
                )
            )
        clean = [area for area, gaps in audit.areas.items() if not gaps]
        if clean:
            page.print(f"\nNo gap in: {', '.join(clean)}.")
        hidden = len(audit.findings) - len(shown)
        page.print(
            f"\n{audit.shop}: {len(audit.gaps)} gaps"
            + (f", {hidden} notes ('check --notes' shows them)." if hidden else ".")
        )
