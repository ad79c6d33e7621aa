"""Permissions: what the marketplace switched on for this shop (A01, PC01), and what it has refused.

Here: the account's state and the platform's flags against what the lanes do. Partial refunds and partial acceptance have no
published flag: they are known from refusals that the ledger keeps. The invariant: a flag that was never read is told as unread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from marketplace_returns.ledger.states import State
from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level
from marketplace_returns.settings import WriteKind, WriteMode

_finding = partial(Finding, area="permissions")


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find a closed shop, missing features, and permissions the marketplace refused."""
    facts = inspection.platform_facts()
    if not facts:
        yield _finding(
            shop=inspection.shop.name,
            subject="A01, PC01",
            level=Level.HIGH,
            finding="The account and the platform's configuration were never read, so no permission is known.",
            fix="Mend the access to mirakl/platform and run the audit again.",
        )
    else:
        yield from _account(inspection, facts)
        yield from _features(inspection, facts)
    yield from _refused(inspection)


def _account(inspection: Inspection, facts: Mapping[str, str | None]) -> Iterator[Finding]:
    shop = inspection.shop
    state = facts.get("a01.shop_state") or "unknown"
    if state != "OPEN":
        reason = facts.get("a01.suspension_type") or ""
        yield _finding(
            shop=shop.name,
            subject="A01 shop_state",
            level=Level.CRITICAL,
            finding=f"The shop is {state}{f' ({reason})' if reason else ''} on the marketplace: it sells nothing and payouts may stop.",
            fix="Ask the marketplace's seller support why, and have the shop opened again in its back office.",
        )
    currency = facts.get("a01.currency_iso_code")
    if currency and currency != shop.currency:
        yield _finding(
            shop=shop.name,
            subject="A01 currency",
            level=Level.CRITICAL,
            finding=f"The marketplace keeps this shop in {currency}, the settings say {shop.currency}.",
            fix=f"Set {inspection.place}.currency to {currency}, or correct shop_id.",
        )
    shop_id = facts.get("a01.shop_id")
    if shop_id and shop_id != str(shop.mirakl.shop_id):
        yield _finding(
            shop=shop.name,
            subject="A01 shop_id",
            level=Level.CRITICAL,
            finding=f"The key answers for shop {shop_id}, the settings say {shop.mirakl.shop_id}.",
            fix=f"Correct {inspection.place}.mirakl.shop_id, or use the key of that shop.",
        )
    kyc = (facts.get("a01.kyc.status") or "APPROVED").upper()
    if kyc in {"REFUSED", "PENDING_SUBMISSION"}:
        yield _finding(
            shop=shop.name,
            subject="A01 kyc",
            level=Level.HIGH,
            finding=f"The seller's identity check is {kyc}: payouts are held (INCOMPLETE_KYC).",
            fix="Hand in the documents in the marketplace's back office.",
        )


def _features(inspection: Inspection, facts: Mapping[str, str | None]) -> Iterator[Finding]:
    shop = inspection.shop

    def is_on(flag: str) -> bool | None:
        value = facts.get(f"pc01.features.{flag}")
        return None if value is None else value.lower() == "true"

    if is_on("returns.marketplace") is False:
        yield _finding(
            shop=shop.name,
            subject="PC01 returns",
            level=Level.CRITICAL,
            finding="Returns are switched off on the marketplace (features.returns.marketplace): RT calls are refused, no return comes in.",
            fix="Ask the operator to switch returns on, or set policy.return_origin to platform where customers open them there.",
        )
    acceptance = facts.get("pc01.features.order_workflows.order_acceptance")
    if acceptance == "AUTOMATIC" and shop.policy.accept != "all":
        yield _finding(
            shop=shop.name,
            subject="PC01 order_acceptance",
            level=Level.MEDIUM,
            finding=f"The marketplace accepts orders by itself, so policy.accept = {shop.policy.accept!r} is never asked.",
            fix=f"Set {inspection.place}.policy.accept to all, or ask the operator for acceptance by the seller.",
        )
    elif acceptance == "AUTOMATIC":
        yield _finding(
            shop=shop.name,
            subject="PC01 order_acceptance",
            level=Level.NOTE,
            finding="The marketplace accepts orders by itself: the acceptance lane has nothing to do.",
            fix="None needed; ask the operator where the seller shall decide.",
        )
    if shop.policy.carrier_unmapped == "unregistered" and is_on("disable_seller_alternative_carrier"):
        yield _finding(
            shop=shop.name,
            subject="PC01 disable_seller_alternative_carrier",
            level=Level.HIGH,
            finding="policy.carrier_unmapped is 'unregistered', and the marketplace refuses carriers that are not on its list (OR23).",
            fix=f"Set {inspection.place}.policy.carrier_unmapped to hold or default_carrier, or have the operator allow them.",
        )
    if is_on("shipment.multi_shipment") is False:
        yield _finding(
            shop=shop.name,
            subject="PC01 multi_shipment",
            level=Level.NOTE,
            finding="An order has one shipment on this marketplace: it is confirmed once its last parcel has left (R86).",
            fix="Ask the operator for multi-shipment where orders are often split.",
        )
    order_tax = facts.get("pc01.features.order_tax_mode")
    if order_tax not in {None, "TAX_INCLUDED", "TAX_EXCLUDED"}:
        yield _finding(
            shop=shop.name,
            subject="PC01 order_tax_mode",
            level=Level.HIGH,
            finding=f"The marketplace's tax mode is {order_tax}, which refunds cannot be computed for.",
            fix="Read the operator's note on taxes before any refund is sent; set writes.refund to shadow until then.",
        )


def _refused(inspection: Inspection) -> Iterator[Finding]:
    """Find writes that were refused for want of a permission, one finding per kind and answer."""
    shop = inspection.shop
    refused = inspection.app.ledger.intents(shop=shop.name, states=(State.REJECTED, State.CONFLICT, State.PLANNED))
    by_kind: dict[WriteKind, list[str]] = {}
    for intent in refused:
        if intent.root_cause == "permission":
            by_kind.setdefault(intent.kind, []).append(intent.last_error)
    for kind, errors in sorted(by_kind.items()):
        what = {
            WriteKind.REFUND: "partial refunds (or refunds at all)",
            WriteKind.ACCEPT_ORDER: "partial acceptance",
        }.get(kind, str(kind))
        yield _finding(
            shop=shop.name,
            subject=f"{kind} refused",
            level=Level.CRITICAL,
            finding=f"The marketplace refused {len(errors)} writes of kind {kind} for want of a permission; the last: {errors[-1]}",
            fix=f"Ask the operator to allow {what} for this shop, then retry the exceptions.",
        )
    live_refunds = shop.write_mode(WriteKind.REFUND) is WriteMode.LIVE
    done = inspection.app.ledger.intents(
        shop=shop.name, kinds=(WriteKind.REFUND,), states=(State.CONFIRMED, State.REFLECTED, State.SETTLED), limit=1
    )
    if live_refunds and not done and WriteKind.REFUND not in by_kind:
        yield _finding(
            shop=shop.name,
            subject="partial refunds",
            level=Level.NOTE,
            finding="The marketplace tells nobody beforehand whether it allows partial refunds and partial acceptance, and none was sent yet.",
            fix="Ask the operator in writing that the shop may refund and accept single lines; the first refund proves it.",
        )
