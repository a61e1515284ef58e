"""What can be asked of the kernel, as one frozen value per request; kernel.netlink.codec converts it to bytes.

They are values only: to make one changes nothing and imports nothing heavy, so that a plan can contain them and a test
can compare them. Links are given by index, or by name where the kernel takes one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kernel.netlink.objects import TokenBucket
from kernel.netns import Namespace
from system.ip import IPAddress, IPInterface, IPNetwork

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
    """The name of the bridge."""
    mtu: int = 0
    """Its MTU in bytes; 0 for the kernel's choice."""
    mac: str = ""
    """Its MAC; empty for the kernel's choice."""
    up: bool = True
    """Whether to set it up."""
    vlan_filtering: bool = False
    """Whether it filters VLANs."""

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
    """The name of the near end."""
    peer: str
    """The name of the far end."""
    peer_namespace: Namespace | None
    """The namespace of the far end; None for this one."""
    mtu: int = 0
    """The MTU of both ends in bytes; 0 for the kernel's choice."""
    peer_mac: str = ""
    """The MAC of the far end; empty for the kernel's choice."""
    master: int = 0
    """The index of the bridge the near end becomes a port of; 0 for none."""
    up: bool = True
    """Whether to set the near end up."""

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
    """The name of the device."""
    vni: int
    """The VXLAN network identifier."""
    parent: int
    """The index of the link its packets leave by."""
    local: IPAddress
    """The source address of its packets."""
    port: int = 0
    """The UDP port; 0 for the kernel's default, 8472."""
    mtu: int = 0
    """Its MTU in bytes; 0 for the kernel's choice."""
    mac: str = ""
    """Its MAC; empty for the kernel's choice."""
    learning: bool = False
    """Whether it learns MACs from packets."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"creating vxlan {self.name} with VNI {self.vni} on link {self.parent} from {self.local}"


@dataclass(frozen=True, slots=True)
class AddWireguard:
    """Create the kernel's own WireGuard device, down and without peers; EOPNOTSUPP where the kernel has none."""

    name: str
    """The name of the device."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"creating WireGuard device {self.name}"


@dataclass(frozen=True, slots=True)
class AddIfb:
    """Create an intermediate functional block (ifb), up and without a queue: traffic redirected to it can be shaped."""

    name: str
    """The name of the device."""
    mtu: int = 0
    """Its MTU in bytes; 0 for the kernel's choice."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"creating ifb {self.name}"


@dataclass(frozen=True, slots=True)
class SetLink:
    """Change a link; None (0 for `mtu`, "" for `mac`) leaves a property alone, `master` 0 detaches from the bridge.

    `hairpin` and `isolated` are properties of a bridge port: refused while the link has no master. `vlan_filtering` is
    a property of a bridge. `queue` is the length of the transmit queue, in packets. Without `arp` a link asks for no
    neighbour, answers nobody who asks and learns none.
    """

    link: int | str
    """The index or name of the link."""
    up: bool | None = None
    """Whether it is up."""
    mtu: int = 0
    """Its MTU in bytes."""
    mac: str = ""
    """Its MAC."""
    alias: str | None = None
    """Its alias; empty removes it."""
    master: int | None = None
    """The index of the bridge it is a port of; 0 for none."""
    hairpin: bool | None = None
    """Whether the bridge may send a frame back to this port."""
    isolated: bool | None = None
    """Whether the bridge keeps this port apart from other isolated ports."""
    promiscuous: bool | None = None
    """Whether it takes frames for other MACs."""
    vlan_filtering: bool | None = None
    """Whether a bridge filters VLANs."""
    all_multicast: bool | None = None
    """Whether it takes all multicast frames."""
    queue: int | None = None
    """The length of the transmit queue, in packets."""
    arp: bool | None = None
    """Whether it uses ARP and neighbour discovery."""

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
    """The index or name of the link."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting {_link(self.link)}"


@dataclass(frozen=True, slots=True)
class Vlan:
    """A VLAN a bridge port is a member of: `pvid` takes frames that come in untagged, `untagged` sends them out so."""

    vid: int
    """The VLAN's number."""
    pvid: bool = False
    """Whether untagged frames that come in belong to it."""
    untagged: bool = False
    """Whether its frames go out untagged."""


@dataclass(frozen=True, slots=True)
class AddVlans:
    """Make a bridge port, by index, a member of VLANs; one it is in already takes the new flags.

    Kernels without bridge VLAN filtering refuse with EOPNOTSUPP.
    """

    link: int
    """The index of the bridge port."""
    vlans: tuple[Vlan, ...]
    """The VLANs to add."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding link {self.link} to VLAN {_listed(vlan.vid for vlan in self.vlans)}"


@dataclass(frozen=True, slots=True)
class DeleteVlans:
    """End a bridge port's membership in VLANs; one it is not in is no refusal."""

    link: int
    """The index of the bridge port."""
    vids: tuple[int, ...]
    """The numbers of the VLANs to remove."""

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
    """The index of the link."""
    address: IPInterface
    """The address with its prefix length."""
    nodad: bool = False
    """Whether to skip IPv6 duplicate address detection."""
    replace: bool = False
    """Whether an existing address is no error."""
    scope: int = 0
    """The scope, RT_SCOPE_."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding address {self.address} to link {self.link}"


@dataclass(frozen=True, slots=True)
class DeleteAddress:
    """Take an address with this very prefix length off a link."""

    link: int
    """The index of the link."""
    address: IPInterface
    """The address with its prefix length."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting address {self.address} from link {self.link}"


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Add a unicast route, or a `blackhole` that leads nowhere. `scope` None is the kernel manual's default: link without gateway, else universe.

    `onlink` says the gateway is reachable on `link` whatever the addresses there; `mtu` and `advmss` (bytes) are route
    metrics, 0 for none; `source` is the preferred source address. A route to the same prefix is refused with EEXIST
    unless `replace` (takes its place) or `append` (stands beside it: multipath for IPv6, see docs/reference/cni.md 2.4
    and 8.15).
    """

    dst: IPNetwork
    """The destination."""
    gateway: IPAddress | None = None
    """The gateway; None for none."""
    link: int | None = None
    """The index of the outgoing link; None for the kernel's choice."""
    onlink: bool = False
    """Whether the gateway counts as reachable on `link`, whatever addresses that has."""
    priority: int = 0
    """The metric; 0 for the kernel's default."""
    table: int = MAIN_TABLE
    """The routing table."""
    scope: int | None = None
    """The scope, RT_SCOPE_; None for iproute2's default."""
    mtu: int = 0
    """The MTU of the route in bytes; 0 for none."""
    advmss: int = 0
    """The advertised TCP segment size in bytes; 0 for none."""
    protocol: int = PROTO_BOOT
    """Who set it, RTPROT_."""
    source: IPAddress | None = None
    """The preferred source address; None for none."""
    replace: bool = False
    """Whether it replaces a route to the same destination."""
    append: bool = False
    """Whether it is added beside a route to the same destination."""
    blackhole: bool = False
    """Whether packets are dropped."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding {'blackhole ' if self.blackhole else ''}route {_path(self.dst, self.gateway, self.link)}"


@dataclass(frozen=True, slots=True)
class DeleteRoute:
    """Delete the first unicast route, or blackhole route, that matches everything given."""

    dst: IPNetwork
    """The destination."""
    gateway: IPAddress | None = None
    """The gateway; None for any."""
    link: int | None = None
    """The index of the outgoing link; None for any."""
    priority: int = 0
    """The metric; 0 for any."""
    table: int = MAIN_TABLE
    """The routing table."""
    blackhole: bool = False
    """Whether it is a blackhole route."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting {'blackhole ' if self.blackhole else ''}route {_path(self.dst, self.gateway, self.link)}"


def _path(dst: IPNetwork, gateway: IPAddress | None, link: int | None) -> str:
    via = f" via {gateway}" if gateway else ""
    return f"{dst}{via}" + (f" on link {link}" if link else "")


@dataclass(frozen=True, slots=True)
class AddNeighbour:
    """Set a permanent neighbour entry; an existing one is replaced."""

    link: int
    """The index of the link."""
    address: IPAddress
    """The neighbour's address."""
    mac: str
    """The neighbour's MAC."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding neighbour {self.address} at {self.mac} on link {self.link}"


@dataclass(frozen=True, slots=True)
class DeleteNeighbour:
    """Delete a neighbour entry."""

    link: int
    """The index of the link."""
    address: IPAddress
    """The neighbour's address."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting neighbour {self.address} on link {self.link}"


@dataclass(frozen=True, slots=True)
class AddFdb:
    """Set a permanent forwarding entry of a vxlan device; an existing one is replaced."""

    link: int
    """The index of the vxlan device."""
    mac: str
    """The destination MAC of frames."""
    dst: IPAddress
    """The address the frames are sent to."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"adding forwarding entry {self.mac} to {self.dst} on link {self.link}"


@dataclass(frozen=True, slots=True)
class DeleteFdb:
    """Delete a forwarding entry of a vxlan device."""

    link: int
    """The index of the vxlan device."""
    mac: str
    """The destination MAC of frames."""
    dst: IPAddress
    """The address the frames are sent to."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"deleting forwarding entry {self.mac} to {self.dst} on link {self.link}"


@dataclass(frozen=True, slots=True)
class AddTokenBucket:
    """Limit the rate at which packets leave a link: tc-tbf(8) at the root, handle 1:."""

    link: int
    """The index of the link."""
    bucket: TokenBucket
    """The rate and its limits."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"limiting link {self.link} to {self.bucket.rate} bytes a second"


@dataclass(frozen=True, slots=True)
class AddRedirect:
    """Redirect everything that arrives on a link to another one, before the host sees it.

    It needs the ingress qdisc that goes with it: tc-u32(8) with tc-mirred(8), priority 1, all protocols.
    """

    link: int
    """The index of the link whose incoming packets are redirected."""
    to: int
    """The index of the link they are sent through."""

    def what(self) -> str:
        """Return what the request does, in words for error messages."""
        return f"redirecting what arrives on link {self.link} to link {self.to}"


@dataclass(frozen=True, slots=True)
class DeleteQdisc:
    """Delete the root qdisc of a link, or its ingress qdisc."""

    link: int
    """The index of the link."""
    arriving: bool = False
    """Whether it is the ingress qdisc, not the root one."""

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
