"""The extract files in our own data folder: those of an erased customer are blanked, those whose time is over go.

Not here: what a file means (``sources``), what is read of an object (``lake``), folders elsewhere, which are their owner's. The
invariants: only a file that was taken is touched, so that none is lost unread or changed while it is written; a file that is blanked
is not taken again, keeps its time, and gives the same rows when it is read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Set
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from marketplace_returns.lake.landing import cut_down
from marketplace_returns.lake.objects import OBJECT_KINDS
from marketplace_returns.lake.personal import NOTHING, RULES, order_of, split
from marketplace_returns.lake.personal_store import object_name, order_name
from marketplace_returns.sources.extract_blanking import Blanked, blanked
from marketplace_returns.sources.extracts import EXTRACTS_FOLDER, was_taken

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App

_KINDS = {kind.stream: kind for kind in OBJECT_KINDS}


def blank_erased(app: App, shop: str, names: Set[str], *, system: str = "", files: Collection[str] = ()) -> int:
    """Leave of the objects that an erasure names only the cells that are read; return how many files changed.

    Of one ``system`` and its ``files`` only, where they are given. May be done again; two at once do it once.
    """
    done = 0
    for folder in sorted((app.settings.data_dir / EXTRACTS_FOLDER / shop).glob(system or "*")):
        taken = app.ledger.taken_files(shop, folder.name)
        configured = app.settings.shops.get(shop)
        for file in blanked(
            [path for path in _files(folder) if not files or path.name in files],
            folder.name,
            configured.warehouse if configured is not None else None,
            content_of=partial(_taken_content, taken),
            read_of=partial(_read_of, names),
        ):
            app.ledger.take_files(shop, folder.name, [(hashlib.sha256(file.after).hexdigest(), file.path.name)])
            done += _replace(file)
    return done


def end_old(app: App) -> int:
    """Delete the files that were taken and are older than their time; return how many."""
    before = app.clock.now() - timedelta(days=app.settings.privacy.extract_days)
    ended = 0
    for folder in sorted((app.settings.data_dir / EXTRACTS_FOLDER).glob("*/*")):
        taken = app.ledger.taken_files(folder.parent.name, folder.name)
        for path in _files(folder):
            is_old = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC) < before
            if is_old and _taken_content(taken, path) is not None:
                path.unlink(missing_ok=True)
                ended += 1
    return ended


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() == ".csv")


def _taken_content(taken: Set[str], path: Path) -> bytes | None:
    content = path.read_bytes()
    return content if was_taken(path.name, hashlib.sha256(content).hexdigest(), taken) else None


def _read_of(names: Set[str], stream: str, found: dict[str, Any]) -> bytes | None:
    kind = _KINDS[stream]
    rule = RULES.get((kind.source, kind.name), NOTHING)
    called = {object_name(kind.source, kind.name, kind.id_of(found)), order_name(order_of(found, rule))}
    if called.isdisjoint(names):
        return None
    return cut_down(kind, msgspec.json.encode(split(found, rule)[0], enc_hook=str))


def _replace(file: Blanked) -> bool:
    """Put a file's new content in its place, with the time it was written; not where it is another by now."""
    path = file.path
    written = path.with_name(f"{path.name}.tmp")
    as_it_was = path.stat()
    written.write_bytes(file.after)
    written.chmod(as_it_was.st_mode)
    os.utime(written, ns=(as_it_was.st_atime_ns, as_it_was.st_mtime_ns))
    if path.read_bytes() != file.before:
        written.unlink()
        return False
    written.replace(path)
    return True
