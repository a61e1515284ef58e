"""What may be asked of the kernel, one frozen value a request; kernel.netlink.codec turns it into bytes.

Values only: making one touches nothing and imports nothing heavy, so a plan can hold them and a test can compare them.
Links are named by index, or by name where the kernel takes one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from kernel.netlink.objects import TokenBucket
from kernel.netns import Namespace

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

MAIN_TABLE = 254
"""The routing table lookups end in by default (RT_TABLE_MAIN)."""

PROTO_BOOT = 3
"""Routes "installed during boot": what flannel and iproute2 mark theirs with (RTPROT_BOOT)."""


def _link(link: int | str) -> str:
    return f"link {link}" if isinstance(link, int) else link


@dataclass(frozen=True, slots=True)
class AddBridge:
    """Create a bridge; `mtu` 0 and `mac` "" leave the choice to the kernel. Refused with EEXIST if the name is taken.

    `vlan_filtering` makes it honour VLANs; kernels without that feature refuse with EOPNOTSUPP.
    """

    name: str
    mtu: int = 0
    mac: str = ""
    up: bool = True
    vlan_filtering: bool = False

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"creating bridge {self.name}"


@dataclass(frozen=True, slots=True)
class AddVeth:
    """Create a veth pair in one request: `name` here, `peer` in `peer_namespace` (None: here too).

    `mtu` holds for both ends, `peer_mac` for the far one; `master` is the index of the bridge the near end joins and
    `up` raises the near end only. An alias cannot be given at creation (the kernel ignores it): send a SetLink along.
    """

    name: str
    peer: str
    peer_namespace: Namespace | None
    mtu: int = 0
    peer_mac: str = ""
    master: int = 0
    up: bool = True

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        where = f' in "{self.peer_namespace.path}"' if self.peer_namespace else ""
        return f"creating veth {self.name} with peer {self.peer}{where}"


@dataclass(frozen=True, slots=True)
class AddVxlan:
    """Create flannel's kind of vxlan device, down (docs/reference/flannel.md 5.1).

    `parent` is the index of the link the tunnel leaves by, `local` its published address; `port` 0 is the kernel's
    default, 8472. The checksum attribute is left out, so outer IPv4 checksums stay on.
    """

    name: str
    vni: int
    parent: int
    local: IPAddress
    port: int = 0
    mtu: int = 0
    mac: str = ""
    learning: bool = False

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"creating vxlan {self.name} with VNI {self.vni} on link {self.parent} from {self.local}"


@dataclass(frozen=True, slots=True)
class AddWireguard:
    """Create the kernel's own WireGuard device, down and without peers; EOPNOTSUPP where the kernel has none."""

    name: str

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"creating WireGuard device {self.name}"


@dataclass(frozen=True, slots=True)
class AddIfb:
    """Create an intermediate functional block, up and without a queue of its own: what is redirected to it can be shaped."""

    name: str
    mtu: int = 0

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"creating ifb {self.name}"


@dataclass(frozen=True, slots=True)
class SetLink:
    """Change a link; None (0 for `mtu`, "" for `mac`) leaves a property alone, `master` 0 detaches from the bridge.

    `hairpin` and `isolated` are properties of a bridge port: refused while the link has no master. `vlan_filtering` is a
    property of a bridge. `queue` is the length of the transmit queue, in packets. Without `arp` a link asks for no neighbour, answers
    nobody who asks and learns none.
    """

    link: int | str
    up: bool | None = None
    mtu: int = 0
    mac: str = ""
    alias: str | None = None
    master: int | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    promiscuous: bool | None = None
    vlan_filtering: bool | None = None
    all_multicast: bool | None = None
    queue: int | None = None
    arp: bool | None = None

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        wanted: dict[str, object] = {"state": None if self.up is None else "up" if self.up else "down", "arp": self.arp}
        wanted |= {"alias": self.alias, "master": "none" if self.master == 0 else self.master}
        wanted |= {"promiscuous": self.promiscuous, "hairpin": self.hairpin, "isolated": self.isolated}
        wanted |= {"mtu": self.mtu or None, "mac": self.mac or None, "vlan filtering": self.vlan_filtering}
        wanted |= {"all multicast": self.all_multicast, "queue": self.queue}
        changes = ", ".join(f"{key} {_word(value)}" for key, value in wanted.items() if value is not None)
        return f"setting {changes or 'nothing'} on {_link(self.link)}"


def _word(value: object) -> object:
    return ("off", "on")[value] if isinstance(value, bool) else value


@dataclass(frozen=True, slots=True)
class DeleteLink:
    """Delete a link; of a veth pair both ends go."""

    link: int | str

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting {_link(self.link)}"


@dataclass(frozen=True, slots=True)
class Vlan:
    """A VLAN a bridge port is a member of: `pvid` takes frames that come in untagged, `untagged` sends them out so."""

    vid: int
    pvid: bool = False
    untagged: bool = False


@dataclass(frozen=True, slots=True)
class AddVlans:
    """Make a bridge port, by index, a member of VLANs; one it is in already takes the new flags.

    Kernels without bridge VLAN filtering refuse with EOPNOTSUPP.
    """

    link: int
    vlans: tuple[Vlan, ...]

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding link {self.link} to VLAN {_listed(vlan.vid for vlan in self.vlans)}"


@dataclass(frozen=True, slots=True)
class DeleteVlans:
    """End a bridge port's membership in VLANs; one it is not in is no refusal."""

    link: int
    vids: tuple[int, ...]

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"taking link {self.link} out of VLAN {_listed(self.vids)}"


def _listed(vids: Iterable[int]) -> str:
    return ", ".join(map(str, vids))


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Put an address with its prefix length on a link; IPv4 prefixes shorter than /31 get their broadcast address.

    `nodad` skips IPv6 duplicate address detection; `replace` accepts one that is there already.
    """

    link: int
    address: IPInterface
    nodad: bool = False
    replace: bool = False
    scope: int = 0

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding address {self.address} to link {self.link}"


@dataclass(frozen=True, slots=True)
class DeleteAddress:
    """Take an address with this very prefix length off a link."""

    link: int
    address: IPInterface

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting address {self.address} from link {self.link}"


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Add a unicast route, or a `blackhole` that leads nowhere. `scope` None is the kernel manual's default: link without gateway, else universe.

    `onlink` says the gateway is reachable on `link` whatever the addresses there; `mtu` and `advmss` (bytes) are route
    metrics, 0 for none; `source` is the preferred source address. A route to the same prefix is refused with EEXIST
    unless `replace` (takes its place) or `append` (stands beside it: multipath for IPv6, see docs/reference/cni.md 2.4 and 8.15).
    """

    dst: IPNetwork
    gateway: IPAddress | None = None
    link: int | None = None
    onlink: bool = False
    priority: int = 0
    table: int = MAIN_TABLE
    scope: int | None = None
    mtu: int = 0
    advmss: int = 0
    protocol: int = PROTO_BOOT
    source: IPAddress | None = None
    replace: bool = False
    append: bool = False
    blackhole: bool = False

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding {'blackhole ' if self.blackhole else ''}route {_path(self.dst, self.gateway, self.link)}"


@dataclass(frozen=True, slots=True)
class DeleteRoute:
    """Delete the first unicast route, or `blackhole`, that agrees with everything given; `priority` 0 and None agree with any."""

    dst: IPNetwork
    gateway: IPAddress | None = None
    link: int | None = None
    priority: int = 0
    table: int = MAIN_TABLE
    blackhole: bool = False

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting {'blackhole ' if self.blackhole else ''}route {_path(self.dst, self.gateway, self.link)}"


def _path(dst: IPNetwork, gateway: IPAddress | None, link: int | None) -> str:
    via = f" via {gateway}" if gateway else ""
    return f"{dst}{via}" + (f" on link {link}" if link else "")


@dataclass(frozen=True, slots=True)
class AddNeighbour:
    """Say for good which MAC an address on a link has; an existing entry is replaced."""

    link: int
    address: IPAddress
    mac: str

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding neighbour {self.address} at {self.mac} on link {self.link}"


@dataclass(frozen=True, slots=True)
class DeleteNeighbour:
    """Forget a neighbour entry."""

    link: int
    address: IPAddress

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting neighbour {self.address} on link {self.link}"


@dataclass(frozen=True, slots=True)
class AddFdb:
    """Tell a vxlan device for good to which underlay address frames for `mac` go; an existing entry is replaced."""

    link: int
    mac: str
    dst: IPAddress

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding forwarding entry {self.mac} to {self.dst} on link {self.link}"


@dataclass(frozen=True, slots=True)
class DeleteFdb:
    """Forget a forwarding entry of a vxlan device."""

    link: int
    mac: str
    dst: IPAddress

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting forwarding entry {self.mac} to {self.dst} on link {self.link}"


@dataclass(frozen=True, slots=True)
class AddTokenBucket:
    """Let nothing leave a link, by index, faster than a token bucket fills: tc-tbf(8) at the root, handle 1:."""

    link: int
    bucket: TokenBucket

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"limiting link {self.link} to {self.bucket.rate} bytes a second"


@dataclass(frozen=True, slots=True)
class AddRedirect:
    """Send everything that arrives on a link through another one, both by index, before the host sees it.

    It needs the ingress qdisc that goes with it: tc-u32(8) with tc-mirred(8), priority 1, all protocols.
    """

    link: int
    to: int

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"redirecting what arrives on link {self.link} to link {self.to}"


@dataclass(frozen=True, slots=True)
class DeleteQdisc:
    """Remove the qdisc at the root of a link, or with `arriving` the one that looks at what comes in."""

    link: int
    arriving: bool = False

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"removing the {'ingress' if self.arriving else 'root'} qdisc of link {self.link}"


Request = (
    AddBridge
    | AddVeth
    | AddVxlan
    | AddWireguard
    | AddIfb
    | SetLink
    | DeleteLink
    | AddVlans
    | DeleteVlans
    | AddAddress
    | DeleteAddress
    | AddRoute
    | DeleteRoute
    | AddNeighbour
    | DeleteNeighbour
    | AddFdb
    | DeleteFdb
    | AddTokenBucket
    | AddRedirect
    | DeleteQdisc
)
"""Everything kernel.netlink.handle.Handle.apply takes."""
