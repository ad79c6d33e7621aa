"""Copying a database while others use it, and putting a copy back: SQLite by its online backup, Postgres by its own programs.

Here: whole databases. Not here: what is in them. The invariants: a copy is one state of the database; what is put back
replaces all or nothing, and not while another process holds the database; no password is on a command line.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from marketplace_returns.errors import BadSettings, LedgerBusy

_BUSY_S: Final = 5.0
_SAID_MAX: Final = 300


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database, as it is at one instant, into one file."""
    with closing(sqlite3.connect(source)) as held, closing(sqlite3.connect(target)) as copy:
        held.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    _to_disk(target)


def put_back_sqlite(copy: Path, target: Path, aside: Path) -> None:
    """Replace the content of a database by that of a copy, all or nothing; what was there is kept under ``aside``.

    Raises:
        LedgerBusy: another process has the database open; nothing was changed.
    """
    with closing(sqlite3.connect(target, timeout=_BUSY_S, isolation_level=None)) as current:
        try:
            current.execute("PRAGMA locking_mode = EXCLUSIVE")
            current.execute("BEGIN EXCLUSIVE")
            current.execute("COMMIT")  # the lock stays until the connection is closed
            with closing(sqlite3.connect(aside)) as kept:
                current.backup(kept)
        except sqlite3.OperationalError as held:
            raise LedgerBusy(
                f"{target} is open in another process, and nothing was restored: stop Dagster, the webhook service and running "
                "commands, then try again."
            ) from held
        except sqlite3.DatabaseError:  # broken: its file is kept as it is, and the copy takes its place
            is_broken = True
        else:
            is_broken = False
            with closing(sqlite3.connect(copy)) as whole:
                whole.backup(current)
    if is_broken:
        aside.unlink(missing_ok=True)
        for ending in ("", "-wal", "-shm"):
            left = target.with_name(target.name + ending)
            if left.exists():
                left.replace(aside.with_name(aside.name + ending))
        shutil.copyfile(copy, target)
    _to_disk(target)


def dump_postgres(url: str, schema: str, target: Path) -> None:
    """Write one schema of a database, as it is at one instant, as SQL that drops what is there and makes it anew."""
    with _address(url) as address:
        how = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--schema", schema)
        _run("pg_dump", *how, "--file", str(target), "--dbname", address)


def put_back_postgres(url: str, dump: Path, then: Sequence[str] = ()) -> None:
    """Run a dump and the statements after it as one transaction: all of it is there, or nothing was changed."""
    commands = [part for statement in then for part in ("--command", statement)]
    with _address(url) as address:
        how = ("--quiet", "--no-psqlrc", "--single-transaction", "--set", "ON_ERROR_STOP=1")
        _run("psql", *how, "--dbname", address, "--output", os.devnull, "--file", str(dump), *commands)


@contextmanager
def _address(url: str) -> Iterator[str]:
    """Give the address of a database with its password in a file that only we can read."""
    parts = make_url(url).set(drivername="postgresql")
    if parts.password is None:
        yield parts.render_as_string(hide_password=False)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pgpass") as passfile:  # made readable for its owner alone
        escaped = str(parts.password).replace("\\", "\\\\").replace(":", "\\:")
        passfile.write(f"*:*:*:*:{escaped}\n")
        passfile.flush()
        without = parts.set(password=None).update_query_dict({"passfile": passfile.name})
        yield without.render_as_string(hide_password=False)


def _run(program: str, *arguments: str) -> None:
    path = shutil.which(program)
    if path is None:
        raise BadSettings(
            f"{program} is not on this machine: a Postgres ledger or catalog is copied by Postgres' own programs; install "
            "its client package, of the server's version or newer"
        )
    try:
        subprocess.run([path, *arguments], check=True, capture_output=True, text=True)  # noqa: S603 - no shell, our own words
    except subprocess.CalledProcessError as failed:
        said = " ".join(str(failed.stderr).split())[:_SAID_MAX]
        raise BadSettings(f"{program} could not do it: {said}") from None


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
