"""Nobody gets where they may not: without a session, with the wrong role, with a forged form, by guessing, by names that are traps."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from sqlalchemy import text
from starlette.routing import Route

from marketplace_returns.clock import FixedClock
from marketplace_returns.console.accounts import FREE_FAILURES, Accounts, LogInRefused, TooManyLogIns
from marketplace_returns.console.app import HEADERS, MESSAGE, SESSION
from marketplace_returns.console.masking import HIDDEN, shown
from marketplace_returns.console.page import Page
from marketplace_returns.console.pages import all_pages
from marketplace_returns.console.roles import MAY, Permission, Role
from marketplace_returns.console.server import open_console
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger import Ledger
from marketplace_returns.ledger.connection import open_engine
from marketplace_returns_tests.console.served import NAMES, PASSWORD, Person, Served, fields_of, installation, told
from marketplace_returns_tests.ledger.world import NOW

OPEN_PATHS = {"/", "/log-in", "/log-out", "/static/{name}", "/health"}
PLACES = {"exception_id:int": "1", "shop": "asos_uk", "month": "2026-09"}
ASKED = [(page, method) for page in all_pages() for method in page.methods]
TRAPS = [
    "' OR '1'='1'; DROP TABLE exceptions; --",
    """"><script>alert(1)</script>{{ 7 * 7 }}""",
    "%00../../etc/passwd🧾",
    "\r\nSet-Cookie: planted=1",
]


def address(page: Page) -> str:
    return re.sub(r"{([^}]+)}", lambda found: PLACES.get(found[1], "1"), page.path)


def name_of(asked: tuple[Page, str]) -> str:
    return f"{asked[1]} {asked[0].path}"


@pytest.fixture
def nobody(console: Served) -> Person:
    return Person(console.base_url)


def test_every_route_is_a_page_with_a_permission_or_open_on_purpose(console: Served) -> None:
    app = open_console(console.settings, console.clock)
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    app.state.console.close()
    assert paths - {page.path for page in all_pages()} == OPEN_PATHS
    assert all(isinstance(page.permission, Permission) and page.methods for page in all_pages())


@pytest.mark.parametrize("asked", ASKED, ids=name_of)
def test_nothing_is_shown_or_done_without_a_session(nobody: Person, ledger: Ledger, asked: tuple[Page, str]) -> None:
    page, method = asked
    before = ledger.history_ends()
    for session in ("", "A" * 43):
        if session:
            nobody.http.cookies.set(SESSION, session)
        if method == "GET":
            answer = nobody.http.get(address(page))
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/log-in?next=")
        else:
            answer = nobody.post(address(page), {"csrf": "x"})
            assert answer.status_code == 401
            assert "not logged in" in told(answer.text)
    assert ledger.history_ends() == before


@pytest.mark.parametrize("asked", ASKED, ids=name_of)
def test_every_wrong_role_is_refused(console: Served, ledger: Ledger, asked: tuple[Page, str]) -> None:
    page, method = asked
    before = ledger.history_ends()
    for role in Role:
        if page.permission in MAY[role]:
            continue
        person = console.person(role)
        if method == "GET":
            answer = person.http.get(address(page))
        else:
            answer = person.send(
                address(page), "/account", do="resolve", note="x", reason="x", kind="refund", mode="off"
            )
        assert answer.status_code == 403, (role, page.path)
        assert f"The role {role} may not" in told(answer.text)
    # a log-in of a role that was not there yet is all that may be told
    changed = {shop: end for shop, end in ledger.history_ends().items() if end != before.get(shop)}
    assert set(changed) <= {"(accounts)"}


def test_roles_are_as_the_manual_says() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "console.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in manual.splitlines() if line.startswith("|")]
    (head,) = [row for row in rows if row[0] == "a person may"]
    told_there = {
        (row[0], role)
        for row in rows
        if len(row) == len(head)
        for role, cell in zip(head[1:], row[1:], strict=True)
        if cell == "yes"
    }
    assert told_there == {(str(each), str(role)) for role in Role for each in MAY[role]}


@pytest.mark.parametrize(
    ("spoil", "status", "sentence"),
    [
        (lambda fields, headers: fields.pop("csrf"), 403, "another log-in"),
        (lambda fields, headers: fields.update(csrf="0" * 64), 403, "another log-in"),
        (lambda fields, headers: fields.update(csrf="é"), 403, "another log-in"),
        (lambda fields, headers: headers.pop("Origin"), 403, "did not come from a page of this console"),
        (lambda fields, headers: headers.update(Origin="null"), 403, "did not come from"),
        (lambda fields, headers: headers.update(Origin="https://evil.example"), 403, "did not come from"),
        (lambda fields, headers: fields.pop("form"), 400, "not whole"),
        (lambda fields, headers: fields.update(form="x"), 400, "not whole"),
        (lambda fields, headers: fields.update(pad="x" * 200_000), 413, "too long"),
        (lambda fields, headers: headers.update({"Content-Type": "text/plain"}), 400, "own pages"),
        (lambda fields, headers: headers.update(Host="evil.example"), 400, "another name"),
    ],
    ids=[
        "no csrf",
        "wrong csrf",
        "no ascii",
        "no origin",
        "null",
        "foreign",
        "no form",
        "wrong form",
        "long",
        "kind",
        "host",
    ],
)
def test_a_forged_form_does_nothing(
    operations: Person, care: Person, ledger: Ledger, spoil: object, status: int, sentence: str
) -> None:
    (first, *_) = ledger.exceptions(types=["ACK_OVERDUE"])
    fields = fields_of(operations.get("/account")) | {"do": "resolve", "note": "forged"}
    headers = {"Origin": operations.base_url}
    spoil(fields, headers)  # type: ignore[operator]
    answer = operations.http.post(f"/exceptions/{first.exception_id}/act", data=fields, headers=headers)
    assert answer.status_code == status
    assert sentence in told(answer.text)
    assert ledger.exceptions(exception_id=first.exception_id)


def test_a_form_of_another_persons_session_is_refused(operations: Person, care: Person, ledger: Ledger) -> None:
    (first, *_) = ledger.exceptions(types=["ACK_OVERDUE"])
    fields: dict[str, str | list[str]] = {**fields_of(care.get("/account")), "do": "resolve", "note": "forged"}
    assert operations.post(f"/exceptions/{first.exception_id}/act", fields).status_code == 403
    assert ledger.exceptions(exception_id=first.exception_id)


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_in_any_text_is_only_text(admin: Person, ledger: Ledger, trap: str) -> None:
    before = len(ledger.exceptions(is_open=None))
    (first, *_) = ledger.exceptions(types=["ACK_OVERDUE"])
    for name in ("text", "shop", "owner", "severity", "type", "shown", "from"):
        answer = admin.http.get("/exceptions", params={name: trap})
        assert answer.status_code in {200, 400}, name
        assert "<script>alert" not in answer.text
        assert "49" not in re.findall(r'value="([^"]*)"', answer.text)
    page = f"/exceptions/{first.exception_id}"
    for fields in (
        {"do": "assign", "owner": trap, "note": trap},
        {"do": "snooze", "until": trap, "note": trap},
        {"do": trap, "note": trap, "owner": "x"},
    ):
        answer = admin.send(f"{page}/act", page, **fields)
        assert answer.status_code in {303, 400}
        assert "planted" not in answer.headers.get("set-cookie", "")
    for fields in ({"kind": trap, "mode": "off", "reason": "x"}, {"kind": "refund", "mode": trap, "reason": "x"}):
        assert admin.send("/writes/asos_uk", "/writes", **fields).status_code == 400
    seen = [admin.get(path) for path in (page, "/exceptions", "/history", "/writes", "/periods")]
    assert not [each for each in seen if "<script" in each]
    assert len(ledger.exceptions(is_open=None)) == before


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%09/evil.example\t",
        "javascript:alert(1)",
        "/\r\nLocation: https://evil.example",
        "http:evil",
    ],
)
def test_no_log_in_leads_to_somebody_elses_page(console: Served, wanted: str) -> None:
    person = Person(console.base_url)
    page = person.http.get("/log-in", params={"next": wanted}).text
    assert fields_of(page)["next"] in {"", "/%09/evil.example"}
    answer = person.log_in(NAMES[Role.CARE], next=wanted)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    back = Person(console.base_url).log_in(NAMES[Role.CARE], next="/exceptions?owner=care")
    assert back.headers["location"] == "/exceptions?owner=care"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2f..%2fsettings.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static/console.css%00.py",
        "/periods/..%2f..%2f..%2fetc/2026-09",
        "/periods/asos_uk/..%2f..%2fpasswd",
        "/periods/asos_uk/0000-00",
    ],
)
def test_no_path_leads_out_of_the_console(admin: Person, path: str) -> None:
    answer = httpx.Client(base_url=admin.base_url, cookies=admin.http.cookies).send(
        httpx.Request("GET", httpx.URL(admin.base_url + path), cookies=dict(admin.http.cookies))
    )
    assert answer.status_code in {400, 404}
    assert "Final" not in answer.text


def test_every_answer_has_the_security_headers(console: Served, admin: Person, nobody: Person) -> None:
    answers = [
        nobody.http.get("/log-in"),
        nobody.http.get("/nowhere"),
        nobody.http.get("/exceptions"),
        nobody.http.get("/static/console.css"),
        nobody.http.get("/health"),
        nobody.http.put("/exceptions"),
        admin.http.get("/exceptions"),
        admin.http.get("/exceptions/99999"),
    ]
    for answer in answers:
        for header, value in HEADERS.items():
            assert answer.headers[header] == value, answer.url
        kept = "max-age=86400" if "static" in str(answer.url) else "no-store"
        assert kept in answer.headers["cache-control"]
    assert "script-src" not in HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]


def test_a_log_in_gives_a_new_session_and_ends_the_one_before(console: Served) -> None:
    planted = "P" * 43
    person = Person(console.base_url)
    person.http.cookies.set(SESSION, planted)
    answer = person.log_in(NAMES[Role.CARE])
    first = person.http.cookies.get(SESSION, domain="127.0.0.1") or answer.cookies[SESSION]
    assert first != planted
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    thief = Person(console.base_url)
    thief.http.cookies.set(SESSION, planted)
    assert thief.http.get("/account").status_code == 303
    thief.http.cookies.set(SESSION, first)
    assert thief.http.get("/account").status_code == 200
    person.http.cookies.clear()
    person.http.cookies.set(SESSION, first)
    person.http.get("/account")
    out = person.post("/log-out", {**fields_of(person.get("/account"))})
    assert out.headers["location"] == "/log-in"
    assert thief.http.get("/account").status_code == 303


def test_a_log_in_form_of_another_browser_is_refused(console: Served) -> None:
    fields = {
        "name": NAMES[Role.CARE],
        "password": PASSWORD,
        "csrf": fields_of(Person(console.base_url).get("/log-in"))["csrf"],
    }
    other = Person(console.base_url)
    other.get("/log-in")
    assert other.post("/log-in", {**fields}).status_code == 403


def test_a_message_cannot_be_planted(console: Served) -> None:
    person = Person(console.base_url)
    person.log_in(NAMES[Role.CARE])
    person.http.cookies.set(MESSAGE, "WW91IG93ZSBtb25leQ.0000")
    assert "owe" not in person.get("/account")
    person.http.cookies.set(MESSAGE, "%ff.%ff")
    person.get("/account")


def test_personal_data_is_hidden_from_who_may_not_see_it() -> None:
    seen = {role: shown("Jane Nobody", role) for role in Role}
    assert {role for role in Role if seen[role] == "Jane Nobody"} == {Role.CARE, Role.ADMIN}
    assert {seen[role] for role in Role} == {"Jane Nobody", HIDDEN}
    assert shown(None, Role.FINANCE) == shown("", Role.CARE) == ""


# -- accounts, by their own functions: time passes as the test wants ------------------------------------------------------


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def accounts(tmp_path: Path, clock: FixedClock, new_ledger: Path) -> Iterator[Accounts]:
    shutil.copy(new_ledger, tmp_path)
    opened = Accounts.open(installation(tmp_path, session_hours=8, idle_minutes=30), clock)
    opened.add("ann", "finance", PASSWORD, by="test")
    yield opened
    opened.close()


def test_passwords_are_hashed_as_they_should_be() -> None:
    assert PasswordHasher().memory_cost >= 64 * 1024
    assert PasswordHasher().time_cost >= 3


def test_neither_password_nor_session_is_kept(accounts: Accounts, tmp_path: Path) -> None:
    token = accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    accounts.close()
    for file in tmp_path.glob("ledger*"):
        content = file.read_bytes()
        assert token.encode() not in content
        assert PASSWORD.encode() not in content
    with open_engine(tmp_path, "").connect() as connection:
        assert (
            connection.execute(text("SELECT password_hash FROM console_accounts")).scalar_one().startswith("$argon2id$")
        )


def test_a_session_ends_when_it_is_idle_or_old(accounts: Accounts, clock: FixedClock) -> None:
    token = accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    for _ in range(15):
        clock.wait(29 * 60)
        assert accounts.session(token), clock.now()
    clock.wait(31 * 60)
    assert accounts.session(token) is None  # idle
    other = accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    for _ in range(16):
        clock.wait(29 * 60)
        accounts.session(other)
    assert clock.now() > NOW + timedelta(hours=8)
    clock.wait(20 * 60)
    assert accounts.session(other) is None  # old, though it was used


def test_a_disabled_account_and_a_changed_password_end_the_sessions(accounts: Accounts) -> None:
    first, second = (accounts.log_in("ann", PASSWORD, address="10.0.0.1") for _ in range(2))
    accounts.set_password("ann", f"{PASSWORD} anew", by="ann", except_session=second)
    assert accounts.session(first) is None
    assert accounts.session(second) is not None
    accounts.disable("ann", by="test")
    assert accounts.session(second) is None
    with pytest.raises(LogInRefused):
        accounts.log_in("ann", f"{PASSWORD} anew", address="10.0.0.1")
    assert accounts.list()[0].disabled_at is not None


def test_guessing_is_braked_for_known_and_unknown_names_alike(accounts: Accounts, clock: FixedClock) -> None:
    def tries(name: str, password: str, address: str) -> list[str]:
        told = []
        for _ in range(FREE_FAILURES + 2):
            try:
                accounts.log_in(name, password, address=address)
                told.append("in")
            except LogInRefused:
                told.append("wrong")
            except TooManyLogIns as braked:
                told.append(f"wait {braked.wait_s}")
        return told

    wanted = ["wrong"] * FREE_FAILURES + ["wait 30"] * 2
    assert tries("ann", "a wrong password", "10.0.0.1") == wanted
    assert tries("nobody", "a wrong password", "10.0.0.2") == wanted
    with pytest.raises(TooManyLogIns):
        accounts.log_in("ann", PASSWORD, address="10.9.9.9")  # the right one too: or guessing would go on
    clock.wait(31)
    with pytest.raises(LogInRefused):
        accounts.log_in("ann", "a wrong password", address="10.0.0.1")
    with pytest.raises(TooManyLogIns) as longer:
        accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    assert longer.value.wait_s == 60
    clock.wait(61)
    assert accounts.log_in("ann", PASSWORD, address="10.0.0.1")
    assert tries("ann", "a wrong password", "10.0.0.1") == wanted  # a right one lets the brake go


def test_an_address_is_braked_over_many_names(accounts: Accounts) -> None:
    told = []
    for number in range(35):
        try:
            accounts.log_in(f"name{number}", "a wrong password", address="10.0.0.1")
        except LogInRefused:
            told.append("wrong")
        except TooManyLogIns:
            told.append("wait")
    assert told == ["wrong"] * 30 + ["wait"] * 5
    assert accounts.log_in("ann", PASSWORD, address="10.0.0.2")


def test_braked_log_ins_get_a_clear_page(console: Served) -> None:
    person = Person(console.base_url)
    answers = [person.log_in("somebody.else", f"wrong password {number}") for number in range(FREE_FAILURES + 1)]
    assert [each.status_code for each in answers] == [401] * FREE_FAILURES + [429]
    assert "Name or password are wrong." in told(answers[0].text)
    assert "too many wrong log-ins: wait 30 s" in told(answers[-1].text)
    assert answers[-1].headers["retry-after"] == "30"


@pytest.mark.parametrize(
    ("name", "role", "password", "sentence"),
    [
        ("Ann", "finance", PASSWORD, "no name of an account"),
        ("x" * 41, "finance", PASSWORD, "no name of an account"),
        ("../x", "finance", PASSWORD, "no name of an account"),
        ("bob", "boss", PASSWORD, "is no role"),
        ("bob", "finance", "short", "12 to 256 characters"),
        ("bob", "finance", "x" * 257, "12 to 256 characters"),
        ("bob", "finance", "aaaaaaaaaaaaaa", "easy to guess"),
        ("bob", "finance", "bob the long builder", "easy to guess"),
        ("ann", "finance", PASSWORD, "already"),
    ],
)
def test_a_bad_account_is_refused_with_the_reason(
    accounts: Accounts, name: str, role: str, password: str, sentence: str
) -> None:
    with pytest.raises(BadArgument, match=sentence):
        accounts.add(name, role, password, by="test")


def test_over_https_cookies_are_for_https_and_this_host_only(tmp_path: Path, clock: FixedClock) -> None:
    settings = installation(tmp_path, base_url="https://returns.example")
    app = open_console(settings, clock)
    transport = httpx.ASGITransport(app)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url="https://returns.example") as http:
            return [await http.get("/log-in"), await http.get("/log-in", headers={"Host": "127.0.0.1"})]

    page, other = asyncio.run(ask())
    app.state.console.close()
    assert page.headers["set-cookie"].startswith("__Host-marketplace_returns_visitor=")
    assert "Secure" in page.headers["set-cookie"]
    assert "max-age" in page.headers["strict-transport-security"]
    assert other.status_code == 400
