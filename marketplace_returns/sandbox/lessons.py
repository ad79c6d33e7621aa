"""Troubles to practise on: each is caused in the world, and the part of its cure that lies outside the product can be done in it.

Here: all of them by the exception type they lead to, and which were caused in a world. Not here: a trouble (``lessons_of_orders``,
``_returns``, ``_money``, ``_sources``), the exception, which the product must find by itself, nor what a person does in the product.
Invariant: cause and cure go through the same books as the real thing.
"""

from __future__ import annotations

from typing import Final

from marketplace_returns.sandbox import lessons_of_money, lessons_of_orders, lessons_of_returns, lessons_of_sources
from marketplace_returns.sandbox.gate import Gate
from marketplace_returns.sandbox.lesson import Lesson, Room, Stage
from marketplace_returns.sandbox.world import World

LESSONS: Final[dict[str, Lesson]] = {
    **lessons_of_orders.LESSONS,
    **lessons_of_returns.LESSONS,
    **lessons_of_money.LESSONS,
    **lessons_of_sources.LESSONS,
}

About = dict[str, str]


class Classroom:
    """The troubles of one world: which were caused, and about what."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.world = world
        self.gate = gate
        self.rooms: dict[str, Room] = {}

    def cause(self, stage: str) -> dict[str, About]:
        """Do what a stage of every trouble asks for, and return what each of them is about so far.

        Raises ValueError for an unknown stage, or where the world holds nothing to cause a trouble on.
        """
        if stage not in Stage.__members__:
            raise ValueError(f"'{stage}' is no stage: use one of {', '.join(Stage.__members__)}")
        for name, lesson in LESSONS.items():
            act = lesson.acts.get(Stage[stage])
            if act is None:
                continue
            room = self.rooms.setdefault(name, Room(self.world, self.gate))
            try:
                act(room)
            except Exception as failed:
                raise ValueError(f"{name} cannot be caused: {failed}") from failed
        return {name: dict(room.about) for name, room in self.rooms.items()}

    def outside(self, name: str) -> str:
        """Do what is done about a trouble in another system and say it; raises ValueError where nothing is."""
        if name not in LESSONS:
            raise ValueError(f"'{name}' cannot be practised here: use one of {', '.join(LESSONS)}")
        lesson = LESSONS[name]
        if lesson.outside is None:
            raise ValueError(f"{name} is cured in the product alone: nothing is to be done in another system")
        if name not in self.rooms:
            raise ValueError(f"{name} was not caused in this world")
        lesson.outside(self.rooms[name])
        return lesson.outside_words
