"""Every line of every journal is the log lines that it is opened to, whatever came late for the months before, and however."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, product

import pytest

from marketplace_returns.periods import Month
from marketplace_returns.reconciliation import drill_down
from marketplace_returns.reconciliation.close import SignedMonth
from marketplace_returns.reconciliation.drill_down import CARRIED, CARRIES, PAYMENT, POSTS
from marketplace_returns.reconciliation.trace import log_lines
from marketplace_returns_tests.reconciliation.generate import Shape, generate
from marketplace_returns_tests.reconciliation.opened import (
    ALL,
    OWED,
    books,
    journals,
    unlike_control,
    unlike_journals,
    unlike_vat_of_charges,
)
from marketplace_returns_tests.reconciliation.worlds import OCTOBER, World, make_world

LOG, CYCLES = "lake.core.mirakl__transactions", "lake.core.mirakl__billing_cycles"
NOVEMBER = OCTOBER.next()
DECEMBER = NOVEMBER.next()
MONTHS = (OCTOBER, NOVEMBER, DECEMBER)
LINE = """shop, transaction_id, transaction_type, payment_state, currency, amount_minor, billing_cycle_id, created_at, updated_at,
    payload_hash, fetched_at, run_id"""
LATE_STATEMENTS = {OCTOBER: "cycle-2026-10-21-1", NOVEMBER: "cycle-2026-11-21-2"}
COUNTS, IS_INFORMATIVE = "PENDING", "NOT_APPLICABLE"


@dataclass(frozen=True)
class Late:
    """A log line as a month knew it when it was signed (``known`` None: not at all), and as it is read after that."""

    number: str
    kind: str
    currency: str
    day: str
    known: tuple[str, int, str] | None
    now: tuple[str, int, str]

    def row(self, said: tuple[str, int, str], read: str) -> str:
        state, minor, cycle = said
        return (
            f"('asos_uk', '{self.number}', '{self.kind}', '{state}', '{self.currency}', {minor}, nullif('{cycle}', ''), TIMESTAMPTZ '{self.day}', "
            f"TIMESTAMPTZ '{self.day}', 'hash-{self.number}', {read}, 'test')"
        )


@dataclass
class Signed:
    """Three months, each signed before what is late for it was read."""

    world: World
    months: dict[Month, SignedMonth] = field(default_factory=dict)

    def close(self, month: Month, prepared_at: datetime) -> None:
        closed = self.world.close(month, run_id=str(month), before=self.months.get(month.previous()))
        self.months[month] = SignedMonth(closed.lake_version, prepared_at)


def _late_lines(created: tuple[str, ...], cycles: tuple[str, ...]) -> list[Late]:
    """Every way a line can come late: what it is, where it was and is, and what it was and is worth; amounts that cancel nowhere."""
    numbers = count(1)
    found = []
    for day, kind, before, after, worth in product(
        created,
        ("COMMISSION_VAT", "MANUAL_CREDIT", PAYMENT),
        (None, *cycles),
        cycles,
        ("same", "more", "counts now", "counts no more"),
    ):
        number = next(numbers)
        minor = 1_000_003 * number % 7919 + 1
        known = (IS_INFORMATIVE if worth == "counts now" else COUNTS, minor, before or "")
        now = (IS_INFORMATIVE if worth == "counts no more" else COUNTS, minor + (worth == "more") * 10_007, after)
        currency = "EUR" if number % 11 == 0 else "GBP"
        found.append(Late(f"{day}-{number}", kind, currency, day, None if before is None else known, now))
    return found


# In no cycle, in one that was closed before, in one whose statement is late, in one that the month closes.
LATE = {
    NOVEMBER: _late_lines(("2026-10-12",), ("", "cycle-2026-10-11-1", LATE_STATEMENTS[OCTOBER], "cycle-2026-11-11-2")),
    DECEMBER: _late_lines(
        ("2026-10-13", "2026-11-13"), ("", "cycle-2026-10-11-1", LATE_STATEMENTS[NOVEMBER], "cycle-2026-12-11-3")
    ),
}
"""By the month that posts them."""


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """Three months, each signed without the statement of a cycle of its own, and before lines of it and of older ones came or changed."""
    made = Signed(make_world(tmp_path_factory.mktemp("late"), lines=0))
    world = made.world
    for seed, month in enumerate(MONTHS, start=1):
        shape = Shape(month=month, tax_mode="MIXED", seed=seed)
        generate(world.lake, world.con, lines=60, shape=shape)
        read = f"TIMESTAMPTZ '{shape.seen_at.isoformat()}'"
        if month in LATE_STATEMENTS:
            of_cycle = f"billing_cycle_id = '{LATE_STATEMENTS[month]}'"
            world.con.execute(f'CREATE TEMP TABLE "late {month}" AS FROM {CYCLES} WHERE {of_cycle}')
            world.plant(f"DELETE FROM {CYCLES} WHERE {of_cycle}")
        if month.previous() in LATE_STATEMENTS:
            late = f'SELECT * REPLACE ({read} AS fetched_at) FROM "late {month.previous()}"'
            world.plant(f"INSERT INTO {CYCLES} {late}")
        came, coming = LATE.get(month, []), LATE.get(month.next(), [])
        rows = [each.row(each.now, read) for each in came] + [
            each.row(each.known, read) for each in coming if each.known
        ]
        numbers = ", ".join(f"'{each.number}'" for each in came)
        world.plant(
            f"DELETE FROM {LOG} WHERE transaction_id IN ({numbers or 'NULL'})",
            f"INSERT INTO {LOG} ({LINE}) VALUES {', '.join(rows)}",
        )
        made.close(month, shape.seen_at)
    yield made
    made.world.con.close()


@pytest.mark.proves("R7", "R111", "I15")
@pytest.mark.parametrize(("month", "in_review"), [*((month, None) for month in MONTHS), (DECEMBER, DECEMBER)])
def test_every_line_of_every_journal_is_the_log_lines_that_it_is_opened_to(
    signed: Signed, month: Month, in_review: Month | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_down, "LARGEST_MAX", ALL)
    assert unlike_journals(signed.world, books(signed.world, signed.months, in_review), month) == []


@pytest.mark.proves("R7", "R111", "I13")
@pytest.mark.parametrize(("month", "in_review"), [*((month, None) for month in MONTHS), (DECEMBER, DECEMBER)])
def test_every_row_of_vat_that_the_log_books_is_the_log_lines_that_it_is_opened_to(
    signed: Signed, month: Month, in_review: Month | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_down, "LARGEST_MAX", ALL)
    assert unlike_vat_of_charges(signed.world, books(signed.world, signed.months, in_review), month) == []


@pytest.mark.proves("R7", "R111", "I3")
@pytest.mark.parametrize(("month", "in_review"), [*((month, None) for month in MONTHS), (DECEMBER, DECEMBER)])
def test_every_row_of_the_control_account_is_the_log_lines_that_it_is_opened_to(
    signed: Signed, month: Month, in_review: Month | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_down, "LARGEST_MAX", ALL)
    assert unlike_control(signed.world, books(signed.world, signed.months, in_review), month) == []


@pytest.mark.played
@pytest.mark.proves("R7", "R111")
def test_a_log_line_names_every_journal_that_has_it_and_no_other(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_down, "LARGEST_MAX", ALL)
    world, asked = signed.world, books(signed.world, signed.months)
    has: dict[str, set[tuple[str, str]]] = {}
    for journal in (each for month in MONTHS for each in journals(world, asked, month)):
        for line in journal.lines:
            if line.description in OWED:
                continue
            for each in line.added_up.largest:
                words = CARRIES if line.description == CARRIED else POSTS
                has.setdefault(each.transaction_id, set()).add((journal.journal_id, words))
    # Of one that leaves a cycle the log does not tell which it was in.
    stays = [each for batch in LATE.values() for each in batch if not each.known or each.known[2] in {"", each.now[2]}]
    looked_at = [each.number for each in stays[::9]]
    looked_at += [number for number in sorted(has) if "2026" not in number][::50]
    wrong = []
    for number in looked_at:
        (found,) = log_lines(world.con, f"log:{number}")
        named = {
            (each.reference, each.words) for each in drill_down.named_by(asked, found) if each.table == "journal_lines"
        }
        if named != has.get(number, set()):
            wrong.append((number, sorted(named), sorted(has.get(number, set()))))
    assert wrong == []


def test_the_months_have_late_lines_of_every_kind(signed: Signed) -> None:
    for month, cycle in ((NOVEMBER, LATE_STATEMENTS[OCTOBER]), (DECEMBER, LATE_STATEMENTS[NOVEMBER])):
        carried = {
            row["reference"]
            for row in signed.world.rows(
                f"SELECT reference FROM lake.recon.journal_lines WHERE month = '{month}' AND description = '{CARRIED}'"
            )
        }
        assert {"cycle-2026-10-11-1", cycle} < carried
        late = signed.world.rows(
            f"SELECT DISTINCT currency, kind FROM lake.recon.prior_period_adjustments WHERE month = '{month}'"
        )
        kinds = {
            f"{how} {kind}" for how in ("late", "changed") for kind in ("commission_vat", "manual_credit", "payment")
        }
        assert {row["kind"] for row in late if row["currency"] == "EUR"} == kinds
