"""Orders: where one stands and what comes next, by any number a customer may read out."""

from __future__ import annotations

from starlette.responses import Response

from marketplace_returns.console.masking import shown
from marketplace_returns.console.page import Page, Visit
from marketplace_returns.console.roles import Permission
from marketplace_returns.desk.lookup import OrderView, look_up
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.erasing import SEEN

NUMBER_CHARACTERS_MAX = 200
_NAME = ("customer.firstname", "customer.lastname")


def show(visit: Visit) -> Response:
    """Show the orders that a number belongs to; whose name is shown is told to the history."""
    reference = visit.query.get("number", "").strip()
    if len(reference) > NUMBER_CHARACTERS_MAX:
        raise BadArgument(f"a number has at most {NUMBER_CHARACTERS_MAX} characters: give one number")
    found = look_up(visit.app.desk(), reference, visit.clock.now()) if reference else None
    customers = {order.order_id: _customer(visit, order) for order in found.orders} if found else {}
    if visit.may(Permission.SEE_PERSONAL):
        seen = [(order.shop, order.order_id) for order in found.orders if customers[order.order_id]] if found else []
        visit.ledger.note_disclosed(seen, SEEN, by=visit.by, note="the customer's name")
    return visit.render("orders.html", reference=reference, found=found, customers=customers)


def _customer(visit: Visit, order: OrderView) -> str:
    """Return the customer's name as the role may see it; it is not even read where it may not."""
    if not visit.may(Permission.SEE_PERSONAL):
        return shown("?", visit.role)
    fields = visit.app.lake.personal.fields(order.shop, "mirakl", "order", [order.order_id]).get(order.order_id, {})
    return shown(" ".join(str(fields[name]) for name in _NAME if fields.get(name)), visit.role)


PAGES = (Page("/orders", Permission.LOOK_UP, show=show, title="Orders", needs_lake=True),)
