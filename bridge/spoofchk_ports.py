"""What a container's port is told apart by, and what it may send: the keys of bridge.spoofchk_table's sets. Pure; must not know the kernel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address

from cni.types import IPAddress

NAME_BYTES = 16  # IFNAMSIZ
MAC_BYTES = 8
"""A MAC's six bytes take two registers of four."""


@dataclass(frozen=True, slots=True)
class Port:
    """A container's port on the host: its name, the MAC behind it and the addresses it may send from."""

    name: str
    mac: str
    addresses: tuple[IPAddress, ...]

    @property
    def keys(self) -> tuple[tuple[str, bytes], ...]:
        """The set and the key of each of its elements; every MAC has a link-local address."""
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
        """The port as it is remembered."""
        return " ".join((self.name, self.mac, *map(str, self.addresses)))


def together(ports: Sequence[Port]) -> list[Port]:
    """Return a container's ports as they are judged: through each it may send from any of its addresses.

    Its answers leave by the port that its routes name, whichever address was asked (`ip route`, several networks).
    """
    addresses = tuple(dict.fromkeys(address for port in ports for address in port.addresses))
    return [replace(port, addresses=addresses) for port in ports]


def read(text: str) -> Port:
    """Return the port that was remembered as `text`; ValueError for what is none."""
    name, mac, *addresses = text.split()
    port = Port(name, mac, tuple(map(ip_address, addresses)))
    if not 0 < len(name.encode()) < NAME_BYTES or len(bytes.fromhex(mac.replace(":", ""))) != 6:
        raise ValueError(f'"{text}" is no port')
    return port


def link_local(mac: str) -> IPv6Address:
    """Return the address a MAC makes by itself (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:])
