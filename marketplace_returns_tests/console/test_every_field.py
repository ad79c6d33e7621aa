"""Whatever is written into any field of any page, hidden ones and links' own included, is only text: found by walking the console.

The fields are not listed here: every link is followed and every form is read, so that a new page's fields are tried as it comes.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.console.app import HEADERS, SESSION
from marketplace_returns.console.pages import all_pages
from marketplace_returns.console.roles import Role
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.dispatch import drain
from marketplace_returns.ledger.outcomes import Rejected
from marketplace_returns.ledger.periods import PeriodState
from marketplace_returns.periods import Month
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.console.served import NAMES, PASSWORD, Person, Served, installation, served
from marketplace_returns_tests.ledger.world import NOW, SHOP, Outside, decision, problem, refund, shop

pytestmark = pytest.mark.played

MAPPINGS = Path(__file__).parents[2] / "mappings"
SEPTEMBER = Month.parse("2026-09")
IN_REVIEW = f"/periods/{SHOP}/{SEPTEMBER}"
MARK = "zqxj"
TRAPS = {
    "sql": f"{MARK}'; DROP TABLE exceptions; -- \" OR 1=1 UNION SELECT password_hash FROM console_accounts",
    "html": f"{MARK}\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{{{ 7 * 191 }}}}",
    "line": f"{MARK}\r\nSet-Cookie: planted=1\r\n\r\n\x00../../etc/passwd%00",
}
RAW = ("<script", "<img", MARK + "\"'", "1337", "Traceback", "$argon2")
"""What no page may have: a trap's markup, an expression that was worked out, an error's inside, a password's hash."""
ANSWERED = {200, 303, 400, 401, 404, 409, 413, 429}
BY_THEMSELVES = {"/log-out", "/log-in"}
PAST_THE_SESSION = "csrf"


@dataclass(frozen=True)
class Form:
    """What can be sent from a page: where to, how, and each field with what stands in it."""

    page: str
    path: str
    method: str
    fields: Mapping[str, str]


@dataclass
class _Read(HTMLParser):
    """Reads a page's links and forms, as a browser would."""

    page: str
    links: list[str] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(self.page, given["action"], given.get("method", "get").upper(), {}))
        elif tag in {"input", "select", "textarea", "button"} and given.get("name") and self.forms:
            fields = dict(self.forms[-1].fields)
            fields.setdefault(given["name"], given.get("value", ""))
            last = self.forms[-1]
            self.forms[-1] = Form(last.page, last.path, last.method, fields)


def place_of(path: str) -> str:
    """Write a path as its page is declared: of like pages one is enough."""
    for page in all_pages():
        pattern = re.sub(r"{[^}:]+(:int)?}", lambda kind: "[0-9]+" if kind[1] else "[^/]+", page.path)
        if re.fullmatch(pattern, path):
            return page.path
    return path


def walk(person: Person, starts: list[str]) -> tuple[list[Form], dict[str, str]]:
    """Follow every link, one of a kind; return the forms, one of a kind, and each page's address with all that links ask it."""
    forms: dict[tuple[str, str, tuple[str, ...]], Form] = {}
    queries: dict[str, dict[str, str]] = {}
    wanted = list(starts)
    seen: set[object] = set()
    while wanted:
        link = wanted.pop()
        parts = urlsplit(link)
        if parts.scheme or not parts.path.startswith("/") or parts.path.startswith("/static/"):
            continue
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        kind = (place_of(parts.path), tuple(sorted(asked)))
        queries.setdefault(parts.path if kind[0] == parts.path else kind[0], {}).update(asked)
        if link in seen or (kind in seen and link not in starts):
            continue
        seen |= {link, kind}
        answer = person.fetch(link)
        if answer.status_code != 200:
            continue
        page = _Read(link)
        page.feed(answer.text)
        wanted += page.links
        for each in page.forms:
            forms.setdefault((each.method, place_of(each.path), tuple(sorted(each.fields))), each)
    return list(forms.values()), {path: json.dumps(asked) for path, asked in queries.items() if asked}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, new_ledger: Path) -> Iterator[Served]:
    """A console in which every page has something: more than a page of exceptions, a refused write, a month in review, a lake."""
    clock = FixedClock(NOW)
    settings = installation(tmp_path_factory.mktemp("console"))
    shutil.copy(new_ledger, settings.data_dir)
    shutil.copytree(MAPPINGS, settings.mappings_dir, dirs_exist_ok=True)
    with Ledger.open(settings, clock) as ledger:
        late = [problem(f"O{number}", amount_minor=100 * number, currency="GBP") for number in range(1, 60)]
        ledger.apply(decision(refund("L1#1", order="O1"), exceptions=late), shop())
        refusing = Outside(answer=lambda _each: Rejected("400", "unknown", "mapping", "REFUND_REJECTED_REASON"))
        drain(ledger, shop(), {WriteKind.REFUND: refusing}, clock, worker="w1")
        ledger.hold_write(SHOP, WriteKind.PUSH_STOCK, "off", by="kim", reason="quiet")  # type: ignore[arg-type]
        facts = {"prepared_by": NAMES[Role.FINANCE], "prepared_at": NOW, "manifest_hash": "ab" * 32}
        ledger.step_period(SHOP, SEPTEMBER, PeriodState.REVIEW, **facts)
    with served(settings, clock) as running:
        yield running


@pytest.fixture(scope="module")
def found(console: Served) -> tuple[list[Form], dict[str, str]]:
    """What the one who may do everything can send; of the mappings the preview of one table."""
    admin = console.person(Role.ADMIN)
    write = re.findall(r'href="(/exceptions/\d+)"', admin.get("/exceptions?type=REFUND_REJECTED_REASON"))
    cells = "cell_source_system=mirakl&cell_source_code=R_NEW&cell_flow=refund&cell_target_vocabulary=mirakl_refund&cell_target_code=17"
    return walk(
        admin,
        [
            *("/exceptions", "/account", "/orders?number=O1", IN_REVIEW, "/periods/asos_uk/2026-08", *write),
            *("/history?before=1.1.asos_uk", "/mappings?all=1", f"/mappings/reasons/preview?{cells}"),
        ],
    )


def test_every_page_is_reached_by_a_link_or_a_form(found: tuple[list[Form], dict[str, str]]) -> None:
    forms, _ = found
    acts = {place_of(each.path) for each in forms if each.method == "POST"}
    assert {page.path for page in all_pages() if page.act} <= acts
    fields = {name for each in forms for name in each.fields}
    assert {
        "note",
        "reason",
        "owner",
        "until",
        "do",
        "chosen",
        "back",
        "old",
        "new",
        "again",
        "seen",
        "number",
        "text",
    } <= fields
    assert {"form", "shown", "kind", "mode", "cell_source_code", "cell_target_code"} <= fields


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_in_any_field_of_any_form_is_only_text(
    console: Served, ledger: Ledger, found: tuple[list[Form], dict[str, str]], trap: str
) -> None:
    admin, before = console.person(Role.ADMIN), len(ledger.exceptions(is_open=None))
    tried = 0
    for form in found[0]:
        if form.path in BY_THEMSELVES:
            continue
        for name in form.fields:
            if name == PAST_THE_SESSION:
                continue
            fields = {**form.fields, name: TRAPS[trap]}
            if form.method == "GET":
                answer = admin.fetch(form.path, fields)
            else:
                if name != "form":
                    fields["form"] = secrets.token_urlsafe(16)
                answer = admin.post(form.path, {**fields})
            is_plain(answer, f"{form.method} {form.path} {name}")
            tried += 1
    assert tried > 40
    is_whole(console, ledger, before)


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_in_what_a_link_asks_or_in_its_path_is_only_text(
    console: Served, ledger: Ledger, found: tuple[list[Form], dict[str, str]], trap: str
) -> None:
    admin, before = console.person(Role.ADMIN), len(ledger.exceptions(is_open=None))
    for path, asked in found[1].items():
        for name in json.loads(asked):
            there = re.sub(r"{[^}]+}", lambda kind: "1" if kind[0].endswith(":int}") else SHOP, path)
            is_plain(admin.fetch(there, {**json.loads(asked), name: TRAPS[trap]}), f"{path}?{name}")
    for page in all_pages():
        for name in re.findall(r"{[^}]+}", page.path):
            rest = page.path.replace(name, httpx.QueryParams({"": TRAPS[trap]}).__str__()[1:].replace("+", "%20"))
            rest = re.sub(r"{[^}]+}", SHOP, rest)
            for method in page.methods:
                answer = admin.http.request(method, rest, headers={"Origin": admin.base_url})
                is_plain(answer, f"{method} {page.path} {name}", also={403})
    is_whole(console, ledger, before)


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_in_the_log_in_is_only_text(console: Served, ledger: Ledger, trap: str) -> None:
    before = len(ledger.exceptions(is_open=None))
    for name in ("name", "password", "next", "csrf"):
        nobody = Person(console.base_url)
        page = _Read("/log-in")
        page.feed(nobody.get(f"/log-in?next={MARK}"))
        (form,) = page.forms
        fields = {**form.fields, "name": NAMES[Role.CARE], "password": f"not {PASSWORD}", name: TRAPS[trap]}
        is_plain(nobody.post("/log-in", {**fields}), f"log-in {name}", also={403})
        is_plain(nobody.http.get("/log-in", params={name: TRAPS[trap]}), f"log-in?{name}")
        console.clock.wait(1000)
    for cookie in (SESSION, "marketplace_returns_visitor", "marketplace_returns_said"):
        nobody.http.cookies.clear()
        sent = {"Cookie": f"{cookie}={TRAPS[trap].partition(chr(13))[0]}"}
        is_plain(nobody.http.get("/exceptions", headers=sent), f"cookie {cookie}")
    is_whole(console, ledger, before)


def is_plain(answer: httpx.Response, where: str, *, also: set[int] | frozenset[int] = frozenset()) -> None:
    """Hold an answer against what a trap would want."""
    assert answer.status_code in ANSWERED | also, (where, answer.status_code)
    assert not [raw for raw in RAW if raw in answer.text], where
    assert "planted" not in "".join(answer.headers.get_list("set-cookie")), where
    assert urlsplit(answer.headers.get("location", "/")).netloc == "", where
    assert all(answer.headers[name] == value for name, value in HEADERS.items()), where


def is_whole(console: Served, ledger: Ledger, before: int) -> None:
    """Nothing of the installation was lost, planted or shown as markup, and the history is as it was written."""
    assert len(ledger.exceptions(is_open=None)) == before
    assert all(each.broken is None for each in ledger.verify_history())
    admin = console.person(Role.ADMIN)
    for path in (
        "/exceptions",
        "/exceptions?shown=resolved",
        "/exceptions/1",
        "/history",
        "/writes",
        "/periods",
        IN_REVIEW,
    ):
        is_plain(admin.fetch(path), path)
    assert {each.name for each in console.accounts.list()} == set(NAMES.values())
