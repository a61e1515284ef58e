"""Carries a plan out, and undoes what it did when a later step fails.

What several attachments share (the bridge, its gateway address, forwarding) is not undone: another container may use it
already.
"""

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from errno import EEXIST

from bridge import gateway, links, spoof_filter, spoofchk, vlan_ports
from bridge.masquerade import apply
from bridge.plan import Attachment
from cni.errors import CniError, Code
from cni.types import Interface, Result
from kernel.errors import KernelError
from kernel.netlink import monitor
from kernel.netlink.handle import Handle, Link
from kernel.netlink.requests import AddAddress, AddBridge, AddRoute, AddVeth, DeleteLink, Request, SetLink
from kernel.sysctl import Parameter

NAME_ATTEMPTS = 10
PORT_UP_SECONDS = 10.0
DAD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ends:
    """The veth pair of a container."""

    host_end: Link  # as the kernel made it; it also knows the index of the other end
    mac: str  # of the container's end


def wire(plan: Attachment, host: Handle, container: Handle) -> Result:
    """Build the attachment and return the result. When a step fails, nothing of this attachment stays.

    Raises KernelError for what the kernel refuses and CniError for what contradicts the plan.
    """
    with ExitStack() as undo:
        bridge = _ready_bridge(plan, host)
        carrier = vlan_ports.gateway_link(plan, host, bridge)
        gateway.ensure(plan, host, bridge, carrier)
        ends = _cable(plan, host, container, bridge, undo)
        _watch(plan, ends, undo)
        _configure(plan, container, ends.host_end.peer)
        _translate(plan, undo)
        result = _result(plan, host, ends, *_await_traffic(plan, host, container, ends))
        undo.pop_all()
    return result


def _ready_bridge(plan: Attachment, host: Handle) -> Link:
    """Return the bridge, made if it is absent, and up."""
    link = host.link(plan.bridge)
    if link is None:
        # Before the bridge is made, so that a refused ADD leaves no bridge.
        gateway.refuse_second_bridge(plan, host)
        link = _new_bridge(plan, host)
    _insist_on_bridge(link, Code.CONFLICT)
    links.ignore_router_advertisements(link)
    link = vlan_ports.ensure(plan, host, link)
    if plan.promiscuous and not link.promiscuous:
        host.apply(SetLink(link.index, promiscuous=True))
    if not link.up:
        # Without a MAC of its own the bridge takes the lowest MAC of its ports, and changes it as they come and go.
        host.apply(SetLink(link.index, mac=link.mac, up=True))
    return link


def require_bridge(name: str, host: Handle, *, filtering: bool) -> None:
    """Raise CniError 50 when the bridge's name is taken by another kind of link, or it cannot filter VLANs as asked."""
    link = host.link(name)
    if link is None:
        return
    _insist_on_bridge(link, Code.NOT_AVAILABLE)
    if filtering and (link.bridge is None or link.bridge.default_pvid is None):
        raise vlan_ports.unsupported(name, Code.NOT_AVAILABLE)


def _insist_on_bridge(link: Link, code: Code) -> None:
    if link.kind != "bridge":
        raise CniError(
            code,
            f'"{link.name}" already exists but is not a bridge',
            f"it is of kind {link.kind or 'device'}: choose another name with the key bridge",
        )


def _new_bridge(plan: Attachment, host: Handle) -> Link:
    # The kernel chooses the MAC: to set one takes the carrier, and the link-local address, from a bridge without ports.
    wanted = AddBridge(plan.bridge, mtu=plan.mtu, up=False, vlan_filtering=plan.vlan_filtering)
    try:
        host.apply(wanted)
    except KernelError as refused:
        if refused.unsupported and plan.vlan_filtering:
            raise vlan_ports.unsupported(plan.bridge) from refused
        if not refused.exists:  # another ADD may have been faster
            raise
    return links.present(host, plan.bridge)


def _cable(plan: Attachment, host: Handle, container: Handle, bridge: Link, undo: ExitStack) -> Ends:
    """Make both ends in one request, the container's end in its namespace.

    In the same send the host end gets its alias and is a port.
    """
    mac = plan.mac or links.random_mac()  # random, as the kernel's would be, but known without a question
    for _ in range(NAME_ATTEMPTS):
        name = links.random_name()
        _fence(plan, name, mac, undo)
        try:
            port = links.present(host, name, after=_cable_requests(plan, container, bridge, name, mac))
        except KernelError as refused:
            _explain_clash(refused, plan, host, container, name)
            _fence_no_more(plan)
            continue
        undo.callback(_unplug, host, name)
        links.ignore_router_advertisements(port)
        _join(plan, host, bridge, port)
        return Ends(port, mac)
    raise CniError(Code.TRY_AGAIN_LATER, f"no free name for the host end after {NAME_ATTEMPTS} attempts", "try again")


def _fence(plan: Attachment, name: str, mac: str, undo: ExitStack) -> None:
    """Add the elements for `spoofchk` before the port exists, since it is up from its first moment."""
    if plan.spoof_check:
        undo.callback(_fence_no_more, plan)
        spoofchk.admit(plan.owner, plan.port(name, mac))


def _fence_no_more(plan: Attachment) -> None:
    """Remove the elements that this ADD added. An attachment that another ADD made keeps its own."""
    with suppress(KernelError):
        spoofchk.dismiss(plan.owner, search=False)


def _cable_requests(plan: Attachment, container: Handle, bridge: Link, name: str, mac: str) -> tuple[Request, ...]:
    """Return the requests for the pair, with `mac` on the container's end.

    A port that joins VLANs stays down until it has.
    """
    veth = AddVeth(
        name,
        peer=plan.owner.ifname,
        peer_namespace=container.namespace,
        mtu=plan.mtu,
        peer_mac=mac,
        master=bridge.index,
        up=not plan.members,
    )
    return veth, SetLink(name, alias=plan.owner.alias, hairpin=plan.hairpin, isolated=plan.isolated)


def _join(plan: Attachment, host: Handle, bridge: Link, port: Link) -> None:
    if plan.members:
        host.apply(*vlan_ports.memberships(plan, bridge, port.index, plan.members))
        host.apply(SetLink(port.index, up=True))


def _explain_clash(refused: KernelError, plan: Attachment, host: Handle, container: Handle, name: str) -> None:
    """Return only if another random name may help.

    Otherwise raise, after removing what a refused batch may have made.
    """
    if refused.errno != EEXIST:
        _unplug(host, name)
        raise refused
    if container.link(plan.owner.ifname) is not None:
        raise CniError(
            Code.CONFLICT,
            f'container veth name ("{plan.owner.ifname}") peer provided ("{name}") already exists',
            "the container already has that interface: delete the attachment first or choose another CNI_IFNAME",
        ) from refused


def _unplug(host: Handle, name: str) -> None:
    with suppress(KernelError):
        host.apply(DeleteLink(name))


def _watch(plan: Attachment, ends: Ends, undo: ExitStack) -> None:
    """Add the rules for `macspoofchk` before the container can send through the port."""
    if plan.mac_check:
        undo.callback(_watch_no_more, plan)
        spoof_filter.watch(plan.owner, ends.host_end.name, ends.mac)


def _watch_no_more(plan: Attachment) -> None:
    with suppress(KernelError):
        spoof_filter.forget(plan.owner)


def _configure(plan: Attachment, container: Handle, end: int) -> None:
    """Set addresses and routes on the container's end, in one send."""
    if plan.container_down:
        return
    container.set_parameters(_parameters(plan, plan.owner.ifname))
    container.apply(
        *(AddAddress(end, entry.address) for entry in plan.addresses),
        SetLink(end, up=True),
        *_route_requests(plan, end),
    )


def _parameters(plan: Attachment, ifname: str) -> list[Parameter]:
    """Return the parameters to set before the first address."""
    if not plan.addresses:
        return []  # whoever adds addresses later also decides about duplicate detection
    four, six = f"net/ipv4/conf/{ifname}", f"net/ipv6/conf/{ifname}"
    # arp_notify makes the kernel announce an address when the link comes up.
    wanted = [Parameter(f"{four}/arp_notify", "1", optional=True), links.loose(ifname)]
    if plan.detect_duplicates:
        wanted.append(Parameter(f"{six}/enhanced_dad", "1", optional=True))
    wanted.append(Parameter(f"{six}/accept_dad", "1" if plan.detect_duplicates else "0", optional=True))
    if 6 in plan.families:
        both = ("net/ipv6/conf/lo", six)
        wanted += [Parameter(f"{link}/disable_ipv6", "0", compare=True) for link in both]
        wanted.append(Parameter(f"{six}/keep_addr_on_down", "1"))
    return wanted


def _route_requests(plan: Attachment, link: int) -> list[Request]:
    """Return the requests for the routes, equal ones once.

    A route without gateway uses the first gateway of its family (docs/reference/cni.md 2.4, 8.15).
    """
    requests: list[Request] = []
    gateways = {entry.address.version: entry.gateway for entry in reversed(plan.addresses) if entry.gateway is not None}
    for route in plan.routes:
        request = AddRoute(
            route.dst.network,
            gateway=route.gw or gateways.get(route.dst.version),
            link=link,
            priority=route.priority,
            table=254 if route.table is None else route.table,
            scope=route.scope,
            mtu=route.mtu,
            advmss=route.advmss,
            append=True,
        )
        if request not in requests:
            requests.append(request)
    return requests


def _translate(plan: Attachment, undo: ExitStack) -> None:
    """Add the masquerade rules in one transaction."""
    if plan.masquerade:
        undo.callback(_translate_no_more, plan)
        apply.add(plan)


def _translate_no_more(plan: Attachment) -> None:
    with suppress(KernelError):
        apply.forget_modern(plan.owner)
    with suppress(KernelError):
        apply.forget_legacy(plan.owner, lambda: {rule.address for rule in plan.masquerade})


def _await_traffic(plan: Attachment, host: Handle, container: Handle, ends: Ends) -> tuple[Link, Link]:
    """Return the port and the bridge when the port forwards and, with IPv6, its addresses are usable."""
    # The bridge is read again, too: its MAC may have changed to that of a port.
    seen = host.look(ends.host_end.index, plan.bridge)
    port, bridge = map(links.insist, seen, (ends.host_end.name, plan.bridge))
    if plan.container_down:
        return port, bridge
    if not port.running:
        port = _running(plan, host, port)
    if 6 in plan.families:
        monitor.wait_for_dad(container, ends.host_end.peer, DAD_SECONDS)
    return port, bridge


def _running(plan: Attachment, host: Handle, port: Link) -> Link:
    port = monitor.wait_for_link_up(host, port.index, PORT_UP_SECONDS)
    if not port.running:
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"bridge port in error state: {port.operstate}",
            f"link {port.name} of {plan.bridge}: see its state with ip link show {port.name}",
        )
    return port


def _result(plan: Attachment, host: Handle, ends: Ends, port: Link, bridge: Link) -> Result:
    """Return the reference's result (docs/reference/cni.md 2.3).

    Bridge, host end, container end, and the gateway link of a VLAN.

    The addresses are those of the container's end.
    """
    interfaces: tuple[Interface, ...] = (
        Interface(plan.bridge, mac=bridge.mac),
        Interface(port.name, mac=port.mac),
        Interface(plan.owner.ifname, mac=ends.mac, sandbox=plan.sandbox),
    )
    if plan.gateway_vlan:
        interfaces += (Interface(plan.gateway_link, mac=links.present(host, plan.gateway_link).mac),)
    return Result(interfaces=interfaces, ips=plan.addresses, routes=plan.routes)
