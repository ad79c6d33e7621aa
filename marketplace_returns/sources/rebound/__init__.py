"""ReBound: a returns platform of two generations, its older form API and its newer one."""

from marketplace_returns.sources.rebound.client import ReboundClient, connect
from marketplace_returns.sources.rebound.throttle import ceilings
from marketplace_returns.sources.rebound.writes import ReboundWrites, creation, outcome

__all__ = ["ReboundClient", "ReboundWrites", "ceilings", "connect", "creation", "outcome"]
