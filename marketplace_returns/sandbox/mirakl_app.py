"""The marketplace's front door: an ASGI app that authenticates, dispatches and renders refusals.

Here: the key, the shop, 401/403/404/405, error bodies. Not here: operations (mirakl_*.py). Invariant: every refusal has the body
`{"message", "status"}`, with `errors` beside it for validation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from marketplace_returns.sandbox import mirakl_accounts, mirakl_orders, mirakl_platform, mirakl_returns
from marketplace_returns.sandbox.mirakl_call import Call, Desk, Reply, encode, parse_query
from marketplace_returns.sandbox.mirakl_exports import fetch_export, poll_export
from marketplace_returns.sandbox.mirakl_operations import OPERATIONS, Operation, match, path_exists
from marketplace_returns.sandbox.refusals import RefusedError
from marketplace_returns.sandbox.world import World

BODY_MAX = 32 * 1024 * 1024

HANDLERS: dict[str, Callable[[Call], Reply]] = {
    operation.code: getattr(module, operation.code.lower())
    for operation in OPERATIONS
    for module in (mirakl_orders, mirakl_returns, mirakl_accounts, mirakl_platform)
    if hasattr(module, operation.code.lower())
} | {"OR14": lambda call: poll_export(call, "orders"), "OR15": lambda call: fetch_export(call, "orders")}


class MiraklApp:
    """The marketplace's seller API for one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk = Desk()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = bytearray()
        more = True
        while more and len(body) <= BODY_MAX:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        reply = self.answer(scope, headers, bytes(body))
        out = [(b"content-length", str(len(reply.body)).encode())]
        if reply.body:
            out.append((b"content-type", reply.content_type.encode()))
        out += [(name.lower().encode(), value.encode()) for name, value in reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": out})
        await send({"type": "http.response.body", "body": reply.body})

    def answer(self, scope: Scope, headers: dict[str, str], body: bytes) -> Reply:
        """The reply to a request that was read in full."""
        root: str = scope.get("root_path", "")
        path: str = scope["path"].removeprefix(root)
        query = parse_query(scope["query_string"])
        try:
            self._authorise(headers, query)
            operation, arguments = _find(scope["method"], path)
            base = f"{scope['scheme']}://{headers.get('host', 'localhost')}{root}"
            call = Call(
                self.world,
                self.desk,
                query,
                arguments,
                body,
                headers.get("content-type", ""),
                base + path,
                base,
            )
            return HANDLERS[operation.code](call)
        except RefusedError as refused:
            return Reply(refused.status, encode(refusal_body(refused)))

    def _authorise(self, headers: dict[str, str], query: dict[str, list[str]]) -> None:
        if headers.get("authorization", "") != self.world.config.mirakl_api_key:
            raise RefusedError("Unauthorized", status=401)
        shop = query.get("shop_id", [str(self.world.config.shop_id)])[0]
        if shop != str(self.world.config.shop_id):
            raise RefusedError(f"You have no access to the shop '{shop}'", status=403)


def _find(method: str, path: str) -> tuple[Operation, tuple[str, ...]]:
    found = match(method, path)
    if found is not None:
        return found
    if path_exists(path):
        raise RefusedError("Method Not Allowed", status=405)
    raise RefusedError("Not Found", status=404)


def refusal_body(refused: RefusedError) -> dict[str, Any]:
    """The JSON of a refusal."""
    body: dict[str, Any] = {"message": refused.message, "status": refused.status}
    if refused.code is not None or refused.field is not None:
        body["errors"] = [
            {"code": refused.code or "VALIDATION_ERROR", "field": refused.field, "message": refused.message}
        ]
    return body
