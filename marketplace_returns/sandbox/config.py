"""What a sandbox world is made from.

Here: the one frozen record of everything that may differ between two worlds. Not here: anything that happens in a world.
Invariant: equal configs and equal calls at equal instants give equal worlds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

TaxMode = Literal["TAX_INCLUDED", "TAX_EXCLUDED"]
TaxRules = Literal["proportional", "none", "mixed"]
Platform = Literal["reveni", "rebound", "returngo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """One seller's world: its size, its rates, its platform settings and its (synthetic) credentials.

    Rates are fractions 0..1 of orders, units or parcels as named; money settings are minor units of `currency`.
    """

    seed: int = 7
    shop_id: int = 2001
    currency: str = "GBP"
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    days: int = 31
    orders: int = 2000
    skus: int = 120
    pace: float = 1.0  # how many times faster people, carriers and the warehouse act; what the platforms promise stays

    # customers
    lines_per_order: float = 1.6
    multi_unit_rate: float = 0.12
    return_rate: float = 0.35
    second_return_rate: float = 0.05
    return_canceled_rate: float = 0.03
    never_posted_rate: float = 0.02
    incident_rate: float = 0.005

    # warehouse (shares of returned units; the rest comes back as new)
    damaged_rate: float = 0.06
    wrong_item_rate: float = 0.03
    missing_rate: float = 0.02
    quarantine_rate: float = 0.01
    split_parcel_rate: float = 0.05
    site: str = "MAIN"
    other_sites: tuple[str, ...] = ()
    time_zone: str = "Europe/London"
    # (template or report, default caption, this tenant's caption): headers are renameable per tenant
    renamed_captions: tuple[tuple[str, str, str], ...] = ()

    # marketplace platform (PC01)
    tax_mode: TaxMode = "TAX_INCLUDED"
    tax_rules: TaxRules = "proportional"
    multi_shipment: bool = False
    partial_acceptance: bool = True
    alternative_carriers: bool = False
    partial_refunds: bool = True
    balance_check: bool = False
    acceptance_hours: int = 48
    close_after_days: int = 60
    strict_frequency: bool = False
    import_delay_s: float = 0.05
    export_delay_s: float = 0.05

    # money
    cycle_days: tuple[int, ...] = (1, 11, 21)
    vat_rate_percent: int = 20
    subscription_minor: int = 3000
    penalty_minor: int = 500
    credit_minor: int = 1000

    # returns platform
    platform: Platform = "reveni"
    platform_refunds: bool = False
    platform_amount_differs_rate: float = 0.05
    returngo_calls_per_day: int = 2000
    rebound_generation: Literal["legacy_ir", "v2"] = "legacy_ir"
    rebound_hub_rate: float = 0.5  # the others go direct to the retailer

    # webhooks: shares of calls that come twice, or before an earlier one; signed where a secret is set
    webhook_repeat_rate: float = 0.1
    webhook_disorder_rate: float = 0.1
    webhook_secret: str = ""
    # misconfigurations that a system audit must find
    shop_state: str = "OPEN"
    returns_api: bool = True
    order_acceptance: Literal["NOT_AUTOMATIC", "AUTOMATIC", "BOTH"] = "NOT_AUTOMATIC"
    hidden_reasons: tuple[str, ...] = ()  # codes that RE01 does not list
    extra_reasons: tuple[tuple[str, str], ...] = ()  # (type, code) that RE01 lists beside its own
    hidden_carriers: tuple[str, ...] = ()  # codes that SH21 does not list
    # (sku, item code that the warehouse's catalogue lists for it; empty: none), and item codes of nothing on sale
    item_spellings: tuple[tuple[str, str], ...] = ()
    extra_items: tuple[str, ...] = ()
    forbidden_operations: tuple[str, ...] = ()  # answered 403, as for a key without that right
    clock_skews_s: tuple[tuple[str, int], ...] = ()  # (system, seconds its Date header is ahead of the true time)

    # credentials: made up, of use with this sandbox only
    mirakl_api_key: str = "sandbox-mirakl-key"
    reveni_store_id: str = "sandbox-store"
    reveni_api_key: str = "sandbox-reveni-key"
    returngo_shop_name: str = "sandbox.shop.test"
    returngo_api_key: str = "sandbox-returngo-key"
    rebound_login: str = "sandbox-login"
    rebound_api_key: str = "sandbox-rebound-key"
    rebound_client_id: str = "sandbox-client"
    rebound_client_secret: str = "sandbox-rebound-secret"  # noqa: S105 - as warehouse_password
    warehouse_client_id: str = "sandboxwms"
    warehouse_username: str = "sandbox-user"
    warehouse_password: str = "sandbox-password"  # noqa: S105 - a synthetic credential of a local test server

    def __post_init__(self) -> None:
        """Refuse a config that no world could hold; raises ValueError naming the field and the mend."""
        if self.start.tzinfo is None:
            raise ValueError("WorldConfig.start has no time zone: pass an aware datetime, for example with tzinfo=UTC")
        for name in ("days", "orders", "skus"):
            if getattr(self, name) < 1:
                raise ValueError(f"WorldConfig.{name} is {getattr(self, name)}: give at least 1")
        if self.pace <= 0:
            raise ValueError(f"WorldConfig.pace is {self.pace}: give more than 0, 1 for the usual pace")
        if self.damaged_rate + self.wrong_item_rate + self.missing_rate + self.quarantine_rate > 1:
            raise ValueError("WorldConfig: damaged, wrong_item, missing and quarantine rates add up to more than 1")
