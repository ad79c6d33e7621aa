"""Pictures of a closed month for the people who read it: PNG bytes, each under 100 kB.

Here: drawing what the month-end tables hold. Not here: figures of its own; a picture shows table rows and nothing else, those of
``pack.show_month``, and one currency: that of most rows.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.money import exponent, to_decimal
from marketplace_returns.periods import Month
from marketplace_returns.reconciliation.invariants import counted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BYTES_MAX: Final = 100_000
_UP, _DOWN, _LEVEL = "#3a7d44", "#b23a48", "#33527a"
_BUCKETS: Final = ("0-7", "8-14", "15-30", "31-60", "61-90", ">90")
_STAGES: Final = {
    "received, not refunded": _DOWN,
    "requested, not paid yet": _LEVEL,
    "paid, not booked yet": "#7f9cc0",
    "booked, and differs": "#d9a441",
}
"""How far a refund that is not matched has come, and its colour."""
_ENDS: Final = ("opening", "closing")
_SEEN_FROM: Final = 0.005
"""Smaller than this share of the largest amount, a bar is a line."""
_BARS_MIN: Final = 5
"""A picture has room for so many bars, lest a single one fill it."""
_CODES_MAX: Final = 20
_THOUSANDS: Final = "{x:,.0f}"
_PLAIN: Final = "{x:,.15g}"


def month_pictures(con: DuckDBPyConnection, shop: str, month: Month) -> dict[str, bytes]:
    """Return the pictures of a closed month by the table they stand beside; ``pack.show_month`` comes first."""
    drawn: dict[str, Callable[[DuckDBPyConnection, str, Month], bytes]] = {
        "control_roll_forward": payout_waterfall,
        "refund_three_way": refunds_by_verdict,
        "refund_accrual_bridge": refunds_by_age_and_stage,
        "returns_by_week": returns_by_week,
        "aged_unmatched": variance_by_code,
    }
    return {table: draw(con, shop, month) for table, draw in drawn.items()}


def payout_waterfall(con: DuckDBPyConnection, shop: str, month: Month) -> bytes:
    """Draw the control account from opening to closing, one bar per component."""
    currency, rows = _rows(con, shop, "control_roll_forward", "component, amount_minor", "row_no")
    figure, axes = _figure(f"{shop}: what the marketplace owes, from opening to closing, {month}")
    bars = _told_apart([(component, _major(amount_minor, currency)) for component, amount_minor in rows])
    level, levels = 0.0, [0.0]
    for place, (component, amount) in enumerate(bars):
        below, level = (0.0, amount) if component in _ENDS else (level, level + amount)
        colour = _LEVEL if component in _ENDS else _UP if amount >= 0 else _DOWN
        axes.bar(place, level - below, bottom=below, color=colour)
        axes.plot([place - 0.4, place + 1.4], [level, level], color="grey", linewidth=0.5)
        axes.annotate(_short(amount, currency), (place, max(below, level)), ha="center", va="bottom", fontsize=7)
        levels.append(level)
    _captions(axes, [component for component, _ in bars])
    _finish(axes, currency, is_money=True)
    room = 0.08 * (max(levels) - min(levels)) or 1
    axes.set_ylim(min(levels) - room, max(levels) + room)
    axes.set_xlim(-0.6, max(len(bars), 1) - 0.4)
    if rows:
        axes.axhline(0, color="black", linewidth=0.6)
    return _png(figure, is_empty=not rows)


def _told_apart(rows: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the bars of a waterfall in the order in which people think, those too small to be seen as one."""
    largest = max((abs(amount) for _, amount in rows), default=0.0)
    moved = [row for row in rows if row[0] not in _ENDS and row[1]]
    small = [row for row in moved if abs(row[1]) < _SEEN_FROM * largest]
    large = sorted(
        (row for row in moved if row not in small), key=lambda row: (row[0] == "payout", row[1] < 0, -abs(row[1]))
    )
    if len(small) > 1:
        small = [(f"{len(small)} smaller ones", sum(amount for _, amount in small))]
    paid = [row for row in large if row[0] == "payout"]
    ends = dict(row for row in rows if row[0] in _ENDS)
    opening, closing = ([(end, ends[end])] if end in ends else [] for end in _ENDS)
    return [*opening, *large[: len(large) - len(paid)], *small, *paid, *closing]


def refunds_by_verdict(con: DuckDBPyConnection, shop: str, month: Month) -> bytes:
    """Draw how many refunds of the month have each verdict (logarithmic, so that a single variance shows)."""
    rows = con.execute(
        """SELECT verdict, count(*) FROM shown_refund_three_way
        WHERE shop = $shop GROUP BY verdict ORDER BY count(*) DESC, verdict""",
        {"shop": shop},
    ).fetchall()
    figure, axes = _figure(f"{shop}: refunds by verdict, {month}")
    for place, (verdict, count) in enumerate(rows):
        colour = _UP if verdict == "MATCHED" else _LEVEL if verdict.startswith("TIMING") else _DOWN
        axes.bar(place, count, color=colour)
        axes.annotate(str(count), (place, count), ha="center", va="bottom", fontsize=8)
    if rows:
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(_PLAIN)
        axes.set_ylim(0.5, 2 * max(count for _, count in rows))
    _captions(axes, [row[0] for row in rows])
    axes.set_xlim(-0.6, max(len(rows), _BARS_MIN) - 0.4)
    _finish(axes, "refunds, logarithmic")
    return _png(figure, is_empty=not rows)


def refunds_by_age_and_stage(con: DuckDBPyConnection, shop: str, month: Month) -> bytes:
    """Draw the refunds that are not matched at the month's end by their age, and by how far they have come."""
    rows = con.execute(
        """SELECT
            a.bucket,
            CASE
                WHEN w.refund_id IS NULL AND w.intended_amount_minor IS NULL THEN 'received, not refunded'
                WHEN w.verdict = 'TIMING_REFUND_PENDING' THEN 'requested, not paid yet'
                WHEN w.settled_amount_minor IS NULL THEN 'paid, not booked yet'
                ELSE 'booked, and differs'
            END AS stage,
            count(*)
        FROM shown_aged_unmatched AS a
        INNER JOIN shown_refund_three_way AS w
            ON w.shop = a.shop AND w.currency = a.currency AND w.match_key = a.reference AND w.verdict = a.kind
        WHERE a.shop = $shop
        GROUP BY ALL""",
        {"shop": shop},
    ).fetchall()
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for bucket, stage, count in rows:
        counted[bucket, stage] += count
    figure, axes = _figure(f"{shop}: refunds not matched at the end of {month}, by age and stage", bottom=0.1)
    level = [0] * len(_BUCKETS)
    for stage, colour in _STAGES.items():
        heights = [counted[bucket, stage] for bucket in _BUCKETS]
        if any(heights):
            axes.bar(range(len(_BUCKETS)), heights, bottom=level, color=colour, label=stage)
        level = [below + height for below, height in zip(level, heights, strict=True)]
    for place, total in enumerate(level):
        if total:
            axes.annotate(str(total), (place, total), ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(_BUCKETS)), [f"{bucket} days" for bucket in _BUCKETS], fontsize=8)
    if rows:
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.set_ylim(0, 1.1 * max(*level, 1))
    _finish(axes, "refunds", is_counted=True)
    return _png(figure, is_empty=not rows)


def returns_by_week(con: DuckDBPyConnection, shop: str, month: Month) -> bytes:
    """Draw, per week of the month, the units returned per unit sold, and how long customers waited for their money."""
    columns = "week, sold_quantity, returned_quantity, hours_to_refund"
    _, rows = _rows(con, shop, "returns_by_week", columns, "week")
    figure, axes = _figure(f"{shop}: returns and time to refund by week, {month}", bottom=0.1)
    weeks = [f"from {week:%d %b}" for week, *_ in rows]
    rates = [100 * returned / sold if sold else 0.0 for _, sold, returned, _ in rows]
    axes.bar(range(len(rows)), rates, color=_LEVEL, width=0.6, label="returned per 100 sold (left)")
    for place, rate in enumerate(rates):
        axes.annotate(f" {rate:.0f}", (place, 0), ha="center", va="bottom", fontsize=8, color="white")
    axes.set_xticks(range(len(weeks)), weeks, fontsize=8)
    _finish(axes, "units returned per 100 sold")
    waited = [(place, hours / 24) for place, (*_, hours) in enumerate(rows) if hours is not None]
    beside = axes.twinx()
    beside.spines[["top", "left"]].set_visible(False)
    beside.plot(
        [place for place, _ in waited],
        [days for _, days in waited],
        color=_DOWN,
        marker="o",
        label="days to refund (right)",
    )
    beside.tick_params(axis="y", labelsize=8, labelcolor=_DOWN)
    beside.set_ylabel("mean days from announcement to refund", fontsize=8, color=_DOWN)
    beside.set_ylim(bottom=0, top=max((days for _, days in waited), default=1) * 1.4 or 1)
    axes.set_ylim(top=(max(rates, default=1) or 1) * 1.4)
    if rows:
        handles = [*axes.get_legend_handles_labels()[0], *beside.get_legend_handles_labels()[0]]
        axes.legend(handles=handles, frameon=False, fontsize=8, loc="upper left", ncols=2)
    return _png(figure, is_empty=not rows)


def variance_by_code(con: DuckDBPyConnection, shop: str, month: Month) -> bytes:
    """Draw the amount that is not matched by variance code, with the count of rows beside it."""
    currency, rows = _rows(
        con,
        shop,
        "aged_unmatched",
        "kind, CAST(sum(abs(amount_minor)) AS BIGINT) AS amount, count(*)",
        "amount DESC, kind",
        group_by="kind",
    )
    shown = rows[:_CODES_MAX]
    if rest := rows[_CODES_MAX:]:
        shown.append((f"{len(rest)} more", sum(row[1] for row in rest), sum(row[2] for row in rest)))
    shown.reverse()
    least = _major(1, currency) if rows else 1.0  # a logarithm has no zero
    figure, axes = _figure(f"{shop}: not matched at the end of {month}, by variance code", left=0.27, bottom=0.13)
    for place, (code, amount_minor, count) in enumerate(shown):
        amount = _major(amount_minor, currency)
        axes.barh(place, max(amount, least), color=_LEVEL if code.startswith(("TIMING", "PAYOUT_OPEN")) else _DOWN)
        axes.annotate(
            f" {_short(amount, currency)} in {counted(count, 'row')}",
            (max(amount, least), place),
            va="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(shown)), [row[0] for row in shown], fontsize=7)
    axes.set_ylim(-0.6, max(len(shown), _BARS_MIN) - 0.4)
    if rows:
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xlim(least / 2, 30 * max(_major(shown[-1][1], currency), least))
    axes.set_xlabel(f"{currency} without signs, logarithmic", fontsize=8)
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.tick_params(axis="x", labelsize=8)
    return _png(figure, is_empty=not rows)


def _rows(
    con: DuckDBPyConnection, shop: str, table: str, columns: str, order_by: str, *, group_by: str = ""
) -> tuple[str, list[tuple[Any, ...]]]:
    """Return the currency that most of a table's rows are in, and those rows."""
    found = con.execute(
        f"SELECT currency FROM shown_{table} WHERE shop = ? GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1",
        [shop],
    ).fetchone()
    currency = found[0] if found else ""
    grouped = f"GROUP BY {group_by}" if group_by else ""
    query = f"SELECT {columns} FROM shown_{table} WHERE shop = ? AND currency = ? {grouped} ORDER BY {order_by}"
    return currency, con.execute(query, [shop, currency]).fetchall()


def _major(amount_minor: int, currency: str) -> float:
    return float(to_decimal(amount_minor, currency))  # a picture is not money: it may be a float


def _short(amount: float, currency: str) -> str:
    return f"{amount:,.0f}" if abs(amount) >= 10 else f"{amount:,.{exponent(currency)}f}"


def _figure(title: str, *, left: float = 0.09, bottom: float = 0.3) -> tuple[Figure, Axes]:
    """Return an empty picture; margins are given, for to fit them to the captions is to draw everything twice."""
    # Two seconds of a processor that only a close should pay, and every run's start otherwise would.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 4.5), dpi=80)
    figure.subplots_adjust(left=left, right=0.93, top=0.92, bottom=bottom)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _captions(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=8)


def _finish(axes: Axes, unit: str, *, is_money: bool = False, is_counted: bool = False) -> None:
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    if is_money:
        axes.yaxis.set_major_formatter(_THOUSANDS)
    if is_counted:
        axes.locator_params(axis="y", integer=True)


def _png(figure: Figure, *, is_empty: bool) -> bytes:
    if is_empty:
        for axes in figure.axes:
            axes.set_axis_off()
        figure.text(0.5, 0.5, "Nothing in this month", ha="center", color="grey", fontsize=11)
    buffer = io.BytesIO()
    # Without the library's version in it, the same rows give the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    drawn = buffer.getvalue()
    assert len(drawn) < BYTES_MAX, f"a picture of {len(drawn)} bytes is too large for asset metadata"  # noqa: S101
    return drawn
