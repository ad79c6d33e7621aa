"""Files that the returns platforms and Peoplevox drop, read as the objects their API clients yield.

Here: which files are new, which of them belong together, and the objects in them. Not here: how a file is fetched and cut
into rows (`extract_folder`), what becomes of the objects, and where the hashes of taken files are kept (the ledger).
Invariants: a file is taken once by its content; a file or a row that cannot be read is told, and stops nothing else; at
most one file is in memory.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from marketplace_returns.errors import BadSettings, ContractBroken
from marketplace_returns.sources.extract_folder import BrokenRow, Folder, OpenedFile, Unreadable, check_columns, rows
from marketplace_returns.sources.peoplevox import captions
from marketplace_returns.sources.peoplevox.dialect import clean_cell
from marketplace_returns.sources.rebound import layout as rebound_layout
from marketplace_returns.sources.returngo import layout as returngo_layout
from marketplace_returns.sources.reveni import layout as reveni_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence, Set

    from marketplace_returns.settings import Settings, Shop, WarehouseSettings

PAGE_SIZE = 500
EXTRACTS_FOLDER = "extracts"
"""Where in the data folder files are dropped: ``extracts/<shop>/<system>``."""

_PEOPLEVOX_NAME = re.compile(r"PVX_(.+)_(\d{12})\.csv", re.IGNORECASE)

PEOPLEVOX_STREAMS = {
    captions.DESPATCHES: "peoplevox/despatch",
    captions.RETURNS: "peoplevox/return",
    captions.GOODS_IN: "peoplevox/goods_in",
    captions.STOCK: "peoplevox/stock",
    captions.SALES_ORDERS: "peoplevox/sales_order",
    captions.PURCHASE_ORDERS: "peoplevox/purchase_order",
    captions.ITEM_TYPES: "peoplevox/item_type",
}
# A later export with the figures of an earlier one is a new statement: what is there now, not what happened.
_SNAPSHOTS = frozenset({"peoplevox/stock"})


@dataclass(frozen=True)
class DayExport:
    """An export of two files a day, returns and their items; `tells_changes`: its rows say when they changed last."""

    system: str
    key: str
    return_columns: tuple[str, ...]
    item_columns: tuple[str, ...]
    make: Callable[[Mapping[str, str], Sequence[Mapping[str, str]]], dict[str, Any]]
    tells_changes: bool
    returns: str = "returns"
    items: str = "return_items"
    item_key: str = "return_id"

    @cached_property
    def name(self) -> re.Pattern[str]:
        """What its files are called."""
        return re.compile(rf"{self.system}_({self.returns}|{self.items})_(\d{{8}})\.csv", re.IGNORECASE)


_REVENI = DayExport(
    "reveni",
    "return_id",
    reveni_layout.RETURN_COLUMNS_NEEDED,
    reveni_layout.ITEM_COLUMNS_NEEDED,
    reveni_layout.return_object,
    tells_changes=True,
)
_REBOUND = DayExport(
    "rebound",
    "id",
    rebound_layout.RETURN_COLUMNS_NEEDED,
    rebound_layout.ITEM_COLUMNS_NEEDED,
    rebound_layout.file_return,
    tells_changes=False,
)
_RETURNGO = DayExport(
    "returngo",
    "rmaId",
    returngo_layout.RMA_COLUMNS_NEEDED,
    returngo_layout.ITEM_COLUMNS_NEEDED,
    returngo_layout.rma_object,
    tells_changes=True,
    returns="rmas",
    items="rma_items",
    item_key="rmaId",
)


@dataclass(frozen=True)
class BrokenFile:
    """A file left aside; it is looked at again as long as it lies there."""

    name: str
    reason: str


@dataclass
class ExtractFile:
    """A new file (of a returns platform: the pair of a day), open until the next one is asked for.

    Attributes:
        names: the files it is made of.
        hashes: to be kept as taken once every page is landed.
        stream: what its objects are, such as `reveni/return`.
        broken_rows: rows left out; whole once the pages are read to the end.
        other_site_rows: rows of other sites, left out; whole once the pages are read to the end.
        exported_at: when it was exported, by its name; None where its objects tell their own version. Rows without a
            version are as of then, so that a file that comes late overwrites nothing newer.
    """

    names: tuple[str, ...]
    hashes: frozenset[str]
    stream: str
    _read: Callable[[ExtractFile], Iterator[dict[str, Any]]]
    broken_rows: list[BrokenRow] = field(default_factory=list)
    other_site_rows: int = 0
    exported_at: datetime | None = None

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the objects, at most `PAGE_SIZE` at a time; once."""
        page: list[dict[str, Any]] = []
        for item in self._read(self):
            page.append(item)
            if len(page) == PAGE_SIZE:
                yield page
                page = []
        if page:
            yield page


DAY_EXPORTS = {export.system: export for export in (_REVENI, _REBOUND, _RETURNGO)}
"""What the returns platforms export, by system."""


def was_taken(name: str, digest: str, taken: Set[str]) -> bool:
    """Tell whether a file of that name and content is among those taken (a snapshot is known by its name too)."""
    return not {digest, f"{name}:{digest}"}.isdisjoint(taken)


def new_files(settings: Settings, shop: Shop, system: str, taken: Set[str]) -> Iterator[ExtractFile | BrokenFile]:
    """Yield what a system's folder of a shop has that is not `taken`, and what cannot be read.

    The folder is the section's `extract_path`, else `extracts/<shop>/<system>` under `data_dir`. Raises BadSettings where
    the shop has no such system read from files, SourceUnreachable where the folder cannot be listed.
    """
    if system == shop.returns.platform and system in DAY_EXPORTS and shop.returns.read == "extract":
        return day_files(folder_of(settings, shop, system), system, taken)
    warehouse = shop.warehouse
    if warehouse is not None and system == warehouse.system and warehouse.read == "extract":
        return peoplevox_files(folder_of(settings, shop, system), warehouse, taken)
    raise BadSettings(f'shops.{shop.name}: {system} is not read from files; set read = "extract" in its section')


def folder_of(settings: Settings, shop: Shop, system: str) -> Folder:
    """Return the folder a system of a shop drops its files in; BadSettings where it cannot be opened."""
    section = shop.returns if system == shop.returns.platform else shop.warehouse
    path = section.extract_path if section is not None else ""
    return Folder(path or str(settings.data_dir / EXTRACTS_FOLDER / shop.name / system))


def day_files(folder: Folder, system: str, taken: Set[str]) -> Iterator[ExtractFile | BrokenFile]:
    """Yield the days of a returns platform that are new or changed, in order, and what cannot be read.

    A day is two files, such as `reveni_returns_YYYYMMDD.csv` and `reveni_return_items_YYYYMMDD.csv`, and waits until both are
    there. ReBound's returns do not tell when they changed: they are as of the day in the file's name.
    """
    export = DAY_EXPORTS[system]
    days: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in folder.names():
        match = export.name.fullmatch(name)
        if match is None:
            yield BrokenFile(
                name,
                f"is not named like an export ({export.system}_{export.returns}_YYYYMMDD.csv); rename it or move it away",
            )
        else:
            days[match[2]][match[1].lower()] = name
    for day, pair in sorted(days.items()):
        if len(pair) < 2:
            missing = f"{export.system}_{export.items if export.returns in pair else export.returns}"
            yield BrokenFile(next(iter(pair.values())), f"waits for {missing}_{day}.csv; drop both files of a day")
            continue
        exported_at = None if export.tells_changes else _exported_at(f"{day}0000", ZoneInfo("UTC"))
        if exported_at is None and not export.tells_changes:
            yield BrokenFile(pair[export.returns], f"is of no day there is ({day}); rename both files of the day")
            continue
        yield from _day(folder, export, pair, taken=taken, exported_at=exported_at)


def _day(
    folder: Folder, export: DayExport, pair: dict[str, str], *, taken: Set[str], exported_at: datetime | None
) -> Iterator[ExtractFile | BrokenFile]:
    opened: dict[str, OpenedFile] = {}
    try:
        for part, needed in ((export.returns, export.return_columns), (export.items, export.item_columns)):
            try:
                file = folder.open(pair[part])
                if file is None:
                    return
                opened[part] = file
                check_columns(file, needed)
            except Unreadable as unreadable:
                yield BrokenFile(pair[part], str(unreadable))
                return
        hashes = frozenset(file.digest for file in opened.values())
        if not hashes <= taken:
            yield ExtractFile(
                tuple(file.name for file in opened.values()),
                hashes,
                f"{export.system}/return",
                lambda extract: _day_objects(extract, export, opened[export.returns], opened[export.items]),
                exported_at=exported_at,
            )
    finally:
        for file in opened.values():
            file.content.close()


def _day_objects(
    extract: ExtractFile, export: DayExport, returns: OpenedFile, items: OpenedFile
) -> Iterator[dict[str, Any]]:
    items_of: defaultdict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    for line, cells in rows(items, extract.broken_rows):
        item = dict(zip(items.header, (cell.strip() for cell in cells), strict=True))
        items_of[item[export.item_key]].append((line, item))
    for line, cells in rows(returns, extract.broken_rows):
        row = dict(zip(returns.header, (cell.strip() for cell in cells), strict=True))
        return_id = row[export.key]
        if not return_id:
            extract.broken_rows.append(BrokenRow(returns.name, line, f"has no {export.key}"))
            continue
        yield export.make(row, [item for _, item in items_of.pop(return_id, ())])
    for orphans in items_of.values():
        for line, item in orphans:
            reason = f"belongs to return {item[export.item_key]!r}, which {returns.name} does not have"
            extract.broken_rows.append(BrokenRow(items.name, line, reason))


def peoplevox_files(folder: Folder, settings: WarehouseSettings, taken: Set[str]) -> Iterator[ExtractFile | BrokenFile]:
    """Yield the exports that are new or changed, in order of their names, and what cannot be read.

    Files are `PVX_<Report name>_<yyyyMMddHHmm>.csv` in the dialect of the service; dates are the tenant's wall time, and
    only rows of the sites in the settings are yielded.
    """
    for name in folder.names():
        match = _PEOPLEVOX_NAME.fullmatch(name)
        template = peoplevox_template(name)
        exported_at = _exported_at(match[2], ZoneInfo(settings.time_zone)) if match else None
        if template is None or exported_at is None:
            known = ", ".join(template.name for template in PEOPLEVOX_STREAMS)
            yield BrokenFile(
                name, f"is no report that is read (PVX_<{known}>_yyyyMMddHHmm.csv); rename it or move it away"
            )
            continue
        yield from _peoplevox_file(folder, name, template, exported_at, settings=settings, taken=taken)


def peoplevox_template(name: str) -> captions.Template | None:
    """Return the report that a file is of, by its name; None where it is none that is read."""
    match = _PEOPLEVOX_NAME.fullmatch(name)
    templates = {captions.normalised(template.name): template for template in PEOPLEVOX_STREAMS}
    return templates.get(captions.normalised(match[1])) if match else None


def _peoplevox_file(
    folder: Folder,
    name: str,
    template: captions.Template,
    exported_at: datetime,
    *,
    settings: WarehouseSettings,
    taken: Set[str],
) -> Iterator[ExtractFile | BrokenFile]:
    stream = PEOPLEVOX_STREAMS[template]
    try:
        opened = folder.open(name)
    except Unreadable as unreadable:
        yield BrokenFile(name, str(unreadable))
        return
    if opened is None:
        return
    with opened.content:
        digest = opened.digest if stream not in _SNAPSHOTS else f"{name}:{opened.digest}"
        if digest in taken:
            return
        try:
            reading = captions.read_captions(template, opened.header, settings.captions)
        except ContractBroken as broken:
            yield BrokenFile(name, str(broken))
            return
        zone = ZoneInfo(settings.time_zone)
        yield ExtractFile(
            (name,),
            frozenset({digest}),
            stream,
            lambda extract: _peoplevox_rows(extract, opened, reading, settings.sites, zone),
            exported_at=exported_at,
        )


def _exported_at(stamp: str, zone: ZoneInfo) -> datetime | None:
    """Read the wall time in a file's name; None where there is no such time."""
    try:
        local = datetime.strptime(stamp, "%Y%m%d%H%M")  # noqa: DTZ007 - wall time; the zone is put on below
    except ValueError:
        return None
    return local.replace(tzinfo=zone).astimezone(UTC)


def _peoplevox_rows(
    extract: ExtractFile, opened: OpenedFile, reading: captions.Reading, sites: Sequence[str], zone: ZoneInfo
) -> Iterator[dict[str, Any]]:
    numbers = captions.RowNumbers(reading.template)
    first_site = ""
    for line, cells in rows(opened, extract.broken_rows):
        row = reading.row([clean_cell(cell) for cell in cells], zone)
        if sites and row.get("site", captions.ANY_SITE) not in {*sites, captions.ANY_SITE}:
            extract.other_site_rows += 1
            continue
        first_site = first_site or row.get("site", "")
        if reading.template is captions.STOCK and not sites and row.get("site", "") != first_site:
            reason = f"is of site {row['site']!r} beside {first_site!r}; set the warehouse's site in the settings"
            extract.broken_rows.append(BrokenRow(opened.name, line, reason))
            continue
        yield from numbers.number([row])
