"""A signed-in session with the integration service: authenticate, call, sign in again when it has run out.

Here: credentials, the session's life, and what a refusal with HTTP 200 means. Not here: templates, CSV. Invariant: a
call is replayed at most once, and only after the service said that it knows no such session, so that it did nothing.
"""

from __future__ import annotations

import base64
import re
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from marketplace_returns.errors import AuthFailed, ContractBroken, OutcomeUnknown, SourceRefused
from marketplace_returns.sources.peoplevox.captions import SYSTEM
from marketplace_returns.sources.peoplevox.soap import (
    Credentials,
    IntegrationAnswer,
    UnreadableEnvelope,
    action,
    envelope,
    read_answer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marketplace_returns.settings import WarehouseSettings
    from marketplace_returns.sources.http import HttpSource

CONTENT_TYPE = "text/xml; charset=utf-8"
_NO_SESSION = re.compile(r"security\s*-\s*(invalid session|session expired)", re.IGNORECASE)


class Session:
    """One signed-in user of one tenant, shared by the threads of this process."""

    def __init__(self, settings: WarehouseSettings, http: HttpSource) -> None:
        self._settings = settings
        self._http = http
        self._path = f"/{quote(settings.client_id, safe='')}/resources/integrationservicev4.asmx"
        self._credentials: Credentials | None = None
        self._signing_in = threading.Lock()

    def read(self, operation: str, parameters: Mapping[str, str | int], *, wrapper: str = "") -> IntegrationAnswer:
        """Ask for something. Raises SourceRefused with the service's text, AuthFailed, ContractBroken on a fault."""
        answer = self._signed_in(operation, parameters, wrapper, is_write=False)
        if answer.is_refusal:
            raise refused(operation, answer)
        return answer

    def write(self, operation: str, parameters: Mapping[str, str | int], *, wrapper: str = "") -> IntegrationAnswer:
        """Change something: one try, and one more only where the first met no session; a refusal is returned.

        Raises AuthFailed, and OutcomeUnknown on a fault or an unreadable answer.
        """
        return self._signed_in(operation, parameters, wrapper, is_write=True)

    def _signed_in(
        self, operation: str, parameters: Mapping[str, str | int], wrapper: str, *, is_write: bool
    ) -> IntegrationAnswer:
        credentials = self._sign_in(stale=None)
        for is_replay in (False, True):
            answer = self._call(operation, parameters, wrapper, credentials, is_write=is_write)
            if not (answer.is_refusal and _NO_SESSION.search(answer.detail)):
                return answer
            if not is_replay:
                # Idle for 30 minutes, or signed out: answered before anything was done, so a replay doubles nothing.
                credentials = self._sign_in(stale=credentials)
        raise AuthFailed(
            f"{SYSTEM} {operation}: a session just opened is not accepted ({answer.detail[:200]}); give the "
            "integration user a login of its own, since another sign-in may end its session",
            system=SYSTEM,
            operation=operation,
            request_id=answer.request_id,
        )

    def _sign_in(self, stale: Credentials | None) -> Credentials:
        """Return the session, opening one where there is none or only the `stale` one."""
        with self._signing_in:
            if self._credentials is None or self._credentials == stale:
                self._credentials = self._authenticate()
            return self._credentials

    def _authenticate(self) -> Credentials:
        settings = self._settings
        parameters = {
            "clientId": settings.client_id,
            "username": settings.username,
            # base64.b64encode adds no line break, which the service does not take
            "password": base64.b64encode(settings.secret().encode()).decode("ascii"),
        }
        answer = self._call("Authenticate", parameters, "", None, is_write=False)
        if answer.is_refusal:
            raise AuthFailed(
                f"{SYSTEM} Authenticate: {answer.detail[:200]}; check client_id, username and the password's variable",
                system=SYSTEM,
                operation="Authenticate",
                request_id=answer.request_id,
            )
        _, comma, session_id = answer.detail.partition(",")
        if not comma or not session_id.strip():
            raise ContractBroken(
                f"{SYSTEM} Authenticate: the answer is not `clientId,sessionId`; check base_url",
                system=SYSTEM,
                operation="Authenticate",
                request_id=answer.request_id,
            )
        return Credentials(settings.client_id, session_id.strip())

    def _call(
        self,
        operation: str,
        parameters: Mapping[str, str | int],
        wrapper: str,
        credentials: Credentials | None,
        *,
        is_write: bool,
    ) -> IntegrationAnswer:
        send = self._http.write if is_write else self._http.read
        answer = send(
            operation,
            "POST",
            self._path,
            content=envelope(operation, parameters, wrapper=wrapper, credentials=credentials),
            headers={"Accept": CONTENT_TYPE, "Content-Type": CONTENT_TYPE, "SOAPAction": action(operation)},
            urgent=is_write or credentials is None,  # an order, and the sign-in it may wait for, go before polls
        )
        try:
            return read_answer(operation, answer.body, answer.request_id)
        except UnreadableEnvelope as unreadable:
            error = OutcomeUnknown if is_write else ContractBroken
            mend = "read back before any resend" if is_write else "check base_url and client_id"
            raise error(
                f"{SYSTEM} {operation}: {unreadable}; {mend}",
                system=SYSTEM,
                operation=operation,
                request_id=answer.request_id,
                status=answer.status,
            ) from unreadable


def refused(operation: str, answer: IntegrationAnswer) -> SourceRefused:
    """Make the error of a refusal that came with HTTP 200."""
    return SourceRefused(
        f"{SYSTEM} {operation}: {answer.detail[:300] or 'refused without a reason'}",
        system=SYSTEM,
        operation=operation,
        request_id=answer.request_id,
        excerpt=answer.detail,
    )
