"""What is said about a mistake in the settings.

Here: how a mistake is found in the raw file and environment, or read from pydantic, and put as one line that names the
place and the mend. Not here: which settings there are. The invariant: no message holds the value of a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from unicodedata import category
from urllib.parse import urlsplit

from dotenv import dotenv_values

from marketplace_returns.errors import BadSettings

ENV_PREFIX: Final = "MARKETPLACE_RETURNS__"
ENV_FILE: Final = ".env"
_SECRET_KEYS: Final = frozenset({"api_key", "webhook_secret", "webhook_token", "password", "url"})


def variable_name(key: str) -> str:
    """Return the environment variable of a dotted key, such as ``shops.asos_uk.mirakl.api_key``."""
    return ENV_PREFIX + key.replace(".", "__").upper()


def unknown_keys(document: Mapping[str, Any], source: Path, fields: tuple[str, ...]) -> Iterator[str]:
    """Find top-level keys of the file, and variables of the environment, that are no setting."""
    known = ", ".join(fields)
    for key in document:
        if key not in fields:
            yield f"{source}, {key}: is not a setting: known ones are {known}"
    for variable, place in _variables().items():
        first = variable[len(ENV_PREFIX) :].split("__")[0].lower()
        if first not in fields:
            yield f"{place}: {first!r} is not a setting: known ones are {known}"


def unreadable_variables(reason: str) -> str:
    """Name the variables whose value is not of the form its setting needs, from what pydantic says of the setting."""
    found = re.search(r'field "(\w+)"', reason)
    start = f"{ENV_PREFIX}{found[1].upper()}" if found else ENV_PREFIX
    places = [place for variable, place in _variables().items() if variable.startswith(start)]
    return f"{', '.join(places)}: cannot be read: write a list as JSON, such as [30, 120], and the keys of a section one by one"


def _variables() -> dict[str, str]:
    """Return the variables of ours, in upper case, with the place each is set; the environment goes before ``.env``."""
    try:
        in_file = dotenv_values(ENV_FILE) if Path(ENV_FILE).is_file() else {}
    except UnicodeDecodeError:
        raise BadSettings(f"{ENV_FILE}: is not UTF-8 text: save it as UTF-8") from None
    places = {name.upper(): f"{ENV_FILE}, {name}" for name in in_file}
    places |= {name.upper(): f"environment variable {name}" for name in os.environ}
    return {name: place for name, place in places.items() if name.startswith(ENV_PREFIX)}


def secrets_in(document: Mapping[str, Any], source: Path, place: str = "") -> Iterator[str]:
    """Find secrets written into the file: by name, or as the password of a database address."""
    for key, value in document.items():
        dotted = f"{place}{key}"
        if isinstance(value, dict):
            yield from secrets_in(value, source, f"{dotted}.")
        elif key in _SECRET_KEYS or (isinstance(value, str) and _has_password(value)):
            yield (
                f"{source}, {dotted}: a secret must not be in this file: remove it here, change it at its system, and "
                f"put it into the environment (or .env) as {variable_name(dotted)}"
            )


def control_signs_in(document: Mapping[str, Any], source: Path, place: str = "") -> Iterator[str]:
    """Find texts with a sign that nobody sees or types, such as a NUL: no path, address or name has one."""
    for key, value in document.items():
        dotted = f"{place}{key}"
        if isinstance(value, dict):
            yield from control_signs_in(value, source, f"{dotted}.")
        elif isinstance(value, str) and (sign := next((each for each in value if category(each) == "Cc"), "")):
            yield f"{source}, {dotted}: has the control sign U+{ord(sign):04X} in it: remove it"


def _has_password(value: str) -> bool:
    try:
        return bool(urlsplit(value).password)
    except ValueError:
        return False


def explain(error: Mapping[str, Any], document: Mapping[str, Any], source: Path) -> str:
    """Turn one pydantic error into: where, what is wrong, how to mend it."""
    location = [str(part) for part in error["loc"] if part != "[key]"]
    key = ".".join(location)
    variable = variable_name(key)
    where = _variables().get(variable) or (f"{source}, {key}" if key else str(source))
    shop = location[1] if len(location) > 1 and location[0] == "shops" else ""
    if shop and shop not in document.get("shops", {}):
        where = f"{source}, {key} (shop {shop!r} is named only by variables {variable_name(f'shops.{shop}')}__...)"
    return f"{where}: {_reason(error, location)}"


def _reason(error: Mapping[str, Any], location: list[str]) -> str:
    context = cast("dict[str, Any]", error.get("ctx", {}))
    given = "" if location and location[-1] in _SECRET_KEYS else f"{error.get('input')!r} "[:80]
    match error["type"]:
        case "missing":
            return "is missing: add it"
        case "extra_forbidden":
            return "is not a setting of this section: remove it or mend its name"
        case "literal_error" | "enum":
            return f"{given}is not allowed: use one of {context['expected'].replace(' or ', ', ')}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "must be a section with keys of its own"
        case "value_error":
            return str(context["error"])
        case _:
            return f"{given}is wrong: {error['msg'][:1].lower()}{error['msg'][1:]}"
