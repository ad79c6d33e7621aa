"""Closing a month of a shop, as the command line and Dagster do it.

Here: what is put together for a close, whether a month can be complete, and the steps of a period from review to locked. Not here:
a table or a proof (``reconciliation``), or which step may follow which (the ledger's periods). The invariant: a signed or locked
month is never made again, and nobody signs what they closed.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import msgspec

from marketplace_returns.errors import BadArgument, ContractBroken, PeriodLocked
from marketplace_returns.lake.tables import Kind
from marketplace_returns.ledger.periods import Period, PeriodState
from marketplace_returns.orchestration.month_order import check_none_signed_after, check_stands, signed, stood_on
from marketplace_returns.orchestration.streams import Reads, streams_of
from marketplace_returns.periods import Month, month_bounds
from marketplace_returns.reconciliation import variances
from marketplace_returns.reconciliation.close import (
    INTENT_KINDS,
    INTENTS,
    MonthResult,
    SignedMonth,
    close_month,
    ensure_tables,
    stage,
    stage_words,
)
from marketplace_returns.reconciliation.evidence import MadeWith, coming_pack, kept_manifest, kept_pack, settle
from marketplace_returns.reconciliation.explanations import explain
from marketplace_returns.reconciliation.invariants import CheckResult, check_month
from marketplace_returns.reconciliation.journals import DAY_FIRST
from marketplace_returns.reconciliation.metrics import Metrics, Sum, adjusted_since, days_after, month_metrics
from marketplace_returns.reconciliation.pack import Manifest, as_it_was, content_hash, export, pack_query, show_month
from marketplace_returns.reconciliation.pictures import month_pictures
from marketplace_returns.reconciliation.tables import PACK_TABLES, PackTable, kind_of
from marketplace_returns.settings import Tolerances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from duckdb import DuckDBPyConnection

    from marketplace_returns.ledger.exceptions import OpenException
    from marketplace_returns.orchestration.app import App
    from marketplace_returns.settings import Shop

SAMPLE_ROWS: Final = 20
MONTHS_BEFORE_MAX: Final = 12
"""As many months are told of beside the one that is closed."""
# Returned goods are counted by receipts, not by shipments: a month does not rest on this stream.
_BESIDE_MONTHS: Final = frozenset({"mirakl/shipment"})


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """A month that was made: its row counts and codes, and its proofs."""

    result: MonthResult
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True)
class TableView:
    """What a page shows of a month-end table: at most 20 rows, those that need a person first, and a PNG where it helps."""

    columns: tuple[str, ...]
    kinds: dict[str, Kind]
    rows: list[tuple[Any, ...]]
    picture: bytes


@dataclass(frozen=True, slots=True)
class MonthBefore:
    """A month that was closed before another, as it is looked back on; no pack tells it, for later months change it.

    Attributes:
        month: the month.
        state: REVIEW, SIGNED or LOCKED.
        days_to_close: as in ``Metrics``.
        days_to_sign: as in ``Metrics``.
        adjusted: the log lines that later months have posted against it until now, by currency.
    """

    month: Month
    state: PeriodState
    days_to_close: Decimal | None
    days_to_sign: Decimal | None
    adjusted: tuple[Sum, ...]


def close(app: App, shop_name: str, month: Month, *, run_id: str) -> ClosedMonth:
    """Make the month-end tables of a shop, prove them, and give every variance an owner in the exception queue.

    What came late for a signed month is posted in the month after it; what an earlier month left unmatched is looked at again.

    Raises:
        PeriodLocked: the month is signed; reopen it with a reason.
        ContractBroken, LakeBusy: nothing was written.
        BadSettings: it takes more memory than ``lake_memory_mb``.
    """
    shop = app.shop(shop_name)
    app.ledger.check_open(shop.name, month)
    con = app.modelled()
    ensure_tables(app.lake, con)
    intents = app.ledger.intent_batches(shop.name, INTENTS, INTENT_KINDS)
    before = stood_on(app, shop.name, month)
    explained = variances.explained(con, shop, _closed_by_hand(app, shop.name))
    with app.lake.in_memory(f"closing {month} of {shop.name}"):
        result = close_month(
            app.lake,
            con,
            intents,
            shop,
            month,
            app.mappings,
            run_id=run_id,
            before=before,
            explained=explained,
            # Held again when it is this writer's turn: the month may have been signed since.
            ready=partial(app.ledger.check_open, shop.name, month),
        )
        checks = check_month(con, shop, month)
    app.ledger.apply(variances.decide(con, shop, month, checks), shop)
    # Looked up after that, for it opens again what differs otherwise than it was explained.
    return ClosedMonth(result, explain(con, shop, month, checks, _closed_by_hand(app, shop.name)))


def _closed_by_hand(app: App, shop_name: str) -> list[OpenException]:
    """Return what people resolved of a shop's month-ends."""
    return app.ledger.closed_by_hand(shop_name, f"{variances.LANE}:")


def prepare(app: App, shop_name: str, month: Month, *, by: str, run_id: str) -> tuple[ClosedMonth, Period]:
    """Close a month for review: make it, keep its pack as evidence, and remember who did so, of which state of the lake.

    The evidence is ``periods/<shop>/<month>`` in the data folder.

    Raises:
        BadArgument: no name, a month that is not over or not read to its end yet, or a later one is signed.
        PeriodLocked, ContractBroken, LakeBusy: as ``close``.
    """
    name = _person(by)
    check_none_signed_after(app, shop_name, month)
    unread = unread_streams(app, shop_name, month)
    if unread:
        raise BadArgument(
            f"{month} of {shop_name} was not read to its end yet by {', '.join(unread)}: run 'sync' after the month is over"
        )
    closed = close(app, shop_name, month, run_id=run_id)
    with _beside_the_kept(app, shop_name, month) as pack:
        manifest = export_pack(app, [shop_name], month, pack)
        reviewed = Period(shop_name, month, PeriodState.REVIEW, lake_snapshot=str(closed.result.lake_version))

        def review() -> Period:
            check_none_signed_after(app, shop_name, month)
            return app.ledger.step_period(
                shop_name,
                month,
                PeriodState.REVIEW,
                prepared_by=name,
                prepared_at=app.clock.now(),
                approved_by="",
                approved_at=None,
                lake_snapshot=reviewed.lake_snapshot,
                manifest_hash=content_hash(manifest),
                reason="",
            )

        period = _step(app, "close", reviewed, review, pack)
    return closed, period


def sign(app: App, shop_name: str, month: Month, *, by: str, reason: str = "") -> Period:
    """Sign a month in review, or lock one that is signed.

    What is signed is what was prepared: the month is read again as it was closed, and its figures must be those of then. A close that comes
    between ends in no signature. Proofs that fail and refunds nobody can explain (UNKNOWN) are signed only with a reason.

    Raises:
        BadArgument: no name, the one who closed it, an earlier month that is not signed, or proofs fail and no reason is given.
        PeriodLocked: the month is neither in review nor signed, was closed again meanwhile, or the month before it was closed after it.
        ContractBroken: the figures are not those that were prepared; close it again.
        LakeBusy: no turn among the lake's writers; nothing was signed.
    """
    name = _person(by)
    found = app.ledger.period(shop_name, month)
    if found.state is PeriodState.SIGNED:
        return app.ledger.step_period(shop_name, month, PeriodState.LOCKED, by=name, seen=found)
    if found.state is not PeriodState.REVIEW:
        raise PeriodLocked(
            f"Month {month} of {shop_name} is {found.state}: only a month in REVIEW is signed; run 'close' first."
        )
    if name.casefold() == found.prepared_by.casefold():
        raise BadArgument(f"{name} closed {month} of {shop_name}, and somebody else has to sign it")
    check_stands(app, found)
    now = app.clock.now()
    approved = dataclasses.replace(found, state=PeriodState.SIGNED, approved_by=name, approved_at=now)
    with _beside_the_kept(app, shop_name, month) as pack:
        manifest = _export(app, [shop_name], month, pack, {shop_name: approved}, is_proven_anew=True)
        if content_hash(manifest) != found.manifest_hash:
            raise ContractBroken(
                f"{month} of {shop_name} is not as {found.prepared_by} closed it: nothing was signed; run 'close' again and review it",
                system="lake",
                operation="sign",
            )
        failing = [proof.id for proof in manifest.proofs if proof.result == "VARIANCE"]
        if failing and not reason.strip():
            raise BadArgument(
                f"{month} of {shop_name} does not prove {', '.join(failing)}: mend it and close it again, or sign it with --reason"
            )

        def sign_as_reviewed() -> Period:
            check_stands(app, found)
            _check_made_once(app, month, found)
            return app.ledger.step_period(
                shop_name,
                month,
                PeriodState.SIGNED,
                seen=found,
                approved_by=name,
                approved_at=now,
                reason=reason.strip(),
            )

        # No close replaces the month between the look and the signature.
        return _step(app, "sign", approved, sign_as_reviewed, pack)


def reopen(app: App, shop_name: str, month: Month, *, by: str, reason: str) -> Period:
    """Open a month that was closed, signed or locked; the reason and the name stay in the ledger.

    Raises:
        BadArgument: no name or no reason; a later month is signed, which stands on this one.
        PeriodLocked: the month is open.
        LakeBusy: no turn among the lake's writers; nothing was opened.
    """
    name = _person(by)
    if not reason.strip():
        raise BadArgument(f"reopening {month} of {shop_name} needs a reason: give --reason")

    def open_again() -> Period:
        check_none_signed_after(app, shop_name, month)
        return app.ledger.step_period(
            shop_name,
            month,
            PeriodState.OPEN,
            by=name,
            lake_snapshot="",
            manifest_hash="",
            approved_by="",
            approved_at=None,
            reason=f"{name}: {reason.strip()}",
        )

    return _step(app, "reopen", Period(shop_name, month), open_again)


def evidence(app: App, shop_name: str, month: Month) -> Path:
    """Return the folder that keeps the pack of a closed month."""
    return kept_pack(app.settings.data_dir, shop_name, month)


def export_pack(app: App, shop_names: Sequence[str], month: Month, out_dir: Path) -> Manifest:
    """Write the month-end pack of closed months into a folder: CSV files, one workbook, journals, a manifest with hashes.

    A signed month is written as it was closed, whatever came since.

    Raises:
        BadArgument: no shop, a folder that is a file, or a month that was not made yet.
        BadMapping, ContractBroken: journals could not be written, or a signed month would not be what was signed.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise BadArgument(f"{out_dir} is a file: give a folder for the month-end pack")
    periods = {name: app.ledger.period(app.shop(name).name, month) for name in shop_names}
    for name, period in periods.items():
        if coming_pack(app.settings.data_dir, period).exists():
            app.lake.in_turn(f"export {month} of {name}", partial(_settle, app, period))
        if signed(period) is None:
            continue
        with tempfile.TemporaryDirectory(prefix="export-", dir=app.settings.data_dir) as passing:
            manifest = _export(app, [name], month, Path(passing), {name: period})
            _check_as_signed(app, period, manifest)
            if len(periods) == 1:  # which is all that was asked for
                _hand_out(Path(passing), out_dir)
                return manifest
    return _export(app, shop_names, month, out_dir, periods)


def _hand_out(pack: Path, out_dir: Path) -> None:
    """Copy the files of a pack, and no rights: what the folder lets others do stays as it is."""
    for path in (each for each in sorted(pack.rglob("*")) if each.is_file()):
        place = out_dir / path.relative_to(pack)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


@contextmanager
def _beside_the_kept(app: App, shop_name: str, month: Month) -> Iterator[Path]:
    """Give a folder for a pack on the disk of the kept one, which stays as it is unless the step is taken."""
    place = evidence(app, shop_name, month).parent
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=place) as passing:
        yield Path(passing) / "pack"


def _step(app: App, doing: str, after: Period, step: Callable[[], Period], pack: Path | None = None) -> Period:
    """Take a step of a month in the turn of the lake's writers, as other months have a say in it; ``pack`` becomes its evidence.

    The pack waits beside the kept one until the ledger has the step (``evidence.settle``), so a crash leaves the evidence of before it or of
    after it. ``after`` is the month with the state and snapshot that the step gives it.
    """
    data_dir = app.settings.data_dir

    def in_turn() -> Period:
        _settle(app, after)  # what a crash left
        if pack is None:
            return step()
        coming = coming_pack(data_dir, after)
        pack.rename(coming)
        try:
            return step()
        except duckdb.Error:
            coming.rename(pack)  # nothing was stepped, and another writer was quicker: it is tried again
            raise
        finally:
            _settle(app, after)

    return app.lake.in_turn(f"{doing} {after.month} of {after.shop}", in_turn)


def _settle(app: App, period: Period) -> None:
    settle(app.settings.data_dir, app.ledger.period(period.shop, period.month))


def _check_made_once(app: App, month: Month, period: Period) -> None:
    """Refuse where the month's tables hold other figures by now than those of the close that was reviewed: the next month opens with them."""
    con = app.con
    for pack_table in PACK_TABLES:
        names = ", ".join(column.name for column in pack_table.table.columns)
        sums = f"SELECT count(*), coalesce(sum(hash({names})), 0) FROM {pack_table.table.path}{{}} WHERE shop = ? AND month = ?"
        place = [period.shop, str(month)]
        try:
            then = con.execute(sums.format(f" AT (VERSION => {int(period.lake_snapshot)})"), place).fetchone()
        except (duckdb.CatalogException, duckdb.BinderException):
            continue  # a table or column that is younger than the close
        now = con.execute(sums.format(""), place).fetchone()
        if now != then:
            raise ContractBroken(
                f"{month} of {period.shop} was made again since {period.prepared_by} closed it, and its {pack_table.name} is another now: "
                "nothing was signed; run 'close' again and review it",
                system="lake",
                operation="sign",
            )


def _check_as_signed(app: App, period: Period, manifest: Manifest) -> None:
    """Refuse where a signed month's pack holds other figures now: journals are worded by the accounts and dates of today."""
    if content_hash(manifest) != period.manifest_hash:
        raise ContractBroken(
            f"{period.month} of {period.shop} would not be what {period.approved_by} signed: {_what_changed(app, period)}. "
            f"The pack as it was signed is kept in {evidence(app, period.shop, period.month)}; put back what changed to write it again",
            system="lake",
            operation="export",
        )


def _what_changed(app: App, period: Period) -> str:
    """Return what words a pack and is another now than when a month was signed."""
    now = _made_with(app, period.shop)
    signed_with = next(iter(_signed_with(_signed_pack(app, period), period.shop)), None)
    # A pack that names none was written when every journal was day first.
    formats = signed_with.date_formats if signed_with else {}
    found = [
        f"journals.date_format.{target} is {word} now and was {formats.get(target, DAY_FIRST)}"
        for target, word in now.date_formats.items()
        if word != formats.get(target, DAY_FIRST)
    ]
    if signed_with is None:
        tables = f"the mapping tables (ledger_accounts.csv) or shops.{period.shop}.tolerances"
        return ", ".join(found) or f"{tables} are others now"
    names = {*signed_with.mapping_files, *now.mapping_files}
    others = [name for name in sorted(names) if signed_with.mapping_files.get(name) != now.mapping_files.get(name)]
    if others:
        found.append(f"the mapping tables ({', '.join(others)}) are others now")
    if signed_with.version != now.version:
        found.append(f"this is version {now.version} and it was signed with {signed_with.version}")
    return ", ".join(found) or "its rows in the lake are others now"


def _export(
    app: App,
    shop_names: Sequence[str],
    month: Month,
    out_dir: Path,
    periods: Mapping[str, Period],
    *,
    is_proven_anew: bool = False,
) -> Manifest:
    con = app.modelled()
    ensure_tables(app.lake, con)
    shops: list[Shop] = []
    results: dict[str, tuple[CheckResult, ...]] = {}
    made_with: list[MadeWith] = []
    for name in sorted(shop_names):
        period = periods[name]
        kept = _signed_pack(app, period)
        shop = _as_closed(app.shop(name), kept)
        shops.append(shop)
        proven = () if is_proven_anew else _signed_proofs(kept, name)
        results[name] = proven or _proofs(app, con, shop, month, signed(period))
        named = _signed_with(kept, name)
        is_named_anew = signed(period) is None or (is_proven_anew and not named)
        made_with += [_made_with(app, name)] if is_named_anew else named
        if not any(result.has_data for result in results[name]):
            raise BadArgument(
                f"month {month} of {name} holds no data: 'reconcile --month {month}' makes it, 'sync' or 'backfill' reads it"
            )
    stage_words(con, app.mappings, shops)  # the pack is worded by them
    return export(
        app.lake,
        con,
        shop_names,
        month,
        out_dir,
        accounts=app.mappings.ledger_accounts,
        periods=periods,
        results=results,
        date_formats=_date_formats(app),
        made_with=made_with,
    )


def _date_formats(app: App) -> dict[str, str]:
    return dict(app.settings.journals.date_format)


def _made_with(app: App, shop_name: str) -> MadeWith:
    """Return what a pack of a shop is made with now."""
    shop = app.shop(shop_name)
    return MadeWith(
        shop_name,
        version("marketplace-returns"),
        app.mappings.version,
        app.mappings.files,
        _date_formats(app),
        shop.tolerances.in_words(shop.currency),
    )


def _as_closed(shop: Shop, kept: Manifest | None) -> Shop:
    """Return a shop with the tolerances that its month was closed with: those of now where no pack of a signed month is kept."""
    if kept is None:
        return shop
    # A pack that names none was written when there was no such setting.
    named = [each.tolerances for each in _signed_with(kept, shop.name)]
    return shop.model_copy(update={"tolerances": Tolerances.model_validate(named[0] if named else {})})


def _signed_with(kept: Manifest | None, shop_name: str) -> list[MadeWith]:
    """Return what a signed month was made with as its kept pack names it; nothing where that is older, or there is none."""
    return [] if kept is None else [each for each in kept.made_with if each.shop == shop_name]


def _signed_proofs(kept: Manifest | None, shop_name: str) -> tuple[CheckResult, ...]:
    """Return the proofs of a signed month as its kept pack has them; none where there is none.

    Writes and settings are not in the lake: proven again, a month that nobody changed could read otherwise.
    """
    return () if kept is None else tuple(as_it_was(proof) for proof in kept.proofs if proof.shop == shop_name)


def _signed_pack(app: App, period: Period) -> Manifest | None:
    """Return the manifest of a signed month's kept pack; None where that is not there, or not what was signed."""
    if signed(period) is None:
        return None
    try:
        manifest = msgspec.json.decode(kept_manifest(app.settings.data_dir, period), type=Manifest)
    except msgspec.MsgspecError:
        return None
    return manifest if content_hash(manifest) == period.manifest_hash else None


def _proofs(
    app: App, con: DuckDBPyConnection, shop: Shop, month: Month, kept: SignedMonth | None
) -> tuple[CheckResult, ...]:
    """Prove a month, a signed one on the lake as it was when it was closed."""
    intents = app.ledger.intent_batches(shop.name, INTENTS, INTENT_KINDS)
    by_hand = _closed_by_hand(app, shop.name)
    if kept is None:
        stage(con, intents, app.mappings, [shop])
        return explain(con, shop, month, check_month(con, shop, month), by_hand)
    then = app.lake.connect(version=kept.lake_version)
    try:
        app.attach_model(then)
        stage(then, intents, app.mappings, [shop])
        return explain(then, shop, month, check_month(then, shop, month), by_hand)
    except (duckdb.CatalogException, duckdb.BinderException) as younger:
        raise ContractBroken(
            f"{month} of {shop.name} was closed when the lake had not all that is proven now, and cannot be proven as it was closed: "
            f"close it again, or put its pack back into {evidence(app, shop.name, month)} where it was signed",
            system="lake",
            operation="prove",
        ) from younger
    finally:
        then.close()


def _person(by: str) -> str:
    name = " ".join(by.split())
    if not name:
        raise BadArgument("--by needs the name of a person")
    return name


def reviewed(app: App, closed: ClosedMonth) -> tuple[dict[str, TableView], Metrics]:
    """Return what the pages of a month that was just made show, by table, and its reviewer metrics."""
    shop, month = closed.result.shop, closed.result.month
    show_month(app.con, [shop], month, {shop: app.ledger.period(shop, month)})
    drawn = month_pictures(app.con, shop, month)
    views = {table.name: _view(app.con, table, drawn.get(table.name, b"")) for table in PACK_TABLES}
    return views, month_metrics(app.con, shop, month)


def months_before(app: App, shop_name: str, month: Month) -> list[MonthBefore]:
    """Return the months of a shop that were closed before one, the newest first: how long each took, and what was posted against it since."""
    zone = app.shop(shop_name).time_zone
    since = adjusted_since(app.con, shop_name, month)
    return [
        MonthBefore(
            each.month,
            each.state,
            days_after(each.month, zone, each.prepared_at),
            days_after(each.month, zone, each.approved_at),
            tuple(posted for posted in since if posted.original_month == str(each.month)),
        )
        for each in reversed(app.ledger.periods(shop_name))
        if each.month < month and each.state is not PeriodState.OPEN
    ][:MONTHS_BEFORE_MAX]


def view_of(app: App, closed: ClosedMonth, name: str) -> TableView:
    """Return what the page of one table shows, without its picture."""
    show_month(app.con, [closed.result.shop], closed.result.month, {})
    return _view(app.con, next(table for table in PACK_TABLES if table.name == name), b"")


def unread_streams(app: App, shop_name: str, month: Month) -> list[str]:
    """Return the streams a month rests on that were not read past its end yet; empty when the month can be closed."""
    shop = app.shop(shop_name)
    _, end = month_bounds(month, shop.time_zone)
    read_at = {stream: at for stream, (_, at) in app.ledger.cursors(shop.name).items()}
    return [
        stream.name
        for stream in streams_of(shop)
        if stream.reads is Reads.WINDOW
        and stream.name not in _BESIDE_MONTHS
        and (stream.name not in read_at or read_at[stream.name] < end)
    ]


def _view(con: DuckDBPyConnection, pack_table: PackTable, picture: bytes) -> TableView:
    """Return the first rows as the pack has them, those whose code needs a person before the matched ones."""
    shown = (("shop", "shop"), ("currency", "currency"), *pack_table.columns)
    matched = ", ".join(f"'{code}'" for code in pack_table.matched_codes)
    order = [f"t.{pack_table.code_column} IN ({matched})"] if matched else []
    order += [f"t.{column}" for column in pack_table.order_by]
    found = con.execute(
        f"SELECT {', '.join(f't.{column}' for _, column in shown)} FROM ({pack_query(pack_table)}) AS t "
        f"ORDER BY {', '.join(order)} LIMIT {SAMPLE_ROWS}"
    )
    return TableView(
        columns=tuple(name for name, _ in shown),
        kinds={name: kind_of(pack_table, column) for name, column in pack_table.columns},
        rows=found.fetchall(),
        picture=picture,
    )
