"""Judges which programs a configuration runs and in what order: whether they exist, and each finds what it needs.

It gets the names in the plugin directories or, without directories, uses the well-known names.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import catalogue
from cli.linting.finding import Finding, Place, is_object
from cli.nearest import nearest
from cni.addresses import parse_address
from overlay.config import option_types


def _ours(role: str) -> tuple[str, ...]:
    return tuple(name for name, program in catalogue.CNI.items() if program.role == role)


CHAINED = (*_ours(catalogue.CHAINED), "sbr", "vrf")
"""Programs that work on an interface which another program made."""
MAKING = (*_ours(catalogue.INTERFACE), "dummy", "host-device", "ipvlan", "macvlan", "ptp", "tap", "vlan")
"""Programs that make an interface."""
IPAM = (*_ours(catalogue.IPAM), "dhcp", "whereabouts")
"""Programs that assign addresses."""
LINKS = ("bridge", "master", "device", "vrfname")
"""Keys of any program whose value is the name of a link on the host."""
KNOWN = (*CHAINED, *MAKING, *IPAM)


@dataclass(frozen=True, slots=True)
class Installed:
    """The programs in plugin directories. Without directories no program counts as missing."""

    directories: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()

    @property
    def populated(self) -> bool:
        """Whether a runtime could use these: one of them makes interfaces."""
        return not self.names.isdisjoint(MAKING)


def meant(kind: str, installed: Installed) -> str:
    """Return the program that a type means: itself if it is known, else the nearest known one."""
    names = (*KNOWN, *installed.names)
    return kind if kind in names or "/" in kind else nearest(kind, names) or kind


def corrected(plugin: Mapping[str, Any], installed: Installed) -> dict[str, Any]:
    """Return a configuration with the programs that its own type and its IPAM's mean."""
    found = dict(plugin)
    if isinstance(found.get("type"), str):
        found["type"] = meant(found["type"], installed)
    inner = found.get("ipam")
    if is_object(inner) and isinstance(inner.get("type"), str):
        found["ipam"] = {**inner, "type": meant(inner["type"], installed)}
    return found


def absent(plugin: Mapping[str, Any], installed: Installed) -> Iterator[Finding]:
    """Yield the programs of one configuration, its own and its IPAM's, that do not exist."""
    kinds: list[tuple[Place, Any]] = [(("type",), plugin.get("type"))]
    for key in ("ipam", "delegate"):
        inner = plugin.get(key)
        if is_object(inner):
            kinds.append(((key, "type"), inner.get("type")))
    for place, kind in kinds:
        if isinstance(kind, str) and kind and "/" not in kind:
            yield from _absent(place, kind, installed)


def _absent(place: Place, kind: str, installed: Installed) -> Iterator[Finding]:
    known = kind in installed.names if installed.populated else kind in KNOWN
    near = nearest(kind, installed.names if installed.populated else KNOWN)
    if known or not (near or installed.populated):
        return
    where = f"in {' or '.join(installed.directories)}" if installed.populated else "that anybody knows"
    remedy = f'did you mean "{near}"?' if near else "install it, or name the directory it is in with --bin-dir"
    yield Finding(place, f'there is no program "{kind}" {where}', remedy)


def order(plugins: Sequence[Any]) -> Iterator[Finding]:
    """Yield each program of a list that is before the one that makes its interface."""
    kinds = [plugin.get("type") if is_object(plugin) else None for plugin in plugins]
    making = next((place for place, kind in enumerate(kinds) if kind in MAKING), 0)
    for place, kind in enumerate(kinds[:making]):
        if kind in CHAINED:
            yield Finding(
                ("plugins", place),
                f"{kind} works on the interface that {kinds[making]} makes, and stands before it",
                f"put {kind} behind {kinds[making]}",
            )
    for place, kind in list(enumerate(kinds))[making + 1 :]:
        if kind in MAKING and "loopback" not in (kind, kinds[making]):
            yield Finding(
                ("plugins", place),
                f"{kind} would make the interface that {kinds[making]} has made already",
                "a list is one interface: put it into a list of its own, with a name of its own",
            )


def links(plugin: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the names of links that the kernel refuses (IFNAMSIZ, and dev_valid_name in net/core/dev.c)."""
    for key in LINKS:
        name = plugin.get(key)
        if isinstance(name, str) and name:
            try:
                option_types.link_name(name)
            except ValueError as wrong:
                yield Finding((key,), "no name that a link can have", str(wrong))


def gateways(plugin: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield, as warnings, gateways of host-local outside their subnet."""
    ipam = plugin.get("ipam")
    if not is_object(ipam) or ipam.get("type") != "host-local":
        return
    entries: list[tuple[Place, Any]] = [(("ipam",), ipam)]
    ranges = ipam.get("ranges")
    for number, each in enumerate(ranges if isinstance(ranges, list) else ()):
        entries += [
            (("ipam", "ranges", number, place), one) for place, one in enumerate(each if isinstance(each, list) else ())
        ]
    for place, entry in entries:
        try:
            subnet = ip_network(str(entry["subnet"]), strict=False)
            gateway = ip_address(str(entry["gateway"]))
        except (LookupError, TypeError, ValueError):
            continue
        if gateway.version != subnet.version or gateway not in subnet:
            yield Finding(
                (*place, "gateway"),
                f"{gateway} lies outside {subnet}, so containers do not reach it by themselves",
                "give an address of the subnet, or leave it out for the first one",
                warning=True,
            )


def deaf(plugin: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield, as warnings, programs that do nothing because their list does not give them a capability."""
    if plugin.get("type") == "portmap" and not _told(plugin, "portMappings"):
        yield Finding(
            ("capabilities",),
            "the runtime tells portmap of no port, so none is published",
            'add "capabilities": {"portMappings": true}',
            warning=True,
        )


def elsewhere(plugin: Mapping[str, Any], here: Callable[[], Collection[str]]) -> Iterator[Finding]:
    """Yield, as warnings, addresses to publish on that are not among this host's addresses `here`.

    It may get them later.
    """
    given = plugin.get("runtimeConfig")
    listed = given.get("portMappings") if is_object(given) else None
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        address = one.get("hostIP") if is_object(one) else None
        try:
            written = parse_address(address) if isinstance(address, str) else None
        except ValueError:
            continue  # portmap refuses what is no address, and a warning at the same place would stand in for that
        if written and not written.is_unspecified and str(written) not in here():
            yield Finding(
                ("runtimeConfig", "portMappings", index, "hostIP"),
                f"{address} is no address of this host, so nothing is published while it is elsewhere",
                "right for an address that moves between hosts; else give one of this host's, or leave hostIP out",
                warning=True,
            )


def _told(plugin: Mapping[str, Any], capability: str) -> bool:
    asked, given = plugin.get("capabilities"), plugin.get("runtimeConfig")
    return (is_object(asked) and asked.get(capability) is True) or (is_object(given) and capability in given)
