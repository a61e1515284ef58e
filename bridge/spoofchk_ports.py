"""What identifies a container's port, and what it may send, as keys for the sets of bridge.spoofchk_table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address

from system.ip import IPAddress

NAME_BYTES = 16  # IFNAMSIZ
MAC_BYTES = 8
"""Bytes of a MAC in a key: its six bytes take two registers of four."""


@dataclass(frozen=True, slots=True)
class Port:
    """A container's port on the host."""

    name: str  # of the host end
    mac: str  # MAC of the container's end
    addresses: tuple[IPAddress, ...]  # addresses it may send from

    @property
    def keys(self) -> tuple[tuple[str, bytes], ...]:
        """The set and the key of each element. Every MAC has a link-local address."""
        name = self.name.encode().ljust(NAME_BYTES, b"\0")
        mac = bytes.fromhex(self.mac.replace(":", "")).ljust(MAC_BYTES, b"\0")
        own = dict.fromkeys((*self.addresses, link_local(self.mac)))
        return (
            ("ports", name),
            ("macs", name + mac),
            *((f"own{address.version}", name + mac + address.packed) for address in own),
            *(("about6", name + mac + address.packed) for address in own if address.version == 6),
        )

    @property
    def text(self) -> str:
        """The content of the file that records the port."""
        return " ".join((self.name, self.mac, *map(str, self.addresses)))


def together(ports: Sequence[Port]) -> list[Port]:
    """Return a container's ports as the rules judge them: through each it may send from any of its addresses.

    It answers through the port that its routes name, whichever of its addresses was asked (`ip route`, several
    networks).
    """
    addresses = tuple(dict.fromkeys(address for port in ports for address in port.addresses))
    return [replace(port, addresses=addresses) for port in ports]


def read(text: str) -> Port:
    """Return the port that a file's `text` records. Raises ValueError for other text."""
    name, mac, *addresses = text.split()
    port = Port(name, mac, tuple(map(ip_address, addresses)))
    if not 0 < len(name.encode()) < NAME_BYTES or len(bytes.fromhex(mac.replace(":", ""))) != 6:
        raise ValueError(f'"{text}" is no port')
    return port


def link_local(mac: str) -> IPv6Address:
    """Return the link-local address that a MAC makes (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:])
