"""The returns platform: does it leave the money to the marketplace (C4), and is it the one the settings name.

Here: its own refund switches, refunds it made by itself, and whether its webhooks can be received. Not here: its access.
The invariant: a switch that cannot be asked for is told as something to look at by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from marketplace_returns.errors import BadSettings, SourceError
from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level

_finding = partial(Finding, area="returns platform")


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find a platform that refunds by itself, and webhooks that cannot be trusted."""
    yield from _switch(inspection)
    yield from _paid(inspection)
    yield from _webhooks(inspection)


def _switch(inspection: Inspection) -> Iterator[Finding]:
    shop, platform = inspection.shop, inspection.shop.returns.platform
    if shop.returns.read != "api" and shop.returns.api_key is None:
        return
    if any(name.startswith(f"{platform}/") for name in inspection.unread):
        return  # access tells why
    try:
        client = inspection.app.client(shop, platform)
        ask = getattr(client, "store_settings", None)
        told = None if ask is None else ask()
    except (SourceError, BadSettings) as error:
        yield _finding(
            shop=shop.name,
            subject="settings",
            level=Level.HIGH,
            finding=f"The store's settings cannot be read: {error}",
            fix="Give the key the right to read them, or look in the portal that no refund is made there.",
        )
        return
    if told is None:
        yield _finding(
            shop=shop.name,
            subject="auto_refund",
            level=Level.NOTE,
            finding=f"{platform} does not tell by its API whether it refunds by itself.",
            fix="Look in its portal: automatic refunds, instant refunds and refunds on approval must be off for this shop (C4).",
        )
        return
    for name, value in told.items():
        if "refund" in name.lower() and value is True:
            yield _finding(
                shop=shop.name,
                subject=name,
                level=Level.CRITICAL,
                finding=f"{platform} refunds by itself ({name} is on): customers would be paid twice (C4).",
                fix=f"Switch {name} off in {platform}'s portal; the marketplace executes every refund of this shop.",
            )
    currency = told.get("currency")
    if currency and currency != shop.currency:
        yield _finding(
            shop=shop.name,
            subject="currency",
            level=Level.HIGH,
            finding=f"The store's currency at {platform} is {currency}, the shop's is {shop.currency}.",
            fix=f"Correct store_id in {inspection.place}.returns, or the store's currency.",
        )


def _paid(inspection: Inspection) -> Iterator[Finding]:
    """Find refunds the platform made by itself, whatever its switches say."""
    shop = inspection.shop
    ((count, example, last),) = inspection.con.execute(
        "SELECT count(*), max_by(platform_return_id, executed_at), max(executed_at) FROM reported.refunds "
        "WHERE shop = ? AND platform = ? AND status = 'EXECUTED'",
        [shop.name, shop.returns.platform],
    ).fetchall()
    if count:
        yield _finding(
            shop=shop.name,
            subject="refunds made",
            level=Level.CRITICAL,
            finding=f"{shop.returns.platform} executed {count} refunds itself, the last on {last:%Y-%m-%d} (return {example}).",
            fix="Switch its refund action off, and compare these returns with the marketplace's refunds: some were paid twice.",
        )


def _webhooks(inspection: Inspection) -> Iterator[Finding]:
    shop = inspection.shop
    if shop.returns.webhook_secret is None:
        yield _finding(
            shop=shop.name,
            subject="webhooks",
            level=Level.NOTE,
            finding="No webhook secret is set: returns are polled every few minutes, and no webhook is taken.",
            fix="Set the returns platform's webhook secret where its events shall be taken at once.",
        )
    elif len(shop.returns.webhook_key()) < 16:
        yield _finding(
            shop=shop.name,
            subject="webhooks",
            level=Level.HIGH,
            finding="The webhook secret has fewer than 16 characters: it can be guessed.",
            fix="Make a long random one, and set it at the platform and here.",
        )
