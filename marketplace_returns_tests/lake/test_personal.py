import copy
import re
from pathlib import Path

import duckdb
import pytest

from marketplace_returns.clock import FixedClock
from marketplace_returns.lake.connection import Lake
from marketplace_returns.lake.personal import RULES, split
from marketplace_returns.lake.pull import take
from marketplace_returns.lake.tables import LAKE_TABLES
from marketplace_returns.reconciliation.tables import PACK_TABLES
from marketplace_returns_tests.lake import worlds

ORDER_RULE = RULES["mirakl", "order"]
PACKAGE = Path(__file__).parents[2] / "marketplace_returns"
OF_A_PERSON = re.compile(r"mail|first_?name|last_?name|customer_name|phone|street|zip|postcode", re.IGNORECASE)


@pytest.mark.proves("R44")
def test_an_order_keeps_of_its_customer_only_the_country() -> None:
    body, personal = split(worlds.mirakl_order(), ORDER_RULE)
    assert body["customer"] == {"shipping_address": {"country_iso_code": "GBR"}}
    assert "customer_notification_email" not in body
    assert personal["customer"]["shipping_address"]["city"] == "Testtown"
    assert personal["customer_notification_email"] == "order-1@notification.invalid"


def test_an_order_whose_address_is_not_visible_yet_has_none() -> None:
    order = worlds.mirakl_order(customer={"customer_id": "1", "shipping_address": None})
    body, _ = split(order, ORDER_RULE)
    assert "customer" not in body


def test_the_object_itself_is_not_changed() -> None:
    order = worlds.mirakl_order()
    before = copy.deepcopy(order)
    split(order, ORDER_RULE)
    assert order == before


@pytest.mark.proves("R44")
@pytest.mark.parametrize("item", [worlds.PEOPLEVOX_DESPATCH, worlds.PEOPLEVOX_SALES_ORDER])
def test_a_tenant_s_own_columns_that_name_a_person_are_split_off(item: worlds.Json) -> None:
    kind = "despatch" if "despatch_number" in item else "sales_order"
    body, personal = split(item, RULES["peoplevox", kind])
    assert list(personal.values()) == ["somebody"]
    assert "somebody" not in body.values()


@pytest.mark.proves("R44")
def test_a_rebound_return_keeps_of_its_customer_only_the_country() -> None:
    body, personal = split(worlds.REBOUND_RETURN, RULES["rebound", "return"])
    assert sorted(personal) == ["addr1", "email", "name", "zip"]
    assert not set(personal) & set(body)
    assert (body["country"], body["carrier_name"]) == ("GB", "Carrier")


@pytest.mark.proves("R44")
def test_nested_bank_data_is_split_off_and_the_rest_of_the_nest_stays() -> None:
    body, personal = split(worlds.MIRAKL_TRANSACTION, RULES["mirakl", "transaction"])
    assert personal == {"entities.order.payment_info": {"imprint_number": "0000"}}
    assert body["entities"]["order"] == {"id": "ORDER-1-A"}


@pytest.mark.proves("R44")
def test_of_an_rma_no_person_no_bank_and_no_free_word_is_kept_anywhere(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    before = copy.deepcopy(worlds.RETURNGO_RETURN)
    take(lake, "returngo/return", "asos_uk", [[worlds.RETURNGO_RETURN]], run_id="run", clock=clock, con=con)
    assert before == worlds.RETURNGO_RETURN
    ((body,),) = con.execute("SELECT body FROM lake.landing.payloads").fetchall()
    for private in ("somebody", "@", "not a real one", "words of a customer", '000"'):
        assert private not in body
    assert "TRACK-1" in body
    assert lake.personal.held() == []


def test_the_warehouse_order_finds_the_newest_fields_by_dotted_name(
    lake: Lake, con: duckdb.DuckDBPyConnection, clock: FixedClock
) -> None:
    first = worlds.mirakl_order()
    moved = worlds.mirakl_order(
        last_updated_date="2026-10-02T11:00:00Z",
        customer={"shipping_address": {"city": "Newtown", "country_iso_code": "GBR"}},
    )
    for order in (first, moved):
        take(lake, "mirakl/order", "asos_uk", [[order]], run_id="run", clock=clock, con=con)
        clock.wait(60)
    fields = lake.personal.fields("asos_uk", "mirakl", "order", ["ORDER-1-A"])["ORDER-1-A"]
    assert fields == {
        "customer.shipping_address.city": "Newtown",
        "customer.shipping_address.country_iso_code": "GBR",
        "customer_notification_email": "order-1@notification.invalid",
    }
    assert lake.personal.fields("asos_de", "mirakl", "order", ["ORDER-1-A"]) == {}


@pytest.mark.proves("R44", "R73")
def test_no_column_holds_a_person_and_no_question_is_asked_by_one() -> None:
    declared = [*LAKE_TABLES, *(pack.table for pack in PACK_TABLES)]
    assert not [
        f"{table.path}.{each.name}" for table in declared for each in table.columns if OF_A_PERSON.search(each.name)
    ]
    code = {
        path.relative_to(PACKAGE).as_posix(): re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.sql")
    }
    assert code
    assert not [name for name, sql in code.items() if OF_A_PERSON.search(sql) or "personal_fields" in sql]
