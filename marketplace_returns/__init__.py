"""Keeps orders, returns, refunds, stock and money in step between the marketplace, returns platform and warehouse."""
