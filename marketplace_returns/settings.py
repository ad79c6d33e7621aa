"""The settings: one TOML file, the environment over it, and nothing else.

Here: every setting with its type, default and meaning, and the one door ``load_settings``. Not here: what a setting
does. No other module reads the environment for a setting. The invariants: what loads is complete, frozen and free of
contradictions; secrets come only from the environment or ``.env``, and show in no repr and no message.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from marketplace_returns.business_hours import WEEK, BusinessHours, check_holidays, minute_of_day
from marketplace_returns.errors import BadArgument, BadSettings
from marketplace_returns.money import exponent, to_decimal, to_minor
from marketplace_returns.settings_mistakes import (
    ENV_FILE,
    ENV_PREFIX,
    control_signs_in,
    explain,
    secrets_in,
    unknown_keys,
    unreadable_variables,
    variable_name,
)

CONFIG_VARIABLE: Final = "MARKETPLACE_RETURNS_CONFIG"
PASSWORD_VARIABLE: Final = "MARKETPLACE_RETURNS_CONSOLE_PASSWORD"  # noqa: S105 - the variable's name
DEFAULT_FILE: Final = Path("mappings/shops.toml")
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WEBHOOK_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{24,128}", re.ASCII)
ROUNDING_MINOR: Final = 1
"""The tolerance of a check, in minor units, in a currency that has no setting."""
ROUNDING_MINOR_MAX: Final = 1_000
"""What differs by more minor units is not rounding, whatever a setting says."""
LABEL_NAMES: Final = ("{id}", "{tracking}", "{key}")
_SHOP_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)


class WriteKind(StrEnum):
    """The kinds of write to the outside world (contract: ``[shops.<shop>.writes]``)."""

    ACCEPT_ORDER = "accept_order"
    CREATE_WAREHOUSE_ORDER = "create_warehouse_order"
    CONFIRM_DESPATCH = "confirm_despatch"
    CREATE_PLATFORM_RETURN = "create_platform_return"
    LINK_RETURN = "link_return"
    CREATE_EXPECTED_RECEIPT = "create_expected_receipt"
    RECEIVE_RETURN = "receive_return"
    REPORT_COMPLIANCE = "report_compliance"
    REFUND = "refund"
    CLOSE_RETURN = "close_return"
    RESOLVE_INCIDENT = "resolve_incident"
    REPORT_REFUND_OUTCOME = "report_refund_outcome"
    PUSH_STOCK = "push_stock"


class WriteMode(StrEnum):
    """What becomes of a planned write: sent, shown but never sent, or kept waiting."""

    LIVE = "live"
    SHADOW = "shadow"
    OFF = "off"


def _known_currency(code: str) -> str:
    try:
        exponent(code)
    except BadArgument as unknown:
        raise ValueError(str(unknown)) from None
    return code


def _known_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a known time zone: use an IANA name, such as Europe/London") from None
    return name


def _folder(path: object) -> object:
    """Refuse what would quietly be another folder than was meant."""
    if isinstance(path, str) and not path.strip():
        raise ValueError("is empty: name a folder, such as /var/lib/marketplace-returns/data")
    if isinstance(path, str) and path.startswith("~"):
        raise ValueError("begins with ~, which is not your home here: write the whole path")
    return path


def _parts_of(address: str, mistake: str) -> SplitResult:
    """Take an address apart; ValueError with the given words where a host or port in it cannot be one."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ValueError(mistake) from None
    return parts


def _web_address(url: str) -> str:
    if not url:
        return url
    parts = _parts_of(url, "is not a web address: write https://host, or https://host:port")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not a web address: write https://host")
    if parts.username or parts.password:
        raise ValueError("holds a user name or password: leave it out of the address")
    if parts.query or parts.fragment:
        raise ValueError("has a query or fragment: write the host and path only")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("would send the key unencrypted: write https:// (http is for this machine only)")
    return url.rstrip("/")


def _database_address(url: str) -> str:
    mistake = "is not a database: leave it empty for the SQLite file in data_dir, or give a postgresql:// URL"
    if url and _parts_of(url, mistake).scheme not in {"postgresql", "postgres"}:
        raise ValueError(mistake)
    return url


def _storage_address(address: str) -> str:
    mistake = "is no place for the lake's files: leave it empty for files in data_dir, or give s3://bucket/prefix"
    if "://" in address and (not address.startswith("s3://") or not _parts_of(address, mistake).hostname):
        raise ValueError(mistake)
    return address


def _without_password(address: str) -> str:
    if "://" in address and urlsplit(address).password:
        raise ValueError("holds a password: leave it out; sftp:// signs in with this user's ssh keys, s3:// with AWS_*")
    return address


def _hard_to_guess(token: SecretStr) -> SecretStr:
    if token.get_secret_value() and _WEBHOOK_TOKEN.fullmatch(token.get_secret_value()) is None:
        raise ValueError(
            "is no token for an address: give 24 to 128 letters, digits, - and _ that nobody can guess, such as "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes"
        )
    return token


def _write_switch(name: str) -> str:
    if name != "default" and name not in set(WriteKind):
        raise ValueError(f"is not a kind of write: use default, {', '.join(WriteKind)}")
    return name


def _api_path(path: str) -> str:
    if path and (not path.startswith("/") or path.endswith("/") or "?" in path):
        raise ValueError("is not a path: write it from the host on, such as /api")
    return path


def _label_template(template: str) -> str:
    if not template:
        return template
    if not any(name in template for name in LABEL_NAMES):
        raise ValueError(f"names no return: put one of {', '.join(LABEL_NAMES)} where the label's own part stands")
    filled = template
    for name in LABEL_NAMES:
        filled = filled.replace(name, "x")
    if not filled.startswith("https://") or "{" in filled or not urlsplit(filled).hostname:
        raise ValueError(
            f"is not an https address with {', '.join(LABEL_NAMES)} in it: write https://host/labels/{{id}}"
        )
    return template


def _rounding(amounts: dict[str, Decimal]) -> dict[str, Decimal]:
    for currency, amount in amounts.items():
        unit, largest = to_decimal(ROUNDING_MINOR, currency), to_decimal(ROUNDING_MINOR_MAX, currency)
        if not 0 <= amount <= largest or amount % unit:
            raise ValueError(
                f"{currency} {amount} is no tolerance: write an amount from 0 to {largest} in whole steps of {unit}"
            )
    return amounts


def _time_of_day(text: str) -> str:
    minute_of_day(text)
    return text


def _known_holidays(place: str) -> str:
    if place:
        check_holidays(place)
    return place


def _quiet_hours(text: str) -> str:
    start, dash, end = text.partition("-")
    if text and (not dash or minute_of_day(start) == minute_of_day(end)):
        raise ValueError("is no span of the day: write it as 22:00-07:00, or leave it empty")
    return text


WriteSwitch = Annotated[str, AfterValidator(_write_switch)]
WebhookToken = Annotated[SecretStr, AfterValidator(_hard_to_guess)]
Currency = Annotated[str, AfterValidator(_known_currency)]
TimeZone = Annotated[str, AfterValidator(_known_time_zone)]
# A variable's name is read in lower case.
CurrencyKey = Annotated[str, BeforeValidator(str.upper), AfterValidator(_known_currency)]
AmountByCurrency = Annotated[dict[CurrencyKey, Decimal], AfterValidator(_rounding)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
ApiPath = Annotated[str, AfterValidator(_api_path)]
LabelTemplate = Annotated[str, AfterValidator(_label_template)]
Folder = Annotated[Path, BeforeValidator(_folder)]
StorageAddress = Annotated[str, AfterValidator(_storage_address)]
DatabaseAddress = Annotated[str, AfterValidator(_database_address)]
ExtractPath = Annotated[str, AfterValidator(_without_password)]
OwnTimeZone = Annotated[str, AfterValidator(lambda name: _known_time_zone(name) if name else name)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
QuietHours = Annotated[str, AfterValidator(_quiet_hours)]
HolidaysOf = Annotated[str, AfterValidator(_known_holidays)]
Name = Annotated[str, Field(min_length=1)]
Days = Annotated[int, Field(ge=1, le=3_650)]
Seconds = Annotated[int, Field(gt=0, le=86_400)]
DateFormat = Literal["dd/mm/yyyy", "mm/dd/yyyy", "yyyy-mm-dd"]


def is_loopback(url: str) -> bool:
    """Tell whether a web address names this machine itself."""
    host = urlsplit(url).hostname or ""
    return host in _LOOPBACK_HOSTS or host.startswith("127.")


class _Section(BaseModel):
    """A TOML table: frozen, and an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    _place: str = PrivateAttr(default="")

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where a number is meant: they would be taken for 1 and 0."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"{str(value).lower()} is not allowed: write a value of its own kind, not true or false")
        return value

    def _secret(self, key: str, value: SecretStr | None) -> str:
        variable = variable_name(f"{self._place}.{key}")
        secret = value.get_secret_value() if value is not None else ""
        if not secret:
            raise BadSettings(
                f"{self._place}.{key} is needed and not set: put it into the environment (or .env) as {variable}"
            )
        if key == "api_key" and not (secret.isascii() and secret.isprintable() and " " not in secret):
            raise BadSettings(
                f"{self._place}.{key} has a blank, a line's end or a letter beyond ASCII in it, which no key has: copy it again "
                f"into {variable}"
            )
        return secret


class Timing(_Section):
    """Time-outs and the read-back schedule of unclear writes, in seconds."""

    connect_time_out_s: Seconds = 5
    read_time_out_s: Seconds = 45
    read_back_after_s: tuple[Seconds, ...] = Field(default=(30, 120, 300, 900), min_length=1, max_length=20)
    not_applied_after_s: Seconds = 600

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.read_back_after_s) != sorted(set(self.read_back_after_s)):
            raise ValueError("read_back_after_s must grow from step to step, such as [30, 120, 300, 900]")
        return self


class WebhookSettings(_Section):
    """How webhooks are received: where the outside reaches this service, and what one sender may cost it."""

    public_url: WebAddress = ""
    body_bytes_max: int = Field(default=262_144, gt=0, le=16_777_216)
    body_time_out_s: Seconds = 10
    events_per_s_max: int = Field(default=5_000, gt=0, le=1_000_000)
    keep_days: int = Field(default=35, gt=0, le=3_650)


class PrivacySettings(_Section):
    """How many days personal data is kept, by what it is for; the daily upkeep ends what is over."""

    order_days: Days = 90
    open_order_days: Days = 400
    return_days: Days = 180
    other_days: Days = 180
    extract_days: Days = 90


class AlertChannel(_Section):
    """One way to reach people, and whose alerts it takes: empty takes all."""

    url: SecretStr | None = None
    owners: tuple[Name, ...] = ()
    severities: tuple[Literal["low", "medium", "high", "critical"], ...] = ()
    shops: tuple[Name, ...] = ()

    def address(self) -> str:
        """Return its Apprise URL; BadSettings naming the variable where there is none."""
        return self._secret("url", self.url)


class AlertSettings(_Section):
    """Who hears of exceptions, and when not; times of day are in ``time_zone``."""

    time_zone: TimeZone = "UTC"
    quiet_hours: QuietHours = Field(default="", description="such as 22:00-07:00: only critical alerts are sent then")
    digest_at: TimeOfDay = "08:00"
    channels: dict[Name, AlertChannel] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name, channel in self.channels.items():
            if _SHOP_NAME.fullmatch(name) is None:
                raise ValueError(
                    f"channel {name!r}: a channel's name is lower-case letters, digits and single underscores, such as ops_chat"
                )
            channel._place = f"alerts.channels.{name}"
        return self

    @property
    def quiet_minutes(self) -> tuple[int, int] | None:
        """From which minute of the day until which it is quiet, over midnight where the first is the later; None: never."""
        if not self.quiet_hours:
            return None
        start, _, end = self.quiet_hours.partition("-")
        return minute_of_day(start), minute_of_day(end)


class ConsoleSettings(_Section):
    """The web console: where people reach it, and how long a log-in lasts."""

    base_url: WebAddress = ""
    host: Name = "127.0.0.1"
    port: int = Field(default=8300, ge=0, le=65_535)
    proxy: str = "127.0.0.1"
    session_hours: int = Field(default=12, ge=1, le=168)
    idle_minutes: int = Field(default=60, ge=5, le=1440)

    @property
    def is_encrypted(self) -> bool:
        """Whether people reach it by https."""
        return self.base_url.startswith("https://")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if urlsplit(self.base_url).path:
            raise ValueError(
                "base_url has a path: the console needs a host of its own, such as https://returns.example"
            )
        return self


class JournalDateFormats(_Section):
    """How each accounting system reads dates, by its locale; Xero reads two forms only, and the generic file is ISO 8601."""

    xero: Literal["dd/mm/yyyy", "dd mmm yyyy"] = "dd/mm/yyyy"
    quickbooks: DateFormat = "dd/mm/yyyy"
    netsuite: DateFormat = "dd/mm/yyyy"
    sage: DateFormat = "dd/mm/yyyy"


class JournalSettings(_Section):
    """How journals are written for the accounting systems."""

    date_format: JournalDateFormats = JournalDateFormats()


class MiraklSettings(_Section):
    """Where and as whom the marketplace is called."""

    base_url: WebAddress = Field(min_length=1)
    shop_id: int = Field(gt=0)
    call_profile: Literal["seller", "external_partner", "sandbox"] = "seller"
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _sandbox_is_local(self) -> Self:
        if self.call_profile == "sandbox" and not is_loopback(self.base_url):
            raise ValueError(
                "call_profile is 'sandbox' but base_url is not this machine: "
                "use 'seller' (or 'external_partner') for a real marketplace"
            )
        if urlsplit(self.base_url).path.endswith("/api"):
            raise ValueError("base_url ends in /api: leave /api out, it is added")
        return self

    def secret(self) -> str:
        """Return the API key; BadSettings naming the variable where there is none."""
        return self._secret("api_key", self.api_key)


class ReturnsSettings(_Section):
    """The returns platform: which, where, and how it is read."""

    platform: Literal["reveni", "rebound", "returngo"]
    base_url: WebAddress = ""
    store_id: str = ""
    generation: Literal["legacy_ir", "v2"] = "legacy_ir"
    login: str = ""
    client_id: str = ""
    token_url: WebAddress = ""
    path: ApiPath = ""
    label_url_template: LabelTemplate = ""
    look_back_days: int = Field(default=30, ge=1, le=365)
    open_days: int = Field(default=180, ge=1, le=730)
    calls_per_minute: int = Field(default=150, ge=10, le=100_000)
    shop_name: str = ""
    order_name_strip: str = "#"
    order_name_fold_case: bool = True
    refund_reference_type: Name = "MiraklRefundId"
    calls_per_day: int = Field(default=2000, ge=1000, le=10_000_000)
    calls_per_second: int = Field(default=100, ge=1, le=10_000)
    urgent_calls_per_day: int = Field(default=500, ge=0)
    rereads_per_day: int = Field(default=500, ge=0)
    read: Literal["api", "extract"] = "api"
    extract_path: ExtractPath = ""
    api_key: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    webhook_token: WebhookToken | None = None

    @model_validator(mode="after")
    def _calls_add_up(self) -> Self:
        """Half a day's calls at most are planned: the rest reads lists and what changed."""
        planned = self.urgent_calls_per_day + self.rereads_per_day
        if planned * 2 > self.calls_per_day:
            raise ValueError(
                f"urgent_calls_per_day and rereads_per_day are {planned} together, more than half of calls_per_day "
                f"({self.calls_per_day}): lower them, or raise calls_per_day to the quota ReturnGO gave"
            )
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        rebound = ("client_id", "token_url") if self.generation == "v2" else ("login",)
        needed = {"reveni": ("store_id",), "rebound": rebound, "returngo": ("shop_name",)}[self.platform]
        if self.read == "api":
            for key in ("base_url", *needed):
                if not getattr(self, key):
                    raise ValueError(f"{key} is missing: platform {self.platform!r} read by its API needs it")
        if self.open_days < self.look_back_days:
            raise ValueError(
                "open_days is shorter than look_back_days: an open return is looked at for as long at least"
            )
        return self

    @property
    def api_path(self) -> str:
        """Where ReBound's API begins under ``base_url``, for its generation."""
        return self.path or {"legacy_ir": "/api", "v2": "/return-orders"}[self.generation]

    def secret(self) -> str:
        """Return the API key; BadSettings naming the variable where there is none."""
        return self._secret("api_key", self.api_key)

    def webhook_key(self) -> str:
        """Return the secret webhooks are signed with; BadSettings naming the variable where there is none."""
        return self._secret("webhook_secret", self.webhook_secret)

    def webhook_path_token(self) -> str:
        """Return the token in the address of its webhooks; BadSettings naming the variable where there is none."""
        return self._secret("webhook_token", self.webhook_token)


class WarehouseSettings(_Section):
    """The warehouse: where, as whom, and how it is read."""

    system: Literal["peoplevox"] = "peoplevox"
    base_url: WebAddress = ""
    client_id: str = ""
    username: str = ""
    site: str | tuple[Name, ...] = Field(
        default="", description="The site that serves the shop, or a list of sites: their stock is added up"
    )
    time_zone: TimeZone = "Europe/London"
    read: Literal["api", "extract"] = "api"
    extract_path: ExtractPath = ""
    captions: dict[Name, Name] = Field(
        default={}, description="Columns the tenant renamed: its own caption = the caption known here"
    )
    page_size: int = Field(default=500, ge=0, le=1000, description="Rows an answer; 0 asks for everything in one")
    call_limit: int = Field(default=15, ge=1, le=10_000, description="Calls the tenant allows in call_window_s")
    call_window_s: Seconds = 15
    password: SecretStr | None = None
    webhook_token: WebhookToken | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.read == "api":
            for key in ("base_url", "client_id", "username"):
                if not getattr(self, key):
                    raise ValueError(f"{key} is missing: a warehouse read by its API needs it")
        return self

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites whose rows are read; empty where all of the tenant are."""
        if isinstance(self.site, str):
            return (self.site,) if self.site else ()
        return tuple(dict.fromkeys(self.site))

    def secret(self) -> str:
        """Return the password; BadSettings naming the variable where there is none."""
        return self._secret("password", self.password)

    def webhook_path_token(self) -> str:
        """Return the token in the address of its webhooks; BadSettings naming the variable where there is none."""
        return self._secret("webhook_token", self.webhook_token)


class Policy(_Section):
    """What the shop promises and when it pays (contradictions C1..C14 resolved; the first value is the default)."""

    accept: Literal["all", "in_stock", "manual_above_value"] = "all"
    accept_value_above: Decimal | None = Field(
        default=None, ge=0, description="manual_above_value: the value, major units"
    )
    refund_trigger: Literal["inspected", "received", "carrier_scan"] = "inspected"
    refund_deadline_from: Literal["requested", "carrier_scan", "received"] = "received"
    refund_deadline_hours: int = Field(default=336, gt=0, le=8760)
    refund_at_deadline: Literal["escalate", "refund"] = "escalate"
    refund_shipping: Literal["never", "full_return"] = "never"
    partial_refunds: Literal["allowed", "not_allowed"] = "allowed"
    send_proportional_taxes: bool = False
    stock_authority: Literal["wms_absolute", "returns_delta"] = "wms_absolute"
    stock_buffer: int = Field(default=0, ge=0, le=1_000_000)
    carrier_unmapped: Literal["hold", "default_carrier", "unregistered"] = "hold"
    reason_unmapped_return: Literal["hold", "fallback"] = "hold"
    return_origin: Literal["mirakl", "platform"] = "mirakl"
    product_master: Literal["", "marketplace", "warehouse", "erp", "pim"] = ""
    return_label: Literal["needed", "elsewhere"] = "needed"
    inspected_by: Literal["", "warehouse", "platform"] = Field(
        default="", description="whose finding is the receipt; empty: the warehouse's where the shop has one"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.accept == "manual_above_value") != (self.accept_value_above is not None):
            raise ValueError("accept = 'manual_above_value' and accept_value_above go together: set both or neither")
        # C6: a buffer only means something where the warehouse's absolute figure is pushed.
        if self.stock_authority == "returns_delta" and self.stock_buffer:
            raise ValueError(
                "stock_buffer belongs to stock_authority = 'wms_absolute': remove it or change the authority"
            )
        return self


class Cadence(_Section):
    """How often is read and pushed: freshness against load (R40, R94). What is over the call budget is refused at start."""

    profile: Literal["normal", "peak"] = "normal"
    poll_s: dict[str, Seconds] = Field(default={}, description="seconds between two polls, by stream")
    stock_push_s: int = Field(default=0, ge=0, le=1800, description="seconds between two pushes of stock; 0: at once")

    @model_validator(mode="after")
    def _within_budget(self) -> Self:
        if 0 < self.stock_push_s < 60:
            raise ValueError(
                "stock_push_s is under the marketplace's minute between two stock files: use 0 or 60 to 1800"
            )
        return self


class Accruals(_Section):
    """How much of a return is owed at month end by how far it has come (I14); what was received is owed whole."""

    requested: Decimal = Field(default=Decimal(1), ge=0, le=1, description="share of a return that was asked for")
    in_transit: Decimal = Field(default=Decimal(1), ge=0, le=1, description="share of a return the carrier has")
    expected: Decimal = Field(
        default=Decimal(0), ge=0, le=1, description="share of sales in the return window that will be asked for yet"
    )
    return_window_days: int = Field(default=28, gt=0, le=365)


class Tolerances(_Section):
    """By how much two sides may differ and be named ROUNDING, by check and currency; a minor unit where nothing is said.

    A tolerance names a difference, it changes and posts none. Identities have none.
    """

    order_line: AmountByCurrency = Field(default={}, description="each component of an order line: order, log")
    refund: AmountByCurrency = Field(default={}, description="a refund: ours, the marketplace's, the log's")
    commission: AmountByCurrency = Field(default={}, description="a commission or its credit: log, contract")
    refund_tax: AmountByCurrency = Field(default={}, description="a tax of a refund: given back, share of the line's")

    def in_minor_units(self) -> Iterator[tuple[str, str, int]]:
        """Give check, currency and tolerance in minor units of each that is set."""
        for check, amounts in self:
            for currency, amount in amounts.items():
                yield check, currency, to_minor(amount, currency)

    def in_words(self, currency: str) -> dict[str, dict[str, str]]:
        """Return the tolerances of each check as decimals by currency: of one currency, and of each that is set."""
        words = {check: {currency: str(to_decimal(ROUNDING_MINOR, currency))} for check, _ in self}
        for check, other, minor in self.in_minor_units():
            words[check][other] = str(to_decimal(minor, other))
        return words


class CalendarSettings(_Section):
    """When the shop's people work: an exception's clock runs then; round the clock unless said otherwise."""

    work_days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(default=WEEK, min_length=1)
    opens: TimeOfDay = "00:00"
    closes: TimeOfDay = "24:00"
    holidays_of: HolidaysOf = ""
    closed_days: tuple[date, ...] = ()
    time_zone: OwnTimeZone = ""
    round_the_clock: tuple[Name, ...] = Field(default=(), description="types whose clock never stands still")

    @model_validator(mode="after")
    def _has_hours(self) -> Self:
        if minute_of_day(self.opens) >= minute_of_day(self.closes):
            raise ValueError(
                "closes is not after opens: working hours lie within one day, such as opens 09:00, closes 17:30"
            )
        return self


class Shop(_Section):
    """One shop on one marketplace: its systems, its policy, its write switches."""

    name: str
    marketplace: Name
    currency: Currency
    time_zone: TimeZone
    mirakl: MiraklSettings
    returns: ReturnsSettings
    warehouse: WarehouseSettings | None = None
    policy: Policy = Policy()
    cadence: Cadence = Cadence()
    accruals: Accruals = Accruals()
    tolerances: Tolerances = Tolerances()
    calendar: CalendarSettings = CalendarSettings()
    writes: dict[WriteSwitch, WriteMode] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _authority_without_warehouse(cls, data: object) -> object:
        """Without a warehouse the default authority is the returns' own deltas (C6)."""
        if isinstance(data, dict) and not data.get("warehouse"):
            policy = data.get("policy", {})
            if isinstance(policy, dict) and "stock_authority" not in policy:
                return {**data, "policy": {**policy, "stock_authority": "returns_delta"}}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if _SHOP_NAME.fullmatch(self.name) is None:
            raise ValueError(
                "the shop's name must be lower-case letters, digits and single underscores, such as asos_uk"
            )
        if self.warehouse is None and self.policy.stock_authority == "wms_absolute":
            raise ValueError(
                "policy.stock_authority = 'wms_absolute' needs a [warehouse] section: add it or use 'returns_delta'"
            )
        if self.warehouse is None and self.policy.inspected_by == "warehouse":
            raise ValueError("policy.inspected_by = 'warehouse' needs a [warehouse] section: add it or use 'platform'")
        if self.policy.accept_value_above is not None:
            to_minor(self.policy.accept_value_above, self.currency)
        for key, section in (("mirakl", self.mirakl), ("returns", self.returns), ("warehouse", self.warehouse)):
            if section is not None:
                section._place = f"shops.{self.name}.{key}"
        return self

    def write_mode(self, kind: WriteKind) -> WriteMode:
        """Return what becomes of planned writes of that kind; ``writes.default``, else live, where it is not named."""
        return self.writes.get(kind, self.writes.get("default", WriteMode.LIVE))

    @property
    def business_hours(self) -> BusinessHours:
        """When people of the shop work."""
        calendar = self.calendar
        return BusinessHours(
            time_zone=calendar.time_zone or self.time_zone,
            work_days=frozenset(WEEK.index(day) for day in calendar.work_days),
            opens_minute=minute_of_day(calendar.opens),
            closes_minute=minute_of_day(calendar.closes),
            holidays_of=calendar.holidays_of,
            closed_days=frozenset(calendar.closed_days),
        )

    @property
    def inspected_by(self) -> str:
        """Whose finding is the receipt of a returned unit: ``warehouse`` or ``platform`` (R13, R27)."""
        return self.policy.inspected_by or ("platform" if self.warehouse is None else "warehouse")

    @property
    def accept_above_minor(self) -> int | None:
        """The order value above which a person accepts, in minor units; None where no order needs one."""
        limit = self.policy.accept_value_above
        return None if limit is None else to_minor(limit, self.currency)

    @property
    def is_sandbox(self) -> bool:
        """Whether the shop lives in the sandbox on this machine."""
        return self.mirakl.call_profile == "sandbox"


class Settings(BaseSettings):
    """Everything that may differ between two installations."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",  # unknown keys are refused in load_settings, which can name file and variable
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    data_dir: Folder = Path("data")
    mappings_dir: Folder = Path("mappings")
    lake_catalog: DatabaseAddress = Field(default="", repr=False)
    lake_storage: StorageAddress = ""
    lake_memory_mb: Annotated[int, Field(ge=1_000, le=1_000_000)] = 2_600
    ledger_url: DatabaseAddress = Field(default="", repr=False)
    timing: Timing = Timing()
    webhooks: WebhookSettings = WebhookSettings()
    privacy: PrivacySettings = PrivacySettings()
    alerts: AlertSettings = AlertSettings()
    console: ConsoleSettings = ConsoleSettings()
    journals: JournalSettings = JournalSettings()
    shops: dict[str, Shop] = Field(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    @classmethod
    def settings_customise_sources(  # noqa: D102 - pydantic-settings' own hook: earlier wins
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, dotenv_settings, init_settings

    @model_validator(mode="before")
    @classmethod
    def _name_shops(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("shops"), dict):
            shops = {
                name: {**shop, "name": name} if isinstance(shop, dict) and "name" not in shop else shop
                for name, shop in data["shops"].items()
            }
            return {**data, "shops": shops}
        return data

    @model_validator(mode="after")
    def _one_authority_per_offer(self) -> Self:
        """Two shops on one seller account would both push its stock (C6) and both refund its orders."""
        seen: dict[tuple[str, int], str] = {}
        for section, shop in self.shops.items():
            if shop.name != section:
                raise ValueError(
                    f"shops.{section}.name is {shop.name!r}: remove it, a shop is named by its section, [shops.{section}]"
                )
            account = (shop.mirakl.base_url, shop.mirakl.shop_id)
            if account in seen:
                raise ValueError(
                    f"shops.{shop.name} and shops.{seen[account]} are the same seller account "
                    f"({account[0]}, shop_id {account[1]}): remove one"
                )
            seen[account] = shop.name
        sites: dict[tuple[str, str, str], Shop] = {}
        for shop in self.shops.values():
            if shop.warehouse is None:
                continue
            for site in shop.warehouse.sites or ("",):
                other = sites.setdefault((shop.warehouse.base_url, shop.warehouse.client_id, site), shop)
                if other.policy.stock_authority != shop.policy.stock_authority:
                    raise ValueError(
                        f"shops.{shop.name} and shops.{other.name} share a warehouse site but not policy.stock_authority: "
                        "returned goods would be counted twice; give both the same"
                    )
        return self

    @model_validator(mode="after")
    def _channels_name_shops(self) -> Self:
        for name, channel in self.alerts.channels.items():
            unknown = [shop for shop in channel.shops if shop not in self.shops]
            if unknown:
                known = ", ".join(sorted(self.shops)) or "none"
                raise ValueError(
                    f"alerts.channels.{name}.shops names {unknown[0]!r}, which is no shop: known are {known}"
                )
        return self

    def stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return what tells one state of their files from another, by looking at names only; nothing where they are of no file."""
        return () if self._file is None else tuple(_stamp_of(each) for each in (self._file, Path(ENV_FILE)))

    def read_again(self) -> Settings:
        """Return the settings as their file says now; these where they are of no file. Raises BadSettings."""
        return self if self._file is None else load_settings(self._file)

    def held_back(self, held: Mapping[tuple[str, WriteKind], WriteMode]) -> Settings:
        """Return these settings with writes that are held back, by shop and kind, let through no more than that."""
        shops = dict(self.shops)
        for (name, kind), mode in held.items():
            if name in shops:
                shop = shops[name]
                writes = {**shop.writes, kind: lesser(shop.write_mode(kind), mode)}
                shops[name] = shop.model_copy(update={"writes": writes})
        return self.model_copy(update={"shops": shops})

    def shop(self, name: str) -> Shop:
        """Return the shop of that name; BadArgument listing the names there are."""
        try:
            return self.shops[name]
        except KeyError:
            known = ", ".join(sorted(self.shops)) or "none"
            raise BadArgument(f"shop {name!r} is not in the settings: known shops are {known}") from None


def load_settings(path: Path | None = None) -> Settings:
    """Read and check the settings: the TOML file, then ``.env``, then the environment, later ones winning.

    ``path`` defaults to the file that MARKETPLACE_RETURNS_CONFIG names, else ``mappings/shops.toml``.

    Raises:
        BadSettings: with one line for each mistake, each naming the file and key or the variable, and the mend.
    """
    source = path or Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_FILE)
    document = _read_toml(source, named_by=_named_by(path))
    mistakes = [
        *unknown_keys(document, source, tuple(Settings.model_fields)),
        *secrets_in(document, source),
        *control_signs_in(document, source),
    ]
    if mistakes:
        raise BadSettings("\n".join(mistakes))
    try:
        settings = Settings(**document)
    except ValidationError as invalid:
        raise BadSettings(
            "\n".join(dict.fromkeys(explain(error, document, source) for error in invalid.errors()))
        ) from None
    except SettingsError as unreadable:
        raise BadSettings(unreadable_variables(str(unreadable))) from None
    if not settings.shops:
        raise BadSettings(f"{source}: no shop is set: add a [shops.<name>] section")
    settings._file = source
    return settings


def console_password() -> str:
    """Return the password for an account of the console that the environment holds; nothing where it holds none."""
    return os.environ.get(PASSWORD_VARIABLE, "")


class Followed:
    """The settings as their file says now: a changed one is read again; settings that were not read from a file stay as they are."""

    def __init__(self, settings: Settings) -> None:
        self._read = (settings, settings.stamp())

    def now(self) -> Settings:
        """Return the settings; BadSettings where the file cannot be read as it is now."""
        settings, seen = self._read
        stamp = settings.stamp()
        if stamp != seen:
            settings = settings.read_again()
            self._read = (settings, stamp)
        return settings


class Switches:
    """Whether a kind of write is live now: as the settings say and as people hold it back, whichever lets less through.

    A changed file counts at once, also in the middle of a run (R115). ``held`` gives what is held back, by shop and kind, and is asked each time.
    """

    def __init__(
        self, settings: Settings, held: Callable[[], Mapping[tuple[str, WriteKind], WriteMode]] = lambda: _NOTHING_HELD
    ) -> None:
        self._settings = Followed(settings)
        self._held = held

    def mode(self, shop: str, kind: WriteKind) -> WriteMode:
        """Return how a kind of a shop is written; OFF where the settings have the shop no more.

        Raises:
            BadSettings: the file cannot be read as it is now.
        """
        said = self.of_settings(shop, kind)
        return said if said is WriteMode.OFF else lesser(said, self._held().get((shop, kind), WriteMode.LIVE))

    def of_settings(self, shop: str, kind: WriteKind) -> WriteMode:
        """Return how the settings let a kind be written, whatever is held back. Raises as ``mode``."""
        found = self._settings.now().shops.get(shop)
        return WriteMode.OFF if found is None else found.write_mode(kind)


_LESS_FIRST: Final = (WriteMode.OFF, WriteMode.SHADOW, WriteMode.LIVE)
_NOTHING_HELD: Final[Mapping[tuple[str, WriteKind], WriteMode]] = {}


def lesser(one: WriteMode, other: WriteMode) -> WriteMode:
    """Return which of two modes lets less through."""
    return min(one, other, key=_LESS_FIRST.index)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _named_by(path: Path | None) -> str:
    if path is None and os.environ.get(CONFIG_VARIABLE):
        return f" (named by {CONFIG_VARIABLE})"
    return ""


def _read_toml(source: Path, *, named_by: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadSettings(
            f"{source}{named_by}: there is no such settings file: create it, or name another with {CONFIG_VARIABLE}"
        ) from None
    except (OSError, UnicodeDecodeError) as unreadable:
        reason = unreadable.strerror if isinstance(unreadable, OSError) else "it is not UTF-8 text"
        raise BadSettings(f"{source}{named_by}: cannot be read ({reason}): mend the file or its permissions") from None
    except tomllib.TOMLDecodeError as invalid:
        raise BadSettings(f"{source}{named_by}: is not valid TOML: {invalid}") from None
