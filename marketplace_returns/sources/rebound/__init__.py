"""ReBound: a returns platform of two generations, its older form API and its newer one."""

from marketplace_returns.sources.rebound.client import ReboundClient, connect

__all__ = ["ReboundClient", "connect"]
