"""SOAP 1.1 and 1.2 envelopes of the Peoplevox integration service: reading requests, writing answers.

Strict as an ASP.NET service is: a SOAP 1.1 call without the right SOAPAction, an element outside the
``http://www.peoplevox.net/`` namespace or an unreadable envelope is a SOAP fault; a refusal by the warehouse
itself is a normal answer with ``ResponseId`` -1. What operations do lives in `peoplevox`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

NAMESPACE: Final = "http://www.peoplevox.net/"
ENVELOPE_1_1: Final = "http://schemas.xmlsoap.org/soap/envelope/"
ENVELOPE_1_2: Final = "http://www.w3.org/2003/05/soap-envelope"

_IN_NAMESPACE: Final = f"{{{NAMESPACE}}}"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ACTION_PARAMETER = re.compile(r'action="?([^";]+)"?')

# Operation -> (element that wraps the parameters, or "", and the parameters).
OPERATIONS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "Authenticate": ("", ("clientId", "username", "password")),
    "GetData": ("getRequest", ("TemplateName", "PageNo", "ItemsPerPage", "SearchClause")),
    "GetDataWithSitesFilters": (
        "getRequest",
        ("TemplateName", "PageNo", "ItemsPerPage", "SearchClause", "SitesFilter"),
    ),
    "GetReportData": (
        "getReportRequest",
        ("TemplateName", "PageNo", "ItemsPerPage", "SearchClause", "FilterClause", "Columns", "OrderBy"),
    ),
    "GetSaveTemplate": ("", ("templateName",)),
    "SaveData": ("saveRequest", ("TemplateName", "CsvData", "Action")),
    "SubscribeEvent": ("", ("eventType", "filter", "callbackUrl", "encodeParameterData")),
    "SubscribePostEvent": ("", ("eventType", "filter", "postUrl", "postParams", "encodeParameterData")),
    "UnsubscribeEvent": ("", ("subscriptionId",)),
}


class SoapFaultError(Exception):
    """The envelope cannot be served: answered as a SOAP fault in `version` with `http_status`."""

    def __init__(self, message: str, *, version: str = ENVELOPE_1_1, http_status: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.version = version
        self.http_status = http_status


@dataclass(frozen=True)
class SessionHeader:
    """The `UserSessionCredentials` of a call."""

    client_id: str
    session_id: str


@dataclass(frozen=True)
class SoapCall:
    """One request: operation, parameters by name (absent ones are missing), session header if sent."""

    version: str
    operation: str
    arguments: Mapping[str, str]
    session: SessionHeader | None


@dataclass(frozen=True)
class IntegrationResponse:
    """What every operation answers; `statuses` only for SaveData, one text per row."""

    response_id: int
    total_count: int
    detail: str
    statuses: Sequence[str] | None = field(default=None)


def read_call(body: bytes, content_type: str, soap_action: str | None) -> SoapCall:
    """The call in a request body.

    Raises SoapFaultError on an unreadable envelope, an unknown operation or a SOAPAction naming another.
    """
    media_type = content_type.split(";", 1)[0].strip().lower()
    if media_type not in ("text/xml", "application/soap+xml"):
        raise SoapFaultError(
            f"Unsupported content type {media_type!r}: send text/xml (SOAP 1.1) or application/soap+xml (SOAP 1.2).",
            http_status=415,
        )
    expected = ENVELOPE_1_1 if media_type == "text/xml" else ENVELOPE_1_2
    try:
        envelope = fromstring(body)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise SoapFaultError(
            "Server was unable to read request. There is an error in the XML document.",
            version=expected,
            http_status=_client_status(expected),
        ) from error
    if envelope.tag != f"{{{expected}}}Envelope":
        raise SoapFaultError(
            "Possible SOAP version mismatch: the Envelope namespace does not fit the content type.",
            version=expected,
            http_status=_client_status(expected),
        )
    body_element = envelope.find(f"{{{expected}}}Body")
    if body_element is None or len(body_element) == 0:
        raise SoapFaultError(
            "The SOAP Body holds no operation.", version=expected, http_status=_client_status(expected)
        )
    operation_element = body_element[0]
    operation = _operation(operation_element, expected)
    _check_action(operation, content_type, soap_action, expected)
    return SoapCall(
        version=expected,
        operation=operation,
        arguments=_arguments(operation, operation_element),
        session=_session(envelope, expected),
    )


def write_response(call: SoapCall, response: IntegrationResponse) -> str:
    """The envelope that answers `call`."""
    statuses = ""
    if response.statuses is not None:
        rows = "".join(
            f"<IntegrationStatusResponse><Status>{_text(status)}</Status></IntegrationStatusResponse>"
            for status in response.statuses
        )
        statuses = f"<Statuses>{rows}</Statuses>"
    body = (
        f'<{call.operation}Response xmlns="{NAMESPACE}"><{call.operation}Result>'
        f"<ResponseId>{response.response_id}</ResponseId><TotalCount>{response.total_count}</TotalCount>"
        f"<Detail>{_text(response.detail)}</Detail>{statuses}<ErrorCode>0</ErrorCode>"
        f"</{call.operation}Result></{call.operation}Response>"
    )
    return _envelope(call.version, body)


def write_fault(fault: SoapFaultError) -> str:
    """The envelope of a SOAP fault, in the fault's SOAP version."""
    if fault.version == ENVELOPE_1_2:
        body = (
            "<soap:Fault><soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code><soap:Reason>"
            f'<soap:Text xml:lang="en">{_text(fault.message)}</soap:Text></soap:Reason></soap:Fault>'
        )
    else:
        body = (
            "<soap:Fault><faultcode>soap:Client</faultcode>"
            f"<faultstring>{_text(fault.message)}</faultstring><detail /></soap:Fault>"
        )
    return _envelope(fault.version, body)


def media_type(version: str) -> str:
    """The content type of an answer in that SOAP version."""
    return "application/soap+xml; charset=utf-8" if version == ENVELOPE_1_2 else "text/xml; charset=utf-8"


def _operation(element: Element, version: str) -> str:
    name = element.tag.removeprefix(_IN_NAMESPACE)
    if element.tag == name or name not in OPERATIONS:
        raise SoapFaultError(
            f"Server did not recognize the operation {element.tag}: it must be one of "
            f"{', '.join(OPERATIONS)} in namespace {NAMESPACE}.",
            version=version,
            http_status=_client_status(version),
        )
    return name


def _check_action(operation: str, content_type: str, soap_action: str | None, version: str) -> None:
    """SOAP 1.1 demands the SOAPAction header; SOAP 1.2 may carry it as a parameter of the content type."""
    if version == ENVELOPE_1_2:
        match = _ACTION_PARAMETER.search(content_type)
        given = match.group(1) if match else NAMESPACE + operation
    else:
        given = (soap_action or "").strip().strip('"')
    if given != NAMESPACE + operation:
        raise SoapFaultError(
            f"Server did not recognize the value of HTTP Header SOAPAction: {given}.",
            version=version,
            http_status=_client_status(version),
        )


def _arguments(operation: str, element: Element) -> dict[str, str]:
    """Parameters by name. Elements outside the namespace do not exist for the service, as in ASP.NET."""
    wrapper, names = OPERATIONS[operation]
    containers = [element]
    if wrapper:
        inner = element.find(_IN_NAMESPACE + wrapper)
        containers = [element] if inner is None else [inner, element]
    found: dict[str, str] = {}
    for container in containers:
        for child in container:
            name = child.tag.removeprefix(_IN_NAMESPACE)
            if name in (child.tag, wrapper):
                continue
            # `sitesFilter` is seen in both cases and both places, beside and inside the request.
            wanted = next((known for known in names if known.lower() == name.lower()), None)
            if wanted is not None:
                found.setdefault(wanted, child.text or "")
    return found


def _session(envelope: Element, version: str) -> SessionHeader | None:
    """The session header; child names in any case, since a public client writes `clientId` and is served."""
    header = envelope.find(f"{{{version}}}Header")
    credentials = None if header is None else header.find(f"{_IN_NAMESPACE}UserSessionCredentials")
    if credentials is None:
        return None
    parts = {child.tag.rpartition("}")[2].lower(): (child.text or "").strip() for child in credentials}
    return SessionHeader(client_id=parts.get("clientid", ""), session_id=parts.get("sessionid", ""))


def _client_status(version: str) -> int:
    """ASP.NET answers a client's fault with 500 in SOAP 1.1 and with 400 in SOAP 1.2."""
    return 400 if version == ENVELOPE_1_2 else 500


def _envelope(version: str, body: str) -> str:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{version}">'
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    )


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("", value))
