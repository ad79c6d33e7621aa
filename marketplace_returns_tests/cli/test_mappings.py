"""A mistake in a mapping table stops the start with file, line, reason and mend."""

from __future__ import annotations

import pytest

from marketplace_returns_tests.cli.conftest import Shell


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("mirakl,99,refund,mirakle,17,,", "target_vocabulary: 'mirakle' is not one of its words: use reveni"),
        (
            "mirakl,99,refund,reveni,17,,",
            "target_vocabulary: flow refund does not translate into reveni: use mirakl_refund",
        ),
        ("mirakl,99,refund,mirakl_refund,,,", "target_code: is empty: fill it in or remove the row"),
        ("mirakl,RETURN_CHANGED_MIND,create_return,reveni,x,,", "is a second row for source_system mirakl"),
        ('mirakl,"99,refund', "is not readable CSV (unexpected end of data): mend its quotes"),
        ("mirakl,99", "has 2 cells, the header has 7"),
    ],
)
def test_bad_row_is_named_with_file_and_line(alone: Shell, row: str, told: str) -> None:
    table = alone.mapping("reasons")
    line = len(table.read_text().splitlines()) + 1
    table.write_text(table.read_text() + row + "\n")
    ended = alone.run("sync", "--json")
    assert ended.code == 2
    assert ended.err.startswith(f"mappings/reasons.csv, line {line}")
    assert told in ended.err
    assert ended.err.count("\n") == 1


def test_unknown_column_is_named_with_the_known_ones(alone: Shell) -> None:
    table = alone.mapping("reasons")
    table.write_text(table.read_text().replace("flow", "flo", 1))
    ended = alone.run("exceptions", "list")
    assert ended.code == 2
    assert "mappings/reasons.csv, line 1: unknown column 'flo': the columns are source_system" in ended.err


def test_file_that_is_no_table_is_named(alone: Shell) -> None:
    alone.mapping("reason").write_text("")
    ended = alone.run("exceptions", "list")
    assert ended.code == 2
    assert "mappings/reason.csv: is not a mapping table: mend its name" in ended.err
