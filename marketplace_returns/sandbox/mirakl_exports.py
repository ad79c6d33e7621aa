"""Asynchronous exports: start, poll, fetch (OR13..OR15, TL03..TL05).

Here: the tracking ids and files. Not here: what the files hold (the starting operation renders them). Invariant: an export's content
is fixed when it is asked for; one export of a kind runs at a time.
"""

from __future__ import annotations

from marketplace_returns.sandbox.mirakl_call import Call, Export, Reply, encode
from marketplace_returns.sandbox.refusals import RefusedError

EXPORTS_KEPT = 20
FILE_PATHS = {
    "orders": "/api/orders/async-export/file/",
    "transactions": "/api/sellerpayment/transactions_logs/export/async/file/",
}


def start_export(call: Call, kind: str, files: list[bytes], content_type: str) -> Reply:
    """Keep the files under a new tracking id; refused while another export of this kind is running."""
    exports = call.desk.exports
    if any(key.startswith(kind) and not _ready(one, call) for key, one in exports.items()):
        raise RefusedError("An export is already running for this shop")
    tracking_id = call.world.chance.uuid("export")
    exports[f"{kind}:{tracking_id}"] = Export(
        tracking_id, call.world.wall(), call.world.clock.now(), files, content_type
    )
    while len(exports) > EXPORTS_KEPT:
        exports.popitem(last=False)
    return Reply(body=encode({"tracking_id": tracking_id}))


def poll_export(call: Call, kind: str) -> Reply:
    """Tell whether the export is done and where its files lie."""
    one = _find(call, kind)
    body: dict[str, object] = {"last_updated": call.world.clock.now(), "status": "PENDING"}
    if _ready(one, call):
        names = [f"{call.root}{FILE_PATHS[kind]}{one.id}?file={number}.json" for number in range(len(one.files))]
        body |= {"status": "COMPLETED", "urls": names}
    return Reply(body=encode(body))


def fetch_export(call: Call, kind: str) -> Reply:
    """One file of a finished export."""
    one = _find(call, kind)
    name = (call.text("file") or "0.json").removesuffix(".json")
    if not _ready(one, call) or not name.isdigit() or int(name) >= len(one.files):
        raise RefusedError("The file does not exist", status=404)
    return Reply(body=one.files[int(name)], content_type=one.content_type)


def _find(call: Call, kind: str) -> Export:
    one = call.desk.exports.get(f"{kind}:{call.arguments[0]}")
    if one is None:
        raise RefusedError(f"The export with tracking id '{call.arguments[0]}' does not exist", status=404)
    return one


def _ready(one: Export, call: Call) -> bool:
    waited = call.world.wall() - one.started_wall >= call.world.config.export_delay_s
    return waited or call.world.clock.now() > one.created_at
