"""Extract folders: where a system is read from files, can the folder be read and does something lie in it.

Here: the folders of systems with read = extract. Not here: taking files. The invariant: no file is opened for more than its header.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level
from marketplace_returns.sources.extract_folder import Folder
from marketplace_returns.sources.extracts import BrokenFile, folder_of, new_files

_finding = partial(Finding, area="extracts")
NEW_FILES_MAX = 20


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find folders that are empty or cannot be read, and files that cannot."""
    shop = inspection.shop
    systems: list[str] = [shop.returns.platform] if shop.returns.read == "extract" else []
    if shop.warehouse is not None and shop.warehouse.read == "extract":
        systems.append(shop.warehouse.system)
    for system in systems:
        folder: Folder = folder_of(inspection.app.settings, shop, system)
        taken = inspection.app.ledger.taken_files(shop.name, system)
        if not folder.names() and not taken:
            yield _finding(
                shop=shop.name,
                subject=system,
                level=Level.CRITICAL,
                finding=f"{system} is read from files, and none lies in its folder nor was ever taken.",
                fix=f"Let {system} drop its exports there, or correct extract_path in {inspection.place}.",
            )
            continue
        for file in islice(new_files(inspection.app.settings, shop, system, taken), NEW_FILES_MAX):
            if isinstance(file, BrokenFile):
                yield _finding(
                    shop=shop.name,
                    subject=f"{system} {file.name}",
                    level=Level.HIGH,
                    finding=f"The file cannot be taken: {file.reason}.",
                    fix="Mend it and drop it again.",
                )
