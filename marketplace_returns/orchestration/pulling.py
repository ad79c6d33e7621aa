"""Bringing the lake up to a source: by poll, by days, by what a write touched, or from extract files.

Here: where a pull starts and ends, and what the stored cursor becomes. Not here: reading pages (``sources``) or typing them
(``lake``). The invariants: the cursor moves only by a poll that ended well, and never past what the source itself told;
an extract file is remembered as taken only after its pages are in the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from marketplace_returns.clock import FixedClock
from marketplace_returns.errors import RateLimited, SourceRefused
from marketplace_returns.lake.pull import Progress, PullResult, Reading, begin, settle_readings, stream_of, take
from marketplace_returns.lake.sql import statement
from marketplace_returns.lanes.plan import ExceptionPlan
from marketplace_returns.ledger.states import DONE, State
from marketplace_returns.orchestration.extract_files import blank_erased
from marketplace_returns.orchestration.streams import Reads, Stream, poll_window, streams_of
from marketplace_returns.settings import Shop, WriteKind
from marketplace_returns.sources.extracts import BrokenFile, ExtractFile, new_files
from marketplace_returns.sources.platforms import PLATFORMS

if TYPE_CHECKING:
    from marketplace_returns.ledger.intents import Intent
    from marketplace_returns.ledger.records import LakeMark
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.sources.platforms import LookBack

TOLD_MAX: Final = 5
Window = tuple[datetime, datetime]
Say = Callable[[str], None]


@dataclass
class Poll:
    """A stream that was read, to be settled alone or with others, and then ended.

    Attributes:
        end: returns what was done; raises what the source failed with (SourceError).
        reading: what is to be settled before; None where all of it comes into the lake by ``end``.
        moved: where the cursor goes after that; None where it stays.
    """

    stream: Stream
    end: Callable[[], PullResult]
    reading: Reading | None = None
    moved: Callable[[PullResult], datetime] | None = None

    @property
    def waiting(self) -> int:
        """How many objects came and are not in the lake yet."""
        return self.reading.arrivals.objects if self.reading is not None else 0


def settle(polls: Sequence[Poll]) -> None:
    """Bring what polls of one shop and run have read into the lake, in one transaction; LakeBusy where it stays locked."""
    settle_readings([poll.reading for poll in polls if poll.reading is not None])


def mark_of(app: App, polls: Sequence[Poll]) -> LakeMark | None:
    """Return the state of the lake that holds the pages of settled polls, asked for once; None where a page may still come."""
    return app.lake_mark() if polls and all(poll.reading is not None for poll in polls) else None


def end_poll(app: App, shop_name: str, poll: Poll, mark: LakeMark | None = None) -> PullResult:
    """End a poll that was settled and move its cursor, which stands on ``mark``: a state of the lake that holds its pages.

    Raises SourceError: what the source failed with; the cursor has not moved.
    """
    result = poll.end()
    if poll.moved is not None:
        app.ledger.set_cursor(shop_name, poll.stream.name, poll.moved(result), mark or app.lake_mark())
    return result


def pull_stream(
    app: App,
    shop_name: str,
    stream: Stream,
    *,
    run_id: str,
    window: Window | None = None,
    anew: bool = False,
    say: Say | None = None,
) -> PullResult:
    """Poll a stream on from its cursor, or read a window of it again; see ``begin_poll``.

    Raises:
        SourceError, LakeBusy: what came before is in the lake, the cursor has not moved.
        BadArgument, BadSettings, ContractBroken: with the mend.
    """
    poll = begin_poll(app, shop_name, stream, run_id=run_id, window=window, anew=anew, say=say)
    settle([poll])
    return end_poll(app, shop_name, poll)


def begin_poll(
    app: App,
    shop_name: str,
    stream: Stream,
    *,
    run_id: str,
    window: Window | None = None,
    anew: bool = False,
    say: Say | None = None,
) -> Poll:
    """Read a stream on from its cursor, or a window of it again (which leaves the cursor where it is).

    ``window`` is UTC instants [from, to) to read again, for streams that have windows; ``anew`` also takes the extract files
    that were taken before, and what writes touched that show already; ``say`` hears of progress. A source that fails says so
    when the poll is ended.

    Raises:
        LakeBusy: the lake stayed locked where much came; nothing is lost, the cursor has not moved.
        BadArgument, BadSettings, ContractBroken: with the mend.
    """
    shop = app.shop(shop_name)
    if is_read_from_files(shop, stream.source):
        return Poll(stream, partial(_take_files, app, shop, stream, run_id=run_id, anew=anew, say=say))
    if stream.reads is Reads.TOUCHED:
        keys = sorted(touched_keys(app, shop, DONE if anew else (State.CONFIRMED,)).get(stream.name, ()))
        if not keys:
            return Poll(stream, partial(PullResult, stream.name))
        return _read(app, shop, stream, None, run_id=run_id, keys=keys, say=say)
    if window is not None:
        return _read(app, shop, stream, window, run_id=run_id, say=say)
    now = app.clock.now()
    watermark = app.ledger.cursor(shop.name, stream.name)
    polled = poll_window(stream, watermark, now)
    look_back = _look_back(shop, stream)
    if look_back is None or polled is None:
        poll = _read(app, shop, stream, polled, run_id=run_id, say=say)
    else:
        if watermark is None or watermark.date() != now.date():  # once a day every young return
            polled = min(polled[0], now - look_back.all_younger_than), now
        open_since = now - look_back.open_younger_than
        looking = partial(_poll_looking_back, app, shop, stream, polled, open_since, run_id=run_id, say=say)
        poll = Poll(stream, looking)
    return replace(poll, moved=lambda result: _next_watermark(stream, watermark, polled, result, now))


def _poll_looking_back(
    app: App, shop: Shop, stream: Stream, polled: Window, open_since: datetime, *, run_id: str, say: Say | None
) -> PullResult:
    """Read what changed into the lake, then again what is still open there: such objects change without a sign."""
    result = _pull(app, shop, stream, polled, run_id=run_id, say=say)
    still_open = _still_open(app, shop, open_since, polled[0])
    if still_open:
        again = _pull(app, shop, stream, None, run_id=run_id, keys=still_open, say=say)
        result = _sum(result, again, 0)
    return result


def pull_touched(app: App, shop_name: str, *, run_id: str) -> list[PullResult]:
    """Read again what our confirmed writes changed, so that the lake shows it without waiting for the next poll.

    What the call budget does not allow now the next poll shows.
    """
    shop = app.shop(shop_name)
    touched = touched_keys(app, shop)
    polls = []
    for stream in streams_of(shop):
        if stream.name not in touched or is_read_from_files(shop, stream.source):
            continue
        if stream_of(stream.name).by_keys is None:
            polls.append(begin_poll(app, shop_name, stream, run_id=run_id))
        else:
            keys = sorted(touched[stream.name])
            polls.append(_read(app, shop, stream, None, run_id=run_id, keys=keys, say=None))
    settle(polls)
    mark = mark_of(app, polls)
    ended = []
    for poll in polls:
        with suppress(RateLimited):
            ended.append(end_poll(app, shop_name, poll, mark))
    return ended


def touched_keys(app: App, shop: Shop, states: Collection[State] = (State.CONFIRMED,)) -> dict[str, set[str]]:
    """Return, by stream, the ids of the objects that writes changed; those that do not show yet, unless ``states`` has more."""
    touched: dict[str, set[str]] = {}
    for intent in app.ledger.intents(shop=shop.name, states=states):
        for stream, key in _objects_of(shop, intent):
            touched.setdefault(stream, set()).add(key)
    return touched


def _objects_of(shop: Shop, intent: Intent) -> list[tuple[str, str]]:
    """Return the streams and ids of the objects a write changes; none where the id is not known."""
    match intent.kind:
        case WriteKind.ACCEPT_ORDER | WriteKind.CONFIRM_DESPATCH | WriteKind.REFUND | WriteKind.RESOLVE_INCIDENT:
            stream, key = "mirakl/order", intent.order_id or str(intent.body.get("order_id", ""))
        case WriteKind.LINK_RETURN | WriteKind.RECEIVE_RETURN | WriteKind.REPORT_COMPLIANCE | WriteKind.CLOSE_RETURN:
            stream, key = "mirakl/return", intent.external_ref if "create" in intent.body else intent.return_id
        case WriteKind.CREATE_PLATFORM_RETURN:
            stream, key = f"{shop.returns.platform}/return", intent.external_ref
        case WriteKind.REPORT_REFUND_OUTCOME:
            stream, key = f"{shop.returns.platform}/return", str(intent.body["platform_return_id"])
        case WriteKind.CREATE_WAREHOUSE_ORDER:
            stream, key = "peoplevox/sales_order", intent.order_id
        case WriteKind.CREATE_EXPECTED_RECEIPT:
            stream, key = "peoplevox/purchase_order", str(intent.body["purchase_order_number"])
        case WriteKind.PUSH_STOCK:
            stream, key = "mirakl/offer", str(intent.body["offer_sku"])
    found = [(stream, key)] if key else []
    if intent.kind is WriteKind.CONFIRM_DESPATCH and intent.body.get("mode") == "shipment":
        # Which line a parcel was confirmed for must be known before the next parcel is matched.
        found.append(("mirakl/shipment", intent.order_id))
    return found


def _pull(
    app: App,
    shop: Shop,
    stream: Stream,
    window: Window | None,
    *,
    run_id: str,
    keys: Sequence[str] | None = None,
    say: Say | None,
) -> PullResult:
    poll = _read(app, shop, stream, window, run_id=run_id, keys=keys, say=say)
    settle([poll])
    return poll.end()


def _read(
    app: App,
    shop: Shop,
    stream: Stream,
    window: Window | None,
    *,
    run_id: str,
    keys: Sequence[str] | None = None,
    say: Say | None,
) -> Poll:
    reading = begin(
        app.lake,
        stream.name,
        shop.name,
        app.client(shop, stream.source),
        window,
        run_id=run_id,
        clock=app.clock,
        con=app.con,
        keys=keys,
        on_progress=_progress(say),
    )

    def end() -> PullResult:
        try:
            return reading.end()
        except SourceRefused as refused:
            if stream.is_optional and refused.status == HTTPStatus.NOT_FOUND:
                return PullResult(stream.name)
            raise

    return Poll(stream, end, reading)


def _next_watermark(
    stream: Stream, watermark: datetime | None, polled: Window | None, result: PullResult, now: datetime
) -> datetime:
    """Return where the next poll goes on: at the latest change the source itself told, so that its clock may differ.

    Where its objects tell no time of change, at the end of what was asked for; and so where what is listed is then read
    one by one, for an object read late tells of changes that the list did not see.
    """
    read_as = stream_of(stream.name)
    if polled is None or read_as.knowing is not None or not read_as.kind.changed_field:
        return now
    known = polled[0] if watermark is None else watermark
    told = result.changed_until
    return known if told is None else max(min(told, now), known)


def _look_back(shop: Shop, stream: Stream) -> LookBack | None:
    """Return what of a stream has to be read again without a sign of change; None for most."""
    platform = PLATFORMS.get(stream.source)
    return platform.look_back(shop) if platform is not None else None


def _still_open(app: App, shop: Shop, since: datetime, before: datetime) -> list[str]:
    """Return the ids of the platform returns created in that time that may still have news."""
    wanted = {"shop": shop.name, "since": since, "before": _utc_midnight(before)}
    query = statement("open_platform_returns", "marketplace_returns.model")
    return [row[0] for row in app.con.execute(query, wanted).fetchall()]


def _utc_midnight(instant: datetime) -> datetime:
    """Return the beginning of the day from which a search by days has read."""
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _progress(say: Say | None) -> Progress | None:
    if say is None:
        return None

    def heard(objects_read: int) -> None:
        say(f"{objects_read} objects read")

    return heard


def is_read_from_files(shop: Shop, source: str) -> bool:
    """Tell whether a source is read from the files it drops."""
    if source == shop.returns.platform:
        return shop.returns.read == "extract"
    return source != "mirakl" and shop.warehouse is not None and shop.warehouse.read == "extract"


def _take_files(app: App, shop: Shop, stream: Stream, *, run_id: str, anew: bool, say: Say | None) -> PullResult:
    """Take the new files of a stream (``anew``: all); a file or row that cannot be read counts as quarantined and is told."""
    system = stream.source
    files = new_files(app.settings, shop, system, frozenset() if anew else app.ledger.taken_files(shop.name, system))
    total = PullResult(stream.name)
    for file in files:
        if isinstance(file, BrokenFile):
            total = replace(total, quarantined=total.quarantined + 1)
            _tell_file(app, shop, system, file.name, [file.reason])
            continue
        if file.stream != stream.name:
            continue
        done = take(
            app.lake,
            stream.name,
            shop.name,
            file.pages(),
            run_id=run_id,
            clock=app.clock if file.exported_at is None else FixedClock(file.exported_at),
            is_whole=partial(_is_whole_list, stream, file),
            on_progress=_progress(say),
            con=app.con,
        )
        app.ledger.take_files(shop.name, system, [(digest, ", ".join(file.names)) for digest in sorted(file.hashes)])
        erased = app.lake.personal.erased(shop.name)
        if erased:
            blank_erased(app, shop.name, erased, system=system, files=file.names)
        for name in file.names:
            left_out = [f"line {row.line} {row.reason}" for row in file.broken_rows if row.name == name]
            _tell_file(app, shop, system, name, left_out)
        total = _sum(total, done, len(file.broken_rows))
    app.ledger.set_cursor(shop.name, stream.name, app.clock.now(), app.lake_mark())
    return total


def _is_whole_list(stream: Stream, file: ExtractFile) -> bool:
    """Tell whether a file is a list of all there is and was read to its last row."""
    return stream.reads is Reads.FULL and not file.broken_rows


def _tell_file(app: App, shop: Shop, system: str, name: str, wrong: Sequence[str]) -> None:
    """Make the exception queue say what of an extract file could not be read; nothing once it is read whole."""
    more = f" and {len(wrong) - TOLD_MAX} more" if len(wrong) > TOLD_MAX else ""
    plan = ExceptionPlan(
        shop=shop.name,
        type="SCHEMA_CHANGED",
        entity={"system": system, "file": name},
        cause="extract",
        message=f"extract file {name}: {'; '.join(wrong[:TOLD_MAX])}{more}. Mend it and drop it again.",
        evidence={"left_out": len(wrong)},
        root_cause="validation",
    )
    app.ledger.raise_exceptions(shop.name, f"extract/{system}/{name}", [plan] if wrong else [])


def _sum(total: PullResult, done: PullResult, broken_rows: int) -> PullResult:
    tables = {*total.rows, *done.rows}
    return PullResult(
        total.stream,
        total.objects + done.objects,
        total.new + done.new,
        {name: total.rows.get(name, 0) + done.rows.get(name, 0) for name in sorted(tables)},
        total.quarantined + done.quarantined + broken_rows,
        max((told for told in (total.changed_until, done.changed_until) if told is not None), default=None),
    )
