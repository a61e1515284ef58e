"""Reads, once, everything there is to know about one network on this host: lease, store, kernel, address book, agent.

What could not be read is in the survey as the sentence that says why, so that whoever looks at it decides on values alone.
Must not change anything, nor judge. Blind spot: it is not of one moment; what comes or goes meanwhile may be half in it.
"""

import asyncio
import io
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent import protocol
from agent import status as agent_status
from agent.status import Status
from cni.errors import CniError
from ipam import book, boot, disk
from ipam.claims import Reservation
from kernel import requests, sysctl
from kernel.entries import Link, LinkAddress, RouteEntry
from kernel.errors import KernelError
from kernel.network import Network
from lease import file as lease_file
from overlay import assembly, drift, drops, guard, interfaces, network, reconcile
from overlay.backends import Backend, Desired, Underlay, catalogue
from overlay.drift import Entries
from overlay.drops import Drops
from overlay.errors import Refused, Unavailable
from overlay.leases import Lease
from overlay.logs import Log
from overlay.network import NetworkConfig
from overlay.peers import Peers
from overlay.settings import DEFAULT_STORE, Settings
from overlay.stores import Snapshot, Store
from overlay.stores.sqlite import Clock
from overlay.subnets import Subnet

NOT_JOINED, JOIN = "this host has not joined a network", "tulle join, with the addresses of all hosts"
ANSWERING = 8.0
"""Seconds a store may take; its own deadlines are shorter."""
SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What tulled would want of the kernel now, and what it would still have to do, in the requests' words.

    `ways` has the link by which packets to each other host's subnet leave, `filters` what rp_filter is on each device of ours.
    """

    underlay: Underlay
    mtu: int
    desired: Desired
    differences: tuple[str, ...]
    ways: Mapping[Subnet, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Book:
    """A lease's address book: where it is, and its reservations, vacant ones among them."""

    path: str
    reservations: tuple[Reservation, ...] = ()
    problem: str = ""

    @property
    def held(self) -> tuple[Reservation, ...]:
        """Reservations that somebody holds."""
        return tuple(each for each in self.reservations if each.address is not None and not each.vacant)


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was seen; `...problem` is empty when there was none."""

    settings: Settings
    lease: lease_file.Lease | None = None
    lease_problem: str = ""
    config: NetworkConfig | None = None
    leases: tuple[Lease, ...] = ()
    refused: tuple[str, ...] = ()
    store_problem: str = ""
    plan: Plan | None = None
    plan_problem: str = ""
    links: tuple[Link, ...] = ()
    addresses: tuple[LinkAddress, ...] = ()
    routes: tuple[RouteEntry, ...] = ()
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    book: Book | None = None
    agent: Status | None = None
    drops: Drops | None = None
    """What the tunnel's guard dropped; None where none stands."""

    @property
    def own(self) -> Lease | None:
        """This host's lease in the store: the one whose subnet the lease file has."""
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
        """Names of the tunnel's devices, as they should be."""
        wanted = self.plan.desired if self.plan else Desired()
        return (*(one.device.name for one in wanted.tunnels), *(one.name for one in wanted.pipes))


def look(settings: Settings) -> Survey:
    """Survey one network; raises KernelError when the kernel does not even list its links."""
    with Network() as kernel:
        found = _with_lease(Survey(settings))
        found = _with_store(found, kernel)
        found = replace(
            found, links=kernel.links(), addresses=kernel.addresses(), routes=kernel.routes(), sysctls=_sysctls()
        )
        found = _with_plan(found, kernel)
        return replace(found, agent=_agent(), drops=_drops(found))


def _drops(found: Survey) -> Drops | None:
    wanted = found.plan.desired.guard if found.plan else None
    with suppress(KernelError):  # tulled may be replacing it
        return drops.read(guard.name(wanted.name)) if wanted else None
    return None


def _with_lease(found: Survey) -> Survey:
    try:
        lease = lease_file.read(found.settings.subnet_file)
    except lease_file.Unavailable as problem:
        return replace(found, lease_problem=str(problem))
    return replace(found, lease=lease, book=_book(f"{book.BOOKS}/{lease.key}"))


def _book(path: str) -> Book:
    if not Path(path).is_dir():
        return Book(path)
    try:
        with disk.locked(path, lambda _: None, create=False, reclaim=True) as directory:
            return Book(path, directory.reservations())
    except CniError as problem:
        return Book(path, problem=str(problem))


def _with_store(found: Survey, kernel: Network) -> Survey:
    said = io.StringIO()
    log = Log(said, clock=lambda: "")
    settings = found.settings
    try:
        config, leases = asyncio.run(_asked(settings, kernel, log))
        parsed = network.parse(config, f"network config in {settings.store}")
        catalogue.require_known(parsed)
    except TimeoutError:
        return replace(found, store_problem=f"{settings.name} has not answered for {ANSWERING:.0f} s")
    except (Refused, Unavailable) as problem:
        return replace(found, store_problem=str(problem))
    refused = tuple(line for line in said.getvalue().splitlines() if "entry left out" in line)
    return replace(found, config=parsed, leases=leases, refused=refused)


async def _asked(settings: Settings, kernel: Network, log: Log) -> tuple[str, tuple[Lease, ...]]:
    """Open the store, ask it and close it, all in one event loop: a connection cannot be closed in another."""
    with ExitStack() as stack:
        return await _ask(open_store(settings, kernel, stack, log))


def open_store(settings: Settings, kernel: Network, stack: ExitStack, log: Log) -> Store:
    """Open the store; an embedded one that is not there must not be made by who only looks."""
    if settings.store_kind == "sqlite" and not Path(settings.store_path).exists():
        if settings.store == DEFAULT_STORE:
            raise Refused(NOT_JOINED, remedy=JOIN)
        raise Refused(
            "there is no such file", where=settings.store, remedy="see that this is what tulled has for --store"
        )
    clock = Clock(boot.current().decode(), lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    return assembly.open_store(settings, kernel, clock, stack, log)


async def _ask(store: Store) -> tuple[str, tuple[Lease, ...]]:
    async with asyncio.timeout(ANSWERING):
        return await store.read_config(), (await store.leases()).leases


def _with_plan(found: Survey, kernel: Network) -> Survey:
    """Add what tulled would want, by its own deciders."""
    config, own = found.config, found.own
    if config is None or own is None:
        return replace(found, plan_problem="without a lease that is in the store nothing is known of the tunnel")
    try:
        underlay = interfaces.choose(kernel, _wish(found), dual=config.ipv6 is not None)
        backend: Backend = catalogue.build(config, underlay, {})
        desired = backend.desired(own, found.peers, reconcile.reach(kernel))
        plan = Plan(underlay, backend.mtu, desired, tuple(_differences(found, desired, kernel)), _ways(found, kernel))
        found = replace(found, plan=plan)
        return replace(found, plan=replace(plan, filters={name: _filter(name) for name in found.devices}))
    except (Refused, Unavailable, KernelError) as problem:
        return replace(found, plan_problem=str(problem))


def _wish(found: Survey) -> interfaces.Wish:
    """Give the wish of the settings; without one, the address the store says is ours makes the choice."""
    chosen, own = found.settings, found.own
    wish = interfaces.Wish(
        chosen.iface, chosen.iface_regex, chosen.iface_can_reach, chosen.public_ip, chosen.public_ipv6
    )
    here = {held.address.ip for held in found.addresses}
    if wish == interfaces.Wish() and own is not None and own.attributes.public_ip in here:
        return replace(wish, public_ip=str(own.attributes.public_ip))
    return wish


def _differences(found: Survey, desired: Desired, kernel: Network) -> list[str]:
    """Return what tulled would change now; devices by their names."""
    links = {link.name: link for link in found.links}
    wanted: list[requests.Request] = []
    for tunnel in desired.tunnels:
        link, parent = links.get(tunnel.device.name), links.get(tunnel.device.parent)
        wanted += drift.link_requests(tunnel, link, parent.index if parent else 0)
        if link is not None:
            wanted += drift.entry_requests(tunnel, link.index, _entries(kernel, link.index))
    absent = [f"creating {pipe.name}" for pipe in desired.pipes if pipe.name not in links]
    for pipe in desired.pipes:
        if pipe.name in links:
            wanted += drift.pipe_requests(pipe, links[pipe.name], _entries(kernel, links[pipe.name].index))
    if desired.direct is not None:
        wanted += drift.direct_requests(desired.direct, {name: one.index for name, one in links.items()}, found.routes)
    return [*absent, *(_named(request.what(), links) for request in wanted)]


def _ways(found: Survey, kernel: Network) -> dict[Subnet, str]:
    """Look up the way to the first container of every other host."""
    names = {link.index: link.name for link in found.links}
    ways = {peer.subnet: kernel.route_to(peer.subnet.ipv4[1]) for peer in found.peers}
    return {subnet: names.get(way.link, "") if way else "" for subnet, way in ways.items()}


def _filter(device: str) -> str:
    """Return rp_filter as the kernel applies it: the larger of the device's and everybody's (ip-sysctl)."""
    return max(sysctl.read(f"net/ipv4/conf/{name}/rp_filter") or "0" for name in ("all", device))


def _named(words: str, links: Mapping[str, Link]) -> str:
    """Return a request's words with the names of links for their numbers."""
    names = {str(link.index): name for name, link in links.items()}
    before = ""
    told = []
    for word in words.split(" "):
        told.append(names.get(word, word) if before == "link" else word)
        before = word
    return " ".join(told)


def _entries(kernel: Network, link: int) -> Entries:
    return Entries(kernel.addresses(link), kernel.neighbours(link), kernel.fdb(link), kernel.routes(link=link))


def _sysctls() -> dict[str, str | None]:
    return {key: sysctl.read(key) for key in SYSCTLS}


def _agent() -> Status | None:
    try:
        return agent_status.ask(Path(protocol.PATH))
    except OSError:
        return None
