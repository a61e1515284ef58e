"""The backends by the name the network config calls them: the one list a new backend is entered in.

Must not know how any of them works.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from overlay.backends import Backend, Underlay, VxlanIdentity, alloc, host_gw, udp, vxlan, wireguard
from overlay.config.network import NetworkConfig
from overlay.stores.file import Host
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes


@dataclass(frozen=True, slots=True)
class Entry:
    """What a backend's module offers: how it is made, what a hosts file lets derive, and the check of its options."""

    build: Callable[[NetworkConfig, Underlay, Mapping[str, str]], Backend]
    derived: Callable[[NetworkConfig, Subnet, IPv4Address, IPv6Address | None], Attributes]
    options: Callable[[NetworkConfig], object] = id
    """Raises Refused; a backend without options has nothing to check."""


ENTRIES = {
    vxlan.TYPE: Entry(vxlan.build, vxlan.derived, vxlan.options),
    host_gw.TYPE: Entry(host_gw.build, host_gw.derived),
    wireguard.TYPE: Entry(wireguard.build, wireguard.derived, wireguard.options),
    udp.TYPE: Entry(udp.build, udp.derived, udp.options),
    alloc.TYPE: Entry(alloc.build, alloc.derived),
}
TYPES = tuple(ENTRIES)


def require_known(config: NetworkConfig) -> Entry:
    """Raise Refused when the config names a backend that is not in the catalogue, or gives it impossible options."""
    entry = ENTRIES.get(config.backend_type)
    if entry is None:
        raise config.backend.refusal("Type", "not a backend of this version", f"choose one of: {', '.join(TYPES)}")
    entry.options(config)
    return entry


def devices(config: NetworkConfig, underlay: Underlay) -> tuple[VxlanIdentity, ...]:
    """Give the VXLAN devices this host will have, whose MACs are published; raises Refused."""
    require_known(config)
    return vxlan.devices(config, underlay) if config.backend_type == vxlan.TYPE else ()


def build(config: NetworkConfig, underlay: Underlay, kept: Mapping[str, str]) -> Backend:
    """Make the backend for this host; `kept` has what peers know it by, by device: a MAC or a public key."""
    return require_known(config).build(config, underlay, kept)


def derive(config: NetworkConfig, host: Host) -> Attributes:
    """Give the attributes of a host that follow from its entry in a hosts file."""
    return require_known(config).derived(config, host.subnet, host.public_ip, host.public_ipv6)
