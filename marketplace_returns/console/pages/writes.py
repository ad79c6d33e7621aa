"""Which kinds of write leave: what the settings let through, what people hold back, and holding back."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from marketplace_returns.console.page import NotThere, Page, Visit
from marketplace_returns.console.roles import Permission
from marketplace_returns.errors import BadArgument
from marketplace_returns.ledger.holding import Held
from marketplace_returns.settings import WriteKind, WriteMode, lesser


@dataclass(frozen=True, slots=True)
class Switch:
    """A kind of write of a shop: what the settings say, who holds it back, and what is in effect."""

    kind: WriteKind
    of_settings: WriteMode
    held: Held | None
    in_effect: WriteMode


def show(visit: Visit) -> Response:
    """Show every kind of write of every shop."""
    held = visit.ledger.held_writes()
    shops = {}
    for shop in sorted(visit.settings.shops):
        rows = []
        for kind in WriteKind:
            said, back = visit.switches.of_settings(shop, kind), held.get((shop, kind))
            rows.append(Switch(kind, said, back, lesser(said, back.mode if back else WriteMode.LIVE)))
        shops[shop] = rows
    return visit.render("writes.html", shops=shops, kinds=list(WriteKind), modes=list(WriteMode))


def switch(visit: Visit) -> Response:
    """Hold a kind of write of a shop back, or let it go again; every process obeys before its next call."""
    shop = str(visit.place["shop"])
    if shop not in visit.settings.shops:
        raise NotThere(f"There is no shop {shop} in the settings.")
    kind, mode = visit.form.get("kind", ""), visit.form.get("mode", "")
    if kind not in set(WriteKind) or mode not in set(WriteMode):
        raise BadArgument("choose a kind of write, and whether it is live, shadow or off")
    reason = visit.said("reason", "the reason")
    visit.ledger.hold_write(shop, WriteKind(kind), WriteMode(mode), by=visit.by, reason=reason)
    now = visit.switches.mode(shop, WriteKind(kind))
    more = "" if mode == now else f" The settings keep it {now}: what they hold back is let go there."
    told = "is not held back any more" if mode == WriteMode.LIVE else f"is held back to {mode}"
    return visit.go("/writes", f"{kind} of {shop} {told}.{more}")


PAGES = (
    Page("/writes", Permission.SEE_WRITES, show=show, title="Writes"),
    Page("/writes/{shop}", Permission.SWITCH_WRITES, act=switch),
)
