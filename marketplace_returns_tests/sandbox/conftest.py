"""One small world per test, and one that a diligent seller worked through for two months (read-only)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from marketplace_returns.sandbox.config import WorldConfig
from marketplace_returns.sandbox.server import running_sandbox
from marketplace_returns_tests.sandbox.seller import Seller

SellerMaker = Callable[..., Seller]


@pytest.fixture
def make_seller() -> Iterator[SellerMaker]:
    """Start a sandbox with this config and give a seller for it; all are stopped at the end of the test."""
    with ExitStack() as stack:

        def make(**options: object) -> Seller:
            config = WorldConfig(**{"orders": 20, "days": 3, "skus": 20, "import_delay_s": 0.0, "seed": 11} | options)  # type: ignore[arg-type]
            seller = Seller(stack.enter_context(running_sandbox(config)))
            stack.callback(seller.http.close)
            return seller

        yield make


@pytest.fixture(scope="session")
def worked() -> Iterator[Seller]:
    """80 orders over 20 days, worked diligently for 50: read it, do not write to it."""
    config = WorldConfig(orders=80, days=20, skus=30, import_delay_s=0.0, export_delay_s=0.0, seed=5, return_rate=0.8)
    with running_sandbox(config) as sandbox:
        seller = Seller(sandbox)
        seller.work(50)
        yield seller
        seller.http.close()
