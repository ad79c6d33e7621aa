"""Keeps marketplace orders, returns, refunds, stock and money in step, and proves every month to the penny."""
