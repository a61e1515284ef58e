"""Backend wireguard: every packet is encrypted, every peer is known by its key (docs/reference/flannel.md 5.5).

There is one device per family (mode separate), or one for both. It is the only backend that authenticates the sender of
a packet. The store is trusted, though: whoever can write leases decides which keys are peers. In `kept`, our public key
is under the device's name.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from overlay.backends import (
    AllowedPeers,
    Backend,
    Desired,
    L3Device,
    OnLinkLookup,
    Underlay,
    WireguardConfig,
    WireguardPeer,
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

TYPE = "wireguard"
DEVICE, DEVICE_V6 = "flannel-wg", "flannel-wg-v6"
OVERHEAD = 80
"""Bytes of outer IPv6, UDP and WireGuard headers."""
MODES = ("separate", "auto", "ipv4", "ipv6")
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""What flannel takes for addresses that are not reached from everywhere: RFC 1918, no more."""
UNIQUE_LOCAL = IPv6Network("fc00::/7")


@dataclass(frozen=True, slots=True)
class Options:
    """The backend's section of the network config (docs/reference/flannel.md 1.2); `mtu` 0 means that of the underlay."""

    port: int
    """The UDP port of the only device, or of the IPv4 device."""
    port_v6: int
    """The UDP port of the IPv6 device in mode separate."""
    mtu: int
    """The underlay's MTU in bytes; 0 for that of the interface."""
    keepalive: int
    """Seconds between keepalive packets; 0 for none."""
    mode: str
    """How the outer IP version is chosen, one of MODES."""
    preshared_key: str = field(repr=False)
    """A key in base64 that all hosts share; empty for none."""


def options(config: NetworkConfig) -> Options:
    """Read and check the section "Backend" of the network config; raises Refused."""
    section = config.backend
    mode = "separate" if section.raw("Mode") is None else section.text("Mode")
    if mode not in MODES:
        raise section.refusal("Mode", "no valid Mode", f"choose one of: {', '.join(MODES)}")
    preshared = section.text("PSK")
    if preshared and not is_key(preshared):
        raise Refused("Backend.PSK is no key", where=section.where, remedy="write what `wg genpsk` prints")
    found = Options(
        port=section.number("ListenPort", 51820, lowest=1, highest=65535),
        port_v6=section.number("ListenPortV6", 51821, lowest=1, highest=65535),
        mtu=section.number("MTU", 0, lowest=0, highest=65535),
        keepalive=section.number("PersistentKeepaliveInterval", 0, lowest=0, highest=65535),
        mode=mode,
        preshared_key=preshared,
    )
    if mode == "separate" and config.ipv6 and found.port == found.port_v6:
        raise section.refusal(
            "ListenPortV6", "also ListenPort, and the two devices of mode separate cannot share it", "choose two"
        )
    return found


def resources(config: NetworkConfig) -> HostResources:
    """Return what the network takes of its host; raises Refused."""
    chosen = options(config)
    count = 2 if chosen.mode == "separate" and config.ipv6 else 1
    devices, ports = (DEVICE, DEVICE_V6)[:count], (chosen.port, chosen.port_v6)[:count]
    return HostResources(config.networks, frozenset(devices), frozenset(ports))


def is_key(text: str) -> bool:
    """Return whether this is a key: 32 bytes in standard base64."""
    try:
        return len(text) == 44 and len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def derived(config: NetworkConfig, _: Subnet, __: IPv4Address, ___: IPv6Address | None) -> Attributes:
    """Refuse: a key follows from nothing a hosts file has."""
    raise config.backend.refusal(
        "Type", "hosts must exchange their keys, which a hosts file cannot", "use another store"
    )


def build(config: NetworkConfig, underlay: Underlay, kept: Mapping[str, str]) -> Backend:
    """Make the backend of one host; raises Refused, Unavailable."""
    return Wireguard(config, underlay, kept.get(DEVICE, ""))


class Wireguard:
    """The backend of one host, whose peers know it by `public_key`."""

    def __init__(self, config: NetworkConfig, underlay: Underlay, public_key: str) -> None:
        """Check what the underlay allows; raises Refused, or Unavailable where that may change."""
        self._config, self._underlay, self._key, self._options = config, underlay, public_key, options(config)
        self.mtu = (self._options.mtu or underlay.mtu) - OVERHEAD
        lowest = 1280 if config.ipv6 else 68
        if self.mtu < lowest:
            raise underlay.too_small(self._options.mtu, lowest + OVERHEAD)
        needs_v6 = self._options.mode == "ipv6" or (self._options.mode == "separate" and config.ipv6)
        if needs_v6 and underlay.public_ipv6 is None:
            remedy = "give the interface an IPv6 address, set --public-ipv6, or choose Backend.Mode ipv4"
            raise Unavailable(f"{underlay.interface} has no IPv6 address for its tunnels; {remedy}")

    def attributes(self, subnet: Subnet) -> Attributes:
        """Return the published value: our key and where we listen."""
        port_v6 = self._options.port_v6 if self._options.mode == "separate" else self._options.port
        data = compact({"PublicKey": self._key, "Port": self._options.port})
        data_v6 = compact({"PublicKey": self._key, "Port": port_v6}) if subnet.ipv6 else ""
        return Attributes(self._underlay.public_ip, self._underlay.public_ipv6, TYPE, data, data_v6)

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:  # noqa: ARG002 - the protocol's
        """Return the devices with all usable peers."""
        keys = {self._key: own.subnet}

        def judge(peer: Lease) -> str:
            problem = peer_filter.problem(own, peer, self._config)
            key, _ = _data(peer.attributes.backend_data)
            if problem or not key:
                return problem or "its BackendData has no usable PublicKey"
            if self._options.mode == "ipv6" and peer.attributes.public_ipv6 is None:
                return "it has no PublicIPv6 to send to, as Backend.Mode ipv6 needs"
            holder = keys.setdefault(key, peer.subnet)
            return "" if holder == peer.subnet else f"its PublicKey is also that of {holder}"

        theirs = [peer for peer in peers if peer.attributes.backend_type == TYPE]
        usable, refused = peer_filter.divide(theirs, judge)
        pipes = tuple(self._pipes(own, usable))
        return Desired(pipes=pipes, guard=self._guard(own, pipes), unusable=refused)

    def _guard(self, own: Lease, pipes: Sequence[L3Device]) -> AllowedPeers:
        """Name no senders: a key proves them, wherever they are, and WireGuard knows what each may send."""
        ports = (self._options.port, self._options.port_v6)[: len(pipes)]
        networks = self._config.networks
        devices = tuple(pipe.name for pipe in pipes)
        return AllowedPeers(
            *(TYPE, "sealed", ports, self._underlay.interface, devices, own.subnet.networks[: len(networks)], networks)
        )

    def _pipes(self, own: Lease, peers: Sequence[Lease]) -> list[L3Device]:
        mine = own.subnet.networks[: len(self._config.networks)]
        if self._options.mode != "separate":
            return [self._pipe(DEVICE, self._options.port, mine, self._config.networks, peers)]
        names, ports = (DEVICE, DEVICE_V6), (self._options.port, self._options.port_v6)
        families = zip(names, ports, mine, self._config.networks, strict=False)
        return [self._pipe(name, port, (base,), (net,), peers) for name, port, base, net in families]

    def _pipe(
        self, name: str, port: int, mine: Sequence[IPNetwork], networks: tuple[IPNetwork, ...], peers: Sequence[Lease]
    ) -> L3Device:
        found = (self._peer(peer, networks) for peer in peers)
        carrier = WireguardConfig(port, frozenset(one for one in found if one is not None))
        return L3Device(name, self.mtu, tuple(map(_host_interface, mine)), networks, carrier)

    def _peer(self, peer: Lease, networks: Sequence[IPNetwork]) -> WireguardPeer | None:
        """Return a peer as one device sees it; None when it has nothing in the device's networks, or no address to send to."""
        inside = [one for one in peer.subnet.networks if any(peer_filter.within(one, net) for net in networks)]
        endpoint = self._endpoint(peer.attributes, networks[0].version)
        if not inside or endpoint is None:
            return None
        key, _ = _data(peer.attributes.backend_data)
        return WireguardPeer(key, endpoint, frozenset(inside), self._options.keepalive, self._options.preshared_key)

    def _endpoint(self, peer: Attributes, version: int) -> tuple[IPAddress, int] | None:
        outer = {"separate": version, "ipv4": 4, "ipv6": 6}.get(self._options.mode) or self._best(peer)
        _, port = _data(peer.backend_data)
        if outer == 4:
            return peer.public_ip, port or self._options.port
        _, port_v6 = _data(peer.backend_v6_data)
        own = self._options.port_v6 if self._options.mode == "separate" else self._options.port
        return (peer.public_ipv6, port_v6 or own) if peer.public_ipv6 else None

    def _best(self, peer: Attributes) -> int:
        """Choose the IP version in mode auto (docs/reference/flannel.md 5.5)."""
        ours, theirs = self._underlay.public_ipv6, peer.public_ipv6
        if ours is None or theirs is None or not any(peer.public_ip in net for net in PRIVATE):
            return 4
        return 4 if ours in UNIQUE_LOCAL or theirs in UNIQUE_LOCAL else 6


def _data(text: str) -> tuple[str, int]:
    """Read a peer's key and port; empty and 0 where they are absent or cannot be used."""
    try:
        section = documents.parse(text, "BackendData")
        key, port = section.text("PublicKey"), section.number("Port", 0, lowest=0, highest=65535)
    except Refused:
        return "", 0
    return (key, port) if is_key(key) else ("", 0)


def _host_interface(network: IPNetwork) -> IPv4Interface | IPv6Interface:
    base = network.network_address
    return IPv4Interface((base, 32)) if isinstance(base, IPv4Address) else IPv6Interface((base, 128))


ENTRY = Entry(
    TYPE,
    build,
    derived,
    options,
    keys=("PSK", "ListenPort", "ListenPortV6", "MTU", "Mode", "PersistentKeepaliveInterval"),
    resources=resources,
    device_prefixes=(DEVICE,),
    key_device=DEVICE,
)
