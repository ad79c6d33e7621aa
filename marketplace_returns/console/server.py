"""The console opened for one installation."""

from __future__ import annotations

from sqlalchemy.exc import DatabaseError
from starlette.applications import Starlette

from marketplace_returns.clock import Clock
from marketplace_returns.console.accounts import Accounts
from marketplace_returns.console.app import build
from marketplace_returns.errors import BadSettings
from marketplace_returns.ledger import Ledger
from marketplace_returns.settings import Settings, Switches


def open_console(settings: Settings, clock: Clock) -> Starlette:
    """Open the ledger and the accounts, and return the application over them.

    Raises:
        BadSettings: the database cannot be opened; the message says which setting names it.
        LedgerBusy: another process holds it.
    """
    try:
        ledger = Ledger.open(settings, clock)
        accounts = Accounts.open(settings, clock)
    except DatabaseError as refused:
        kept = "ledger_url" if settings.ledger_url else f"data_dir {settings.data_dir}"
        raise BadSettings(
            f"{kept}: the ledger cannot be opened ({refused.orig}): mend the setting, or see that the database answers"
        ) from refused
    return build(settings, ledger, accounts, Switches(settings, ledger.held_modes), clock)
