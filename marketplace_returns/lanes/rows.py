"""Runs a lane's question against the model.

Here lives the one way a lane reads. The invariant: a lane's ``.sql`` file only selects, with bound parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marketplace_returns.model import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def rows(con: DuckDBPyConnection, question: str, **parameters: object) -> list[dict[str, Any]]:
    """Return the rows of ``lanes/<question>.sql`` as dicts, with its ``$name`` parameters bound."""
    cursor = con.execute(statement(question, "marketplace_returns.lanes"), parameters)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
