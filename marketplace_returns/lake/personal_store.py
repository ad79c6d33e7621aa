"""Where the personal fields of objects are kept: a database beside the lake, in which what is deleted is gone.

Here live keeping, reading and erasing them, and the list of orders whose customers were erased. What must not: which fields
are personal (``personal``), or how long they are kept (``orchestration``). The invariants: of an object only what was fetched
last is kept; what an erasure names is not kept again, whoever brings it; no version of the lake and no Parquet file holds
a personal field.

On SQLite a file ``personal.db`` in the data folder, whose freed pages are overwritten; with ``lake_catalog`` tables of a schema of
their own in that Postgres database (ADR 8).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from marketplace_returns.clock import instant_of, microseconds_of
from marketplace_returns.errors import BadSettings, LakeBusy

PERSONAL_FILE: Final = "personal.db"
SCHEMA: Final = "marketplace_returns_personal"
BUSY_S: Final = 30
_ASKED_AT_ONCE_MAX: Final = 500
_LOCK: Final = (
    7_204_417_008  # any number: keeping and erasing take turns in Postgres, as they do at SQLite's write lock
)

_metadata = sa.MetaData()
_fields = sa.Table(
    "personal_fields",
    _metadata,
    sa.Column("shop", sa.String, primary_key=True),
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("object_type", sa.String, primary_key=True),
    sa.Column("object_id", sa.String, primary_key=True),
    sa.Column("order_id", sa.String, nullable=False),
    sa.Column("fields", sa.Text, nullable=False),
    sa.Column("fetched_at_us", sa.BigInteger, nullable=False),
    sa.Index("ix_personal_fields_order", "shop", "order_id"),
    sa.Index("ix_personal_fields_age", "shop", "source", "object_type", "fetched_at_us"),
)
_erased = sa.Table(
    "erased_names",
    _metadata,
    sa.Column("shop", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("order_id", sa.String, nullable=False),
    sa.Column("erased_at_us", sa.BigInteger, nullable=False),
    # Not before the lake's files hold nothing of it any more; the upkeep sees to that.
    sa.Column("settled_at_us", sa.BigInteger),
)
_END_OF_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)
_ORDER: Final = "order/"
_KEY: Final = ("shop", "source", "object_type", "object_id")


def object_name(source: str, object_type: str, object_id: str) -> str:
    """Return what an erasure calls one object, such as ``mirakl/return/RT-1``."""
    return f"{source}/{object_type}/{object_id}"


def order_name(order_id: str) -> str:
    """Return what an erasure calls all objects that say which order they are of."""
    return f"{_ORDER}{order_id}"


@dataclass(frozen=True, slots=True)
class PersonalRow:
    """The personal fields of one object, by dotted path as JSON; ``order_id`` is empty where the object names no order."""

    shop: str
    source: str
    object_type: str
    object_id: str
    order_id: str
    fields: str
    fetched_at: datetime

    @property
    def names(self) -> frozenset[str]:
        """What an erasure may call it."""
        own = object_name(self.source, self.object_type, self.object_id)
        return frozenset({own, order_name(self.order_id)} if self.order_id else {own})

    @property
    def leaves(self) -> dict[str, Any]:
        """Each field down to its leaves, by dotted name."""
        return dict(_leaves("", msgspec.json.decode(self.fields)))


@dataclass(frozen=True, slots=True)
class Erasure:
    """That nothing of who is behind an order, or one object of it, is kept any more; settled where no file holds it either."""

    shop: str
    name: str
    order_id: str
    erased_at: datetime
    is_settled: bool = False


class PersonalStore:
    """The personal fields of one installation; safe to share between threads and processes."""

    def __init__(self, database: Path | str) -> None:
        """Open the database, a file or a ``postgresql://`` URL, and make its tables where they are missing.

        Raises:
            LakeBusy: another process held it beyond the bound.
            BadSettings: it cannot be reached.
        """
        self.place = str(database) if isinstance(database, Path) else "lake_catalog"
        self._engine = _engine(database)
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            _metadata.create_all(connection)

    def keep(self, rows: Sequence[PersonalRow]) -> int:
        """Keep the fields of objects of one shop, in place of those fetched before; return how many are new or other.

        What an erasure names is left out.
        """
        if not rows:
            return 0
        newest = {_key(row): row for row in sorted(rows, key=lambda row: row.fetched_at)}
        with self._transaction(is_reading=True) as connection:
            news = _news(connection, newest)
        if not news:
            return 0
        with self._transaction() as connection:
            news = _news(connection, news)
            erased = _erased_among(connection, rows[0].shop, {name for row in news.values() for name in row.names})
            kept = [_values(row) for row in news.values() if not row.names & erased]
            if kept:
                connection.execute(self._upsert(), kept)
        return len(kept)

    def fields(self, shop: str, source: str, object_type: str, object_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the personal fields of some objects, by object id and dotted name down to each leaf.

        Example: ``{"O-1": {"customer.shipping_address.city": "...", "customer_notification_email": "..."}}``; an object that
        has none, or whose retention has ended, is absent.
        """
        of_kind = (_fields.c.shop == shop, _fields.c.source == source, _fields.c.object_type == object_type)
        with self._transaction(is_reading=True) as connection:
            return {
                row.object_id: row.leaves
                for part in _parts(object_ids)
                for row in _rows(connection, *of_kind, _fields.c.object_id.in_(part))
            }

    def held(self, shop: str | None = None, names: Collection[str] | None = None) -> list[PersonalRow]:
        """Return what is kept: all there is, or of a shop, or of what is called by any of the names there."""
        of_shop = [_fields.c.shop == shop] if shop else []
        with self._transaction(is_reading=True) as connection:
            if names is None:
                return list(_rows(connection, *of_shop))
            found = {
                _key(row): row for part in _parts(sorted(names)) for row in _rows(connection, *of_shop, _called(part))
            }
            return [found[key] for key in sorted(found)]

    def older(self, shop: str, source: str, object_type: str, before: datetime) -> list[PersonalRow]:
        """Return what was fetched of a kind of object before an instant."""
        of_kind = (_fields.c.shop == shop, _fields.c.source == source, _fields.c.object_type == object_type)
        with self._transaction(is_reading=True) as connection:
            return list(_rows(connection, *of_kind, _fields.c.fetched_at_us < microseconds_of(before)))

    def kinds(self) -> list[tuple[str, str, str]]:
        """Return (shop, source, object type) of all there is."""
        named = (_fields.c.shop, _fields.c.source, _fields.c.object_type)
        with self._transaction(is_reading=True) as connection:
            found = connection.execute(sa.select(*named).distinct().order_by(*named))
            return [(row.shop, row.source, row.object_type) for row in found]

    def erase(self, shop: str, order_id: str, names: Collection[str], now: datetime) -> int:
        """Delete what is kept of an order and of what goes by the names, and keep none of it again; return the rows deleted.

        Done once more, it deletes what is left; the instant of the first stays.
        """
        called = {order_name(order_id), object_name("mirakl", "order", order_id), *names}
        return self.take_over([Erasure(shop, name, order_id, now) for name in sorted(called)])

    def erasures(self, shop: str | None = None) -> list[Erasure]:
        """Return every name that was erased, in the order of the instants."""
        query = sa.select(_erased).order_by(_erased.c.erased_at_us, _erased.c.shop, _erased.c.name)
        with self._transaction(is_reading=True) as connection:
            found = connection.execute(query if shop is None else query.where(_erased.c.shop == shop))
            return [
                Erasure(row.shop, row.name, row.order_id, instant_of(row.erased_at_us), row.settled_at_us is not None)
                for row in found
            ]

    def erased(self, shop: str) -> frozenset[str]:
        """Return the names of a shop that were erased."""
        with self._transaction(is_reading=True) as connection:
            return frozenset(connection.execute(sa.select(_erased.c.name).where(_erased.c.shop == shop)).scalars())

    def settle(self, erasures: Sequence[Erasure], now: datetime) -> None:
        """Note of erasures that the lake's files hold nothing of them any more."""
        statement = (
            sa.update(_erased)
            .where(_erased.c.shop == sa.bindparam("of_shop"), _erased.c.name == sa.bindparam("named"))
            .values(settled_at_us=microseconds_of(now))
        )
        if erasures:
            with self._transaction() as connection:
                connection.execute(statement, [{"of_shop": each.shop, "named": each.name} for each in erasures])

    def take_over(self, erasures: Sequence[Erasure]) -> int:
        """Erase what another store erased; return the rows deleted."""
        if not erasures:
            return 0
        values = [
            {
                "shop": each.shop,
                "name": each.name,
                "order_id": each.order_id,
                "erased_at_us": microseconds_of(each.erased_at),
            }
            for each in erasures
        ]
        deleted = 0
        with self._transaction() as connection:
            connection.execute(self._insert(_erased).on_conflict_do_nothing(), values)
            for shop in sorted({each.shop for each in erasures}):
                for part in _parts([each.name for each in erasures if each.shop == shop]):
                    gone = sa.delete(_fields).where(_fields.c.shop == shop, _called(part))
                    deleted += connection.execute(gone).rowcount
        return deleted

    def copy_to(self, other: PersonalStore) -> None:
        """Let another store take over all that is here."""
        other.take_over(self.erasures())
        for kind in self.kinds():
            other.keep(self.older(*kind, _END_OF_TIME))

    def unsettle(self) -> None:
        """Let the upkeep look through the lake's files for every erasure again: another lake is in their place."""
        with self._transaction() as connection:
            connection.execute(sa.update(_erased).values(settled_at_us=None))

    def forget(self, rows: Sequence[PersonalRow]) -> int:
        """Delete rows as they were read; one that was fetched anew meanwhile stays. Return how many were there."""
        table = _fields.c
        gone = 0
        with self._transaction() as connection:
            for row in rows:
                same = (getattr(table, name) == getattr(row, name) for name in _KEY)
                as_read = table.fetched_at_us == microseconds_of(row.fetched_at)
                gone += connection.execute(sa.delete(_fields).where(*same, as_read)).rowcount
        return gone

    def _insert(self, table: sa.Table) -> Any:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)

    def _upsert(self) -> Any:
        statement = self._insert(_fields)
        given = statement.excluded
        return statement.on_conflict_do_update(
            index_elements=list(_KEY),
            set_={name: given[name] for name in ("order_id", "fields", "fetched_at_us")},
            where=_fields.c.fetched_at_us <= given.fetched_at_us,
        )

    @contextmanager
    def _transaction(self, *, is_reading: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as plain:
                connection = plain.execution_options(is_reading=is_reading)
                with connection.begin():
                    if connection.dialect.name == "postgresql" and not is_reading:
                        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                    yield connection
        except OperationalError as failure:
            if "locked" in str(failure.orig) or "lock timeout" in str(failure.orig):
                raise LakeBusy(
                    f"the personal fields ({self.place}) stayed locked for {BUSY_S} s; nothing was written. Try again; if it "
                    "stays, look for a process that hangs"
                ) from failure
            raise BadSettings(
                f"the personal fields ({self.place}) cannot be reached: see that it is there"
            ) from failure


def _engine(database: Path | str) -> sa.Engine:
    """Connections are not kept: a file that nobody has open can be copied, moved and replaced."""
    if isinstance(database, Path):
        database.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(f"sqlite:///{database}", poolclass=NullPool, connect_args={"timeout": BUSY_S})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    url = sa.make_url(database).set(drivername="postgresql+psycopg")
    options = f"-csearch_path={SCHEMA} -clock_timeout={BUSY_S}s"
    return sa.create_engine(url, poolclass=NullPool, connect_args={"options": options})


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event starts the transaction, not the driver
    # No write-ahead log: it would go on holding what was deleted.
    for pragma in ("journal_mode = DELETE", "secure_delete = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    is_reading = connection.get_execution_options().get("is_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def _news(
    connection: sa.Connection, given: Mapping[tuple[str, str, str, str], PersonalRow]
) -> dict[tuple[str, str, str, str], PersonalRow]:
    """Return what of the given rows is not there, or other and no older."""
    there: dict[tuple[str, str, str, str], PersonalRow] = {}
    # Kind by kind, so that the primary key finds them: by shop and id alone it would read all there is.
    for (shop, source, object_type), keys in groupby(sorted(given), key=itemgetter(0, 1, 2)):
        of_kind = (_fields.c.shop == shop, _fields.c.source == source, _fields.c.object_type == object_type)
        for part in _parts([key[3] for key in keys]):
            there |= {_key(row): row for row in _rows(connection, *of_kind, _fields.c.object_id.in_(part))}
    return {key: row for key, row in given.items() if key not in there or _replaces(row, there[key])}


def _replaces(row: PersonalRow, kept: PersonalRow) -> bool:
    return row.fetched_at >= kept.fetched_at and (row.fields, row.order_id) != (kept.fields, kept.order_id)


def _erased_among(connection: sa.Connection, shop: str, names: Collection[str]) -> set[str]:
    return {
        name
        for part in _parts(sorted(names))
        for name in connection.execute(
            sa.select(_erased.c.name).where(_erased.c.shop == shop, _erased.c.name.in_(part))
        ).scalars()
    }


def _called(names: Sequence[str]) -> sa.ColumnElement[bool]:
    """The condition that a row goes by one of the names."""
    orders = [name.removeprefix(_ORDER) for name in names if name.startswith(_ORDER)]
    objects = [tuple(name.split("/", 2)) for name in names if not name.startswith(_ORDER)]
    own = sa.tuple_(_fields.c.source, _fields.c.object_type, _fields.c.object_id)
    return _fields.c.order_id.in_(orders) | own.in_(objects)


def _rows(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Iterator[PersonalRow]:
    table = _fields.c
    order = (table.shop, table.source, table.object_type, table.object_id)
    for found in connection.execute(sa.select(_fields).where(*conditions).order_by(*order)):
        shop, source, object_type, object_id, order_id, fields, fetched_at_us = found
        yield PersonalRow(shop, source, object_type, object_id, order_id, fields, instant_of(fetched_at_us))


def _values(row: PersonalRow) -> dict[str, Any]:
    named = ("shop", "source", "object_type", "object_id", "order_id", "fields")
    return {name: getattr(row, name) for name in named} | {"fetched_at_us": microseconds_of(row.fetched_at)}


def _key(row: PersonalRow) -> tuple[str, str, str, str]:
    return row.shop, row.source, row.object_type, row.object_id


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(values), _ASKED_AT_ONCE_MAX):
        yield values[first : first + _ASKED_AT_ONCE_MAX]


def _leaves(prefix: str, value: object) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [
            leaf for name, below in value.items() for leaf in _leaves(f"{prefix}.{name}" if prefix else name, below)
        ]
    return [(prefix, value)]
