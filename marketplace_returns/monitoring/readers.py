"""Whose each monitoring table is, and who else reads it, by the owners of the exception catalogue.

The invariant: every table has an owner; the console shows a table to the departments named here and to no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

READERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "lane_health": ("operations", "finance", "integration"),
        "order_coverage": ("warehouse", "operations"),
        "stock_sync": ("integration", "operations"),
        "stock_drift": ("operations",),
        "despatch_vs_shipped": ("operations", "warehouse"),
        "payout_at_risk": ("finance", "operations"),
        "failed_return_creations": ("operations", "customer_experience"),
        "overdue_reflections": ("customer_experience", "operations"),
        "failure_causes": ("integration", "operations"),
        "open_drift": ("operations", "customer_experience", "finance"),
        "refused_taxes": ("finance", "integration"),
        "sku_audit": ("operations", "warehouse"),
        "new_values": ("integration", "operations"),
        "mapping_review": ("operations", "finance"),
        "marketplace_codes": ("operations",),
        "reason_quality": ("customer_experience", "warehouse", "operations"),
        "seller_metrics": ("operations", "finance"),
        "trends": ("operations", "customer_experience", "finance"),
        "transaction_types": ("finance",),
        "penalties": ("finance", "operations"),
        "commission_credits": ("finance",),
    }
)
"""Each table with its owner, and after it the others who read it."""
