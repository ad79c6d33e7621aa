"""A sandbox in a process of its own, and what may be asked of it over HTTP.

Here lives starting, steering and stopping it. What must not: anything of the world itself. The invariant: a sandbox that
was started here is stopped here.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from marketplace_returns.errors import BadArgument, SourceUnreachable

ANSWER_TIME_OUT_S: Final = 300.0
STOP_TIME_OUT_S: Final = 30.0


@dataclass
class SandboxProcess:
    """A running sandbox: its address, the settings that point at it, and its control calls."""

    base_url: str
    settings: Mapping[str, Any]
    _http: httpx.Client = field(repr=False)

    def now(self) -> datetime:
        """Return the instant of the world's clock."""
        return datetime.fromisoformat(str(self._get("clock")["now"]))

    def advance_to(self, instant: datetime) -> int:
        """Let the world live until an instant; return how many things happened in it."""
        return int(self._post("clock/advance", {"to": instant.isoformat()})["events"])

    def truth(self, grace_hours: float) -> dict[str, Any]:
        """Return the world's verdict on what was done to it."""
        return self._get("truth", grace_hours=grace_hours)

    def calls(self, *, reset: bool = False) -> dict[str, Any]:
        """Return the calls it was sent so far, and the writes among them."""
        return self._get("calls", reset=str(reset).lower())

    def plant(self, anomaly: str) -> dict[str, Any]:
        """Plant an anomaly; BadArgument where the sandbox knows none of that name."""
        return self._post("plant", {"anomaly": anomaly})

    def lessons(self) -> dict[str, str]:
        """Return the troubles to practise on by the exception type they lead to, and what is done about each in another system."""
        return dict(self._get("lesson")["lessons"])

    def cause(self, stage: str) -> dict[str, dict[str, str]]:
        """Do what a stage of every trouble asks for; return what each is about. BadArgument where the world holds nothing for one."""
        return dict(self._post("lesson", {"stage": stage})["about"])

    def do_outside(self, lesson: str) -> str:
        """Do what somebody does about a trouble in another system, and say what that was."""
        return str(self._post("lesson", {"outside": lesson})["done"])

    def save(self, path: Path) -> None:
        """Keep the world in a file."""
        self._post("save", {"path": str(path.resolve())})

    def _get(self, what: str, **query: Any) -> dict[str, Any]:
        return self._read(self._http.get(f"{self.base_url}/sandbox/{what}", params=query))

    def _post(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._read(self._http.post(f"{self.base_url}/sandbox/{what}", json=body))

    @staticmethod
    def _read(answer: httpx.Response) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(answer.content)
        if answer.status_code >= 400:
            raise BadArgument(f"the sandbox refused: {found.get('error', answer.status_code)}")
        return found


def refuse_taken(port: int) -> None:
    """Refuse a port of this machine on which something answers already; 0 is no port yet. Raises BadArgument."""
    with closing(socket.socket()) as probe:
        if port and probe.connect_ex(("127.0.0.1", port)) == 0:
            raise BadArgument(f"--port {port} is taken, perhaps by another sandbox: stop that, or give another port")


@contextmanager
def sandbox_process(arguments: Sequence[str]) -> Iterator[SandboxProcess]:
    """Run ``python -m marketplace_returns.sandbox`` with these arguments while the block runs.

    Raises:
        SourceUnreachable: it did not come up; its own words say why.
    """
    command = [sys.executable, "-m", "marketplace_returns.sandbox", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - our own module
        try:
            assert process.stdout is not None  # noqa: S101 - by PIPE
            line = process.stdout.readline()
            if not line:
                words = process.stderr.read().decode(errors="replace").strip()[-400:] if process.stderr else ""
                raise SourceUnreachable(f"the sandbox did not start: {words}", system="sandbox", operation="start")
            found = msgspec.json.decode(line)
            with httpx.Client(timeout=ANSWER_TIME_OUT_S) as http:
                yield SandboxProcess(found["base_url"], found["settings"], http)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIME_OUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
