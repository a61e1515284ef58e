"""Makes the kernel be what a backend wants, again and again: reads, compares through overlay.drift, sends the difference.

Everything is idempotent and everything is attempted: one refused entry does not keep the others from being set.
Must not decide anything itself; what fails is reported and is tried again with the next call.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from kernel import requests, sysctl
from kernel.errors import KernelError
from kernel.network import Network
from overlay import drift
from overlay.backends import Desired, Device, Direct, IPAddress, Pipe, Reach, Tunnel
from overlay.carriers import Carriers
from overlay.drift import Entries
from overlay.errors import Unavailable

HIGHEST_MTU = 65_535
"""Bytes: what no IPv4 packet exceeds."""

_DELETIONS = (
    requests.DeleteLink,
    requests.DeleteAddress,
    requests.DeleteRoute,
    requests.DeleteNeighbour,
    requests.DeleteFdb,
)


@dataclass(frozen=True, slots=True)
class Report:
    """What one pass changed, in the requests' words, what it could not, and the smallest MTU of the devices.

    `mtu` is in bytes: 0 when a device is missing, HIGHEST_MTU when none is wanted.
    """

    changed: tuple[str, ...]
    failed: tuple[str, ...]
    mtu: int


def converge(network: Network, desired: Desired, carriers: Carriers) -> Report:
    """Bring everything in line; never raises KernelError."""
    changed: list[str] = []
    failed: list[str] = []
    mtus: list[int] = []
    for tunnel in desired.tunnels:
        try:
            _device(network, tunnel, changed)
            mtus.append(_entries(network, tunnel, changed, failed))
        except KernelError as problem:
            failed.append(str(problem))
    for pipe in desired.pipes:
        try:
            carriers.greet(pipe)
            changed += carriers.ensure(network, pipe)
            mtus.append(_pipe(network, pipe, changed, failed))
        except (KernelError, Unavailable) as problem:
            failed.append(str(problem))
    if desired.direct is not None:
        _direct(network, desired.direct, changed, failed)
    return Report(
        tuple(changed), tuple(failed), min(mtus, default=0 if desired.tunnels or desired.pipes else HIGHEST_MTU)
    )


def advance(network: Network, before: Desired, after: Desired) -> Report | None:
    """Bring what stands as `before` to `after` without reading it anew; None where that takes a whole look, nothing is done then.

    Never raises KernelError; a refused request is in the report, and means that `before` does not stand any more.
    """
    if before.pipes or after.pipes or before.direct != after.direct or len(before.tunnels) != len(after.tunnels):
        return None
    wanted: list[requests.Request] = []
    mtus: list[int] = []
    for old, new in zip(before.tunnels, after.tunnels, strict=True):
        link = network.link(new.device.name)
        steps = drift.steps(old, new, link.index) if link is not None else None
        if link is None or steps is None:
            return None
        wanted += steps
        mtus.append(link.mtu)
    changed: list[str] = []
    failed: list[str] = []
    _settle(wanted, network.attempt(wanted), changed, failed)
    return Report(tuple(changed), tuple(failed), min(mtus, default=HIGHEST_MTU))


def reach(network: Network) -> Reach:
    """Give the kernel's own answer to which link an address is on; one look-up for each address asked about."""
    names: dict[int, str] = {}

    def look(address: IPAddress) -> str:
        way = network.route_to(address)
        if way is None or way.gateway is not None or way.kind != "unicast":
            return ""
        if way.link not in names:
            link = network.link(way.link)
            names[way.link] = link.name if link else ""
        return names[way.link]

    return look


def kept_macs(network: Network, devices: Sequence[Device]) -> dict[str, str]:
    """Give the MACs of the devices that exist already and can stay, by name; peers know them (contract 5.1)."""
    kept = {}
    for device in devices:
        link, parent = network.link(device.name), network.link(device.parent)
        if link is not None and parent is not None and drift.compatible(device, link, parent.index):
            kept[device.name] = link.mac
    return kept


def _device(network: Network, tunnel: Tunnel, changed: list[str]) -> None:
    device = tunnel.device
    parent = network.link(device.parent)
    if parent is None:
        raise KernelError(errno.ENODEV, f"finding {device.parent}, the interface below {device.name}")
    wanted = drift.link_requests(tunnel, network.link(device.name), parent.index)
    if wanted:
        network.apply(*wanted)
        _refuse_router_advertisements(device.name)
        changed += [request.what() for request in wanted]


def _entries(network: Network, tunnel: Tunnel, changed: list[str], failed: list[str]) -> int:
    link = network.link(tunnel.device.name)
    if link is None:
        raise KernelError(errno.ENODEV, f"finding {tunnel.device.name} after creating it")
    wanted = drift.entry_requests(tunnel, link.index, _found(network, link.index))
    _settle(wanted, network.attempt(wanted), changed, failed)
    return link.mtu


def _found(network: Network, link: int) -> Entries:
    return Entries(
        addresses=network.addresses(link),
        neighbours=network.neighbours(link),
        fdb=network.fdb(link),
        routes=network.routes(link=link),
    )


def _pipe(network: Network, pipe: Pipe, changed: list[str], failed: list[str]) -> int:
    link = network.link(pipe.name)
    if link is None:
        raise KernelError(errno.ENODEV, f"finding {pipe.name}, which its carrier should have made")
    wanted = drift.pipe_requests(pipe, link, _found(network, link.index))
    _refuse_router_advertisements(pipe.name)
    _settle(wanted, network.attempt(wanted), changed, failed)
    return pipe.mtu


def _direct(network: Network, direct: Direct, changed: list[str], failed: list[str]) -> None:
    """Bring routes by other hosts in line; those by a link that is gone are reported, the others still set."""
    try:
        links = {name: link.index for name in {name for *_, name in direct.routes} if (link := network.link(name))}
        gone = sorted({name for *_, name in direct.routes} - links.keys())
        failed += [f"finding {name}, the link to other hosts: no such device" for name in gone]
        usable = Direct(frozenset(one for one in direct.routes if one[2] in links), direct.networks)
        wanted = drift.direct_requests(usable, links, network.routes())
        _settle(wanted, network.attempt(wanted), changed, failed)
    except KernelError as problem:
        failed.append(str(problem))


def _settle(
    wanted: Sequence[requests.Request],
    answers: Sequence[KernelError | None],
    changed: list[str],
    failed: list[str],
) -> None:
    for request, problem in zip(wanted, answers, strict=True):
        if problem is None:
            changed.append(request.what())
        elif not (problem.gone and isinstance(request, _DELETIONS)):  # else somebody was faster
            failed.append(str(problem))


def _refuse_router_advertisements(device: str) -> None:
    """Keep the device from taking addresses from the wire; absent where IPv6 is off, which is as good (contract 5.1)."""
    try:
        sysctl.ensure(f"net/ipv6/conf/{device}/accept_ra", "0")
    except OSError:
        return
