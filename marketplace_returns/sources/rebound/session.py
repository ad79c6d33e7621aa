"""A bearer token of the newer API: asked for with client id and secret, and once more when it has run out.

Here: the token's life. Not here: paths and documents. Invariant: a call is repeated at most once, and only after a 401, which
is decided before anything is done.
"""

from __future__ import annotations

import re
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from marketplace_returns.errors import AuthFailed, SourceRefused
from marketplace_returns.sources.rebound.throttle import SYSTEM

if TYPE_CHECKING:
    from marketplace_returns.settings import ReturnsSettings
    from marketplace_returns.sources.http import Answer, HttpSource

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Session:
    """One signed-in client, shared by the threads of this process."""

    def __init__(self, settings: ReturnsSettings, http: HttpSource) -> None:
        self._token_url = settings.token_url
        self._client_id = settings.client_id
        self._secret = settings.secret()
        self._http = http
        self._token: str | None = None
        self._signing_in = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def read(self, operation: str, path: str, *, params: dict[str, str] | None = None, urgent: bool = False) -> Answer:
        """Ask for something; errors are those of `HttpSource.read`."""
        return self._signed_in(operation, "GET", path, is_write=False, params=params, urgent=urgent)

    def write(self, operation: str, path: str, body: object) -> Answer:
        """Send something once, and once more only where the token had run out; errors are those of `HttpSource.write`."""
        return self._signed_in(operation, "POST", path, is_write=True, json=body, urgent=True)

    def _signed_in(self, operation: str, method: str, path: str, *, is_write: bool, **options: Any) -> Answer:
        send = self._http.write if is_write else self._http.read
        token = self._sign_in(stale=None)
        try:
            return send(operation, method, path, headers={"Authorization": f"Bearer {token}"}, **options)
        except AuthFailed as failed:
            if failed.status != HTTPStatus.UNAUTHORIZED:
                raise
        token = self._sign_in(stale=token)
        return send(operation, method, path, headers={"Authorization": f"Bearer {token}"}, **options)

    def _sign_in(self, stale: str | None) -> str:
        """Return the token, asking for one where there is none or only the `stale` one."""
        with self._signing_in:
            if self._token is None or self._token == stale:
                self._token = self._new_token()
            return self._token

    def _new_token(self) -> str:
        form = {"grant_type": "client_credentials", "client_id": self._client_id, "client_secret": self._secret}
        try:
            answer = self._http.read(
                "token",
                "POST",
                self._token_url,
                content=urlencode(form).encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                urgent=True,
            )
        except SourceRefused as refused:
            # RFC 6749 answers a wrong client with 400 or 401
            if refused.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}:
                raise
            raise AuthFailed(
                f"{SYSTEM} token: client id or secret was not accepted: {refused.excerpt} Check client_id, token_url and "
                "the secret's variable.",
                system=SYSTEM,
                operation="token",
                request_id=refused.request_id,
                status=refused.status,
                excerpt=refused.excerpt,
            ) from refused
        token = answer.json_object().get("access_token")
        if not isinstance(token, str) or not _BEARER.fullmatch(token):
            raise answer.broken("has no `access_token`, or none that a header may hold (RFC 6750); check token_url")
        return token
