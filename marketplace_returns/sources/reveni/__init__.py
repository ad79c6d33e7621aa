"""Reveni: the returns platform's merchant API."""

from marketplace_returns.sources.reveni.client import ReveniClient, connect

__all__ = ["ReveniClient", "connect"]
