"""``privacy export`` and ``privacy erase``: what is held about the customer of an order, and its end."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from marketplace_returns.cli.context import opened, run_id
from marketplace_returns.cli.output import Output, as_json_text
from marketplace_returns.cli.work import JsonOption
from marketplace_returns.orchestration import privacy

app = typer.Typer(help="What is held about an order's customer, and its erasure.", no_args_is_help=True)

OrderArgument = Annotated[
    str, typer.Argument(metavar="ORDER", help="The order's id, or any number that belongs to it.")
]
OneShopOption = Annotated[str | None, typer.Option("--shop", help="The shop, where several have such a number.")]


@app.callback()
def root() -> None:
    """What is held about an order's customer, and its erasure."""


@app.command("export")
def export(
    order: OrderArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file, readable by you alone.")],
    by: Annotated[str, typer.Option("--by", help="Name of the person who hands it out.")],
    note: Annotated[str, typer.Option("--note", help="Why, without the customer's name: it stays in the history.")],
    shop: OneShopOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write everything that is held about the customer of an order into one JSON document, and what is not held."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        customer = privacy.find_customer(opened_app, order, shop)
        document = privacy.export(opened_app, customer, by=by, note=note)
    written = msgspec.json.format(as_json_text(document), indent=2)
    privacy.write_private(out, written.encode() + b"\n")
    told = {
        "shop": customer.shop,
        "order_id": customer.order_id,
        "file": str(out),
        "personal": len(document["personal"]),
    }
    output.show(
        told,
        lambda page: page.print(
            f"{out}: all that is held of order {customer.order_id} of {customer.shop}, with the personal fields of "
            f"{told['personal']} objects. Hand it over safely, and delete it."
        ),
    )
    return 0


@app.command("erase")
def erase(
    order: OrderArgument,
    by: Annotated[str, typer.Option("--by", help="Name of the person who decided it.")],
    note: Annotated[str, typer.Option("--note", help="Why, without the customer's name: it stays in the history.")],
    shop: OneShopOption = None,
    is_sure: Annotated[
        bool, typer.Option("--yes", help="Erase; without it only what would be erased is told.")
    ] = False,
    is_forced: Annotated[bool, typer.Option("--force", help="Also an order that is still to be sent.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Erase the customer of an order for good; amounts, ids, taxes, states and the history stay."""
    output = Output(as_json=as_json)
    with opened() as opened_app:
        customer = privacy.find_customer(opened_app, order, shop)
        if not is_forced:
            privacy.refuse_on_its_way(opened_app, customer)
        if not is_sure:
            objects = [
                f"{row.source}/{row.object_type}/{row.object_id}" for row in privacy.preview(opened_app, customer)
            ]
            document = {
                "shop": customer.shop,
                "order_id": customer.order_id,
                "is_erased": False,
                "would_erase": objects,
            }
            output.show(
                document,
                lambda page: page.print(
                    f"Nothing was erased. Order {customer.order_id} of {customer.shop}: personal fields of {len(objects)} "
                    f"objects would go ({', '.join(objects) or 'none is held'}). It cannot be undone: add --yes."
                ),
            )
            return 1
        done = privacy.erase(opened_app, customer, by=by, note=note, run_id=run_id("erase"))
    output.show(
        {**asdict(done), "is_erased": True},
        lambda page: page.print(
            f"Order {done.order_id} of {done.shop}: {'erased' if done.is_first else 'was erased before, and is now'}; personal "
            f"fields of {done.personal_objects} objects, {done.payloads} payloads, {done.extract_files} extract files, {done.writes} writes, {done.exceptions} "
            "exceptions. The lake's old files go with the next `lake maintain`, which runs daily."
            + (
                f" {done.history_events} events of the history hold words of the customer and cannot be changed."
                if done.history_events
                else ""
            )
        ),
    )
    return 1 if done.history_events else 0
