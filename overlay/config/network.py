"""flannel's network config, which all hosts share, as checked values.

Follows docs/reference/flannel.md 1 and 1.1, rule by rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from overlay.config import documents
from overlay.errors import Refused

ADD_BACKEND = 'add "Backend": {"Type": "vxlan"}, or what the other hosts have'


@dataclass(frozen=True, slots=True)
class Pool:
    """The subnets of one family a host may take: from `first` to `last` base address, both included, each /`length`."""

    network: IPv4Network | IPv6Network
    """The range of the network."""
    length: int
    """The prefix length of a host's subnet."""
    first: int
    """The lowest base address of a subnet, as a number."""
    last: int
    """The highest base address of a subnet, as a number."""

    @property
    def step(self) -> int:
        """Number of addresses in one subnet."""
        return 1 << (self.network.max_prefixlen - self.length)

    def offers(self, subnet: IPv4Network | IPv6Network) -> bool:
        """Return whether `subnet` is one this pool gives out (flannel's "compatible", docs/reference/flannel.md 2.5)."""
        same_family = subnet.version == self.network.version
        return (
            same_family and subnet.prefixlen == self.length and self.first <= int(subnet.network_address) <= self.last
        )

    def describe(self) -> str:
        """Say in words what the pool gives out, for errors."""
        address = type(self.network.network_address)
        return f"a /{self.length} from {address(self.first)} to {address(self.last)}"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The parsed network config: a pool for each family in use, and the backend's own section."""

    ipv4: Pool
    """The subnets of IPv4."""
    ipv6: Pool | None
    """The subnets of IPv6; None without it."""
    backend_type: str
    """The backend's name, in lower case."""
    backend: documents.Section
    """The member "Backend"."""
    nftables: bool = False
    """Whether the firewall's rules are nftables' instead of iptables'."""

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Networks of all families in use, IPv4 first."""
        return (self.ipv4.network, self.ipv6.network) if self.ipv6 else (self.ipv4.network,)


@dataclass(frozen=True, slots=True)
class _Names:
    """The members, limits and defaults of one family, as docs/reference/flannel.md 1.1 tabulates them."""

    network: str
    length: str
    first: str
    last: str
    longest: int  # longest subnet length that may be asked for
    smallest: int  # longest network prefix that still gives four subnets
    common: int  # subnet length that is taken when the network has room
    roomy: int  # shortest network prefix for which it has none


IPV4 = _Names("Network", "SubnetLen", "SubnetMin", "SubnetMax", 30, 28, 24, 22)
IPV6 = _Names("IPv6Network", "IPv6SubnetLen", "IPv6SubnetMin", "IPv6SubnetMax", 126, 124, 64, 62)


def parse(text: str | bytes, where: str) -> NetworkConfig:
    """Read and check a network config; raises Refused naming path, value and remedy."""
    return from_section(documents.parse(text, where))


def from_section(section: documents.Section) -> NetworkConfig:
    """Check an already decoded network config; raises Refused."""
    if not section.flag("EnableIPv4", default=True):
        raise section.refusal(
            "EnableIPv4", "every host needs an IPv4 subnet, peers know it by that", "remove EnableIPv4"
        )
    ipv4 = _pool(section, IPV4, section.ipv4_network("Network"))
    ipv6 = _pool(section, IPV6, section.ipv6_network("IPv6Network")) if section.flag("EnableIPv6") else None
    backend = section.section("Backend")
    if backend is None:
        raise Refused("Backend is missing, which means udp", where=section.where, remedy=ADD_BACKEND)
    kind = backend.text("Type").lower()
    if not kind:
        raise Refused("Backend.Type is missing", where=section.where, remedy=ADD_BACKEND)
    return NetworkConfig(ipv4, ipv6, kind, backend, section.flag("EnableNFTables"))


def _pool(section: documents.Section, names: _Names, network: IPv4Network | IPv6Network | None) -> Pool:
    if network is None or network.prefixlen == 0:
        example = "10.42.0.0/16" if names is IPV4 else "fd00:42::/48"
        raise section.refusal(names.network, "no network to take subnets from", f'set "{names.network}": "{example}"')
    length = _length(section, names, network)
    step = 1 << (network.max_prefixlen - length)
    start, end = int(network.network_address), int(network.broadcast_address) + 1
    pool = Pool(network, length, start + step, end - step)
    first = _bound(section, names.first, pool, pool.first)
    last = _bound(section, names.last, pool, pool.last)
    if first > last:
        raise section.refusal(names.first, f"above {names.last}", "exchange the two, or leave both out")
    return Pool(network, length, first, last)


def _length(section: documents.Section, names: _Names, network: IPv4Network | IPv6Network) -> int:
    asked = section.number(names.length, 0, lowest=0, highest=names.longest)
    if not asked and network.prefixlen > names.smallest:
        raise section.refusal(
            names.network, "too small for four subnets", f"take /{names.smallest} or a larger network"
        )
    if not asked:
        return names.common if network.prefixlen <= names.roomy else network.prefixlen + 2
    if asked < network.prefixlen + 2:
        remedy = f"take {network.prefixlen + 2} or more"
        raise section.refusal(names.length, f"{network} has no room for four such subnets", remedy)
    return asked


def _bound(section: documents.Section, key: str, pool: Pool, default: int) -> int:
    asked: IPv4Address | IPv6Address | None
    asked = section.ipv4(key) if pool.network.version == 4 else section.ipv6(key)
    if asked is None or not int(asked):
        return default
    if asked not in pool.network:
        raise section.refusal(
            key, f"not in the range of {pool.network}", "take a subnet base address inside the network"
        )
    if int(asked) % pool.step:
        below = type(asked)(int(asked) - int(asked) % pool.step)
        raise section.refusal(key, f"not on a /{pool.length} boundary", f"take {below}")
    return int(asked)


@dataclass(frozen=True, slots=True)
class Difference:
    """One member in which a wanted config and the stored one disagree."""

    path: str
    """The path of the member."""
    wanted: Any
    """What the settings say."""
    stored: Any
    """What the store says; None for nothing."""

    def __str__(self) -> str:
        stored = "absent" if self.stored is None else self.stored
        return f"{self.path} is {self.wanted} here but {stored} in the store"


def differences(wanted: documents.Section, stored: documents.Section) -> tuple[Difference, ...]:
    """List the members given in `wanted` that say something else than `stored`; what `wanted` leaves out agrees."""
    found: list[Difference] = []
    for key, value in wanted.members.items():
        other = stored.raw(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found += differences(documents.Section(value, path=wanted.at(key)), documents.Section(other))
        elif _plain(value) != _plain(other):
            found.append(Difference(wanted.at(key), value, other))
    return tuple(found)


def _plain(value: Any) -> Any:
    """Compare networks as networks: neither host bits nor letter case make a difference."""
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value, strict=False)
    except ValueError:
        return value.lower()
