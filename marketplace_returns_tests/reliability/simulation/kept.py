"""The results of seeds, kept as each is played, so that a run of hours that was stopped goes on where it was.

Here lives their file, one JSON object a line. Not here: playing or adding up. Invariant: only what the very same commit, unchanged,
has played counts; a line that was cut off by a stop is played again.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from marketplace_returns_tests.reliability.simulation.play import Result

_COUNTED = tuple(each.name for each in fields(Result) if each.default_factory is Counter)


def keep(file: Path, commit: str, result: Result) -> None:
    """Add a seed's result; what a commit with changes has played proves nothing later, so it is not kept."""
    if is_changed(commit):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"commit": commit, **vars(result)}) + "\n")


def kept(file: Path, commit: str) -> dict[int, Result]:
    """Return the results that this commit has played already, by seed."""
    found: dict[int, Result] = {}
    if is_changed(commit) or not file.exists():
        return found
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if row.pop("commit") == commit:
            found[row["seed"]] = Result(**row | {name: Counter(row[name]) for name in _COUNTED})
    return found


def is_changed(commit: str) -> bool:
    """Tell whether files differ from the commit."""
    return " " in commit
