from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marketplace_returns_tests.lanes.core_rows import CoreRows


@pytest.fixture
def make_core(tmp_path: Path) -> Callable[..., CoreRows]:
    """Makes a world with a policy of its own: ``make_core(policy='...', warehouse=False)``."""

    def make(**options: object) -> CoreRows:
        return CoreRows.make(tmp_path, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def core(make_core: Callable[..., CoreRows]) -> Iterator[CoreRows]:
    world = make_core()
    yield world
    world.con.close()
