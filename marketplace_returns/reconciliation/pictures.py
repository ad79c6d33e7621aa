"""Pictures of a closed month for the people who read it: PNG bytes, each under 100 kB.

Here: drawing what the month-end tables hold. Not here: figures of its own; a picture shows table rows and nothing else.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from marketplace_returns.money import to_decimal
from marketplace_returns.periods import Month

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BYTES_MAX: Final = 100_000
_UP, _DOWN, _LEVEL = "#3a7d44", "#b23a48", "#33527a"


def month_pictures(con: DuckDBPyConnection, shop: str, month: Month) -> dict[str, bytes]:
    """Return the pictures of a closed month by the table they show."""
    return {
        "control_roll_forward": payout_waterfall(con, shop, month),
        "refund_three_way": refunds_by_verdict(con, shop, month),
    }


def payout_waterfall(con: DuckDBPyConnection, shop: str, month: Month) -> bytes:
    """Draw the control account from opening to closing, one bar per component, in the shop's first currency."""
    rows = con.execute(
        """SELECT currency, component, amount_minor FROM lake.recon.control_roll_forward
        WHERE shop = $shop AND month = $month
            AND currency = (SELECT min(currency) FROM lake.recon.control_roll_forward WHERE shop = $shop AND month = $month)
        ORDER BY row_no""",
        {"shop": shop, "month": str(month)},
    ).fetchall()
    figure, axes = _figure(f"{shop}: marketplace control account, {month}")
    level = 0.0
    for place, (currency, component, amount_minor) in enumerate(rows):
        amount = float(to_decimal(amount_minor, currency))  # a picture is not money: it may be a float
        if component in {"opening", "closing"}:
            axes.bar(place, amount, color=_LEVEL)
            level = amount
        else:
            axes.bar(place, amount, bottom=level, color=_UP if amount >= 0 else _DOWN)
            level += amount
    _captions(axes, [row[1] for row in rows])
    axes.set_ylabel(rows[0][0] if rows else "no data")
    axes.axhline(0, color="black", linewidth=0.6)
    return _png(figure)


def refunds_by_verdict(con: DuckDBPyConnection, shop: str, month: Month) -> bytes:
    """Draw how many refunds of the month have each verdict (logarithmic, so that a single variance shows)."""
    rows = con.execute(
        """SELECT verdict, count(*) FROM lake.recon.refund_three_way
        WHERE shop = $shop AND month = $month GROUP BY verdict ORDER BY count(*) DESC, verdict""",
        {"shop": shop, "month": str(month)},
    ).fetchall()
    figure, axes = _figure(f"{shop}: refunds by verdict, {month}")
    for place, (verdict, count) in enumerate(rows):
        colour = _UP if verdict == "MATCHED" else _LEVEL if verdict.startswith("TIMING") else _DOWN
        axes.bar(place, count, color=colour)
        axes.annotate(str(count), (place, count), ha="center", va="bottom", fontsize=8)
    if rows:
        axes.set_yscale("log")
    _captions(axes, [row[0] for row in rows])
    axes.set_ylabel("refunds" if rows else "no data")
    return _png(figure)


def _figure(title: str) -> tuple[Figure, Axes]:
    # Two seconds of a processor that only a close should pay, and every run's start otherwise would.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 4.5), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _captions(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=8)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the library's version in it, the same rows give the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    drawn = buffer.getvalue()
    assert len(drawn) < BYTES_MAX, f"a picture of {len(drawn)} bytes is too large for asset metadata"  # noqa: S101
    return drawn
