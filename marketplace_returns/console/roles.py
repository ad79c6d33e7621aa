"""Who may do what: the one table of roles and permissions.

The invariant: a role has exactly what its row says; a page asks for a permission and for whose a thing is, and never for a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What a person is here for."""

    FINANCE = "finance"
    OPERATIONS = "operations"
    CARE = "care"
    WAREHOUSE = "warehouse"
    ADMIN = "admin"


class Permission(StrEnum):
    """One thing that a page lets a person do; the value is how it is told to people."""

    OWN_ACCOUNT = "change the own password"
    SEE_QUEUE = "see exceptions"
    WORK_QUEUE = "assign, snooze and resolve exceptions"
    RETRY_WRITES = "retry a write"
    LOOK_UP = "look up orders and returns"
    SEE_PERSONAL = "see names and addresses"
    TICK_CHECKS = "tick the checklist of the own department"
    SEE_TABLES = "see the tables of the own department"
    SEE_MAPPINGS = "see mappings"
    CHANGE_MAPPINGS = "add a mapping of the own department and replay what was held"
    SEE_LANES = "see the lanes' health"
    SEE_PERIODS = "see months and their proofs"
    CLOSE_PERIODS = "close, sign and reopen months"
    SEE_WRITES = "see which writes are live"
    SWITCH_WRITES = "hold writes back and let them go"
    SEE_AUDIT = "see what people did"


_EVERYBODY: Final = frozenset(
    {
        Permission.OWN_ACCOUNT,
        Permission.SEE_QUEUE,
        Permission.WORK_QUEUE,
        Permission.LOOK_UP,
        Permission.TICK_CHECKS,
        Permission.SEE_TABLES,
    }
)

MAY: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.FINANCE: _EVERYBODY
        | {
            Permission.RETRY_WRITES,
            Permission.SEE_MAPPINGS,
            Permission.CHANGE_MAPPINGS,
            Permission.SEE_LANES,
            Permission.SEE_PERIODS,
            Permission.CLOSE_PERIODS,
            Permission.SEE_WRITES,
            Permission.SEE_AUDIT,
        },
        Role.OPERATIONS: _EVERYBODY
        | {
            Permission.RETRY_WRITES,
            Permission.SEE_MAPPINGS,
            Permission.CHANGE_MAPPINGS,
            Permission.SEE_LANES,
            Permission.SEE_PERIODS,
            Permission.SEE_WRITES,
        },
        Role.CARE: _EVERYBODY | {Permission.SEE_PERSONAL},
        Role.WAREHOUSE: _EVERYBODY | {Permission.RETRY_WRITES},
        Role.ADMIN: frozenset(Permission),
    }
)

DEPARTMENTS: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        Role.FINANCE: frozenset({"finance"}),
        Role.OPERATIONS: frozenset({"operations"}),
        Role.CARE: frozenset({"customer_experience"}),
        Role.WAREHOUSE: frozenset({"warehouse"}),
        Role.ADMIN: frozenset({"finance", "operations", "customer_experience", "warehouse", "integration"}),
    }
)
"""Whose work a role does, by the owners of the exception catalogue: what belongs to an owner is these roles' to change or tick."""


def may(role: Role, permission: Permission) -> bool:
    """Tell whether a role has a permission."""
    return permission in MAY[role]
