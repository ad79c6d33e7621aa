"""The documentation says what is there: every command, setting, mapping table, exception type, asset, table and link.

``python -m marketplace_returns_tests.test_documentation`` writes ``docs/tables.md`` anew from the declarations, the owners and
clocks in ``docs/playbooks.md`` from the catalogue, and the next step of each exception type (``ledger/actions.json``) from the playbooks.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import json
import re
import tempfile
import types
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import dagster as dg
import pytest
import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from marketplace_returns.cli.main import app
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.sql import statement
from marketplace_returns.lake.tables import LAKE_TABLES, Table
from marketplace_returns.ledger.catalogue import actions
from marketplace_returns.mappings import Mappings
from marketplace_returns.model import MODEL_VIEWS, attach
from marketplace_returns.model.views import PACKAGE as MODEL_PACKAGE
from marketplace_returns.monitoring.readers import READERS
from marketplace_returns.orchestration.assembly import build_definitions
from marketplace_returns.reconciliation.tables import MONTHS, PACK_TABLES
from marketplace_returns.settings import AlertChannel, Settings, Shop, WriteKind, load_settings
from marketplace_returns.settings_mistakes import variable_name

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "marketplace_returns"
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "data" / "README.md"))
TABLES_PAGE = DOCS / "tables.md"
ACTIONS = PACKAGE / "ledger" / "actions.json"
PLAYBOOKS_PAGE = DOCS / "playbooks.md"
REGENERATE = "python -m marketplace_returns_tests.test_documentation"
SECRETS = {
    "mirakl.api_key",
    "returns.api_key",
    "returns.webhook_secret",
    "returns.webhook_token",
    "warehouse.password",
    "warehouse.webhook_token",
}
CHANNEL_SECRET = "alerts.channels.<channel>.url"
RAISERS = (
    "lanes/*.py",
    "ledger/alarms.py",
    "ledger/steps.py",
    "ledger/dispatch.py",
    "ledger/executors/*.py",
    "ledger/reflection/__init__.py",
    "monitoring/alarms.py",
    "orchestration/sync.py",
    "reconciliation/codes.py",
)
PLAYBOOK_PARTS = (
    "Raised by",
    "Means",
    "Owner and clock",
    "Check",
    "Fix",
    "Fixed when",
    "Escalate to",
    "Say to the customer",
)
SAY_NOTHING = "nothing: no customer is concerned."
TYPES_NO_CUSTOMER_SEES = {
    *("SKU_AUDIT_DIFF", "STOCK_REJECTED", "STOCK_STALE", "STOCK_DRIFT", "REFUND_MANUAL_ADOPTED"),
    *("SOURCE_STALE", "SCHEMA_CHANGED", "ENUM_NEW", "RATE_LIMITED", "AUTH_FAILED"),
    *("PAYOUT_VARIANCE", "TL_UNMAPPED_TYPE", "PERIOD_LATE_ITEM"),
}
NOTHING_YET = "- **Raised by**: nothing yet."


# -- the command line -------------------------------------------------------------------------------------------------


def test_every_command_is_in_the_readme() -> None:
    spans = _code_spans(_text("README.md"))
    missing = [name for name in _commands() if not any(_begins_with(span, name) for span in spans)]
    assert not missing


def test_the_readme_lists_no_command_that_is_not_there() -> None:
    listed = [span for row in _rows(_text("README.md"), "command") for span in _code_spans(row[0])]
    unknown = [span for span in listed if not any(_begins_with(span, name) for name in _commands())]
    assert listed
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_option_that_is_written_exists(page: Path) -> None:
    wrong = []
    for span in _code_spans(page.read_text(encoding="utf-8")):
        found = [name for name in _commands() if _begins_with(span, name)]
        if found:
            known = _options(_commands()[max(found, key=len)])
            wrong += [
                f"{span}: {option}" for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", span) if option not in known
            ]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_line_that_is_written_can_be_called(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    inline = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _without_blocks(text))]
    in_blocks = [line.strip() for block in _blocks(text) for line in re.sub(r"\\\n", " ", block).splitlines()]
    lines = [line for line in (*inline, *in_blocks) if re.match(r"(\S*/)?marketplace-returns( |$)", line)]
    assert not [mistake for line in lines for mistake in command_mistakes(line)]


def command_mistakes(line: str) -> list[str]:
    """Return what is wrong with a written command line: an unknown command, an unknown option, one that is missing."""
    words = re.sub(r"^(\S*/)?marketplace-returns ?", "", line.strip())
    if not words or words.startswith("--"):
        return []
    found = [name for name in _commands() if _begins_with(words, name)]
    if not found:
        is_known = any(name.startswith(f"{words} ") for name in _commands())
        return [] if is_known else [f"{line}: there is no such command"]
    command = _commands()[max(found, key=len)]
    given = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", words))
    unknown = [f"{line}: {option}" for option in sorted(given - _options(command))]
    if given:  # a command that is only named needs nothing
        unknown += [
            f"{line}: {parameter.opts[0]} is missing"
            for parameter in command.params
            if parameter.required and parameter.opts[0].startswith("--") and not given & set(parameter.opts)
        ]
    return unknown


# -- settings and mappings --------------------------------------------------------------------------------------------


def test_every_setting_is_described_with_its_default() -> None:
    described = {_code_spans(row[0])[0]: row for row in _rows(_text("docs/settings.md"), "setting") if row[2:]}
    declared = dict(_settings(Settings, ""))
    assert set(described) == set(declared)
    for name, default in declared.items():
        assert described[name][2].strip("`") == default, name


def test_every_secret_is_described_with_its_variable() -> None:
    page, example = _text("docs/settings.md"), _text(".env.example")
    for key in SECRETS:
        assert f"`shops.<shop>.{key}`" in page
        assert variable_name(f"shops.asos_uk.{key}") in example
    assert f"`{CHANNEL_SECRET}`" in page
    assert variable_name(CHANNEL_SECRET.replace("<channel>", "ops_chat")) in example


def test_every_kind_of_write_is_described() -> None:
    listed = [_code_spans(row[0])[0] for row in _rows(_text("docs/settings.md"), "kind of write")]
    assert listed == [str(kind) for kind in WriteKind]


def test_every_mapping_table_is_described_with_its_columns() -> None:
    described = {_code_spans(row[0])[0]: row[1] for row in _rows(_text("docs/settings.md"), "table")}
    frames = Mappings().frames()
    assert list(described) == [f"{name}.csv" for name in frames]
    for name, frame in frames.items():
        assert [column.strip(" *") for column in described[f"{name}.csv"].split(",")] == frame.column_names, name


# -- exceptions -------------------------------------------------------------------------------------------------------


@pytest.mark.proves("R22", "R93")
def test_every_exception_type_has_a_playbook() -> None:
    headings = [
        line.removeprefix("## ") for line in _text("docs/playbooks.md").splitlines() if re.match(r"## [A-Z_]+$", line)
    ]
    assert headings == [rule["type"] for rule in _exception_rules()]


@pytest.mark.proves("R22", "R93")
@pytest.mark.parametrize(
    "rule", list(csv.DictReader((PACKAGE / "ledger" / "exceptions.csv").open())), ids=lambda rule: rule["type"]
)
def test_playbook_is_whole_and_names_owner_and_clock(rule: dict[str, str]) -> None:
    section = _section(rule["type"])
    found = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", section, re.MULTILINE)
    assert [name for name, _ in found] == list(PLAYBOOK_PARTS)
    said = dict(found)["Say to the customer"]
    assert (said == SAY_NOTHING) is (rule["type"] in TYPES_NO_CUSTOMER_SEES)
    assert said == SAY_NOTHING or re.match(r"“[^“”]+[.?…]”", said), said
    page, _, anchor = rule["playbook"].partition("#")
    assert anchor in _anchors(ROOT / page)


@pytest.mark.proves("R22", "R23")
@pytest.mark.parametrize(
    "rule", list(csv.DictReader((PACKAGE / "ledger" / "exceptions.csv").open())), ids=lambda rule: rule["type"]
)
def test_a_playbook_sends_nobody_to_a_table_that_no_page_shows_them(rule: dict[str, str]) -> None:
    section = _section(rule["type"])
    assert not re.findall(r"`(?:lake\.)?(?:core|model)\.\w+", section)
    for name in re.findall(r"\*Tables\*, `(\w+)`", section):
        assert rule["owner"] in READERS[name], f"{name} is not shown to {rule['owner']}"


@pytest.mark.proves("R22")
def test_the_next_step_of_every_type_is_the_playbooks_own() -> None:
    assert actions() == _actions(), f"ledger/actions.json is stale: run {REGENERATE}"


def _actions() -> dict[str, str]:
    """Return what each playbook says under *Fix*, as plain words."""
    found = {}
    for rule in _exception_rules():
        (fix,) = re.findall(r"^- \*\*Fix\*\*: (.*)$", _section(rule["type"]), re.MULTILINE)
        found[rule["type"]] = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", fix).replace("`", "")
    return found


def test_owners_and_clocks_of_the_playbooks_are_the_catalogues() -> None:
    assert PLAYBOOKS_PAGE.read_text(encoding="utf-8") == playbooks_page(), (
        f"docs/playbooks.md is stale: run {REGENERATE}"
    )


def playbooks_page() -> str:
    """Return the page of playbooks with owner, severity and hours as the catalogue has them."""
    rules = {rule["type"]: rule for rule in _exception_rules()}
    lines, exception_type = [], ""
    for line in PLAYBOOKS_PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            exception_type = line.removeprefix("## ")
        if line.startswith("- **Owner and clock**: ") and exception_type in rules:
            rule = rules[exception_type]
            lines.append(f"- **Owner and clock**: {rule['owner']}, {rule['severity']}, {rule['sla_hours']} hours.")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def test_playbooks_say_truly_what_is_raised_by_nothing_yet() -> None:
    named = {
        node.value
        for pattern in RAISERS
        for path in PACKAGE.glob(pattern)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    silent = {rule["type"] for rule in _exception_rules() if NOTHING_YET in _section(rule["type"])}
    assert silent == {rule["type"] for rule in _exception_rules()} - named


# -- Dagster ----------------------------------------------------------------------------------------------------------


def test_every_part_of_the_dagster_pages_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of this machine
    repository = build_definitions(load_settings(ROOT / "mappings" / "shops.toml")).get_repository_def()
    graph = repository.asset_graph
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    spans = set(_code_spans(_text("docs/dagster.md")))
    wanted = {
        *(str(node.group_name) for node in nodes),
        *(pool for node in nodes for pool in node.pools or ()),
        *(key.name for key in graph.asset_check_keys),
        *(_pattern(job.name) for job in repository.get_all_jobs() if not job.name.startswith("__")),
        *(_pattern(schedule.name) for schedule in repository.schedule_defs),
        *(sensor.name for sensor in repository.sensor_defs),
    }
    assert not sorted(wanted - spans)
    named = {span for span in spans if re.fullmatch(r"asos_uk(_[a-z_]+|/.+)", span)}
    known = wanted | {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert not sorted(named - known)
    assert isinstance(
        graph.get(dg.AssetKey(["asos_uk", "mirakl", "orders"])).partitions_def, dg.DailyPartitionsDefinition
    )


@cache
def _asset_keys() -> frozenset[str]:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # no .env of this machine
        graph = build_definitions(load_settings(ROOT / "mappings" / "shops.toml")).get_repository_def().asset_graph
    return frozenset(key.to_user_string() for key in graph.get_all_asset_keys())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_asset_that_is_named_exists(page: Path) -> None:
    spans = _code_spans(page.read_text(encoding="utf-8"))
    named = {
        re.sub(r"^<shop>/", "asos_uk/", span) for span in spans if re.fullmatch(r"(asos_uk|<shop>)/[a-z_/]+", span)
    }
    assert not sorted(named - _asset_keys())


def _pattern(name: str) -> str:
    """Name a poll of any stream as the page does."""
    return re.sub(
        r"^asos_uk_poll_(mirakl|reveni|peoplevox)_[a-z_]+?(_schedule)?$", r"asos_uk_poll_<system>_<noun>\2", name
    )


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_every_make_target_is_named() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", _text("Makefile"), re.MULTILINE)
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert targets
    assert not [name for name in targets if not re.search(rf"\bmake {name}\b|`{name}`", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", _without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_page_of_tables_is_as_declared() -> None:
    assert TABLES_PAGE.read_text(encoding="utf-8") == tables_page(), f"docs/tables.md is stale: run {REGENERATE}"


def tables_page() -> str:
    """Return the page of all tables and views, from their declarations."""
    return "\n".join([*_head(), *_lake_section(), *_model_section(), *_month_end_section()])


def _head() -> Iterator[str]:
    yield "# Tables"
    yield ""
    yield f"<!-- Written by `{REGENERATE}` from the declarations; do not edit. -->"
    yield ""
    yield "Every table and view, as it can be asked for in SQL. Money is in minor units (pence) of the row's `currency`; instants are in UTC;"
    yield "a column marked *needed* is never empty."
    yield ""


def _lake_section() -> Iterator[str]:
    yield "## The lake"
    yield ""
    yield "Schema `landing` is what came, as it came; schema `core` the same as typed rows, one newest row per key (`<source>__<noun>`)."
    yield ""
    for table in LAKE_TABLES:
        yield from _table(table)


def _model_section() -> Iterator[str]:
    yield "## The model"
    yield ""
    yield "One vocabulary for all systems: views over the lake, made in the memory of a connection, so they are never stale."
    yield ""
    columns = _view_columns()
    for view in MODEL_VIEWS:
        yield f"### `model.{view}`"
        yield ""
        yield _comment(statement(view, MODEL_PACKAGE))
        yield ""
        yield "| column | type |"
        yield "| --- | --- |"
        yield from (f"| `{name}` | {kind} |" for name, kind in columns[view])
        yield ""


def _month_end_section() -> Iterator[str]:
    yield "## The month-end"
    yield ""
    yield "Replaced as a whole when a month is closed. *In the pack* is the name of the column in the CSV file and the workbook, where amounts are"
    yield "plain decimals; `shop` and `currency` come first there."
    yield ""
    for pack in PACK_TABLES:
        yield from _table(pack.table)
        yield f"In the pack: {', '.join(f'`{name}`' for name, _ in pack.columns)}."
        yield ""
    yield from _table(MONTHS)


def _table(table: Table) -> Iterator[str]:
    yield f"### `{table.path}`"
    yield ""
    yield f"{table.meaning}. Key: {', '.join(f'`{name}`' for name in table.key)}."
    yield ""
    yield "| column | kind | needed | meaning |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns:
        yield f"| `{column.name}` | {column.kind} | {'needed' if column.required else ''} | {_cell(column.meaning)} |"
    yield ""


def _cell(text: str) -> str:
    return re.sub(r"<([^>]+)>", r"`<\1>`", text).replace("|", "\\|")


def _comment(sql: str) -> str:
    """Return the comment a statement begins with, as one paragraph."""
    lines = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return _cell(" ".join(lines))


def _view_columns() -> dict[str, list[tuple[str, str]]]:
    """Return the columns of every model view, asked of an empty lake."""
    with tempfile.TemporaryDirectory() as folder:
        shops = load_settings(ROOT / "mappings" / "shops.toml").shops
        settings = Settings(data_dir=Path(folder), shops=shops)
        con = Lake.open(settings).connect()
        try:
            attach(con, settings, Mappings())
            found = {view: con.execute(f"DESCRIBE model.{view}").fetchall() for view in MODEL_VIEWS}
        finally:
            con.close()
    return {view: [(row[0], row[1]) for row in rows] for view, rows in found.items()}


# -- reading the pages and the program --------------------------------------------------------------------------------


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def _code_spans(text: str) -> list[str]:
    """Return what stands between backticks, and the lines of code blocks, without the program's own name before them."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    spans = [" ".join(span.split()) for span in (*inline, *(line for block in blocks for line in block.splitlines()))]
    return [re.sub(r"^(\S*/)?marketplace-returns ", "", span) for span in spans]


def _blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def _rows(text: str, first_heading: str) -> list[list[str]]:
    """Return the cells of all rows of the tables whose first column is headed so."""
    rows: list[list[str]] = []
    heading = ""
    for line in text.splitlines():
        if not line.startswith("|"):
            heading = ""
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not heading:
            heading = cells[0]
        elif heading == first_heading and not set(cells[0]) <= {"-", " "}:
            rows.append(cells)
    return rows


@cache
def _anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def _section(exception_type: str) -> str:
    return re.split(
        r"^## ", _text("docs/playbooks.md").partition(f"\n## {exception_type}\n")[2], maxsplit=1, flags=re.MULTILINE
    )[0]


@cache
def _exception_rules() -> tuple[dict[str, str], ...]:
    with (PACKAGE / "ledger" / "exceptions.csv").open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


@cache
def _commands() -> dict[str, Any]:
    """Return every command by its name, such as ``exceptions list``."""
    return dict(_leaves(typer.main.get_command(app), ""))


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children or (name and getattr(command, "invoke_without_command", False)):
        yield name, command
    for child, each in children.items():
        yield from _leaves(each, f"{name} {child}".strip())


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}


def _begins_with(span: str, command: str) -> bool:
    return span == command or span.startswith(f"{command} ")


def _settings(model: type[BaseModel], place: str) -> Iterator[tuple[str, str]]:
    """Return every setting by its dotted name, with its default as the page writes it; secrets are elsewhere."""
    for name, field in model.model_fields.items():
        dotted = f"{place}{name}"
        if dotted.removeprefix("shops.<shop>.") in SECRETS or dotted in {"shops.<shop>.name", CHANNEL_SECRET}:
            continue
        inner = _section_in(field.annotation)
        if inner is Shop:
            yield from _settings(Shop, "shops.<shop>.")
        elif inner is AlertChannel:
            yield from _settings(AlertChannel, "alerts.channels.<channel>.")
        elif inner is not None:
            yield from _settings(inner, f"{dotted}.")
        elif name == "writes":
            yield dotted, "live"
        else:
            yield dotted, "needed" if field.default is PydanticUndefined else _written(field.default)


def _section_in(kind: Any) -> type[BaseModel] | None:
    """Return the section a setting's type is or holds: itself, optional, or by name."""
    parts: Iterable[Any] = get_args(kind) if get_origin(kind) in {dict, types.UnionType} or get_args(kind) else (kind,)
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def _written(default: Any) -> str:
    if default is None:
        return "none"
    if isinstance(default, tuple):
        return str(list(default))
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) or "empty"


if __name__ == "__main__":
    TABLES_PAGE.write_text(tables_page(), encoding="utf-8")
    PLAYBOOKS_PAGE.write_text(playbooks_page(), encoding="utf-8")
    ACTIONS.write_text(json.dumps(_actions(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
