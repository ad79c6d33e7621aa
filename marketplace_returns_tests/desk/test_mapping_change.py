"""Adding a row: what it would move, refused where the loader refuses it, never over somebody else's change, told before it is there."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from marketplace_returns.desk.mapping_change import MappingOvertaken, propose, save, shown_hash
from marketplace_returns.desk.mapping_preview import Effect, preview, review
from marketplace_returns.errors import BadArgument, BadMapping
from marketplace_returns.lake.connection import snapshot_of
from marketplace_returns.mappings import load_mappings
from marketplace_returns_tests.desk.conftest import AtDesk
from marketplace_returns_tests.lanes.core_rows import NOW, SHOP

ROW = {
    "source_system": "mirakl",
    "source_code": "RETURN_ODD",
    "flow": "refund",
    "target_vocabulary": "mirakl_refund",
    "target_code": "17",
}


@pytest.mark.proves("R10", "R33", "R70")
@pytest.mark.played
def test_the_preview_tells_what_moves_and_changes_nothing(at: AtDesk) -> None:
    at.core.order()
    at.core.returned(reason="RETURN_ODD")
    at.core.inspected()
    at.core.order("O2")
    at.core.returned("R2", "O2", lines=(("O2-1", 1),), reason="RETURN_ODDER")
    at.core.inspected("RET2", "O2")
    at.decided("refunds")
    unmapped = [
        row for row in review(at.desk, SHOP, NOW).dicts() if row["state"] == "unmapped" and row["flow"] == "refund"
    ]
    assert [(row["source_code"], row["seen"], row["example"]) for row in unmapped] == [
        ("RETURN_ODD", 1, "R1"),
        ("RETURN_ODDER", 1, "R2"),
    ]
    before = snapshot_of(at.desk.con), at.ledger.exceptions(is_open=None), at.ledger.intents()
    proposal = propose(at.core.settings, "reasons", ROW, by="ana")
    assert preview(at.desk, proposal.mappings, NOW) == [
        Effect(SHOP, "closes", "REASON_UNMAPPED", 1, (("GBP", 2500),), ("O1-1#1",)),
        Effect(SHOP, "plans", "refund", 1, (("GBP", 2500),), ("O1-1#1",), "live"),
    ]
    assert preview(at.desk, at.desk.mappings, NOW) == []
    assert (
        snapshot_of(at.desk.con),
        at.ledger.exceptions(is_open=None),
        at.ledger.intents(),
    ) == before
    assert "RETURN_ODD" not in (at.core.settings.mappings_dir / "reasons.csv").read_text()


@pytest.mark.proves("R33", "R44")
def test_a_row_is_added_at_the_end_in_the_files_own_form_and_the_history_has_it(at: AtDesk) -> None:
    path = at.core.settings.mappings_dir / "carriers.csv"
    old = (
        "\ufeffcarrier_code,source_system,source_code,carrier_name,tracking_url_template\r\nDPDUK,peoplevox,DPD,DPD UK,"
    )
    path.write_bytes(old.encode())
    row = {"source_system": "peoplevox", "source_code": "Yodel, next day", "carrier_code": "YODEL"}
    proposal = propose(at.core.settings, "carriers", row, by="ana")
    save(at.core.settings, at.ledger, proposal, by="ana", note="agreed with the warehouse")
    assert path.read_bytes().decode() == old + '\r\nYODEL,peoplevox,"Yodel, next day",,\r\n'
    assert [each.carrier_code for each in load_mappings(path.parent).carriers] == ["DPDUK", "YODEL"]
    assert [each.name for each in path.parent.glob(".*")] == []
    (told,) = at.ledger.last_acts(limit=5)
    assert (told.actor, told.subject, told.facts["note"]) == ("ana", "mapping carriers", "agreed with the warehouse")
    assert told.facts["after"] == shown_hash(at.core.settings, "carriers")
    assert told.facts["was_changed_elsewhere"] is False
    assert [chain.broken for chain in at.ledger.verify_history()] == [None]


def test_a_table_without_a_file_gets_one_with_its_header(at: AtDesk) -> None:
    path = at.core.settings.mappings_dir / "skus.csv"
    path.unlink()
    row = {"shop": SHOP, "offer_sku": "A", "item_code": "B"}
    save(at.core.settings, at.ledger, propose(at.core.settings, "skus", row, by="ana"), by="ana", note="n")
    assert path.read_text() == f"shop,offer_sku,item_code\n{SHOP},A,B\n"


@pytest.mark.parametrize(
    ("table", "row", "error", "words"),
    [
        ("reasons", {**ROW, "flow": "refnd"}, BadMapping, "flow: 'refnd' is not one of its words"),
        ("reasons", {**ROW, "target_code": ""}, BadMapping, "target_code: is empty"),
        (
            "reasons",
            {**ROW, "source_code": "return_changed_MIND"},
            BadMapping,
            "is a second row for source_system mirakl",
        ),
        ("reasons", {**ROW, "sauce": "x"}, BadArgument, "reasons has no column 'sauce'"),
        ("reasons", {**ROW, "source_code": "A\nmirakl,B"}, BadArgument, "a cell is one line"),
        ("reason", ROW, BadArgument, "there is no mapping table 'reason'"),
        ("../shops", ROW, BadArgument, "there is no mapping table"),
    ],
)
def test_what_the_loader_refuses_is_refused_in_its_own_words(
    at: AtDesk, table: str, row: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words.replace("'", ".")):
        propose(at.core.settings, table, row, by="ana")
    assert at.ledger.last_acts(limit=5) == []


@pytest.mark.proves("R44")
def test_a_file_that_was_changed_since_it_was_shown_is_not_touched(at: AtDesk) -> None:
    mine = propose(at.core.settings, "reasons", ROW, by="ana")
    theirs = propose(at.core.settings, "reasons", {**ROW, "source_code": "RETURN_OTHER_ODD"}, by="ben")
    save(at.core.settings, at.ledger, theirs, by="ben", note="first")
    with pytest.raises(MappingOvertaken, match="was changed since it was shown"):
        save(at.core.settings, at.ledger, mine, by="ana", note="second")
    assert [each.actor for each in at.ledger.last_acts(limit=5)] == ["ben"]


def test_a_change_past_the_desk_is_told_with_the_next_one(at: AtDesk) -> None:
    settings = at.core.settings
    save(settings, at.ledger, propose(settings, "reasons", ROW, by="ana"), by="ana", note="first")
    path = settings.mappings_dir / "reasons.csv"
    path.write_text(path.read_text().replace("RETURN_ODD", "RETURN_OLD"))
    save(settings, at.ledger, propose(settings, "reasons", ROW, by="ana"), by="ana", note="again")
    assert [each.facts["was_changed_elsewhere"] for each in at.ledger.last_acts(limit=5)] == [True, False]


def test_a_death_before_the_file_is_exchanged_leaves_the_old_one_whole(
    at: AtDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = at.core.settings.mappings_dir / "reasons.csv"
    before = path.read_bytes()

    def dies(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        save(at.core.settings, at.ledger, propose(at.core.settings, "reasons", ROW, by="ana"), by="ana", note="n")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.glob(".reasons*")] == []
    assert len(at.ledger.last_acts(limit=5)) == 1, "said before it was done"
    save(at.core.settings, at.ledger, propose(at.core.settings, "reasons", ROW, by="ana"), by="ana", note="again")
    assert at.ledger.last_acts(limit=5)[0].facts["was_changed_elsewhere"] is True


def test_a_folder_that_cannot_be_written_to_is_told_before_the_history_is(
    at: AtDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    # Nobody is root in production; here everybody is, whom no folder refuses.
    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    with pytest.raises(BadMapping, match=r"reasons\.csv: no row can be added, .*Read-only file system"):
        save(at.core.settings, at.ledger, propose(at.core.settings, "reasons", ROW, by="ana"), by="ana", note="n")
    assert at.ledger.last_acts(limit=5) == []


def test_a_row_that_is_to_come_moves_nothing_yet(at: AtDesk) -> None:
    at.core.order()
    at.core.returned(reason="RETURN_ODD")
    at.core.inspected()
    at.decided("refunds")
    tomorrow = (NOW + timedelta(days=1)).date().isoformat()
    assert (
        preview(at.desk, propose(at.core.settings, "reasons", {**ROW, "valid_from": tomorrow}, by="ana").mappings, NOW)
        == []
    )
