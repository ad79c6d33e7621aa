"""What a lane planned and has not sent is found without reading what was sent, at every pass of every lane."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_intents_lane", "intents", ["shop", "lane", "state"])


def downgrade() -> None:
    op.drop_index("ix_intents_lane", table_name="intents")
