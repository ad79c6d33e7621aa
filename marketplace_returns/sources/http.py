"""One attempt, or a bounded few: the only door to the outside.

Here lives how a request leaves, how long it may take, when a read is repeated, and what of it is recorded. What must
not live here: anything about one system's operations. The invariant: a read may be repeated, a write leaves at most
once per call, and no error or record holds a body, a secret or personal data.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from types import TracebackType
from typing import NoReturn, Protocol, Self

import httpx

from marketplace_returns.clock import Clock
from marketplace_returns.errors import (
    AuthFailed,
    OutcomeUnknown,
    RateLimited,
    SourceRefused,
    SourceUnreachable,
)
from marketplace_returns.settings import Timing
from marketplace_returns.sources.answers import Answer, encode_json, is_json_or_empty
from marketplace_returns.sources.budget import Budget
from marketplace_returns.sources.outcomes import Outcome, classify, retry_after_s
from marketplace_returns.sources.redaction import excerpt

__all__ = [
    "READ_WAIT_S_MAX",
    "Answer",
    "CallLog",
    "CallRecord",
    "HttpSource",
    "NullCallLog",
    "encode_json",
    "is_json_or_empty",
]

READ_ATTEMPTS_MAX = 4
READ_WAIT_S_MAX = 75.0  # all waits of one read together, however many attempts
BACKOFF_START_S = 0.5
RATE_LIMIT_START_S = 5.0  # where a 429 names no time
ANSWER_S_FACTOR = 4.0  # a whole answer may take this many read time-outs (a read time-out is only between two chunks)
BODY_BYTES_MAX = 256 * 1024 * 1024
CONNECTIONS_MAX = 16

Params = Mapping[str, str | int | Sequence[str]]
Files = Mapping[str, tuple[str, bytes, str]]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One attempt, for the log of calls; never its body."""

    system: str
    shop: str
    operation: str
    request_id: str
    started_at: datetime
    duration_ms: float
    status: int | None
    outcome: str
    received_bytes: int


class CallLog(Protocol):
    """Where attempts are recorded; the ledger is one."""

    def record(self, call: CallRecord) -> None:
        """Keep one attempt."""


class NullCallLog:
    """A log that keeps nothing, for single calls and tests."""

    def record(self, call: CallRecord) -> None:
        """Forget the attempt."""


class _AnswerTooLong(httpx.TransportError):
    """An answer grew or dragged on beyond the bound."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one attempt gave: a status with headers and body, or the exception that ended it."""

    request_id: str
    outcome: Outcome
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Exception | None = None


class HttpSource:
    """One outside system for one shop: a connection pool, time-outs, a budget and a log.

    ``headers`` go on every request and their values are treated as secrets, as are ``secrets``. ``is_readable`` says which bodies are of
    the system's form (JSON by default). ``answer_ids`` are headers by which the system names a call of its own accord;
    they are logged and told beside our id. The connection pool is safe to share between threads; close it, or use it as
    a context manager.
    """

    def __init__(
        self,
        system: str,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timing: Timing,
        budget: Budget,
        clock: Clock,
        log: CallLog,
        shop: str = "",
        transport: httpx.BaseTransport | None = None,
        is_readable: Callable[[bytes], bool] = is_json_or_empty,
        answer_ids: Sequence[str] = (),
        new_request_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        random: Random | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.system = system
        self.shop = shop
        self.clock = clock
        self._base_url = base_url.rstrip("/")
        self._origin = _origin(httpx.URL(self._base_url))
        self._budget = budget
        self._log = log
        self._is_readable = is_readable
        self._answer_ids = tuple(answer_ids)
        self._new_request_id = new_request_id
        self._random = random if random is not None else Random()  # noqa: S311 - jitter, not a secret
        in_headers = (value for name, value in headers.items() if name.lower() not in _PLAIN_HEADERS)
        self._secrets = (*in_headers, *secrets)
        self._answer_s_max = ANSWER_S_FACTOR * timing.read_time_out_s
        self._headers = dict(headers)
        self._client = httpx.Client(
            timeout=httpx.Timeout(
                connect=timing.connect_time_out_s,
                read=timing.read_time_out_s,
                write=timing.read_time_out_s,
                pool=timing.connect_time_out_s,
            ),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        urgent: bool = False,
        spare: bool = False,
        counted: bool = True,
        patience_s: float = READ_WAIT_S_MAX,
        turn_s_max: float | None = None,
    ) -> Answer:
        """Ask for something that changes nothing outside; repeated on time-outs, resets, 5xx and 429, within bounds.

        ``path`` may be a whole URL that the system handed out; our headers go only to the system's own origin.
        ``urgent`` may use the reserved share of the budget, ``spare`` only what nobody else needs; ``counted=False`` marks a
        further page of a poll that is already counted; ``patience_s`` bounds all waiting between attempts, and ``turn_s_max``
        the waiting for the budget (as long as ``patience_s`` where it is not given). Raises SourceUnreachable,
        RateLimited, AuthFailed, SourceRefused or ContractBroken.
        """
        waited_s = 0.0
        last_attempt = READ_ATTEMPTS_MAX - 1
        turn_wait_s = patience_s if turn_s_max is None else turn_s_max
        for number in range(READ_ATTEMPTS_MAX):
            self._budget.take(operation, urgent=urgent, spare=spare, counted=counted, wait_s_max=turn_wait_s)
            attempt = self._attempt(
                operation, self._request(method, path, params=params, json=json, content=content, headers=headers)
            )
            if attempt.outcome is Outcome.ANSWERED:
                return self._answer(operation, attempt)
            if counted and (attempt.outcome in {Outcome.NOT_SENT, Outcome.UNKNOWN}):
                self._budget.give_back(operation)
            wait_s = self._wait_before_next(attempt, number)
            if wait_s is None or number == last_attempt or waited_s + wait_s > patience_s:
                self._raise_read(operation, attempt)
            self.clock.wait(wait_s)
            waited_s += wait_s
        raise AssertionError("the last attempt of a read returns or raises")

    def write(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object | None = None,
        content: bytes | None = None,
        files: Files | None = None,
        headers: Mapping[str, str] | None = None,
        urgent: bool = False,
        turn_s_max: float | None = None,
    ) -> Answer:
        """Send something that changes the outside: exactly one try, never repeated, no redirect followed.

        ``turn_s_max`` bounds the waiting for the budget.

        Raises SourceUnreachable (nothing left this machine), RateLimited, AuthFailed or SourceRefused (not applied), or
        OutcomeUnknown (anything else: look before sending again). Source: reliability rules R39, R48; Mirakl fact G1.
        """
        self._budget.take(operation, urgent=urgent, wait_s_max=turn_s_max)
        attempt = self._attempt(
            operation,
            self._request(method, path, params=params, json=json, content=content, files=files, headers=headers),
            is_write=True,
        )
        if attempt.outcome is not Outcome.ANSWERED:
            self._raise_write(operation, attempt)
        return self._answer(operation, attempt)

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None,
        json: object | None,
        content: bytes | None,
        files: Files | None = None,
        headers: Mapping[str, str] | None,
    ) -> httpx.Request:
        url = httpx.URL(path if "://" in path else self._base_url + path)
        sent = {"Accept": "application/json", "X-Request-Id": self._new_request_id()}
        if _origin(url) == self._origin:
            sent |= self._headers
        if json is not None:
            content = encode_json(json)
            sent["Content-Type"] = "application/json"
        if headers:
            sent |= headers
        return self._client.build_request(
            method, url, params=_listed(params) if params else None, content=content, files=files, headers=sent
        )

    def _attempt(self, operation: str, request: httpx.Request, *, is_write: bool = False) -> _Attempt:
        request_id = request.headers["X-Request-Id"]
        started_at, started = self.clock.now(), time.perf_counter()
        try:
            status, headers, body = self._exchange(request, started)
        except httpx.RequestError as failure:
            attempt = _Attempt(request_id, classify(failure=failure), failure=failure)
        else:
            # A read's body is parsed once, by whoever asked; a write's must be readable before it counts as done.
            is_readable = not is_write or self._is_readable(body)
            theirs = [f"{name}={headers[name]}" for name in self._answer_ids if name in headers]
            request_id = " ".join([request_id, *theirs])
            attempt = _Attempt(
                request_id, classify(status=status, is_readable=is_readable), status=status, headers=headers, body=body
            )
        self._log.record(
            CallRecord(
                system=self.system,
                shop=self.shop,
                operation=operation,
                request_id=request_id,
                started_at=started_at,
                duration_ms=(time.perf_counter() - started) * 1000,
                status=attempt.status,
                outcome=attempt.outcome.value,
                received_bytes=len(attempt.body),
            )
        )
        if attempt.outcome is Outcome.RATE_LIMITED:
            self._budget.block(operation, self._retry_after_s(attempt))
        return attempt

    def _exchange(self, request: httpx.Request, started: float) -> tuple[int, Mapping[str, str], bytes]:
        response = self._client.send(request, stream=True)
        try:
            chunks: list[bytes] = []
            size = 0
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise _AnswerTooLong(f"the answer is longer than {BODY_BYTES_MAX} bytes")
                if time.perf_counter() - started > self._answer_s_max:
                    raise _AnswerTooLong(f"the answer took longer than {self._answer_s_max:.0f} s")
            return response.status_code, response.headers, b"".join(chunks)
        finally:
            response.close()

    def _retry_after_s(self, attempt: _Attempt) -> float:
        named = retry_after_s(attempt.headers.get("Retry-After"), self.clock.now())
        return RATE_LIMIT_START_S if named is None else named

    def _wait_before_next(self, attempt: _Attempt, number: int) -> float | None:
        """Say how long a read waits before its next attempt, or None where repeating cannot help."""
        if attempt.outcome is Outcome.RATE_LIMITED:
            named = retry_after_s(attempt.headers.get("Retry-After"), self.clock.now())
            return (
                named if named is not None else _doubled(RATE_LIMIT_START_S, number) * (1 + self._random.random() / 4)
            )
        if attempt.failure is not None or (attempt.status is not None and attempt.status >= 500):
            return _doubled(BACKOFF_START_S, number) * (0.5 + self._random.random() / 2)
        return None

    def _answer(self, operation: str, attempt: _Attempt) -> Answer:
        return Answer(
            status=attempt.status or 0,
            headers=attempt.headers,
            body=attempt.body,
            request_id=attempt.request_id,
            system=self.system,
            operation=operation,
            secrets=self._secrets,
        )

    def _raise_read(self, operation: str, attempt: _Attempt) -> NoReturn:
        if attempt.outcome in {Outcome.REFUSED, Outcome.AUTH_FAILED, Outcome.RATE_LIMITED}:
            self._raise_refusal(operation, attempt)
        if attempt.failure is None and attempt.status is not None and attempt.status < 500:
            raise self._answer(operation, attempt).broken(
                f"has status {attempt.status}, which this operation never gives; a redirect means that base_url is wrong"
            )
        raise SourceUnreachable(
            f"{self.system} {operation}: no answer after the allowed attempts ({self._cause(attempt)}). Nothing was "
            f"changed; the next run asks again.",
            system=self.system,
            operation=operation,
            request_id=attempt.request_id,
            status=attempt.status,
            excerpt=excerpt(attempt.body, self._secrets),
        ) from attempt.failure

    def _raise_write(self, operation: str, attempt: _Attempt) -> NoReturn:
        if attempt.outcome in {Outcome.REFUSED, Outcome.AUTH_FAILED, Outcome.RATE_LIMITED}:
            self._raise_refusal(operation, attempt)
        if attempt.outcome is Outcome.NOT_SENT:
            raise SourceUnreachable(
                f"{self.system} {operation}: could not connect ({self._cause(attempt)}). Nothing was sent.",
                system=self.system,
                operation=operation,
                request_id=attempt.request_id,
            ) from attempt.failure
        raise OutcomeUnknown(
            f"{self.system} {operation}: sent, but no clear answer came ({self._cause(attempt)}, request "
            f"{attempt.request_id}). Read back before sending again.",
            system=self.system,
            operation=operation,
            request_id=attempt.request_id,
            status=attempt.status,
            excerpt=excerpt(attempt.body, self._secrets),
        ) from attempt.failure

    def _raise_refusal(self, operation: str, attempt: _Attempt) -> NoReturn:
        shown = excerpt(attempt.body, self._secrets)
        if attempt.outcome is Outcome.RATE_LIMITED:
            wait_s = self._retry_after_s(attempt)
            raise RateLimited(
                f"{self.system} {operation}: too many calls; the next one may leave in {wait_s:.0f} s.",
                system=self.system,
                operation=operation,
                retry_after_s=wait_s,
                request_id=attempt.request_id,
                excerpt=shown,
            )
        if attempt.outcome is Outcome.AUTH_FAILED:
            raise AuthFailed(
                f"{self.system} {operation}: the key or its rights were not accepted (status {attempt.status}): {shown} "
                f"Check the shop's key, its rights and shop_id in the settings.",
                system=self.system,
                operation=operation,
                request_id=attempt.request_id,
                status=attempt.status,
                excerpt=shown,
            )
        raise SourceRefused(
            f"{self.system} {operation}: refused (status {attempt.status}): {shown}",
            system=self.system,
            operation=operation,
            request_id=attempt.request_id,
            status=attempt.status,
            excerpt=shown,
        )

    def _cause(self, attempt: _Attempt) -> str:
        if attempt.failure is not None:
            return type(attempt.failure).__name__
        return f"status {attempt.status}"


_PLAIN_HEADERS = frozenset({"accept", "content-type", "user-agent", "soapaction"})


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _doubled(start_s: float, times: int) -> float:
    return start_s * float(1 << times)


def _listed(params: Params) -> tuple[tuple[str, str], ...]:
    """Flatten parameters; a sequence becomes a repeated parameter."""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, str | int):
            pairs.append((name, str(value)))
        else:
            pairs.extend((name, item) for item in value)
    return tuple(pairs)
