"""Settings: what loads is complete, and each mistake is one line that names the place and the mend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from marketplace_returns.errors import BadArgument, BadSettings
from marketplace_returns.settings import Settings, Switches, WriteKind, WriteMode, load_settings

GOOD = """
[shops.asos_uk]
marketplace = "asos"
currency = "GBP"
time_zone = "Europe/London"

[shops.asos_uk.mirakl]
base_url = "https://example.mirakl.net/"
shop_id = 2001

[shops.asos_uk.returns]
platform = "reveni"
base_url = "https://api.reveni.io"
store_id = "store-1"

[shops.asos_uk.warehouse]
base_url = "https://wms.peoplevox.net"
client_id = "client"
username = "user"
site = "MAIN"
"""
KEY = "MARKETPLACE_RETURNS__SHOPS__ASOS_UK__MIRAKL__API_KEY"


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that no .env or settings of this machine is read."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str) -> Settings:
    file = Path("shops.toml")
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def refusal(text: str) -> str:
    with pytest.raises(BadSettings) as refused:
        load(text)
    return str(refused.value)


REBOUND = GOOD.replace(
    'platform = "reveni"\nbase_url = "https://api.reveni.io"\nstore_id = "store-1"',
    'platform = "rebound"\nbase_url = "https://intelligentreturns.net"',
)


def test_rebound_needs_what_its_generation_is_called_with() -> None:
    assert "login is missing" in refusal(REBOUND)
    legacy = load(REBOUND.replace('platform = "rebound"', 'platform = "rebound"\nlogin = "us"')).shop("asos_uk").returns
    assert (legacy.api_path, legacy.look_back_days, legacy.open_days, legacy.calls_per_minute) == ("/api", 30, 180, 150)
    current = REBOUND.replace('platform = "rebound"', 'platform = "rebound"\ngeneration = "v2"\nclient_id = "us"')
    assert "token_url is missing" in refusal(current)
    with_token = current.replace('client_id = "us"', 'client_id = "us"\ntoken_url = "https://login.example/token"')
    assert load(with_token).shop("asos_uk").returns.api_path == "/return-orders"


@pytest.mark.parametrize(
    ("line", "mend"),
    [
        ('path = "api"', "is not a path"),
        ('path = "/api/"', "is not a path"),
        ('token_url = "http://login.example"', "write https://"),
        ('label_url_template = "https://portal.example/labels"', "names no return"),
        ('label_url_template = "http://portal.example/{id}"', "is not an https address"),
        ('label_url_template = "https://portal.example/{id}/{other}"', "is not an https address"),
        ("look_back_days = 90\nopen_days = 60", "open_days is shorter"),
        ("calls_per_minute = 1", "greater than or equal to 10"),
    ],
)
def test_a_wrong_rebound_setting_is_told_with_its_mend(line: str, mend: str) -> None:
    told = refusal(REBOUND.replace('platform = "rebound"', f'platform = "rebound"\nlogin = "us"\n{line}'))
    assert mend in told
    assert "shops.asos_uk.returns" in told


def test_defaults_are_those_of_the_contract() -> None:
    settings = load(GOOD)
    shop = settings.shop("asos_uk")
    assert (settings.data_dir, settings.mappings_dir) == (Path("data"), Path("mappings"))
    assert settings.timing.read_back_after_s == (30, 120, 300, 900)
    assert (settings.timing.connect_time_out_s, settings.timing.read_time_out_s) == (5, 45)
    assert settings.timing.not_applied_after_s == 600
    assert shop.mirakl.base_url == "https://example.mirakl.net"
    assert shop.mirakl.call_profile == "seller"
    assert shop.policy.model_dump(exclude={"accept_value_above"}) == {
        "accept": "all",
        "refund_trigger": "inspected",
        "refund_deadline_from": "received",
        "refund_deadline_hours": 336,
        "refund_at_deadline": "escalate",
        "refund_shipping": "never",
        "partial_refunds": "allowed",
        "send_proportional_taxes": False,
        "stock_authority": "wms_absolute",
        "stock_buffer": 0,
        "carrier_unmapped": "hold",
        "reason_unmapped_return": "hold",
        "return_origin": "mirakl",
        "return_label": "needed",
        "product_master": "",
        "inspected_by": "",
    }
    assert {shop.write_mode(kind) for kind in WriteKind} == {WriteMode.LIVE}
    assert len(WriteKind) == 13


def test_dates_of_journals_are_day_first_until_an_accounting_system_reads_them_otherwise() -> None:
    assert set(load(GOOD).journals.date_format.model_dump().values()) == {"dd/mm/yyyy"}
    american = load(f'{GOOD}[journals.date_format]\nquickbooks = "mm/dd/yyyy"\nxero = "dd mmm yyyy"\n')
    assert american.journals.date_format.model_dump() == {
        "xero": "dd mmm yyyy",
        "quickbooks": "mm/dd/yyyy",
        "netsuite": "dd/mm/yyyy",
        "sage": "dd/mm/yyyy",
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('quickbooks = "us"', "'us' is not allowed: use one of 'dd/mm/yyyy', 'mm/dd/yyyy', 'yyyy-mm-dd'"),
        ('xero = "mm/dd/yyyy"', "'mm/dd/yyyy' is not allowed: use one of 'dd/mm/yyyy', 'dd mmm yyyy'"),
        ('generic = "mm/dd/yyyy"', "is not a setting of this section: remove it or mend its name"),
    ],
)
def test_a_date_format_that_a_system_does_not_read_is_told_with_those_it_does(line: str, told: str) -> None:
    key = f"journals.date_format.{line.partition(' ')[0]}"
    assert refusal(f"{GOOD}[journals.date_format]\n{line}\n") == f"shops.toml, {key}: {told}"


@pytest.mark.proves("R108")
def test_a_tolerance_is_of_a_check_and_a_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(GOOD).shop("asos_uk").tolerances.in_words("GBP") == {
        check: {"GBP": "0.01"} for check in ("order_line", "refund", "commission", "refund_tax")
    }
    variable = "MARKETPLACE_RETURNS__SHOPS__ASOS_UK__TOLERANCES__REFUND__GBP"
    monkeypatch.setenv(variable, "0")
    said = f'{GOOD}[shops.asos_uk.tolerances]\nrefund = {{ GBP = "0.03", JPY = "2", KWD = "0.005" }}\ncommission = {{ EUR = 0.02 }}\n'
    tolerances = load(said).shop("asos_uk").tolerances
    assert tolerances.in_words("GBP") == {
        "order_line": {"GBP": "0.01"},
        "refund": {"GBP": "0.00", "JPY": "2", "KWD": "0.005"},
        "commission": {"GBP": "0.01", "EUR": "0.02"},
        "refund_tax": {"GBP": "0.01"},
    }
    assert set(tolerances.in_minor_units()) == {
        ("refund", "GBP", 0),
        ("refund", "JPY", 2),
        ("refund", "KWD", 5),
        ("commission", "EUR", 2),
    }


@pytest.mark.parametrize(
    ("line", "key", "told"),
    [
        ('refund = { GBP = "-0.01" }', "refund", "GBP -0.01 is no tolerance: write an amount from 0 to 10.00 in whole steps of 0.01"),
        ('refund = { GBP = "0.005" }', "refund", "GBP 0.005 is no tolerance: write an amount from 0 to 10.00 in whole steps of 0.01"),
        ('refund = { JPY = "0.01" }', "refund", "JPY 0.01 is no tolerance: write an amount from 0 to 1000 in whole steps of 1"),
        ('refund = { GBP = "10.01" }', "refund", "GBP 10.01 is no tolerance: write an amount from 0 to 10.00 in whole steps of 0.01"),
        ('refund = { GBP = "1e99" }', "refund", "GBP 1E+99 is no tolerance: write an amount from 0 to 10.00 in whole steps of 0.01"),
        ('refund = { GBP = "a penny" }', "refund.GBP", "'a penny' is wrong: input should be a valid decimal"),
        ('refund = { QUID = "0.01" }', "refund.QUID", "currency 'QUID' is not an ISO 4217 code: use three capital letters, such as GBP or EUR"),
        ('refund = "0.01"', "refund", "must be a section with keys of its own"),
        ('payout = { GBP = "0.01" }', "payout", "is not a setting of this section: remove it or mend its name"),
    ],
)  # fmt: skip
def test_a_wrong_tolerance_is_told_with_its_mend(line: str, key: str, told: str) -> None:
    place = f"shops.toml, shops.asos_uk.tolerances.{key}"
    assert refusal(f"{GOOD}[shops.asos_uk.tolerances]\n{line}\n") == f"{place}: {told}"


def test_the_shipped_settings_load() -> None:
    shipped = Path(__file__).parent.parent / "mappings" / "shops.toml"
    assert load_settings(shipped).shop("asos_uk").is_sandbox


@pytest.mark.proves("R78", "R115")
def test_write_switches_go_by_kind_then_default() -> None:
    shop = load(GOOD + '[shops.asos_uk.writes]\ndefault = "shadow"\nrefund = "off"\n').shop("asos_uk")
    assert shop.write_mode(WriteKind.REFUND) is WriteMode.OFF
    assert shop.write_mode(WriteKind.ACCEPT_ORDER) is WriteMode.SHADOW


@pytest.mark.proves("R115")
def test_a_switch_thrown_in_the_file_is_seen_at_the_next_look_for_every_kind() -> None:
    switches = Switches(load(GOOD))
    assert {switches.mode("asos_uk", kind) for kind in WriteKind} == {WriteMode.LIVE}
    for kind in WriteKind:
        load(f'{GOOD}\n[shops.asos_uk.writes]\n{kind} = "off"\n')
        off = {each for each in WriteKind if switches.mode("asos_uk", each) is WriteMode.OFF}
        assert off == {kind}
    Path("shops.toml").write_text("shops = ", encoding="utf-8")
    for _ in range(2):  # nothing is sent on settings that nobody can read
        with pytest.raises(BadSettings, match="not valid TOML"):
            switches.mode("asos_uk", WriteKind.REFUND)
    load(GOOD.replace("asos_uk", "asos_de"))
    assert switches.mode("asos_uk", WriteKind.REFUND) is WriteMode.OFF


def test_environment_goes_before_dotenv_and_dotenv_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "MARKETPLACE_RETURNS__DATA_DIR=from-dotenv\nMARKETPLACE_RETURNS__MAPPINGS_DIR=from-dotenv\nOTHER=1\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("MARKETPLACE_RETURNS__DATA_DIR", "from-environment")
    monkeypatch.setenv("MARKETPLACE_RETURNS__TIMING__READ_BACK_AFTER_S", "[1, 2]")
    settings = load('data_dir = "from-file"\nmappings_dir = "from-file"\nlake_storage = "from-file"\n' + GOOD)
    assert settings.data_dir == Path("from-environment")
    assert settings.mappings_dir == Path("from-dotenv")
    assert settings.lake_storage == "from-file"
    assert settings.timing.read_back_after_s == (1, 2)


def test_file_is_named_by_the_variable_or_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings, match=r"mappings/shops\.toml: there is no such settings file"):
        load_settings()
    Path("mappings").mkdir()
    Path("mappings/shops.toml").write_text(GOOD, encoding="utf-8")
    assert load_settings().shops
    monkeypatch.setenv("MARKETPLACE_RETURNS_CONFIG", "elsewhere.toml")
    with pytest.raises(BadSettings, match=r"elsewhere\.toml \(named by MARKETPLACE_RETURNS_CONFIG\)"):
        load_settings()


@pytest.mark.proves("R44")
@pytest.mark.parametrize("secret", ["a-made-up-key", "12345", "true", "[1]", '{"a":1}'])
def test_secret_comes_from_the_environment_as_it_is_and_shows_nowhere(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, secret)
    settings = load(GOOD)
    assert settings.shop("asos_uk").mirakl.secret() == secret
    if len(secret) > 4:
        assert secret not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize("secret", ["a-made up-key", "a-made-up-key\n", "a-made-\u00fcp-key", "a-made\x00up-key"])
def test_key_that_no_call_can_carry_is_told_before_one_is_made(secret: str) -> None:
    shop = load(GOOD).shop("asos_uk")
    mirakl = shop.mirakl.model_copy(update={"api_key": SecretStr(secret)})
    with pytest.raises(BadSettings, match=f"which no key has: copy it again into {KEY}$") as told:
        mirakl.secret()
    assert secret not in str(told.value)


@pytest.mark.parametrize("section", ["mirakl", "returns", "warehouse"])
def test_missing_secret_is_named_only_when_it_is_used(section: str) -> None:
    shop = load(GOOD).shop("asos_uk")
    key = "PASSWORD" if section == "warehouse" else "API_KEY"
    with pytest.raises(BadSettings, match=f"MARKETPLACE_RETURNS__SHOPS__ASOS_UK__{section.upper()}__{key}"):
        getattr(shop, section).secret()


@pytest.mark.proves("R44")
@pytest.mark.parametrize(
    ("text", "variable"),
    [
        (GOOD.replace("shop_id = 2001", 'shop_id = 2001\napi_key = "made-up"'), KEY),
        (GOOD + 'password = "made-up"\n', "MARKETPLACE_RETURNS__SHOPS__ASOS_UK__WAREHOUSE__PASSWORD"),
        ('ledger_url = "postgresql://me:made-up@db/x"\n' + GOOD, "MARKETPLACE_RETURNS__LEDGER_URL"),
    ],
)
def test_secret_in_the_file_is_refused_with_the_variable_to_use(text: str, variable: str) -> None:
    message = refusal(text)
    assert variable in message
    assert "made-up" not in message


def test_database_password_from_the_environment_shows_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETPLACE_RETURNS__LEDGER_URL", "postgresql://me:made-up@db/x")
    assert "made-up" not in repr(load(GOOD))


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "place", "mend"),
    [
        ("[shops]\nx = ?\n", "shops.toml", "not valid TOML.*line 2"),
        ("", "shops.toml", "no shop is set: add"),
        ("colour = 1\n" + GOOD, "shops.toml, colour", "known ones are data_dir"),
        (changed("shop_id = 2001", "shop_id = 2001\ncolour = 1"), "shops.asos_uk.mirakl.colour", "mend its name"),
        (changed("shop_id = 2001", 'shop_id = "abc"'), "shops.asos_uk.mirakl.shop_id", "'abc' is wrong"),
        (changed("shop_id = 2001", ""), "shops.asos_uk.mirakl.shop_id", "is missing: add it"),
        (changed('currency = "GBP"', 'currency = "QUID"'), "shops.asos_uk.currency", "ISO 4217"),
        (changed("Europe/London", "Europe/Londn"), "shops.asos_uk.time_zone", "IANA"),
        (changed('"reveni"', '"revenee"'), "shops.asos_uk.returns.platform", "'reveni', 'rebound', 'returngo'"),
        (changed('store_id = "store-1"', ""), "shops.asos_uk.returns", "store_id is missing"),
        (changed("https://example", "http://example"), "shops.asos_uk.mirakl.base_url", "write https"),
        (changed("mirakl.net/", "mirakl.net/api"), "shops.asos_uk.mirakl", "leave /api out"),
        (
            changed("shop_id = 2001", 'shop_id = 2001\ncall_profile = "sandbox"'),
            "shops.asos_uk.mirakl",
            "not this machine",
        ),
        (
            GOOD + "[shops.asos_uk.policy]\naccept = 'some'\n",
            "policy.accept",
            "'all', 'in_stock', 'manual_above_value'",
        ),
        (GOOD + "[shops.asos_uk.policy]\naccept = 'manual_above_value'\n", "policy", "accept_value_above"),
        (
            GOOD + "[shops.asos_uk.policy]\nstock_authority = 'returns_delta'\nstock_buffer = 2\n",
            "policy",
            "stock_buffer",
        ),
        (GOOD + "[shops.asos_uk.writes]\nrefunds = 'live'\n", "writes.refunds", "use default, accept_order"),
        (GOOD + "[shops.asos_uk.writes]\nrefund = 'maybe'\n", "writes.refund", "'live', 'shadow', 'off'"),
        (GOOD + "[timing]\nread_back_after_s = [300, 30]\n", "timing", "must grow"),
        (GOOD.replace("asos_uk", "Asos-UK"), "shops.Asos-UK", "lower-case letters"),
        ('data_dir = ""\n' + GOOD, "shops.toml, data_dir", "is empty: name a folder"),
        ('data_dir = "~/data"\n' + GOOD, "shops.toml, data_dir", "write the whole path"),
        ('mappings_dir = " "\n' + GOOD, "shops.toml, mappings_dir", "is empty: name a folder"),
        ('data_dir = "a\\u0000b"\n' + GOOD, "shops.toml, data_dir", r"control sign U\+0000 in it: remove it"),
        (changed("store-1", "store\\u001b"), "returns.store_id", r"control sign U\+001B in it: remove it"),
        ('lake_storage = "gs://bucket/x"\n' + GOOD, "lake_storage", "give s3://bucket/prefix"),
        ('lake_storage = "s3://"\n' + GOOD, "lake_storage", "give s3://bucket/prefix"),
        ('lake_catalog = "mysql://h/x"\n' + GOOD, "lake_catalog", "give a postgresql:// URL"),
        ('ledger_url = "postgresql://h:abc/x"\n' + GOOD, "ledger_url", "give a postgresql:// URL"),
        (GOOD + '[webhooks]\npublic_url = "https://h:99999"\n', "webhooks.public_url", "or https://host:port"),
        (changed("https://example", "https://[::1"), "mirakl.base_url", "is not a web address: write https://host"),
        (GOOD + "[shops.asos_uk.policy]\nstock_buffer = true\n", "policy.stock_buffer", "true is not allowed"),
        (GOOD + "[shops.asos_uk.policy]\nrefund_deadline_hours = true\n", "refund_deadline_hours", "not true or false"),
        (changed("[shops.asos_uk]\n", '[shops.asos_uk]\nname = "other"\n'), "shops.asos_uk.name", "remove it"),
        ("shops = 3\n", "shops", "must be a section"),
        ("[shops]\nasos_uk = 3\n", "shops.asos_uk", "must be a section"),
    ],
)
def test_each_mistake_is_one_line_with_place_and_mend(text: str, place: str, mend: str) -> None:
    message = refusal(text)
    assert message.count("\n") == 0
    assert place in message
    assert re.search(mend, message)


def test_all_mistakes_are_told_at_once() -> None:
    text = changed("shop_id = 2001", "").replace('"GBP"', '"QUID"')
    assert len(refusal(text).splitlines()) == 2


def test_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETPLACE_RETURNS__SHOPS__ASOS_UK__POLICY__ACCEPT", "some")
    assert refusal(GOOD).startswith("environment variable MARKETPLACE_RETURNS__SHOPS__ASOS_UK__POLICY__ACCEPT:")
    monkeypatch.delenv("MARKETPLACE_RETURNS__SHOPS__ASOS_UK__POLICY__ACCEPT")
    monkeypatch.setenv("MARKETPLACE_RETURNS__COLOUR", "red")
    assert "MARKETPLACE_RETURNS__COLOUR" in refusal(GOOD)


def test_shop_that_only_a_variable_names_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETPLACE_RETURNS__SHOPS__ASOS_UL__MIRAKL__API_KEY", "made-up")
    assert "only by variables MARKETPLACE_RETURNS__SHOPS__ASOS_UL" in refusal(GOOD)


def test_wrong_value_of_a_secret_is_not_repeated() -> None:
    assert "made-up" not in refusal(changed("shop_id = 2001", 'shop_id = 1\napi_key = ["made-up"]'))


@pytest.mark.proves("C6")
def test_shop_without_a_warehouse_counts_stock_by_returns() -> None:
    text = GOOD[: GOOD.index("[shops.asos_uk.warehouse]")]
    assert load(text).shop("asos_uk").policy.stock_authority == "returns_delta"
    assert "needs a [warehouse]" in refusal(text + "[shops.asos_uk.policy]\nstock_authority = 'wms_absolute'\n")


@pytest.mark.proves("C6")
def test_one_warehouse_site_has_one_stock_authority() -> None:
    other = GOOD.replace("asos_uk", "asos_de").replace("2001", "2002")
    message = refusal(GOOD + other + "[shops.asos_de.policy]\nstock_authority = 'returns_delta'\n")
    assert "counted twice" in message


@pytest.mark.proves("R63")
def test_one_seller_account_is_one_shop() -> None:
    assert "same seller account" in refusal(GOOD + GOOD.replace("asos_uk", "asos_de"))


def test_value_for_acceptance_by_hand_is_in_the_shops_currency() -> None:
    shop = load(GOOD + "[shops.asos_uk.policy]\naccept = 'manual_above_value'\naccept_value_above = '250.00'\n").shop(
        "asos_uk"
    )
    assert shop.accept_above_minor == 25_000


def test_unknown_shop_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadArgument, match="known shops are asos_uk"):
        load(GOOD).shop("nobody")


def test_settings_cannot_be_changed() -> None:
    settings = load(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        settings.data_dir = Path("elsewhere")
    with pytest.raises(ValueError, match="frozen"):
        settings.shop("asos_uk").currency = "EUR"
