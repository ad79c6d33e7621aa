"""A folder of CSV files at a path or an fsspec address: fetched whole, hashed, and cut into rows.

Here: what is a whole file, and what of it is no row. Not here: what a file or a column means. Invariant: what is parsed
is the copy that was hashed and checked, whatever happens to the file meanwhile.

A file still being written is either skipped (its size changes while it is read, or its name ends in .tmp, .part, ...) or
read as it is; once whole it has another hash, is read again, and the upsert sets right what was cut.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import fsspec

from marketplace_returns.errors import BadSettings, SourceUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_BYTES_MAX = 2 * 1024**3
MEMORY_BYTES_MAX = 8 * 1024**2  # a longer file is spooled to disk
CHUNK_BYTES = 1024**2
FILES_MAX = 100_000


@dataclass(frozen=True)
class BrokenRow:
    """A row left out of a file that was read otherwise; `line` counts from 1, the header being line 1."""

    name: str
    line: int
    reason: str


class Unreadable(Exception):
    """A file cannot be read; the message says why and what mends it."""


@dataclass(frozen=True)
class OpenedFile:
    """A file's content on this machine, whole, checked to be UTF-8, and its header."""

    name: str
    digest: str
    content: IO[bytes]
    header: tuple[str, ...]


class Folder:
    """A folder of extract files at a local path or an fsspec address."""

    def __init__(self, address: str) -> None:
        """Open the folder; raises BadSettings where the address is of a kind this installation cannot open."""
        try:
            self._files, self._path = fsspec.core.url_to_fs(address)
        except ImportError as error:
            raise BadSettings(
                f"extract_path {address!r}: this installation reads local folders only; for s3:// and sftp:// install the "
                "extra: pip install 'marketplace-returns[extracts]'"
            ) from error
        except ValueError as error:
            raise BadSettings(f"extract_path {address!r} cannot be opened ({error}); correct it") from error
        except _errors_of_transports() as error:  # sftp:// signs in here
            raise _unreachable(address, error) from error

    def names(self) -> list[str]:
        """Return the names of the CSV files, in order; nothing where the folder is not there yet."""
        self._files.invalidate_cache()
        try:
            entries = self._files.ls(self._path, detail=True)
        except FileNotFoundError:
            return []
        except _errors_of_transports() as error:
            raise _unreachable(self._path, error) from error
        found = sorted(
            str(entry["name"]).rsplit("/", 1)[-1]
            for entry in entries
            if entry["type"] == "file" and str(entry["name"]).lower().endswith(".csv")
        )
        if len(found) > FILES_MAX:
            raise BadSettings(
                f"{self._path}: {len(found)} files are more than {FILES_MAX}; move those already taken away"
            )
        return found

    def open(self, name: str) -> OpenedFile | None:
        """Fetch a file whole; None while it is still growing or just gone. Raises Unreadable."""
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX)  # noqa: SIM115 - closed by the reader
        try:
            digest = self._fetch(f"{self._path.rstrip('/')}/{name}", spool)
            header = () if digest is None else _header(spool)
        except BaseException:
            spool.close()
            raise
        if digest is None:
            spool.close()
            return None
        return OpenedFile(name, digest, spool, header)

    def _fetch(self, path: str, spool: IO[bytes]) -> str | None:
        """Copy a file into `spool` and return its hash, or None where it changed meanwhile. Raises Unreadable."""
        digest = hashlib.sha256()
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            size = _bounded(self._files.info(path)["size"])
            with self._files.open(path, "rb") as source:
                while spool.tell() <= size and (chunk := source.read(CHUNK_BYTES)):
                    digest.update(chunk)
                    decoder.decode(chunk)
                    spool.write(chunk)
            self._files.invalidate_cache()
            if spool.tell() != size or self._files.info(path)["size"] != size:
                return None
            decoder.decode(b"", final=True)
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise Unreadable(f"is not UTF-8 ({error.reason}); export it as UTF-8") from error
        except _errors_of_transports() as error:
            raise Unreadable(f"cannot be read ({_reason(error)}); check the rights of the file") from error
        return digest.hexdigest()


def _errors_of_transports() -> tuple[type[Exception], ...]:
    """Return what a folder can fail with; s3fs and paramiko raise errors of their own, where they were ever loaded."""
    known = (("botocore.exceptions", "BotoCoreError"), ("paramiko.ssh_exception", "SSHException"))
    loaded = [getattr(sys.modules[module], name) for module, name in known if module in sys.modules]
    return (OSError, EOFError, *loaded)


def _unreachable(place: str, error: Exception) -> SourceUnreachable:
    return SourceUnreachable(
        f"extract folder {place}: cannot be listed ({_reason(error)}); check the address and that this user may read it",
        system="extracts",
        operation="list",
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _bounded(size: int) -> int:
    if size > FILE_BYTES_MAX:
        raise Unreadable(f"is larger than {FILE_BYTES_MAX} bytes; export shorter periods")
    return size


def _header(spool: IO[bytes]) -> tuple[str, ...]:
    """Read the first row, trimmed. Raises Unreadable where there is none."""
    try:
        header = next(csv.reader(_text(spool), strict=True), [])
    except csv.Error as error:
        raise Unreadable(f"has no readable header ({error}); export it as CSV") from error
    if not any(cell.strip() for cell in header):
        raise Unreadable("is empty; drop it again with its header row")
    return tuple(cell.strip() for cell in header)


def check_columns(opened: OpenedFile, needed: tuple[str, ...]) -> None:
    """Raise Unreadable where a file lacks one of its columns or has one twice."""
    missing = [column for column in needed if column not in opened.header]
    if missing:
        raise Unreadable(f"lacks the column(s) {', '.join(missing)}; export them, under these names")
    if len(set(opened.header)) != len(opened.header):
        raise Unreadable("has a column twice; export each once")


def rows(opened: OpenedFile, broken: list[BrokenRow]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row below the header; what is no row of that width is put into `broken`.

    Strict, so that a quote that is never closed costs the rows it touches and not the rest of the file.
    """
    reader = csv.reader(_text(opened.content), strict=True)
    next(reader)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken.append(BrokenRow(opened.name, reader.line_num, f"is not CSV ({error})"))
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(opened.header):
            reason = f"has {len(cells)} values for {len(opened.header)} columns"
            broken.append(BrokenRow(opened.name, reader.line_num, reason))
            continue
        yield reader.line_num, cells


def _text(spool: IO[bytes]) -> Iterator[str]:
    """Yield the lines of the content from its start, a byte order mark left out; the content stays open."""
    spool.seek(0)
    lines = codecs.iterdecode(iter(spool.readline, b""), "utf-8-sig")
    yield from lines
