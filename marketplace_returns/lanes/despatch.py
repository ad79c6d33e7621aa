"""Promise: every parcel the warehouse despatched is confirmed to the marketplace with the carrier's accepted code (R71, R85, R86, C14).

Where the platform allows several shipments an order (PC01 multi_shipment) each parcel is confirmed by itself (ST01).
Where it does not, the whole order is confirmed (OR23 + OR24) once its last unit has left: one parcel never closes an
order of two. A carrier that no mapping names is held by default and opens an exception; it is never guessed. A unit of a
cancelled line is never confirmed: that it left is an exception of lane ``cancelations``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from marketplace_returns.lanes.plan import ExceptionPlan, IntentPlan, LaneDecision
from marketplace_returns.lanes.rows import rows
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from marketplace_returns.mappings import Mappings
    from marketplace_returns.settings import Shop

LANE = "despatch"


@dataclass(frozen=True)
class _Tracking:
    """What OR23 or ST01 is told of a parcel."""

    carrier_code: str
    carrier_name: str
    carrier_url: str
    tracking_number: str

    def body(self) -> dict[str, str]:
        """Give the parts that are known."""
        return {
            name: value
            for name, value in (
                ("carrier_code", self.carrier_code),
                ("carrier_name", self.carrier_name),
                ("carrier_url", self.carrier_url),
                ("tracking_number", self.tracking_number),
            )
            if value
        }


def decide(con: DuckDBPyConnection, shop: Shop, mappings: Mappings, now: datetime) -> LaneDecision:
    """Plan the confirmation of every despatched parcel that the marketplace does not show (ST01, or OR23 and OR24)."""
    intents: list[IntentPlan] = []
    exceptions: list[ExceptionPlan] = []
    by_parcel = _is_multi_shipment(con, shop)
    parcel_lines = rows(con, LANE, shop=shop.name)
    by_order = sorted(parcel_lines, key=lambda row: str(row["order_id"]))
    considered = 0
    for _, order_rows in groupby(by_order, key=lambda row: str(row["order_id"])):
        considered += 1
        lines = list(order_rows)
        wanted = [line for line in lines if not line["is_cancelled"]]
        exceptions += [_unordered(shop, line) for line in wanted if line["order_line_id"] is None]
        known = sorted(
            (line for line in wanted if line["order_line_id"] is not None),
            key=lambda line: (line["despatched_at"], line["despatch_number"]),
        )
        if not known:
            continue
        parcels = [list(parcel) for _, parcel in groupby(known, key=lambda line: str(line["despatch_number"]))]
        if not by_parcel:
            if known[0]["despatched_units"] < known[0]["ordered_units"]:
                continue  # the rest is still in the warehouse: an OR24 now would close the order (R86)
            parcels = [known]
        for parcel in parcels:
            tracking = _tracking(shop, parcel[-1])
            if tracking is None:
                exceptions.append(_unmapped_carrier(shop, parcel[-1]))
                continue
            intents.append(_confirmation(shop, parcel, tracking, by_parcel=by_parcel, mapping_version=mappings.version))
    return LaneDecision(
        lane=LANE, shop=shop.name, intents=tuple(intents), exceptions=tuple(exceptions), considered=considered
    )


def _is_multi_shipment(con: DuckDBPyConnection, shop: Shop) -> bool:
    """Tell whether PC01 says that an order may have several shipments."""
    found = con.execute(
        "SELECT value FROM lake.core.mirakl__platform WHERE shop = ? AND setting = ?",
        [shop.name, "pc01.features.shipment.multi_shipment"],
    ).fetchall()
    return bool(found) and str(found[0][0]).lower() == "true"


def _tracking(shop: Shop, line: dict[str, Any]) -> _Tracking | None:
    """Translate the warehouse's carrier by table and policy (C14), or None where it must be held."""
    number = line["tracking_number"] or ""

    if line["carrier_code"]:
        return _Tracking(line["carrier_code"], "", "", number)
    policy = shop.policy.carrier_unmapped
    if policy == "default_carrier" and line["default_carrier_code"]:
        return _Tracking(line["default_carrier_code"], "", "", number)
    if policy == "unregistered" and line["carrier"]:
        return _Tracking(
            "", line["carrier"], (line["default_tracking_url_template"] or "").replace("{trackingId}", number), number
        )
    return None


def _confirmation(
    shop: Shop,
    parcel: list[dict[str, Any]],
    tracking: _Tracking,
    *,
    by_parcel: bool,
    mapping_version: str,
) -> IntentPlan:
    order_id, despatch_number = str(parcel[-1]["order_id"]), str(parcel[-1]["despatch_number"])
    return IntentPlan(
        shop=shop.name,
        kind=WriteKind.CONFIRM_DESPATCH,
        natural_key=f"{order_id}/{despatch_number}" if by_parcel else order_id,
        order_id=order_id,
        body={
            "mode": "shipment" if by_parcel else "order",
            "order_id": order_id,
            "tracking": tracking.body(),
            "shipment_lines": [
                {
                    "order_line_id": line["order_line_id"],
                    "quantity": line["quantity"],
                    "package_reference": str(line["despatch_number"]),
                }
                for line in parcel
            ],
        },
        evidence={
            "despatch_payloads": sorted({line["payload_hash"] for line in parcel}),
            "despatched_at": max(line["despatched_at"] for line in parcel).isoformat(),
            "warehouse_carrier": parcel[-1]["carrier"],
            "policy_carrier_unmapped": str(shop.policy.carrier_unmapped),
            "due_at": parcel[-1]["shipping_deadline_at"].isoformat() if parcel[-1]["shipping_deadline_at"] else "",
            "mapping_version": mapping_version,
        },
    )


def _unmapped_carrier(shop: Shop, line: dict[str, Any]) -> ExceptionPlan:
    carrier = line["carrier"] or ""
    return ExceptionPlan(
        shop=shop.name,
        type="DESPATCH_UNMAPPED_CARRIER",
        entity={"order_id": str(line["order_id"]), "despatch_number": str(line["despatch_number"])},
        cause=carrier.lower(),
        message=f"Parcel {line['despatch_number']} of order {line['order_id']} left with carrier {carrier!r}, which carriers.csv "
        "does not name. Add a row (source_system peoplevox); the parcel is confirmed at the next pass.",
        amount_minor=line["total_price_minor"],
        currency=line["currency"],
        due_at=line["shipping_deadline_at"],
        root_cause="mapping",
    )


def _unordered(shop: Shop, line: dict[str, Any]) -> ExceptionPlan:
    return ExceptionPlan(
        shop=shop.name,
        type="DESPATCH_REJECTED",
        entity={"order_id": str(line["order_id"]), "despatch_number": str(line["despatch_number"])},
        cause=f"not ordered {line['item_code']}",
        message=f"Parcel {line['despatch_number']} holds {line['quantity']} x {line['item_code']}, which is not (or not so often) "
        f"on order {line['order_id']}. Check the pick with the warehouse.",
        amount_minor=line["total_price_minor"],
        currency=line["currency"],
        root_cause="validation",
    )
