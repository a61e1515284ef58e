"""Compares the kernel with a plan and the result ADD gave for it; the first difference ends CHECK (docs/reference/cni.md 2.8).

Reads only. What other programs added later (more addresses, more routes) is none of its business. The container's end may have been
given another MTU by `tuning`, so only its own record of one counts; the port's is the plan's, the bridge's whoever made it chose.
"""

from bridge import spoof_filter, spoofchk, vlan_ports, vlans
from bridge.masquerade import apply
from bridge.plan import CONTAINER, Attachment
from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from cni.types import Interface, Result, Route
from kernel.netlink.handle import Handle, Link
from kernel.netlink.handle import Route as RouteEntry

MAIN_TABLE = 254
FLUSHED = "a firewall reload may have flushed them: `tulle repair` makes them again"


def check(plan: Attachment, earlier: Result, host: Handle, container: Handle) -> None:
    """Raise CniError 102 naming what differs from `earlier`, which ADD answered for `plan`."""
    bridge, port, end = cable(plan, earlier, host, container)
    _port(plan, port)
    _vlans(plan, host, bridge, port)
    if not plan.container_down:
        _end(plan, earlier, end)
        _addresses(plan, container, end)
        _routes(plan, container, end)
    _gateways(plan, host, bridge)
    _rules(plan, port, end)


def cable(plan: Attachment, earlier: Result, host: Handle, container: Handle) -> tuple[Link, Link, Link]:
    """Return the bridge, the attachment's port of it and its end in the container; CniError 102 unless all are those of ADD."""
    bridge = _bridge(plan, earlier, host)
    end = _container_end(plan, earlier, container)
    port = _host_end(plan, earlier, host, bridge, end)
    if container.namespace is not None and port.peer_space != host.number_of(container.namespace):
        raise _differs(
            f'"{plan.owner.ifname}" in {plan.sandbox} is not the other end of "{port.name}": the container moved that'
        )
    return bridge, port, end


def _differs(what: str, remedy: str = "delete the attachment and add it again") -> CniError:
    return CniError(Code.CHECK_FAILED, what, remedy)


def _bridge(plan: Attachment, earlier: Result, host: Handle) -> Link:
    recorded = _recorded(earlier, plan.bridge, "")
    link = host.link(plan.bridge)
    if link is None or link.kind != "bridge":
        raise _differs(f'bridge "{plan.bridge}" is missing')
    _same_mac(link, recorded)
    if not link.up:
        raise _differs(f'bridge "{plan.bridge}" is down', f"ip link set {plan.bridge} up")
    if plan.promiscuous and not link.promiscuous:
        raise _differs(f'bridge "{plan.bridge}" is not promiscuous', f"ip link set {plan.bridge} promisc on")
    return link


def _container_end(plan: Attachment, earlier: Result, container: Handle) -> Link:
    recorded = _recorded(earlier, plan.owner.ifname, plan.sandbox)
    link = container.link(plan.owner.ifname)
    if link is None:
        raise _differs(f'interface "{plan.owner.ifname}" is missing in {plan.sandbox}')
    if link.kind != "veth":
        raise _differs(f'interface "{plan.owner.ifname}" in {plan.sandbox} is not a veth')
    _same_mac(link, recorded)
    return link


def _host_end(plan: Attachment, earlier: Result, host: Handle, bridge: Link, end: Link) -> Link:
    """Insist that the cable is whole: the recorded host end is the container end's peer and a port of the bridge."""
    link = host.link(end.peer) if end.peer else None
    names = {entry.name for entry in earlier.interfaces if not entry.sandbox}
    signed = AttachmentID.signed(link.alias) if link else None
    if link is None or link.name not in names or link.peer != end.index or (signed and link.alias != plan.owner.alias):
        raise _differs(f'the host end of "{plan.owner.ifname}" is not the one ADD made')
    _same_mac(link, _recorded(earlier, link.name, ""))
    if link.master != bridge.index:
        raise _differs(
            f'"{link.name}" is no port of bridge "{plan.bridge}"', f"ip link set {link.name} master {plan.bridge}"
        )
    return link


def _port(plan: Attachment, port: Link) -> None:
    """Insist that the port is set as the plan has it; an MTU of 0 is the kernel's default, which is whatever it is."""
    switches = (("hairpin", plan.hairpin, port.hairpin), ("isolated", plan.isolated, port.isolated))
    for word, wanted, present in switches:
        if wanted != present:
            state, other = ("on", "off") if wanted else ("off", "on")
            raise _differs(
                f'"{port.name}" has {word} {other} where the configuration has it {state}',
                f"bridge link set dev {port.name} {word} {state}",
            )
    if plan.mtu and port.mtu != plan.mtu:
        raise _differs(
            f'"{port.name}" has MTU {port.mtu} instead of {plan.mtu}', f"ip link set {port.name} mtu {plan.mtu}"
        )
    if not port.up:
        raise _differs(f'"{port.name}" is down', f"ip link set {port.name} up")


def _vlans(plan: Attachment, host: Handle, bridge: Link, port: Link) -> None:
    if plan.vlan_filtering and not vlan_ports.filters(bridge):
        raise _differs(
            f'bridge "{bridge.name}" filters no VLANs, so they keep nobody apart',
            f"ip link set {bridge.name} type bridge vlan_filtering 1",
        )
    if plan.members and (found := vlan_ports.difference(plan, bridge, port, host.port_vlans(port.index))):
        raise _differs(*found)


def _end(plan: Attachment, earlier: Result, end: Link) -> None:
    recorded = _recorded(earlier, plan.owner.ifname, plan.sandbox)
    if recorded.mtu and end.mtu != recorded.mtu:
        raise _differs(f'"{end.name}" in {plan.sandbox} has MTU {end.mtu}, ADD recorded {recorded.mtu}')
    if not end.up:
        raise _differs(f'"{end.name}" in {plan.sandbox} is down')


def _recorded(earlier: Result, name: str, sandbox: str) -> Interface:
    for entry in earlier.interfaces:
        if (entry.name, entry.sandbox) == (name, sandbox):
            return entry
    raise _differs(f'prevResult has no interface "{name}" with sandbox "{sandbox}"', "pass the result of ADD unchanged")


def _same_mac(link: Link, recorded: Interface) -> None:
    if recorded.mac and recorded.mac.lower() != link.mac:
        raise _differs(f'"{link.name}" has MAC {link.mac}, ADD recorded {recorded.mac}')


def _addresses(plan: Attachment, container: Handle, end: Link) -> None:
    present = {entry.address for entry in container.addresses(end.index)}
    for entry in plan.addresses:
        if entry.interface == CONTAINER and entry.address not in present:
            raise _differs(f'address {entry.address} is missing on "{end.name}"')


def _routes(plan: Attachment, container: Handle, end: Link) -> None:
    """Every recorded route stands, in its own table and among several next hops too (docs/reference/cni.md 6, row 24)."""
    tables = {MAIN_TABLE, *(route.table for route in plan.routes if route.table is not None)}
    present = {table: container.routes(table=table) for table in tables}
    for entry in plan.addresses:
        network = entry.address.network
        if network.num_addresses > 1 and not any(route.dst == network for route in present[MAIN_TABLE]):
            raise _differs(f'the route to {network} is missing on "{end.name}"')
    for wanted in plan.routes:
        table = MAIN_TABLE if wanted.table is None else wanted.table
        if not any(_is(wanted, route) for route in present[table]):
            raise _differs(f"the route to {wanted.dst.network} is missing in {plan.sandbox}")


def _is(wanted: Route, present: RouteEntry) -> bool:
    """Compare by destination, and by gateway where one was asked for; of default routes only the destination counts."""
    if present.dst != wanted.dst.network:
        return False
    by_destination = wanted.gw is None or wanted.dst.network.prefixlen == 0
    return by_destination or wanted.gw == present.gateway or any(hop.gateway == wanted.gw for hop in present.hops)


def _gateways(plan: Attachment, host: Handle, bridge: Link) -> None:
    if plan.gateway_vlan:
        _gateway_pair(plan, host, bridge)
    carrier = host.link(plan.gateway_link) if plan.gateways else None
    present = {entry.address for entry in host.addresses(carrier.index)} if carrier else set()
    for address in plan.gateways:
        if address not in present:
            raise _differs(
                f'gateway address {address} is missing on "{plan.gateway_link}"',
                f"ip address add {address} dev {plan.gateway_link}",
            )


def _gateway_pair(plan: Attachment, host: Handle, bridge: Link) -> None:
    """Insist that the gateway link of the VLAN leads to the bridge, by a port in that VLAN; in which others, its maker decided."""
    link = host.link(plan.gateway_link)
    port = host.link(link.peer) if link and link.peer else None
    if link is None or port is None or port.peer != link.index:
        raise _differs(f'the gateway of VLAN {plan.gateway_vlan}, "{plan.gateway_link}", is missing')
    if port.master != bridge.index:
        raise _differs(
            f'"{port.name}" is no port of bridge "{bridge.name}"', f"ip link set {port.name} master {bridge.name}"
        )
    for each in (link, port):
        if not each.up:
            raise _differs(f'"{each.name}" is down', f"ip link set {each.name} up")
    wanted = vlan_ports.joined(vlans.gateway_port(plan.gateway_vlan))
    if found := vlan_ports.absent(port, wanted, host.port_vlans(port.index)):
        raise _differs(*found)


def _rules(plan: Attachment, port: Link, end: Link) -> None:
    if apply.missing(plan):
        raise _differs(f"masquerade rules of {plan.owner.alias} are missing", FLUSHED)
    if plan.mac_check and not spoof_filter.stands(plan.owner, port.name):
        raise _differs(f'the rules against forged MACs on "{port.name}" are missing', FLUSHED)
    if plan.spoof_check and not spoofchk.stands(plan.port(port.name, end.mac)):
        raise _differs(f'the rules against spoofing on "{port.name}" are missing or incomplete', FLUSHED)
