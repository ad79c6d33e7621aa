"""What came back, and what leaves, as JSON.

Here lives the one JSON codec of the sources and the 2xx answer with its complaints. What must not live here:
sending. The invariant: money never is a float, in neither direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from marketplace_returns.errors import ContractBroken, OutcomeUnknown
from marketplace_returns.sources.redaction import excerpt

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a body as JSON raises: it is no JSON, no UTF-8, or nested without end."""

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def is_json_or_empty(body: bytes) -> bool:
    """Say whether a body is what a JSON API answers: nothing, or one JSON document."""
    if not body:
        return True
    try:
        _decoder.decode(body)
    except UNREADABLE:
        return False
    return True


def encode_json(value: object) -> bytes:
    """Write a request body; a Decimal becomes the exact JSON number, a float is refused (TypeError)."""
    _refuse_floats(value)
    return _encoder.encode(value)


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("a request body holds a float: pass Decimal or int, money never is a float")
    if isinstance(value, Mapping):
        for part in value.values():
            _refuse_floats(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_floats(part)


@dataclass(frozen=True)
class Answer:
    """A 2xx answer as it came, with what is needed to complain about it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    system: str = ""
    operation: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def _document(self) -> Any:
        try:
            return _decoder.decode(self.body)
        except UNREADABLE as cause:
            raise self.broken("is not JSON") from cause

    def json(self) -> Any:
        """Parse the body, once; numbers with a point or an exponent become Decimal. Raises ContractBroken when it is not JSON."""
        return self._document

    def json_object(self) -> dict[str, Any]:
        """Parse the body as one JSON object; raises ContractBroken when it is anything else."""
        parsed = self.json()
        if not isinstance(parsed, dict):
            raise self.broken("is not a JSON object")
        return parsed

    def json_or_none(self) -> Any:
        """Parse the body of a write's answer, which may be empty: then None."""
        return self._document if self.body else None

    def broken(self, what: str) -> ContractBroken:
        """Make the error for a read whose answer is not of the agreed form; ``what`` ends "the answer ..."."""
        return ContractBroken(
            f"{self.system} {self.operation}: the answer {what} (request {self.request_id}). Compare it with the "
            f"published contract; nothing of it was used.",
            system=self.system,
            operation=self.operation,
            request_id=self.request_id,
            status=self.status,
            excerpt=excerpt(self.body, self.secrets),
        )

    def unclear(self, what: str) -> OutcomeUnknown:
        """Make the error for a write whose 2xx answer does not say what was done; ``what`` ends "the answer ..."."""
        return OutcomeUnknown(
            f"{self.system} {self.operation}: sent, but the answer {what} (request {self.request_id}). Read back before "
            f"sending again.",
            system=self.system,
            operation=self.operation,
            request_id=self.request_id,
            status=self.status,
            excerpt=excerpt(self.body, self.secrets),
        )
