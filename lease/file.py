"""The lease file: it holds what differs between hosts, so that one conflist works on all (flannel's subnet.env).

There is one reader and one writer for programs and daemon. Every container's cold start imports it, so it uses the
standard library only, and nothing heavier than ipaddress.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH116, PTH118, PTH119, PTH120

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from system import atomic_file, folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network
    from typing import TypeVar

    from system.ip import IPAddress, IPInterface, IPNetwork

    _V = TypeVar("_V")

DEFAULT_PATH = "/run/flannel/subnet.env"

LOWEST_MTU = 68
"""What IPv4 asks of any link (RFC 791)."""
HIGHEST_MTU = 65535

_LARGEST = 64 * 1024
_KEYS = (
    "FLANNEL_NETWORK",
    "FLANNEL_SUBNET",
    "FLANNEL_IPV6_NETWORK",
    "FLANNEL_IPV6_SUBNET",
    "FLANNEL_MTU",
    "FLANNEL_IPMASQ",
)
_NEEDED = (
    ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"),
    ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"),
    ("FLANNEL_MTU",),
    ("FLANNEL_IPMASQ",),
)
"""One of each is what makes a lease (docs/reference/flannel.md 7)."""
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Lease:
    """This host's share of the network; construction raises ValueError unless the parts agree with each other.

    `subnet` and `ipv6_subnet` are kept as written: the gateway's address with the subnet's length. A family has both
    a network and a subnet or neither, a subnet lies in one of its networks, and at least one family is present.
    `mtu` is in bytes; `ipmasq` is the daemon's --ip-masq: True when the daemon masquerades, so that bridges need not.
    """

    networks: tuple[IPv4Network, ...]
    """The IPv4 ranges of all hosts."""
    subnet: IPv4Interface | None
    """This host's IPv4 subnet, as the gateway's address with the subnet's length; None for none."""
    ipv6_networks: tuple[IPv6Network, ...]
    """The IPv6 ranges of all hosts."""
    ipv6_subnet: IPv6Interface | None
    """This host's IPv6 subnet, written in the same way; None for none."""
    mtu: int
    """The MTU for containers in bytes."""
    ipmasq: bool
    """Whether the daemon masquerades, so that the programs need not."""

    def __post_init__(self) -> None:
        _require_agreement("FLANNEL_NETWORK", self.networks, "FLANNEL_SUBNET", self.subnet)
        _require_agreement("FLANNEL_IPV6_NETWORK", self.ipv6_networks, "FLANNEL_IPV6_SUBNET", self.ipv6_subnet)
        if not self._interfaces:
            raise ValueError("neither FLANNEL_SUBNET nor FLANNEL_IPV6_SUBNET is present")
        if not LOWEST_MTU <= self.mtu <= HIGHEST_MTU:
            raise ValueError(f"FLANNEL_MTU is {self.mtu}, expected a number from {LOWEST_MTU} to {HIGHEST_MTU}")

    @property
    def gateways(self) -> tuple[IPAddress, ...]:
        """The addresses written in FLANNEL_SUBNET and FLANNEL_IPV6_SUBNET, IPv4 first."""
        return tuple(interface.ip for interface in self._interfaces)

    @property
    def subnets(self) -> tuple[IPNetwork, ...]:
        """The subnets themselves, IPv4 first; in step with `gateways`."""
        return tuple(interface.network for interface in self._interfaces)

    @property
    def key(self) -> str:
        """Names the address book of this lease: `10.42.1.0-24`, or `fd00::-64` when there is no IPv4 subnet."""
        return str(self.subnets[0]).replace("/", "-")

    @property
    def _interfaces(self) -> tuple[IPInterface, ...]:
        return tuple(interface for interface in (self.subnet, self.ipv6_subnet) if interface is not None)


class Unavailable(Exception):  # noqa: N818 - a state of the host, not an error of the program: the daemon may not be up yet
    """There is no lease to go by: `path` says where it was looked for, `reason` why, `remedy` what to do about it.

    `missing` names the keys whose absence is the reason, in the file's order; a family is asked for by both its names.
    """

    def __init__(self, path: str, reason: str, remedy: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(path, reason, remedy, missing)
        self.path = path
        self.reason = reason
        self.remedy = remedy
        self.missing = missing

    def __str__(self) -> str:
        return f"lease file {self.path}: {self.reason}; {self.remedy}"


def read(path: str = DEFAULT_PATH) -> Lease:
    """Read and check the lease at `path` (docs/reference/flannel.md 4.6 and 7); whatever is wrong with it raises Unavailable."""
    try:
        text = _content(path)
    except FileNotFoundError:
        raise Unavailable(
            path, "there is none", "run tulle join; where that was done: systemctl status tulled"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise Unavailable(path, reason, "make it a readable text file as tulled writes it") from error
    return parse(text, path)


def parse(text: str, path: str = DEFAULT_PATH) -> Lease:
    """Read the text of a lease file; `path` is for the message of Unavailable, the only thing raised.

    Lenient in form (quotes, `export`, comments, blank and unknown lines, CR LF, a key repeated: the last one counts, as
    in a shell), strict in values: half a lease is worse than none.
    """
    remedy = "correct it or let tulled write it anew (it does so at every start)"
    try:
        values = dict(_assignments(text))
        missing = _missing(values)
        if missing:
            raise Unavailable(path, f"it is missing {', '.join(missing)}", remedy, missing)
        return _lease(values)
    except ValueError as error:
        raise Unavailable(path, str(error), remedy) from error


def render(lease: Lease) -> str:
    """Return the file's text, byte for byte as flanneld writes it (docs/reference/flannel.md 4.6)."""
    values = (
        ",".join(map(str, lease.networks)),
        lease.subnet or "",
        ",".join(map(str, lease.ipv6_networks)),
        lease.ipv6_subnet or "",
        lease.mtu,
        str(lease.ipmasq).lower(),
    )
    return "".join(f"{key}={value}\n" for key, value in zip(_KEYS, values, strict=True) if value != "")


def write(path: str, lease: Lease) -> None:
    """Put the lease at `path` in one step, durable before it is visible; readers see the old file or the new one.

    Mode 0644 whatever the umask, or the permission bits of the file it replaces; missing parents are made 0755.
    Raises OSError. A bind-mounted `path` is refused by the kernel with EBUSY (docs/reference/flannel.md 4.6).
    """
    folder = os.path.dirname(path) or "."
    folders.make(folder)
    pending = os.path.join(folder, f".{os.path.basename(path)}.{os.urandom(6).hex()}")
    atomic_file.replace(path, render(lease).encode(), _mode_of(path), pending=pending)


def _require_agreement(
    network_key: str, networks: tuple[IPNetwork, ...], subnet_key: str, subnet: IPInterface | None
) -> None:
    if subnet is None and not networks:
        return
    if subnet is None or not networks:
        present, absent = (network_key, subnet_key) if subnet is None else (subnet_key, network_key)
        raise ValueError(f"{present} is present but {absent} is missing")
    own = subnet.network
    if own.prefixlen > own.max_prefixlen - 2:
        raise ValueError(
            f"{subnet_key} is {subnet}: no room for containers, the longest prefix is /{own.max_prefixlen - 2}"
        )
    if subnet.ip == own.network_address or (subnet.version == 4 and subnet.ip == own.broadcast_address):
        raise ValueError(f"{subnet_key} is {subnet}: expected the gateway's address, like {own[1]}/{own.prefixlen}")
    if not any(_inside(own, network) for network in networks):
        raise ValueError(f"{subnet_key} is {subnet}, which lies outside {network_key} {','.join(map(str, networks))}")


def _inside(subnet: IPNetwork, network: IPNetwork) -> bool:
    return network.prefixlen <= subnet.prefixlen and subnet.network_address in network


def _content(path: str) -> str:
    """Return the file's text; ValueError when it cannot be a lease file. A FIFO must not hold a container's start up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        content = os.read(descriptor, _LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text") from None


def _assignments(text: str) -> Iterator[tuple[str, tuple[int, str]]]:
    """Yield (key, (line number, value)) of every assignment; ValueError names the line that is none."""
    for number, line in enumerate(text.split("\n"), start=1):
        assignment = line.strip(" \t\r").removeprefix("export ").lstrip(" \t")
        if not assignment or assignment.startswith("#"):
            continue
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"line {number} is no KEY=VALUE: {_shown(line)}")
        if key.rstrip(" \t") in _KEYS:
            yield key.rstrip(" \t"), (number, _unquoted(value.lstrip(" \t"), number))


def _unquoted(value: str, number: int) -> str:
    """Take quotes and a trailing comment off; in quotes a `#` is text, outside it needs a blank before it."""
    quote = value[:1]
    if quote in {'"', "'"}:
        inner, end, rest = value[1:].partition(quote)
        if not end or (rest.strip(" \t") and not rest.lstrip(" \t").startswith("#")):
            raise ValueError(f"line {number} has an unbalanced {quote}: {_shown(value)}")
        return inner
    for blank in (" #", "\t#"):
        value = value.partition(blank)[0]
    return "" if value.startswith("#") else value.rstrip(" \t")


def _missing(values: Collection[str]) -> tuple[str, ...]:
    """Return the keys a lease cannot do without, in the order in which the reference names them (docs/reference/flannel.md 7)."""
    return tuple(key for keys in _NEEDED if not any(key in values for key in keys) for key in keys)


def _lease(values: Mapping[str, tuple[int, str]]) -> Lease:
    """Turn the assignments into a lease, or ValueError with the line and the key."""

    def value(key: str, read: Callable[[str], _V], default: _V) -> _V:
        if key not in values:
            return default
        number, text = values[key]
        try:
            return read(text)
        except ValueError as error:
            raise ValueError(f"line {number}: {key} is {_shown(text)}: {error}") from None

    return Lease(
        networks=value("FLANNEL_NETWORK", _networks_v4, ()),
        subnet=value("FLANNEL_SUBNET", _interface_v4, None),
        ipv6_networks=value("FLANNEL_IPV6_NETWORK", _networks_v6, ()),
        ipv6_subnet=value("FLANNEL_IPV6_SUBNET", _interface_v6, None),
        mtu=value("FLANNEL_MTU", _mtu, 0),
        ipmasq=value("FLANNEL_IPMASQ", _flag, False),
    )


def _interface_v4(text: str) -> IPv4Interface:
    return IPv4Interface(_cidr(text))


def _interface_v6(text: str) -> IPv6Interface:
    interface = IPv6Interface(_cidr(text))
    if interface.ip.ipv4_mapped is not None:
        raise ValueError("an IPv4 address in IPv6 clothes is neither")
    return interface


def _networks_v4(text: str) -> tuple[IPv4Network, ...]:
    """Read a comma list; repeated networks count once, host bits are masked off as flannel does (docs/reference/cni.md 1 and 7)."""
    return tuple(dict.fromkeys(_interface_v4(item.strip()).network for item in text.split(",")))


def _networks_v6(text: str) -> tuple[IPv6Network, ...]:
    return tuple(dict.fromkeys(_interface_v6(item.strip()).network for item in text.split(",")))


def _cidr(text: str) -> str:
    """Let through what Go's ParseCIDR takes: ipaddress alone also takes netmasks, zone ids and a missing length."""
    address, slash, length = text.partition("/")
    canonical = length.isascii() and length.isdigit() and length == str(int(length))
    if not slash or not canonical or "%" in address:
        raise ValueError("expected ADDRESS/LENGTH, like 10.42.1.1/24 or fd00:42::1/64")
    return text


def _mtu(text: str) -> int:
    """Read a decimal number; its bounds are Lease's business."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"expected a number from {LOWEST_MTU} to {HIGHEST_MTU}")
    return int(text)


def _flag(text: str) -> bool:
    if text not in _FLAGS:
        raise ValueError("expected true or false")
    return _FLAGS[text]


def _shown(text: str) -> str:
    """Return hostile text fit for one line of a message."""
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")


def _mode_of(path: str) -> int:
    try:
        return stat.S_IMODE(os.stat(path).st_mode) & 0o777
    except FileNotFoundError:
        return 0o644
