"""The cases of a training: what is open to practise on, whose it is, where to look, and which steps end it.

Here: the steps that a trainee takes in the product, the mistakes in the mapping tables, the list and its page. Not here: the troubles
(the sandbox makes them), making the training. The invariant: each case is an exception that the product found by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.exceptions import OpenException

SYNC: Final = "marketplace-returns sync"
DAILY: Final = "marketplace-returns training daily"
RETRY: Final = 'marketplace-returns exceptions retry ID --by "Your Name" --note "what was done"'
RESOLVE: Final = 'marketplace-returns exceptions resolve ID --by "Your Name" --note "what was done"'
CLOSE: Final = "marketplace-returns reconcile --month MONTH"

MISTAKES: Final[Mapping[str, tuple[str, ...]]] = {
    "carriers": ("peoplevox,Heron Couriers,HERON,Heron Couriers,",),
    "reasons": (
        "mirakl,RETURN_COLOUR_FADES,create_return,reveni,other,,",
        "mirakl,RETURN_COLOUR_FADES,refund,mirakl_refund,999,,",
    ),
}
"""Rows of the training's mapping tables that are there to be wrong, or belong to one that is."""


@dataclass(frozen=True, slots=True)
class Cure:
    """What a trainee does in the product: a row that is added to a table, or mended there, and then these commands."""

    commands: tuple[str, ...] = (SYNC,)
    table: str = ""
    row: str = ""
    instead_of: str = ""


_MENDED_AND_TRIED: Final = Cure((RETRY, SYNC))
_EXPLAINED: Final = Cure((RESOLVE,))
_REFUNDED: Final = Cure((SYNC, SYNC))

CURES: Final[Mapping[str, Cure]] = {
    "WMS_ORDER_FAILED": _MENDED_AND_TRIED,
    "SKU_AUDIT_DIFF": Cure((SYNC, DAILY)),
    "DESPATCH_UNMAPPED_CARRIER": Cure(table="carriers", row="peoplevox,Pigeon Post,DPDUK,DPD UK,"),
    "DESPATCH_REJECTED": Cure(
        table="carriers", row="peoplevox,Heron Couriers,DPDUK,DPD UK,", instead_of=MISTAKES["carriers"][0]
    ),
    "CANCEL_RACE": _EXPLAINED,
    "RETURN_WAITING_ORDER": Cure((SYNC, SYNC)),
    "REASON_UNMAPPED": Cure(table="reasons", row="mirakl,RETURN_ARRIVED_TOO_LATE,create_return,reveni,other,,"),
    "ASN_MISSING": _MENDED_AND_TRIED,
    "REFUND_DUE_SOON": _REFUNDED,
    "REFUND_OVERDUE": _REFUNDED,
    "ENUM_NEW": Cure((DAILY,), table="statuses", row="reveni,under_way,in_transit"),
    "REFUND_CONFLICT": _MENDED_AND_TRIED,
    "REFUND_REJECTED_BALANCE": _MENDED_AND_TRIED,
    "REFUND_REJECTED_PERMISSION": _MENDED_AND_TRIED,
    "REFUND_REJECTED_TAX": _MENDED_AND_TRIED,
    "REFUND_REJECTED_REASON": Cure(
        table="reasons",
        row="mirakl,RETURN_COLOUR_FADES,refund,mirakl_refund,17,,",
        instead_of=MISTAKES["reasons"][1],
    ),
    "REFUND_MANUAL_ADOPTED": _EXPLAINED,
    "REFUND_OVER_CAP": _EXPLAINED,
    "PAYOUT_VARIANCE": Cure((SYNC, CLOSE)),
    "TL_UNMAPPED_TYPE": Cure((CLOSE,), table="transaction_types", row="PACKAGING_FEE,penalty,-1,marketplace_penalties"),
    "PERIOD_LATE_ITEM": _EXPLAINED,
}
"""The types that take more than a pass once it is done elsewhere what there is to do."""


class Case(msgspec.Struct, frozen=True):
    """A trouble to practise on and the exception that it led to, of which ``exception_id`` is None once it has ended.

    ``ids`` are what the trouble is about, ``about`` what the exception says of it; the steps leave the exception's number open.
    """

    type: str
    owner: str
    playbook: str
    ids: dict[str, str]
    about: dict[str, str]
    message: str
    steps: list[str]
    exception_id: int | None = None

    @property
    def look_at(self) -> str:
        """What to look at: the order, or else whatever it is about."""
        return self.about.get("order_id") or ", ".join(self.about.values())

    @property
    def told_steps(self) -> list[str]:
        """The steps with the number of the exception in them."""
        return [step.replace(" ID ", f" {self.exception_id or 'ID'} ") for step in self.steps]

    def as_it_is(self, found: Iterable[OpenException]) -> Case:
        """Return it with the exception that is open of it now, which may be another than at first."""
        each = _of(self.type, self.ids, found)
        return replace(self, exception_id=None) if each is None else self.told_by(each)

    def told_by(self, each: OpenException) -> Case:
        """Return it with what an exception says."""
        about = {key: value for key, value in each.entity.items() if value}
        return replace(self, exception_id=each.exception_id, owner=each.owner, about=about, message=each.message)


def cases(
    lessons: Mapping[str, str], ids: Mapping[str, Mapping[str, str]], found: Sequence[OpenException], month: str
) -> list[Case]:
    """Return the case of every lesson, by owner and type; ``lessons`` says what is done about each in another system.

    Raises:
        BadArgument: the exception of a lesson is not open, so that there is nothing to practise on.
    """
    opened = {name: _of(name, ids.get(name, {}), found) for name in lessons}
    missing = [name for name, each in opened.items() if each is None]
    if missing:
        raise BadArgument(f"the training could not be made: {', '.join(missing)} did not open; start it again")
    made = [
        Case(name, each.owner, each.playbook, dict(ids[name]), {}, "", _steps(name, lessons[name], month)).told_by(each)
        for name, each in opened.items()
        if each is not None
    ]
    return sorted(made, key=lambda case: (case.owner, case.type))


def page(made: Iterable[Case]) -> str:
    """Write the cases as a page: each with its owner, what to look at, its playbook and its steps."""
    lines = ["# Cases of this training", "", "As it was made; how to work: docs/manual/training.md.", ""]
    owner = ""
    for case in made:
        if case.owner != owner:
            owner = case.owner
            lines += [f"## {owner.replace('_', ' ').capitalize()}", ""]
        lines += [f"### {case.type}: exception {case.exception_id}", "", case.message, ""]
        lines += [f"- Look at: {', '.join(f'{name} {value}' for name, value in case.about.items())}"]
        lines += [f"- Playbook: {case.playbook}", ""]
        lines += [*(f"{number}. {step}" for number, step in enumerate(case.told_steps, start=1)), ""]
    return "\n".join(lines)


def plant_mistakes(mappings: Path) -> None:
    """Write the mistaken rows into the training's mapping tables."""
    for table, rows in MISTAKES.items():
        path = mappings / f"{table}.csv"
        path.write_text("\n".join([path.read_text(encoding="utf-8").rstrip(), *rows, ""]), encoding="utf-8")


def _of(name: str, ids: Mapping[str, str], found: Iterable[OpenException]) -> OpenException | None:
    """Return the exception that a lesson led to: of its type, and about one of the things that it is about."""
    return next(
        (
            each
            for each in found
            if each.type == name and any(value in f"{each.entity} {each.message}" for value in ids.values())
        ),
        None,
    )


def _steps(name: str, outside: str, month: str) -> list[str]:
    cure = CURES.get(name, Cure())
    steps = [f"`marketplace-returns training outside {name}`: {outside}"] if outside else []
    if cure.instead_of:
        steps.append(f"In `data/training/mappings/{cure.table}.csv` write `{cure.row}` instead of `{cure.instead_of}`")
    elif cure.table:
        steps.append(f"Add to `data/training/mappings/{cure.table}.csv`: `{cure.row}`")
    return [*steps, *(f"`{command.replace('MONTH', month)}`" for command in cure.commands)]
