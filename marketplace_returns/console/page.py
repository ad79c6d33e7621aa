"""What a page is, and what it is given: the request, who asks, and the installation.

Here: ``Page`` and ``Visit``, and the errors a page may raise. Not here: the order of the checks before a page (``app``). How a page is
added stands in the package's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse, RedirectResponse, Response

from marketplace_returns.console.kept_tables import KeptTables
from marketplace_returns.console.rendering import Templates
from marketplace_returns.console.roles import DEPARTMENTS, Permission, Role, may
from marketplace_returns.errors import BadArgument, MarketplaceReturnsError

if TYPE_CHECKING:
    from marketplace_returns.clock import Clock
    from marketplace_returns.console.accounts import Accounts
    from marketplace_returns.ledger import Ledger
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.settings import Settings, Switches

SAID_CHARACTERS: Final = 1_000
NUMBER_MAX: Final = 2**63 - 1


class NotThere(MarketplaceReturnsError):
    """What was asked for does not exist (404)."""


class NotAllowed(MarketplaceReturnsError):
    """The person's role may not do what is asked for (403)."""


class Overtaken(MarketplaceReturnsError):
    """What a form was made for has changed since, or the form was sent already (409)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One address: who may go there, what shows it (GET) and what acts there (POST). See the package's words."""

    path: str
    permission: Permission
    show: Callable[[Visit], Response] | None = None
    act: Callable[[Visit], Response] | None = None
    title: str = ""
    needs_lake: bool = False
    is_slow: bool = False
    """That what it shows takes the longer the larger the shop is: see ``waiting``."""
    kept: Callable[[Visit], Response | None] | None = None
    """Of a slow page: what it shows at once, of what was made before; None where it has to be made."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it answers."""
        return (*(("GET",) if self.show else ()), *(("POST",) if self.act else ()))


@dataclass(slots=True)
class Visit:
    """One request of somebody who is logged in and has the page's permission."""

    name: str
    role: Role
    session: str = field(repr=False)
    url: str
    query: Mapping[str, str]
    place: Mapping[str, Any]
    address: str
    settings: Settings
    ledger: Ledger
    accounts: Accounts
    switches: Switches
    clock: Clock
    templates: Templates
    tables: KeptTables
    navigation: Sequence[Page]
    form_lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    message: str = ""
    opened: App | None = None
    said_next: str = ""
    """What the next page is to say."""

    @property
    def by(self) -> str:
        """The account's name, as the history keeps who did something."""
        return self.name

    @property
    def app(self) -> App:
        """The installation with this thread's own lake connection; only for pages that need the lake."""
        if self.opened is None:
            raise RuntimeError("this page did not say needs_lake")
        return self.opened

    @property
    def form(self) -> Mapping[str, str]:
        """The form's texts, the last where one is repeated."""
        return {name: values[-1] for name, values in self.form_lists.items()}

    def chosen(self, name: str) -> Sequence[str]:
        """Return all values of a field that may be given more than once."""
        return self.form_lists.get(name, ())

    def may(self, permission: Permission) -> bool:
        """Tell whether the person has a permission."""
        return may(self.role, permission)

    def check_may(self, permission: Permission) -> None:
        """Raise NotAllowed where the person has not a permission."""
        if not self.may(permission):
            raise NotAllowed(f"The role {self.role} may not {permission}: ask somebody whose role may.")

    def check_own(self, *owners: str, what: str) -> None:
        """Raise NotAllowed where something is for departments none of whose work the person does."""
        if not self.owns(*owners):
            whose = " and ".join(f"{owner.replace('_', ' ')}'s" for owner in owners)
            raise NotAllowed(f"{what} is {whose}: the role {self.role} may not go there.")

    def owns(self, *owners: str) -> bool:
        """Tell whether the person does the work of one of these departments."""
        return not DEPARTMENTS[self.role].isdisjoint(owners)

    def said(self, name: str, what: str, *, longest: int = SAID_CHARACTERS, is_needed: bool = True) -> str:
        """Return a text of the form without space around it; BadArgument where it is too long, or needed and empty."""
        text = self.form.get(name, "").strip()
        if not text and is_needed:
            raise BadArgument(f"{what} is empty: say it, for it is kept in the history")
        if len(text) > longest:
            raise BadArgument(f"{what} is longer than {longest} characters: make it shorter")
        if any(ord(sign) < 32 and sign not in "\r\n\t" for sign in text):
            raise BadArgument(f"{what} has signs that cannot be written: write plain text")
        return text

    def number(self, name: str) -> int:
        """Return a whole number of the path, the form or the query; BadArgument where it is none."""
        given = self.place.get(name, self.form.get(name, self.query.get(name, "")))
        text = str(given)
        if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > NUMBER_MAX:
            raise BadArgument(f"{name} is not a whole number")
        return int(text)

    def render(self, template: str, *, status: int = 200, **facts: Any) -> Response:
        """Return a page made of a template."""
        page = self.templates.page(
            template,
            visit=self,
            may=self.may,
            guard=lambda: self.templates.guard(self.session),
            **facts,
        )
        return HTMLResponse(page, status)

    def go(self, path: str, message: str = "") -> Response:
        """Send the browser on to another page of ours (303), which says the message once."""
        self.said_next = message
        return RedirectResponse(path, 303)
