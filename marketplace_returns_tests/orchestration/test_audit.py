"""The system audit: a clean installation has no gap, each seeded misconfiguration is found with its fix, and nothing is sent."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from marketplace_returns.clock import FixedClock, SystemClock
from marketplace_returns.lake.tables import REVENI_REFUNDS
from marketplace_returns.lanes.plan import IntentPlan, LaneDecision
from marketplace_returns.ledger.outcomes import Ready, Rejected
from marketplace_returns.mappings import load_mappings
from marketplace_returns.orchestration.app import App
from marketplace_returns.orchestration.audit import AREAS, Audit, Finding, inspect
from marketplace_returns.orchestration.audit.storage import filesystem_of
from marketplace_returns.orchestration.sync import run_pass
from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import RunningSandbox, running_sandbox
from marketplace_returns.settings import AlertSettings, Settings, WriteKind
from marketplace_returns_tests.lanes.core_rows import empty_lake
from marketplace_returns_tests.orchestration.conftest import MAPPINGS, SHOP, settings_for

pytestmark = pytest.mark.proves("R116")

NOWHERE = "http://127.0.0.1:9/nowhere"
CLEAN = WorldConfig(orders=6, days=1, skus=6)


@contextmanager
def opened(
    folder: Path, sandbox: RunningSandbox, change: Callable[[Settings], Settings] | None = None
) -> Iterator[App]:
    settings = settings_for(sandbox, folder / "data")
    shutil.copytree(empty_lake(), settings.data_dir / "lake")  # making one anew costs seconds
    app = App.open(change(settings) if change else settings, FixedClock(sandbox.world.clock.now()))
    try:
        yield app
    finally:
        app.close()


def audited(folder: Path, config: WorldConfig, change: Callable[[Settings], Settings] | None = None) -> Audit:
    """Audit a shop in a world of its own; whatever is wrong with it, nothing is sent."""
    with running_sandbox(config) as sandbox:
        sandbox.advance(timedelta(hours=13))
        with opened(folder, sandbox, change) as app:
            audit = inspect(app, SHOP, run_id="test")
        assert not sandbox.gate.writes
        assert sandbox.gate.calls
        return audit


def gap(audit: Audit, area: str, words: str) -> Finding:
    """Return the one gap of an area whose subject or finding holds some words."""
    found = [each for each in audit.gaps if each.area == area and words in f"{each.subject} {each.finding}"]
    assert len(found) == 1, [f"{each.area}: {each.subject}: {each.finding}" for each in audit.gaps]
    assert found[0].fix.endswith(".")
    assert found[0].shop == SHOP
    return found[0]


def shop_changed(settings: Settings, section: str, **values: object) -> Settings:
    """Return the settings with some keys of a section of the shop changed."""
    shop = settings.shops[SHOP].model_dump()
    for name in ("mirakl", "returns", "warehouse"):  # secrets are shown hidden
        for key in ("api_key", "password", "webhook_secret"):
            secret = getattr(getattr(settings.shops[SHOP], name), key, None)
            if secret is not None:
                shop[name][key] = secret
    shop[section] |= values
    return Settings(data_dir=settings.data_dir, mappings_dir=settings.mappings_dir, shops={SHOP: shop})  # type: ignore[arg-type]


def test_a_clean_installation_has_no_gap_and_is_sent_nothing(tmp_path: Path) -> None:
    audit = audited(tmp_path, CLEAN)
    assert audit.gaps == ()
    assert set(audit.areas) == set(AREAS)
    assert any("partial refunds" in note.subject for note in audit.findings)


@pytest.mark.proves("R50", "R87", "C4")
def test_every_seeded_misconfiguration_is_found_with_its_fix(tmp_path: Path) -> None:
    with running_sandbox(CLEAN) as sandbox:
        skus = list(sandbox.world.products)
    config = replace(
        CLEAN,
        shop_state="SUSPENDED",
        returns_api=False,
        order_acceptance="AUTOMATIC",
        hidden_reasons=("17", "RETURN_NON_COMPLIANT_OTHER"),
        extra_reasons=(("RETURN", "RETURN_ITCHY"),),
        hidden_carriers=("EVRI",),
        item_spellings=((skus[0], ""), (skus[1], skus[1].lower()), (skus[2], skus[2].replace("-", " -", 1))),
        extra_items=("NOT-ON-SALE",),
        platform_refunds=True,
        clock_skews_s=(("peoplevox", 600),),
        forbidden_operations=("TL02",),
    )

    def change(settings: Settings) -> Settings:
        return shop_changed(settings, "policy", carrier_unmapped="unregistered", product_master="", accept="in_stock")

    audit = audited(tmp_path, config, change)
    assert gap(audit, "permissions", "SUSPENDED").level == "critical"
    gap(audit, "permissions", "features.returns.marketplace")
    gap(audit, "permissions", "accepts orders by itself")
    gap(audit, "permissions", "disable_seller_alternative_carrier")
    gap(audit, "mappings", "mirakl_refund 17")
    gap(audit, "mappings", "RETURN_NON_COMPLIANT_OTHER")
    gap(audit, "mappings", "create_return RETURN_ITCHY")
    gap(audit, "mappings", "refund RETURN_ITCHY")
    gap(audit, "mappings", "carrier unknown: EVRI")
    assert "skus.csv" in gap(audit, "catalogue", f"missing {skus[0]}").fix
    gap(audit, "catalogue", f"case {skus[1]}")
    gap(audit, "catalogue", f"whitespace {skus[2]}")
    gap(audit, "catalogue", "NOT-ON-SALE")
    gap(audit, "returns platform", "auto_refund")
    assert "0:10:00 fast" in gap(audit, "clocks", "peoplevox").finding
    assert "TL02" in gap(audit, "access", "mirakl/transaction").fix
    gap(audit, "settings", "policy.product_master")
    assert {each.area for each in audit.gaps} >= {
        "permissions",
        "mappings",
        "catalogue",
        "clocks",
        "access",
        "settings",
    }
    assert [each.level for each in audit.findings] == sorted(
        (each.level for each in audit.findings), key=["critical", "high", "medium", "low", "note"].index
    )


def test_what_cannot_be_reached_is_told_once_and_stops_nothing_else(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        settings = shop_changed(settings, "mirakl", api_key="wrong")
        settings = shop_changed(settings, "returns", base_url=NOWHERE)
        return shop_changed(settings, "warehouse", password="wrong")

    audit = audited(tmp_path, CLEAN, change)
    assert "MIRAKL__API_KEY" in gap(audit, "access", "mirakl: the key is not accepted").finding
    gap(audit, "access", "reveni: it cannot be reached")
    gap(audit, "access", "peoplevox: the key is not accepted")
    gap(audit, "permissions", "never read")
    assert set(audit.areas) == set(AREAS)


def test_a_missing_secret_and_another_shops_id_are_found(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        return shop_changed(shop_changed(settings, "warehouse", password=None), "mirakl", shop_id=2002)

    audit = audited(tmp_path, CLEAN, change)
    assert "WAREHOUSE__PASSWORD" in gap(audit, "settings", "warehouse.password").fix
    assert any(each.area == "access" and each.subject.startswith("mirakl") for each in audit.gaps)


def test_owners_whom_no_alert_channel_takes_are_found(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        channels = {"chat": {"owners": ["operations", "warehouse", "finance", "customer_experience"]}}
        return settings.model_copy(update={"alerts": AlertSettings.model_validate({"channels": channels})})

    found = gap(audited(tmp_path, CLEAN, change), "settings", "alerts.channels")
    assert "the exceptions of integration:" in found.finding
    assert found.level == "low"


@pytest.mark.proves("R83")
def test_a_site_the_warehouse_does_not_know_is_found_and_takes_nothing_off_sale(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        return shop_changed(settings, "warehouse", site="MIAN")

    with running_sandbox(CLEAN) as sandbox:
        sandbox.advance(timedelta(hours=13))
        with opened(tmp_path, sandbox, change) as app:
            report = run_pass(app, SHOP, run_id="test", lanes=["stock"], everything=True)
            audit = inspect(app, SHOP, run_id="test")
        assert not sandbox.gate.writes
    assert [lane.new for lane in report.lanes] == [0]
    assert "shops.asos_uk.warehouse.site" in gap(audit, "catalogue", "site MIAN").fix


def test_translations_that_are_empty_late_or_not_the_sellers_are_found(tmp_path: Path) -> None:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    for table in MAPPINGS.glob("*.csv"):
        lines = table.read_text().splitlines()
        if table.stem == "reasons":
            lines = [line.replace(",17,,", ",14,,") if ",RETURN_CM_QUALITY," in line else line for line in lines]
            lines = [
                line.replace(",changed_mind,,", ",changed_mind,2099-01-01,")
                if ",RETURN_CHANGED_MIND," in line
                else line
                for line in lines
            ]
            lines = [line for line in lines if not line.startswith("peoplevox,missing,report_compliance,reveni")]
        if table.stem == "statuses":
            lines = [line for line in lines if not line.startswith("reveni,")]
        if table.stem == "commission_rates":
            lines = lines[:1]
        (mappings / table.name).write_text("\n".join(lines) + "\n")
    load_mappings(mappings)
    audit = audited(tmp_path, CLEAN, lambda settings: settings.model_copy(update={"mappings_dir": mappings}))
    assert "RETURN_CM_QUALITY" in gap(audit, "mappings", "target not sellers").finding
    gap(audit, "mappings", "valid from 2099-01-01")
    gap(audit, "mappings", "peoplevox missing")
    gap(audit, "mappings", "statuses.csv has no row for reveni")
    gap(audit, "mappings", "commission_rates.csv")


@pytest.mark.proves("R50", "C4")
def test_what_happened_counts_where_no_flag_tells(tmp_path: Path) -> None:
    with running_sandbox(CLEAN) as sandbox, opened(tmp_path, sandbox) as app:
        refuse_a_refund(app)
        refund_on_the_platform(app)
        slow = FixedClock(SystemClock().now() - timedelta(hours=2))
        audit = inspect(app, SHOP, run_id="test", wall=slow)
        assert not sandbox.gate.writes
    assert "Partial refunds are not allowed" in gap(audit, "permissions", "refund refused").finding
    assert "return P" in gap(audit, "returns platform", "refunds made").finding
    assert "2:00:00 slow" in gap(audit, "clocks", "this machine").finding


def refuse_a_refund(app: App) -> None:
    """Let the ledger keep a refund that was refused for want of a permission."""
    plan = IntentPlan(
        shop=SHOP,
        kind=WriteKind.REFUND,
        natural_key="L#1",
        body={},
        evidence={},
        order_id="O",
        amount_minor=5,
        currency="GBP",
    )
    app.ledger.apply(
        LaneDecision(lane="refunds", shop=SHOP, intents=(plan,), exceptions=(), considered=1), app.shop(SHOP)
    )
    claimed = app.ledger.claim(SHOP, WriteKind.REFUND, worker="w", limit=1)
    sending, _ = app.ledger.begin({each.intent_id: Ready({}) for each in claimed}, worker="w")
    refused = Rejected("403", "Partial refunds are not allowed", "permission", "REFUND_REJECTED_PERMISSION")
    app.ledger.finish(sending, {each.intent_id: refused for each in sending})


def refund_on_the_platform(app: App) -> None:
    """Let the lake hold a refund the platform executed itself."""
    now = app.clock.now()
    row = {
        "shop": SHOP,
        "platform_refund_id": "F",
        "platform_return_id": "P",
        "currency": "GBP",
        "amount_minor": 1,
        "status": "EXECUTED",
        "executed_at": now,
        "updated_at": now,
        "payload_hash": "h",
        "fetched_at": now,
        "run_id": "r",
    }

    def work(con: DuckDBPyConnection) -> None:
        con.execute(
            f"INSERT INTO {REVENI_REFUNDS.path} ({', '.join(row)}) VALUES ({', '.join('?' for _ in row)})",
            list(row.values()),
        )

    app.lake.transact(app.con, "test", "a refund", work)


def test_an_empty_extract_folder_and_a_broken_file_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "drops"
    folder.mkdir()

    (folder / "PVX_Despatch summary_202601010000.csv").write_bytes(b"\xff\xfe not utf-8")

    def change(settings: Settings) -> Settings:
        settings = shop_changed(settings, "warehouse", read="extract", extract_path=str(folder))
        return shop_changed(settings, "returns", read="extract")

    audit = audited(tmp_path, CLEAN, change)
    gap(audit, "extracts", "Despatch summary")
    gap(audit, "extracts", "reveni is read from files")


def test_the_kind_of_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\nhost:/share /srv/share nfs4 rw 0 0\n")
    assert filesystem_of(Path("/srv/share/data"), mounts) == "nfs4"
    assert filesystem_of(Path("/srv/other"), mounts) == "ext4"
    assert filesystem_of(Path("/srv"), tmp_path / "none") == ""


def test_an_accounting_system_that_cannot_hold_the_currency_is_told_before_the_month_ends(tmp_path: Path) -> None:
    def in_dinars(settings: Settings) -> Settings:
        shop = settings.shops[SHOP].model_copy(update={"currency": "KWD"})
        return settings.model_copy(update={"shops": {SHOP: shop}})

    found = gap(audited(tmp_path, CLEAN, in_dinars), "mappings", "journals for netsuite")
    assert "no journal for netsuite in KWD: its amounts have 3 decimals and netsuite holds 2" in found.finding


def test_an_accounting_system_that_would_take_vat_twice_is_told_before_the_month_ends(tmp_path: Path) -> None:
    found = gap(audited(tmp_path, replace(CLEAN, tax_mode="TAX_EXCLUDED")), "mappings", "VAT in journals for xero")
    assert "taxes come on top of the prices" in found.finding
    assert "'No VAT' for xero" in found.finding
