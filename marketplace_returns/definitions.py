"""What Dagster loads: ``dagster dev -w workspace.yaml`` finds ``defs`` here."""

from marketplace_returns.orchestration.assembly import build_definitions
from marketplace_returns.settings import load_settings

defs = build_definitions(load_settings())
