"""What the kernel lists: links, addresses, routes, neighbours and forwarding entries, as frozen values.

Other objects refer to links by index, which is valid only in the namespace it was read from.
"""

from dataclasses import dataclass

from system.ip import IPAddress, IPInterface, IPNetwork


@dataclass(frozen=True, slots=True)
class VxlanInfo:
    """The properties that decide whether a vxlan device can stay (docs/reference/flannel.md 5.1)."""

    vni: int
    """The VXLAN network identifier."""
    port: int
    """The UDP port."""
    local: IPAddress | None
    """The source address of its packets; None for none."""
    parent: int
    """The index of the link its packets leave by; 0 for none."""
    learning: bool
    """Whether it learns MACs from packets."""


@dataclass(frozen=True, slots=True)
class BridgeInfo:
    """How a bridge handles VLANs."""

    vlan_filtering: bool
    """Whether it filters VLANs."""
    default_pvid: int | None
    """The VLAN new ports belong to, 0 for none; None where the kernel has no VLAN filtering."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network device."""

    index: int
    """The number of the link in its namespace."""
    name: str
    """Its name."""
    mac: str = ""
    """Its MAC; empty for none."""
    mtu: int = 0
    """Its MTU in bytes."""
    kind: str = ""
    """Its kind, like "veth" or "bridge"; empty for hardware."""
    up: bool = False
    """Whether it is set up."""
    operstate: str = "unknown"
    """Its operational state (RFC 2863) in lower case: "up", "down", "lowerlayerdown", "unknown", ..."""
    master: int = 0
    """The index of the bridge it is a port of; 0 for none."""
    peer: int = 0
    """The index of a veth's other end, in that end's namespace; 0 for none."""
    alias: str = ""
    """Its alias; empty for none."""
    promiscuous: int = 0
    """How often promiscuous mode has been asked for (IFLA_PROMISCUITY)."""
    vxlan: VxlanInfo | None = None
    """The properties of a vxlan device; None for another kind."""
    hairpin: bool | None = None
    """Whether the bridge may send a frame back to this port; None if it is no port."""
    isolated: bool | None = None
    """Whether the bridge keeps it apart from other isolated ports; None if it is no port."""
    bridge: BridgeInfo | None = None
    """The properties of a bridge; None for another kind."""
    arp: bool = True
    """Whether it uses ARP and neighbour discovery."""
    promisc: bool = False
    """Whether its flag IFF_PROMISC is set."""
    all_multicast: bool = False
    """Whether its flag IFF_ALLMULTI is set."""
    queue: int = 0
    """The length of its transmit queue, in packets."""
    advised: bool | None = None
    """Whether it accepts router advertisements (accept_ra); None without IPv6."""
    peer_space: int | None = None
    """The number this namespace has for the other end's; None if that is this one."""

    @property
    def running(self) -> bool:
        """True when it carries traffic now."""
        return self.operstate == "up"


TENTATIVE, DADFAILED, PERMANENT = 0x40, 0x08, 0x80  # IFA_F_ flags, linux/if_addr.h


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link, with its prefix length; `flags` are the kernel's IFA_F_ bits."""

    link: int
    """The index of the link."""
    address: IPInterface
    """The address with its prefix length."""
    scope: int = 0
    """The scope, RT_SCOPE_."""
    flags: int = 0
    """The flags, IFA_F_."""

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
    """The gateway; None for none."""
    link: int
    """The index of the outgoing link."""
    onlink: bool = False
    """Whether the gateway counts as reachable on `link`, whatever addresses that has."""
    weight: int = 1
    """The share of packets, at least 1."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route; `kind` is "unicast", "blackhole", "local", ...; a multipath route has `hops` and no gateway of its own."""

    dst: IPNetwork
    """The destination."""
    gateway: IPAddress | None = None
    """The gateway; None for none."""
    link: int = 0
    """The index of the outgoing link; 0 for none."""
    onlink: bool = False
    """Whether the gateway counts as reachable on `link`, whatever addresses that has."""
    priority: int = 0
    """The metric."""
    table: int = 254
    """The routing table."""
    scope: int = 0
    """The scope, RT_SCOPE_."""
    protocol: int = 0
    """Who set it, RTPROT_."""
    kind: str = "unicast"
    """"unicast", "blackhole", "local", ..."""
    source: IPAddress | None = None
    """The preferred source address; None for none."""
    mtu: int = 0
    """The MTU of the route in bytes; 0 for none."""
    advmss: int = 0
    """The advertised TCP segment size in bytes; 0 for none."""
    hops: tuple[NextHop, ...] = ()
    """The next hops of a multipath route, which has no gateway of its own."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Which MAC an address on a link has; `mac` is "" while the kernel does not know."""

    link: int
    """The index of the link."""
    address: IPAddress
    """The neighbour's address."""
    mac: str
    """The neighbour's MAC; empty while it is unknown."""
    permanent: bool
    """Whether it was set for good, not learned."""


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """Where a vxlan device sends frames for a MAC (`dst`), or which MAC a bridge port knows (`dst` None)."""

    link: int
    """The index of the vxlan device or bridge port."""
    mac: str
    """The MAC."""
    dst: IPAddress | None
    """The address a vxlan device sends the frames to; None on a bridge port."""
    permanent: bool
    """Whether it was set for good, not learned."""


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """The parameters of a token bucket filter (tc-tbf(8))."""

    rate: int
    """The rate in bytes per second."""
    limit: int
    """How many bytes may wait."""
    buffer: int
    """The size of the bucket: the microseconds in which `rate` fills it."""


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A queueing discipline of a link."""

    link: int
    """The index of the link."""
    kind: str
    """Its kind, like "tbf" or "ingress"."""
    parent: int
    """ROOT or INGRESS of kernel.netlink.tc, or a class."""
    bucket: TokenBucket | None = None
    """The parameters of a tbf; None for another kind."""
