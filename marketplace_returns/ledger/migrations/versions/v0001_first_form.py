"""The ledger's first form: intents, attempts, exceptions, calls, cursors, files taken, periods."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(), server_default="", nullable=False),
        sa.Column("operation", sa.String(), server_default="", nullable=False),
        sa.Column("request_id", sa.String(), server_default="", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(), server_default="", nullable=False),
        sa.Column("excerpt", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("intent_id", "number"),
    )
    op.create_index("ix_attempts_started", "attempts", ["started_at"], unique=False)
    op.create_table(
        "call_log",
        sa.Column("call_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("system", sa.String(), server_default="", nullable=False),
        sa.Column("shop", sa.String(), server_default="", nullable=False),
        sa.Column("operation", sa.String(), server_default="", nullable=False),
        sa.Column("request_id", sa.String(), server_default="", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(), server_default="", nullable=False),
        sa.Column("received_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
    )
    op.create_index("ix_call_log_started", "call_log", ["started_at"], unique=False)
    op.create_table(
        "cursors",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("watermark", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop", "stream"),
    )
    op.create_table(
        "exception_actions",
        sa.Column(
            "action_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("exception_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("note", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("action_id"),
    )
    op.create_index(op.f("ix_exception_actions_exception_id"), "exception_actions", ["exception_id"], unique=False)
    op.create_table(
        "exceptions",
        sa.Column(
            "exception_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("intent_id", sa.String(), server_default="", nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("cause", sa.String(), server_default="", nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), server_default="{}", nullable=False),
        sa.Column("root_cause", sa.String(), server_default="", nullable=False),
        sa.Column("severity", sa.String(), server_default="", nullable=False),
        sa.Column("owner", sa.String(), server_default="", nullable=False),
        sa.Column("playbook", sa.String(), server_default="", nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currency", sa.String(), server_default="", nullable=False),
        sa.Column("seen_count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("exception_id"),
    )
    op.create_index("ix_exceptions_intent", "exceptions", ["intent_id"], unique=False)
    op.create_index("ix_exceptions_lane", "exceptions", ["shop", "lane", "resolved_at"], unique=False)
    op.create_index(
        "uq_exceptions_open",
        "exceptions",
        ["fingerprint"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "intents",
        sa.Column("intent_id", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("natural_key", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("order_id", sa.String(), server_default="", nullable=False),
        sa.Column("order_line_id", sa.String(), server_default="", nullable=False),
        sa.Column("return_id", sa.String(), server_default="", nullable=False),
        sa.Column("return_unit_id", sa.String(), server_default="", nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currency", sa.String(), server_default="", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.String(), server_default="", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unknown_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("baseline", sa.Text(), server_default="{}", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_back_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_empty_read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("external_ref", sa.String(), server_default="", nullable=False),
        sa.Column("is_adopted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reflected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("root_cause", sa.String(), server_default="", nullable=False),
        sa.Column("last_error", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("intent_id"),
        sa.UniqueConstraint("shop", "kind", "natural_key", name="uq_intents_natural_key"),
    )
    op.create_index("ix_intents_due", "intents", ["shop", "kind", "state", "not_before"], unique=False)
    op.create_index("ix_intents_line", "intents", ["shop", "order_line_id"], unique=False)
    op.create_index("ix_intents_order", "intents", ["shop", "order_id"], unique=False)
    op.create_index("ix_intents_read_back", "intents", ["state", "read_back_at"], unique=False)
    op.create_index(
        "uq_intents_refund_on_its_way",
        "intents",
        ["shop", "order_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'refund' AND state IN ('SENDING', 'UNKNOWN')"),
        postgresql_where=sa.text("kind = 'refund' AND state IN ('SENDING', 'UNKNOWN')"),
    )
    op.create_table(
        "periods",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("prepared_by", sa.String(), server_default="", nullable=False),
        sa.Column("prepared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by", sa.String(), server_default="", nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lake_snapshot", sa.String(), server_default="", nullable=False),
        sa.Column("manifest_hash", sa.String(), server_default="", nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop", "month"),
    )
    op.create_table(
        "taken_files",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop", "system", "content_hash"),
    )


def downgrade() -> None:
    for table in (
        "taken_files",
        "periods",
        "intents",
        "exceptions",
        "exception_actions",
        "cursors",
        "call_log",
        "attempts",
    ):
        op.drop_table(table)
