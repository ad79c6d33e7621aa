"""The console as an ASGI application: every check that comes before a page.

Here: host, origin, session, permission, CSRF, forms sent twice, headers, and how errors become pages, in one place and one order. Not
here: any page. The invariants: without a session nothing is shown but the log-in page; a page runs only for who has its permission;
a form acts only with the token of its own session, from our own origin, once; a GET writes nothing but that the session is used, and
whose name it showed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import secrets
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from marketplace_returns.answer_headers import AnswerHeaders
from marketplace_returns.clock import Clock
from marketplace_returns.console.accounts import Account, Accounts, LogInRefused, TooManyLogIns
from marketplace_returns.console.kept_tables import KeptTables
from marketplace_returns.console.lake_threads import LakeThreads
from marketplace_returns.console.page import NotAllowed, NotThere, Overtaken, Page, Visit
from marketplace_returns.console.pages import all_pages
from marketplace_returns.console.rendering import STATIC, Templates, csrf_token, static
from marketplace_returns.console.roles import may
from marketplace_returns.console.waiting import Waiting
from marketplace_returns.errors import (
    BadArgument,
    BadMapping,
    BadSettings,
    ContractBroken,
    LakeBusy,
    LedgerBusy,
    MarketplaceReturnsError,
    PeriodLocked,
)
from marketplace_returns.ledger import Ledger
from marketplace_returns.settings import Followed, Settings, Switches, is_loopback

SESSION: Final = "marketplace_returns_session"
VISITOR: Final = "marketplace_returns_visitor"
MESSAGE: Final = "marketplace_returns_said"
FORM_BYTES_MAX: Final = 131_072
FIELDS_MAX: Final = 1_000
THREADS: Final = 8
MESSAGE_CHARACTERS: Final = 600
FRAMES_TOLD: Final = 8
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{20,100}", re.ASCII)
_OWN_PATH: Final = re.compile(r"/(?![/\\])[A-Za-z0-9_./?=&%+,:~-]{0,500}", re.ASCII)
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would send no origin beside our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_STATUS: Final[dict[type[MarketplaceReturnsError], int]] = {
    NotThere: 404,
    NotAllowed: 403,
    Overtaken: 409,
    PeriodLocked: 409,
    ContractBroken: 409,
    LedgerBusy: 503,
    LakeBusy: 503,
    BadArgument: 400,
    BadMapping: 409,
    BadSettings: 503,
}
_HEADLINE: Final = {
    400: "That does not fit",
    401: "You are not logged in",
    403: "That is refused",
    404: "There is nothing here",
    405: "That cannot be done here",
    409: "That is not so any more",
    413: "That is too much at once",
    429: "Too many log-ins",
    500: "Something went wrong",
    503: "Not now",
}
_FIXED: Final = ("data_dir", "ledger_url", "console")
"""The settings that the console stands on from its beginning; all others it follows."""
_log = logging.getLogger(__name__)


class _Refused(Exception):
    """The request is answered by a page with a status and one sentence."""

    def __init__(self, status: int, sentence: str, *, retry_after_s: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after_s = retry_after_s


class Console:
    """What all pages share. Make the application of it with ``build``."""

    def __init__(
        self, settings: Settings, ledger: Ledger, accounts: Accounts, switches: Switches, clock: Clock
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.accounts = accounts
        self.switches = switches
        self.clock = clock
        self.templates = Templates(clock)
        self.pages = all_pages()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="console")
        self.followed = Followed(settings)
        self.lake_threads = LakeThreads(clock)
        self.waiting = Waiting(clock)
        self.tables = KeptTables(clock)

    def close(self) -> None:
        """End the threads and close the databases."""
        self.threads.shutdown()
        self.lake_threads.close()
        self.waiting.close()
        self.accounts.close()
        self.ledger.close()

    def current(self) -> Settings:
        """Return the settings as their file says now, for a page; BadSettings where the console must begin anew to follow them."""
        now = self.followed.now()
        moved = [name for name in _FIXED if getattr(now, name) != getattr(self.settings, name)]
        if moved:
            raise BadSettings(
                f"{', '.join(moved)} changed in the settings since the console began: restart it, and nothing is shown or done until then."
            )
        return now

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        """Run what waits for a database beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    # -- before a page ------------------------------------------------------------------------------------------------

    def check_host(self, request: Request) -> None:
        """Refuse a request that was sent to another name: a page of somebody else's name is not answered as ours."""
        host = request.headers.get("host", "")
        own = self.settings.console.base_url
        if own:
            if host != urlsplit(own).netloc:
                raise _Refused(400, "The console has another address than this one: use the one you were given.")
        elif not is_loopback(f"http://{host}"):
            raise _Refused(400, "The console is reached by another name only once console.base_url is set to it.")

    def check_origin(self, request: Request) -> None:
        """Refuse a form that was sent from a page of another site."""
        own = self.settings.console.base_url or f"http://{request.headers.get('host', '')}"
        if request.headers.get("origin", "") != own:
            raise _Refused(
                403, "The form did not come from a page of this console: open the page again and send it from there."
            )

    def cookie_name(self, name: str) -> str:
        """Return a cookie's name: over https one that no other host can set."""
        return f"__Host-{name}" if self.settings.console.is_encrypted else name

    def token(self, request: Request, name: str) -> str:
        """Return the token of a cookie; nothing where it has not the form of one."""
        found = request.cookies.get(self.cookie_name(name), "")
        return found if _TOKEN.fullmatch(found) else ""

    def set_cookie(self, response: Response, name: str, value: str) -> None:
        """Give the browser a cookie that no script can read; it comes with a link in an alert, not with another site's form."""
        response.set_cookie(
            self.cookie_name(name), value, httponly=True, samesite="lax", secure=self.settings.console.is_encrypted
        )

    def drop_cookie(self, response: Response, name: str) -> None:
        """Let the browser forget a cookie."""
        response.delete_cookie(
            self.cookie_name(name), httponly=True, samesite="lax", secure=self.settings.console.is_encrypted
        )

    async def known(self, request: Request) -> Visit | None:
        """Return who is logged in; None where nobody is, or not any more."""
        token = self.token(request, SESSION)
        account = await self.in_thread(partial(self.accounts.session, token)) if token else None
        if account is None:
            return None
        request.state.visit = self.visit(request, account, token)
        return _visit_of(request)

    def visit(self, request: Request, account: Account, token: str) -> Visit:
        """Return what a page is given of a request."""
        return Visit(
            name=account.name,
            role=account.role,
            session=token,
            url=_own_path(request.url.path + (f"?{request.url.query}" if request.url.query else "")),
            query=dict(request.query_params),
            place=request.path_params,
            address=_address(request),
            settings=self.current(),
            ledger=self.ledger,
            accounts=self.accounts,
            switches=self.switches,
            clock=self.clock,
            templates=self.templates,
            tables=self.tables,
            navigation=[page for page in self.pages if page.title and may(account.role, page.permission)],
            message=_message(request.cookies.get(self.cookie_name(MESSAGE), ""), token),
        )

    # -- a page -------------------------------------------------------------------------------------------------------

    def plainly(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler that answers every error by a page."""

        async def answered(request: Request) -> Response:
            try:
                self.check_host(request)
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - nobody is shown a traceback
                response = self.refusal(error, _visit_of(request))
            return self._with_message(response, _visit_of(request))

        return answered

    async def answer(self, page: Page, request: Request) -> Response:
        """Answer one request for a page; see the module for the order."""
        visit = await self.known(request)
        if visit is None:
            return _to_log_in(request)
        visit.check_may(page.permission)
        work = page.show
        if request.method == "POST":
            await self.read_form(request, visit)
            self.waiting.forget(visit.session)
            work = partial(self._once, page)
        if work is None:
            raise _Refused(405, "That address takes forms only.")
        if page.kept is not None:
            there: Response | None = await self.in_thread(partial(page.kept, visit))
            if there is not None:
                return there
        if page.is_slow and request.method != "POST":
            return await self.waiting.answer(visit, work)
        if page.needs_lake:
            return await self.lake_threads.run(visit, work)
        response: Response = await self.in_thread(partial(work, visit))
        return response

    async def read_form(self, request: Request, visit: Visit) -> None:
        """Take over a form that came from a page of this session; nothing of it was done before."""
        self.check_origin(request)
        visit.form_lists = await _form(request)
        _check_csrf(visit.form.get("csrf", ""), visit.session)

    def _once(self, page: Page, visit: Visit) -> Response:
        """Do what a form asks for, unless that very form was sent before."""
        if page.act is None:
            raise _Refused(405, "That page takes no form.")
        form_id = visit.form.get("form", "")
        if _TOKEN.fullmatch(form_id) is None:
            raise _Refused(400, "The form is not whole: open the page again and send it from there.")
        if not self.accounts.is_first(form_id):
            raise Overtaken(
                "This form was sent already, and what it asked for is not done twice: look how things stand now."
            )
        return page.act(visit)

    def _with_message(self, response: Response, visit: Visit | None) -> Response:
        if visit is not None and visit.said_next:
            self.set_cookie(response, MESSAGE, _sealed(visit.said_next[:MESSAGE_CHARACTERS], visit.session))
        elif visit is not None and visit.message and response.status_code != 303:
            self.drop_cookie(response, MESSAGE)
        return response

    def refusal(self, error: Exception, visit: Visit | None) -> Response:
        """Return the page that tells an error, and log what is a fault of ours."""
        retry_after_s = 0
        match error:
            case _Refused():
                code, sentence, retry_after_s = error.status, error.sentence, error.retry_after_s
            case TooManyLogIns():
                wait = f"{-(-error.wait_s // 60)} min" if error.wait_s > 90 else f"{error.wait_s} s"
                sentence = f"There were too many wrong log-ins: wait {wait}, then try again."
                code, retry_after_s = 429, error.wait_s
            case HTTPException():
                code = error.status_code
                sentence = "There is no such page." if code == 404 else "That address does not take that."
            case MarketplaceReturnsError():
                code = next((each for kind, each in _STATUS.items() if isinstance(error, kind)), 503)
                sentence = str(error)
            case _:
                number = secrets.token_hex(4)
                # Where, not what: the words of an error of a database or a library may hold what nobody may read in a log.
                frames = traceback.extract_tb(error.__traceback__)
                where = " < ".join(
                    f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames[-FRAMES_TOLD:])
                )
                _log.error("%s: %s at %s", number, type(error).__name__, where)
                code, sentence = 500, f"This is a fault of the console; it is in its log as {number}."
        facts: dict[str, Any] = {
            "code": code,
            "headline": _HEADLINE.get(code, "That cannot be done"),
            "sentence": sentence,
        }
        if visit is None:
            response: Response = HTMLResponse(self.templates.page("refused.html", visit=None, **facts), code)
        else:
            response = visit.render("refused.html", status=code, **facts)
        if retry_after_s:
            response.headers["Retry-After"] = str(retry_after_s)
        return response

    # -- logging in and out -------------------------------------------------------------------------------------------

    async def log_in(self, request: Request) -> Response:
        """Show the log-in page, or begin a session."""
        if request.method != "POST":
            if await self.known(request) is not None:
                return RedirectResponse("/", 303)
            return self._log_in_page(request.query_params.get("next", ""), "")
        self.check_origin(request)
        form = {name: values[-1] for name, values in (await _form(request)).items()}
        _check_csrf(form.get("csrf", ""), self.token(request, VISITOR))
        name, password = form.get("name", ""), form.get("password", "")
        try:
            token = await self.in_thread(partial(self.accounts.log_in, name, password, address=_address(request)))
        except LogInRefused:
            return self._log_in_page(form.get("next", ""), "Name or password are wrong.", status=401, name=name)
        old = self.token(request, SESSION)
        if old:  # whoever logs in over a session ends it
            await self.in_thread(partial(self.accounts.log_out, old))
        response = RedirectResponse(_own_path(form.get("next", "")) or "/", 303)
        self.set_cookie(response, SESSION, token)
        self.drop_cookie(response, VISITOR)
        return response

    def _log_in_page(self, wanted: str, mistake: str, *, status: int = 200, name: str = "") -> Response:
        visitor = secrets.token_urlsafe(32)
        page = self.templates.page(
            "log_in.html",
            visit=None,
            mistake=mistake,
            csrf=csrf_token(visitor),
            wanted=_own_path(wanted),
            name=name[:100],
        )
        response = HTMLResponse(page, status)
        self.set_cookie(response, VISITOR, visitor)
        return response

    async def log_out(self, request: Request) -> Response:
        """End a session."""
        visit = await self.known(request)
        if visit is not None:
            await self.read_form(request, visit)
            await self.in_thread(partial(self.accounts.log_out, visit.session))
        response = RedirectResponse("/log-in", 303)
        for name in (SESSION, MESSAGE):
            self.drop_cookie(response, name)
        return response

    # -- beside pages -------------------------------------------------------------------------------------------------

    async def first(self, request: Request) -> Response:
        """Send people to the first page their role has."""
        visit = await self.known(request)
        if visit is None:
            return RedirectResponse("/log-in", 303)
        return RedirectResponse(visit.navigation[0].path if visit.navigation else "/account", 303)

    async def file(self, request: Request) -> Response:
        """Give a file that pages refer to."""
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("not found", 404)
        headers = {"Cache-Control": "public, max-age=86400"}
        return Response(static(name), media_type=STATIC[name], headers=headers)

    async def health(self, _: Request) -> Response:
        """Say whether the ledger answers now."""
        try:
            await self.in_thread(self.accounts.ping)
        except (MarketplaceReturnsError, SQLAlchemyError):
            return PlainTextResponse("not well", 503)
        return PlainTextResponse("ok")


def build(settings: Settings, ledger: Ledger, accounts: Accounts, switches: Switches, clock: Clock) -> Starlette:
    """Return the application over an opened ledger and its accounts, which it closes when it ends."""
    console = Console(settings, ledger, accounts, switches, clock)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        await console.in_thread(accounts.warm)
        yield
        console.close()

    async def not_routed(request: Request, error: Exception) -> Response:
        async def refuse(request: Request) -> Response:
            await console.known(request)
            raise error

        return await console.plainly(refuse)(request)

    app = Starlette(
        routes=[
            Route("/", console.plainly(console.first), methods=["GET"]),
            Route("/log-in", console.plainly(console.log_in), methods=["GET", "POST"]),
            Route("/log-out", console.plainly(console.log_out), methods=["POST"]),
            Route("/static/{name}", console.file, methods=["GET"]),
            Route("/health", console.health, methods=["GET"]),
            *(
                Route(page.path, console.plainly(partial(console.answer, page)), methods=list(page.methods))
                for page in console.pages
            ),
        ],
        lifespan=life,
        exception_handlers={404: not_routed, 405: not_routed},
    )
    app.router.redirect_slashes = False
    app.state.console = console
    kept_to_https = {"Strict-Transport-Security": "max-age=31536000"} if settings.console.is_encrypted else {}
    app.add_middleware(AnswerHeaders, headers={**HEADERS, **kept_to_https})
    return app


async def _form(request: Request) -> dict[str, list[str]]:
    """Read a form of bounded size; files are never taken."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _Refused(400, "Only forms of this console's own pages are taken.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES_MAX:
            raise _Refused(413, "The form is too long: send less at once.")
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise _Refused(400, "The form cannot be read: open the page again and send it from there.") from None


def _check_csrf(given: str, session: str) -> None:
    if not session or not hmac.compare_digest(given.encode("utf-8", "replace"), csrf_token(session).encode()):
        raise _Refused(403, "The form is of another log-in than this one: open the page again and send it from there.")


def _visit_of(request: Request) -> Visit | None:
    """Return who the request was found to be of, so far."""
    found: Visit | None = getattr(request.state, "visit", None)
    return found


def _to_log_in(request: Request) -> Response:
    """Send who is not logged in to the log-in page, and back after it; a form is refused."""
    if request.method == "POST":
        raise _Refused(401, "You are not logged in, or not any more, and nothing was done: log in and do it again.")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = "" if wanted == "/" or not _own_path(wanted) else f"?{urlencode({'next': wanted})}"
    return RedirectResponse(f"/log-in{query}", 303)


def _own_path(path: str) -> str:
    """Return a path of ours; nothing where it may lead elsewhere."""
    return path if _OWN_PATH.fullmatch(path) else ""


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _sealed(text: str, session: str) -> str:
    """Write a message into a cookie that only this session's pages can make."""
    body = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return f"{body}.{_seal(body, session)}"


def _message(cookie: str, session: str) -> str:
    body, _, seal = cookie.partition(".")
    if not body or not hmac.compare_digest(seal.encode("utf-8", "replace"), _seal(body, session).encode()):
        return ""
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()


def _seal(body: str, session: str) -> str:
    return hmac.new(session.encode(), f"said {body}".encode(), hashlib.sha256).hexdigest()
