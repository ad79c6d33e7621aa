"""Personal data as a role may see it: the one place that hides it.

The invariant: what a role may not see does not leave this function, not even in length.
"""

from __future__ import annotations

from typing import Final

from marketplace_returns.console.roles import Permission, Role, may

HIDDEN: Final = "hidden"


def shown(text: object, role: Role) -> str:
    """Return a name, an address or another personal text as the role may see it: whole, or the word ``hidden``.

    Nothing is hidden where there is nothing: an empty text stays empty.
    """
    said = "" if text is None else str(text)
    return said if not said or may(role, Permission.SEE_PERSONAL) else HIDDEN
