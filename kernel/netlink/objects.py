"""What the kernel says is there: links, addresses, routes, neighbours and forwarding entries as frozen values.

kernel.netlink.link_read, addresses and rows read them, deciders compare them, tests write them down. Links are their
indexes, valid only in the namespace they were read from.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class VxlanInfo:
    """What makes a vxlan device compatible or not (docs/reference/flannel.md 5.1); `local` None when none was given."""

    vni: int
    port: int
    local: IPAddress | None
    parent: int
    learning: bool


@dataclass(frozen=True, slots=True)
class BridgeInfo:
    """How a bridge treats VLANs; `default_pvid` is what new ports join (0 none), None where the kernel lacks filtering."""

    vlan_filtering: bool
    default_pvid: int | None


@dataclass(frozen=True, slots=True)
class Link:
    """A network device.

    `operstate` is RFC 2863's word in lower case ("up", "down", "lowerlayerdown", "unknown", ...); `master` is the bridge
    it is a port of, `peer` the index of a veth's other end in the other end's namespace, both 0 for none;
    `promiscuous` is how often promiscuity was asked for, `promisc` and `all_multicast` whether the flag of that name is
    set; `queue` is the length of the transmit queue, in packets; `hairpin` and `isolated` are None off a bridge; `advised` tells
    whether it heeds router advertisements (accept_ra), None where it has no IPv6; `peer_space` is the number by which this
    namespace knows the one the other end is in, None where that is this one; `arp` tells whether it asks for neighbours and answers
    who asks.
    """

    index: int
    name: str
    mac: str = ""
    mtu: int = 0
    kind: str = ""
    up: bool = False
    operstate: str = "unknown"
    master: int = 0
    peer: int = 0
    alias: str = ""
    promiscuous: int = 0
    vxlan: VxlanInfo | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    bridge: BridgeInfo | None = None
    arp: bool = True
    promisc: bool = False
    all_multicast: bool = False
    queue: int = 0
    advised: bool | None = None
    peer_space: int | None = None

    @property
    def running(self) -> bool:
        """True when it carries traffic now."""
        return self.operstate == "up"


TENTATIVE, DADFAILED, PERMANENT = 0x40, 0x08, 0x80  # IFA_F_ flags, linux/if_addr.h


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link, with its prefix length; `flags` are the kernel's IFA_F_ bits."""

    link: int
    address: IPInterface
    scope: int = 0
    flags: int = 0

    @property
    def tentative(self) -> bool:
        """True while duplicate address detection is under way, or when it has failed."""
        return bool(self.flags & TENTATIVE)

    @property
    def dadfailed(self) -> bool:
        """True when somebody else turned out to have this address."""
        return bool(self.flags & DADFAILED)

    @property
    def permanent(self) -> bool:
        """True when it was set for good, not learned with a lifetime."""
        return bool(self.flags & PERMANENT)


@dataclass(frozen=True, slots=True)
class NextHop:
    """One next hop of a multipath route; `weight` is at least 1."""

    gateway: IPAddress | None
    link: int
    onlink: bool = False
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Route:
    """A route; `kind` is "unicast", "blackhole", "local", ...; a multipath route has `hops` and no gateway of its own."""

    dst: IPNetwork
    gateway: IPAddress | None = None
    link: int = 0
    onlink: bool = False
    priority: int = 0
    table: int = 254
    scope: int = 0
    protocol: int = 0
    kind: str = "unicast"
    source: IPAddress | None = None
    mtu: int = 0
    advmss: int = 0
    hops: tuple[NextHop, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Which MAC an address on a link has; `mac` is "" while the kernel does not know."""

    link: int
    address: IPAddress
    mac: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """Where a vxlan device sends frames for a MAC (`dst`), or which MAC a bridge port knows (`dst` None)."""

    link: int
    mac: str
    dst: IPAddress | None
    permanent: bool


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """What tc-tbf(8) lets pass: `rate` in bytes a second, `limit` in bytes that may wait, `buffer` in microseconds of `rate`."""

    rate: int
    limit: int
    buffer: int


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A queueing discipline of a link; `parent` is ROOT or INGRESS of kernel.netlink.tc, or a class; `bucket` is a tbf's."""

    link: int
    kind: str
    parent: int
    bucket: TokenBucket | None = None
