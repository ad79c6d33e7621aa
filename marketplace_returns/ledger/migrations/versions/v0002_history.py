"""The history, restores, and what outlives a lost lake: which lake a cursor stands on, and which unit and receipt a return is.

Attempts and people's actions become rows of one log per shop, only added to, chained by hashes.

What stood in the old tables is carried over in the order of its time, then each write as it stands.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ADDED_ONLY = "the history is only added to"
_GROWS_ONLY = "the end of a chain only moves on"
_SQLITE = (
    f"CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, '{_ADDED_ONLY}'); END",
    f"CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, '{_ADDED_ONLY}'); END",
    # INSERT OR REPLACE deletes without asking the trigger above
    "CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log WHEN EXISTS "
    "(SELECT 1 FROM audit_log WHERE shop = NEW.shop AND position = NEW.position) "
    f"BEGIN SELECT RAISE(ABORT, '{_ADDED_ONLY}'); END",
    "CREATE TRIGGER audit_heads_grow BEFORE UPDATE ON audit_heads "
    "WHEN NEW.position <= OLD.position OR NEW.shop <> OLD.shop "
    f"BEGIN SELECT RAISE(ABORT, '{_GROWS_ONLY}'); END",
    f"CREATE TRIGGER audit_heads_no_delete BEFORE DELETE ON audit_heads BEGIN SELECT RAISE(ABORT, '{_GROWS_ONLY}'); END",
    "CREATE TRIGGER audit_heads_no_replace BEFORE INSERT ON audit_heads WHEN EXISTS "
    f"(SELECT 1 FROM audit_heads WHERE shop = NEW.shop) BEGIN SELECT RAISE(ABORT, '{_GROWS_ONLY}'); END",
)
_POSTGRES = (
    f"CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_ADDED_ONLY}'; END $$",
    "CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON audit_log "
    "FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()",
    "CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION audit_log_refuse()",
    "CREATE TRIGGER audit_heads_grow BEFORE UPDATE ON audit_heads FOR EACH ROW "
    "WHEN (NEW.position <= OLD.position OR NEW.shop <> OLD.shop) EXECUTE FUNCTION audit_log_refuse()",
    "CREATE TRIGGER audit_heads_no_delete BEFORE DELETE ON audit_heads "
    "FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()",
    "CREATE TRIGGER audit_heads_no_truncate BEFORE TRUNCATE ON audit_heads EXECUTE FUNCTION audit_log_refuse()",
)


def upgrade() -> None:
    log = op.create_table(
        "audit_log",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("position", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), server_default="", nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("shop", "position"),
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["subject"], unique=False)
    heads = op.create_table(
        "audit_heads",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("position", _NUMBER, nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("shop"),
    )
    op.create_table(
        "restores",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("restored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("backed_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("shop", "restored_at"),
    )
    op.add_column("cursors", sa.Column("lake_id", sa.String(), server_default="", nullable=False))
    op.add_column("cursors", sa.Column("lake_version", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "return_unit_assignments",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("return_id", sa.String(), nullable=False),
        sa.Column("order_line_id", sa.String(), nullable=False),
        sa.Column("unit_no", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop", "return_id", "order_line_id", "unit_no"),
    )
    op.create_table(
        "receipt_assignments",
        sa.Column("shop", sa.String(), nullable=False),
        sa.Column("receipt_event_id", sa.String(), nullable=False),
        sa.Column("unit_no", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("return_unit_id", sa.String(), nullable=False),
        sa.Column("return_id", sa.String(), nullable=False),
        sa.Column("matched_by", sa.String(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop", "receipt_event_id", "unit_no"),
    )
    _carry_over(log, heads)
    op.drop_table("attempts")
    op.drop_table("exception_actions")
    for statement in _POSTGRES if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the history is never dropped: restore a backup that was made before")


def _carry_over(log: sa.Table, heads: sa.Table) -> None:
    chains: dict[str, list[dict[str, Any]]] = {}
    for at, _, shop, event, subject, actor, facts in sorted(_events(), key=lambda event: event[:2]):
        chain = chains.setdefault(shop, [])
        previous = chain[-1]["hash"] if chain else ""
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        stamp = at.isoformat(timespec="microseconds")
        content = [previous, shop, len(chain) + 1, stamp, event, subject, actor, text]
        written = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        chain.append(
            {
                "shop": shop,
                "position": len(chain) + 1,
                "at": at if op.get_bind().dialect.name == "postgresql" else at.replace(tzinfo=None),
                "event": event,
                "subject": subject,
                "actor": actor,
                "facts": text,
                "previous_hash": previous,
                "hash": hashlib.sha256(written.encode()).hexdigest(),
            }
        )
    for shop, chain in chains.items():
        op.bulk_insert(log, chain)
        op.bulk_insert(heads, [{"shop": shop, "position": len(chain), "hash": chain[-1]["hash"]}])


def _events() -> list[tuple[datetime, int, str, str, str, str, dict[str, Any]]]:
    """Return (when, order among the same instant, shop, event, subject, actor, facts) of what the old tables tell."""
    old = sa.MetaData()
    bind = op.get_bind()
    intents, attempts, actions, exceptions = (
        sa.Table(name, old, autoload_with=bind) for name in ("intents", "attempts", "exception_actions", "exceptions")
    )
    events: list[tuple[datetime, int, str, str, str, str, dict[str, Any]]] = []
    tries = sa.select(attempts, intents.c.shop).join(intents, intents.c.intent_id == attempts.c.intent_id)
    for row in bind.execute(tries).mappings():
        key, number = row["intent_id"], {"attempt": row["number"]}
        events.append((_utc(row["started_at"]), 0, row["shop"], "sending", key, row["worker"], number))
        if row["ended_at"] is not None:
            facts = number | {
                "outcome": row["outcome"],
                "request_id": row["request_id"],
                "text": row["excerpt"],
            }
            events.append((_utc(row["ended_at"]), 1, row["shop"], "answered", key, row["worker"], facts))
    acted = sa.select(actions, exceptions.c.shop, exceptions.c.type).join(
        exceptions, exceptions.c.exception_id == actions.c.exception_id
    )
    for row in bind.execute(acted).mappings():
        subject, facts = f"exception {row['exception_id']}", {"type": row["type"], "note": row["note"]}
        events.append((_utc(row["acted_at"]), 2, row["shop"], row["action"], subject, row["actor"], facts))
    latest = max((event[0] for event in events), default=datetime.min.replace(tzinfo=UTC))
    for row in bind.execute(sa.select(intents).order_by(intents.c.intent_id)).mappings():
        facts = {
            "state": row["state"],
            "kind": row["kind"],
            "natural_key": row["natural_key"],
            "amount_minor": row["amount_minor"],
            "currency": row["currency"],
            "ref": row["external_ref"],
            "body_hash": row["body_hash"],
            "evidence_hash": hashlib.sha256(row["evidence"].encode()).hexdigest()[:24],
        }
        at = max(latest, _utc(row["updated_at"]))
        events.append((at, 3, row["shop"], "carried_over", row["intent_id"], "", facts))
    return events


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
