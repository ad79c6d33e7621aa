"""The page of the reliability figures, ``docs/reliability.md``: one section per part, each written by that part's run.

Here live the page's frame and what all sections use. Not here: any figure of its own; all come from a run. Invariant: a
section is written only of a whole run in which everything held, so that no page says otherwise than the figures; it names
the commit that was played.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"

ORDER = ("grid", "simulation", "storm", "abuse", "guards", "workers", "disasters", "months")
"""The parts in their order on the page."""

_HEAD = """\
# Reliability

<!-- Written by `make reliability`; do not edit. -->

How writes are proven to be neither lost nor doubled, and months to be closed right. Each section is the record of one run of
`python -m marketplace_returns_tests.reliability PART`.
"""


def write(part: str, text: str) -> None:
    """Put a part's section on the page, in place of the one that was there."""
    sections = _sections() | {part: f"{text.strip()}\n\nPlayed on commit `{commit()}`."}
    framed = [f"<!-- {name} -->\n{sections[name]}\n<!-- end of {name} -->\n" for name in ORDER if name in sections]
    PAGE.write_text("\n".join([_HEAD, *framed]), encoding="utf-8")


def section(part: str) -> str:
    """Return a part's section as it stands on the page; empty where there is none."""
    return _sections().get(part, "")


def commit() -> str:
    """Return the commit that is played, and whether files differ from it."""
    found = _git("rev-parse", "--short", "HEAD")
    changed = [line for line in _git("status", "--porcelain").splitlines() if not line.endswith("docs/reliability.md")]
    return f"{found}{' with changes' if changed else ''}"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table of the page."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sections() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found = re.finditer(r"<!-- (?P<name>[\w-]+) -->\n(?P<text>.*?)\n<!-- end of (?P=name) -->", text, re.DOTALL)
    return {each["name"]: each["text"] for each in found}


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
