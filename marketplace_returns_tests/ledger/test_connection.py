"""Opening the ledger's database: its newest form is named, and a database in that form is opened without a lock."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import text

from marketplace_returns.errors import BadSettings
from marketplace_returns.ledger.connection import LEDGER_FILE, LEDGER_MIGRATIONS, Migrations, open_engine, transaction
from marketplace_returns.webhooks.inbox import MIGRATIONS


@pytest.mark.parametrize("migrations", [LEDGER_MIGRATIONS, MIGRATIONS])
def test_the_newest_form_is_the_last_migration(migrations: Migrations) -> None:
    assert ScriptDirectory(str(migrations.folder)).get_heads() == [migrations.newest]


def test_a_database_in_its_newest_form_opens_while_another_process_migrates(tmp_path: Path) -> None:
    open_engine(tmp_path, "").dispose()
    with FileLock(tmp_path / f"{LEDGER_FILE}.lock"):
        engine = open_engine(tmp_path, "")
        with transaction(engine, is_reading=True) as connection:
            assert connection.execute(text("SELECT count(*) FROM intents")).scalar_one() == 0
        engine.dispose()


def test_a_database_in_an_older_form_is_brought_to_the_newest(tmp_path: Path) -> None:
    engine = open_engine(tmp_path, "")
    with transaction(engine) as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).fetchall():
            connection.execute(text(f"DROP TABLE {name}"))
    engine.dispose()
    engine = open_engine(tmp_path, "")
    with transaction(engine, is_reading=True) as connection:
        assert (
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == LEDGER_MIGRATIONS.newest
        )
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_with_the_way_back(tmp_path: Path) -> None:
    engine = open_engine(tmp_path, "")
    with transaction(engine) as connection:
        connection.execute(text(f"UPDATE {LEDGER_MIGRATIONS.version_table} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(BadSettings, match=r"a newer version made it.*restore"):
        open_engine(tmp_path, "")
