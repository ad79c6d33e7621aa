"""Adding a row to a mapping table: shown, checked by the loader itself, told to the history, then put in place whole.

Here: the file as it was shown, the file as it would be, and putting it there. Not here: what a row means or moves
(``mapping_preview``). The invariants: what is put in place has passed the loader; the history has it first, with who and why; a
file that is not as it was shown is not touched; a reader sees the old file or the new one, never a part.
"""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from marketplace_returns.errors import BadArgument, BadMapping
from marketplace_returns.mappings import Mappings, columns_of, load_mappings

if TYPE_CHECKING:
    from marketplace_returns.ledger import Ledger
    from marketplace_returns.settings import Settings

CELL_CHARACTERS_MAX: Final = 500
LOCK_FILE: Final = "mappings.lock"
LOCK_WAIT_S: Final = 10.0
_BOM: Final = "\ufeff"


class MappingOvertaken(BadMapping):
    """The file was changed since it was shown; look at it again."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A row to add, and what the table's file would be with it. ``shown`` is the hash of the file it was made for."""

    table: str
    row: Mapping[str, str]
    text: str
    shown: str
    becomes: str
    mappings: Mappings
    """All tables, with the row."""


def shown_hash(settings: Settings, table: str) -> str:
    """Return the hash of a table's file as it is now; of an empty one where there is none."""
    return _hash(_text(_path(settings, table)))


def propose(settings: Settings, table: str, row: Mapping[str, str], *, by: str) -> Proposal:
    """Make the file that a table would be with one more row, and check it as the start of any command would.

    A column that ``row`` leaves out is empty; ``approved_by`` is ``by`` where nobody is named.

    Raises:
        BadMapping: the loader refuses it, with file, line and reason.
        BadArgument: there is no such table or column, or a cell holds what a table cannot.
    """
    known = columns_of(table)
    for column, cell in row.items():
        if column not in known:
            raise BadArgument(f"{table} has no column {column!r}: its columns are {', '.join(known)}")
        if len(cell) > CELL_CHARACTERS_MAX or any(ord(sign) < 32 for sign in cell):
            raise BadArgument(f"{column}: a cell is one line of at most {CELL_CHARACTERS_MAX} characters")
    cells = {column: row.get(column, "").strip() for column in known}
    if "approved_by" in known and not cells["approved_by"]:
        cells["approved_by"] = by
    path = _path(settings, table)
    old = _text(path)
    new = _with_row(old, list(known), cells)
    mappings = load_mappings(settings.mappings_dir, {table: new.removeprefix(_BOM)})
    return Proposal(table, cells, new, _hash(old), _hash(new), mappings)


def save(settings: Settings, ledger: Ledger, proposal: Proposal, *, by: str, note: str) -> Path:
    """Put a proposal in place and return the file; the next pass works with it.

    Told to the history of every shop before the file is exchanged: a process that dies between the two leaves a word of a
    change that is not there, which the next change tells as made elsewhere; never a change without a word.

    Raises:
        MappingOvertaken: the file is not as it was shown; nothing was changed.
        BadMapping: another table was broken meanwhile, or the folder may not be written to; nothing was changed or told.
    """
    path = _path(settings, proposal.table)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.data_dir / LOCK_FILE, timeout=LOCK_WAIT_S):
            found = _hash(_text(path))
            if found != proposal.shown:
                raise MappingOvertaken(
                    f"{path} was changed since it was shown: look at it again, then add the row where it is still needed"
                )
            load_mappings(settings.mappings_dir, {proposal.table: proposal.text.removeprefix(_BOM)})
            _check_writable(path)
            known = ledger.last_mapping_hash(proposal.table)
            ledger.tell_mapping(
                sorted(settings.shops),
                proposal.table,
                by=by,
                note=note,
                facts={
                    "row": ", ".join(cell for cell in proposal.row.values() if cell),
                    "before": found,
                    "after": proposal.becomes,
                    "version": proposal.mappings.version,
                    "was_changed_elsewhere": bool(known) and known != found,
                },
            )
            _exchange(path, proposal.text)
    except Timeout:
        raise MappingOvertaken(f"{path} is being changed by somebody else: try again") from None
    return path


def _check_writable(path: Path) -> None:
    """See that a file can be put beside this one, before anybody is told of a change."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as refused:
        raise BadMapping(
            f"{path}: no row can be added, for its folder cannot be written to ({refused.strerror}): let the user that runs this own "
            "the folder, or edit the table where it is kept"
        ) from None


def _exchange(path: Path, text: str) -> None:
    """Write a file whole beside the old one and let it take its place, on the disk when this returns."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _with_row(old: str, columns: list[str], cells: Mapping[str, str]) -> str:
    """Return a file with one more row at its end, in the order of its own header and with its own ends of lines."""
    end = "\r\n" if "\r\n" in old else "\n"
    header = [cell.strip() for cell in next(csv.reader(StringIO(old.removeprefix(_BOM), newline="")), [])]
    written = StringIO(newline="")
    writer = csv.writer(written, lineterminator=end)
    if not header:
        header = columns
        writer.writerow(header)
    # A header that is not right is the loader's to refuse.
    writer.writerow([cells.get(column, "") for column in header])
    body = old if not old or old.endswith(("\n", "\r")) else old + end
    return body + written.getvalue()


def _path(settings: Settings, table: str) -> Path:
    columns_of(table)
    return settings.mappings_dir / f"{table}.csv"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8") if path.exists() else ""
    except UnicodeDecodeError:
        raise BadMapping(f"{path}: is not UTF-8 text: save it as CSV UTF-8") from None
    except OSError as unreadable:
        raise BadMapping(f"{path}: cannot be read ({unreadable.strerror}): mend the file or its permissions") from None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
