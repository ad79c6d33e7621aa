"""The model: one vocabulary for all systems, as SQL views over the lake's core tables.

Here live the views (one ``.sql`` file each) and the few lines that put them into a connection. No decision is taken
here and nothing is sent. The invariant: a view drops no row in silence, and the assignments of return units and
receipts are one to one and never move once given (R109).
"""

from marketplace_returns.lake.sql import statement
from marketplace_returns.model.reported import attach_reported
from marketplace_returns.model.views import (
    MODEL_VIEWS,
    PLATFORM_LINKS,
    READS,
    LedgerFacts,
    assign_return_units,
    attach,
    attach_facts,
    attach_reports,
    compute,
    platforms_of,
)

__all__ = [
    "MODEL_VIEWS",
    "PLATFORM_LINKS",
    "READS",
    "LedgerFacts",
    "assign_return_units",
    "attach",
    "attach_facts",
    "attach_reported",
    "attach_reports",
    "compute",
    "platforms_of",
    "statement",
]
