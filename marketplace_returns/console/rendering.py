"""How facts become pages: templates, filters for money and time, the guard of a form.

The invariant: every value is escaped; what was written by others can be no markup.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from marketplace_returns.clock import Clock
from marketplace_returns.console.roles import Permission
from marketplace_returns.money import amount_text

STATIC: Final = {"console.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


def static(name: str) -> bytes:
    """Return a file that pages refer to; only those of ``STATIC`` are there."""
    found: bytes = (resources.files(__package__) / "static" / name).read_bytes()
    return found


class Templates:
    """The templates of the console, with what all of them may use."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"money": money, "moment": moment, "age": age, "words": words}
        self._environment.globals |= {
            "Permission": Permission,
            "now": clock.now,
            "version": hashlib.sha256(static("console.css")).hexdigest()[:12],
        }

    def page(self, template: str, **facts: Any) -> str:
        """Return a template filled with facts."""
        return self._environment.get_template(template).render(**facts)

    def guard(self, session: str) -> Markup:
        """Return the hidden fields without which a form is refused: the CSRF token, and the form's own number."""
        return Markup(
            '<input type="hidden" name="csrf" value="{}"><input type="hidden" name="form" value="{}">'
        ).format(csrf_token(session), secrets.token_urlsafe(16))


def csrf_token(session: str) -> str:
    """Return the CSRF token of a session: made of its token, so that nobody else can make it and nothing is to be kept."""
    return hmac.new(session.encode(), b"csrf", hashlib.sha256).hexdigest()


def money(amount_minor: int | None, currency: str) -> str:
    """Write an amount for people: ``1,234.50 GBP``; nothing where there is none."""
    return amount_text(amount_minor, currency) if amount_minor and currency else ""


def moment(instant: datetime | None) -> str:
    """Write a UTC instant for people: ``2026-10-31 14:05``."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


def age(instant: datetime, now: datetime) -> str:
    """Write how far an instant is from now, in its largest unit: ``3 d``, ``5 h``, ``12 min``."""
    away = abs(now - instant)
    if away >= timedelta(days=2):
        return f"{away.days} d"
    minutes = int(away.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"


def words(name: str) -> str:
    """Write a name of the program for people: ``create_warehouse_order`` as ``create warehouse order``."""
    return name.replace("_", " ")
