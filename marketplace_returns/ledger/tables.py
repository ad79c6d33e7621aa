"""The ledger's tables, as SQLAlchemy sees them on SQLite and on Postgres alike.

Here live columns, keys and indexes. What must not live here: queries. The invariants that the database itself holds: one
intent per (shop, kind, natural key), one open exception per fingerprint, and at most one refund of an order on its way,
and a history that is only added to.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime; a naive one is refused. SQLite keeps it without the zone, Postgres with."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware datetime into what the database keeps."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value}: the ledger keeps aware UTC instants only")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware UTC datetime."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _text(name: str, **more: Any) -> Column[str]:
    return Column(name, String, nullable=False, server_default="", **more)


def _instant(name: str, **more: Any) -> Column[datetime]:
    return Column(name, Instant, **more)


_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only where the type is INTEGER

metadata = MetaData()

IS_OPEN: Final = "resolved_at IS NULL"
IS_RESOLVED: Final = "resolved_at IS NOT NULL"
"""Which exceptions are open, and which resolved, in the words of the indexes that hold only those."""

BY_PEOPLE: Final = (
    "event IN ('assign', 'snooze', 'resolve', 'retry', 'review', 'signed', 'locked', 'open', 'held', 'let_go', "
    "'added', 'disabled', 'password_set', 'logged_in', 'logged_out', 'log_in_refused', 'password_refused', 'role_set', "
    "'seen', 'exported', 'erased', 'checked')"
)
"""Which events tell what a person did, in the words of the index that holds only those."""

intents = Table(
    "intents",
    metadata,
    Column("intent_id", String, primary_key=True),
    Column("shop", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("natural_key", String, nullable=False),
    Column("lane", String, nullable=False),
    Column("state", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("body_hash", String, nullable=False),
    Column("evidence", Text, nullable=False),
    _text("order_id"),
    _text("order_line_id"),
    _text("return_id"),
    _text("return_unit_id"),
    Column("amount_minor", BigInteger, nullable=False, server_default="0"),
    _text("currency"),
    Column("priority", Integer, nullable=False, server_default="0"),
    _instant("not_before"),
    _instant("planned_at", nullable=False),
    _instant("updated_at", nullable=False),
    _text("lease_owner"),
    _instant("lease_until"),
    Column("attempt_count", Integer, nullable=False, server_default="0"),
    Column("unknown_count", Integer, nullable=False, server_default="0"),
    Column("baseline", Text, nullable=False, server_default="{}"),
    _instant("sent_at"),
    _instant("read_back_at"),
    Column("read_back_count", Integer, nullable=False, server_default="0"),
    _instant("first_empty_read_at"),
    _text("external_ref"),
    Column("is_adopted", Boolean, nullable=False, server_default=text("false")),
    _instant("confirmed_at"),
    _instant("reflected_at"),
    _instant("settled_at"),
    _text("root_cause"),
    _text("last_error"),
    UniqueConstraint("shop", "kind", "natural_key", name="uq_intents_natural_key"),
    Index("ix_intents_due", "shop", "kind", "state", "not_before"),
    Index("ix_intents_read_back", "state", "read_back_at"),
    Index("ix_intents_order", "shop", "order_id"),
    Index("ix_intents_line", "shop", "order_line_id"),
    Index("ix_intents_lane", "shop", "lane", "state"),
    Index("ix_intents_confirmed", "shop", "confirmed_at"),
    # Two refunds of one order on their way at once could not be told apart on read-back.
    Index(
        "uq_intents_refund_on_its_way",
        "shop",
        "order_id",
        unique=True,
        sqlite_where=text("kind = 'refund' AND state IN ('SENDING', 'UNKNOWN')"),
        postgresql_where=text("kind = 'refund' AND state IN ('SENDING', 'UNKNOWN')"),
    ),
)

calls = Table(
    "call_log",
    metadata,
    Column("call_id", _Number, primary_key=True, autoincrement=True),
    _text("system"),
    _text("shop"),
    _text("operation"),
    _text("request_id"),
    _instant("started_at", nullable=False),
    Column("duration_ms", Float, nullable=False),
    Column("status", Integer),
    _text("outcome"),
    Column("received_bytes", BigInteger, nullable=False),
    Index("ix_call_log_started", "started_at"),
)

exceptions = Table(
    "exceptions",
    metadata,
    Column("exception_id", _Number, primary_key=True, autoincrement=True),
    Column("fingerprint", String, nullable=False),
    Column("shop", String, nullable=False),
    Column("type", String, nullable=False),
    Column("lane", String, nullable=False),
    _text("intent_id"),
    Column("entity", Text, nullable=False),
    _text("cause"),
    Column("message", Text, nullable=False),
    Column("evidence", Text, nullable=False, server_default="{}"),
    _text("root_cause"),
    _text("severity"),
    _text("owner"),
    _text("playbook"),
    Column("amount_minor", BigInteger, nullable=False, server_default="0"),
    _text("currency"),
    Column("seen_count", Integer, nullable=False, server_default="1"),
    # One cause is one row: when its fact returns it opens again, and its clock starts anew where the fact was gone meanwhile.
    Column("openings", Integer, nullable=False, server_default="1"),
    _instant("first_opened_at"),
    _instant("opened_at", nullable=False),
    _instant("last_seen_at", nullable=False),
    # When half and four fifths of the clock are used; at due_at all of it is.
    _instant("half_used_at"),
    _instant("most_used_at"),
    _instant("due_at", nullable=False),
    _instant("snoozed_until"),
    _instant("resolved_at"),
    _text("resolution"),
    Column("was_closed_by_hand", Boolean, nullable=False, server_default=text("false")),
    # Since when its facts are gone, whoever closed it; nothing while they are there.
    _instant("cleared_at"),
    Index(
        "uq_exceptions_open",
        "fingerprint",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index("ix_exceptions_fingerprint", "fingerprint"),
    Index("ix_exceptions_lane", "shop", "lane", "cleared_at"),
    Index("ix_exceptions_intent", "intent_id"),
    # The queue as people page through it: what is open by its clock, of one owner or of all; what is done, newest first.
    Index(
        "ix_exceptions_clock",
        "due_at",
        "exception_id",
        sqlite_where=text(IS_OPEN),
        postgresql_where=text(IS_OPEN),
    ),
    Index(
        "ix_exceptions_owner",
        "owner",
        "due_at",
        "exception_id",
        sqlite_where=text(IS_OPEN),
        postgresql_where=text(IS_OPEN),
    ),
    Index(
        "ix_exceptions_shop",
        "shop",
        "due_at",
        "exception_id",
        sqlite_where=text(IS_OPEN),
        postgresql_where=text(IS_OPEN),
    ),
    Index(
        "ix_exceptions_counts",
        "shop",
        "owner",
        "opened_at",
        "due_at",
        "snoozed_until",
        sqlite_where=text(IS_OPEN),
        postgresql_where=text(IS_OPEN),
    ),
    Index(
        "ix_exceptions_resolved",
        "resolved_at",
        "exception_id",
        sqlite_where=text(IS_RESOLVED),
        postgresql_where=text(IS_RESOLVED),
    ),
)

# What a channel was told, or is being told, of an exception or an event: one row per stage of each opening. It is claimed before
# it is sent; ``is_over`` is set once the channel heard the end of it.
alert_notices = Table(
    "alert_notices",
    metadata,
    Column("channel", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("subject_id", _Number, primary_key=True, autoincrement=False),
    Column("opening", Integer, primary_key=True),
    Column("stage", Integer, primary_key=True),
    _text("claimed_by"),
    _instant("claimed_until"),
    _instant("sent_at"),
    Column("is_over", Boolean, nullable=False, server_default=text("false")),
    Index(
        "ix_alert_notices_live",
        "channel",
        "subject_id",
        sqlite_where=text("NOT is_over"),
        postgresql_where=text("NOT is_over"),
    ),
    Index("ix_alert_notices_subject", "kind", "subject_id"),
)

# How each channel does: since when it fails, when it is tried again, and the day of its last digest.
alert_channels = Table(
    "alert_channels",
    metadata,
    Column("channel", String, primary_key=True),
    Column("failures", Integer, nullable=False, server_default="0"),
    _instant("down_since"),
    _instant("retry_at"),
    _text("last_error"),
    _instant("last_sent_at"),
    Column("digest_on", Date),
)

# What people hear of and is no exception: a job that failed. Once a day for each job.
alert_events = Table(
    "alert_events",
    metadata,
    Column("event_id", _Number, primary_key=True, autoincrement=True),
    Column("key", String, nullable=False, unique=True),
    Column("shop", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("about", String, nullable=False),
    Column("seen_count", Integer, nullable=False, server_default="1"),
    _instant("first_at", nullable=False),
    _instant("last_at", nullable=False),
)

# Rows are only ever added: triggers of the migration refuse to change or delete one.
audit_log = Table(
    "audit_log",
    metadata,
    Column("shop", String, primary_key=True),
    Column("position", _Number, primary_key=True, autoincrement=False),
    _instant("at", nullable=False),
    Column("event", String, nullable=False),
    Column("subject", String, nullable=False),
    _text("actor"),
    Column("facts", Text, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("ix_audit_log_subject", "subject"),
    Index(
        "ix_audit_log_people",
        "at",
        "position",
        sqlite_where=text(BY_PEOPLE),
        postgresql_where=text(BY_PEOPLE),
    ),
)

# Where each shop's chain ends; it only ever grows.
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("shop", String, primary_key=True),
    Column("position", _Number, nullable=False),
    Column("hash", String, nullable=False),
)

# A restored ledger knows what happened before the backup; what happened after it must be looked for outside.
restores = Table(
    "restores",
    metadata,
    Column("shop", String, primary_key=True),
    _instant("restored_at", primary_key=True),
    _instant("backed_up_at", nullable=False),
    _instant("reconciled_at"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("shop", String, primary_key=True),
    Column("stream", String, primary_key=True),
    _instant("watermark", nullable=False),
    _instant("updated_at", nullable=False),
    # The lake that what was read is in, and how new it was then: an older or another one lacks what was read.
    _text("lake_id"),
    Column("lake_version", BigInteger, nullable=False, server_default="0"),
)

# What the lake's tables of the same names say (ADR 2): given once for good, so it outlives a lost lake.
return_unit_assignments = Table(
    "return_unit_assignments",
    metadata,
    Column("shop", String, primary_key=True),
    Column("return_id", String, primary_key=True),
    Column("order_line_id", String, primary_key=True),
    Column("unit_no", _Number, primary_key=True, autoincrement=False),
    Column("ordinal", BigInteger, nullable=False),
    _instant("assigned_at", nullable=False),
)

receipt_assignments = Table(
    "receipt_assignments",
    metadata,
    Column("shop", String, primary_key=True),
    Column("receipt_event_id", String, primary_key=True),
    Column("unit_no", _Number, primary_key=True, autoincrement=False),
    Column("return_unit_id", String, nullable=False),
    Column("return_id", String, nullable=False),
    Column("matched_by", String, nullable=False),
    _instant("assigned_at", nullable=False),
)

taken_files = Table(
    "taken_files",
    metadata,
    Column("shop", String, primary_key=True),
    Column("system", String, primary_key=True),
    Column("content_hash", String, primary_key=True),
    Column("name", String, nullable=False),
    _instant("taken_at", nullable=False),
)

periods = Table(
    "periods",
    metadata,
    Column("shop", String, primary_key=True),
    Column("month", String, primary_key=True),
    Column("state", String, nullable=False),
    _text("prepared_by"),
    _instant("prepared_at"),
    _text("approved_by"),
    _instant("approved_at"),
    _text("lake_snapshot"),
    _text("manifest_hash"),
    _text("reason"),
    _instant("updated_at", nullable=False),
)

# Who may use the console; names are lower case, so that no two look alike in the history.
console_accounts = Table(
    "console_accounts",
    metadata,
    Column("name", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("password_hash", String, nullable=False),
    _instant("made_at", nullable=False),
    _instant("password_set_at", nullable=False),
    _instant("disabled_at"),
)

# A session's token is nowhere but in its browser: here is its hash.
console_sessions = Table(
    "console_sessions",
    metadata,
    Column("token_hash", String, primary_key=True),
    Column("account", String, nullable=False),
    _instant("began_at", nullable=False),
    _instant("seen_at", nullable=False),
    Index("ix_console_sessions_account", "account"),
)

# Failed log-ins of an account or of an address (``key`` is a hash), and until when it is refused.
console_throttle = Table(
    "console_throttle",
    metadata,
    Column("key", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    _instant("since", nullable=False),
    _instant("refused_until"),
)

# Forms that were sent: one that comes twice acts once.
console_forms = Table(
    "console_forms",
    metadata,
    Column("form_id", String, primary_key=True),
    _instant("sent_at", nullable=False),
)

# Kinds of write that a person holds back: never more than the settings allow, only less.
held_writes = Table(
    "held_writes",
    metadata,
    Column("shop", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("mode", String, nullable=False),
    Column("held_by", String, nullable=False),
    Column("reason", String, nullable=False),
    _instant("held_at", nullable=False),
)
