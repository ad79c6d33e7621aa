"""Settings and secrets: is everything set that this shop needs, and does it say what it means.

Here: what can be told without asking anybody. The invariant: a secret is looked for, never shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from marketplace_returns.alerts import owners_without_channel
from marketplace_returns.errors import BadSettings
from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level
from marketplace_returns.settings import WriteKind, WriteMode

_finding = partial(Finding, area="settings")


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find missing secrets, an undeclared product master, owners whom no alert channel takes, and writes that do not leave."""
    shop, place = inspection.shop, inspection.place
    yield from _secrets(inspection)
    if not shop.policy.product_master:
        yield _finding(
            shop=shop.name,
            subject="policy.product_master",
            level=Level.LOW,
            finding="No system is declared as the one that owns product data (R88), so nobody knows where to mend a SKU.",
            fix=f"Set {place}.policy.product_master to marketplace, warehouse, erp or pim.",
        )
    if shop.policy.refund_trigger == "carrier_scan" and shop.policy.refund_deadline_from == "received":
        yield _finding(
            shop=shop.name,
            subject="policy.refund_deadline_from",
            level=Level.MEDIUM,
            finding="Refunds go out at the first carrier scan, but their clock starts only when the goods are received (C1).",
            fix=f"Set {place}.policy.refund_deadline_from to carrier_scan or requested.",
        )
    app = inspection.app
    without = owners_without_channel(app.settings.alerts, app.ledger.owners().values(), shop.name)
    if without:
        yield _finding(
            shop=shop.name,
            subject="alerts.channels",
            level=Level.LOW,
            finding=f"No alert channel takes the exceptions of {', '.join(without)}: they go to every channel that takes their severity.",
            fix="Name them in the owners of a channel, in [alerts.channels.<channel>].",
        )
    for mode in (WriteMode.OFF, WriteMode.SHADOW):
        kinds = [str(kind) for kind in WriteKind if shop.write_mode(kind) is mode]
        if kinds:
            yield _finding(
                shop=shop.name,
                subject=f"writes: {mode}",
                level=Level.NOTE,
                finding=f"These writes do not leave: {', '.join(kinds)}.",
                fix=f"Set them to live in [{place}.writes] when they shall be sent.",
            )


def _secrets(inspection: Inspection) -> Iterator[Finding]:
    shop = inspection.shop
    needed = [("mirakl.api_key", shop.mirakl.secret)]
    if shop.returns.read == "api":
        needed.append(("returns.api_key", shop.returns.secret))
    if shop.warehouse is not None and shop.warehouse.read == "api":
        needed.append(("warehouse.password", shop.warehouse.secret))
    for key, secret in needed:
        try:
            secret()
        except BadSettings as missing:
            yield _finding(
                shop=shop.name,
                subject=key,
                level=Level.CRITICAL,
                finding="The secret is not set: this system cannot be called.",
                fix=f"{missing}.",
            )
    if shop.returns.read == "extract" and shop.returns.api_key is None:
        yield _finding(
            shop=shop.name,
            subject="returns.api_key",
            level=Level.NOTE,
            finding="The returns platform is read from files and has no key: nothing is written to it.",
            fix="Set the key where returns shall be created there.",
        )
