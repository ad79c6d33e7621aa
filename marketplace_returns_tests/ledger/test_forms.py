"""What is read before and after a write must be of the form that is relied on, or nothing is sent and nothing settled by it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from marketplace_returns.errors import ContractBroken
from marketplace_returns.ledger.executors import forms

Row = dict[str, Any]
REFUND: Row = {
    "id": "r1",
    "created_date": "2026-10-01T10:00:00Z",
    "amount": 5,
    "taxes": [{"code": "VAT", "amount": "0.83"}],
}
ORDER: Row = {
    "order_id": "O1",
    "order_state": "SHIPPED",
    "order_lines": [{"order_line_id": "O1-1", "price": "10.00", "shipping_price": None, "refunds": [REFUND]}],
    "anything": {"else": 1},
}


def line(row: Row) -> Row:
    found: Row = row["order_lines"][0]
    return found


BROKEN: dict[str, Callable[[Row], object]] = {
    "no state": lambda row: row.pop("order_state"),
    "empty id": lambda row: row.update(order_id=""),
    "lines are none": lambda row: row.update(order_lines=None),
    "a line is no object": lambda row: row["order_lines"].append(3),
    "a line has no id": lambda row: line(row).pop("order_line_id"),
    "price is a list": lambda row: line(row).update(price=[10]),
    "price is no number": lambda row: line(row).update(price="NaN"),
    "price beyond all money": lambda row: line(row).update(price="1e309"),
    "refunds are an object": lambda row: line(row).update(refunds={}),
    "a refund has no id": lambda row: line(row)["refunds"][0].pop("id"),
    "a refund has no date": lambda row: line(row)["refunds"][0].pop("created_date"),
    "a refund's date has no zone": lambda row: line(row)["refunds"][0].update(created_date="2026-10-01T10:00:00"),
    "a refund's date is none": lambda row: line(row)["refunds"][0].update(created_date="yesterday"),
    "a refund's tax has no code": lambda row: line(row)["refunds"][0]["taxes"][0].pop("code"),
}


def test_a_sound_order_is_given_as_it_is() -> None:
    assert forms.sound([ORDER], forms.Order, "OR11") == [ORDER]
    bare = {"order_id": "O1", "order_state": "SHIPPED", "order_lines": [{"order_line_id": "O1-1"}]}
    assert forms.sound([bare], forms.Order, "OR11") == [bare]


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_order_that_is_not_of_the_form_is_no_answer(broken: Callable[[Row], object]) -> None:
    row = copy.deepcopy(ORDER)
    broken(row)
    with pytest.raises(ContractBroken, match="mirakl OR11: what it says of orders"):
        forms.sound([row], forms.Order, "OR11")
