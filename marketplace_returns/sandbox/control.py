"""The control API of the sandbox: its clock, truth, calls, faults, plants and state.

Here: what a test, a demo or a person may ask of or do to the sandbox itself. Not here: the rules behind it. Invariant: nothing here exists
on the real systems, and no product code calls it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from marketplace_returns.sandbox.catalogue import CARRIERS
from marketplace_returns.sandbox.faces import FACES
from marketplace_returns.sandbox.faults import profile, read_rule
from marketplace_returns.sandbox.gate import Gate
from marketplace_returns.sandbox.lessons import LESSONS, Classroom
from marketplace_returns.sandbox.mirakl_call import encode
from marketplace_returns.sandbox.plants import plant
from marketplace_returns.sandbox.truth import examine
from marketplace_returns.sandbox.world import World

ADVANCE_MAX = timedelta(days=400)
Endpoint = Callable[[Request], Awaitable[Response]]


def _json(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    try:
        body = msgspec.json.decode(raw) if raw else {}
    except msgspec.DecodeError as bad:
        raise ValueError(f"the body is not valid JSON: {bad}") from bad
    if isinstance(body, dict):
        return body
    raise ValueError("the body must be a JSON object")


class Control:
    """The endpoints over one world and its gate."""

    def __init__(self, world: World, gate: Gate, catch_up: Callable[[], None]) -> None:
        self.world = world
        self.gate = gate
        self.catch_up = catch_up
        self.classroom = Classroom(world, gate)

    async def clock(self, request: Request) -> Response:
        """GET /sandbox/clock."""
        del request
        self.catch_up()
        return _json({"now": self.world.clock.now(), "next_event": self.world.timeline.next_due()})

    async def advance(self, request: Request) -> Response:
        """POST /sandbox/clock/advance {"seconds": n} or {"to": instant}."""
        body = await _body(request)
        now = self.world.clock.now()
        if "to" in body:
            target = datetime.fromisoformat(str(body["to"]))
            target = target.replace(tzinfo=UTC) if target.tzinfo is None else target.astimezone(UTC)
        elif "seconds" in body:
            target = now + timedelta(seconds=float(body["seconds"]))
        else:
            raise ValueError('give {"seconds": n} or {"to": "2026-01-02T00:00:00Z"}')
        if target - now > ADVANCE_MAX:
            raise ValueError(f"advance at most {ADVANCE_MAX.days} days at a time")
        events = self.world.advance_to(target)
        return _json({"now": self.world.clock.now(), "events": events})

    async def truth(self, request: Request) -> Response:
        """GET /sandbox/truth?grace_hours=0."""
        grace = timedelta(hours=float(request.query_params.get("grace_hours", "0")))
        return _json(examine(self.world, grace))

    async def calls(self, request: Request) -> Response:
        """GET /sandbox/calls?reset=true: counts per system and operation, writes, statuses, faults played."""
        gate = self.gate
        shown: dict[str, Any] = {
            "total": sum(gate.calls.values()),
            "calls": _nested(gate.calls),
            "writes": _nested(gate.writes),
            "statuses": [
                {"system": system, "operation": operation, "status": status, "count": count}
                for (system, operation, status), count in sorted(gate.statuses.items())
            ],
            "faults": [
                {"system": system, "operation": operation, "kind": kind, "count": count}
                for (system, operation, kind), count in sorted(gate.faults_played.items())
            ],
        }
        if request.query_params.get("reset", "").lower() in {"1", "true"}:
            gate.reset_counts()
        return _json(shown)

    async def faults(self, request: Request) -> Response:
        """GET, POST (one rule, or {"profile": name, "seed": n}), DELETE /sandbox/faults."""
        rules = self.gate.rules
        if request.method == "DELETE":
            rules.clear()
        elif request.method == "POST":
            body = await _body(request)
            if "profile" in body:
                rules[:] = profile(str(body["profile"]), int(body.get("seed", 0)))
            else:
                rules.append(read_rule(body))
        return _json({"rules": [rule.shown() for rule in rules]})

    async def webhooks(self, request: Request) -> Response:
        """GET /sandbox/webhooks; POST {"source", "event_types", "url", "method", "parameters", "encode"}; DELETE forgets all."""
        notifications = self.world.notifications
        if request.method == "DELETE":
            notifications.subscriptions.clear()
        elif request.method == "POST":
            body = await _body(request)
            url = str(body.get("url", ""))
            if not url.startswith(("http://", "https://")) or not body.get("event_types"):
                raise ValueError('give {"source": system, "event_types": [name], "url": "http://..."}')
            notifications.subscribe(
                str(body["source"]),
                map(str, body["event_types"]),
                url,
                method=str(body.get("method", "POST")).upper(),
                parameters=body.get("parameters"),
                encode=bool(body.get("encode", False)),
            )
        return _json(notifications.shown())

    async def plant(self, request: Request) -> Response:
        """POST /sandbox/plant {"anomaly": name, ...}: returns what was touched."""
        body = await _body(request)
        return _json(plant(self.world, str(body.pop("anomaly", "")), body))

    async def lesson(self, request: Request) -> Response:
        """POST /sandbox/lesson {"stage": name} or {"outside": exception type}; GET: the troubles there are."""
        if request.method == "GET":
            return _json({"lessons": {name: lesson.outside_words for name, lesson in LESSONS.items()}})
        body = await _body(request)
        if "stage" in body:
            return _json({"about": self.classroom.cause(str(body["stage"]))})
        if "outside" in body:
            return _json({"done": self.classroom.outside(str(body["outside"]))})
        raise ValueError('give {"stage": name} or {"outside": exception type}')

    async def save(self, request: Request) -> Response:
        """POST /sandbox/save {"path": file}: keep the whole world in a file."""
        body = await _body(request)
        if not body.get("path"):
            raise ValueError('give {"path": "where the state goes"}')
        path = Path(str(body["path"]))
        self.world.save(path)
        return _json({"path": str(path), "bytes": path.stat().st_size})

    async def settings(self, request: Request) -> Response:
        """GET /sandbox/settings: what to put into a shop's settings, secrets and carrier mapping to use this sandbox."""
        return _json(settings_for(self.world, str(request.base_url).rstrip("/").removesuffix("/sandbox")))


def settings_for(world: World, base_url: str) -> dict[str, Any]:
    """Settings of a shop that talks to this sandbox at `base_url`; `secrets` are made up and of use here only."""
    config = world.config
    face = FACES[config.platform]
    return {
        "shop": {
            "marketplace": "asos",
            "currency": config.currency,
            "time_zone": "Europe/London",
            "mirakl": {"base_url": f"{base_url}/mirakl", "shop_id": config.shop_id, "call_profile": "sandbox"},
            "returns": {"platform": config.platform, **face.settings(config, f"{base_url}/{config.platform}")},
            "warehouse": {
                "system": "peoplevox",
                "base_url": f"{base_url}/peoplevox",
                "client_id": config.warehouse_client_id,
                "username": config.warehouse_username,
                "site": config.site,
                "time_zone": config.time_zone,
            },
            "policy": {"product_master": "warehouse"},
        },
        "secrets": {
            "mirakl.api_key": config.mirakl_api_key,
            **face.secrets(config),
            "warehouse.password": config.warehouse_password,
            **({"returns.webhook_secret": config.webhook_secret} if config.webhook_secret else {}),
        },
        "carriers": [
            {
                "source_system": "peoplevox",
                "source_code": carrier.warehouse_name,
                "carrier_code": carrier.code,
                "carrier_name": carrier.label,
                "tracking_url_template": carrier.tracking_url,
            }
            for carrier in CARRIERS
        ],
        "first_day": config.start.date().isoformat(),
        "days": config.days,
    }


def _nested(counts: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    shown: dict[str, dict[str, int]] = {}
    for (system, operation), count in sorted(counts.items()):
        shown.setdefault(system, {})[operation] = count
    return shown


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ValueError, KeyError, OSError) as bad:
            return _json({"error": str(bad)}, 400)

    return answer


def routes(world: World, gate: Gate, catch_up: Callable[[], None]) -> list[Route]:
    """The control routes, to be mounted at /sandbox."""
    control = Control(world, gate, catch_up)
    return [
        Route("/clock", _guarded(control.clock)),
        Route("/clock/advance", _guarded(control.advance), methods=["POST"]),
        Route("/truth", _guarded(control.truth)),
        Route("/calls", _guarded(control.calls)),
        Route("/faults", _guarded(control.faults), methods=["GET", "POST", "DELETE"]),
        Route("/plant", _guarded(control.plant), methods=["POST"]),
        Route("/lesson", _guarded(control.lesson), methods=["GET", "POST"]),
        Route("/webhooks", _guarded(control.webhooks), methods=["GET", "POST", "DELETE"]),
        Route("/save", _guarded(control.save), methods=["POST"]),
        Route("/settings", _guarded(control.settings)),
    ]
