"""A real browser for the tests: one that is quiet, and people of a role who are logged in on it.

``MARKETPLACE_RETURNS_PICTURES`` names the folder where pictures are kept to be looked at; otherwise they go where the test's own files go.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from marketplace_returns.console.roles import Role
from marketplace_returns_tests.console.served import NAMES, PASSWORD, Served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def opened() -> Iterator[object]:
    """Open the browser; skips where playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def picture_folder(otherwise: Path) -> Path:
    """Return the folder of the pictures."""
    folder = Path(os.environ.get("MARKETPLACE_RETURNS_PICTURES") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def at_work(
    browser: object, console: Served, role: Role, size: dict[str, int], *, scheme: str = "light"
) -> Iterator[object]:
    """Give a page on which a person of a role is logged in; fails where the browser's console says anything."""
    context = browser.new_context(viewport=size, color_scheme=scheme, base_url=console.base_url)  # type: ignore[attr-defined]
    context.set_default_timeout(120_000)  # a close is waited for, on a busy machine too
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto("/exceptions")
    page.get_by_label("Name").fill(NAMES[role])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Exceptions", exact=True).wait_for()
    yield page
    context.close()
    assert not said
