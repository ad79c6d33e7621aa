"""What was confirmed lately is found by its time, so that the lanes' health costs the same however long the history is."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_intents_confirmed", "intents", ["shop", "confirmed_at"])


def downgrade() -> None:
    op.drop_index("ix_intents_confirmed", table_name="intents")
