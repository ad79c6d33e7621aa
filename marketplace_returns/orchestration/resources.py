"""What a run is given: the installation, by name only.

Here: the one Dagster resource and the translation of our errors into Dagster's. Not here: settings or secrets, which never
enter Dagster's configuration; they are read when a run first needs them. The invariant: a run that failed by one of our
errors shows its message, and is never retried by Dagster.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from marketplace_returns.errors import MarketplaceReturnsError, SourceError
from marketplace_returns.orchestration.app import App
from marketplace_returns.settings import load_settings


class Installation(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic only for resources that give another value
    """This installation: opened when a run first asks for it, closed when the run ends."""

    name: str = "marketplace_returns"
    _app: App | None = PrivateAttr(default=None)

    def open(self) -> App:
        """Return the opened installation; the same one for the whole run."""
        if self._app is None:
            self._app = App.open(load_settings())
        return self._app

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close what the run opened."""
        if self._app is not None:
            self._app.close()
            self._app = None


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn our errors into a failed step that shows the message, and is not tried again by Dagster."""
    try:
        yield
    except MarketplaceReturnsError as error:
        metadata: dict[str, dg.RawMetadataValue] = {"error": type(error).__name__}
        if isinstance(error, SourceError):
            metadata |= {"system": error.system, "operation": error.operation, "request_id": error.request_id}
        raise dg.Failure(str(error), metadata=metadata, allow_retries=False) from error
