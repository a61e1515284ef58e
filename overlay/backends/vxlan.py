"""Backend vxlan: flannel's device, addresses and entries.

On the wire, and in what `ip` shows, it follows docs/reference/flannel.md 5.1. The MAC of a new device is derived from
VNI and subnet, so that hosts which exchange nothing still agree on it. The option GBP is refused.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from overlay.backends import (
    AllowedPeers,
    Backend,
    Desired,
    GatewayRoutes,
    OnLinkLookup,
    Underlay,
    VxlanDevice,
    VxlanIdentity,
    nowhere,
    peer_filter,
)
from overlay.backends.entry import Entry, HostResources
from overlay.config import documents
from overlay.config.network import NetworkConfig
from overlay.errors import Refused, Unavailable
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes, compact
from overlay.subnet.lease import Lease
from system.ip import IPAddress, IPNetwork

TYPE = "vxlan"
OVERHEAD = 50
"""Bytes of outer Ethernet, IPv4, UDP and VXLAN headers."""
LOWEST_MTU = 1280
"""Bytes IPv6 asks of a link; below it the kernel takes IPv6 off a device."""
DEFAULT_PORT = 8472
"""UDP port of Linux' vxlan when none is given; not IANA's 4789."""
REMEMBERED = 1 << 14
"""Values of peers that need not be read again in every pass."""
LONGEST_NAME = 15
"""Characters of a link's name (IFNAMSIZ without its NUL)."""

End = tuple[IPNetwork, str, IPAddress]
"""A peer in one family: its subnet, the MAC of its device, its public address."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Options:
    """The backend's section of the network config (docs/reference/flannel.md 1.2); `mtu` 0 means that of the underlay."""

    vni: int
    """The VXLAN network identifier."""
    port: int
    """The UDP port; 0 for the kernel's default, 8472."""
    mtu: int
    """The underlay's MTU in bytes; 0 for that of the interface."""
    learning: bool
    """Whether the device learns MACs from packets."""
    direct: bool = False
    """Whether peers on the same segment are reached by routes instead (DirectRouting)."""


def options(config: NetworkConfig) -> Options:
    """Read and check the section "Backend" of the network config; raises Refused."""
    section = config.backend
    if section.flag("GBP"):
        reason = "packet marks in the VXLAN header need a policy on every host, which nothing here sets"
        raise section.refusal("GBP", reason, "remove GBP, the network works without it")
    found = Options(
        vni=section.number("VNI", 1, lowest=1, highest=(1 << 24) - 1),
        port=section.number("Port", 0, lowest=0, highest=65535),
        mtu=section.number("MTU", 0, lowest=0, highest=65535),
        learning=section.flag("Learning"),
        direct=section.flag("DirectRouting"),
    )
    longest = device_name(6 if config.ipv6 else 4, found.vni)
    if len(longest) > LONGEST_NAME:
        remedy = f"take a VNI below {10_000 if config.ipv6 else 10_000_000}"
        raise section.refusal("VNI", f"no link can be called {longest}", remedy)
    return found


def device_name(version: int, vni: int) -> str:
    """Name the device of an IP version: flannel.N, or flannel-v6.N."""
    return f"flannel.{vni}" if version == 4 else f"flannel-v6.{vni}"


def resources(config: NetworkConfig) -> HostResources:
    """Return what the network takes of its host; raises Refused."""
    chosen = options(config)
    names = frozenset(device_name(one.version, chosen.vni) for one in config.networks)
    return HostResources(config.networks, names, frozenset([chosen.port or DEFAULT_PORT]), chosen.vni)


def devices(config: NetworkConfig, underlay: Underlay) -> tuple[VxlanIdentity, ...]:
    """Return the devices this host will have, IPv4's first; raises Refused."""
    chosen = options(config)
    local: tuple[IPAddress | None, ...] = (underlay.public_ip, underlay.public_ipv6 if config.ipv6 else None)
    return tuple(
        VxlanIdentity(device_name(one.version, chosen.vni), chosen.vni, underlay.interface, one, chosen.port)
        for one in local
        if one is not None
    )


def derived_mac(vni: int, subnet: IPNetwork) -> str:
    """Derive the tunnel endpoint's MAC: SHA-256 of `tulle-vtep VNI SUBNET`, its first six bytes made local and unicast.

    Part of the contract between hosts that use the store `file`: it must never change.
    """
    digest = bytearray(hashlib.sha256(f"tulle-vtep {vni} {subnet}".encode()).digest()[:6])
    digest[0] = (digest[0] & 0xFE) | 0x02
    return digest.hex(":")


def derived(config: NetworkConfig, subnet: Subnet, public: IPv4Address, public_v6: IPv6Address | None) -> Attributes:
    """Return the attributes that follow from a host's subnet and addresses alone."""
    vni = options(config).vni
    macs = {device_name(one.version, vni): derived_mac(vni, one) for one in subnet.networks}
    return _attributes(vni, macs, public, public_v6 if subnet.ipv6 else None)


def build(config: NetworkConfig, underlay: Underlay, kept: Mapping[str, str]) -> Backend:
    """Make the backend of one host; raises Refused, Unavailable."""
    return Vxlan(config, underlay, kept)


class Vxlan:
    """The backend for one host; `kept` holds the MACs of compatible devices that exist already, by device name."""

    def __init__(self, config: NetworkConfig, underlay: Underlay, kept: Mapping[str, str]) -> None:
        """Check what the underlay allows; raises Refused, or Unavailable where that may change."""
        self._config, self._underlay, self._kept = config, underlay, dict(kept)
        self._options = options(config)
        self.mtu = _inner_mtu(config, self._options, underlay)
        self._devices: dict[int, VxlanIdentity] = {one.local.version: one for one in devices(config, underlay)}
        if config.ipv6 and 6 not in self._devices:
            remedy = "give the interface an IPv6 address, or set --public-ipv6"
            raise Unavailable(f"{underlay.interface} has no IPv6 address for a dual-stack network; {remedy}")

    def attributes(self, subnet: Subnet) -> Attributes:
        """Return the published value: the kept device's MAC, else the derived one."""
        vni = self._options.vni
        names = {device_name(one.version, vni): one for one in subnet.networks}
        macs = {name: self._kept.get(name) or derived_mac(vni, one) for name, one in names.items()}
        return _attributes(vni, macs, self._underlay.public_ip, self._underlay.public_ipv6 if subnet.ipv6 else None)

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:
        """Return a device per family with ARP, FDB and route of every usable peer, or its direct route where that is asked for."""
        usable, refused = self._usable(own, peers)
        tunnels, direct = [], set[tuple[IPNetwork, IPAddress, str]]()
        for version in (4, 6) if own.subnet.ipv6 is not None else (4,):
            ends = [end for peer in usable if (end := self._end(peer, version))]
            near = {end: self._direct(reach(end[2])) for end in ends} if self._options.direct else {}
            direct |= {(net, public, link) for (net, _, public), link in near.items() if link}
            tunnels.append(self._tunnel(own, [end for end in ends if not near.get(end)], version))
        routes = GatewayRoutes(frozenset(direct), self._config.networks) if self._options.direct else None
        return Desired(tuple(tunnels), routes, guard=self._guard(own, usable), unusable=tuple(refused))

    def _guard(self, own: Lease, peers: Sequence[Lease]) -> AllowedPeers:
        """Name what every host may send to us: one that is reached directly may not have heard that yet."""
        networks = self._config.networks
        return AllowedPeers(
            *(str(self._options.vni), "vxlan", (self._options.port or DEFAULT_PORT,), self._underlay.interface),
            devices=tuple(one.name for one in self._devices.values()),
            own=own.subnet.networks[: len(networks)],
            networks=networks,
            sources=peer_filter.sources(peers, self._config),
            vni=self._options.vni,
        )

    def _direct(self, link: str) -> str:
        """Return the link a peer is on, unless that is the tunnel itself."""
        return "" if link in {one.name for one in self._devices.values()} else link

    def _usable(self, own: Lease, peers: Sequence[Lease]) -> tuple[list[Lease], list[str]]:
        usable, refused, macs = [], [], {_mac(own.attributes.backend_data): own.subnet}
        for peer in peers:
            if peer.attributes.backend_type != TYPE:
                continue
            problem = self._problem(own, peer)
            mac = _mac(peer.attributes.backend_data)
            if not problem and macs.setdefault(mac, peer.subnet) != peer.subnet:
                problem = f"its VtepMAC {mac} is also that of {macs[mac]}"
            if problem:
                refused.append(f"{peer.subnet}: {problem}")
            else:
                usable.append(peer)
        return usable, refused

    def _problem(self, own: Lease, peer: Lease) -> str:
        """Return why a lease cannot be programmed; empty when it can."""
        problem = peer_filter.problem(own, peer, self._config)
        if not problem and not _mac(peer.attributes.backend_data):
            return f"its BackendData has no usable VtepMAC: {peer.attributes.backend_data[:80] or 'absent'}"
        return problem

    def _tunnel(self, own: Lease, ends: Sequence[End], version: int) -> VxlanDevice:
        base, mac, _ = _far_end(own, version)
        pool = self._config.ipv4 if version == 4 or self._config.ipv6 is None else self._config.ipv6
        return VxlanDevice(
            device=self._devices[version],
            mtu=self.mtu,
            mac=mac,
            learning=self._options.learning,
            address=_host_interface(base),
            network=pool.network,
            mtu_fixed=self._options.mtu > 0,
            outgrown=max(0, self._underlay.earlier_mtu - OVERHEAD) if not self._options.mtu else 0,
            neighbours=frozenset((net.network_address, mac) for net, mac, _ in ends),
            fdb=frozenset((mac, public) for _, mac, public in ends),
            routes=frozenset((net, net.network_address) for net, _, _ in ends),
        )

    def _end(self, peer: Lease, version: int) -> End | None:
        """Return a peer's subnet, MAC and public address of one family; None when it has not published all three."""
        if version == 4:
            return _far_end(peer, 4)
        network, public = peer.subnet.ipv6, peer.attributes.public_ipv6
        if network is None or public is None or self._config.ipv6 is None:
            return None
        if not peer_filter.within(network, self._config.ipv6.network):
            return None
        return _far_end(peer, 6) if _mac(peer.attributes.backend_v6_data) else None


def _inner_mtu(config: NetworkConfig, chosen: Options, underlay: Underlay) -> int:
    mtu, lowest = (chosen.mtu or underlay.mtu) - OVERHEAD, LOWEST_MTU if config.ipv6 else 68
    if mtu < lowest:
        raise underlay.too_small(chosen.mtu, lowest + OVERHEAD)
    return mtu


def _far_end(lease: Lease, version: int) -> End:
    values = lease.attributes
    if version == 6 and lease.subnet.ipv6 is not None and values.public_ipv6 is not None:
        return lease.subnet.ipv6, _mac(values.backend_v6_data), values.public_ipv6
    return lease.subnet.ipv4, _mac(values.backend_data), values.public_ip


def _host_interface(network: IPNetwork) -> IPv4Interface | IPv6Interface:
    base = network.network_address
    return IPv4Interface((base, 32)) if isinstance(base, IPv4Address) else IPv6Interface((base, 128))


def _attributes(vni: int, macs: Mapping[str, str], public: IPv4Address, public_v6: IPv6Address | None) -> Attributes:
    data = {name: compact({"VNI": vni, "VtepMAC": mac}) for name, mac in macs.items()}
    return Attributes(public, public_v6, TYPE, data[device_name(4, vni)], data.get(device_name(6, vni), ""))


@lru_cache(maxsize=REMEMBERED)
def _mac(data: str) -> str:
    """Read the VtepMAC of a peer's backend data; empty unless it is a unicast address in a form Go reads."""
    try:
        section = documents.parse(data, "BackendData")
        text = _plain_mac(section.text("VtepMAC"))
    except Refused:
        return ""
    unicast = _MAC.fullmatch(text) and not int(text[:2], 16) & 1
    return text if unicast and text != "00:00:00:00:00:00" else ""


def _plain_mac(text: str) -> str:
    """Bring the forms of Go's net.ParseMAC (`-` between, or dotted quads) to lower case with colons."""
    digits = text.lower().replace("-", "").replace(":", "").replace(".", "")
    return ":".join(digits[start : start + 2] for start in range(0, len(digits), 2))


ENTRY = Entry(
    TYPE,
    build,
    derived,
    options,
    keys=("VNI", "Port", "MTU", "GBP", "Learning", "DirectRouting"),
    resources=resources,
    devices=devices,
    device_prefixes=("flannel.", "flannel-v6."),
    needs_data=True,
)
