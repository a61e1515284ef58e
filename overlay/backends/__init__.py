"""What every backend answers, in one protocol, and the kernel state it can ask for, as values.

A backend decides: which attributes to publish for a subnet, and which devices and entries a set of leases amounts to.
It never touches the kernel; overlay.datapath.diff compares its wishes with what is there, overlay.datapath.apply carries them out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal, Protocol

from overlay.errors import Refused, Unavailable
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

Form = Literal["vxlan", "bare", "sealed"]

OnLinkLookup = Callable[[IPAddress], str]
"""Names the link an address is on directly, without a gateway between; empty when it is on none."""


def nowhere(_: IPAddress) -> str:
    """Answer as on a host none of whose links has the address."""
    return ""


@dataclass(frozen=True, slots=True)
class Underlay:
    """The interface the tunnels go through, its MTU in bytes, and the addresses published for this host."""

    interface: str
    mtu: int
    public_ip: IPv4Address
    public_ipv6: IPv6Address | None = None
    local: IPv4Address | None = None
    """The interface's own IPv4 address; another one than the published behind NAT."""
    earlier_mtu: int = 0
    """The MTU before it changed while the daemon ran, 0 when it has not."""

    @property
    def addresses(self) -> tuple[IPAddress | None, ...]:
        """What others know this host by, and what it sends from."""
        return (self.public_ip, self.public_ipv6, self.local)

    def too_small(self, asked: int, lowest: int) -> Refused | Unavailable:
        """Return what to raise where an MTU below `lowest` leaves too little: `asked` in the config if not 0, else the interface's."""
        where = "Backend.MTU" if asked else f"the MTU of {self.interface}"
        what = f"{where} is {asked or self.mtu}: too little is left inside the tunnel"
        remedy = f"it must be {lowest} or more"
        return Refused(what, remedy=remedy) if asked else Unavailable(f"{what}; {remedy}")


@dataclass(frozen=True, slots=True)
class VxlanIdentity:
    """What makes a VXLAN device the one that is meant; `port` 0 is the kernel's own choice."""

    name: str
    vni: int
    parent: str
    local: IPAddress
    port: int


@dataclass(frozen=True, slots=True)
class VxlanDevice:
    """A device with its settings and every entry that belongs on it; what else is found on it is removed.

    `mtu` is a ceiling unless `mtu_fixed`, or the device has the MTU it has `outgrown`. `network` bounds the addresses that may be taken off the device. `neighbours`
    pairs a peer's base address with its MAC, `fdb` a MAC with the peer's public address, `routes` a subnet with its
    gateway on the device.
    """

    device: VxlanIdentity
    mtu: int
    mac: str
    learning: bool
    address: IPInterface
    network: IPNetwork
    mtu_fixed: bool = False
    outgrown: int = 0
    neighbours: frozenset[tuple[IPAddress, str]] = frozenset()
    fdb: frozenset[tuple[str, IPAddress]] = frozenset()
    routes: frozenset[tuple[IPNetwork, IPAddress]] = frozenset()


@dataclass(frozen=True, slots=True)
class GatewayRoutes:
    """Routes without a device of ours: a subnet, the host that is its gateway, and the link that host is on.

    What else leads into one of `networks` by a gateway, in our protocol and not onlink, is an earlier one and removed.
    """

    routes: frozenset[tuple[IPNetwork, IPAddress, str]]
    networks: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class UdpForwarding:
    """What the userspace forwarder needs: the address and UDP port it uses, the subnets and their hosts.

    `source` is where its ICMP answers come from; not an address of this host, from outside the kernel would drop it. `subnet` is this
    host's own.
    """

    bind: IPv4Address
    port: int
    source: IPv4Address
    subnet: IPv4Network
    routes: frozenset[tuple[IPv4Network, IPv4Address]]


@dataclass(frozen=True, slots=True)
class WireguardPeer:
    """A host as WireGuard knows it: its key, where to send, what may come from it; `keepalive` in seconds, 0 for none."""

    public_key: str
    endpoint: tuple[IPAddress, int]
    allowed: frozenset[IPNetwork]
    keepalive: int
    preshared_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WireguardConfig:
    """What a WireGuard device needs besides this host's key: its UDP port and its peers."""

    port: int
    peers: frozenset[WireguardPeer]


@dataclass(frozen=True, slots=True)
class L3Device:
    """A device for packets, not frames, that takes all of `networks`; its carrier knows which host has which subnet."""

    name: str
    mtu: int
    addresses: tuple[IPInterface, ...]
    networks: tuple[IPNetwork, ...]
    carrier: UdpForwarding | WireguardConfig


@dataclass(frozen=True, slots=True)
class AllowedPeers:
    """A tunnel as a packet filter sees it: what its packets look like, who may send them and what may be in them.

    `name` tells it from the other tunnels of a host. `form` says how the inner packet lies in the datagram: "vxlan" (which has a `vni`),
    "bare", or "sealed", where a key proves the sender. `devices` are where the inner packets come out, `own` this host's subnets in
    `networks`. `sources` pairs the address another host sends from with the subnet behind it.
    """

    name: str
    form: Form
    ports: tuple[int, ...]
    underlay: str
    devices: tuple[str, ...]
    own: tuple[IPNetwork, ...]
    networks: tuple[IPNetwork, ...]
    sources: frozenset[tuple[IPAddress, IPNetwork]] = frozenset()
    vni: int | None = None

    @property
    def peers(self) -> frozenset[IPAddress]:
        """The addresses other hosts send from."""
        return frozenset(address for address, _ in self.sources)


@dataclass(frozen=True, slots=True)
class Desired:
    """All a backend wants in the kernel, and the peers it had to leave out with the reason for each."""

    tunnels: tuple[VxlanDevice, ...] = ()
    direct: GatewayRoutes | None = None
    pipes: tuple[L3Device, ...] = ()
    guard: AllowedPeers | None = None
    unusable: tuple[str, ...] = ()


class Backend(Protocol):
    """One way to carry packets to other hosts."""

    mtu: int
    """Bytes a container's packet may have: the underlay's less the encapsulation."""

    def attributes(self, subnet: Subnet) -> Attributes:
        """Return what this host publishes once it holds `subnet`."""
        ...

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:
        """Return the kernel state that makes `peers` reachable from the host holding `own`."""
        ...
