"""Reads the configuration of host-local into values that are already valid (docs/reference/cni.md 3.1).

The lease completes what the configuration leaves open (`with_lease`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv6Interface

from cni import addresses, args, results, versions
from cni.errors import CniError, Code
from cni.types import Route
from ipam import ranges
from ipam.ranges import RangeSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cni.json_object import JsonObject
    from cni.request import Request
    from lease.file import Lease
    from system.ip import IPAddress, IPNetwork

SINGLE_ADDRESS_UNTIL = (0, 3, 0)
"""Before this version a result can hold only one address per family."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one network asks of host-local."""

    name: str
    sets: tuple[RangeSet, ...]  # empty until a lease fills them in
    excluded: tuple[IPNetwork, ...]  # never given out
    routes: tuple[Route, ...]
    subnet_file: str  # path of the lease file: absolute, or empty
    data_dir: str  # absolute, or empty
    resolv_conf: str  # absolute, or empty
    # free addresses of an earlier boot: None of this machine's, True of any machine's, False never
    reclaim: bool | None


def parse(request: Request) -> Settings:
    """Return the settings of `request`. Raises CniError 7, with the reference's text where its tests compare it."""
    root = request.config
    ipam = root.section("ipam")
    if ipam is None:
        raise CniError(Code.INVALID_CONFIG, "IPAM config missing 'ipam' key", 'add an object "ipam" with its ranges')
    subnet_file = _path(ipam, "subnetFile") or _path(root, "subnetFile")
    excluded = _excluded(ipam)
    sets = tuple(_set(index, sections, excluded) for index, sections in enumerate(_pools(root, ipam)))
    if not sets and not subnet_file:
        raise CniError(
            Code.INVALID_CONFIG, "no IP ranges specified", 'add "ipam.ranges", or "subnetFile" to use a lease'
        )
    _check_sets(sets, request.version)
    return Settings(
        name=request.name,
        sets=sets,
        excluded=excluded,
        routes=results.parse_routes(ipam),
        subnet_file=subnet_file,
        data_dir=_path(ipam, "dataDir"),
        resolv_conf=_path(ipam, "resolvConf"),
        reclaim=ipam.optional_flag("reclaim"),
    )


def requested(request: Request) -> tuple[IPAddress, ...]:
    """Return the addresses asked for by CNI_ARGS, args.cni.ips and runtimeConfig.ips, in this order.

    See docs/reference/cni.md 3.3.

    Each is `address` or `address/length`; the length is ignored. Raises CniError 4 for CNI_ARGS, 7 for the others. Only
    ADD reads them, so that they cannot make DEL fail.
    """
    wish = args.parse(request.args, ("IP",)).get("IP", "")
    metadata = request.config.section("args")
    conventional = metadata.section("cni") if metadata else None
    return (
        *((_from_args(wish),) if wish else ()),
        *_wishes(conventional),
        *_wishes(request.config.section("runtimeConfig")),
    )


def with_lease(settings: Settings, lease: Lease) -> Settings:
    """Return the settings completed by the lease: one set per subnet of the lease, and a route to each of its networks.

    Explicit ranges replace the lease's; so does an explicit route to a network. The gateways are those in the lease
    file.
    """
    leased = tuple(
        RangeSet((ranges.canonical(_interface(subnet), gateway=gateway).without(settings.excluded),))
        for subnet, gateway in zip(lease.subnets, lease.gateways, strict=True)
    )
    explicit = {route.dst.network for route in settings.routes}
    networks: tuple[IPNetwork, ...] = (*lease.networks, *lease.ipv6_networks)
    learned = tuple(Route(dst=_interface(network)) for network in networks if network not in explicit)
    return replace(settings, sets=settings.sets or leased, routes=settings.routes + learned)


def _pools(root: JsonObject, ipam: JsonObject) -> Iterable[tuple[JsonObject, ...]]:
    """Return the sets in the configuration.

    The runtime's, then the old single range, then `ranges` (docs/reference/cni.md 3.1).
    """
    runtime = root.section("runtimeConfig")
    return (
        *((runtime.section_lists("ipRanges") or ()) if runtime else ()),
        *(((ipam,),) if ipam.has("subnet") else ()),
        *(ipam.section_lists("ranges") or ()),
    )


def _set(index: int, sections: Sequence[JsonObject], excluded: Sequence[IPNetwork]) -> RangeSet:
    try:
        return RangeSet(tuple(_range(section).without(excluded) for section in sections))
    except ValueError as wrong:
        written = f'written at "{sections[0].path}"' if sections else "a set needs at least one range"
        raise CniError(Code.INVALID_CONFIG, f"invalid range set {index}: {wrong}", written) from wrong


def _range(section: JsonObject) -> ranges.Range:
    return ranges.canonical(
        section.interface("subnet"),
        start=section.address("rangeStart"),
        end=section.address("rangeEnd"),
        gateway=section.address("gateway"),
    )


def _excluded(ipam: JsonObject) -> tuple[IPNetwork, ...]:
    """Return the networks in `exclude`.

    An address counts as a network of one address (docs/reference/cni.md 6, row 25).
    """
    found = []
    for index, text in enumerate(ipam.texts("exclude")):
        try:
            found.append(_network(text))
        except ValueError:
            ipam.refuse(f"exclude[{index}]", text, "an IP address, or a network without host bits such as 10.1.0.64/28")
    return tuple(found)


def _network(text: str) -> IPNetwork:
    if "/" not in text:
        address = addresses.parse_address(text)
        return addresses.parse_interface(f"{address}/{address.max_prefixlen}").network
    interface = addresses.parse_interface(text)
    if interface.ip != interface.network.network_address:
        raise ValueError(f"{text} has host bits set")
    return interface.network


def _check_sets(sets: Sequence[RangeSet], version: str) -> None:
    families = [each.version for each in sets]
    if versions.parse(version) < SINGLE_ADDRESS_UNTIL and len(set(families)) < len(families):
        raise CniError(
            Code.INVALID_CONFIG,
            f"CNI version {version} does not support more than 1 address per family",
            "use cniVersion 0.3.0 or later, or one range set a family",
        )
    try:
        ranges.require_disjoint(sets)
    except ValueError as wrong:
        raise CniError(Code.INVALID_CONFIG, str(wrong), "an address may be given out by one set only") from wrong


def _path(section: JsonObject, key: str) -> str:
    """Return an absolute path. A relative one would depend on the runtime's working directory."""
    path = section.text(key)
    if path and not path.startswith("/"):
        section.refuse(key, path, "an absolute path")
    return path


def _from_args(text: str) -> IPAddress:
    try:
        return _wish(text)
    except ValueError as wrong:
        raise CniError(
            Code.INVALID_ENVIRONMENT, f"invalid value of IP in CNI_ARGS: {wrong}", "expected an address like 10.1.0.5"
        ) from wrong


def _wishes(section: JsonObject | None) -> tuple[IPAddress, ...]:
    if section is None:
        return ()
    found = []
    for index, text in enumerate(section.texts("ips")):
        try:
            found.append(_wish(text))
        except ValueError:
            section.refuse(f"ips[{index}]", text, "an IP address, with or without /length")
    return tuple(found)


def _wish(text: str) -> IPAddress:
    return addresses.parse_interface(text).ip if "/" in text else addresses.parse_address(text)


def _interface(network: IPNetwork) -> IPv4Interface | IPv6Interface:
    kind = IPv4Interface if network.version == 4 else IPv6Interface
    return kind((int(network.network_address), network.prefixlen))
