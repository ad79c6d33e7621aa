"""How a message leaves: Apprise, and what it says when it does not.

Here: one channel's address, its room for text, one try. Not here: when, to whom, how often. The invariants: a try ends within the
time-outs of Apprise and is never repeated here; what is told of a failure holds nothing of the address, which is a secret.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from marketplace_returns.errors import BadSettings
from marketplace_returns.settings_mistakes import variable_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from marketplace_returns.alerts.messages import Message
    from marketplace_returns.settings import AlertChannel

_TITLE_MAX: Final = 120
_STATUS: Final = re.compile(r"error=(\d{3})\b")


def send(name: str, channel: AlertChannel, compose: Callable[[int], Message]) -> str:
    """Send one message over a channel, made for the characters it takes; return why it was not taken, or nothing.

    Raises:
        BadSettings: the channel has no address, or one that Apprise does not know.
    """
    import apprise  # noqa: PLC0415 - a fifth of a second, and only where an alert leaves

    address = channel.address()
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.propagate = False  # its words may quote the address
    logger.addHandler(heard)
    try:
        service = _service(name, address)
        title_room = int(service.title_maxlen)
        message = compose(int(service.body_maxlen) - (0 if title_room else _TITLE_MAX))
        taken = service.notify(
            title=message.title[: title_room or _TITLE_MAX],
            body=message.body,
            body_format=apprise.NotifyFormat.TEXT,
            notify_type=apprise.NotifyType.INFO,
        )
    except BadSettings:
        raise
    except Exception as error:  # noqa: BLE001 - a service's own fault is a try that failed, and is kept as such
        return f"it failed ({type(error).__name__})"
    finally:
        logger.removeHandler(heard)
    return "" if taken else heard.reason


def _service(name: str, address: str) -> Any:
    import apprise  # noqa: PLC0415

    service: Any = apprise.Apprise.instantiate(address)
    if service is None:
        place = f"alerts.channels.{name}.url"
        raise BadSettings(f"{place} is no address that Apprise knows: mend {variable_name(place)}")
    if (
        service.overflow_mode == apprise.OverflowMode.UPSTREAM
    ):  # the address does not say: one message, cut if it must be
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
    return service


class _Heard(logging.Handler):
    """What Apprise says while it tries, of which only the answer's status is kept."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self.reason = "it cannot be reached, or does not answer in time"

    def emit(self, record: logging.LogRecord) -> None:
        """Take the status of the answer out of a record."""
        status = _STATUS.search(record.getMessage())
        if status is not None and record.thread == self._thread:  # other channels are tried at the same time
            self.reason = f"it answered {status[1]}"
