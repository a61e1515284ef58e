"""WireGuard devices through the program `wg`, which works with the kernel's WireGuard and with wireguard-go.

Where the kernel has no WireGuard, a process wireguard-go implements the device and ends with it. Keys are passed on
stdin, never as arguments, which every user can read.
"""

import errno
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from kernel import spawn
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from kernel.netlink.requests import AddWireguard
from system.ip import IPAddress

_NONE = "(none)"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another device: where it is, what may come from it, its keys in base64; `keepalive` in seconds, 0 for none."""

    public_key: str
    """Its public key, in base64."""
    endpoint: tuple[IPAddress, int] | None
    """Its address and UDP port; None for unknown."""
    allowed: frozenset[IPv4Network | IPv6Network]
    """The networks whose packets may come from it, and are sent to it."""
    keepalive: int = 0
    """Seconds between keepalive packets; 0 for none."""
    preshared_key: str = field(default="", repr=False)
    """A key in base64 shared with it; empty for none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `wg` sets on a device."""

    private_key: str = field(repr=False)
    """The private key, in base64."""
    port: int
    """The UDP port to listen on."""
    peers: frozenset[Peer]
    """All peers."""


def create(network: Handle, device: str) -> None:
    """Make a device, down: the kernel's, or wireguard-go's where it has none; raises KernelError."""
    try:
        network.apply(AddWireguard(device))
    except KernelError as problem:
        if problem.errno != errno.EOPNOTSUPP:
            raise
        outcome = spawn.run(["wireguard-go", device])
        if outcome.code != 0:
            raise spawn.error_from(outcome, f"starting wireguard-go for {device}") from problem


def generate_key() -> str:
    """Make a private key."""
    return _wg(["genkey"], "making a WireGuard key").strip()


def public_key(private_key: str) -> str:
    """Derive the public key; KernelError EINVAL when this is no private key."""
    return _wg(["pubkey"], "deriving a WireGuard public key", private_key + "\n").strip()


def show(device: str) -> Settings:
    """Read what a device is set to; raises KernelError, ENODEV when no WireGuard answers by that name."""
    return parse(_wg(["show", device, "dump"], f"reading WireGuard device {device}"))


def sync(device: str, settings: Settings) -> None:
    """Change only what differs: sessions of peers that stay are kept, other peers are removed."""
    _wg(["syncconf", device, "/dev/stdin"], f"setting WireGuard device {device}", text(settings))


def transfer(device: str) -> dict[str, tuple[int, int]]:
    """Read the bytes received from and sent to each peer, by public key; raises KernelError."""
    lines = _wg(["show", device, "transfer"], f"reading the counters of WireGuard device {device}").splitlines()
    return {key: (int(received), int(sent)) for key, received, sent in (line.split("\t") for line in lines)}


def parse(dump: str) -> Settings:
    """Read `wg show DEVICE dump`: a line for the device, a line a peer, tabs between (wg(8))."""
    first, *rest = [line.split("\t") for line in dump.splitlines()]
    return Settings("" if first[0] == _NONE else first[0], int(first[2]), frozenset(_peer(words) for words in rest))


def text(settings: Settings) -> str:
    """Write a configuration as wg(8) reads it."""
    lines = ["[Interface]", f"PrivateKey = {settings.private_key}", f"ListenPort = {settings.port}"]
    for peer in sorted(settings.peers, key=lambda one: one.public_key):
        lines += ["[Peer]", f"PublicKey = {peer.public_key}", f"PersistentKeepalive = {peer.keepalive or 'off'}"]
        lines += [f"AllowedIPs = {', '.join(sorted(map(str, peer.allowed)))}"] if peer.allowed else []
        lines += [f"PresharedKey = {peer.preshared_key}"] if peer.preshared_key else []
        lines += [f"Endpoint = {_joined(*peer.endpoint)}"] if peer.endpoint else []
    return "\n".join(lines) + "\n"


def _peer(words: list[str]) -> Peer:
    key, preshared, endpoint, allowed, *_, keepalive = words
    return Peer(
        public_key=key,
        endpoint=None if endpoint == _NONE else _parted(endpoint),
        allowed=frozenset() if allowed == _NONE else frozenset(ip_network(one) for one in allowed.split(",")),
        keepalive=0 if keepalive == "off" else int(keepalive),
        preshared_key="" if preshared == _NONE else preshared,
    )


def _joined(address: IPAddress, port: int) -> str:
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def _parted(endpoint: str) -> tuple[IPAddress, int]:
    host, _, port = endpoint.rpartition(":")
    return ip_address(host.strip("[]").partition("%")[0]), int(port)


def _wg(arguments: list[str], what: str, stdin: str = "") -> str:
    outcome = spawn.run(["wg", *arguments], stdin)
    if outcome.code != 0:
        raise spawn.error_from(outcome, what)
    return outcome.stdout
