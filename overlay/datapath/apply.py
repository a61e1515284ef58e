"""Brings the kernel to the state a backend wants: reads, compares (overlay.datapath.diff), sends the difference.

Every request can be repeated without harm, and every request is tried: one that the kernel refuses does not keep the
others from being set. What failed is in the report and is tried again in the next call.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from kernel import sysctl
from kernel.errors import KernelError
from kernel.netlink import requests
from kernel.netlink.handle import Handle
from overlay.backends import Desired, GatewayRoutes, L3Device, OnLinkLookup, VxlanDevice, VxlanIdentity
from overlay.datapath import diff
from overlay.datapath.diff import DeviceState
from overlay.datapath.l3_device import L3Devices
from overlay.errors import Unavailable
from system.ip import IPAddress

HIGHEST_MTU = 65_535
"""Bytes no IPv4 packet exceeds (RFC 791): an MTU that limits nothing."""

_DELETIONS = (
    requests.DeleteLink,
    requests.DeleteAddress,
    requests.DeleteRoute,
    requests.DeleteNeighbour,
    requests.DeleteFdb,
)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one pass changed, and what it could not change."""

    changed: tuple[str, ...]
    """What was changed, in the words of the requests."""
    failed: tuple[str, ...]
    """What the kernel refused, and why."""
    mtu: int
    """The smallest MTU of the devices in bytes: 0 when a device is missing, HIGHEST_MTU when none is wanted."""


def full_sync(network: Handle, desired: Desired, carriers: L3Devices) -> SyncReport:
    """Compare everything with the kernel and change what differs; never raises KernelError."""
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
            carriers.trigger_handshake(pipe)
            changed += carriers.ensure(network, pipe)
            mtus.append(_pipe(network, pipe, changed, failed))
        except (KernelError, Unavailable) as problem:
            failed.append(str(problem))
    if desired.direct is not None:
        _direct(network, desired.direct, changed, failed)
    return SyncReport(
        tuple(changed), tuple(failed), min(mtus, default=0 if desired.tunnels or desired.pipes else HIGHEST_MTU)
    )


def incremental_sync(network: Handle, before: Desired, after: Desired) -> SyncReport | None:
    """Change the kernel from `before`, which must be its state now, to `after`, without reading it.

    Return None, with nothing done, where more than the peers of the tunnels differs: that takes a full sync. Never
    raises KernelError; a refused request is in the report, and means that the kernel's state was not `before`.
    """
    if before.pipes or after.pipes or before.direct != after.direct or len(before.tunnels) != len(after.tunnels):
        return None
    wanted: list[requests.Request] = []
    mtus: list[int] = []
    for old, new in zip(before.tunnels, after.tunnels, strict=True):
        link = network.link(new.device.name)
        steps = diff.incremental_requests(old, new, link.index) if link is not None else None
        if link is None or steps is None:
            return None
        wanted += steps
        mtus.append(link.mtu)
    changed: list[str] = []
    failed: list[str] = []
    _settle(wanted, network.attempt(wanted), changed, failed)
    return SyncReport(tuple(changed), tuple(failed), min(mtus, default=HIGHEST_MTU))


def reach(network: Handle) -> OnLinkLookup:
    """Return a function that asks the kernel which link an address is on directly; one look-up per address."""
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


def kept_macs(network: Handle, devices: Sequence[VxlanIdentity]) -> dict[str, str]:
    """Return, by name, the MACs of devices that exist and can stay: peers know them (docs/reference/flannel.md 5.1)."""
    kept = {}
    for device in devices:
        link, parent = network.link(device.name), network.link(device.parent)
        if link is not None and parent is not None and diff.compatible(device, link, parent.index):
            kept[device.name] = link.mac
    return kept


def _device(network: Handle, tunnel: VxlanDevice, changed: list[str]) -> None:
    device = tunnel.device
    parent = network.link(device.parent)
    if parent is None:
        raise KernelError(errno.ENODEV, f"finding {device.parent}, the interface below {device.name}")
    wanted = diff.link_requests(tunnel, network.link(device.name), parent.index)
    if wanted:
        network.apply(*wanted)
        _refuse_router_advertisements(device.name)
        changed += [request.what() for request in wanted]


def _entries(network: Handle, tunnel: VxlanDevice, changed: list[str], failed: list[str]) -> int:
    link = network.link(tunnel.device.name)
    if link is None:
        raise KernelError(errno.ENODEV, f"finding {tunnel.device.name} after creating it")
    wanted = diff.entry_requests(tunnel, link.index, _found(network, link.index))
    _settle(wanted, network.attempt(wanted), changed, failed)
    return link.mtu


def _found(network: Handle, link: int) -> DeviceState:
    return DeviceState(
        addresses=network.addresses(link),
        neighbours=network.neighbours(link),
        fdb=network.fdb(link),
        routes=network.routes(link=link),
    )


def _pipe(network: Handle, pipe: L3Device, changed: list[str], failed: list[str]) -> int:
    link = network.link(pipe.name)
    if link is None:
        raise KernelError(errno.ENODEV, f"finding {pipe.name} after creating it")
    wanted = diff.pipe_requests(pipe, link, _found(network, link.index))
    _refuse_router_advertisements(pipe.name)
    _settle(wanted, network.attempt(wanted), changed, failed)
    return pipe.mtu


def _direct(network: Handle, direct: GatewayRoutes, changed: list[str], failed: list[str]) -> None:
    """Set the routes by other hosts; those through a link that is gone are reported, the others are still set."""
    try:
        links = {name: link.index for name in {name for *_, name in direct.routes} if (link := network.link(name))}
        gone = sorted({name for *_, name in direct.routes} - links.keys())
        failed += [f"finding {name}, the link to other hosts: no such device" for name in gone]
        usable = GatewayRoutes(frozenset(one for one in direct.routes if one[2] in links), direct.networks)
        wanted = diff.direct_requests(usable, links, network.routes())
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
        elif not (problem.gone and isinstance(request, _DELETIONS)):  # else another program deleted it before us
            failed.append(str(problem))


def _refuse_router_advertisements(device: str) -> None:
    """Turn router advertisements off on a device; where IPv6 is off there are none (docs/reference/flannel.md 5.1)."""
    try:
        sysctl.ensure(f"net/ipv6/conf/{device}/accept_ra", "0")
    except OSError:
        return
