"""The verbs of host-local.

ADD and STATUS need the lease. DEL, CHECK and GC find reservations by the attachment, and never read it.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface, ip_network

from cni import valid_attachments
from cni.errors import CniError, Code
from cni.types import Address, Dns, Result
from ipam import allocator, claims, config, disk, location, resolvconf
from lease import file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cni.request import Request
    from ipam.allocator import Allotment
    from ipam.claims import Claim
    from ipam.config import Settings
    from ipam.disk import Directory
    from system.ip import IPAddress


def add(request: Request) -> Result:
    """Reserve one address per range set; the lock is held all the time (docs/reference/cni.md 3.5).

    Raises CniError 11 without a usable lease, 5 for the disk, 7 for the configuration, and what `allocate` raises.
    After an error there is no reservation.
    """
    settings, wishes = config.parse(request), config.requested(request)
    dns = resolvconf.read(settings.resolv_conf) if settings.resolv_conf else Dns()
    settings, home = _resolved(settings)
    claim = location.claim(settings, request.container_id, request.ifname)
    try:
        with disk.locked(home, request.log, create=True, reclaim=settings.reclaim) as directory:
            allotted = allocator.allocate(settings.sets, wishes, directory, claim)
    except CniError as refused:
        if whose := _elsewhere(settings, wishes):
            raise CniError(refused.code, refused.msg, f"{whose}; {refused.remedy}", details=refused.details) from None
        raise
    return Result(ips=tuple(_entry(each) for each in allotted), routes=settings.routes, dns=dns)


def delete(request: Request) -> None:
    """Release the attachment's addresses; none is success.

    Every book is tried, then all failures are raised as one group.
    """
    settings = config.parse(request)
    claim = location.claim(settings, request.container_id, request.ifname)
    _in_every_place(request, settings, lambda directory: _release(directory, _held(directory, claim)))


def check(request: Request) -> None:
    """Raise CniError 102 unless the attachment has an address.

    Which one is not compared (docs/reference/cni.md 3.5).
    """
    settings = config.parse(request)
    claim = location.claim(settings, request.container_id, request.ifname)
    for place in location.places(settings):
        with disk.locked(place, request.log, create=False) as directory:
            if _held(directory, claim):
                return
    raise CniError(
        Code.CHECK_FAILED,
        f"host-local: Failed to find address added by container {request.container_id}",
        f"no reservation names {request.ifname} of network {settings.name}: remove the container's network and add it again",
    )


def status(request: Request) -> None:
    """Raise CniError 50 if the next ADD would fail: no lease, a directory that cannot be written, a full set.

    It makes the directory, as ADD would, to learn whether that is possible.
    """
    settings = config.parse(request)
    try:
        settings, home = _resolved(settings)
        with disk.locked(home, request.log, create=True, reclaim=settings.reclaim) as directory:
            _require_room(settings, directory)
    except CniError as refusal:
        raise CniError(Code.NOT_AVAILABLE, refusal.msg, refusal.remedy) from refusal


def collect(request: Request) -> None:
    """Release the network's addresses whose attachment the runtime does not list any more (GC.

    CNI specification 1.1.0).

    Without a list nothing is released. Failures are raised as one group.
    """
    settings = config.parse(request)
    valid = valid_attachments.valid(request.config)
    if valid is None:
        return
    network = location.owner(settings)
    _in_every_place(
        request, settings, lambda directory: _release(directory, claims.stale(directory.reservations(), valid, network))
    )


VERBS = {"ADD": add, "DEL": delete, "CHECK": check, "STATUS": status, "GC": collect}


def _resolved(settings: Settings) -> tuple[Settings, str]:
    """Return the settings, completed by the lease if one is configured, and the directory for reservations.

    Raises CniError 11 without a usable lease, because the daemon may be about to write it.
    """
    if not settings.subnet_file:
        return settings, location.home(settings, None)
    try:
        lease = file.read(settings.subnet_file)
    except file.Unavailable as reason:
        raise CniError(Code.TRY_AGAIN_LATER, f"lease file {reason.path}: {reason.reason}", reason.remedy) from reason
    return config.with_lease(settings, lease), location.home(settings, lease)


def _elsewhere(settings: Settings, wishes: Sequence[IPAddress]) -> str:
    """Return the other host's subnet that contains the first requested address, or empty.

    Only an address that is in the network but not in this host's subnet is looked for.
    """
    if not settings.subnet_file:
        return ""
    try:
        lease = file.read(settings.subnet_file)
    except file.Unavailable:
        return ""
    for own in lease.subnets:
        networks = lease.networks if own.version == 4 else lease.ipv6_networks
        for wish in wishes:
            if wish.version == own.version and wish not in own and any(wish in network for network in networks):
                theirs = ip_network((int(wish), own.prefixlen), strict=False)
                return f"{wish} is in {theirs}, another host's subnet (tulle status says whose)"
    return ""


def _entry(allotment: Allotment) -> Address:
    kind = IPv4Interface if allotment.address.version == 4 else IPv6Interface
    return Address(kind((int(allotment.address), allotment.source.subnet.prefixlen)), allotment.source.gateway)


def _held(directory: Directory, claim: Claim) -> tuple[claims.Reservation, ...]:
    """Return the reservations of `claim`. If the index knows none, every file is read."""
    return claims.held(directory.claimed(claim), claim) or claims.held(directory.reservations(), claim)


def _release(directory: Directory, reservations: tuple[claims.Reservation, ...]) -> None:
    for reservation in reservations:
        directory.release(reservation)


def _in_every_place(request: Request, settings: Settings, act: Callable[[Directory], None]) -> None:
    failures: list[CniError] = []
    for place in location.places(settings):
        try:
            with disk.locked(place, request.log, create=False, reclaim=settings.reclaim) as directory:
                act(directory)
        except CniError as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{request.command} of network {settings.name}", failures)


def _require_room(settings: Settings, directory: Directory) -> None:
    if not directory.writable:
        raise CniError(Code.NOT_AVAILABLE, f"address book {directory.location}: not writable", "mount it read-write")
    taken = claims.taken(directory.reservations())
    for index, range_set in enumerate(settings.sets):
        if allocator.free(range_set, taken) <= 0:
            raise CniError(
                Code.NOT_AVAILABLE,
                f"no IP addresses available in range set: {range_set}",
                f"range set {index} is full, {directory.location} names the holders: remove containers or widen the range",
            )
