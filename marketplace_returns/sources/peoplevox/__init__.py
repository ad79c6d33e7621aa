"""Peoplevox: the warehouse's SOAP integration service, and what is read from and saved into it."""

from marketplace_returns.sources.peoplevox.client import PeoplevoxClient, connect
from marketplace_returns.sources.peoplevox.orders import (
    Address,
    Outcome,
    PurchaseOrder,
    PurchaseOrderItem,
    Refused,
    SalesOrder,
    SalesOrderItem,
    Saved,
)
from marketplace_returns.sources.peoplevox.throttle import ceilings

__all__ = [
    "Address",
    "Outcome",
    "PeoplevoxClient",
    "PurchaseOrder",
    "PurchaseOrderItem",
    "Refused",
    "SalesOrder",
    "SalesOrderItem",
    "Saved",
    "ceilings",
    "connect",
]
