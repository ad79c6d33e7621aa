"""How the older API is asked: a form with login, key and one JSON document, answered by an envelope.

Here: the form, the envelope, what its error codes mean. Not here: paths and documents. Invariants: after a refused login no
further call leaves, in this process until the settings are read anew and in the others for a while, since repeated wrong
ones block the caller's address; a write counts as refused only where the answer says so, and else as unclear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from marketplace_returns.errors import AuthFailed, ContractBroken, OutcomeUnknown, SourceRefused, SourceUnreachable
from marketplace_returns.sources.http import encode_json
from marketplace_returns.sources.rebound.throttle import SYSTEM
from marketplace_returns.sources.redaction import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marketplace_returns.settings import ReturnsSettings
    from marketplace_returns.sources.budget import Budget
    from marketplace_returns.sources.http import Answer, HttpSource

LOGIN_CODES = frozenset({"login_empty", "api_key_empty", "access_denied", "ip_blocked"})
# Only `empty` is known to be said; the other word is what a call for one named thing may say.
NOTHING_FOUND = frozenset({"empty", "not_found"})
FAILED_INSIDE = "internal"
LOGIN_PAUSE_S = 900.0


class Refused(SourceRefused):
    """A refusal in an envelope; `code` is ReBound's own."""

    code: str = ""


class Door:
    """One account of the older API."""

    def __init__(self, settings: ReturnsSettings, http: HttpSource, budget: Budget) -> None:
        self._http = http
        self._budget = budget
        self._path = settings.api_path
        self._account = {"login": settings.login, "api_key": settings.secret()}
        self._shut: AuthFailed | None = None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def read(self, operation: str, path: str, request: Mapping[str, Any], *, urgent: bool = False) -> Any:
        """Return what stands under `success`, None where nothing was found.

        Raises AuthFailed, Refused, SourceUnreachable where ReBound failed inside, and those of `HttpSource.read`.
        """
        self._raise_if_shut()
        answer = self._http.read(
            operation, "POST", self._path + path, content=self._form(request), headers=_HEADERS, urgent=urgent
        )
        document = answer.json_object()
        code, error = self._error(operation, answer, document)
        if code in NOTHING_FOUND:
            return None
        if code == FAILED_INSIDE:
            raise SourceUnreachable(
                f"{SYSTEM} {operation}: ReBound failed inside. Nothing was changed; the next run asks again.",
                system=SYSTEM,
                operation=operation,
                request_id=answer.request_id,
            )
        if error is not None:
            raise error
        if "success" not in document:
            raise answer.broken("has neither `success` nor `error`")
        return document["success"]

    def write(self, operation: str, path: str, request: Mapping[str, Any]) -> Any:
        """Send once and return what stands under `success`.

        Raises AuthFailed, Refused (not applied), and OutcomeUnknown where the answer does not say what was done.
        """
        self._raise_if_shut()
        answer = self._http.write(
            operation, "POST", self._path + path, content=self._form(request), headers=_HEADERS, urgent=True
        )
        try:
            document = answer.json_object()
        except ContractBroken as cause:
            raise answer.unclear("is not an envelope") from cause
        code, error = self._error(operation, answer, document)
        if code == FAILED_INSIDE:
            raise answer.unclear("says that ReBound failed inside")
        if error is not None:
            raise error
        if not document.get("success"):
            raise answer.unclear("has neither `success` nor `error`")
        return document["success"]

    def unclear(self, operation: str, what: str) -> OutcomeUnknown:
        """Make the error for a write whose success does not say what was made."""
        return OutcomeUnknown(
            f"{SYSTEM} {operation}: sent, but the answer {what}. Read back before sending again.",
            system=SYSTEM,
            operation=operation,
        )

    def _form(self, request: Mapping[str, Any]) -> bytes:
        return urlencode({**self._account, "request": encode_json(request).decode()}).encode()

    def _error(
        self, operation: str, answer: Answer, document: Mapping[str, Any]
    ) -> tuple[str, Refused | AuthFailed | None]:
        """Return the code of the envelope's error and what to raise for it; an empty code where there is none."""
        error = document.get("error")
        if not error:
            return "", None
        first = error[0] if isinstance(error, list) else error  # one or several, as the documentation has it
        code = str(first.get("code", "")) if isinstance(first, dict) else str(first)
        shown = excerpt(answer.body, tuple(self._account.values()))
        told: dict[str, Any] = {
            "system": SYSTEM,
            "operation": operation,
            "request_id": answer.request_id,
            "status": answer.status,
            "excerpt": shown,
        }
        if code in LOGIN_CODES:
            self._shut = AuthFailed(
                f"{SYSTEM} {operation}: login or key was not accepted ({code}). No further call is made, since repeated "
                "wrong ones block this address; check the shop's login and key, then start anew.",
                **told,
            )
            self._budget.block(operation, LOGIN_PAUSE_S)
            return code, self._shut
        refused = Refused(f"{SYSTEM} {operation}: refused ({code}): {shown}", **told)
        refused.code = code
        return code, refused

    def _raise_if_shut(self) -> None:
        if self._shut is not None:
            raise self._shut


_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
