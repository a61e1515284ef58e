"""The value of a lease: which host has the subnet, and what its backend needs to reach it.

Written are flannel's bytes (docs/reference/flannel.md 2.2 and 12): compact JSON, a fixed order of members, the escapes
of Go's encoder. Read is whatever flannel's decoder reads. Backend data stays JSON text here; only the backend that
`backend_type` names reads it.
"""

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from overlay.config import documents

UNSET = IPv4Address(0)
"""The address of a value that names none, as Go prints it."""

# Go's encoder writes these as escapes inside strings; outside strings they cannot occur in JSON.
_GO_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"},
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """A lease's value."""

    public_ip: IPv4Address = UNSET
    """The address other hosts send to."""
    public_ipv6: IPv6Address | None = None
    """The same for IPv6; None in a network without IPv6."""
    backend_type: str = ""
    """The backend, like "vxlan"; empty for udp and alloc (docs/reference/flannel.md 2.2)."""
    backend_data: str = ""
    """What the backend published for IPv4: compact JSON, or empty."""
    backend_v6_data: str = ""
    """What the backend published for IPv6: compact JSON, or empty."""


def encode(attributes: Attributes) -> str:
    """Return the value byte for byte as flannel writes it (docs/reference/flannel.md 2.2)."""
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
    """Read a value; raises Refused for text flannel would not decode. `where` names the entry in the message.

    A PublicIP that is null or empty is refused, too (docs/reference/flannel.md 0 rule 2).
    """
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
    """Return JSON without blanks and with Go's escapes."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).translate(_GO_ESCAPES)


def _public_ip(section: documents.Section) -> IPv4Address:
    text = section.text("PublicIP")
    mapped = _mapped(text)
    address = mapped or section.ipv4("PublicIP")
    if address is None:
        raise section.refusal("PublicIP", "not an IPv4 address", "delete the key: its owner writes it again")
    return address


def _mapped(text: str) -> IPv4Address | None:
    """Return the IPv4 address in `::ffff:192.0.2.1`, as Go's parser does; None for any other text."""
    try:
        return IPv6Address(text).ipv4_mapped
    except ValueError:
        return None


def _data(value: Any) -> str:
    return "" if value is None else compact(value)
