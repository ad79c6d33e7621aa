"""What ReturnGO adds to the life of a return: numbered RMAs, the validation of each unit, and transactions that wait.

Here: an RMA's number and status, its units one by one, its money movements, when it counts as updated. Not here: the way of the
parcel (`returns_platform`), paths and JSON (`returngo`). Invariants: a transaction is settled once; `updated_at` does not move when
only the shipment changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from marketplace_returns.sandbox.returns_platform import Duplicate, NewReturn, PlatformReturn, PlatformReturnLine

if TYPE_CHECKING:
    from marketplace_returns.sandbox.world import World

FIRST_RMA: Final = 7_000_001
UNITS_MAX: Final = 1000  # units of one RMA, so that a unit's number is its RMA's and its place
STATUSES: Final = ("Pending", "Approved", "Received", "Validated", "Done", "Rejected", "Canceled")
REASONS: Final = {"damaged": "Damaged", "wrong_item": "Wrong item", "quarantine": "Quarantine", "missing": "Missing"}


@dataclass(slots=True, frozen=True)
class Unit:
    """One returned unit; `found` is what the inspection found of it, empty before."""

    number: int
    line: PlatformReturnLine
    found: str


@dataclass(slots=True)
class Transaction:
    """A money movement of some units; status Requested until somebody says what came of it."""

    number: int
    rma: Rma
    unit_numbers: tuple[int, ...]
    amount_minor: int
    created_at: datetime
    updated_at: datetime
    status: str = "Requested"
    reference_id: str = ""
    reference_type: str = ""


@dataclass(slots=True)
class Rma:
    """A return as ReturnGO numbers it; `set_status` is what somebody set by hand or by the API, empty where nobody did."""

    number: int
    returned: PlatformReturn
    external_id: str
    changed_at: datetime
    transactions: list[Transaction] = field(default_factory=list)
    set_status: str = ""

    @property
    def status(self) -> str:
        """The one of ReturnGO's seven words that fits."""
        if self.set_status:
            return self.set_status
        if self.transactions and all(one.status != "Requested" for one in self.transactions):
            return "Done"
        if self.returned.inspected_at is not None:
            return "Validated"
        return "Received" if self.returned.received_at is not None else "Approved"

    @property
    def updated_at(self) -> datetime:
        """When the RMA itself changed last; that the parcel was posted is no change of it."""
        seen = (self.changed_at, self.returned.received_at, self.returned.inspected_at)
        return max(instant for instant in seen if instant is not None)

    def units(self) -> list[Unit]:
        """Every unit of every line, in order."""
        units: list[Unit] = []
        for line in self.returned.lines:
            for place in range(line.quantity):
                number = self.number * UNITS_MAX + len(units) + 1
                units.append(Unit(number, line, line.found[place] if place < len(line.found) else ""))
        return units


class ReturnGoBook:
    """The RMAs and transactions of one shop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._rmas: dict[int, Rma] = {}
        self._by_return: dict[str, Rma] = {}
        self.transactions: dict[int, Transaction] = {}

    def rmas(self) -> list[Rma]:
        """Every RMA by its number, as things are now."""
        for return_id, returned in self.world.platform.returns.items():
            rma = self._by_return.get(return_id) or self._number(returned, returned.external_id)
            if returned.inspected_at is not None and not rma.transactions:
                self._approve_refunds(rma, returned.inspected_at)
        return list(self._rmas.values())

    def find(self, number: int) -> Rma | None:
        """The RMA of that number, or None."""
        self.rmas()
        return self._rmas.get(number)

    def create(self, wanted: NewReturn) -> Rma:
        """Make an RMA; one with the same external id is made again, for nothing says that ReturnGO looks at it."""
        times, own = 1, wanted
        made = self.world.platform.create_return(own)
        while isinstance(made, Duplicate):
            times += 1
            own = replace(wanted, external_id=f"{wanted.external_id}/{times}")
            made = self.world.platform.create_return(own)
        return self._by_return.get(made.id) or self._number(made, wanted.external_id)

    def set_status(self, rma: Rma, status: str) -> None:
        """Somebody set the status."""
        rma.set_status = status
        rma.changed_at = self.world.clock.now()

    def settle(self, transaction: Transaction, status: str, reference_id: str, reference_type: str) -> None:
        """Somebody says what came of a waiting transaction; with the last one the RMA is done."""
        now = self.world.clock.now()
        transaction.status = status
        transaction.reference_id = reference_id
        transaction.reference_type = reference_type
        transaction.updated_at = transaction.rma.changed_at = now
        if transaction.rma.status == "Done":
            transaction.rma.returned.status = "completed"
            transaction.rma.returned.resolved_at = now

    def _number(self, returned: PlatformReturn, external_id: str) -> Rma:
        rma = Rma(FIRST_RMA + len(self._rmas), returned, external_id, returned.created_at)
        self._rmas[rma.number] = rma
        self._by_return[returned.id] = rma
        return rma

    def _approve_refunds(self, rma: Rma, instant: datetime) -> None:
        """The refund of a validated return is approved: one transaction per line, for the units that came back.

        It waits for whoever pays; where the portal's own refunds are switched on it is paid at once.
        """
        for line in rma.returned.lines:
            units = [unit for unit in rma.units() if unit.line is line and unit.found != "missing"]
            if not units:
                continue
            number = len(self.transactions) + 1
            made = Transaction(
                number,
                rma,
                tuple(unit.number for unit in units),
                line.unit_price_minor * len(units),
                instant,
                instant,
            )
            if self.world.config.platform_refunds:
                made.status, made.reference_id, made.reference_type = "Success", f"R{number}", "PlatformRefundId"
            self.transactions[number] = made
            rma.transactions.append(made)
