"""Monitoring: what is late, missing, drifting or new, as tables people look at and exceptions they own.

Here: one ``.sql`` per table over the lake, the model and the ledger, the few lines that run them (``watch``) and what of them
becomes an exception (``alarms``). Not here: month-end (``reconciliation``), Dagster, any call to the outside. The invariant:
looking changes nothing; equal facts at an equal instant give equal rows.
"""

from marketplace_returns.monitoring.watch import TABLES, Seen, look, stage

__all__ = ["TABLES", "Seen", "look", "stage"]
