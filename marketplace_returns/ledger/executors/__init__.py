"""How each kind of write is sent: one executor per kind, made by ``build``.

Executors know the operations of the outside systems and nothing of storage or states. The invariant: an executor sends an
intent's body as it is, once, and never calls a doubtful outcome a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marketplace_returns.ledger.executors import return_steps
from marketplace_returns.ledger.executors.accept_order import AcceptOrder
from marketplace_returns.ledger.executors.despatch import ConfirmDespatch
from marketplace_returns.ledger.executors.expected_receipt import CreateExpectedReceipt
from marketplace_returns.ledger.executors.incident import ResolveIncident
from marketplace_returns.ledger.executors.platform_return import CreatePlatformReturn
from marketplace_returns.ledger.executors.refund import Refund
from marketplace_returns.ledger.executors.refund_outcome import ReportRefundOutcome
from marketplace_returns.ledger.executors.stock import PushStock
from marketplace_returns.ledger.executors.warehouse_order import CreateWarehouseOrder, PersonalFields
from marketplace_returns.settings import WriteKind

if TYPE_CHECKING:
    from marketplace_returns.ledger.ledger import Ledger
    from marketplace_returns.ledger.outcomes import Executor
    from marketplace_returns.settings import Shop
    from marketplace_returns.sources.mirakl.client import MiraklClient
    from marketplace_returns.sources.peoplevox.client import PeoplevoxClient
    from marketplace_returns.sources.platform import PlatformWrites


@dataclass(frozen=True)
class Clients:
    """The clients of one shop; a system that the shop does not have, or has no writes for, is None."""

    mirakl: MiraklClient
    platform: PlatformWrites | None = None
    peoplevox: PeoplevoxClient | None = None


def build(
    shop: Shop, clients: Clients, *, ledger: Ledger, personal_fields: PersonalFields
) -> dict[WriteKind, Executor]:
    """Make the executors of a shop for every kind whose system it has.

    ``personal_fields`` gives an order's address when it is sent (``PersonalStore.fields``).
    """
    mirakl, clock, timing = clients.mirakl, ledger.clock, ledger.timing
    executors: dict[WriteKind, Executor] = {
        WriteKind.ACCEPT_ORDER: AcceptOrder(mirakl),
        WriteKind.CONFIRM_DESPATCH: ConfirmDespatch(mirakl),
        WriteKind.LINK_RETURN: return_steps.LinkReturn(mirakl),
        WriteKind.RECEIVE_RETURN: return_steps.receive(mirakl),
        WriteKind.REPORT_COMPLIANCE: return_steps.report_compliance(mirakl),
        WriteKind.CLOSE_RETURN: return_steps.close(mirakl),
        WriteKind.REFUND: Refund(
            mirakl, ledger.spent_refunds, ledger.restores, clock, answer_s_max=2 * timing.read_time_out_s
        ),
        WriteKind.RESOLVE_INCIDENT: ResolveIncident(mirakl),
        WriteKind.PUSH_STOCK: PushStock(mirakl, clock, ledger.unclear_pushes),
    }
    if clients.platform is not None:
        executors[WriteKind.CREATE_PLATFORM_RETURN] = CreatePlatformReturn(clients.platform)
        executors[WriteKind.REPORT_REFUND_OUTCOME] = ReportRefundOutcome(clients.platform)
    if clients.peoplevox is not None:
        executors[WriteKind.CREATE_WAREHOUSE_ORDER] = CreateWarehouseOrder(
            clients.peoplevox, personal_fields, shop.marketplace
        )
        executors[WriteKind.CREATE_EXPECTED_RECEIPT] = CreateExpectedReceipt(clients.peoplevox)
    return executors


__all__ = ["Clients", "PersonalFields", "build"]
