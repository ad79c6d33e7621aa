"""Troubles with the systems themselves, to practise on.

Here: answers that do not come, or that cannot be read. Not here: anything of an order. Invariant: as ``lessons``; what is not answered is
nothing that another trouble needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from marketplace_returns.sandbox.faults import FaultRule
from marketplace_returns.sandbox.lesson import Act, Lesson, Room, Stage

RETRY_AFTER_S: Final = 1
"""A pass that asks for the list waits so long, and asks again some times."""


def _answer_with(stream: str, rule: FaultRule) -> Act:
    """Each call of an operation goes wrong in one way."""

    def act(room: Room) -> None:
        room.about["stream"] = stream
        room.gate.rules.append(replace(rule))

    return act


def _answer_again(operation: str) -> Act:
    def act(room: Room) -> None:
        room.gate.rules[:] = [rule for rule in room.gate.rules if rule.operation != operation]

    return act


def _take_right(room: Room) -> None:
    """The operator takes the right to read the account from the key."""
    room.about["stream"] = "mirakl/platform"
    room.world.config = replace(room.world.config, forbidden_operations=("A01",))


def _give_right(room: Room) -> None:
    room.world.config = replace(room.world.config, forbidden_operations=())


LESSONS: Final[dict[str, Lesson]] = {
    "SOURCE_STALE": Lesson(
        {Stage.NOW: _answer_with("mirakl/invoice", FaultRule("http_500_before", operation="IV01"))},
        "the marketplace mends its invoices",
        _answer_again("IV01"),
    ),
    "SCHEMA_CHANGED": Lesson(
        {Stage.NOW: _answer_with("mirakl/carrier", FaultRule("other_shape", operation="SH21"))},
        "the marketplace takes its change back",
        _answer_again("SH21"),
    ),
    "RATE_LIMITED": Lesson(
        {
            Stage.NOW: _answer_with(
                "mirakl/reason", FaultRule("http_429", operation="RE01", retry_after_s=RETRY_AFTER_S)
            )
        },
        "the other program that uses the key gets a key of its own",
        _answer_again("RE01"),
    ),
    "AUTH_FAILED": Lesson({Stage.NOW: _take_right}, "the operator gives the key its right back", _give_right),
}
