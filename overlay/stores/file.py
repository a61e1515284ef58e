"""The store for a few hosts without a database: one JSON file, the same on every host.

    {"Network": {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}},
     "Hosts": [{"PublicIP": "192.0.2.1", "Subnet": "10.42.1.0/24"},
               {"PublicIP": "192.0.2.2", "Subnet": "10.42.2.0/24"}]}

"Network" is flannel's network config; in a dual-stack network a host also has "PublicIPv6" and "IPv6Subnet". Hosts
exchange nothing: what a backend publishes is derived from the subnet alone. The store writes nothing: a host that wants
a lease learns whether the file has it already. Copies that differ between two hosts are not noticed.
"""

import asyncio
import json
import stat
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from overlay.config import documents, network
from overlay.config.documents import Section
from overlay.config.network import NetworkConfig
from overlay.errors import Refused, StoreError, Unlisted, unusable
from overlay.stores import Snapshot, Update
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

POLL = 1.0
"""Seconds between two comparisons of the file's inode, size and time."""
LARGEST = 16 * 1024 * 1024
"""The largest file in bytes; ten thousand hosts take a tenth of it."""

_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Host:
    """One entry of "Hosts"."""

    public_ip: IPv4Address
    """The address other hosts send to."""
    public_ipv6: IPv6Address | None
    """The same for IPv6; None in a network without IPv6."""
    subnet: Subnet
    """The host's subnet."""


Derive = Callable[[NetworkConfig, Subnet, IPv4Address, IPv6Address | None], Attributes]


@dataclass(frozen=True, slots=True)
class Hosts:
    """The whole file, checked."""

    network_text: str
    """The member "Network", as JSON text."""
    config: NetworkConfig
    """The same, checked."""
    hosts: tuple[Host, ...]
    """The entries of "Hosts", in the file's order."""


def parse(text: str | bytes, where: str) -> Hosts:
    """Read and check the file's text; raises Refused with path, value and remedy."""
    document = documents.parse(text, where)
    section = document.section("Network")
    if section is None:
        remedy = 'add "Network": {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}'
        raise Refused("Network is missing", where=where, remedy=remedy)
    config = network.from_section(section)
    entries = document.sections("Hosts")
    hosts = tuple(_host(entry, config) for entry in entries)
    _no_clash(entries, hosts)
    return Hosts(json.dumps(section.members), config, hosts)


def _host(entry: Section, config: NetworkConfig) -> Host:
    public = entry.ipv4("PublicIP")
    if public is None or public.is_multicast or public.is_loopback or not int(public):
        raise entry.refusal("PublicIP", "no address other hosts can send to", "write the host's own, like 192.0.2.1")
    subnet = entry.ipv4_network("Subnet")
    if subnet is None or not config.ipv4.offers(subnet):
        remedy = f"write {config.ipv4.describe()} (Network.SubnetLen, SubnetMin and SubnetMax decide)"
        raise entry.refusal("Subnet", f"not a subnet {config.ipv4.network} gives out", remedy)
    if config.ipv6 is None:
        return Host(public, entry.ipv6("PublicIPv6"), Subnet(subnet))
    ipv6_public, ipv6_subnet = entry.ipv6("PublicIPv6"), entry.ipv6_network("IPv6Subnet")
    if ipv6_public is None:
        raise entry.refusal("PublicIPv6", "missing in a dual-stack network", "write the host's IPv6 address")
    if ipv6_subnet is None or not config.ipv6.offers(ipv6_subnet):
        problem = f"not a subnet {config.ipv6.network} gives out"
        raise entry.refusal("IPv6Subnet", problem, f"write {config.ipv6.describe()}")
    return Host(public, ipv6_public, Subnet(subnet, ipv6_subnet))


def _no_clash(entries: Sequence[Section], hosts: Sequence[Host]) -> None:
    """Refuse two hosts with the same address or subnet; subnets of the same length overlap only when they are equal."""
    seen: dict[object, int] = {}
    for index, (entry, host) in enumerate(zip(entries, hosts, strict=True)):
        claims = (("PublicIP", host.public_ip), ("PublicIPv6", host.public_ipv6), ("Subnet", host.subnet.ipv4))
        for key, value in (*claims, ("IPv6Subnet", host.subnet.ipv6)):
            first = seen.setdefault(value, index) if value is not None else index
            if first != index:
                raise entry.refusal(key, f"already that of Hosts[{first}]", "give every host its own")


class FileStore:
    """The file as a Store; see the protocol overlay.stores.Store for what the methods promise."""

    exchanges = False

    def __init__(
        self,
        path: str,
        *,
        derive: Derive,
        addresses: Callable[[], Sequence[str]],
        report: Callable[[Refused], None],
    ) -> None:
        """Read the file once; raises Refused.

        `derive` returns the attributes that follow from a host's subnet and addresses; `addresses` returns this host's
        own, for the error when none of them is in the file.
        """
        self._path, self._derive, self._addresses, self._report = path, derive, addresses, report
        self._mark = _look(path)
        self._hosts = _read(path)
        self._cursor = 1
        self.heard = time.monotonic()

    @property
    def known(self) -> tuple[IPv4Address, ...]:
        """Public addresses of all hosts in the file, as it is now."""
        self._refresh()
        return tuple(host.public_ip for host in self._hosts.hosts)

    def moved(self) -> None:
        """Do nothing: the file is here."""

    async def read_config(self) -> str:
        """Return the member "Network" as it was when the file was first read."""
        return self._hosts.network_text

    async def leases(self) -> Snapshot:
        """Return one lease per host; none of them expires."""
        return self._snapshot()

    async def create(self, subnet: Subnet, attributes: Attributes) -> Lease | None:
        """Raise Unlisted: a host has the lease that is in the file, and this host's address is not in it."""
        own = str(attributes.public_ip)
        entry = f'{{"PublicIP": "{own}", "Subnet": "{subnet.ipv4}"}}'
        remedy = f'add {entry} to "Hosts" on every host, or choose another address with --iface or --public-ip'
        raise Unlisted(self.stranger(f"the PublicIP {own}"), where=self._path, remedy=remedy)

    def stranger(self, wanted: str) -> str:
        """Return the sentence that no host in the file has `wanted`, with the listed addresses and this host's own."""
        listed = ", ".join(map(str, self.known)) or "none"
        here = ", ".join(self._addresses()) or "none"
        return f"no host has {wanted} (listed: {listed}; this host has: {here})"

    async def replace(self, lease: Lease, attributes: Attributes) -> Lease | None:
        """Return the lease if the file has it with these attributes, else None."""
        wanted = (lease.subnet, attributes)
        return next((held for held in self._snapshot().leases if (held.subnet, held.attributes) == wanted), None)

    async def remove(self, lease: Lease) -> bool:
        """Raise Refused: only a person edits the file."""
        raise Refused(
            f"{lease.subnet} is not this network's", where=self._path, remedy="correct the file on every host"
        )

    async def watch(self, cursor: int) -> AsyncIterator[Update]:
        """Yield all leases whenever the file has been replaced by another valid one."""
        while True:
            self._refresh()
            if self._cursor != cursor:
                cursor = self._cursor
                yield self._snapshot()
            await asyncio.sleep(POLL)

    def _refresh(self) -> None:
        """Read a changed file; one that is gone or malformed is reported, and the last good one stays in use."""
        try:
            mark = _look(self._path)
            self.heard = time.monotonic()
            if mark == self._mark:
                return
            self._mark = mark
            fresh = _read(self._path)
        except Refused as problem:
            self._report(problem)
            return
        except StoreError as problem:
            self._report(Refused(str(problem)))
            return
        if fresh.config != self._hosts.config:
            remedy = "restart tulled on every host to use it"
            self._report(Refused("Network has changed", where=self._path, remedy=remedy))
        self._hosts = replace(self._hosts, hosts=fresh.hosts)
        self._cursor += 1

    def _snapshot(self) -> Snapshot:
        ordered = sorted(self._hosts.hosts, key=lambda host: host.subnet.key)
        held = (
            (one.subnet, self._derive(self._hosts.config, one.subnet, one.public_ip, one.public_ipv6))
            for one in ordered
        )
        return Snapshot(tuple(Lease(subnet, found, version=1) for subnet, found in held), self._cursor)


def _look(path: str) -> _Mark:
    try:
        status = Path(path).stat()
    except OSError as problem:
        remedy = 'write {"Network": {...}, "Hosts": [...]} there, the same on every host'
        raise unusable(problem, f"cannot be read: {problem.strerror}", where=path, remedy=remedy) from problem
    if not stat.S_ISREG(status.st_mode):  # a FIFO would hold up whoever opens it
        raise Refused("it is no regular file", where=path, remedy="put the hosts file there")
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: str) -> Hosts:
    try:
        with Path(path).open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as problem:
        what, remedy = f"cannot be read: {problem.strerror}", "see its permissions"
        raise unusable(problem, what, where=path, remedy=remedy) from problem
    if len(text) > LARGEST:
        raise Refused(f"larger than {LARGEST} bytes", where=path, remedy="it is not a hosts file")
    return parse(text, path)
