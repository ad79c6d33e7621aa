"""``sync`` and ``backfill``: a pass now, and reading days again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from marketplace_returns.cli.context import day_of, opened, run_id, shops
from marketplace_returns.cli.output import Output, as_json_text, table
from marketplace_returns.errors import BadArgument, SourceError
from marketplace_returns.lake.pull import PullResult
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.inbox import InboxReport, drain_inbox
from marketplace_returns.orchestration.pulling import pull_stream
from marketplace_returns.orchestration.streams import Reads, streams_of
from marketplace_returns.orchestration.sync import (
    PassReport,
    extend_model,
    is_of_whole_source,
    run_pass,
    with_mend,
)
from marketplace_returns.periods import day_bounds

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
ShopOption = Annotated[str | None, typer.Option("--shop", help="Only this shop; all of them otherwise.")]
DAYS_MAX: Final = 400
SHOWN_MAX: Final = 20


def sync(
    shop: ShopOption = None,
    lane: Annotated[list[str] | None, typer.Option("--lane", help="Only this lane; may be given again.")] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Decide and show every write, send none.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Do one full pass of the lanes now: pull, validate, decide, push, verify."""
    output = Output(as_json=as_json)
    reports: list[PassReport] = []
    drained: list[InboxReport] = []
    with opened() as app:
        for name in shops(app, shop):
            with output.progress(name) as step:
                step("webhooks: reading again what they told of", None)
                drained.append(drain_inbox(app, name, run_id=run_id("webhooks")))
                reports.append(
                    run_pass(
                        app,
                        name,
                        run_id=run_id("sync"),
                        lanes=lane or None,
                        shadow=shadow,
                        everything=app.shop(name).is_sandbox,
                        on_progress=lambda words, step=step: step(words, None),  # type: ignore[misc]
                    )
                )
    document = {"passes": [_document(*pair) for pair in zip(reports, drained, strict=True)]}
    output.show(document, lambda page: _render(page, reports, drained))
    left = any(report.critical_open or not report.is_complete for report in reports)
    left = left or any(inbox.failures for inbox in drained) or any(report.sent.held for report in reports)
    return 1 if left else 0


def backfill(
    first: Annotated[str, typer.Option("--from", help="First day, such as 2026-10-01.")],
    last: Annotated[str, typer.Option("--to", help="Last day, such as 2026-10-31.")],
    shop: ShopOption = None,
    as_json: JsonOption = False,
) -> int:
    """Read the sources again for some days and rebuild; never writes to an outside system."""
    output = Output(as_json=as_json)
    from_day, to_day = day_of("--from", first), day_of("--to", last)
    if to_day < from_day:
        raise BadArgument(f"--to {last} is before --from {first}: swap them")
    if (to_day - from_day).days > DAYS_MAX:
        raise BadArgument(f"--from {first} --to {last} is more than {DAYS_MAX} days: read them in parts")
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    with opened() as app:
        for name in shops(app, shop):
            zone = app.shop(name).time_zone
            window = (day_bounds(from_day, zone)[0], day_bounds(to_day, zone)[1])
            with output.progress(name) as step:
                read = _read_again(app, name, window, failures, step=lambda words, step=step: step(words, None))
            rows += read
    output.show(
        {"from": first, "to": last, "streams": rows, "failures": failures, "writes": 0},
        lambda page: render_read(page, f"Read again {first} to {last}; nothing was sent", rows, failures),
    )
    return 1 if failures else 0


def _read_again(
    app: App, shop: str, window: tuple[datetime, datetime], failures: list[dict[str, str]], step: Any
) -> list[dict[str, Any]]:
    """Read each stream that has windows once more, and number what is new; sends nothing.

    A source that cannot be read is added to ``failures`` and stops none of the others.
    """
    run = run_id("backfill")
    rows = []
    left_out: set[str] = set()
    for stream in streams_of(app.shop(shop)):
        if stream.reads is not Reads.WINDOW or stream.source in left_out:
            continue
        step(f"{stream.name}: reading")
        try:
            result = pull_stream(app, shop, stream, run_id=run, window=window, say=step)
        except SourceError as error:
            words = with_mend(app.shop(shop), stream.source, error)
            failures.append({"shop": shop, "stream": stream.name, "error": type(error).__name__, "message": words})
            if is_of_whole_source(error):
                left_out.add(stream.source)
            continue
        rows += read_rows(shop, [result])
    extend_model(app, shop, run_id=run)
    return rows


def read_rows(shop: str, pulls: Iterable[PullResult]) -> list[dict[str, Any]]:
    """Return what was read of a shop, a row for each stream."""
    return [
        {
            "shop": shop,
            "stream": result.stream,
            "objects": result.objects,
            "new": result.new,
            "rows": sum(result.rows.values()),
            "quarantined": result.quarantined,
        }
        for result in pulls
    ]


def render_read(page: Console, title: str, rows: list[dict[str, Any]], failures: list[dict[str, str]]) -> None:
    """Show what was read, and what could not be."""
    page.print(
        table(
            title,
            ("shop", "stream", "objects", "new", "rows changed", "set aside"),
            [(row["shop"], row["stream"], row["objects"], row["new"], row["rows"], row["quarantined"]) for row in rows],
            right=("objects", "new", "rows changed", "set aside"),
        )
    )
    for failure in failures:
        page.print(f"\n{failure['stream']} could not be read: {failure['message']}")


def _document(report: PassReport, drained: InboxReport) -> dict[str, Any]:
    return {
        "shop": report.shop,
        "run_id": report.run_id,
        "is_shadow": report.is_shadow,
        "pulls": [
            {
                "stream": pull.stream,
                "objects": pull.objects,
                "new": pull.new,
                "rows": pull.rows,
                "quarantined": pull.quarantined,
            }
            for pull in report.pulls
        ],
        "webhooks": {
            name: getattr(drained, name) for name in ("taken", "read", "gone", "unused", "waiting", "failures")
        },
        "failures": list(report.failures),
        "lanes": [
            {
                "lane": lane.lane,
                "considered": lane.considered,
                "planned": lane.planned,
                "new": lane.new,
                "exceptions": lane.exceptions,
                "shadow_writes": [
                    {"kind": plan.kind, "natural_key": plan.natural_key, "body": plan.body}
                    for plan in lane.decision.intents
                ]
                if report.is_shadow and lane.decision
                else [],
            }
            for lane in report.lanes
        ],
        "writes": [
            {"kind": kind, "state": state, "count": count}
            for (kind, state), count in sorted(report.sent.by_kind_and_state.items())
        ],
        "held": report.sent.held,
        "reflected": report.sent.seen.reflected,
        "exceptions_open": report.exceptions_open,
        "critical_open": report.critical_open,
    }


def _render(page: Console, reports: list[PassReport], drained: list[InboxReport]) -> None:
    for report, inbox in zip(reports, drained, strict=True):
        for failure in inbox.failures:
            page.print(f"\n{failure.stream}: webhooks wait, for it could not be read again: {failure.message}")
        shadow = " (shadow: nothing was sent)" if report.is_shadow else ""
        page.print(
            table(
                f"{report.shop}: lanes{shadow}",
                ("lane", "looked at", "wanted", "new", "exceptions"),
                [(lane.lane, lane.considered, lane.planned, lane.new, lane.exceptions) for lane in report.lanes],
                right=("looked at", "wanted", "new", "exceptions"),
            )
        )
        if report.is_shadow:
            page.print(
                table(
                    f"{report.shop}: would be written (first {SHOWN_MAX}; --json shows all)",
                    ("kind", "key", "body"),
                    [
                        (plan.kind, plan.natural_key, as_json_text(plan.body))
                        for lane in report.lanes
                        if lane.decision
                        for plan in lane.decision.intents
                    ][:SHOWN_MAX],
                    wrap=("body",),
                )
            )
        if report.sent.by_kind_and_state:
            page.print(
                table(
                    f"{report.shop}: writes",
                    ("kind", "state", "count"),
                    [(kind, state, count) for (kind, state), count in sorted(report.sent.by_kind_and_state.items())],
                    right=("count",),
                )
            )
        if report.sent.held:
            page.print(f"\nNothing was sent: {report.sent.held}.")
        for pull in report.pulls:
            if pull.quarantined:
                page.print(f"\n{pull.stream}: {pull.quarantined} set aside, because they are not of the agreed form.")
        for failure in report.failures:
            page.print(f"\n{failure.stream} could not be read: {failure.message}")
            if failure.left_out:
                page.print(f"Not asked for the same reason: {', '.join(failure.left_out)}.")
        where = " 'exceptions list' shows them." if report.exceptions_open else ""
        page.print(
            f"\n{report.shop}: {report.exceptions_open} exceptions open, {report.critical_open} of them critical.{where}"
        )
