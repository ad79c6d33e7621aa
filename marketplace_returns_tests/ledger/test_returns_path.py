"""The kinds of the return's way, on a return that a customer really opened in the sandbox."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from marketplace_returns.lanes.plan import LATE_LABEL, IntentPlan
from marketplace_returns.ledger.states import State
from marketplace_returns.settings import WriteKind
from marketplace_returns_tests.ledger.sandboxed import Place, place
from marketplace_returns_tests.ledger.world import SHOP


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory):
    """A world in which all was shipped and customers have opened returns."""
    with place(
        tmp_path_factory.mktemp("returns"), return_rate=1.0, orders=25, days=1, return_canceled_rate=0.0
    ) as here:
        here.shipping()
        here.sandbox.advance(timedelta(hours=12))
        for order in here.shipping():
            carrier = here.clients.mirakl.carriers()[0]["code"]
            here.clients.mirakl.set_tracking(order["order_id"], carrier_code=carrier, tracking_number="TRACK1")
            here.clients.mirakl.ship_order(order["order_id"])
        here.sandbox.advance(timedelta(days=17))
        yield here


def returns(here: Place) -> list[dict]:
    now = here.clock.now()
    return [row for page in here.clients.mirakl.returns(now - timedelta(days=30), now) for row in page]


def of_return(kind: WriteKind, row: dict, body: dict) -> IntentPlan:
    return IntentPlan(
        shop=SHOP,
        kind=kind,
        natural_key=row["id"],
        body=body,
        evidence={},
        order_id=row["order_id"],
        return_id=row["id"],
    )


def platform_return(here: Place, row: dict) -> IntentPlan:
    skus = {line["order_line_id"]: line["offer_sku"] for line in here.order(row["order_id"])["order_lines"]}
    body = {
        "external_id": row["id"],
        "order": {"external_id": row["order_id"], "name": row["order_id"]},
        "currency": "GBP",
        "return_items": [
            {
                "external_id": line["order_line_id"],
                "sku": skus[line["order_line_id"]],
                "quantity": line["quantity"],
                "unit_price": "10.00",
                "tax_amount": "1.67",
                "return_reason": "OTHER",
            }
            for line in row["return_lines"]
        ],
    }
    return of_return(WriteKind.CREATE_PLATFORM_RETURN, row, body)


def states(here: Place, kind: WriteKind) -> set[State]:
    return {each.state for each in here.ledger.intents(kinds=(kind,))}


def settle(here: Place, kind: WriteKind) -> None:
    for _ in range(3):
        here.send(kind)
        here.clock.wait(31)
        here.look()


@pytest.mark.proves("R1", "R25", "R52", "R90", "R117")
def test_the_way_of_a_return_from_creation_to_closing_with_every_reply_lost_once(here: Place) -> None:
    opened = [row for row in returns(here) if row["state"] == "WAITING_ACCEPTANCE"]
    assert opened
    here.plan(*(platform_return(here, row) for row in opened), lane="platform_returns")
    here.fault("reset_after", "POST returns")
    settle(here, WriteKind.CREATE_PLATFORM_RETURN)
    assert states(here, WriteKind.CREATE_PLATFORM_RETURN) == {State.CONFIRMED}, here.exception_types()
    for row in opened:
        assert len(here.reveni.find_by_external_id(row["id"])) == 1

    links = []
    for row in opened:
        platform = here.reveni.find_by_external_id(row["id"])[0]
        body = {"return_id": row["id"], "accept": True, "rma": platform["id"], "label_url": "", "tracking": {}}
        links.append(of_return(WriteKind.LINK_RETURN, row, body))
    here.plan(*links, lane="links")
    here.fault("reset_after", "RT21")
    settle(here, WriteKind.LINK_RETURN)
    assert states(here, WriteKind.LINK_RETURN) == {State.CONFIRMED}
    linked = {row["id"]: row for row in returns(here)}
    assert all(linked[row["id"]]["state"] == "IN_PROGRESS" and linked[row["id"]]["rma"] for row in opened)

    # R117: of those whose label came later, and whose request was lost once, each gets it
    late = [{**plan.body, "accept": False, "label_url": "http://127.0.0.1/label"} for plan in links]
    keys = {body["return_id"]: f"{body['return_id']}{LATE_LABEL}" for body in late}
    plans = [replace(plan, natural_key=keys[plan.return_id], body=body) for plan, body in zip(links, late, strict=True)]
    here.plan(*plans, lane="labels")
    here.fault("reset", "RT04")
    here.send(WriteKind.LINK_RETURN)
    here.clock.wait(31)
    here.look()
    assert not any(row["label_url"] for row in returns(here) if row["id"] in keys)
    assert {here.intent(key).state for key in keys.values()} == {State.PLANNED}, "the key is there and no label"
    settle(here, WriteKind.LINK_RETURN)
    assert states(here, WriteKind.LINK_RETURN) == {State.CONFIRMED}
    assert all(row["label_url"] for row in returns(here) if row["id"] in keys)

    receipts = [
        of_return(
            WriteKind.CREATE_EXPECTED_RECEIPT,
            row,
            {
                "purchase_order_number": f"RTN-{row['id']}",
                "reference": row["order_id"],
                "items": [
                    {"line": str(number), "item_code": item["item_code"], "quantity": 1}
                    for number, item in enumerate(items(here)[:1], 1)
                ],
            },
        )
        for row in opened
    ]
    here.plan(*receipts, lane="receipts")
    here.fault("reset_after", "SaveData")
    settle(here, WriteKind.CREATE_EXPECTED_RECEIPT)
    assert states(here, WriteKind.CREATE_EXPECTED_RECEIPT) == {State.CONFIRMED}

    for kind, operation, shown in (
        (WriteKind.RECEIVE_RETURN, "RT25", "RECEIVED"),
        (WriteKind.REPORT_COMPLIANCE, "RT26", "RECEIVED"),
        (WriteKind.CLOSE_RETURN, "RT27", "CLOSED"),
    ):
        bodies = {
            WriteKind.REPORT_COMPLIANCE: lambda row: {
                "return_id": row["id"],
                "return_lines": [
                    {"order_line_id": line["order_line_id"], "compliant": True} for line in row["return_lines"]
                ],
            }
        }
        body = bodies.get(kind, lambda row: {"return_id": row["id"]})
        here.plan(*(of_return(kind, row, body(row)) for row in opened), lane=str(kind))
        here.fault("reset_after", operation)
        settle(here, kind)
        assert states(here, kind) == {State.CONFIRMED}
        now = {row["id"]: row for row in returns(here)}
        assert {now[row["id"]]["state"] for row in opened} == {shown}

    outcomes = []
    for row in opened:
        platform = here.reveni.find_by_external_id(row["id"])[0]
        verdicts = [
            {"item_id": item["id"], "quantity": item["quantity"], "status": "accepted"}
            for item in platform["return_items"]
        ]
        body = {"platform_return_id": platform["id"], "items": verdicts}
        outcomes.append(
            IntentPlan(
                shop=SHOP, kind=WriteKind.REPORT_REFUND_OUTCOME, natural_key=platform["id"], body=body, evidence={}
            )
        )
    here.plan(*outcomes, lane="outcomes")
    here.fault("reset_after", "POST returns/{id}/partial_validate")
    settle(here, WriteKind.REPORT_REFUND_OUTCOME)
    assert states(here, WriteKind.REPORT_REFUND_OUTCOME) == {State.CONFIRMED}
    played = here.sandbox.do(lambda: sum(here.sandbox.gate.faults_played.values()))
    assert played == 8, here.sandbox.gate.faults_played


def test_closing_again_counts_as_done_and_an_unknown_return_is_refused(here: Place) -> None:
    closed = next(row for row in returns(here) if row["state"] == "CLOSED")
    again = of_return(WriteKind.CLOSE_RETURN, {**closed, "id": closed["id"]}, {"return_id": closed["id"]})
    object.__setattr__(again, "natural_key", "again")
    strange = of_return(WriteKind.CLOSE_RETURN, {"id": "no-such-return", "order_id": ""}, {"return_id": "x"})
    here.plan(again, strange, lane="again")
    here.send(WriteKind.CLOSE_RETURN)
    assert here.intent("again").is_adopted
    assert here.intent("no-such-return").state is State.REJECTED
    assert here.exception_types() == ["STATUS_DRIFT"]


def items(here: Place) -> list[dict]:
    return [row for page in here.clients.peoplevox.item_types() for row in page]


@pytest.mark.proves("C5", "R48")
def test_a_return_opened_on_the_platform_is_opened_on_the_marketplace_once(here: Place) -> None:
    taken = returns(here)[-1]

    def call_off() -> None:
        here.sandbox.world.returns.returns[taken["id"]].state = "CANCELED"

    here.sandbox.do(call_off)
    order = here.order(taken["order_id"])
    line_id = taken["return_lines"][0]["order_line_id"]
    create = {
        "order_commercial_id": order["commercial_id"],
        "method_code": "RETURN_METHOD_BY_MAIL",
        "accepted": True,
        "rma": "PLATFORM-1",
        "label_url": "",
        "return_lines": [{"order_line_id": line_id, "quantity": 1, "reason_code": "RETURN_PDNT_TOO_SMALL"}],
    }
    row = {"id": "reveni:PLATFORM-1", "order_id": order["order_id"]}
    here.plan(
        of_return(WriteKind.LINK_RETURN, row, {"rma": "PLATFORM-1", "create": create}), lane="marketplace_returns"
    )
    here.fault("reset_after", "RT01")
    here.send(WriteKind.LINK_RETURN)
    assert here.intent("reveni:PLATFORM-1").state is State.UNKNOWN
    here.clock.wait(31)
    here.look()
    found = here.intent("reveni:PLATFORM-1")
    (made,) = [each for each in returns(here) if each["rma"] == "PLATFORM-1"]
    assert (found.state, found.is_adopted, found.external_ref) == (State.CONFIRMED, True, made["id"])
    assert made["state"] == "IN_PROGRESS"


@pytest.mark.proves("C5")
def test_a_return_the_marketplace_does_not_take_is_refused_for_good_with_an_owner(here: Place) -> None:
    order = here.orders("RECEIVED")[0]
    create = {
        "order_commercial_id": order["commercial_id"],
        "method_code": "RETURN_METHOD_BY_MAIL",
        "accepted": True,
        "rma": "PLATFORM-2",
        "return_lines": [
            {
                "order_line_id": order["order_lines"][0]["order_line_id"],
                "quantity": 99,
                "reason_code": "RETURN_PDNT_TOO_SMALL",
            }
        ],
    }
    row = {"id": "reveni:PLATFORM-2", "order_id": order["order_id"]}
    here.plan(of_return(WriteKind.LINK_RETURN, row, {"rma": "PLATFORM-2", "create": create}), lane="refused")
    here.send(WriteKind.LINK_RETURN)
    assert here.intent("reveni:PLATFORM-2").state is State.REJECTED
    assert "STATUS_DRIFT" in here.exception_types()
