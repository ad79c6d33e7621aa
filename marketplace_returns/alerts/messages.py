"""The words of an alert.

Here: one message for all a channel is told at once: counts, money at risk by currency, and the most urgent with their next step.
Not here: what is told. The invariants: a message holds ids, types, amounts and times of the ledger, and words of the catalogue, never
a source's own words: no message of an exception, no personal data, no secret; a value it names cannot be read as markup or mention.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marketplace_returns.ledger.alerts import Stage
from marketplace_returns.money import amount_text
from marketplace_returns.periods import zone

if TYPE_CHECKING:
    from datetime import datetime

    from marketplace_returns.ledger.alerts import AlertEvent, Batch, Telling
    from marketplace_returns.settings import Settings

SHOWN_MAX: Final = 10
_LOUDEST_FIRST: Final = ("critical", "high", "medium", "low")
# What an exception is about, by ids of the systems; other parts of its entity may be a source's own words.
_IDS: Final = (
    "order_id",
    "order_line_id",
    "return_id",
    "return_unit_id",
    "receipt_event_id",
    "despatch_number",
    "parcel_id",
    "offer_sku",
    "item_code",
    "month",
    "code",
    "invariant",
    "stream",
    "table",
    "kind",
    "alert_channel",
)
_ID_CHARACTERS_MAX: Final = 60
_NO_ID: Final = re.compile(r"[^\w #/.:\-]")
_STAGE_WORDS: Final = {
    Stage.HALF: "50 % of its clock is used",
    Stage.MOST: "80 % of its clock is used",
    Stage.DUE: "overdue",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: one line, and the text below it."""

    title: str
    body: str


def compose(batch: Batch, settings: Settings, *, characters_max: int) -> Message:
    """Put all that a channel is told at once into one message that fits it: counts always, the most urgent as far as there is room."""
    open_now = [each for each in batch.tellings if each.stage is not Stage.ENDED]
    ended = [each for each in batch.tellings if each.stage is Stage.ENDED]
    urgent = sorted(open_now, key=lambda each: (_LOUDEST_FIRST.index(each.severity), each.due_at, each.exception_id))
    parts = [part for part in (_counts(open_now), _recovered(ended), _failed(batch.events)) if part]
    blocks = [_block(each, settings) for each in urgent[:SHOWN_MAX]]
    blocks += [_recovered_line(each) for each in ended[: SHOWN_MAX if len(ended) <= SHOWN_MAX else 0]]
    blocks += [_event_line(each) for each in batch.events[:SHOWN_MAX]]
    if settings.console.base_url:
        blocks.append(f"All of them: {settings.console.base_url}/exceptions")
    body = "\n".join(parts)
    for block in blocks:
        if len(body) + len(block) + 2 <= characters_max:
            body = f"{body}\n\n{block}"
    return Message(_title(batch, urgent, ended), body[:characters_max])


def trial_message() -> Message:
    """Return what ``alerts test`` sends."""
    return Message(
        "marketplace_returns: test alert",
        "This is a test alert: nothing is wrong. Exceptions that this channel takes will come here.",
    )


def _title(batch: Batch, urgent: Sequence[Telling], ended: Sequence[Telling]) -> str:
    if len(urgent) == 1 and len(batch.tellings) == 1 and not batch.events:
        (each,) = urgent
        return f"{each.severity.upper()}: {each.type} {each.exception_id}, {each.shop}: {_stage(each)}"
    if len(ended) == 1 and len(batch.tellings) == 1 and not batch.events:
        (each,) = ended
        if each.became:
            return f"Worse: {each.type} {each.exception_id}, {each.shop}, became {each.became}"
        return f"Recovered: {each.type} {each.exception_id}, {each.shop}"
    said = []
    if urgent:
        said.append(f"{len(urgent)} {_plural('exception', len(urgent))}")
    if ended:
        said.append(f"{len(ended)} ended")
    if batch.events:
        said.append(f"{len(batch.events)} failed {_plural('job', len(batch.events))}")
    return f"{urgent[0].severity.upper()}: {', '.join(said)}" if urgent else f"marketplace_returns: {', '.join(said)}"


def _counts(found: Sequence[Telling]) -> str:
    if not found:
        return ""
    by_severity = Counter(each.severity for each in found)
    loud = ", ".join(f"{by_severity[name]} {name}" for name in _LOUDEST_FIRST if by_severity[name])
    overdue = sum(each.stage is Stage.DUE for each in found)
    lines = [f"{len(found)} {_plural('exception', len(found))}: {loud}; {overdue} overdue."]
    if len(found) > 1:
        by_type = Counter(each.type for each in found).most_common(SHOWN_MAX)
        lines.append(f"Of type: {', '.join(f'{name} {count}' for name, count in by_type)}.")
    at_risk: Counter[str] = Counter()
    for each in found:
        at_risk[each.currency] += each.amount_minor
    amounts = [amount_text(minor, currency) for currency, minor in sorted(at_risk.items()) if currency and minor]
    if amounts:
        lines.append(f"Money at risk: {'; '.join(amounts)}.")
    if len(found) > SHOWN_MAX:
        lines.append(f"The {SHOWN_MAX} most urgent:")
    return "\n".join(lines)


def _recovered(ended: Sequence[Telling]) -> str:
    worse = sum(bool(each.became) for each in ended)
    missed = sum(each.came_and_went and not each.became for each in ended)
    told = len(ended) - worse - missed
    lines = []
    if told:
        lines.append(f"Recovered: {told}.")
    if worse:
        lines.append(f"Became worse: {worse}.")
    if missed:
        lines.append(f"Opened and ended while this channel could not be reached: {missed}.")
    return "\n".join(lines)


def _failed(events: Sequence[AlertEvent]) -> str:
    return f"Failed jobs: {len(events)}." if events else ""


def _recovered_line(each: Telling) -> str:
    words = "opened and ended meanwhile" if each.came_and_went else "recovered"
    if each.became:
        words = f"became {each.became}"
    return f"{each.type} {each.exception_id}, {each.shop}{_about(each)}: {words}."


def _event_line(each: AlertEvent) -> str:
    return f"{each.severity}: {_plain(each.about)}, {each.shop}. See its runs in Dagster."


def _block(each: Telling, settings: Settings) -> str:
    facts = [f"{each.severity}: {each.type} {each.exception_id}, {each.shop}{_about(each)}: {_stage(each)}"]
    facts.append(f"Owner: {_plain(each.owner)}. Due: {_in_zone(each, settings)}.")
    if each.amount_minor:
        facts.append(f"Money at risk: {amount_text(each.amount_minor, each.currency)}.")
    if each.action:
        facts.append(f"Do: {each.action}")
    links = [f"Playbook: {each.playbook}"]
    if settings.console.base_url:
        links.append(f"Page: {settings.console.base_url}/exceptions/{each.exception_id}")
    return "\n".join((*facts, *links))


def _stage(each: Telling) -> str:
    again = f" again (time {each.opening})" if each.opening > 1 else ""
    return f"opened{again}" if each.stage is Stage.OPENED else _STAGE_WORDS[each.stage]


def _about(each: Telling) -> str:
    ids = [f"{name} {_plain(each.entity[name])}" for name in _IDS if name in each.entity]
    return f" ({', '.join(ids)})" if ids else ""


def _plain(value: str) -> str:
    """Return an id as it may stand in any chat: no sign that mentions, links or marks up."""
    return _NO_ID.sub("?", value).replace("//", "/?")[:_ID_CHARACTERS_MAX]


def _in_zone(each: Telling, settings: Settings) -> str:
    shop = settings.shops.get(each.shop)
    local: datetime = each.due_at.astimezone(zone(shop.time_zone if shop else "UTC"))
    return f"{local:%a %d %b %Y %H:%M %Z}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
