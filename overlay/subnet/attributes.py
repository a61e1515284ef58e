"""The value of a lease: who holds a subnet and what its backend needs to reach it.

Writes flannel's bytes (docs/reference/flannel.md 2.2 and 12): compact, fixed member order, Go's escapes; reads whatever its
decoder reads. Backend data stays JSON text here: only the backend named in `backend_type` understands it.
"""

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from overlay.config import documents

UNSET = IPv4Address(0)

# Go's encoder writes these as escapes inside strings; outside strings they cannot occur in JSON.
_GO_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"},
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """A lease's value; the two data members are compact JSON text, empty when absent."""

    public_ip: IPv4Address = UNSET
    public_ipv6: IPv6Address | None = None
    backend_type: str = ""
    backend_data: str = ""
    backend_v6_data: str = ""


def encode(attributes: Attributes) -> str:
    """Write the value byte for byte as flannel does (docs/reference/flannel.md 2.2)."""
    members: dict[str, Any] = {
        "PublicIP": str(attributes.public_ip),
        "PublicIPv6": str(attributes.public_ipv6) if attributes.public_ipv6 else None,
    }
    if attributes.backend_type:
        members["BackendType"] = attributes.backend_type
    if attributes.backend_data:
        members["BackendData"] = json.loads(attributes.backend_data)
    if attributes.backend_v6_data:
        members["BackendV6Data"] = json.loads(attributes.backend_v6_data)
    return compact(members)


def decode(value: str | bytes, where: str = "") -> Attributes:
    """Read a value; raises Refused for text flannel would not decode (section 0 rule 2: PublicIP null or empty too)."""
    section = documents.parse(value, where)
    spelled = [key for key in section.members if key.lower() == "publicip"]
    public = _public_ip(section) if spelled else UNSET
    return Attributes(
        public_ip=public,
        public_ipv6=section.ipv6("PublicIPv6"),
        backend_type=section.text("BackendType"),
        backend_data=_data(section.raw("BackendData")),
        backend_v6_data=_data(section.raw("BackendV6Data")),
    )


def compact(document: Any) -> str:
    """Write JSON without blanks and with Go's escapes."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).translate(_GO_ESCAPES)


def _public_ip(section: documents.Section) -> IPv4Address:
    text = section.text("PublicIP")
    mapped = _mapped(text)
    address = mapped or section.ipv4("PublicIP")
    if address is None:
        raise section.refusal("PublicIP", "not an IPv4 address", "delete the key: its owner writes it again")
    return address


def _mapped(text: str) -> IPv4Address | None:
    """Reduce `::ffff:192.0.2.1` to its IPv4 address, as Go's parser does."""
    try:
        return IPv6Address(text).ipv4_mapped
    except ValueError:
        return None


def _data(value: Any) -> str:
    return "" if value is None else compact(value)
