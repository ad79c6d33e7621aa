"""SOAP 1.1 envelopes of the integration service: writing requests, reading answers.

Here: XML only. Not here: what an operation means, sessions, CSV. Invariant: whatever text goes in comes out of the XML
unchanged, save for characters that XML cannot carry, and an answer is either read whole or refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

NAMESPACE = "http://www.peoplevox.net/"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XML_CANNOT_CARRY = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class UnreadableEnvelope(Exception):
    """The answer is a SOAP fault or no answer of that operation; the message says which."""


@dataclass(frozen=True)
class Credentials:
    """What the `UserSessionCredentials` header carries."""

    client_id: str
    session_id: str


@dataclass(frozen=True)
class IntegrationAnswer:
    """What every operation answers; `statuses` has one text per saved row, and only SaveData gives it.

    Peoplevox refuses with HTTP 200: `response_id` -1 and the reason in `detail`.
    """

    response_id: int
    total_count: int
    detail: str
    statuses: tuple[str, ...] = ()
    request_id: str = ""

    @property
    def is_refusal(self) -> bool:
        """Whether the service did not do what was asked."""
        return self.response_id < 0


def action(operation: str) -> str:
    """Return the SOAPAction header of an operation, quoted as SOAP 1.1 asks."""
    return f'"{NAMESPACE}{operation}"'


def envelope(
    operation: str, parameters: Mapping[str, str | int], *, wrapper: str = "", credentials: Credentials | None = None
) -> bytes:
    """Write the request of an operation; `wrapper` is the element around its parameters, where it has one.

    A character that XML 1.0 cannot carry (such as a control code in a shopper's address) becomes a blank.
    """
    inner = "".join(f"<{name}>{_text(str(value))}</{name}>" for name, value in parameters.items())
    if wrapper:
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    header = ""
    if credentials is not None:
        header = (
            f'<soap:Header><UserSessionCredentials xmlns="{NAMESPACE}"><UserId>0</UserId>'
            f"<ClientId>{_text(credentials.client_id)}</ClientId><SessionId>{_text(credentials.session_id)}</SessionId>"
            "</UserSessionCredentials></soap:Header>"
        )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{SOAP}">{header}'
        f'<soap:Body><{operation} xmlns="{NAMESPACE}">{inner}</{operation}></soap:Body></soap:Envelope>'
    ).encode()


def is_xml(body: bytes) -> bool:
    """Say whether a body is whole XML: a write whose answer is cut short has an unclear outcome."""
    try:
        fromstring(body)
    except (ParseError, DefusedXmlException, ValueError):
        return False
    return True


def read_answer(operation: str, body: bytes, request_id: str = "") -> IntegrationAnswer:
    """Read the answer to an operation. Raises UnreadableEnvelope on a fault, other XML, or no XML."""
    try:
        root: Element = fromstring(body)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise UnreadableEnvelope(f"the answer is not readable XML ({error})") from error
    fault = root.find(f".//{{{SOAP}}}Fault")
    if fault is not None:
        raise UnreadableEnvelope(f"SOAP fault: {(fault.findtext('faultstring') or 'no reason given').strip()}")
    result = root.find(f"{{{SOAP}}}Body/{_tag(operation + 'Response')}/{_tag(operation + 'Result')}")
    if result is None:
        raise UnreadableEnvelope(f"the answer has no {operation}Result")
    return IntegrationAnswer(
        response_id=_number(result, "ResponseId", operation),
        total_count=_number(result, "TotalCount", operation),
        detail=result.findtext(_tag("Detail")) or "",
        statuses=tuple(
            (row.findtext(_tag("Status")) or "").strip()
            for row in result.iterfind(f"{_tag('Statuses')}/{_tag('IntegrationStatusResponse')}")
        ),
        request_id=request_id,
    )


def _number(result: Element, name: str, operation: str) -> int:
    text = (result.findtext(_tag(name)) or "").strip()
    try:
        return int(text)
    except ValueError:
        raise UnreadableEnvelope(f"{operation}Result has {name} {text!r}, which is no whole number") from None


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _text(value: str) -> str:
    return escape(_XML_CANNOT_CARRY.sub(" ", value))
