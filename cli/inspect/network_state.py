"""Reads, once, everything there is to know about one network on this host: lease, store, kernel, address book, agent.

What could not be read is in the result as the text that says why. The parts are not read at the same moment, so a
change meanwhile may be in one and not in another.
"""

import asyncio
import io
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent import protocol
from agent import status as agent_status
from agent.status import Status
from cni.errors import CniError
from ipam import boot, disk
from ipam import location as book
from ipam.claims import Reservation
from kernel import sysctl
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from kernel.netlink.objects import Address, Link, Route
from lease import file as lease_file
from overlay import bootstrap
from overlay.backends import Backend, Desired, Underlay, registry
from overlay.config import network
from overlay.config.network import NetworkConfig
from overlay.config.settings import DEFAULT_STORE, Settings
from overlay.datapath import apply, diff
from overlay.datapath import underlay as interfaces
from overlay.datapath.diff import DeviceState
from overlay.errors import Refused, Unavailable
from overlay.firewall import drop_counters as drops
from overlay.firewall import tunnel_filter
from overlay.firewall.drop_counters import Drops
from overlay.monitoring.log import Log
from overlay.stores import Snapshot, Store
from overlay.stores.sqlite import Clock
from overlay.subnet.allocation import Subnet
from overlay.subnet.lease import Lease
from overlay.subnet.peers import Peers

if TYPE_CHECKING:
    from kernel.netlink import requests

NOT_JOINED, JOIN = "this host has not joined a network", "tulle join, with the addresses of all hosts"
ANSWERING = 8.0
"""Seconds that a store may take. Its own deadlines are shorter."""
SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
)


@dataclass(frozen=True, slots=True)
class DesiredNow:
    """What tulled would want of the kernel now."""

    underlay: Underlay
    mtu: int
    desired: Desired
    differences: tuple[str, ...]  # what it would still have to do, in the requests' words
    ways: Mapping[Subnet, str] = field(default_factory=dict)  # link by which packets to each other host's subnet leave
    filters: Mapping[str, str] = field(default_factory=dict)  # value of rp_filter on each of our devices


@dataclass(frozen=True, slots=True)
class AddressBook:
    """A lease's address book."""

    path: str
    reservations: tuple[Reservation, ...] = ()  # vacant ones included
    problem: str = ""  # why it cannot be read, or empty

    @property
    def held(self) -> tuple[Reservation, ...]:
        """The reservations of addresses in use."""
        return tuple(each for each in self.reservations if each.address is not None and not each.vacant)


@dataclass(frozen=True, slots=True)
class NetworkState:
    """Everything that was read."""

    settings: Settings
    lease: lease_file.Lease | None = None  # None: see lease_problem
    lease_problem: str = ""  # why there is no lease, or empty
    config: NetworkConfig | None = None  # None: see store_problem
    leases: tuple[Lease, ...] = ()  # of all hosts
    refused: tuple[str, ...] = ()  # entries of the store that cannot be read
    store_problem: str = ""  # why the store does not answer, or empty
    plan: DesiredNow | None = None  # None: see plan_problem
    plan_problem: str = ""  # why there is no plan, or empty
    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    book: AddressBook | None = None
    agent: Status | None = None
    drops: Drops | None = None
    """What the tunnel's filter dropped; None without a filter."""

    @property
    def own(self) -> Lease | None:
        """This host's lease in the store: the one whose subnet is in the lease file."""
        wanted = self.lease.subnets if self.lease else ()
        return next((one for one in self.leases if one.subnet.networks == wanted), None)

    @property
    def peers(self) -> tuple[Lease, ...]:
        """The leases of other hosts."""
        own = self.own
        known = Peers()
        known.apply(Snapshot(self.leases, 0))
        return known.others(own.subnet, own.attributes.public_ip) if own else ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The names that the tunnel's devices should have."""
        wanted = self.plan.desired if self.plan else Desired()
        return (*(one.device.name for one in wanted.tunnels), *(one.name for one in wanted.pipes))


def read(settings: Settings) -> NetworkState:
    """Return the state of one network. Raises KernelError when the kernel does not even list its links."""
    with Handle() as kernel:
        found = _with_lease(NetworkState(settings))
        found = _with_store(found, kernel)
        found = replace(
            found, links=kernel.links(), addresses=kernel.addresses(), routes=kernel.routes(), sysctls=_sysctls()
        )
        found = _with_plan(found, kernel)
        return replace(found, agent=_agent(), drops=_drops(found))


def _drops(found: NetworkState) -> Drops | None:
    wanted = found.plan.desired.guard if found.plan else None
    with suppress(KernelError):  # tulled may be replacing it at this moment
        return drops.read(tunnel_filter.name(wanted.name)) if wanted else None
    return None


def _with_lease(found: NetworkState) -> NetworkState:
    try:
        lease = lease_file.read(found.settings.subnet_file)
    except lease_file.Unavailable as problem:
        return replace(found, lease_problem=str(problem))
    return replace(found, lease=lease, book=_book(f"{book.BOOKS}/{lease.key}"))


def _book(path: str) -> AddressBook:
    if not Path(path).is_dir():
        return AddressBook(path)
    try:
        with disk.locked(path, lambda _: None, create=False, reclaim=True) as directory:
            return AddressBook(path, directory.reservations())
    except CniError as problem:
        return AddressBook(path, problem=str(problem))


def _with_store(found: NetworkState, kernel: Handle) -> NetworkState:
    said = io.StringIO()
    log = Log(said, clock=lambda: "")
    settings = found.settings
    try:
        config, leases = asyncio.run(_asked(settings, kernel, log))
        parsed = network.parse(config, f"network config in {settings.store}")
        registry.require_known(parsed)
    except TimeoutError:
        return replace(found, store_problem=f"{settings.name} has not answered for {ANSWERING:.0f} s")
    except (Refused, Unavailable) as problem:
        return replace(found, store_problem=str(problem))
    refused = tuple(line for line in said.getvalue().splitlines() if "entry left out" in line)
    return replace(found, config=parsed, leases=leases, refused=refused)


async def _asked(settings: Settings, kernel: Handle, log: Log) -> tuple[str, tuple[Lease, ...]]:
    """Open the store, ask it and close it, all in one event loop: a connection cannot be closed in another one."""
    with ExitStack() as stack:
        return await _ask(open_store(settings, kernel, stack, log))


def open_store(settings: Settings, kernel: Handle, stack: ExitStack, log: Log) -> Store:
    """Open the store. An embedded one that does not exist is not made."""
    if settings.store_kind == "sqlite" and not Path(settings.store_path).exists():
        if settings.store == DEFAULT_STORE:
            raise Refused(NOT_JOINED, remedy=JOIN)
        raise Refused(
            "there is no such file", where=settings.store, remedy="see that this is what tulled has for --store"
        )
    clock = Clock(boot.current().decode(), lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    return bootstrap.open_store(settings, kernel, clock, stack, log)


async def _ask(store: Store) -> tuple[str, tuple[Lease, ...]]:
    async with asyncio.timeout(ANSWERING):
        return await store.read_config(), (await store.leases()).leases


def _with_plan(found: NetworkState, kernel: Handle) -> NetworkState:
    """Add what tulled would want, computed by its own code."""
    config, own = found.config, found.own
    if config is None or own is None:
        return replace(found, plan_problem="without a lease that is in the store nothing is known of the tunnel")
    try:
        underlay = interfaces.choose(kernel, _wish(found), dual=config.ipv6 is not None)
        backend: Backend = registry.build(config, underlay, {})
        desired = backend.desired(own, found.peers, apply.reach(kernel))
        plan = DesiredNow(
            underlay, backend.mtu, desired, tuple(_differences(found, desired, kernel)), _ways(found, kernel)
        )
        found = replace(found, plan=plan)
        return replace(found, plan=replace(plan, filters={name: _filter(name) for name in found.devices}))
    except (Refused, Unavailable, KernelError) as problem:
        return replace(found, plan_problem=str(problem))


def _wish(found: NetworkState) -> interfaces.InterfaceSelection:
    """Return the interface selection of the settings; without one, the address that the store has for this host."""
    chosen, own = found.settings, found.own
    wish = interfaces.InterfaceSelection(
        chosen.iface, chosen.iface_regex, chosen.iface_can_reach, chosen.public_ip, chosen.public_ipv6
    )
    here = {held.address.ip for held in found.addresses}
    if wish == interfaces.InterfaceSelection() and own is not None and own.attributes.public_ip in here:
        return replace(wish, public_ip=str(own.attributes.public_ip))
    return wish


def _differences(found: NetworkState, desired: Desired, kernel: Handle) -> list[str]:
    """Return what tulled would change now, with the names of devices."""
    links = {link.name: link for link in found.links}
    wanted: list[requests.Request] = []
    for tunnel in desired.tunnels:
        link, parent = links.get(tunnel.device.name), links.get(tunnel.device.parent)
        wanted += diff.link_requests(tunnel, link, parent.index if parent else 0)
        if link is not None:
            wanted += diff.entry_requests(tunnel, link.index, _entries(kernel, link.index))
    absent = [f"creating {pipe.name}" for pipe in desired.pipes if pipe.name not in links]
    for pipe in desired.pipes:
        if pipe.name in links:
            wanted += diff.pipe_requests(pipe, links[pipe.name], _entries(kernel, links[pipe.name].index))
    if desired.direct is not None:
        wanted += diff.direct_requests(desired.direct, {name: one.index for name, one in links.items()}, found.routes)
    return [*absent, *(_named(request.what(), links) for request in wanted)]


def _ways(found: NetworkState, kernel: Handle) -> dict[Subnet, str]:
    """Return the route to the first container of every other host."""
    names = {link.index: link.name for link in found.links}
    ways = {peer.subnet: kernel.route_to(peer.subnet.ipv4[1]) for peer in found.peers}
    return {subnet: names.get(way.link, "") if way else "" for subnet, way in ways.items()}


def _filter(device: str) -> str:
    """Return rp_filter as the kernel applies it: the larger of the device's value and that of `all` (ip-sysctl.rst)."""
    return max(sysctl.read(f"net/ipv4/conf/{name}/rp_filter") or "0" for name in ("all", device))


def _named(words: str, links: Mapping[str, Link]) -> str:
    """Return a request's words with the names of links instead of their numbers."""
    names = {str(link.index): name for name, link in links.items()}
    before = ""
    told = []
    for word in words.split(" "):
        told.append(names.get(word, word) if before == "link" else word)
        before = word
    return " ".join(told)


def _entries(kernel: Handle, link: int) -> DeviceState:
    return DeviceState(kernel.addresses(link), kernel.neighbours(link), kernel.fdb(link), kernel.routes(link=link))


def _sysctls() -> dict[str, str | None]:
    return {key: sysctl.read(key) for key in SYSCTLS}


def _agent() -> Status | None:
    try:
        return agent_status.ask(Path(protocol.PATH))
    except OSError:
        return None
