"""Exceptions that open again, how far their clock is, and whom alerts told of them.

What is kept already has opened once; its clock is cut evenly, as it was counted until now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)
_ROWS_AT_ONCE = 1_000


def upgrade() -> None:
    op.add_column("exceptions", sa.Column("openings", sa.Integer(), server_default="1", nullable=False))
    op.add_column("exceptions", sa.Column("first_opened_at", _INSTANT, nullable=True))
    op.add_column("exceptions", sa.Column("half_used_at", _INSTANT, nullable=True))
    op.add_column("exceptions", sa.Column("most_used_at", _INSTANT, nullable=True))
    op.add_column(
        "exceptions", sa.Column("was_closed_by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index("ix_exceptions_fingerprint", "exceptions", ["fingerprint"], unique=False)
    _cut_clocks()
    op.create_table(
        "alert_notices",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(), server_default="", nullable=False),
        sa.Column("claimed_until", _INSTANT, nullable=True),
        sa.Column("sent_at", _INSTANT, nullable=True),
        sa.Column("is_over", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("channel", "kind", "subject_id", "opening", "stage"),
    )
    op.create_index(
        "ix_alert_notices_live",
        "alert_notices",
        ["channel", "subject_id"],
        unique=False,
        sqlite_where=sa.text("NOT is_over"),
        postgresql_where=sa.text("NOT is_over"),
    )
    op.create_index("ix_alert_notices_subject", "alert_notices", ["kind", "subject_id"], unique=False)
    op.create_table(
        "alert_channels",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("down_since", _INSTANT, nullable=True),
        sa.Column("retry_at", _INSTANT, nullable=True),
        sa.Column("last_error", sa.String(), server_default="", nullable=False),
        sa.Column("last_sent_at", _INSTANT, nullable=True),
        sa.Column("digest_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("channel"),
    )
    op.create_table(
        "alert_events",
        sa.Column("event_id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("seen_count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("first_at", _INSTANT, nullable=False),
        sa.Column("last_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        sa.UniqueConstraint("key"),
    )


def downgrade() -> None:
    raise NotImplementedError("what people were told is never dropped: restore a backup that was made before")


def _cut_clocks() -> None:
    bind = op.get_bind()
    table = sa.Table("exceptions", sa.MetaData(), autoload_with=bind)
    bind.execute(
        sa.update(table).values(
            first_opened_at=table.c.opened_at,
            was_closed_by_hand=sa.and_(
                table.c.resolved_at.is_not(None), table.c.resolution.not_in(("", "cleared by facts"))
            ),
        )
    )
    rows = bind.execute(sa.select(table.c.exception_id, table.c.opened_at, table.c.due_at)).all()
    cut = [
        {
            "key": row.exception_id,
            "half": row.opened_at + (row.due_at - row.opened_at) / 2,
            "most": row.opened_at + (row.due_at - row.opened_at) * 0.8,
        }
        for row in rows
    ]
    for start in range(0, len(cut), _ROWS_AT_ONCE):
        bind.execute(
            sa.update(table)
            .where(table.c.exception_id == sa.bindparam("key"))
            .values(half_used_at=sa.bindparam("half"), most_used_at=sa.bindparam("most")),
            cut[start : start + _ROWS_AT_ONCE],
        )
