"""A source that fails is told once, with the setting to look at, and stops none of the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.responses import Response

from marketplace_returns_tests.cli.conftest import NOWHERE, Shell, variable


@pytest.mark.proves("R44")
def test_wrong_secrets_are_told_once_for_each_source_with_their_variables(shell: Shell) -> None:
    secrets = {"mirakl": "mirakl.api_key", "reveni": "returns.api_key", "peoplevox": "warehouse.password"}
    for secret in secrets.values():
        shell.set(variable(secret), "not-the-right-one")
    ended = shell.run("sync", "--lane", "refunds", "--json")
    assert ended.code == 1
    (report,) = ended.document["passes"]
    failures = {failure["stream"].partition("/")[0]: failure for failure in report["failures"]}
    assert len(report["failures"]) == len(failures) == report["critical_open"] == 3
    for source, secret in secrets.items():
        assert failures[source]["error"] == "AuthFailed"
        assert variable(secret) in failures[source]["message"]
    assert "mirakl/return" in failures["mirakl"]["left_out"]
    assert "not-the-right-one" not in ended.all
    listed = shell.run("exceptions", "list", "--json")
    assert listed.code == 1
    assert {each["type"] for each in listed.document["exceptions"]} == {"AUTH_FAILED"}


@pytest.mark.played
def test_unreachable_host_is_told_with_its_address_and_the_pass_goes_on(shell: Shell) -> None:
    shell.set(variable("warehouse.base_url"), f"{NOWHERE}/peoplevox")
    ended = shell.run("sync", "--lane", "refunds")
    assert ended.code == 1
    assert f"shops.asos_uk.warehouse.base_url = {NOWHERE}/peoplevox" in " ".join(ended.out.split())
    assert "refunds" in ended.out
    (told,) = shell.run("exceptions", "list", "--json").document["exceptions"]
    assert (told["type"], told["entity"]) == ("SOURCE_STALE", {"stream": "peoplevox/despatch"})
    again = shell.run("backfill", "--from", "2026-10-01", "--to", "2026-10-01", "--json")
    assert again.code == 1
    assert [failure["stream"] for failure in again.document["failures"]] == ["peoplevox/despatch"]
    assert "mirakl/order" in {row["stream"] for row in again.document["streams"]}


def test_page_of_malformed_orders_is_set_aside_with_reasons_and_the_pass_goes_on(shell: Shell) -> None:
    assert shell.sandbox is not None
    whole = shell.sandbox.gate.app
    bad = [{"order_id": f"BAD-{n}", "order_lines": "none", "customer": {"firstname": "Samantha"}} for n in range(3)]

    async def malformed(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/mirakl/api/orders":
            await whole(scope, receive, send)
            return
        body = msgspec.json.encode({"orders": bad, "total_count": len(bad)})
        await Response(body, media_type="application/json")(scope, receive, send)

    shell.sandbox.gate.app = malformed
    (report,) = shell.run("sync", "--lane", "refunds", "--json").document["passes"]
    assert report["failures"] == []
    pulled = {pull["stream"]: pull for pull in report["pulls"]}
    assert (pulled["mirakl/order"]["objects"], pulled["mirakl/order"]["quarantined"]) == (3, 3)
    assert pulled["mirakl/offer"]["objects"] == 6
    listed = shell.run("exceptions", "list")
    assert "SCHEMA_CHANGED" in listed.out
    assert "3 of mirakl/order set aside in landing.quarantine" in " ".join(listed.out.split())
    assert "order_lines is missing or not a list" in " ".join(listed.out.split())
    assert "Samantha" not in listed.all


@pytest.mark.played
def test_broken_row_of_an_extract_is_told_with_its_line_until_the_file_is_whole(shell: Shell) -> None:
    shell.change('store_id = "sandbox-store"', 'store_id = "sandbox-store"\nread = "extract"')
    shell.change('read = "api"                          # api | extract\n# extract_path', "# extract_path")
    folder = shell.folder / "data" / "extracts" / "asos_uk" / "reveni"
    folder.mkdir(parents=True)
    header = "return_id,order_external_id,status,currency,created_at,updated_at\n"
    good = "R1,ORDER-1-A,RECEIVED,GBP,2026-10-01T08:00:00Z,2026-10-01T09:00:00Z\n"
    returns = folder / "reveni_returns_20261001.csv"
    returns.write_text(header + good + "R2,ORDER-2-A\n")
    (folder / "reveni_return_items_20261001.csv").write_text("return_id,item_id,sku,quantity\nR1,I1,SKU-1,1\n")
    (report,) = shell.run("sync", "--lane", "refunds", "--json").document["passes"]
    assert {"stream": "reveni/return", "objects": 1, "quarantined": 1}.items() <= {
        key: pull[key] for pull in report["pulls"] if pull["stream"] == "reveni/return" for key in pull
    }.items()
    (told,) = shell.run("exceptions", "list", "--json").document["exceptions"]
    assert told["type"] == "SCHEMA_CHANGED"
    assert "extract file reveni_returns_20261001.csv: line 3 has 2 values for 6 columns" in told["message"]
    returns.write_text(header + good)
    shell.run("sync", "--lane", "refunds")
    assert shell.run("exceptions", "list", "--json").document["exceptions"] == []
