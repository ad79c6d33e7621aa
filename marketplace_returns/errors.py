"""The error tree, drawn by what happens next.

::

    MarketplaceReturnsError
    ├── BadSettings            a person mends the settings            exit 2
    ├── BadMapping             a person mends a mapping table         exit 2
    ├── BadArgument            a person mends the call                exit 2
    ├── SourceError            talking to an outside system failed
    │   ├── SourceUnreachable  nothing was sent: may be tried again
    │   ├── SourceRefused      answered with a refusal: not applied
    │   │   ├── AuthFailed     the key or session is not accepted
    │   │   └── RateLimited    too many calls: wait ``retry_after_s``
    │   ├── OutcomeUnknown     something was sent, no clear answer: look before resending
    │   └── ContractBroken     an answer that is not of the agreed form
    ├── LakeBusy               the catalog stayed locked beyond the bound
    ├── LedgerBusy             the ledger stayed locked beyond the bound
    └── PeriodLocked           a signed or locked month was to be changed

Each carries one message for a person that names the place and the mend. No error holds a body, a secret or personal
data; an excerpt is redacted and at most 500 characters long.
"""

from __future__ import annotations

EXCERPT_MAX = 500


class MarketplaceReturnsError(Exception):
    """Root of all errors this package raises on purpose."""


class BadSettings(MarketplaceReturnsError):
    """A setting is missing or wrong; the message names the variable or the key, and the mend."""


class BadMapping(MarketplaceReturnsError):
    """A mapping table is wrong; the message names file, line, reason and mend."""


class BadArgument(MarketplaceReturnsError):
    """An argument of a command or function is wrong; the message names it and the mend."""


class SourceError(MarketplaceReturnsError):
    """Talking to an outside system failed.

    Attributes:
        system: ``mirakl``, ``reveni``, ``peoplevox``...
        operation: API code or operation name, such as ``OR28`` or ``GetReportData``.
        request_id: our id of the call, as in the attempt log.
        excerpt: redacted part of the answer, at most 500 characters.
        status: HTTP status where there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        system: str,
        operation: str,
        request_id: str = "",
        excerpt: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.system = system
        self.operation = operation
        self.request_id = request_id
        self.excerpt = excerpt[:EXCERPT_MAX]
        self.status = status


class SourceUnreachable(SourceError):
    """Nothing left this machine (connect refused, DNS, TLS, or the call budget): safe to try again."""


class SourceRefused(SourceError):
    """The system answered with a refusal (4xx with a readable body): the write was not applied."""


class AuthFailed(SourceRefused):
    """The key, password or session was not accepted (401/403): mend the secret, then go on."""


class RateLimited(SourceRefused):
    """429: not applied; wait ``retry_after_s`` seconds before the next call of this operation."""

    def __init__(
        self,
        message: str,
        *,
        system: str,
        operation: str,
        retry_after_s: float,
        request_id: str = "",
        excerpt: str = "",
    ) -> None:
        super().__init__(
            message, system=system, operation=operation, request_id=request_id, excerpt=excerpt, status=429
        )
        self.retry_after_s = retry_after_s


class OutcomeUnknown(SourceError):
    """Something was sent and no clear answer came (time-out, reset, 5xx, unreadable 2xx): read back before any resend."""


class ContractBroken(SourceError):
    """A read answered 2xx with something that is not of the agreed form."""


class LakeBusy(MarketplaceReturnsError):
    """The lake's catalog stayed locked beyond the bound; nothing was written."""


class LedgerBusy(MarketplaceReturnsError):
    """The ledger stayed locked beyond the bound; nothing was written."""


class PeriodLocked(MarketplaceReturnsError):
    """A signed or locked month was to be changed; reopen it with a reason or post into the next open month."""
