"""Each department changes the mapping tables that are its own, and no others."""

from __future__ import annotations

import re

import pytest

from marketplace_returns.console.roles import DEPARTMENTS, MAY, Permission, Role
from marketplace_returns.ledger.catalogue import default_rules
from marketplace_returns.mappings import MAPPING_TABLES, owner_of
from marketplace_returns_tests.console.served import Person, Served, fields_of, told

FEE = {"type": "SELLER_PENALTY_FEE", "component": "penalty", "sign": "-1", "ledger_account": "penalties"}


def test_every_department_of_the_catalogue_and_of_the_tables_is_somebodys() -> None:
    owners = {rule.owner for rule in default_rules().values()} | {owner_of(table) for table in MAPPING_TABLES}
    assert set().union(*(DEPARTMENTS[role] for role in Role if role is not Role.ADMIN)) == owners - {"integration"}
    assert DEPARTMENTS[Role.ADMIN] == owners
    may_map = {role for role in Role if Permission.CHANGE_MAPPINGS in MAY[role]}
    assert may_map == {role for role in Role if DEPARTMENTS[role] & {owner_of(table) for table in MAPPING_TABLES}}


@pytest.mark.parametrize("table", MAPPING_TABLES)
def test_a_mapping_is_added_by_its_owner_alone(console: Served, table: str) -> None:
    for role in Role:
        is_own = Permission.CHANGE_MAPPINGS in MAY[role] and owner_of(table) in DEPARTMENTS[role]
        person = console.person(role)
        for path in (f"/mappings/{table}/add", f"/mappings/{table}/preview"):
            answer = person.fetch(path)
            assert (answer.status_code != 403) is is_own, (role, path)
        answer = person.send(f"/mappings/{table}/add", "/account", note="x", shown="x")
        assert (answer.status_code != 403) is is_own, role
        if not is_own and Permission.CHANGE_MAPPINGS in MAY[role]:
            assert f"is {owner_of(table)}'s" in told(answer.text)


@pytest.mark.proves("R33")
def test_finance_adds_the_transaction_type_it_owns(console: Served, finance: Person, operations: Person) -> None:
    cells = {f"cell_{name}": cell for name, cell in FEE.items()}
    preview = finance.fetch("/mappings/transaction_types/preview", cells)
    fields = {**cells, "shown": fields_of(preview.text)["shown"], "note": "agreed with the auditor"}
    done = finance.did("/mappings/transaction_types/add", "/account", **fields)
    assert "The row is in transaction_types.csv" in done
    assert "SELLER_PENALTY_FEE" in (console.settings.mappings_dir / "transaction_types.csv").read_text()
    of_finance, of_operations = finance.get("/mappings"), operations.get("/mappings")
    assert "/mappings/transaction_types/add" in of_finance
    assert "/mappings/reasons/add" not in of_finance
    assert "/mappings/transaction_types/add" not in of_operations
    assert "/mappings/reasons/add" in of_operations


def test_the_queue_leads_each_department_to_what_is_its_own(console: Served) -> None:
    for role in Role:
        links = re.findall(r'href="/exceptions\?owner=(\w+)">Ours', console.person(role).get("/exceptions"))
        assert links == ([] if role is Role.ADMIN else list(DEPARTMENTS[role]))
