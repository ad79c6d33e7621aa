"""Where an order or a return stands, in one sentence a customer's adviser can read out, and what comes next by whom.

Here: the facts it is told from and the pure function over them. Not here: finding the facts (``lookup``), personal data. The
invariants: equal facts give equal words; every stage has a next step with an owner, or says that nothing is left to do; an
amount is told with its currency, a day in the shop's time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from marketplace_returns.ledger.states import DONE, State
from marketplace_returns.money import amount_text
from marketplace_returns.periods import local_day
from marketplace_returns.settings import WriteKind

CUSTOMER: Final = "customer"
CARRIER: Final = "carrier"
MARKETPLACE: Final = "marketplace"
NOBODY: Final = ""
HOLDING: Final = ("critical", "high")
"""How severe an exception must be to go before the step: the others are told beside it, unless nothing else is left to do."""
CLOCKS: Final = frozenset({"REFUND_DUE_SOON", "REFUND_OVERDUE"})
"""Exceptions that only say that time passes: what holds the refund is told before them."""

# Who is asked for a step: the owner of the exception that opens where the step is not taken (the catalogue says who).
_LATE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "accept": "ACK_OVERDUE",
        "warehouse": "WMS_ORDER_MISSING",
        "despatch": "WMS_ORDER_FAILED",
        "confirm": "DESPATCH_NOT_REFLECTED",
        "create": "RETURN_CREATE_FAILED",
        "inspect": "INSPECTION_OVERDUE",
        "map": "REASON_UNMAPPED",
        "refund": "REFUND_OVERDUE",
        "refuse": "RECEIPT_WRONG_ITEM",
        "read back": "REFUND_UNKNOWN",
        "conflict": "REFUND_CONFLICT",
        "refused": "REFUND_REJECTED_STATE",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnFacts:
    """A return as the systems tell it; amounts in minor units of the order's currency, empty text where nothing is known."""

    return_id: str
    return_state: str
    is_void: bool
    is_ended: bool
    platform_return_id: str
    status: str
    tracking_number: str
    requested_at: datetime
    shipped_at: datetime | None
    received_at: datetime | None
    inspected_at: datetime | None
    units: int
    inspected_units: int
    accepted_units: int
    refused_units: int
    unmapped_units: int
    refused_as: str
    unmapped_word: str
    refunds: int
    refunds_paid: int
    refunded_minor: int
    refunded_at: datetime | None
    paid_at: datetime | None
    value_minor: int
    refund_due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """An order as the systems tell it."""

    order_id: str
    commercial_id: str
    order_state: str
    currency: str
    total_minor: int
    ordered_at: datetime
    accepted_at: datetime | None
    shipping_deadline_at: datetime | None
    is_in_warehouse: bool
    has_incident: bool
    despatched_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    refunded_minor: int


@dataclass(frozen=True, slots=True)
class WriteFacts:
    """A write of ours about the order: its kind and state, the return it is for, and when it may leave."""

    kind: WriteKind
    state: State
    return_id: str = ""
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """An open exception about the order; ``return_id`` is empty where it names none."""

    type: str
    owner: str
    message: str
    due_at: datetime
    return_id: str = ""
    severity: str = "high"


@dataclass(frozen=True, slots=True)
class Status:
    """Where something stands. ``owner`` is a role of ours, an outside party, or empty where nothing is left to do."""

    stage: str
    sentence: str
    next_step: str = ""
    owner: str = NOBODY
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """The status of an order, and of each of its returns by id."""

    order: Status
    returns: Mapping[str, Status]


@dataclass(frozen=True, slots=True)
class _Words:
    """How amounts, days and owners are written for one shop."""

    currency: str
    time_zone: str
    now: datetime
    owners: Mapping[str, str]

    def money(self, amount_minor: int) -> str:
        return amount_text(amount_minor, self.currency)

    def day(self, instant: datetime) -> str:
        day = local_day(instant, self.time_zone)
        this_year = local_day(self.now, self.time_zone).year
        return f"{day.day} {day:%b}" if day.year == this_year else f"{day.day} {day:%b %Y}"

    def owner(self, step: str) -> str:
        return self.owners[_LATE[step]]

    def since(self, what: str, instant: datetime | None) -> str:
        return what if instant is None else f"{what} {self.day(instant)}"


def tell(
    order: OrderFacts,
    returns: Sequence[ReturnFacts],
    writes: Sequence[WriteFacts],
    problems: Sequence[Problem],
    *,
    owners: Mapping[str, str],
    time_zone: str,
    now: datetime,
) -> Told:
    """Tell where an order and its returns stand.

    ``owners`` gives the owner of every exception type (the catalogue's). The order's own status is that of its most pressing
    return: one that is not finished, the earliest deadline first; the order itself where it has none.
    """
    words = _Words(order.currency, time_zone, now, owners)
    told = {
        each.return_id: _with_problem(
            _of_return(each, [write for write in writes if write.return_id == each.return_id], words),
            [problem for problem in problems if problem.return_id == each.return_id],
            words,
        )
        for each in returns
    }
    open_ones = [told[each.return_id] for each in returns if told[each.return_id].owner != NOBODY]
    if open_ones:
        head = min(open_ones, key=lambda status: (status.due_at is None, status.due_at or now))
    elif returns:
        head = told[returns[-1].return_id]
    else:
        head = _of_order(order, words)
    of_order = [problem for problem in problems if problem.return_id not in told]
    is_held = any(_holds(problem, head) for problem in problems if problem.return_id in told)
    return Told(head if is_held else _with_problem(head, of_order, words), MappingProxyType(told))


def _with_problem(status: Status, problems: Sequence[Problem], words: _Words) -> Status:
    """Let an open exception say what comes next: what holds it up before what only says that it is late."""
    holding = [each for each in problems if each.type in CLOCKS or _holds(each, status)]
    if not holding:
        return status
    first = min(holding, key=lambda each: (each.type in CLOCKS, each.severity not in HOLDING, each.due_at))
    if first.type in CLOCKS and status.owner != NOBODY:
        # The step stays what it is; it is late, and so somebody owns that.
        return Status(
            status.stage,
            f"{status.sentence} ({_late(first.type)})",
            status.next_step,
            status.owner,
            status.due_at or first.due_at,
        )
    return Status(
        status.stage,
        f"{status.sentence}; held by {first.type}, {first.owner} sees to it by {words.day(first.due_at)}",
        first.message,
        first.owner,
        min(status.due_at, first.due_at) if status.due_at else first.due_at,
    )


def _holds(problem: Problem, status: Status) -> bool:
    """Tell whether an exception goes before what is next by itself."""
    return problem.type not in CLOCKS and (problem.severity in HOLDING or status.owner == NOBODY)


def _late(exception_type: str) -> str:
    return "overdue" if exception_type == "REFUND_OVERDUE" else "due soon"


def _of_return(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status:
    """Tell where a return stands: the first of the stages that fits, the last in its life first."""
    for stage in _STAGES:
        status = stage(each, writes, words)
        if status is not None:
            return status
    raise AssertionError(f"return {each.return_id} is at no stage")


def _due(each: ReturnFacts, words: _Words) -> str:
    return f", refund due by {words.day(each.refund_due_at)}" if each.refund_due_at else ""


def _void(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    if not each.is_void or each.inspected_units:
        return None
    ended = "refused" if each.return_state == "REFUSED" else "cancelled"
    return Status("void", f"return {ended}, nothing came back and nothing is refunded")


def _refunded(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    wanted = each.units - each.refused_units
    if not each.refunds or each.refunds < wanted:
        return None
    money = words.money(each.refunded_minor)
    if each.refunds_paid < each.refunds:
        return Status(
            "paying",
            f"{words.since(f'refund of {money} requested', each.refunded_at)}, the marketplace pays it out",
            "The marketplace pays the customer; it shows here when it has",
            MARKETPLACE,
            each.refund_due_at,
        )
    refused = f"; {_count(each.refused_units)} refused as {_plain(each.refused_as)}" if each.refused_units else ""
    return Status("refunded", f"{words.since(f'{money} refunded', each.paid_at)}{refused}")


def _refund_on_its_way(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    states = {write.state for write in writes if write.kind is WriteKind.REFUND}
    for state, (stage, said, step, asked) in _REFUND_WRITES.items():
        if state in states:
            return Status(
                stage,
                f"{words.since('inspected', each.inspected_at)}, {said}",
                step,
                words.owner(asked),
                each.refund_due_at,
            )
    if states & DONE:
        return Status(
            "sent",
            f"{words.since('inspected', each.inspected_at)}, refund sent to the marketplace, which does not show it yet",
            "The marketplace takes the refund over; the next reading shows it",
            MARKETPLACE,
            each.refund_due_at,
        )
    planned = [write for write in writes if write.kind is WriteKind.REFUND and write.state is State.PLANNED]
    if not planned:
        return None
    until = [write.not_before for write in planned if write.not_before and write.not_before > words.now]
    waits = f", not before {words.day(max(until))}" if until else ""
    return Status(
        "planned",
        f"{words.since('inspected', each.inspected_at)}, refund is about to be sent{waits}{_due(each, words)}",
        "The next pass sends it",
        words.owner("refund"),
        each.refund_due_at,
    )


_REFUND_WRITES: Final[Mapping[State, tuple[str, str, str, str]]] = MappingProxyType(
    {
        State.CONFLICT: (
            "conflict",
            "the refund met another one at the marketplace and was not sent",
            "Compare both refunds; then go on with ours, or leave it",
            "conflict",
        ),
        State.UNKNOWN: (
            "unclear",
            "the refund was sent and its answer was lost",
            "It is read back by itself and never sent twice; wait for that",
            "read back",
        ),
        State.SENDING: ("sending", "the refund is being sent", "Wait for the marketplace's answer", "refund"),
        State.REJECTED: (
            "rejected",
            "the marketplace refused the refund",
            "See why in the write's last error, mend it, then retry",
            "refused",
        ),
        State.SHADOWED: (
            "shadow",
            "the refund is worked out but not sent (shadow)",
            "Turn kind refund live when the shop is ready",
            "refund",
        ),
    }
)
"""What a refund that is not through means: stage, words, next step, and the step whose owner is asked."""


def _unmapped(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    if not each.unmapped_units:
        return None
    return Status(
        "held",
        f"{words.since('inspected', each.inspected_at)} as {each.unmapped_word!r}, a word nobody has mapped yet"
        f"{_due(each, words)}",
        f"Add {each.unmapped_word!r} to dispositions.csv (mapping desk)",
        words.owner("map"),
        each.refund_due_at,
    )


def _inspected(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    if not each.units or each.inspected_units < each.units:
        return None
    if each.refused_units == each.units:
        said = f"{words.since('inspected', each.inspected_at)}: {_plain(each.refused_as)}, so nothing is refunded"
        if each.is_ended:
            return Status("not_accepted", said)
        return Status("not_accepted", said, "Tell the customer; the marketplace is told why", words.owner("refuse"))
    if each.is_ended and not each.refunds:
        return Status(
            "ended", f"return ended as {each.return_state}, {words.since('inspected', each.inspected_at)}, not refunded",
            "See whether the refund was made another way", words.owner("refund"), each.refund_due_at,
        )  # fmt: skip
    return Status(
        "inspected",
        f"{words.since('inspected', each.inspected_at)} and accepted, refund not planned yet{_due(each, words)}",
        "The next pass plans and sends the refund",
        words.owner("refund"),
        each.refund_due_at,
    )


def _received(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    if each.received_at is None or each.is_ended:
        return None
    part = f", {each.inspected_units} of {each.units} units inspected" if each.inspected_units else ""
    return Status(
        "received",
        f"parcel received {words.day(each.received_at)}{part}, waiting for inspection{_due(each, words)}",
        "Inspect the parcel",
        words.owner("inspect"),
        each.refund_due_at,
    )


def _in_transit(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    if each.is_ended or (each.shipped_at is None and each.status not in ("in_transit", "at_hub")):
        return None
    return Status(
        "in_transit",
        f"{words.since('parcel on its way back since', each.shipped_at)}, not received yet{_due(each, words)}"
        if each.shipped_at
        else f"parcel on its way back, not received yet{_due(each, words)}",
        "The carrier delivers the parcel",
        CARRIER,
        each.refund_due_at,
    )


def _ended(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    if not each.is_ended:
        return None
    if each.refunds:
        return Status(
            "refunded", f"return closed, {words.money(each.refunded_minor)} refunded for {_count(each.refunds)}"
        )
    return Status(
        "ended", f"return ended as {each.return_state or each.status}, no parcel was seen and nothing is refunded"
    )


def _waiting(each: ReturnFacts, writes: Sequence[WriteFacts], words: _Words) -> Status | None:
    opened = words.since("return opened", each.requested_at)
    if not each.platform_return_id:
        return Status(
            "requested",
            f"{opened}, not yet on the returns platform",
            "The next pass creates it on the returns platform, which gives the label",
            words.owner("create"),
            each.refund_due_at,
        )
    return Status(
        "awaiting_parcel",
        f"{opened}, the customer has not posted the parcel yet{_due(each, words)}",
        "The customer posts the parcel",
        CUSTOMER,
        each.refund_due_at,
    )


_Stage = Callable[[ReturnFacts, Sequence[WriteFacts], _Words], Status | None]
_STAGES: Final[tuple[_Stage, ...]] = (
    _void,
    _refunded,
    _refund_on_its_way,
    _unmapped,
    _inspected,
    _received,
    _in_transit,
    _ended,
    _waiting,
)


def _of_order(order: OrderFacts, words: _Words) -> Status:
    """Tell where an order without returns stands."""
    if order.order_state in _UNPAID:
        return _unpaid(order, words)
    if order.order_state in ("REFUSED", "CANCELED"):
        ended = "refused" if order.order_state == "REFUSED" else "cancelled"
        return Status("cancelled", f"{words.since('ordered', order.ordered_at)}, {ended}, nothing is sent")
    if order.order_state == "SHIPPING":
        return _to_be_sent(order, words)
    if order.refunded_minor:
        return Status("refunded", f"{words.money(order.refunded_minor)} refunded, with no return known")
    if order.order_state in ("SHIPPED", "TO_COLLECT"):
        return Status("sent", f"{words.since('sent', order.shipped_at or order.despatched_at)}, no return opened")
    return Status("delivered", f"{words.since('delivered', order.delivered_at or order.shipped_at)}, no return opened")


_UNPAID: Final = frozenset({"STAGING", "WAITING_ACCEPTANCE", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT"})


def _unpaid(order: OrderFacts, words: _Words) -> Status:
    if order.order_state in ("STAGING", "WAITING_ACCEPTANCE"):
        said = f"{words.since('ordered', order.ordered_at)}, waiting to be accepted"
        return Status("waiting_acceptance", said, "The next pass accepts it", words.owner("accept"))
    said = f"{words.since('accepted', order.accepted_at)}, the customer's payment is awaited"
    return Status("waiting_debit", said, "The marketplace debits the customer", MARKETPLACE)


def _to_be_sent(order: OrderFacts, words: _Words) -> Status:
    due_at = order.shipping_deadline_at
    leave_by = f", to leave by {words.day(due_at)}" if due_at else ""
    if order.despatched_at:
        stage, step, asked = "despatched", "The next pass confirms the despatch", "confirm"
        said = f"despatched {words.day(order.despatched_at)}, the marketplace is not told yet"
    elif order.is_in_warehouse:
        stage, step, asked = "picking", "The warehouse sends the parcel", "despatch"
        said = f"{words.since('ordered', order.ordered_at)}, in the warehouse"
    else:
        stage, step, asked = "to_warehouse", "The next pass hands it to the warehouse", "warehouse"
        said = f"{words.since('ordered', order.ordered_at)}, not yet in the warehouse"
    return Status(stage, said + leave_by, step, words.owner(asked), due_at)


def _count(units: int) -> str:
    return f"{units} unit" if units == 1 else f"{units} units"


def _plain(word: str) -> str:
    return word.replace("_", " ")
