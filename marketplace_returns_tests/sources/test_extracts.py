"""Extract files: the same objects as the API, each file once, and nothing stopped by a broken one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

from marketplace_returns.errors import BadSettings
from marketplace_returns.settings import Settings, WarehouseSettings
from marketplace_returns.sources.extract_folder import Folder
from marketplace_returns.sources.extracts import (
    BrokenFile,
    ExtractFile,
    day_files,
    new_files,
    peoplevox_files,
)

RETURNS = (
    "return_id,order_external_id,order_name,status,transaction_type,is_instant,currency,total_amount,refund_amount,"
    "restock_choice,carrier,tracking_number,label_url,created_at,shipped_at,received_at,resolved_at,updated_at\n"
)
ITEMS = (
    "return_id,item_id,sku,quantity,unit_price,tax_amount,return_reason,exchange,review_result,reject_reason,"
    "reject_reason_text\n"
)
RETURN = (
    "R1,ORDER-1-A,ORDER-1,RECEIVED,REFUND,false,GBP,12.50,12.50,,Royal Mail,TRK1,,2026-07-01T08:00:00Z,,,,"
    "2026-07-02T08:00:00Z\n"
)
ITEM = 'R1,I1,SKU-1,1,12.50,2.08,size,"{""sku"": ""SKU-2""}",,,\n'
STOCK = '"Item code","Available","On hand","Site reference"\n'
WAREHOUSE = WarehouseSettings(site="MAIN", time_zone="Europe/London", read="extract")


def drop(folder: Path, name: str, text: str | bytes) -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def drop_day(folder: Path, day: str = "20260702", returns: str = RETURN, items: str = ITEM) -> None:
    drop(folder, f"reveni_returns_{day}.csv", RETURNS + returns)
    drop(folder, f"reveni_return_items_{day}.csv", ITEMS + items)


def read(
    events: Iterator[ExtractFile | BrokenFile],
) -> tuple[list[dict[str, Any]], list[ExtractFile], list[BrokenFile]]:
    objects: list[dict[str, Any]] = []
    files: list[ExtractFile] = []
    broken: list[BrokenFile] = []
    for event in events:
        if isinstance(event, BrokenFile):
            broken.append(event)
        else:
            files.append(event)
            objects += [item for page in event.pages() for item in page]
    return objects, files, broken


def read_reveni(folder: Path, taken: frozenset[str] = frozenset()) -> Any:
    return read(day_files(Folder(str(folder)), "reveni", taken))


def read_peoplevox(folder: Path, taken: frozenset[str] = frozenset()) -> Any:
    return read(peoplevox_files(Folder(str(folder)), WAREHOUSE, taken))


def test_a_dropped_return_has_the_shape_of_the_api(tmp_path: Path) -> None:
    drop_day(tmp_path)
    (found,), (file,), broken = read_reveni(tmp_path)
    assert found == {
        "id": "R1",
        "order": {"external_id": "ORDER-1-A", "name": "ORDER-1"},
        "status": "received",
        "type": "refund",
        "is_instant": False,
        "currency": "GBP",
        "total_amount": "12.50",
        "refund_amount": "12.50",
        "restock_choice": None,
        "delivery": {"carrier": "Royal Mail", "tracking_number": "TRK1", "label_url": None},
        "created_at": "2026-07-01T08:00:00Z",
        "shipped_at": None,
        "received_at": None,
        "resolved_at": None,
        "updated_at": "2026-07-02T08:00:00Z",
        "return_items": [
            {
                "id": "I1",
                "sku": "SKU-1",
                "quantity": 1,
                "unit_price": "12.50",
                "tax_amount": "2.08",
                "return_reason": "size",
                "exchange": {"sku": "SKU-2"},
                "status": "pending",
                "reject_reason": None,
                "reject_reason_text": None,
            }
        ],
    }
    assert file.stream == "reveni/return"
    assert (file.broken_rows, broken) == ([], [])


def test_a_file_is_taken_once_and_again_when_its_content_changed(tmp_path: Path) -> None:
    drop_day(tmp_path)
    _, (file,), _ = read_reveni(tmp_path)
    taken = file.hashes
    assert read_reveni(tmp_path, taken) == ([], [], [])
    drop_day(tmp_path, items=ITEM.replace("size", "colour"))
    (changed,), (again,), _ = read_reveni(tmp_path, taken)
    assert changed["return_items"][0]["return_reason"] == "colour"
    assert read_reveni(tmp_path, taken | again.hashes) == ([], [], [])


def test_days_come_in_order_and_a_day_waits_for_both_its_files(tmp_path: Path) -> None:
    drop_day(tmp_path, "20260703", RETURN.replace("R1", "R3"), "")
    drop_day(tmp_path, "20260702", RETURN.replace("R1", "R2"), "")
    drop(tmp_path, "reveni_returns_20260704.csv", RETURNS + RETURN)
    objects, _, broken = read_reveni(tmp_path)
    assert [item["id"] for item in objects] == ["R2", "R3"]
    assert [(file.name, "reveni_return_items_20260704.csv" in file.reason) for file in broken] == [
        ("reveni_returns_20260704.csv", True)
    ]


def test_broken_rows_are_told_with_their_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = "R0,too,short\n" + RETURN + ",".join([""] * 18) + "\n" + RETURN.replace("R1", "R2").replace("R2", '"R2"x', 1)
    drop_day(tmp_path, returns=rows + RETURN.replace("R1", "R3"), items=ITEM + ITEM.replace("R1", "R9"))
    objects, (file,), _ = read_reveni(tmp_path)
    assert [item["id"] for item in objects] == ["R1", "R3"]
    told = [(row.name, row.line) for row in file.broken_rows]
    assert told == [
        ("reveni_returns_20260702.csv", 2),
        ("reveni_returns_20260702.csv", 5),
        ("reveni_return_items_20260702.csv", 3),
    ]
    assert "R9" in file.broken_rows[-1].reason


def test_a_row_without_its_key_is_a_broken_row(tmp_path: Path) -> None:
    drop_day(tmp_path, returns=RETURN.replace("R1", "", 1) + RETURN)
    objects, (file,), _ = read_reveni(tmp_path)
    assert [item["id"] for item in objects] == ["R1"]
    assert [(row.line, row.reason) for row in file.broken_rows] == [(2, "has no return_id")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (RETURNS.encode() + b"\xff\xfe\n", "UTF-8"),
        (b"return_id,status\nR1,received\n", "order_external_id"),
        (RETURNS.replace("shipped_at", "carrier").encode(), "twice"),
        (b'"return_id"x,status\n', "header"),
    ],
)
def test_a_broken_file_is_told_and_the_next_day_goes_on(tmp_path: Path, content: bytes, reason: str) -> None:
    drop_day(tmp_path, "20260701")
    drop(tmp_path, "reveni_returns_20260701.csv", content)
    drop_day(tmp_path, "20260702")
    objects, _, broken = read_reveni(tmp_path)
    assert [item["id"] for item in objects] == ["R1"]
    assert [file.name for file in broken] == ["reveni_returns_20260701.csv"]
    assert reason in broken[0].reason


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    drop_day(tmp_path)
    drop(tmp_path, "reveni_returns_20260702.csv", b"\xef\xbb\xbf" + (RETURNS + RETURN).encode())
    assert [item["id"] for item in read_reveni(tmp_path)[0]] == ["R1"]


def test_half_written_files_and_strangers_are_left(tmp_path: Path) -> None:
    for name in ("reveni_returns_20260702.csv.tmp", "reveni_returns_20260702.csv.part", "README.md"):
        drop(tmp_path, name, "x")
    (tmp_path / "sub.csv").mkdir()
    assert read_reveni(tmp_path) == ([], [], [])
    drop(tmp_path, "orders.csv", "a,b\n")
    assert [file.name for file in read_reveni(tmp_path)[2]] == ["orders.csv"]


def test_a_file_that_grows_while_it_is_read_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_day(tmp_path)
    local = type(fsspec.filesystem("file"))
    info = local.info
    sizes = iter(range(10**6))

    def growing(self: Any, path: str, **options: Any) -> dict[str, Any]:
        told: dict[str, Any] = info(self, path, **options)
        return told | {"size": told["size"] + next(sizes)}

    monkeypatch.setattr(local, "info", growing)
    assert read_reveni(tmp_path) == ([], [], [])


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert read_reveni(tmp_path / "later") == ([], [], [])


def test_an_address_that_cannot_be_opened_names_the_mend() -> None:
    with pytest.raises(BadSettings, match="extract_path"):
        Folder("nosuch://bucket/folder")


def test_other_filesystems_than_the_local_one_are_read() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/drop/reveni_returns_20260702.csv", (RETURNS + RETURN).encode())
    memory.pipe("/drop/reveni_return_items_20260702.csv", (ITEMS + ITEM).encode())
    try:
        objects, _, broken = read(day_files(Folder("memory://drop"), "reveni", frozenset()))
    finally:
        memory.rm("/drop", recursive=True)
    assert [item["id"] for item in objects] == ["R1"]
    assert broken == []


def test_a_dropped_report_gives_the_rows_of_the_api(tmp_path: Path) -> None:
    header = (
        '"Despatch number","Salesorder number","Item code","No of items","Carrier","Site reference","Despatch date",'
        '"Email","Item tags"\n'
    )
    row = '"D1","O1","SKU-1","1","DPD","MAIN","\'01/07/2026 09:03\'","nobody@example.test","new"\n'
    drop(tmp_path, "PVX_Despatch summary_202607011200.csv", header + row + row + row.replace("MAIN", "OTHER") + '""\n')
    rows, (file,), broken = read_peoplevox(tmp_path)
    assert rows[0] == {
        "despatch_number": "D1",
        "sales_order_number": "O1",
        "item_code": "SKU-1",
        "quantity": "1",
        "carrier": "DPD",
        "site": "MAIN",
        "despatched_at": "2026-07-01T08:03:00Z",
        "Item tags": "new",
        "row_no": 1,
    }
    assert [row["row_no"] for row in rows] == [1, 2]
    assert (file.stream, file.other_site_rows, broken) == ("peoplevox/despatch", 1, [])


def test_stock_that_came_back_to_an_earlier_figure_is_taken_again(tmp_path: Path) -> None:
    same = STOCK + '"SKU-1","3","3","MAIN"\n'
    drop(tmp_path, "PVX_Item inventory summary_202607011200.csv", same)
    _, (file,), _ = read_peoplevox(tmp_path)
    drop(tmp_path, "PVX_Item inventory summary_202607021200.csv", same)
    rows, (again,), _ = read_peoplevox(tmp_path, file.hashes)
    assert len(rows) == 1
    assert again.names == ("PVX_Item inventory summary_202607021200.csv",)


def test_a_report_that_is_not_read_or_lacks_a_column_is_told(tmp_path: Path) -> None:
    drop(tmp_path, "PVX_User activity_202607011200.csv", '"UserName"\n')
    drop(tmp_path, "PVX_Item inventory summary_202607011200.csv", '"Item code"\n"SKU-1"\n')
    drop(tmp_path, "PVX_Item_inventory_summary_202607011300.csv", STOCK + '"SKU-1","3","3","MAIN"\n')
    rows, _, broken = read_peoplevox(tmp_path)
    assert len(rows) == 1
    assert {file.name: file.reason for file in broken}.keys() == {
        "PVX_User activity_202607011200.csv",
        "PVX_Item inventory summary_202607011200.csv",
    }
    assert any("'Available'" in file.reason for file in broken)


def test_a_report_tells_when_it_was_exported(tmp_path: Path) -> None:
    drop(tmp_path, "PVX_Item inventory summary_202607011200.csv", STOCK)
    drop(tmp_path, "PVX_Item inventory summary_202613011200.csv", STOCK)
    _, (file,), (broken,) = read_peoplevox(tmp_path)
    assert file.exported_at == datetime(2026, 7, 1, 11, tzinfo=UTC)
    assert broken.name == "PVX_Item inventory summary_202613011200.csv"


def test_without_a_site_in_the_settings_the_sites_are_not_mixed(tmp_path: Path) -> None:
    drop(
        tmp_path,
        "PVX_Item inventory summary_202607011200.csv",
        STOCK + '"SKU-1","3","3","MAIN"\n"SKU-1","9","9","OTHER"\n',
    )
    any_site = WarehouseSettings(time_zone="Europe/London", read="extract")
    rows, (file,), _ = read(peoplevox_files(Folder(str(tmp_path)), any_site, frozenset()))
    assert [row["available"] for row in rows] == ["3"]
    assert [(row.line, "OTHER" in row.reason) for row in file.broken_rows] == [(3, True)]


RMAS = (
    "rmaId,externalId,status,order_name,orderId,createdAt,lastUpdated,isOutOfPolicy,shipmentId,shipmentStatus,"
    "carrierName,trackingNumber,labelURL\n"
)
RMA = (
    "RMA7,RT-1,Validated,ORDER-1-A,99,2026-07-01T08:00:00+00:00,2026-07-02T08:00:00+00:00,0,5,Shipped,Evri,TRK1,"
    "https://labels.invalid/7\n"
)
RMA_ITEMS = (
    "rmaId,returnedItemId,externalId,sku,currency,paidPrice,paidTax,returnReason,isReturned,isRestockable,"
    "lastValidationDate,transactionId,transactionType,transactionStatus,transactionAmount,transactionCreatedAt\n"
)
RMA_ITEM = (
    "RMA7,{unit},ORDER-1-A-1,SKU-1,GBP,12.50,2.08,too_big,1,{restockable},2026-07-02T08:00:00+00:00,31,"
    "RefundToPaymentMethod,Requested,25.00,2026-07-02T08:00:00+00:00\n"
)


def drop_rmas(folder: Path, rmas: str = RMA, items: str = "") -> None:
    units = items or RMA_ITEM.format(unit=71, restockable=1) + RMA_ITEM.format(unit=72, restockable=0)
    drop(folder, "returngo_rmas_20260702.csv", RMAS + rmas)
    drop(folder, "returngo_rma_items_20260702.csv", RMA_ITEMS + units)


def read_returngo(folder: Path, taken: frozenset[str] = frozenset()) -> Any:
    return read(day_files(Folder(str(folder)), "returngo", taken))


def test_a_dropped_rma_has_the_shape_of_the_api(tmp_path: Path) -> None:
    drop_rmas(tmp_path)
    (found,), (file,), broken = read_returngo(tmp_path)
    money = {"amount": "12.50", "currency": "GBP"}
    first, second = found.pop("items")
    assert found == {
        "externalId": "RT-1",
        "createdAt": "2026-07-01T08:00:00+00:00",
        "lastUpdated": "2026-07-02T08:00:00+00:00",
        "isOutOfPolicy": "0",
        "rmaSummary": {"rmaId": "RMA7", "status": "Validated", "order_name": "ORDER-1-A"},
        "orderDetails": {"orderId": "99", "order_name": "ORDER-1-A"},
        "shipments": [
            {
                "shipmentId": "5",
                "status": "Shipped",
                "carrierName": "Evri",
                "trackingNumber": "TRK1",
                "labelURL": "https://labels.invalid/7",
            }
        ],
        "transactions": [
            {
                "id": "31",
                "type": "RefundToPaymentMethod",
                "status": "Requested",
                "processor": None,
                "externalReferenceId": None,
                "externalReferenceType": None,
                "createdAt": "2026-07-02T08:00:00+00:00",
                "lastUpdated": None,
                "amount": {"amount": "25.00", "currency": "GBP"},
                "returnItemIds": ["71", "72"],
            }
        ],
    }
    assert first == {
        "returnedItemId": "71",
        "externalId": "ORDER-1-A-1",
        "sku": "SKU-1",
        "returnReason": "too_big",
        "paidPrice": money,
        "paidTax": {"amount": "2.08", "currency": "GBP"},
        "itemValidationStatusResponse": {
            "isRestockable": "1",
            "isReturned": "1",
            "nonRestockableReason": None,
            "nonReturnedReason": None,
            "lastValidationDate": "2026-07-02T08:00:00+00:00",
        },
    }
    assert second["itemValidationStatusResponse"]["isRestockable"] == "0"
    assert (file.stream, file.broken_rows, broken) == ("returngo/return", [], [])


def test_a_unit_without_its_rma_and_a_file_without_its_twin_are_told(tmp_path: Path) -> None:
    drop_rmas(tmp_path, items=RMA_ITEM.format(unit=71, restockable=1) + RMA_ITEM.replace("RMA7", "RMA8"))
    drop(tmp_path, "returngo_rmas_20260703.csv", RMAS + RMA)
    (found,), (file,), (lonely,) = read_returngo(tmp_path)
    assert len(found["items"]) == 1
    assert [(row.line, "RMA8" in row.reason) for row in file.broken_rows] == [(3, True)]
    assert lonely.reason == "waits for returngo_rma_items_20260703.csv; drop both files of a day"


def test_a_shop_that_reads_returngo_from_files_needs_no_address(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "shops": {
                "asos_uk": {
                    "marketplace": "asos",
                    "currency": "GBP",
                    "time_zone": "Europe/London",
                    "mirakl": {"base_url": "https://example.mirakl.net", "shop_id": 1},
                    "returns": {"platform": "returngo", "read": "extract", "extract_path": str(tmp_path / "rmas")},
                }
            },
        }
    )
    (tmp_path / "rmas").mkdir()
    drop_rmas(tmp_path / "rmas")
    found, _, _ = read(new_files(settings, settings.shops["asos_uk"], "returngo", frozenset()))
    assert [rma["rmaSummary"]["rmaId"] for rma in found] == ["RMA7"]


def test_each_system_has_its_own_folder_of_the_shop(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "shops": {
                "asos_uk": {
                    "marketplace": "asos",
                    "currency": "GBP",
                    "time_zone": "Europe/London",
                    "mirakl": {"base_url": "https://example.mirakl.net", "shop_id": 1},
                    "returns": {"platform": "reveni", "read": "extract"},
                    "warehouse": {"read": "extract", "site": "MAIN", "extract_path": str(tmp_path / "pvx")},
                }
            },
        }
    )
    shop = settings.shops["asos_uk"]
    (tmp_path / "extracts/asos_uk/reveni").mkdir(parents=True)
    (tmp_path / "pvx").mkdir()
    drop_day(tmp_path / "extracts/asos_uk/reveni")
    drop(tmp_path / "pvx", "PVX_Item inventory summary_202607011200.csv", STOCK + '"SKU-1","3","3","MAIN"\n')
    assert [item["id"] for item in read(new_files(settings, shop, "reveni", frozenset()))[0]] == ["R1"]
    assert [item["item_code"] for item in read(new_files(settings, shop, "peoplevox", frozenset()))[0]] == ["SKU-1"]
    with pytest.raises(BadSettings, match="extract"):
        new_files(settings, shop, "rebound", frozenset())


def test_a_large_file_comes_in_pages(tmp_path: Path) -> None:
    rows = "".join(f'"SKU-{number}","1","1","MAIN"\n' for number in range(1001))
    drop(tmp_path, "PVX_Item inventory summary_202607011200.csv", STOCK + rows)
    (event,) = (
        [len(page) for page in event.pages()]
        for event in peoplevox_files(Folder(str(tmp_path)), WAREHOUSE, frozenset())
        if isinstance(event, ExtractFile)
    )
    assert event == [500, 500, 1]


REBOUND_RETURNS = (
    "id,order_reference,external_id,date_added,current_tracking_status,tracking_last_update,carrier,tracking,"
    "verification_entity,country\n"
)
REBOUND_ITEMS = "return_id,sku_code,quantity,price,reason,wish,final_disposition,custom_field1,custom_field2\n"


def drop_rebound(folder: Path, day: str = "20260702", returns: str = "", items: str = "") -> None:
    drop(folder, f"rebound_returns_{day}.csv", REBOUND_RETURNS + returns)
    drop(folder, f"rebound_return_items_{day}.csv", REBOUND_ITEMS + items)


def test_a_dropped_rebound_return_has_the_shape_of_the_api(tmp_path: Path) -> None:
    drop_rebound(
        tmp_path,
        returns="R1,ORDER-1-A,RT-1,2026-07-01 08:00:00,delivered,2026-07-02 09:30:00,DPD,TRK1,,GB\n",
        items="R1,SKU-1,1,12.50,size,refund,,,LINE-1\nR1,SKU-1,1,12.50,size,,wrong_item,SKU-2,LINE-1\n",
    )
    (found,), (file,), broken = read(day_files(Folder(str(tmp_path)), "rebound", frozenset()))
    assert (found["id"], found["external_id"], found["order_reference"]) == ("R1", "RT-1", "ORDER-1-A")
    assert (found["status"], found["date_added"]) == ("delivered", "2026-07-01T08:00:00+00:00")
    assert found["track"] == [{"dt": "2026-07-02T09:30:00+00:00", "status": "delivered", "country": None}]
    assert [(item["item_id"], item["line_key"], item["received_sku"]) for item in found["item"]] == [
        ("1", "LINE-1", None),
        ("2", "LINE-1", "SKU-2"),
    ]
    assert found["item"][0]["reason"] == [{"reason": "size", "action": None, "wish": "refund"}]
    assert (file.stream, file.exported_at) == ("rebound/return", datetime(2026, 7, 2, tzinfo=UTC))
    assert (file.broken_rows, broken) == ([], [])


def test_rebound_files_that_are_none_or_half_are_told(tmp_path: Path) -> None:
    drop_rebound(tmp_path, items="R9,SKU-1,1,12.50,size,refund,,,LINE-1\n")
    drop(tmp_path, "rebound_returns_20260703.csv", REBOUND_RETURNS)
    drop(tmp_path, "reveni_returns_20260703.csv", RETURNS)
    drop_rebound(tmp_path, day="20261399")
    objects, (file,), broken = read(day_files(Folder(str(tmp_path)), "rebound", frozenset()))
    assert objects == []
    assert [row.reason for row in file.broken_rows] == [
        "belongs to return 'R9', which rebound_returns_20260702.csv does not have"
    ]
    assert sorted(each.reason.split(";")[0] for each in broken) == [
        "is not named like an export (rebound_returns_YYYYMMDD.csv)",
        "is of no day there is (20261399)",
        "waits for rebound_return_items_20260703.csv",
    ]
