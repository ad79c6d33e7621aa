"""The one reader of the ``.sql`` files that lie beside the code that runs them."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def statement(name: str, package: str) -> str:
    """Return the text of ``<name>.sql`` of a package (``name`` may begin with a folder of it)."""
    return resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
