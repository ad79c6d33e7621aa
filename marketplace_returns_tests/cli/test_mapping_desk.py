"""``mappings add``: seen first, saved only where that is said, refused in one message."""

from __future__ import annotations

import pytest

from marketplace_returns_tests.cli.conftest import Shell

ROW = (
    "source_system=mirakl",
    "source_code=RETURN_ODD",
    "flow=refund",
    "target_vocabulary=mirakl_refund",
    "target_code=17",
)
SAID = ("--by", "ana", "--note", "agreed")


@pytest.mark.played
@pytest.mark.proves("R33", "R43")
def test_a_row_is_added_from_the_command_line_once_it_was_seen(alone: Shell) -> None:
    table = alone.mapping("reasons")
    before = table.read_text()
    shown = alone.run("mappings", "add", "reasons", *ROW, *SAID, "--preview", "--json")
    assert (shown.code, shown.document["is_saved"], shown.document["effects"]) == (0, False, [])
    assert table.read_text() == before
    added = alone.run("mappings", "add", "reasons", *ROW, *SAID, "--yes")
    assert added.code == 0
    assert "Added to reasons.csv. The next pass works with it" in added.out
    assert table.read_text() == before + "mirakl,RETURN_ODD,refund,mirakl_refund,17,,ana\n"
    twice = alone.run("mappings", "add", "reasons", *ROW, *SAID, "--yes", "--json")
    assert twice.code == 2
    assert "is a second row for source_system mirakl" in twice.document["error"]["message"]
    review = alone.run("mappings", "review")
    assert (review.code, review.out.strip()) == (0, "Every word that came has a row.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("reasons", *ROW, "--by", " ", "--note", "x", "--yes"), "--by and --note are kept in the history: give both"),
        (("reasons", *ROW, *SAID, "--json"), "--json asks nothing: give --yes to add the row, or --preview"),
        (("reasons", "source_code", *SAID, "--yes"), "'source_code' is not COLUMN=VALUE"),
        (("reasons", "flow=refund", "flow=refund", *SAID, "--yes"), "column flow is given twice"),
        (("reason", *ROW, *SAID, "--yes"), "there is no mapping table 'reason': use one of reasons, dispositions"),
        (
            ("skus", *ROW, *SAID, "--yes"),
            "skus has no column 'source_system': its columns are shop, offer_sku, item_code",
        ),
    ],
)
def test_a_mistake_is_one_message_and_changes_nothing(alone: Shell, arguments: tuple[str, ...], told: str) -> None:
    before = alone.mapping("reasons").read_text()
    ended = alone.run("mappings", "add", *arguments)
    assert ended.code == 2
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert alone.mapping("reasons").read_text() == before
