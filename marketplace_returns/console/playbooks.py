"""The playbooks as pages show them: ``docs/playbooks.md``, which lies beside this module by a link, so that it is shipped.

The invariant: the page and one section of it are made of the same text; markup in it that is not Markdown is shown as it is written.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


@cache
def whole() -> Markup:
    """Return all playbooks as one text."""
    return _rendered(_source())


@cache
def of_type(exception_type: str) -> Markup:
    """Return the playbook of a type; nothing where there is none."""
    _, found, rest = _source().partition(f"\n## {exception_type}\n")
    if not found:
        return Markup()
    return _rendered(re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0])


def _source() -> str:
    found: str = (resources.files(__package__) / "playbooks.md").read_text(encoding="utf-8")
    return found


def _rendered(source: str) -> Markup:
    reader = _reader()
    tokens = reader.parse(source)
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", re.sub(r"[^\w\- ]", "", inside.content.lower()).replace(" ", "-"))
    for token in tokens:
        for child in token.children or ():
            target = str(child.attrs.get("href", ""))
            if target.startswith("#"):
                child.attrSet("href", f"/playbooks{target}")
            elif target and not target.startswith("https://"):
                child.attrSet("href", "/playbooks")
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704 - our own text, its HTML escaped


@cache
def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only when a playbook is first shown

    return MarkdownIt("commonmark", {"html": False})
