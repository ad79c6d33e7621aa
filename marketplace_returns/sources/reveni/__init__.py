"""Reveni: the returns platform's merchant API."""
