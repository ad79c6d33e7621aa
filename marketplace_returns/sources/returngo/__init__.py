"""ReturnGO: the returns platform's API, how its daily calls are spent, and what is written to it."""

from marketplace_returns.sources.returngo.calls import ceilings
from marketplace_returns.sources.returngo.client import ReturnGoClient, connect
from marketplace_returns.sources.returngo.writes import ReturnGoWrites, creation, outcome

__all__ = ["ReturnGoClient", "ReturnGoWrites", "ceilings", "connect", "creation", "outcome"]
