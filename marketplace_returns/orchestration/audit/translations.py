"""Mappings: does every outside word have its translation, and does every translation exist on the other side.

Here: the gaps of ``translations.sql`` in words, and accounting systems that cannot hold the shop's currency or would take its
VAT twice. Not here: reading the tables (``mappings``), which refuses a bad one at start.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from marketplace_returns.lake.connection import one_snapshot
from marketplace_returns.lake.sql import statement
from marketplace_returns.monitoring import look
from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level
from marketplace_returns.reconciliation.journals import INCOME, cannot_hold, taxes_wrongly
from marketplace_returns.sources.platforms import PLATFORMS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import JournalTarget, LedgerAccount

_finding = partial(Finding, area="mappings")

# problem: (level, what is wrong, how it is mended); {0} and {1} are the parts of the row's detail.
_WORDS: Final = MappingProxyType(
    {
        "reason_unmapped": (
            Level.CRITICAL,
            "{subject}: the marketplace's reason ({0}) has no row, so what comes with it is held.",
            "Add a row to reasons.csv: mirakl,<code>,<flow>,{1},<target code>.",
        ),
        "target_unknown": (
            Level.CRITICAL,
            "{subject}: the marketplace does not list this code (RE01), so writes with it are refused. It is used for {0}.",
            "Change target_code in reasons.csv to a code that RE01 lists.",
        ),
        "target_not_sellers": (
            Level.CRITICAL,
            "{subject}: a seller may not use this code (RE01). It is used for {0}.",
            "Change target_code in reasons.csv to a code the seller has the right to.",
        ),
        "carrier_unknown": (
            Level.CRITICAL,
            "{subject}: the marketplace does not list this carrier (SH21), so despatches of {0} are refused.",
            "Change carrier_code in carriers.csv to one that SH21 lists.",
        ),
        "carrier_untargeted": (
            Level.NOTE,
            "No row of {subject} leads to these registered carriers: {0}.",
            "None needed while they are not used.",
        ),
        "verdict_unmapped": (
            Level.HIGH,
            "{subject}: this outcome of an inspection has no code in {0}, so it cannot be reported.",
            "Add a row to reasons.csv: <system>,<disposition>,report_compliance,{0},<target code>.",
        ),
        "table_empty": (
            Level.CRITICAL,
            "{subject} has no row for {0}: nothing it says can be understood.",
            "Add its words to the table.",
        ),
        "rate_missing": (
            Level.MEDIUM,
            "{subject} has no rate for this shop, so commission cannot be checked.",
            "Add the contract's rates, with the day they begin.",
        ),
        "valid_later": (
            Level.HIGH,
            "{subject}: its only row is valid from {0} on; until then it counts as unmapped.",
            "Set valid_from to today or leave it empty, where it shall count now.",
        ),
        "seen_unmapped": (
            Level.HIGH,
            "{subject} was seen {0} times (such as {1}) and is in no row.",
            "Add it to the table; what was held goes on at the next pass.",
        ),
        "unused": (Level.NOTE, "{0} codes of {subject} were never seen, such as {1}.", "Review them once a month."),
    }
)


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find words without a translation and translations into nothing."""
    shop = inspection.shop
    now = inspection.app.clock.now()
    for problem, subject, detail in _rows(inspection.con, inspection):
        level, what, fix = _WORDS[problem]
        first, _, second = str(detail).partition("|")
        if (
            problem == "reason_unmapped"
            and subject.startswith("create_return")
            and shop.policy.reason_unmapped_return == "fallback"
        ):
            level = Level.MEDIUM  # C2: created with the table's `*` row, and an exception
        if problem == "reason_unmapped" and subject.startswith("resolve_incident"):
            level = Level.MEDIUM
        yield _finding(
            shop=shop.name,
            subject=f"{problem.replace('_', ' ')}: {subject}",
            level=level,
            finding=what.format(first, second, subject=subject),
            fix=fix.format(first, second, subject=subject),
        )
    for target in sorted({account.target for account in inspection.app.mappings.ledger_accounts}):
        if refusal := cannot_hold(target, shop.currency):
            yield _finding(
                shop=shop.name,
                subject=f"journals for {target}",
                level=Level.HIGH,
                finding=f"The month-end pack has {refusal}.",
                fix=f"Name a system in ledger_accounts.csv that holds {shop.currency}, and post from the generic file until then.",
            )
    yield from _taxed_twice(inspection)
    for stream, what in (("mirakl/reason", "RE01"), ("mirakl/carrier", "SH21")):
        if stream in inspection.unread and stream not in inspection.app.ledger.cursors(shop.name):
            yield _finding(
                shop=shop.name,
                subject=what,
                level=Level.HIGH,
                finding=f"{what} was never read, so the codes that rest on it are not checked ({now:%Y-%m-%d %H:%M} UTC).",
                fix=f"Mend the access to {stream} and run the audit again.",
            )


def _taxed_twice(inspection: Inspection) -> Iterator[Finding]:
    """Find accounting systems that would take VAT out of amounts that have none in them, or leave it in some."""
    mappings = inspection.app.mappings
    is_on_top = inspection.platform_facts().get("pc01.features.order_tax_mode") == "TAX_EXCLUDED"
    names = {each.ledger_account for each in mappings.transaction_types if each.component in INCOME}
    by_target: dict[JournalTarget, list[LedgerAccount]] = {}
    for account in mappings.ledger_accounts:
        if account.account in names:
            by_target.setdefault(account.target, []).append(account)
    for target, income in sorted(by_target.items()):
        if refusal := taxes_wrongly(target, income, is_on_top=is_on_top):
            yield _finding(
                shop=inspection.shop.name,
                subject=f"VAT in journals for {target}",
                level=Level.HIGH,
                finding=f"The month-end pack will have {refusal}.",
                fix="Change these rows of ledger_accounts.csv before the month is closed, or take the system out of it.",
            )


def _rows(con: DuckDBPyConnection, inspection: Inspection) -> list[tuple[str, str, str]]:
    shop, now = inspection.shop, inspection.app.clock.now()
    inspector: str = shop.returns.platform
    if shop.inspected_by == "warehouse" and shop.warehouse is not None:
        inspector = shop.warehouse.system
    with one_snapshot(con):
        review = look(con, "mapping_review", shop, now)
    con.execute(
        "CREATE OR REPLACE TABLE memory.watch.mapping_review (mapping_table VARCHAR, source_system VARCHAR, flow VARCHAR, "
        "source_code VARCHAR, state VARCHAR, seen BIGINT, example VARCHAR)"
    )
    kept = [
        tuple(
            row[name] for name in ("mapping_table", "source_system", "flow", "source_code", "state", "seen", "example")
        )
        for row in review.dicts()
    ]
    if kept:
        con.executemany("INSERT INTO memory.watch.mapping_review VALUES (?, ?, ?, ?, ?, ?, ?)", kept)
    with one_snapshot(con):
        return con.execute(
            statement("translations", "marketplace_returns.orchestration.audit"),
            {
                "shop": shop.name,
                "platform": str(shop.returns.platform),
                "warehouse": "" if shop.warehouse is None else str(shop.warehouse.system),
                "inspector": inspector,
                "today": now.date(),
                "needs_reject_reasons": PLATFORMS[shop.returns.platform].needs_reject_reasons,
            },
        ).fetchall()
