"""The own account: who one is here, and a new password."""

from __future__ import annotations

from starlette.responses import Response

from marketplace_returns.console.page import Page, Visit
from marketplace_returns.console.roles import MAY, Permission
from marketplace_returns.errors import BadArgument


def show(visit: Visit) -> Response:
    """Show name, role and permissions."""
    return visit.render("account.html", permissions=[each for each in Permission if each in MAY[visit.role]])


def set_password(visit: Visit) -> Response:
    """Set a new password; the old one must be given, and every other session of the account ends."""
    old, new, again = (visit.form.get(name, "") for name in ("old", "new", "again"))
    if new != again:
        raise BadArgument("the two new passwords are not the same: type the new one twice")
    if not visit.accounts.has_password(visit.name, old, address=visit.address):
        raise BadArgument("the old password is wrong: nothing was changed")
    visit.accounts.set_password(visit.name, new, by=visit.by, except_session=visit.session)
    return visit.go("/account", "The password is changed, and every other log-in of this account has ended.")


PAGES = (
    Page("/account", Permission.OWN_ACCOUNT, show=show),
    Page("/account/password", Permission.OWN_ACCOUNT, act=set_password),
)
