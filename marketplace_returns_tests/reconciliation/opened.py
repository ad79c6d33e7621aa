"""Figures of closed months beside the log lines that ``trace`` opens them to: all lines, one by one.

Here: the comparison, for worlds of any kind. Not here: the worlds. The invariant: a figure is held against the single lines, not against the
sums that the product says they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import drill_down
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.drill_down import AddedUp, Books, ControlAccount, Journal, VatReturn
from marketplace_returns.reconciliation.journals import INCLUDED_VAT
from marketplace_returns_tests.reconciliation.worlds import World

ALL: Final = 100_000
"""As ``LARGEST_MAX`` of drill_down: every line is given."""
OWED: Final = frozenset({"payout due", "payout received", "not in a payout cycle at month end"})
"""What the control account is debited with as owed by the marketplace; accounts of what moved, and what is carried, have the credit."""


def books(world: World, signed: Mapping[Month, SignedMonth], in_review: Month | None = None) -> Books:
    """Return a world's books with months as they are kept: all signed, or the last one in review."""

    def period(shop: str, month: Month) -> Period:
        kept = signed.get(month)
        if kept is None:
            return Period(shop, month)
        state = PeriodState.REVIEW if month == in_review else PeriodState.SIGNED
        return Period(shop, month, state, prepared_at=kept.prepared_at, lake_snapshot=str(kept.lake_version))

    return Books(world.con, world.lake, world.settings.shops, period)


def journals(world: World, asked: Books, month: Month) -> list[Journal]:
    """Return the journals of a month that post lines of the log, opened."""
    posted = world.rows(
        f"SELECT DISTINCT journal_id FROM lake.recon.journal_lines WHERE month = '{month}' AND reference <> '{INCLUDED_VAT}' ORDER BY 1"
    )
    opened = []
    for row in posted:
        (journal,) = drill_down.find(asked, row["journal_id"])
        assert isinstance(journal, Journal)
        opened.append(journal)
    return opened


def unlike_journals(world: World, asked: Books, month: Month) -> list[tuple[str, str, dict[str, int]]]:
    """Return the journal lines of a month that are not what their log lines add up to, with what is wrong of each."""
    opened = {
        (journal.journal_id, line.line_no): line for journal in journals(world, asked, month) for line in journal.lines
    }
    posted = world.rows(
        f"SELECT * FROM lake.recon.journal_lines WHERE month = '{month}' AND reference <> '{INCLUDED_VAT}' ORDER BY journal_id, line_no"
    )
    assert posted
    wrong = []
    for row in posted:
        line = opened[row["journal_id"], row["line_no"]]
        sign = 1 if line.description in OWED else -1
        facts = _unlike(sign * (row["debit_minor"] - row["credit_minor"]), row["currency"], line.added_up)
        facts["told"] = line.difference_minor or 0
        if line.description == "payout due":
            # A line that was known with another amount is due in two parts: what is carried, and by how much it changed.
            del facts["twice"]
        wrong += [(row["journal_id"], line.description, facts)] if any(facts.values()) else []
    return wrong


def unlike_vat_of_charges(world: World, asked: Books, month: Month) -> list[tuple[str, str, dict[str, int]]]:
    """Return the rows of a month's VAT that the log books (``input``, ``operator_remitted``) and that are not what their log lines add up to."""
    posted = world.rows(
        f"SELECT * FROM lake.recon.vat_summary WHERE month = '{month}' AND direction IN ('input', 'operator_remitted') ORDER BY ALL"
    )
    assert posted
    (found,) = drill_down.find(asked, f"vat:{world.shop.name}-{month}")
    assert isinstance(found, VatReturn)
    opened = {(each.currency, each.direction, each.tax_code): each for each in found.vat}
    wrong = []
    for row in posted:
        vat = opened[row["currency"], row["direction"], row["tax_code"]]
        for part, minor, lines in (("net", row["net_minor"], vat.net_lines), ("tax", row["tax_minor"], vat.tax_lines)):
            facts = _unlike(-minor, row["currency"], lines) if minor or lines.sums else {}
            facts["told"] = vat.difference_minor if part == "tax" else vat.net_difference_minor
            wrong += [(vat.reference, part, facts)] if any(facts.values()) else []
    return wrong


def unlike_control(world: World, asked: Books, month: Month) -> list[tuple[str, str, dict[str, int]]]:
    """Return the rows of a month's control_roll_forward that are not what their log lines add up to."""
    posted = world.rows(
        f"SELECT * FROM lake.recon.control_roll_forward WHERE month = '{month}' ORDER BY currency, row_no"
    )
    assert posted
    (found,) = drill_down.find(asked, f"control:{world.shop.name}-{month}")
    assert isinstance(found, ControlAccount)
    wrong = []
    for row, opened in zip(posted, found.rows, strict=True):
        assert (opened.currency, opened.component) == (row["currency"], row["component"])
        facts = {}
        if row["amount_minor"] or opened.added_up.sums:
            facts = _unlike(row["amount_minor"], row["currency"], opened.added_up)
        if row["component"] == "closing":
            # What the signed month knew of a line, and by how much it changed, are parts of their own.
            del facts["twice"]
        facts["told"] = opened.difference_minor
        wrong += [(opened.reference, row["component"], facts)] if any(facts.values()) else []
    return wrong


def _unlike(minor: int, currency: str, added_up: AddedUp) -> dict[str, int]:
    lines = added_up.largest
    return {
        "sums": sum(each.amount_minor for each in added_up.sums) - minor,
        "lines": sum(each.amount_minor for each in lines) - minor,
        "how many": added_up.lines - len(lines),
        "of another currency": sum(each.currency != currency for each in lines),
        "twice": len(lines) - len({each.transaction_id for each in lines}),
        "of nothing": int(not lines),
    }
