"""Access: does every system answer this shop, for each operation it needs.

Here: the smallest read of each stream, the reading of the reference lists that other areas look at, and what the log of calls
says of writes. Not here: the meaning of what was read. The invariant: only reads are sent; the right to write is known from
the last answer to a write, for asking would be writing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Final

from marketplace_returns.errors import (
    AuthFailed,
    BadSettings,
    MarketplaceReturnsError,
    RateLimited,
    SourceError,
    SourceRefused,
)
from marketplace_returns.lake.pull import stream_of
from marketplace_returns.orchestration.audit.findings import Finding, Inspection, Level
from marketplace_returns.orchestration.pulling import is_read_from_files, pull_stream
from marketplace_returns.orchestration.streams import Reads, Stream, streams_of
from marketplace_returns.orchestration.sync import is_of_whole_source, with_mend

_finding = partial(Finding, area="access")

REFERENCE: Final = frozenset(
    {"mirakl/platform", "mirakl/reason", "mirakl/carrier", "mirakl/offer", "peoplevox/item_type"}
)
"""The lists the other areas look at: read whole and kept, as a poll does."""
PROVEN_FOR: Final = timedelta(hours=1)
"""A stream that was polled this recently has shown that it may be read, and is not asked again: calls are counted."""
_PROBE: Final = timedelta(minutes=5)


def inspect(inspection: Inspection) -> Iterator[Finding]:
    """Find what cannot be reached, and what the key may not do."""
    app, shop = inspection.app, inspection.shop
    silent: dict[str, str] = {}  # source -> why its other streams need not be asked
    for stream in _to_ask(inspection):
        if stream.source in silent:
            inspection.unread[stream.name] = silent[stream.source]
            continue
        inspection.say(f"{stream.name}: asking")
        try:
            _ask(inspection, stream)
        except RateLimited as busy:
            if app.ledger.cursor(shop.name, stream.name) is None:
                inspection.unread[stream.name] = str(busy)
                yield _later(inspection, stream, busy)
        except SourceError as error:
            if stream.is_optional and isinstance(error, SourceRefused) and error.status == HTTPStatus.NOT_FOUND:
                continue
            inspection.unread[stream.name] = str(error)
            if is_of_whole_source(error):
                silent[stream.source] = str(error)
            yield _not_read(inspection, stream, error)
        except BadSettings as missing:  # the settings' own area names the secret
            inspection.unread[stream.name] = silent[stream.source] = str(missing)
    yield from _refused(inspection)


def _to_ask(inspection: Inspection) -> Iterator[Stream]:
    """Yield the streams whose access is not proven by a poll of late; in the sandbox, all."""
    app, shop = inspection.app, inspection.shop
    polled = {stream: at for stream, (_, at) in app.ledger.cursors(shop.name).items()}
    for stream in streams_of(shop):
        if stream.reads is Reads.TOUCHED or is_read_from_files(shop, stream.source):
            continue
        proven_for = max(PROVEN_FOR, stream.poll_every) if stream.name in REFERENCE else PROVEN_FOR
        at = polled.get(stream.name)
        if shop.is_sandbox or at is None or app.clock.now() - at >= proven_for:
            yield stream


def _refused(inspection: Inspection) -> Iterator[Finding]:
    """Find the operations, writes among them, that the key was refused when they were last called."""
    for system, operation, when in inspection.app.ledger.refused_operations(inspection.shop.name):
        if any(operation in reason for reason in inspection.unread.values()):
            continue  # told above, by what was asked now
        yield _finding(
            shop=inspection.shop.name,
            subject=f"{system} {operation}",
            level=Level.CRITICAL,
            finding=f"The key was refused {operation} when it was last called ({when:%Y-%m-%d %H:%M} UTC, 401 or 403).",
            fix=f"Ask the operator of {system} to give the key's user the right to {operation}; the next call proves it.",
        )


def _ask(inspection: Inspection, stream: Stream) -> None:
    """Read a reference list whole into the lake, or the first page of a few minutes of a stream, which is not kept."""
    app, shop = inspection.app, inspection.shop
    if stream.name in REFERENCE:
        pull_stream(app, shop.name, stream, run_id=inspection.run_id)
        return
    source, client = stream_of(stream.name), app.client(shop, stream.source)
    now = app.clock.now()
    if source.by_window is not None:
        pages = source.by_window(client, (now - _PROBE, now))
    elif source.knowing is not None:
        pages = source.knowing(client, (now - _PROBE, now), app.con, shop.name)
    elif source.in_full is not None:
        pages = source.in_full(client)
    else:
        return
    list(islice(pages, 1))


def _not_read(inspection: Inspection, stream: Stream, error: SourceError) -> Finding:
    words = with_mend(inspection.shop, stream.source, error)
    whole = is_of_whole_source(error)
    if isinstance(error, AuthFailed):
        what, fix = (
            "the key is not accepted" if whole else f"the key may not {error.operation}",
            (
                "Correct the secret (and client_id, store_id or username beside it)."
                if whole
                else f"Ask the operator to give the key's user the right to {error.operation} ({stream.meaning})."
            ),
        )
    elif whole:
        what, fix = (
            "it cannot be reached",
            "Check the address in the settings, the network and any allow-list of addresses.",
        )
    else:
        what, fix = (
            "it does not answer as agreed",
            "Compare the answer with the system's documentation; ask its operator.",
        )
    return _finding(
        shop=inspection.shop.name,
        subject=stream.source if whole else stream.name,
        level=Level.CRITICAL,
        finding=f"{stream.source if whole else stream.name}: {what}. {words}",
        fix=fix,
    )


def _later(inspection: Inspection, stream: Stream, busy: MarketplaceReturnsError) -> Finding:
    return _finding(
        shop=inspection.shop.name,
        subject=stream.name,
        level=Level.NOTE,
        finding=f"{stream.name} was never read and its call budget is used up: {busy}",
        fix="Run the audit again later.",
    )
