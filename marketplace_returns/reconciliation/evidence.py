"""The pack that closing a month keeps: where it lies, and its proofs read back without the lake.

Here: what a page may ask of a closed month in milliseconds. Not here: making the pack (``pack``). The invariant: it loads
neither the lake nor what draws and writes a pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from marketplace_returns.periods import Month

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Proof:
    """One invariant of one shop as the manifest and the cover sheet show it; ``result`` is PROVEN, VARIANCE or NO DATA."""

    shop: str
    id: str
    result: str
    message: str


class _Manifest(msgspec.Struct):
    """What is read of a pack's manifest."""

    proofs: list[Proof]


def kept_pack(data_dir: Path, shop_name: str, month: Month) -> Path:
    """Return the folder that keeps the pack of a closed month."""
    return data_dir / "periods" / shop_name / str(month)


def kept_proofs(data_dir: Path, shop_name: str, month: Month) -> Sequence[Proof]:
    """Return a shop's proofs of a month as they were when it was last closed or signed; none where no pack is kept."""
    file = kept_pack(data_dir, shop_name, month) / MANIFEST
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Manifest).proofs
    except (OSError, msgspec.MsgspecError):
        return ()
    return [each for each in found if each.shop == shop_name]
