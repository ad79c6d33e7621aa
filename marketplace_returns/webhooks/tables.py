"""The webhook inbox's tables, as SQLAlchemy sees them on SQLite and on Postgres alike.

Here live columns, keys and indexes. What must not live here: queries. The invariants that the database itself holds: one
row per event of a source, one subscription per address and type of event.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from marketplace_returns.ledger.tables import Instant

VERSION_TABLE: Final = "webhook_alembic_version"

metadata = MetaData()

events = Table(
    "webhook_events",
    metadata,
    Column(
        "event_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True, nullable=False
    ),
    Column("shop", String, nullable=False),
    Column("source", String, nullable=False),
    Column("event_key", String, nullable=False),  # the source's own id of the event, else a hash of what is kept of it
    Column("has_own_id", Boolean, nullable=False),
    Column("event_type", String, nullable=False, server_default=""),
    Column("object_id", String, nullable=False, server_default=""),
    Column("received_at", Instant, nullable=False),
    Column("deliveries", Integer, nullable=False, server_default="1"),
    Column("drained_at", Instant),
    Column("outcome", String, nullable=False, server_default=""),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Column("next_try_at", Instant, nullable=False),
    UniqueConstraint("shop", "source", "event_key", name="uq_webhook_events_key"),
    Index(
        "ix_webhook_events_waiting",
        "shop",
        "next_try_at",
        sqlite_where=text("drained_at IS NULL"),
        postgresql_where=text("drained_at IS NULL"),
    ),
    Index("ix_webhook_events_drained", "drained_at"),
)

subscriptions = Table(
    "webhook_subscriptions",
    metadata,
    Column("shop", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("event_type", String, primary_key=True),
    Column("address_hash", String, nullable=False),  # the address holds the token, which is a secret
    Column("subscription_id", String, nullable=False, server_default=""),
    Column("subscribed_at", Instant, nullable=False),
)
