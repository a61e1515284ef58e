"""What a backend tells the rest of the daemon about itself, as one value at the end of its module.

The daemon, `tulle lint`, `status`, `doctor` and `leave` ask this entry; none of them compares a backend's name. What an
entry leaves out is as with a backend that has no device of its own, as host-gw and alloc.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from overlay.backends import Backend, Underlay, VxlanIdentity
from overlay.config.network import NetworkConfig
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from system.ip import IPNetwork


@dataclass(frozen=True, slots=True)
class HostResources:
    """What one network needs of its host; networks with a `vni` may share their UDP port with one another."""

    networks: tuple[IPNetwork, ...]
    """The ranges of its addresses."""
    devices: frozenset[str] = frozenset()
    """The names of its devices."""
    ports: frozenset[int] = frozenset()
    """The UDP ports it listens on."""
    vni: int | None = None
    """Its VXLAN network identifier; None for other backends."""


def addresses_only(config: NetworkConfig) -> HostResources:
    """Return the resources of a backend without a device and a port: its range of addresses."""
    return HostResources(config.networks)


def no_devices(_config: NetworkConfig, _underlay: Underlay) -> tuple[VxlanIdentity, ...]:
    """Return no device: nothing on this host has a MAC that peers know."""
    return ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A backend as the registry knows it."""

    type: str
    """What the network config calls it in Backend.Type."""
    build: Callable[[NetworkConfig, Underlay, Mapping[str, str]], Backend]
    """Makes the backend of this host; the mapping has what peers know it by, by device: a MAC or a public key."""
    derived: Callable[[NetworkConfig, Subnet, IPv4Address, IPv6Address | None], Attributes]
    """Gives what a host publishes, from its entry in a hosts file alone; raises Refused where that cannot be."""
    options: Callable[[NetworkConfig], object] = id
    """Checks the section "Backend"; raises Refused. A backend without options has nothing to check."""
    keys: tuple[str, ...] = ()
    """The keys that `options` reads, besides Type: `tulle lint` finds what is nearly one of them."""
    resources: Callable[[NetworkConfig], HostResources] = addresses_only
    """Says which devices, ports and VNI the network takes of its host; raises Refused."""
    devices: Callable[[NetworkConfig, Underlay], tuple[VxlanIdentity, ...]] = no_devices
    """Gives the VXLAN devices whose MACs are published: one that is there already keeps its MAC. Raises Refused."""
    device_prefixes: tuple[str, ...] = ()
    """How the names of its devices begin; a link of such a name is a daemon's own."""
    key_device: str = ""
    """The device for which this host has a WireGuard key that peers know; empty for none."""
    forwarder: str = ""
    """The device whose forwarder outlives the daemon, and has to be stopped when the network gets another backend."""
    remedies: tuple[tuple[str, str], ...] = ()
    """Words in the reason why a peer was left out, and what to do then; otherwise its lease is to be corrected."""
    typed: bool = True
    """Whether its leases say BackendType (docs/reference/flannel.md 2.2)."""
    needs_data: bool = False
    """Whether flanneld fails on a lease of this type without BackendData, in each family (docs/reference/flannel.md 0, rule 3)."""

    @property
    def lease_types(self) -> frozenset[str]:
        """The BackendType of leases that a host with this backend can reach."""
        return frozenset([self.type] if self.typed else [self.type, ""])
