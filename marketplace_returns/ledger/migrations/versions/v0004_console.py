"""The console: accounts, sessions, refused log-ins, forms that were sent; writes a person holds back; the queue's indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OPEN = sa.text("resolved_at IS NULL")
_RESOLVED = sa.text("resolved_at IS NOT NULL")
_BY_PEOPLE = sa.text(
    "event IN ('assign', 'snooze', 'resolve', 'retry', 'review', 'signed', 'locked', 'open', 'held', 'let_go', "
    "'added', 'disabled', 'password_set', 'logged_in')"
)

_INDEXES = (
    ("ix_exceptions_clock", ["due_at", "exception_id"], _OPEN),
    ("ix_exceptions_owner", ["owner", "due_at", "exception_id"], _OPEN),
    ("ix_exceptions_shop", ["shop", "due_at", "exception_id"], _OPEN),
    ("ix_exceptions_counts", ["shop", "owner", "opened_at", "due_at", "snoozed_until"], _OPEN),
    ("ix_exceptions_resolved", ["resolved_at", "exception_id"], _RESOLVED),
)


def upgrade() -> None:
    op.create_table(
        "console_accounts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("password_set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "console_sessions",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("ix_console_sessions_account", "console_sessions", ["account"], unique=False)
    op.create_table(
        "console_throttle",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refused_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "console_forms",
        sa.Column("form_id", sa.String(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("form_id"),
    )
    op.create_table(
        "held_writes",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("held_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop", "kind"),
    )
    for name, columns, where in _INDEXES:
        op.create_index(name, "exceptions", columns, unique=False, sqlite_where=where, postgresql_where=where)
    op.create_index(
        "ix_audit_log_people",
        "audit_log",
        ["at", "position"],
        unique=False,
        sqlite_where=_BY_PEOPLE,
        postgresql_where=_BY_PEOPLE,
    )


def downgrade() -> None:
    op.drop_index("ix_audit_log_people", "audit_log")
    for name, _, _ in _INDEXES:
        op.drop_index(name, "exceptions")
    for table in ("held_writes", "console_forms", "console_throttle", "console_sessions", "console_accounts"):
        op.drop_table(table)
