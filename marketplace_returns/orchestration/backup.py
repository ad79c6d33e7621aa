"""A backup of the installation, made while it runs, and its restore.

Here: what belongs to a backup, in which order it is copied, and in which it is put back. Not here: how a database is copied
(``copies``). The invariants: the ledger is copied before the lake, so the lake knows everything the ledger's cursors and writes
stand on; the personal fields after it, so that every order the lake knows has its address; a restored ledger is marked before anything can open it, and sends nothing until what was sent after the backup is
known; what a restore replaces is kept; of personal fields it replaces nothing and adds what the backup has, and who was erased
stays erased.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock, Timeout
from sqlalchemy import text

from marketplace_returns.clock import Clock
from marketplace_returns.errors import BadArgument, LakeBusy, LedgerBusy
from marketplace_returns.lake.connection import (
    CATALOG_FILE,
    FILES_FOLDER,
    FOLDER,
    LOCK_FILE,
    METADATA_SCHEMA,
    RESTORING,
    Lake,
)
from marketplace_returns.lake.personal_store import PERSONAL_FILE, PersonalStore
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.connection import LEDGER_FILE, open_engine, transaction
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.copies import (
    copy_sqlite,
    dump_postgres,
    put_back_postgres,
    put_back_sqlite,
)
from marketplace_returns.orchestration.privacy import erase_again
from marketplace_returns.settings import Settings
from marketplace_returns.webhooks.inbox import FILE_NAME as INBOX_FILE

MANIFEST: Final = "manifest.json"
VERSION: Final = 1
LEDGER_DUMP: Final = "ledger.sql"
CATALOG_DUMP: Final = "catalog.sql"
_LOCK_WAIT_S: Final = 5.0
_LOOKS_MAX: Final = 15
Say = Callable[[str], None]


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds, written last: without it a folder is no backup.

    ``files`` gives the SHA-256 of each file by name; ``history`` where each shop's history stood at the least.
    """

    version: int
    made_at: datetime
    ledger: str
    catalog: str
    lake_storage: str
    lake_files: int
    files: dict[str, str]
    history: dict[str, str]
    shops: list[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: from which instant, and where what it replaced is kept."""

    made_at: datetime
    restored_at: datetime
    shops: list[str]
    replaced: str


def back_up(app: App, folder: Path, *, say: Say) -> Manifest:
    """Copy ledger, inbox, catalog and the lake's files into a new folder, while others go on.

    Files in S3 are not copied: the manifest names their place, and the catalog the files.

    Raises:
        BadArgument: the folder has something in it.
        BadSettings: Postgres' programs are needed and not there.
        LakeBusy: the catalog stayed locked.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadArgument(
            f"{folder} is not an empty folder: give one that is not there yet, a backup has a folder of its own"
        )
    folder.mkdir(parents=True, exist_ok=True)
    settings, lake = app.settings, app.lake
    app.ledger.flush_calls()
    made_at = app.clock.now()
    history = {chain: f"{position}:{last}" for chain, (position, last) in app.ledger.history_ends().items()}
    say("ledger")
    if settings.ledger_url:
        dump_postgres(settings.ledger_url, _schema(settings), folder / LEDGER_DUMP)
    else:
        copy_sqlite(settings.data_dir / LEDGER_FILE, folder / LEDGER_FILE)
        if (settings.data_dir / INBOX_FILE).exists():
            copy_sqlite(settings.data_dir / INBOX_FILE, folder / INBOX_FILE)
    say("catalog of the lake")
    if settings.lake_catalog:
        dump_postgres(settings.lake_catalog, METADATA_SCHEMA, folder / CATALOG_DUMP)
    else:
        (folder / FOLDER).mkdir()
        lake.in_turn("backup", lambda: copy_sqlite(lake.folder / CATALOG_FILE, folder / FOLDER / CATALOG_FILE))
    say("files of the lake")
    copied = 0 if settings.lake_storage else _copy_files(Path(lake.storage), folder / FOLDER / FILES_FOLDER)
    if not settings.lake_catalog and not settings.lake_storage:
        _refuse_missing_files(folder / FOLDER)
    say("personal fields")
    lake.personal.copy_to(PersonalStore(folder / PERSONAL_FILE))
    manifest = Manifest(
        version=VERSION,
        made_at=made_at,
        ledger=_kind(settings.ledger_url),
        catalog=_kind(settings.lake_catalog),
        lake_storage=settings.lake_storage,
        lake_files=copied,
        files={path.relative_to(folder).as_posix(): _sha256(path) for path in _files(folder)},
        history=history,
        shops=sorted(settings.shops),
    )
    written = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(written + b"\n")
    return manifest


def restore(settings: Settings, folder: Path, clock: Clock, *, say: Say) -> Restored:
    """Put a backup in the place of the installation's ledger, inbox and lake, and have it read back before it sends.

    The ledger first: with the lake of now it is whole as well, should this end half-way. It may be run again.

    Raises:
        BadArgument: the folder is no whole backup, or one of another kind of installation.
        LedgerBusy, LakeBusy: another process is at work; nothing was replaced.
    """
    manifest = _read(settings, folder)
    now = clock.now()
    shops = sorted({*manifest.shops, *settings.shops})
    aside = settings.data_dir / f"replaced-{now:%Y%m%dT%H%M%SZ}"
    restored = Restored(manifest.made_at, now, shops, str(aside))
    staging = settings.data_dir / RESTORING
    aside.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    say("copying the lake")
    if (folder / FOLDER).exists():
        shutil.copytree(folder / FOLDER, staging / FOLDER)
    say("personal fields")
    backed_up = _bring_back_personal(settings, folder, staging)
    say("ledger")
    if settings.ledger_url:
        schema = _schema(settings)
        _refuse_while_others_are_connected(settings)
        dump_postgres(settings.ledger_url, schema, aside / LEDGER_DUMP)
        put_back_postgres(settings.ledger_url, folder / LEDGER_DUMP, [_marks(schema, restored)])
        _mark(settings, restored, clock)
    else:
        shutil.copyfile(folder / LEDGER_FILE, staging / LEDGER_FILE)
        _mark(settings.model_copy(update={"data_dir": staging}), restored, clock)
        put_back_sqlite(staging / LEDGER_FILE, settings.data_dir / LEDGER_FILE, aside / LEDGER_FILE)
        if INBOX_FILE in manifest.files:
            put_back_sqlite(folder / INBOX_FILE, settings.data_dir / INBOX_FILE, aside / INBOX_FILE)
    say("lake")
    if settings.lake_catalog:
        dump_postgres(settings.lake_catalog, METADATA_SCHEMA, aside / CATALOG_DUMP)
        put_back_postgres(settings.lake_catalog, folder / CATALOG_DUMP)
    if (staging / FOLDER).exists():
        _swap_lake(settings.data_dir / FOLDER, staging / FOLDER, aside / FOLDER)
    lake = Lake.open(settings)
    if lake.personal.erasures():
        say("erasing again")
        with Ledger.open(settings, clock) as ledger:
            erase_again(lake, ledger, backed_up, run_id=f"restore-{now:%Y%m%dT%H%M%SZ}")
    shutil.rmtree(staging)
    return restored


def _bring_back_personal(settings: Settings, folder: Path, staging: Path) -> PersonalStore:
    """Add the personal fields of a backup to those that are kept, but for who was erased; return the backup's own."""
    if (folder / PERSONAL_FILE).exists():  # an older backup has them in the lake, which gives them when it is opened
        shutil.copyfile(folder / PERSONAL_FILE, staging / PERSONAL_FILE)
    backed_up = PersonalStore(staging / PERSONAL_FILE)
    kept = PersonalStore(settings.lake_catalog or settings.data_dir / PERSONAL_FILE)
    backed_up.copy_to(kept)
    kept.unsettle()
    return backed_up


def _mark(settings: Settings, restored: Restored, clock: Clock) -> None:
    with Ledger.open(settings, clock) as ledger:
        ledger.mark_restored(restored.shops, backed_up_at=restored.made_at, restored_at=restored.restored_at)


def _marks(schema: str, restored: Restored) -> str:
    """Return the statement that marks the shops of a Postgres ledger as restored, for the transaction that restores it."""
    listed = ", ".join(f"('{shop}')" for shop in restored.shops)  # names of letters, digits and underscores (settings)
    return (
        f'INSERT INTO "{schema}".restores (shop, restored_at, backed_up_at) '
        f"SELECT shop, '{restored.restored_at.isoformat()}', '{restored.made_at.isoformat()}' FROM "
        f'(SELECT shop FROM "{schema}".intents UNION SELECT * FROM (VALUES {listed}) AS named(shop)) AS known'
    )


def _swap_lake(current: Path, new: Path, aside: Path) -> None:
    current.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(current / LOCK_FILE, timeout=_LOCK_WAIT_S):
            current.rename(aside)
            new.rename(current)
    except Timeout:
        raise LakeBusy(
            f"{current} is being written to. The ledger is restored already, the lake is not: stop what is running, then run "
            "the restore again."
        ) from None


def _refuse_while_others_are_connected(settings: Settings) -> None:
    engine = open_engine(settings.data_dir, settings.ledger_url)
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(_LOOKS_MAX):  # a connection that was closed just now is still listed for a moment
        with transaction(engine, is_reading=True) as connection:
            count = connection.execute(text(f"{others} AND backend_type = 'client backend'")).scalar_one()
            if not count:
                break
            connection.execute(text("SELECT pg_sleep(0.2)"))
    engine.dispose()
    if count:
        raise LedgerBusy(
            f"{count} other connections to the ledger's database are open, and nothing was restored: stop Dagster, the webhook "
            "service and running commands, then try again."
        )


def _schema(settings: Settings) -> str:
    """Return the schema that the ledger's tables are in."""
    engine = open_engine(settings.data_dir, settings.ledger_url)
    with transaction(engine, is_reading=True) as connection:
        schema = str(connection.execute(text("SELECT current_schema()")).scalar_one())
    engine.dispose()
    return schema


def _read(settings: Settings, folder: Path) -> Manifest:
    """Read a backup's manifest and hold the backup and the settings against it."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BadArgument(
            f"{path}: there is no such file, so {folder} is no whole backup: give the folder of one"
        ) from None
    except msgspec.DecodeError as broken:
        raise BadArgument(f"{path}: cannot be read ({broken}): give the folder of a whole backup") from None
    if manifest.version != VERSION:
        raise BadArgument(f"{path}: is of version {manifest.version}, this program reads {VERSION}")
    for what, there, wanted in (
        ("ledger_url", manifest.ledger, _kind(settings.ledger_url)),
        ("lake_catalog", manifest.catalog, _kind(settings.lake_catalog)),
        ("lake_storage", manifest.lake_storage, settings.lake_storage),
    ):
        if there != wanted:
            raise BadArgument(
                f"{path}: the backup is of {what} {there or 'the data folder'!r}, the settings say {wanted or 'the data folder'!r}: "
                "set them as they were when it was made"
            )
    for name, digest in manifest.files.items():
        if not (folder / name).exists() or _sha256(folder / name) != digest:
            raise BadArgument(
                f"{folder / name}: is missing or not as it was written: the backup is broken, give another"
            )
    return manifest


def _copy_files(source: Path, target: Path) -> int:
    """Copy the lake's files, which never change once written; one that the upkeep deletes meanwhile is needed by nobody."""
    copied = 0
    for path in sorted(source.rglob("*.parquet")):
        there = target / path.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, there)
        except FileNotFoundError:
            continue
        copied += 1
    return copied


def _refuse_missing_files(lake: Path) -> None:
    """Raise LakeBusy where the catalog's copy names a file that was not copied."""
    there = {path.name for path in lake.rglob("*.parquet")}
    named: set[str] = set()
    with closing(sqlite3.connect(lake / CATALOG_FILE)) as catalog:
        for table in ("ducklake_data_file", "ducklake_delete_file"):
            named |= {Path(path).name for (path,) in catalog.execute(f"SELECT path FROM {table}")}
    if missing := sorted(named - there):
        raise LakeBusy(
            f"{len(missing)} files of the lake were deleted while it was copied ({missing[0]}): back up again."
        )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _kind(url: str) -> str:
    return "postgres" if url else "sqlite"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
