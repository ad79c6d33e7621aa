"""Storage: can this installation keep what it must not lose.

Here: the data folder, the lake, the ledger, and Dagster's home. Not here: what is in them. The invariant: a SQLite ledger or
catalog never lies on a network folder, where its locks do not hold.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from marketplace_returns.lake.connection import snapshot_of
from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level

_finding = partial(Finding, area="storage")

FREE_BYTES_MIN: Final = 2 * 1024**3
_MOUNTS: Final = Path("/proc/mounts")
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "afs"}
)


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find a data folder that is full, read-only or on a network, a lake with rows set aside, and a missing Dagster home."""
    app, shop = inspection.app, inspection.shop
    settings = app.settings
    folder = settings.data_dir.resolve()
    uses_sqlite = not settings.ledger_url or not settings.lake_catalog
    kind = filesystem_of(folder)
    if uses_sqlite and kind in _NETWORK:
        yield _finding(
            shop=shop.name,
            subject="data_dir",
            level=Level.CRITICAL,
            finding=f"data_dir {settings.data_dir} is on a network folder ({kind}): SQLite's locks do not hold there, and rows get lost.",
            fix="Set data_dir to a local disk, or ledger_url and lake_catalog to a Postgres database.",
        )
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_MIN:
        yield _finding(
            shop=shop.name,
            subject="free space",
            level=Level.HIGH,
            finding=f"{free // 1024**2} MB are free where data_dir lies.",
            fix="Make room, or move data_dir; 'lake maintain' merges small files.",
        )
    version = snapshot_of(app.con)
    ((aside,),) = app.con.execute("SELECT count(*) FROM lake.landing.quarantine WHERE shop = ?", [shop.name]).fetchall()
    if aside:
        yield _finding(
            shop=shop.name,
            subject="quarantine",
            level=Level.MEDIUM,
            finding=f"{aside} rows are set aside because they are not of the agreed form (lake version {version}).",
            fix="See the exceptions of type SCHEMA_CHANGED: each names the row and the check it failed.",
        )
    yield from _dagster(inspection)


def _dagster(inspection: Inspection) -> Iterator[Finding]:
    home = inspection.dagster_home
    if home is None:
        return
    if not (home / "dagster.yaml").exists():
        yield _finding(
            shop=inspection.shop.name,
            subject="DAGSTER_HOME",
            level=Level.MEDIUM,
            finding=f"There is no dagster.yaml in {home}: runs and their history would be kept in a folder that is thrown away.",
            fix="Start from the project's folder, or set DAGSTER_HOME to the folder that holds dagster.yaml.",
        )
    elif not os.access(home, os.W_OK):
        yield _finding(
            shop=inspection.shop.name,
            subject="DAGSTER_HOME",
            level=Level.HIGH,
            finding=f"{home} cannot be written to, so Dagster cannot keep its runs.",
            fix="Give this user the right to write there.",
        )


def filesystem_of(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Return the kind of file system a folder is on, as the kernel names it; empty where that cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    points = [(parts[1].replace("\\040", " "), parts[2]) for line in lines if len(parts := line.split()) > 2]
    holding = [(point, kind) for point, kind in points if folder.is_relative_to(point)]
    return max(holding, key=lambda each: len(each[0]))[1] if holding else ""
