"""Reveni: the returns platform's merchant API."""

from marketplace_returns.sources.reveni.client import ReveniClient, connect
from marketplace_returns.sources.reveni.writes import ReveniWrites, creation, outcome

__all__ = ["ReveniClient", "ReveniWrites", "connect", "creation", "outcome"]
