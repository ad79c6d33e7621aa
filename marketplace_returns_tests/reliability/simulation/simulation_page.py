"""The page's section of the simulator: how much was played, what went wrong meanwhile, and what that proves."""

from __future__ import annotations

from marketplace_returns_tests.reliability.page import table
from marketplace_returns_tests.reliability.simulation.play import ORDERS
from marketplace_returns_tests.reliability.simulation.sums import ON_DUCKLAKE_EVERY, Sums

_SECTION = """
## The simulator

The real clients, lake, model, lanes, ledger and executors against the sandbox in one process, under a virtual clock. One seed
decides all: the world, the passes, what goes wrong on the way, what people do meanwhile, and where a worker dies. After the
trouble has ended, passes come until nothing is due any more; then the sandbox's own truth is held against the ledger.
*Doubled*: made twice, or what may not be made. *Lost*: missing, and no open exception with an owner names it. *Unexplained*:
not at rest, in conflict without an owner, an attempt without an end, a refund that belongs to no write or to two.

{figures}

With no doubled refund in {refunds} refunds, at most one in {one_in} is doubled, at 95 % (rule of three: 3/n = {bound:.1e}), within what
is simulated.

### Writes

{writes}

### What went wrong

{trouble}

Every {ducklake_every}th seed is played on a real DuckLake, the others on tables of DuckDB's own under the same declarations and
transactions. `python -m marketplace_returns_tests.reliability simulation --seed 17` plays one seed alone and gives the same run.
"""


def section(sums: Sums) -> str:
    """Return the section of the simulator."""
    attempts, unknown = sums.total("attempts"), sums.total("unknown")
    refunds = sums.total("refunds")
    figures = [
        ("seeds", len(sums.results)),
        ("orders a seed, at most (some customers find nothing on the shelf)", ORDERS),
        ("orders", sums.total("orders")),
        ("attempts to write", attempts),
        (
            "of these without a clear answer (stock files that were just not done yet are not counted)",
            f"{unknown} ({ambiguous(sums):.1%})",
        ),
        ("refunds", refunds),
        ("**doubled**", sums.total("doubled")),
        ("**lost**", sums.total("lost")),
        ("**unexplained**", sums.total("unexplained")),
        ("left to a person, with an owner", sums.total("with_person")),
        ("lines on which a person refunded too, so that units cannot be told apart", sums.total("raced")),
        ("writes adopted", sums.total("adopted")),
        ("writes sent again", sums.total("sent_again")),
        ("passes", sums.total("passes")),
        ("deaths of a worker", sums.total("crashes")),
        (
            "virtual seconds until an unclear write was settled, p50 / p95 / p99",
            " / ".join(f"{sums.resolved_s(share):.0f}" for share in (0.5, 0.95, 0.99)),
        ),
        ("seconds of processor", round(sum(each.seconds for each in sums.results))),
    ]
    return _SECTION.format(
        figures=table(("what", "figure"), figures),
        refunds=f"{refunds:,}",
        one_in=f"{refunds // 3:,}",
        bound=bound(refunds),
        writes=table(("kind", "made"), sorted(sums.counted("writes").items())),
        trouble=table(("what", "times"), sorted(sums.counted("trouble").items())),
        ducklake_every=ON_DUCKLAKE_EVERY,
    )


def ambiguous(sums: Sums) -> float:
    """Return the share of attempts that ended without a clear answer."""
    return sums.total("unknown") / max(1, sums.total("attempts"))


def bound(refunds: int) -> float:
    """Return the rate of doubled refunds that is excluded at 95 % where none was seen (rule of three)."""
    return 3 / max(1, refunds)
