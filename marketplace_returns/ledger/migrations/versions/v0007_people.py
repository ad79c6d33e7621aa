"""Since when an exception's facts are gone, whoever closed it; and what else people do, in the index of what people did.

What was resolved before counts as gone since then: nobody kept whether its facts were still there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BEFORE = (
    "event IN ('assign', 'snooze', 'resolve', 'retry', 'review', 'signed', 'locked', 'open', 'held', 'let_go', "
    "'added', 'disabled', 'password_set', 'logged_in')"
)
_NOW = (
    "event IN ('assign', 'snooze', 'resolve', 'retry', 'review', 'signed', 'locked', 'open', 'held', 'let_go', "
    "'added', 'disabled', 'password_set', 'logged_in', 'logged_out', 'log_in_refused', 'password_refused', 'role_set', "
    "'seen', 'exported', 'erased', 'checked')"
)


def upgrade() -> None:
    op.add_column("exceptions", sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE exceptions SET cleared_at = resolved_at WHERE resolved_at IS NOT NULL")
    op.drop_index("ix_exceptions_lane", table_name="exceptions")
    op.create_index("ix_exceptions_lane", "exceptions", ["shop", "lane", "cleared_at"])
    _index_people(_NOW)


def downgrade() -> None:
    _index_people(_BEFORE)
    op.drop_index("ix_exceptions_lane", table_name="exceptions")
    op.create_index("ix_exceptions_lane", "exceptions", ["shop", "lane", "resolved_at"])
    op.drop_column("exceptions", "cleared_at")


def _index_people(events: str) -> None:
    op.drop_index("ix_audit_log_people", table_name="audit_log")
    op.create_index(
        "ix_audit_log_people",
        "audit_log",
        ["at", "position"],
        unique=False,
        sqlite_where=sa.text(events),
        postgresql_where=sa.text(events),
    )
