"""The system audit: is everything as it must be, on both sides, before and while it runs (R116).

Here: one module per area, each a function from an inspection to findings, and the order they are asked in. Not here: Dagster,
or mending anything. The invariant: an audit reads and never sends a write to an outside system; what cannot be asked is told,
never taken for good.
"""

from marketplace_returns.orchestration.audit.findings import Audit, Finding, Level
from marketplace_returns.orchestration.audit.inspection import AREAS, inspect

__all__ = ["AREAS", "Audit", "Finding", "Level", "inspect"]
