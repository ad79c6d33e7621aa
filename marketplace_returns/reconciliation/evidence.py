"""The pack that closing a month keeps: where it lies, how it is replaced, and its proofs read back without the lake.

Here: what a page may ask of a closed month in milliseconds. Not here: making the pack (``pack``). The invariants: it loads neither the
lake nor what draws and writes a pack; the pack that is read is whole and that of the month's last step, wherever a crash came.

A new pack waits beside the kept one, named after the step it belongs to (``2026-10.SIGNED-412``: state and lake snapshot), until the
ledger has that step.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from marketplace_returns.ledger.periods import FINAL, Period, PeriodState
from marketplace_returns.periods import Month

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Proof:
    """One invariant of one shop as the manifest and the cover sheet show it; ``result`` is PROVEN, VARIANCE or NO DATA."""

    shop: str
    id: str
    result: str
    message: str


@dataclass(frozen=True, slots=True)
class MadeWith:
    """What a shop's pack was made with, for the audit trail; no part of the content hash.

    Attributes:
        shop: the shop.
        version: the product's version, which names its rules.
        mappings: the version of the mapping tables (``Mappings.version``).
        mapping_files: the SHA-256 of each of their files, by its name.
        date_formats: how each accounting system's journals write dates (settings ``journals.date_format``).
        tolerances: by how much each check let two sides differ as rounding, by currency, as a decimal (settings ``tolerances``).
    """

    shop: str
    version: str
    mappings: str
    mapping_files: Mapping[str, str]
    date_formats: Mapping[str, str]
    tolerances: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it as cover and page do."""
        return f"version {self.version}, mappings {self.mappings}"


class _Manifest(msgspec.Struct):
    """What is read of a pack's manifest."""

    proofs: list[Proof]


def kept_pack(data_dir: Path, shop_name: str, month: Month) -> Path:
    """Return the folder that keeps the pack of a closed month."""
    return data_dir / "periods" / shop_name / str(month)


def coming_pack(data_dir: Path, period: Period) -> Path:
    """Return where the pack waits that is kept once a month is in this state; a locked month has the one it was signed with."""
    state = PeriodState.SIGNED if period.state in FINAL else period.state
    kept = kept_pack(data_dir, period.shop, period.month)
    return kept.with_name(f"{period.month}.{state}-{period.lake_snapshot}")


def settle(data_dir: Path, period: Period) -> None:
    """Let the kept pack be that of a month's last step, and drop any other; only in the turn of the lake's writers, where no step is half done."""
    kept, coming = kept_pack(data_dir, period.shop, period.month), coming_pack(data_dir, period)
    if coming.exists():
        replaced = kept.with_name(f"{period.month}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if kept.exists():
            kept.rename(replaced)
        coming.rename(kept)
    for left in kept.parent.glob(f"{period.month}.*"):
        shutil.rmtree(left, ignore_errors=True)


def kept_manifest(data_dir: Path, period: Period) -> bytes:
    """Return the manifest of the pack that a month's last step left; nothing where none is kept."""
    # The waiting one first: it is gone only when it has become the kept one.
    for folder in (coming_pack(data_dir, period), kept_pack(data_dir, period.shop, period.month)):
        try:
            return (folder / MANIFEST).read_bytes()
        except OSError:
            continue
    return b""


def kept_proofs(data_dir: Path, period: Period) -> Sequence[Proof]:
    """Return a month's proofs as they were when it was last closed or signed; none where no pack is kept."""
    try:
        found = msgspec.json.decode(kept_manifest(data_dir, period), type=_Manifest).proofs
    except msgspec.MsgspecError:
        return ()
    return [each for each in found if each.shop == period.shop]
