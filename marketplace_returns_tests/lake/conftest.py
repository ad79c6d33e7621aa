from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake.connection import Lake
from marketplace_returns_tests.lake.worlds import StorageSettings, copy_of


@pytest.fixture(scope="session")
def empty_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a new lake in it, to copy: making its tables is the slow part."""
    data_dir = tmp_path_factory.mktemp("empty") / "data"
    Lake.open(StorageSettings(data_dir))
    return data_dir


@pytest.fixture
def lake(empty_data_dir: Path, tmp_path: Path) -> Lake:
    """A new lake of the test's own, as ``Lake.open`` leaves it."""
    return copy_of(empty_data_dir, tmp_path)


@pytest.fixture
def con(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = lake.connect()
    yield connection
    connection.close()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 10, 3, 12, 0, tzinfo=UTC))
