"""What every backend answers, as one protocol, and the kernel state it can ask for, as values.

A backend decides which attributes to publish for a subnet, and which devices and entries a set of leases needs. It does
not touch the kernel: overlay.datapath.diff compares with what is there, overlay.datapath.apply carries out the
difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Literal, Protocol

from overlay.errors import Refused, Unavailable
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from system.ip import IPAddress, IPInterface, IPNetwork

Form = Literal["vxlan", "bare", "sealed"]

OnLinkLookup = Callable[[IPAddress], str]
"""Returns the name of the link an address is on directly, without a gateway; empty for none."""


def nowhere(_: IPAddress) -> str:
    """Return that an address is on no link."""
    return ""


@dataclass(frozen=True, slots=True)
class Underlay:
    """The interface the tunnels go through, its MTU in bytes, and the addresses published for this host."""

    interface: str
    """The name of the interface."""
    mtu: int
    """Its MTU in bytes."""
    public_ip: IPv4Address
    """The IPv4 address published for this host."""
    public_ipv6: IPv6Address | None = None
    """The IPv6 address published for this host; None for none."""
    local: IPv4Address | None = None
    """The interface's own IPv4 address, which behind NAT is not the published one."""
    earlier_mtu: int = 0
    """The MTU before it changed while the daemon ran, 0 when it has not."""

    @property
    def addresses(self) -> tuple[IPAddress | None, ...]:
        """What others know this host by, and what it sends from."""
        return (self.public_ip, self.public_ipv6, self.local)

    def too_small(self, asked: int, lowest: int) -> Refused | Unavailable:
        """Return the error for an MTU below `lowest`: the config's, `asked`, if that is not 0, else the interface's."""
        where = "Backend.MTU" if asked else f"the MTU of {self.interface}"
        what = f"{where} is {asked or self.mtu}: too little is left inside the tunnel"
        remedy = f"it must be {lowest} or more"
        return Refused(what, remedy=remedy) if asked else Unavailable(f"{what}; {remedy}")


@dataclass(frozen=True, slots=True)
class VxlanIdentity:
    """The properties of a VXLAN device that cannot be changed; an existing device that differs is replaced."""

    name: str
    """The name of the device."""
    vni: int
    """The VXLAN network identifier."""
    parent: str
    """The interface its packets leave by."""
    local: IPAddress
    """The source address of its packets."""
    port: int
    """The UDP port; 0 for the kernel's default."""


@dataclass(frozen=True, slots=True)
class VxlanDevice:
    """A VXLAN device with its settings and all its entries; any other entry on it is removed."""

    device: VxlanIdentity
    """Which device it is."""
    mtu: int
    """Its MTU in bytes; a smaller one may stay, unless `mtu_fixed`."""
    mac: str
    """Its MAC, which peers know."""
    learning: bool
    """Whether it learns MACs from packets."""
    address: IPInterface
    """Its address."""
    network: IPNetwork
    """The network; other addresses of it are removed from the device."""
    mtu_fixed: bool = False
    """Whether the MTU must be exactly this."""
    outgrown: int = 0
    """The MTU that a smaller underlay gave the device before, 0 for none: it is raised to `mtu`."""
    neighbours: frozenset[tuple[IPAddress, str]] = frozenset()
    """The base address of each peer's subnet, with the MAC of the peer's device."""
    fdb: frozenset[tuple[str, IPAddress]] = frozenset()
    """The MAC of each peer's device, with the peer's public address."""
    routes: frozenset[tuple[IPNetwork, IPAddress]] = frozenset()
    """Each peer's subnet, with its gateway on the device."""


@dataclass(frozen=True, slots=True)
class GatewayRoutes:
    """Routes without a device of ours: a subnet, the host that is its gateway, and the link that host is on.

    Any other route by a gateway into one of `networks`, with our protocol and not onlink, is an earlier one and is
    removed.
    """

    routes: frozenset[tuple[IPNetwork, IPAddress, str]]
    """A subnet, the host that is its gateway, and the link to that host."""
    networks: tuple[IPNetwork, ...]
    """Networks in which any other such route is removed."""


@dataclass(frozen=True, slots=True)
class UdpForwarding:
    """What the userspace forwarder needs."""

    bind: IPv4Address
    """The address to send from and to receive on."""
    port: int
    """The UDP port of all hosts."""
    source: IPv4Address
    """The source of ICMP answers; the kernel drops packets from outside with an address of this host."""
    subnet: IPv4Network
    """This host's subnet."""
    routes: frozenset[tuple[IPv4Network, IPv4Address]]
    """The subnets of other hosts, each with the host's address."""


@dataclass(frozen=True, slots=True)
class WireguardPeer:
    """A peer of a WireGuard device."""

    public_key: str
    """The peer's key, in base64."""
    endpoint: tuple[IPAddress, int]
    """Where to send to: address and UDP port."""
    allowed: frozenset[IPNetwork]
    """The subnets whose packets may come from it."""
    keepalive: int
    """Seconds between keepalive packets; 0 for none."""
    preshared_key: str = field(repr=False)
    """A key in base64 shared with it; empty for none."""


@dataclass(frozen=True, slots=True)
class WireguardConfig:
    """What a WireGuard device needs besides this host's private key."""

    port: int
    """The UDP port to listen on."""
    peers: frozenset[WireguardPeer]
    """All peers."""


@dataclass(frozen=True, slots=True)
class L3Device:
    """A device for IP packets, not Ethernet frames; its carrier knows which host has which subnet."""

    name: str
    """The name of the device."""
    mtu: int
    """Its MTU in bytes."""
    addresses: tuple[IPInterface, ...]
    """Its addresses."""
    networks: tuple[IPNetwork, ...]
    """The networks that are routed through it."""
    carrier: UdpForwarding | WireguardConfig
    """What carries its packets, with the peers."""


@dataclass(frozen=True, slots=True)
class AllowedPeers:
    """A tunnel as a packet filter sees it: what its packets look like, who may send them, and what may be in them."""

    name: str
    """Identifies the tunnel among those of the host."""
    form: Form
    """How the inner packet is in the datagram: "vxlan", "bare", or "sealed" (encrypted)."""
    ports: tuple[int, ...]
    """The UDP ports it arrives on."""
    underlay: str
    """The interface it arrives by."""
    devices: tuple[str, ...]
    """The devices that its inner packets come out of."""
    own: tuple[IPNetwork, ...]
    """This host's subnets."""
    networks: tuple[IPNetwork, ...]
    """The networks of all hosts."""
    sources: frozenset[tuple[IPAddress, IPNetwork]] = frozenset()
    """The address each peer sends from, with each subnet behind it."""
    vni: int | None = None
    """The VXLAN network identifier; None for other forms."""

    @property
    def peers(self) -> frozenset[IPAddress]:
        """The addresses other hosts send from."""
        return frozenset(address for address, _ in self.sources)


@dataclass(frozen=True, slots=True)
class Desired:
    """All a backend wants in the kernel, and the peers it had to leave out."""

    tunnels: tuple[VxlanDevice, ...] = ()
    """VXLAN devices."""
    direct: GatewayRoutes | None = None
    """Routes by other hosts; None for a backend that sets none."""
    pipes: tuple[L3Device, ...] = ()
    """Layer 3 devices."""
    guard: AllowedPeers | None = None
    """What a tunnel may take; None for no tunnel."""
    unusable: tuple[str, ...] = ()
    """The peers that had to be left out, each with the reason."""


class Backend(Protocol):
    """One way to carry packets to other hosts."""

    mtu: int
    """The MTU for containers in bytes: the underlay's less the encapsulation."""

    def attributes(self, subnet: Subnet) -> Attributes:
        """Return what this host publishes once it holds `subnet`."""
        ...

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:
        """Return the kernel state that makes `peers` reachable from the host holding `own`."""
        ...
