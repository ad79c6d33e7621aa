"""The WSDL of the Peoplevox face: document/literal, one SOAP 1.1 and one SOAP 1.2 port.

Honest: it lists exactly the operations of `peoplevox_soap.OPERATIONS` and promises nothing that is not served.
"""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import quoteattr

from marketplace_returns.sandbox.peoplevox_soap import NAMESPACE, OPERATIONS

_INTEGERS: Final = frozenset({"PageNo", "ItemsPerPage", "Action", "subscriptionId"})
_BOOLEANS: Final = frozenset({"encodeParameterData"})


def write_wsdl(address: str) -> str:
    """The service description with both ports at `address`, an absolute URL."""
    elements, messages, port_operations = [], [], []
    bindings: dict[str, list[str]] = {"soap": [], "soap12": []}
    for operation, (wrapper, parameters) in OPERATIONS.items():
        fields = _sequence(parameters)
        if wrapper:
            fields = (
                f'<s:sequence><s:element minOccurs="0" name="{wrapper}">'
                f"<s:complexType>{fields}</s:complexType></s:element></s:sequence>"
            )
        elements.append(f'<s:element name="{operation}"><s:complexType>{fields}</s:complexType></s:element>')
        elements.append(
            f'<s:element name="{operation}Response"><s:complexType><s:sequence>'
            f'<s:element minOccurs="0" name="{operation}Result" type="tns:IntegrationResponse" />'
            "</s:sequence></s:complexType></s:element>"
        )
        messages.append(
            f'<wsdl:message name="{operation}In"><wsdl:part name="parameters" element="tns:{operation}" />'
            f'</wsdl:message><wsdl:message name="{operation}Out"><wsdl:part name="parameters" '
            f'element="tns:{operation}Response" /></wsdl:message>'
        )
        port_operations.append(
            f'<wsdl:operation name="{operation}"><wsdl:input message="tns:{operation}In" />'
            f'<wsdl:output message="tns:{operation}Out" /></wsdl:operation>'
        )
        for prefix, operations in bindings.items():
            header = ""
            if operation != "Authenticate":
                message, part = "tns:SessionHeader", "UserSessionCredentials"
                header = f'<{prefix}:header message="{message}" part="{part}" use="literal" />'
            operations.append(
                f'<wsdl:operation name="{operation}"><{prefix}:operation soapAction="{NAMESPACE}{operation}" '
                f'style="document" /><wsdl:input><{prefix}:body use="literal" />{header}</wsdl:input>'
                f'<wsdl:output><{prefix}:body use="literal" /></wsdl:output></wsdl:operation>'
            )
    binding_texts, ports = [], []
    for prefix, operations in bindings.items():
        name = f"IntegrationServiceV4{prefix.capitalize()}"
        binding_texts.append(
            f'<wsdl:binding name="{name}" type="tns:IntegrationServiceV4"><{prefix}:binding '
            f'transport="http://schemas.xmlsoap.org/soap/http" />{"".join(operations)}</wsdl:binding>'
        )
        ports.append(
            f'<wsdl:port name="{name}" binding="tns:{name}">'
            f"<{prefix}:address location={quoteattr(address)} /></wsdl:port>"
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:tns="{NAMESPACE}" '
        'xmlns:s="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" '
        f'xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/" targetNamespace="{NAMESPACE}">'
        f'<wsdl:types><s:schema elementFormDefault="qualified" targetNamespace="{NAMESPACE}">'
        f"{''.join(elements)}{_SHARED_TYPES}</s:schema></wsdl:types>"
        '<wsdl:message name="SessionHeader"><wsdl:part name="UserSessionCredentials" '
        f'element="tns:UserSessionCredentials" /></wsdl:message>{"".join(messages)}'
        f'<wsdl:portType name="IntegrationServiceV4">{"".join(port_operations)}</wsdl:portType>'
        f'{"".join(binding_texts)}<wsdl:service name="IntegrationServiceV4">{"".join(ports)}</wsdl:service>'
        "</wsdl:definitions>"
    )


_SHARED_TYPES: Final = (
    '<s:complexType name="IntegrationStatusResponse"><s:sequence>'
    '<s:element minOccurs="0" name="Status" type="s:string" /></s:sequence></s:complexType>'
    '<s:complexType name="IntegrationResponse"><s:sequence>'
    '<s:element name="ResponseId" type="s:int" /><s:element name="TotalCount" type="s:int" />'
    '<s:element minOccurs="0" name="Detail" type="s:string" />'
    '<s:element minOccurs="0" name="Statuses"><s:complexType><s:sequence><s:element minOccurs="0" '
    'maxOccurs="unbounded" name="IntegrationStatusResponse" type="tns:IntegrationStatusResponse" />'
    "</s:sequence></s:complexType></s:element>"
    '<s:element minOccurs="0" name="ErrorCode" type="s:int" /></s:sequence></s:complexType>'
    '<s:element name="UserSessionCredentials"><s:complexType><s:sequence>'
    '<s:element name="UserId" type="s:int" /><s:element minOccurs="0" name="ClientId" type="s:string" />'
    '<s:element minOccurs="0" name="SessionId" type="s:string" /></s:sequence></s:complexType></s:element>'
)


def _sequence(parameters: Sequence[str]) -> str:
    fields = []
    for name in parameters:
        kind = "int" if name in _INTEGERS else "boolean" if name in _BOOLEANS else "string"
        fields.append(f'<s:element minOccurs="0" name="{name}" type="s:{kind}" />')
    return f"<s:sequence>{''.join(fields)}</s:sequence>"
