"""Chooses the interface the tunnels use and the addresses other hosts are told (docs/reference/flannel.md 4.5).

What the kernel lists is read through a small protocol, so that tests can hand in a table.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from kernel.netlink.objects import Address, Link, Route
from overlay.backends import Underlay
from overlay.errors import Unavailable
from system.ip import IPAddress

TEMPORARY, DEPRECATED = 0x01, 0x20  # IFA_F_ flags, linux/if_addr.h


class LinkReader(Protocol):
    """What is read from the kernel; kernel.netlink.handle.Handle implements it."""

    def links(self) -> tuple[Link, ...]:
        """List all links."""
        ...

    def addresses(self, link: int | None = None) -> tuple[Address, ...]:
        """List the addresses of one link, or of all."""
        ...

    def routes(self) -> tuple[Route, ...]:
        """List the main table of both families."""
        ...

    def route_to(self, address: IPAddress) -> Route | None:
        """Look up the route to an address."""
        ...


@dataclass(frozen=True, slots=True)
class InterfaceSelection:
    """The options that select the interface, in the order they are tried; all empty means that of the default route."""

    names: Sequence[str] = ()
    """Names or addresses of interfaces (--iface)."""
    patterns: Sequence[str] = ()
    """Regular expressions over addresses, then over names (--iface-regex)."""
    can_reach: str = ""
    """An address; the interface of the route to it is taken (--iface-can-reach)."""
    public_ip: str = ""
    """The published IPv4 address, if it is not the interface's own (--public-ip)."""
    public_ipv6: str = ""
    """The published IPv6 address, if it is not the interface's own (--public-ipv6)."""


@dataclass(frozen=True, slots=True)
class _Match:
    link: Link
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


def choose(view: LinkReader, selection: InterfaceSelection, *, dual: bool) -> Underlay:
    """Return the interface to use, and its addresses; raises Unavailable with what was tried and what this host has."""
    tried: list[str] = []
    for words, find in _attempts(selection, dual=dual):
        match = find(view)
        underlay = _underlay(view, match, selection, dual=dual) if match else None
        if underlay is not None:
            return underlay
        tried.append(words)
    raise Unavailable(f"no interface for the tunnels: {'; '.join(tried)}; this host has {_inventory(view)}")


def still_valid(view: LinkReader, selection: InterfaceSelection, now: Underlay) -> Underlay | None:
    """Return the underlay in use, with its present MTU, while the interface has its addresses; None when it has not."""
    link = next((link for link in view.links() if link.name == now.interface), None)
    if link is None or not link.mtu:
        return None
    held = {one.address.ip for one in view.addresses(link.index)}
    own = {now.local, None if selection.public_ipv6 else now.public_ipv6} - {None}
    makeshift = any(_is_makeshift(one, held) for one in own if one is not None)
    return with_previous_mtu(now, replace(now, mtu=link.mtu)) if own <= held and not makeshift else None


def _is_makeshift(address: IPAddress, held: Collection[IPAddress]) -> bool:
    """Return whether a link-local address is in use although the interface has got another one since."""
    usable = (one for one in held if one.version == address.version and not one.is_loopback)
    return address.is_link_local and any(not one.is_link_local for one in usable)


def with_previous_mtu(before: Underlay, after: Underlay) -> Underlay:
    """Return `after` with the earlier MTU of `before`, or its MTU if that has changed."""
    return replace(after, earlier_mtu=before.earlier_mtu if after.mtu == before.mtu else before.mtu)


def _attempts(
    selection: InterfaceSelection, *, dual: bool
) -> Iterator[tuple[str, Callable[[LinkReader], _Match | None]]]:
    for name in selection.names:
        yield f"--iface {name} does not exist or has no usable address", partial(_named, text=name)
    for pattern in selection.patterns:
        yield f"--iface-regex {pattern} matches nothing", partial(_matching, pattern=pattern, dual=dual)
    if selection.can_reach:
        yield f"there is no route to {selection.can_reach}", partial(_reaching, target=ip_address(selection.can_reach))
    if selection.names or selection.patterns or selection.can_reach:
        return
    public = selection.public_ip or selection.public_ipv6
    if public:
        remedy = "behind NAT, name the interface with --iface, too"
        yield f"--public-ip {public} is on no interface ({remedy})", partial(_named, text=public)
    else:
        yield "there is no default route (name one with --iface)", partial(_default, dual=dual)


def _named(view: LinkReader, text: str) -> _Match | None:
    """Find the interface that has this name, or this address."""
    address = _parsed(text)
    if address is None:
        return next((_Match(link) for link in view.links() if link.name == text), None)
    owner = next((held.link for held in view.addresses() if held.address.ip == address), None)
    link = next((link for link in view.links() if link.index == owner), None)
    if link is None:
        return None
    return _Match(link, address) if isinstance(address, IPv4Address) else _Match(link, ipv6=address)


def _matching(view: LinkReader, pattern: str, *, dual: bool) -> _Match | None:
    """Search the addresses of all interfaces, then their names; dual stack needs an address of both families to match."""
    links = view.links()
    for link in links:
        ips = [held.address.ip for held in view.addresses(link.index)]
        hits = [ip for ip in ips if re.search(pattern, str(ip))]
        first = next((ip for ip in hits if isinstance(ip, IPv4Address)), None)
        second = next((ip for ip in hits if isinstance(ip, IPv6Address)), None)
        if first and (not dual or second):
            return _Match(link, first, second)
    return next((_Match(link) for link in links if re.search(pattern, link.name)), None)


def _reaching(view: LinkReader, target: IPAddress) -> _Match | None:
    route = view.route_to(target)
    link = next((link for link in view.links() if route and link.index == route.link), None)
    source = route.source if route and isinstance(route.source, IPv4Address) else None
    return _Match(link, source) if link else None


def _default(view: LinkReader, *, dual: bool) -> _Match | None:
    """Find the interface of the IPv4 default route; in dual stack the IPv6 one must be the same."""
    ways = {version: _default_link(view, version) for version in ((4, 6) if dual else (4,))}
    if len(set(ways.values())) != 1:
        return None
    return next((_Match(link) for link in view.links() if link.index == ways[4]), None)


def _default_link(view: LinkReader, version: int) -> int | None:
    for route in view.routes():
        if route.dst.prefixlen == 0 and route.dst.version == version and route.kind == "unicast":
            return route.link or (route.hops[0].link if route.hops else None)
    return None


def _underlay(view: LinkReader, match: _Match, selection: InterfaceSelection, *, dual: bool) -> Underlay | None:
    held = view.addresses(match.link.index)
    asked = IPv4Address(selection.public_ip) if selection.public_ip else None
    ipv4 = match.ipv4 or (asked if asked in [one.address.ip for one in held] else _first(held, IPv4Address))
    public = asked or ipv4
    if not isinstance(public, IPv4Address) or ipv4 is None or not match.link.mtu:
        return None
    ipv6 = (
        IPv6Address(selection.public_ipv6)
        if selection.public_ipv6
        else (match.ipv6 or _first(held, IPv6Address))
        if dual
        else None
    )
    own = ipv4 if isinstance(ipv4, IPv4Address) else None
    return Underlay(match.link.name, match.link.mtu, public, ipv6 if isinstance(ipv6, IPv6Address) else None, own)


def _first(held: Sequence[Address], family: type[IPAddress]) -> IPAddress | None:
    """Return the best address: global before link-local, permanent before dynamic, temporary ones (RFC 8981) last."""
    usable = [one for one in held if isinstance(one.address.ip, family) and not one.flags & DEPRECATED]
    usable = [one for one in usable if not (one.address.ip.is_loopback or one.address.ip.is_multicast)]
    ranked = sorted(usable, key=lambda one: (one.address.ip.is_link_local, not one.permanent, one.flags & TEMPORARY))
    return ranked[0].address.ip if ranked else None


def _inventory(view: LinkReader) -> str:
    names = {link.index: link.name for link in view.links()}
    return ", ".join(local_addresses(view, names)) or "no addresses"


def local_addresses(view: LinkReader, names: "dict[int, str] | None" = None) -> tuple[str, ...]:
    """Return this host's addresses for messages, `192.0.2.1 (eth0)`, without loopback and link-local ones."""
    known = names if names is not None else {link.index: link.name for link in view.links()}
    held = [one for one in view.addresses() if not one.address.ip.is_loopback and not one.address.ip.is_link_local]
    return tuple(f"{one.address.ip} ({known.get(one.link, '?')})" for one in held)


def _parsed(text: str) -> IPAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
