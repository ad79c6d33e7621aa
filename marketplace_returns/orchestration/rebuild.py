"""Making the lake's tables anew: from what has landed in it, or, where the lake is lost, from the sources and the ledger.

Here: what is read in which order, and how far back. Not here: reading and typing (``lake``). The invariants: nothing is sent,
no cursor moves back, what is there stays; a lake counts as whole only when every stream of the shop was read to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from marketplace_returns.errors import SourceError
from marketplace_returns.lake import bookings, pull, references
from marketplace_returns.lake.pull import PullResult
from marketplace_returns.lake.tables import PAYLOADS
from marketplace_returns.orchestration.pulling import pull_stream
from marketplace_returns.orchestration.streams import FIRST_LOOK_BACK, Reads, streams_of
from marketplace_returns.orchestration.sync import SourceFailure, extend_model, is_of_whole_source, with_mend

if TYPE_CHECKING:
    from marketplace_returns.orchestration.app import App

Say = Callable[[str], None]
STREAMS_IN_ORDER: Final = tuple(pull.STREAMS)


class Origin(StrEnum):
    """What the tables are made of."""

    LANDING = "landing"
    SOURCES = "sources"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild of a shop did: objects and rows by stream, and the streams that could not be read."""

    shop: str
    pulls: tuple[PullResult, ...]
    failures: tuple[SourceFailure, ...]


def rebuild(
    app: App, shop_name: str, origin: Origin, *, run_id: str, since: datetime | None = None, say: Say
) -> Rebuilt:
    """Give a shop's lake back what it lost; may be run again, and beside nothing else of the shop.

    From landing, each payload is typed again. From the sources, each stream is read from ``since`` on, by default a return
    window before the first write of the ledger; the app is opened with ``is_rebuilding``. Sends nothing.

    Raises:
        LakeBusy, LedgerBusy: another process holds them; what came before is kept.
    """
    shop = app.shop(shop_name).name
    if origin is Origin.LANDING:
        made = Rebuilt(shop, tuple(_retype(app, shop, run_id=run_id, say=say)), ())
    else:
        made = _read_all(app, shop, run_id=run_id, since=since or _first_look(app, shop), say=say)
    say("the bookings")
    app.lake.transact(app.con, run_id, f"bookings of {shop} anew", partial(bookings.remake, shop=shop))
    say("the references")
    app.lake.transact(app.con, run_id, f"references of {shop} anew", partial(references.remake, shop=shop))
    say("the model")
    extend_model(app, shop, run_id=run_id)
    if origin is Origin.SOURCES and not made.failures:
        app.ledger.stand_on(shop, app.lake_mark())
    return made


def _retype(app: App, shop: str, *, run_id: str, say: Say) -> list[PullResult]:
    landed = app.con.execute(
        f"SELECT DISTINCT source || '/' || object_type FROM {PAYLOADS.path} WHERE shop = ?", [shop]
    ).fetchall()
    there = {name for (name,) in landed}
    done = []
    for name in STREAMS_IN_ORDER:
        if name in there:
            say(f"{name}: typing")
            done.append(pull.retype(app.lake, name, shop, run_id=run_id, clock=app.clock, con=app.con))
    return done


def _read_all(app: App, shop: str, *, run_id: str, since: datetime, say: Say) -> Rebuilt:
    window = (since, app.clock.now())
    pulls: list[PullResult] = []
    failures: list[SourceFailure] = []
    silent: set[str] = set()
    for stream in streams_of(app.shop(shop)):
        if stream.source in silent:
            continue
        say(f"{stream.name}: reading")
        by_window = window if stream.reads is Reads.WINDOW else None
        try:
            pulls.append(pull_stream(app, shop, stream, run_id=run_id, window=by_window, anew=True))
        except SourceError as error:
            words = with_mend(app.shop(shop), stream.source, error)
            failures.append(SourceFailure(stream.name, type(error).__name__, words))
            if is_of_whole_source(error):
                silent.add(stream.source)
    return Rebuilt(shop, tuple(pulls), tuple(failures))


def _first_look(app: App, shop: str) -> datetime:
    """Return from when on the sources tell all that a lake beside this ledger can have had."""
    first = app.ledger.intents(shop=shop, limit=1)
    began = min([app.clock.now(), *(each.planned_at for each in first)])
    return began - FIRST_LOOK_BACK
