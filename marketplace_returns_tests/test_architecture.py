"""What holds for every file, whoever wrote it: import directions, one clock, one reader of the environment, no float money."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from importlinter import cli as import_linter

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "marketplace_returns"
TESTS = ROOT / "marketplace_returns_tests"
SOURCES = sorted(PACKAGE.rglob("*.py"))
STATEMENTS = sorted(PACKAGE.rglob("*.sql"))
CASSETTES = sorted(TESTS.glob("sources/*/cassettes/*.yaml"))

MAY_USE_THE_ENVIRONMENT = {
    "settings.py": "the one reader",
    "settings_mistakes.py": "the same reader's words for what is wrong with a variable",
    "cli/demo.py": "sets variables for the processes it starts",
    "cli/training.py": "sets variables for itself and its second terminal",
    "cli/serve.py": "sets variables for the processes it starts, and looks whether the user named a configuration",
}
MAY_READ_THE_CLOCK = {"clock.py": "the one clock", "sandbox/server.py": "the sandbox's own clock"}
MAY_DRAW_WITH_FLOATS = {"reconciliation/pictures.py": "heights of bars; no figure is read from a picture"}
CLOCK_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}
NAIVE_CALLS = {("datetime", "utcnow"), ("datetime", "utcfromtimestamp"), ("datetime", "today"), ("date", "today")}
MONEY_NAME = re.compile(r"(^|_)minor$|(^|_)amount$", re.IGNORECASE)
MINOR_NAME = re.compile(r"(^|_)minor$", re.IGNORECASE)
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
MACHINE_PATH = re.compile(r"(?<![\w.:/<>~-])/(home|root|Users|tmp|work|workspace|mnt|private)/\w")
LOOKS_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bxox[abprs]-\w{8,}|\b[rs]k_live_\w{8,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}|://[^/\s:@\"'{}<>]+:(?!password@|hidden@)[^/\s:@\"'{}<>]+@"
    r"(?!127\.|[\w.-]*\b(?:example|invalid|test)\b)[\w-]+\.\w"
)
SECRET_HEADER = re.compile(
    r"^\s+(authorization|proxy-authorization|cookie|set-cookie|x-api-key|api-key):", re.IGNORECASE | re.MULTILINE
)
SECRET_ELEMENT = re.compile(r"<(SessionId|password)>(?!hidden<)[^<]+<", re.IGNORECASE)
MAIL_ADDRESS = re.compile(r"\b[\w.+-]+@([A-Za-z][\w-]*(?:\.[\w-]+)*\.[A-Za-z]{2,})\b")
NOBODYS_DOMAIN = re.compile(r"(^|\.)(example|invalid|test|localhost)(\.(com|org|net))?$", re.IGNORECASE)
TEXT_SUFFIXES = {".py", ".sql", ".csv", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".mako", ".cfg", ".example"}


def test_imports_go_one_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.path", [str(ROOT)])
    code = import_linter.lint_imports(
        config_filename=str(ROOT / "pyproject.toml"), cache_dir=str(tmp_path), no_logo=True
    )
    assert code == 0, capsys.readouterr().out


def test_only_the_settings_read_the_environment() -> None:
    users = {_name(path) for path in SOURCES if _uses_environment(_tree(path))}
    assert users <= set(MAY_USE_THE_ENVIRONMENT), "take the value as a setting or an argument"
    assert users == set(MAY_USE_THE_ENVIRONMENT), "take it off the list"


def test_only_the_clock_asks_for_the_time() -> None:
    found = [
        f"{place}: {called[0]}.{called[1]}()"
        for path in SOURCES
        if _name(path) not in MAY_READ_THE_CLOCK
        for place, call in _calls(path)
        if (called := _called(call)) in CLOCK_CALLS
    ]
    assert not found, "take a Clock as an argument"


def test_no_instant_is_naive() -> None:
    found = []
    for path in SOURCES:
        for place, call in _calls(path):
            called = _called(call)
            has_zone = (
                bool(call.args[1:] or call.keywords)
                if called[1] == "fromtimestamp"
                else bool(call.args or call.keywords)
            )
            if called in NAIVE_CALLS or (
                called[0] == "datetime" and called[1] in {"now", "fromtimestamp"} and not has_zone
            ):
                found.append(f"{place}: {'.'.join(called)}")
    assert not found


@pytest.mark.proves("R110")
def test_money_is_never_a_float() -> None:
    found = [
        f"{_name(path)}:{line}: {reason}"
        for path in SOURCES
        if _name(path) not in MAY_DRAW_WITH_FLOATS
        for line, reason in _float_money(_tree(path))
    ]
    assert not found, "money is an integer of minor units, or Decimal at the edges"


@pytest.mark.parametrize(
    "code",
    [
        "float(row['amount'])",
        "price_minor: float = 0",
        "def pay(amount: float | None): ...",
        "amount_minor = 0.0",
        "refund(amount=9.99)",
        "line.amount_minor * 0.2",
        "price_minor / quantity",
    ],
)
def test_float_money_is_seen(code: str) -> None:
    assert list(_float_money(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["amount_minor // 2", "Decimal(amount)", "share * 0.8", "amount: Decimal", "refund(amount=1)"]
)
def test_whole_money_is_let_pass(code: str) -> None:
    assert not list(_float_money(ast.parse(code)))


@pytest.mark.proves("R110")
def test_sql_keeps_money_whole() -> None:
    found = []
    for path in STATEMENTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            code = line.partition("--")[0]
            if re.search(r"\b(DOUBLE|FLOAT|REAL)\b|_minor\)*\s*/(?!/)", code, re.IGNORECASE):
                found.append(f"{_name(path)}:{number}: {code.strip()}")
    assert not found, "/ of integers is a DOUBLE in DuckDB: use // or a rounding rule of money.py"


def test_nothing_is_printed() -> None:
    found = [
        place
        for path in SOURCES
        for place, call in _calls(path)
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
    assert not found, "commands speak through cli.output, the rest through logging"


def test_every_module_says_what_it_holds() -> None:
    assert not [_name(path) for path in SOURCES if not (ast.get_docstring(_tree(path)) or "").strip()]


def test_every_statement_says_what_a_row_is() -> None:
    assert not [_name(path) for path in STATEMENTS if not re.match(r"-- \S", path.read_text(encoding="utf-8"))]


def test_nothing_is_left_unfinished() -> None:
    assert not list(_lines_with(UNFINISHED))


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    assert not list(_lines_with(MACHINE_PATH))


@pytest.mark.proves("R44")
def test_no_file_holds_what_looks_like_a_key() -> None:
    assert not list(_lines_with(LOOKS_SECRET))


def test_every_mail_address_is_nobodys() -> None:
    found = [
        f"{place}: {match[0]}"
        for path in _files()
        for place, line in _numbered(path)
        for match in MAIL_ADDRESS.finditer(line)
        if not NOBODYS_DOMAIN.search(match[1])
    ]
    assert not found, "use a domain of example or invalid"


@pytest.mark.proves("R44")
@pytest.mark.parametrize("cassette", CASSETTES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_cassette_holds_no_key(cassette: Path) -> None:
    text = cassette.read_text(encoding="utf-8")
    assert not SECRET_HEADER.findall(text)
    assert not SECRET_ELEMENT.findall(text)


def test_there_are_cassettes() -> None:
    assert CASSETTES


def _float_money(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Find float() of money, money annotated as float, float literals beside money, and minor units divided by /."""
    for node in ast.walk(tree):
        place = getattr(node, "lineno", 0)
        match node:
            case ast.Call(func=ast.Name(id="float"), args=[ast.expr() as value, *_]) if _names(value, MONEY_NAME):
                yield place, "float() of money"
            case ast.AnnAssign(target=target, annotation=kind) | ast.arg(arg=target, annotation=ast.expr() as kind) if (
                _names(target, MONEY_NAME) and "float" in ast.unparse(kind)
            ):
                yield place, "money annotated as float"
            case ast.AnnAssign(target=target, value=ast.Constant(value=float())) if _names(target, MONEY_NAME):
                yield place, "money set to a float"
            case ast.Assign(targets=targets, value=ast.Constant(value=float())) if any(
                _names(target, MONEY_NAME) for target in targets
            ):
                yield place, "money set to a float"
            case ast.keyword(arg=str(name), value=ast.Constant(value=float())) if MONEY_NAME.search(name):
                yield place, "money given as a float"
            case ast.BinOp(left=left, right=right) if _is_float(left) or _is_float(right):
                if _is_money(left, MONEY_NAME) or _is_money(right, MONEY_NAME):
                    yield place, "money beside a float"
            case ast.BinOp(left=left, op=ast.Div(), right=right) if _is_money(left, MINOR_NAME):
                yield place, "minor units divided by /"
            case _:
                pass


def _is_float(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _is_money(node: ast.expr, pattern: re.Pattern[str]) -> bool:
    """Tell whether an operand is itself a thing with a money's name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return bool(pattern.search(name))
        case ast.UnaryOp(operand=operand):
            return _is_money(operand, pattern)
        case _:
            return False


def _names(node: ast.expr | str, pattern: re.Pattern[str]) -> bool:
    """Tell whether a money's name stands anywhere in an expression."""
    if isinstance(node, str):
        return bool(pattern.search(node))
    return any(isinstance(part, ast.expr) and _is_money(part, pattern) for part in ast.walk(node))


def _uses_environment(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and any("env" in each.name for each in node.names))
        for node in ast.walk(tree)
    )


def _called(call: ast.Call) -> tuple[str, str]:
    """Return (thing, method) of a call: ``("datetime", "now")`` for ``dt.datetime.now()`` too."""
    if not isinstance(call.func, ast.Attribute):
        return ("", "")
    thing = call.func.value
    return (
        thing.attr if isinstance(thing, ast.Attribute) else thing.id if isinstance(thing, ast.Name) else "",
        call.func.attr,
    )


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call):
            yield f"{_name(path)}:{node.lineno}", node


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def _files() -> tuple[Path, ...]:
    """Every file of the project that is in version control and holds text."""
    folders = (PACKAGE, TESTS, ROOT / "docs", ROOT / "mappings", ROOT / ".ci")
    inside = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    beside = [path for path in ROOT.iterdir() if path.is_file() and path.name not in {".env", ".git"}]
    return tuple(sorted(path for path in (*inside, *beside) if path.suffix in TEXT_SUFFIXES or not path.suffix))


def _numbered(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        yield f"{path.relative_to(ROOT)}:{number}", line


def _lines_with(pattern: re.Pattern[str]) -> Iterator[str]:
    """Find lines of any file of the project; this one holds the patterns themselves."""
    for path in _files():
        if path != Path(__file__).resolve():
            yield from (f"{place}: {line.strip()[:120]}" for place, line in _numbered(path) if pattern.search(line))
