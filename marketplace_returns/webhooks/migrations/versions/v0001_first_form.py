"""The inbox's first form: events and subscriptions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "webhooks_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("event_key", sa.String(), nullable=False),
        sa.Column("has_own_id", sa.Boolean(), nullable=False),
        sa.Column("event_type", sa.String(), server_default="", nullable=False),
        sa.Column("object_id", sa.String(), server_default="", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deliveries", sa.Integer(), server_default="1", nullable=False),
        sa.Column("drained_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), server_default="", nullable=False),
        sa.Column("attempt_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        sa.UniqueConstraint("shop", "source", "event_key", name="uq_webhook_events_key"),
    )
    op.create_index(
        "ix_webhook_events_waiting",
        "webhook_events",
        ["shop", "next_try_at"],
        unique=False,
        sqlite_where=sa.text("drained_at IS NULL"),
        postgresql_where=sa.text("drained_at IS NULL"),
    )
    op.create_index("ix_webhook_events_drained", "webhook_events", ["drained_at"], unique=False)
    op.create_table(
        "webhook_subscriptions",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), server_default="", nullable=False),
        sa.Column("subscribed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop", "source", "event_type"),
    )


def downgrade() -> None:
    op.drop_table("webhook_subscriptions")
    op.drop_table("webhook_events")
