"""How the marketplace says no.

Here: the one exception every part raises when a call is not allowed. Not here: JSON or HTTP (mirakl/app.py renders it).
Invariant: a refused call changed nothing.
"""

from __future__ import annotations


class RefusedError(Exception):
    """A call that was refused: HTTP status, message, and (validation only) machine code and field."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.field = field
