"""The crash grid as tables: the points, the faults, and what is done to a write in each cell.

Here live the two axes, the strikes and the reasons why a cell makes no sense. Not here: the writes (writes.py), playing a
cell (cell.py). Invariant: every cell of the grid is either a strike or a named reason, so none is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from marketplace_returns_tests.reliability.writes import WRITES, Write


class Point(StrEnum):
    """Where in the life of a write the trouble comes."""

    BEFORE_INTENT = "P0"
    BEFORE_SEND = "P1"
    MID_REQUEST = "P2"
    RECEIVED = "P3"
    EXECUTED = "P4"
    ANSWERED = "P5"
    COMMITTED = "P6"
    RUN_AGAIN = "P7"
    TWO_WORKERS = "P8"


POINTS = {
    Point.BEFORE_INTENT: "before the intent is committed",
    Point.BEFORE_SEND: "after the intent, before the first byte: at the pre-read, or when SENDING is committed",
    Point.MID_REQUEST: "half of the request has left",
    Point.RECEIVED: "the outside has the request and does not execute it",
    Point.EXECUTED: "executed, and the reply is lost",
    Point.ANSWERED: "the reply is here, and the process dies before it is committed",
    Point.COMMITTED: "the reply is committed, and the process dies before anything else",
    Point.RUN_AGAIN: "the whole job is run again twice at once, in the same second",
    Point.TWO_WORKERS: "two workers run the job at the same time",
}


class Fault(StrEnum):
    """What the trouble is."""

    CLEAN = "clean"
    SIGKILL = "sigkill"
    TIME_OUT = "time-out"
    RESET = "reset"
    HTTP_500_EXECUTED = "500-executed"
    HTTP_500_NOT_EXECUTED = "500-not-executed"
    HTTP_502_HTML = "502-html"
    HTTP_429 = "429"
    HTTP_429_BARE = "429-without-retry-after"
    TRUNCATED = "truncated-json"
    PARTIAL = "200-partial"
    DISK = "disk-or-lock"


FAULTS = {
    Fault.CLEAN: "nothing goes wrong",
    Fault.SIGKILL: "the process is killed",
    Fault.TIME_OUT: "no answer within the time-out",
    Fault.RESET: "the connection is reset",
    Fault.HTTP_500_EXECUTED: "500, though it was executed",
    Fault.HTTP_500_NOT_EXECUTED: "500, and nothing was executed",
    Fault.HTTP_502_HTML: "502 with a page of HTML",
    Fault.HTTP_429: "429 with Retry-After",
    Fault.HTTP_429_BARE: "429 without Retry-After",
    Fault.TRUNCATED: "200 whose JSON is cut in the middle",
    Fault.PARTIAL: "200 that refuses another write of the same call",
    Fault.DISK: "the ledger cannot be written: another process holds its lock (P0, P1, P6) or the disk is full (P5, P7, P8)",
}


@dataclass(frozen=True)
class Strike:
    """What is done in a cell.

    ``rule`` is the sandbox's fault on the write's call, ``looked`` the one on its pre-read; ``hook`` names what the worker
    does to itself (worker.py); ``is_killed`` kills the worker while the outside holds the call; ``with_other`` puts a write
    that the outside refuses into the same call; ``again`` runs the job again at once; ``workers`` run it together.
    """

    rule: str = ""
    looked: str = ""
    hook: str = ""
    is_killed: bool = False
    with_other: bool = False
    again: int = 0
    workers: int = 1


_WITHOUT_A_POINT = "the same run as P0 clean: where nothing strikes there is no point"
_NOTHING_CALLED = "nothing is called before the intent: lanes decide from the lake"
_ANSWER = "an answer comes to a whole request: that is P3 or P4"
_EXECUTED = "it is executed: that is P4"
_NOT_EXECUTED = "it is not executed: that is P3"
_REFUSED_429 = "a 429 says that nothing was executed: that is P3"
_NO_REPLY = "no reply is there to be committed: the process that dies then is P4 sigkill"
_LEDGER_RESTS = "the ledger writes nothing while the call is under way: what it cannot write after it is P5"
_CUT = "an answer that is cut is one to an executed call: that is P4"
_READ = "a read executes nothing"
_REPLY = {
    Fault.TIME_OUT: "timeout_after",
    Fault.RESET: "reset_after",
    Fault.HTTP_500_EXECUTED: "http_500_after",
    Fault.HTTP_500_NOT_EXECUTED: "http_500_before",
    Fault.HTTP_502_HTML: "http_502_html_after",
    Fault.HTTP_429: "http_429",
    Fault.HTTP_429_BARE: "http_429_no_retry_after",
    Fault.TRUNCATED: "truncated",
}
"""The sandbox's rule for each fault, the worse one where it is open whether the call was executed."""

_NOT_APPLIED = {"timeout_after": "timeout", "reset_after": "reset", "http_502_html_after": "http_502_html"}


def _strikes() -> dict[Point, dict[Fault, Strike | str]]:
    answers = {fault: Strike(rule=rule) for fault, rule in _REPLY.items()}
    looked = {fault: Strike(looked=_NOT_APPLIED.get(rule, rule)) for fault, rule in _REPLY.items()}
    held = (Fault.TIME_OUT, Fault.RESET)
    return {
        Point.BEFORE_INTENT: {
            **dict.fromkeys(Fault, _NOTHING_CALLED),
            Fault.CLEAN: Strike(),
            Fault.SIGKILL: Strike(hook="die_in_plan"),
            Fault.DISK: Strike(hook="lock_plan"),
        },
        Point.BEFORE_SEND: {
            **looked,
            Fault.HTTP_500_EXECUTED: _READ,
            Fault.PARTIAL: _READ,
            Fault.CLEAN: _WITHOUT_A_POINT,
            Fault.SIGKILL: Strike(hook="die_before_send"),
            Fault.DISK: Strike(hook="lock_begin"),
        },
        Point.MID_REQUEST: {
            **dict.fromkeys(Fault, _ANSWER),
            Fault.CLEAN: _WITHOUT_A_POINT,
            Fault.SIGKILL: Strike(hook="half_then_die"),
            Fault.TIME_OUT: Strike(hook="half_then_time_out"),
            Fault.RESET: Strike(hook="half_then_reset"),
            Fault.DISK: _LEDGER_RESTS,
        },
        Point.RECEIVED: {
            **answers,
            Fault.CLEAN: _WITHOUT_A_POINT,
            Fault.SIGKILL: Strike(rule="timeout", is_killed=True),
            Fault.TIME_OUT: Strike(rule="timeout"),
            Fault.RESET: Strike(rule="reset"),
            Fault.HTTP_500_EXECUTED: _EXECUTED,
            Fault.HTTP_502_HTML: Strike(rule="http_502_html"),
            Fault.TRUNCATED: _CUT,
            Fault.PARTIAL: Strike(with_other=True),
            Fault.DISK: _LEDGER_RESTS,
        },
        Point.EXECUTED: {
            **answers,
            Fault.CLEAN: _WITHOUT_A_POINT,
            Fault.SIGKILL: Strike(rule="timeout_after", is_killed=True),
            Fault.HTTP_500_NOT_EXECUTED: _NOT_EXECUTED,
            Fault.HTTP_429: _REFUSED_429,
            Fault.HTTP_429_BARE: _REFUSED_429,
            Fault.PARTIAL: Strike(rule="reset_after", with_other=True),
            Fault.DISK: _LEDGER_RESTS,
        },
        Point.ANSWERED: {
            **{fault: Strike(rule=rule, hook="die_before_commit") for fault, rule in _REPLY.items()},
            **dict.fromkeys(held, _NO_REPLY),
            Fault.CLEAN: _WITHOUT_A_POINT,
            Fault.SIGKILL: Strike(hook="die_before_commit"),
            Fault.PARTIAL: Strike(hook="die_before_commit", with_other=True),
            Fault.DISK: Strike(hook="disk_full"),
        },
        Point.COMMITTED: {
            **{fault: Strike(rule=rule, hook="die_after_commit") for fault, rule in _REPLY.items()},
            Fault.CLEAN: _WITHOUT_A_POINT,
            Fault.SIGKILL: Strike(hook="die_after_commit"),
            Fault.PARTIAL: Strike(hook="die_after_commit", with_other=True),
            Fault.DISK: Strike(hook="lock_after_commit"),
        },
        Point.RUN_AGAIN: {
            **{fault: Strike(rule=rule, again=2) for fault, rule in _REPLY.items()},
            Fault.CLEAN: Strike(again=2),
            Fault.SIGKILL: Strike(rule="timeout_after", is_killed=True, again=2),
            Fault.PARTIAL: Strike(with_other=True, again=2),
            Fault.DISK: Strike(hook="disk_full", again=2),
        },
        Point.TWO_WORKERS: {
            **{fault: Strike(rule=rule, workers=2) for fault, rule in _REPLY.items()},
            Fault.CLEAN: Strike(workers=2),
            Fault.SIGKILL: Strike(rule="timeout_after", is_killed=True, workers=2),
            Fault.PARTIAL: Strike(with_other=True, workers=2),
            Fault.DISK: Strike(hook="disk_full", workers=2),
        },
    }


STRIKES = _strikes()


@dataclass(frozen=True)
class Cell:
    """One cell: a write, a point and a fault."""

    write: Write
    point: Point
    fault: Fault

    @property
    def name(self) -> str:
        """Return what names the cell on the command line."""
        return f"{self.write.name}/{self.point}/{self.fault}"

    @property
    def strike(self) -> Strike | str:
        """Return what is done, or why the cell makes no sense for this write."""
        strike = STRIKES[self.point][self.fault]
        if isinstance(strike, str):
            return strike
        if strike.looked and not self.write.looks:
            return "this kind reads nothing before its first send"
        if strike.with_other and self.write.other is None:
            return "one call carries one write of this kind: it succeeds or fails as a whole"
        if strike.rule == "truncated" and self.write.is_answer_empty:
            return "the answer is empty: there is nothing to cut, and its loss is the cell of the reset"
        return strike


def cells() -> Iterator[Cell]:
    """Yield every cell of the grid, those that make no sense too, write by write."""
    for write in WRITES:
        for point in Point:
            for fault in Fault:
                yield Cell(write, point, fault)


def named(name: str) -> list[Cell]:
    """Return the cells whose name is, or begins with, ``write/point/fault``."""
    wanted = name.rstrip("/").split("/")
    return [cell for cell in cells() if cell.name.split("/")[: len(wanted)] == wanted]
