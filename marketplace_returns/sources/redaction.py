"""What of an answer may be shown.

Here lives the cutting of an excerpt from a refusal, for error messages, exceptions and the attempt log. What must
not live here: anything that decides what an answer means. The invariant: an excerpt holds no key, no e-mail address,
no name and no postal address, and is at most 500 characters long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from marketplace_returns.errors import EXCERPT_MAX

HIDDEN = "[hidden]"
_PARSED_BYTES_MAX = 65_536  # a refusal is small; a longer body is cut before it is looked at
_DEPTH_MAX = 8
_ITEMS_MAX = 20
_PRIVATE_WORDS = (
    "name|street|address|phone|mail|zip|post_?code|city|civility|company|iban|bic|owner|contact|customer|recipient"
    "|password|secret|token|session|api_?key|authorization|label|url"
)
_PRIVATE_KEY = re.compile(_PRIVATE_WORDS, re.IGNORECASE)
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_PRIVATE_ELEMENT = re.compile(rf"<(?:\w+:)?(\w*(?:{_PRIVATE_WORDS})\w*)\b[^>]*>[^<]*<", re.IGNORECASE)
# What was cut short is no JSON any more, and its private fields are still written as JSON writes them.
_PRIVATE_PAIR = re.compile(rf'"(\w*(?:{_PRIVATE_WORDS})\w*)"(\s*:\s*)"(?:[^"\\]|\\.)*"?', re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SPACE = re.compile(r"\s+")


def excerpt(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Cut what a person may see from an answer: at most 500 characters, private parts replaced by ``[hidden]``.

    ``secrets`` are values that must not appear wherever they stand, such as the API key the server may echo.
    """
    head = body[:_PARSED_BYTES_MAX]
    try:
        text = msgspec.json.encode(_without_private(msgspec.json.decode(head), _DEPTH_MAX)).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = head.decode("utf-8", errors="replace")
        text = _PRIVATE_PAIR.sub(rf'"\1"\2"{HIDDEN}"', _TAG.sub(" ", _PRIVATE_ELEMENT.sub(f" {HIDDEN} <", raw)))
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return _SPACE.sub(" ", _EMAIL.sub(HIDDEN, text)).strip()[:EXCERPT_MAX]


def _without_private(value: object, depth_left: int) -> object:
    if depth_left == 0:
        return HIDDEN
    if isinstance(value, dict):
        fields = list(cast("dict[str, Any]", value).items())[:_ITEMS_MAX]
        return {
            key: HIDDEN if _PRIVATE_KEY.search(key) and field else _without_private(field, depth_left - 1)
            for key, field in fields
        }
    if isinstance(value, list):
        return [_without_private(item, depth_left - 1) for item in value[:_ITEMS_MAX]]
    return value
