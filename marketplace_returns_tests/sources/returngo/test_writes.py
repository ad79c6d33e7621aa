"""What is written to ReturnGO: nothing twice, whatever reply is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from marketplace_returns.errors import OutcomeUnknown, SourceRefused
from marketplace_returns.sources.platform import ItemOutcome, NewReturn, NewReturnLine
from marketplace_returns.sources.returngo import ReturnGoClient, ReturnGoWrites, creation, outcome
from marketplace_returns_tests.sources.recorded import Outside
from marketplace_returns_tests.sources.returngo.conftest import client_of, inspected, orders, wanted

pytestmark = pytest.mark.proves("R1", "R48", "R57")


def of(item_id: object, *, accepted: int = 1, refunds: tuple[str, ...] = ("R-1",)) -> ItemOutcome:
    return ItemOutcome(
        item_id=str(item_id),
        order_line_id="L-1",
        accepted=accepted,
        rejected=1 - accepted,
        reject_reason=None,
        refund_ids=refunds,
    )


def item_ids(client: ReturnGoClient, rma_id: str) -> list[str]:
    return [str(unit["returnedItemId"]) for unit in client.rma(rma_id)["items"]]


def test_the_body_of_a_creation_is_the_one_that_is_pinned() -> None:
    line = NewReturnLine(
        order_line_id="O-1-A-1", sku="SKU-1", quantity=2, unit_price="10.00", tax_amount="1.67", reason="too_big"
    )
    assert creation(NewReturn(return_id="RT-1", order_id="O-1-A", currency="GBP", lines=(line,))) == {
        "order_name": "O-1-A",
        "externalId": "RT-1",
        "items": [{"sku": "SKU-1", "quantity": 2, "returnReason": "too_big", "externalId": "O-1-A-1"}],
    }


def test_an_rma_is_found_by_our_key_among_those_of_its_order(client: ReturnGoClient) -> None:
    writes = ReturnGoWrites(client)
    order_id = orders()[0].id
    assert writes.find("RT-1", order_id) == []
    first, second = writes.create(wanted("RT-1")), writes.create(wanted("RT-2"))
    assert writes.find("RT-1", order_id) == [first]
    assert writes.find("RT-2", order_id) == [second]
    assert writes.find("RT-3", order_id) == []


def test_a_creation_refused_because_it_stands_gives_the_one_that_stands(client: ReturnGoClient) -> None:
    writes = ReturnGoWrites(client)
    made = writes.create(wanted(quantity=2))
    assert writes.create(wanted(quantity=2)) == made
    with pytest.raises(SourceRefused):
        writes.create(wanted("RT-2", quantity=2))
    assert len([row for page in client.list_rmas() for row in page]) == 1


def test_a_transaction_of_several_units_gets_every_refund_of_its_line(there: Outside, client: ReturnGoClient) -> None:
    writes = ReturnGoWrites(client)
    rma_id = writes.create(wanted(quantity=2))
    there.arrange(lambda world: inspected(world, "new", "new"))
    body = outcome(rma_id, [of(item, refunds=("R-2", "R-1")) for item in item_ids(client, rma_id)])
    assert not writes.is_reported(body)
    writes.report_outcome(body)
    assert writes.is_reported(body)
    ((told,),) = client.transactions()
    assert (told["status"], told["externalReferenceId"]) == ("Success", "R-1,R-2")
    writes.report_outcome(body)  # nothing waits, so nothing is sent: the sandbox would refuse it


def test_one_accepted_unit_makes_its_transaction_a_success(there: Outside, client: ReturnGoClient) -> None:
    writes = ReturnGoWrites(client)
    rma_id = writes.create(wanted(quantity=2))
    there.arrange(lambda world: inspected(world, "damaged", "new"))
    first, second = item_ids(client, rma_id)
    writes.report_outcome(outcome(rma_id, [of(first), of(second, accepted=0)]))
    ((told,),) = client.transactions()
    assert told["status"] == "Success"


def test_a_refused_return_fails_its_transaction_without_a_refund(there: Outside, client: ReturnGoClient) -> None:
    writes = ReturnGoWrites(client)
    rma_id = writes.create(wanted(quantity=1))
    there.arrange(lambda world: inspected(world, "damaged"))
    (item,) = item_ids(client, rma_id)
    body = outcome(rma_id, [of(item, accepted=0)])
    assert body["items"][0]["refund_ids"] == []
    writes.report_outcome(body)
    ((told,),) = client.transactions()
    assert (told["status"], told["externalReferenceId"]) == ("Failed", None)


def test_before_there_is_a_transaction_nothing_is_reported(client: ReturnGoClient) -> None:
    writes = ReturnGoWrites(client)
    rma_id = writes.create(wanted())
    body = outcome(rma_id, [of(item) for item in item_ids(client, rma_id)])
    writes.report_outcome(body)
    assert not writes.is_reported(body)


class TwoTransactions:
    """An RMA of two units with a transaction each; the reply to the second report is lost once."""

    def __init__(self, lose: bool = True) -> None:
        self.status = {"1": "Requested", "2": "Requested"}
        self.puts: list[str] = []
        self.lose = lose

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            transactions: list[dict[str, Any]] = [
                {"id": int(number), "status": status, "returnItemIds": [int(number)]}
                for number, status in self.status.items()
            ]
            return httpx.Response(200, json={"rmaSummary": {"rmaId": 7}, "transactions": transactions})
        number = request.url.path.rsplit("/", 1)[-1]
        self.puts.append(number)
        self.status[number] = "Success"
        if self.lose and number == "2":
            self.lose = False
            return httpx.Response(502)
        return httpx.Response(200, json={})


def test_a_lost_reply_between_two_transactions_is_read_back_and_nothing_is_told_twice() -> None:
    outside = TwoTransactions()
    writes = ReturnGoWrites(client_of("https://returngo.example", outside))
    body = outcome("7", [of(1), of(2)])
    with pytest.raises(OutcomeUnknown):
        writes.report_outcome(body)
    assert writes.is_reported(body)
    writes.report_outcome(body)
    assert outside.puts == ["1", "2"]


def test_a_repeat_after_dying_between_two_transactions_tells_only_the_one_that_waits() -> None:
    outside = TwoTransactions(lose=False)
    outside.status["1"] = "Success"
    writes = ReturnGoWrites(client_of("https://returngo.example", outside))
    body = outcome("7", [of(1), of(2)])
    assert not writes.is_reported(body)
    writes.report_outcome(body)
    assert outside.puts == ["2"]


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_a_creation_that_is_refused_for_another_reason_is_not_searched(status: int) -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        return httpx.Response(status, json={"message": "no"})

    refuse: Callable[[], object] = lambda: ReturnGoWrites(  # noqa: E731
        client_of("https://returngo.example", answer)
    ).create(wanted())
    with pytest.raises(SourceRefused):
        refuse()
    assert calls == ["POST"]
