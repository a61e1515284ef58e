"""Puts ports of the bridge into VLANs, and makes the gateway link through which the host itself is in a VLAN.

bridge.vlans decides which VLANs. What attachments share (VLAN filtering, the gateway link) stays when one is removed.
"""

from collections.abc import Iterable, Sequence

from bridge import links, vlans
from bridge.plan import Attachment
from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.netlink.handle import Handle, Link
from kernel.netlink.requests import AddVeth, AddVlans, DeleteVlans, Request, SetLink, Vlan


def unsupported(bridge: str, code: Code = Code.KERNEL_REFUSED) -> CniError:
    """Return the error for a kernel without VLAN filtering."""
    return CniError(
        code,
        f'bridge "{bridge}" cannot filter VLANs: the kernel lacks bridge VLAN filtering',
        "boot a kernel with CONFIG_BRIDGE_VLAN_FILTERING, or remove vlan and vlanTrunk from the configuration",
    )


def ensure(plan: Attachment, host: Handle, bridge: Link) -> Link:
    """Return the bridge, with VLAN filtering on if the plan wants it."""
    if not plan.vlan_filtering or filters(bridge):
        return bridge
    try:
        host.apply(SetLink(bridge.index, vlan_filtering=True))
    except KernelError as refused:
        if refused.unsupported:
            raise unsupported(plan.bridge) from refused
        raise
    switched = links.present(host, plan.bridge)
    if not filters(switched):  # a kernel without the feature may ignore the attribute
        raise unsupported(plan.bridge)
    return switched


def filters(bridge: Link) -> bool:
    """Return whether the bridge keeps VLANs apart."""
    return bridge.bridge is not None and bridge.bridge.vlan_filtering


def memberships(plan: Attachment, bridge: Link, port: int, members: Sequence[vlans.Member]) -> list[Request]:
    """Return the requests that put a new port into the VLANs of `members`, and out of the bridge's default VLAN."""
    if not members:
        return []
    default = _default(bridge)
    leave = [DeleteVlans(port, (default,))] if default and not plan.keep_default_vlan else []
    return [*leave, AddVlans(port, joined(members))]


def difference(plan: Attachment, bridge: Link, port: Link, present: Sequence[Vlan]) -> tuple[str, str] | None:
    """Return how the VLANs `present` on the container's port differ from those `memberships` asks for, and the command to mend it.

    Older versions of the reference left their ports, which bear no name of ours, in the bridge's default VLAN as well.
    """
    wanted = {vlan.vid: vlan for vlan in joined(plan.members)}
    default = _default(bridge)
    if default and plan.keep_default_vlan:
        wanted.setdefault(default, Vlan(default, untagged=True))
    if found := absent(port, wanted.values(), present):
        return found
    known = {*wanted} if port.alias else {*wanted, default}
    for vlan in present:
        if vlan.vid not in known:
            return (
                f'"{port.name}" is in VLAN {vlan.vid}, which the configuration does not name',
                f"bridge vlan del dev {port.name} vid {vlan.vid}",
            )
    return None


def absent(port: Link, wanted: Iterable[Vlan], present: Sequence[Vlan]) -> tuple[str, str] | None:
    """Return which VLAN of `wanted` the port is not in, or not with these flags, and the command to mend it."""
    for vlan in wanted:
        if vlan not in present:
            words = f"vid {vlan.vid}{' pvid' * vlan.pvid}{' untagged' * vlan.untagged}"
            return f'"{port.name}" is not in the VLAN it needs: {words}', f"bridge vlan add dev {port.name} {words}"
    return None


def _default(bridge: Link) -> int | None:
    return bridge.bridge.default_pvid if bridge.bridge else None


def joined(members: Sequence[vlans.Member]) -> tuple[Vlan, ...]:
    """Return memberships as the kernel has them."""
    return tuple(Vlan(member.vid, pvid=member.native, untagged=member.native) for member in members)


def gateway_link(plan: Attachment, host: Handle, bridge: Link) -> Link:
    """Return the link that carries the gateway addresses.

    For a VLAN it is a veth whose other end is a port in that VLAN.

    It is made once, and set up last: a link that is up is complete, one that is down is completed by whoever finds it.
    """
    if not plan.gateway_vlan:
        return bridge
    link = host.link(plan.gateway_link) or _new_pair(plan, host, bridge)
    if link.kind != "veth":
        raise CniError(
            Code.CONFLICT,
            f'"{link.name}" already exists but is not a veth',
            f"it is of kind {link.kind or 'device'}, and the gateway of VLAN {plan.gateway_vlan} needs that name: rename it",
        )
    if not link.up:
        _finish(plan, host, bridge, link)
    return link


def _new_pair(plan: Attachment, host: Handle, bridge: Link) -> Link:
    """Make the veth pair in one request.

    The port gets the index just below the gateway link's (docs/reference/cni.md 8.7).
    """
    try:
        host.apply(AddVeth(plan.gateway_link, peer=links.random_name(), peer_namespace=None, mtu=bridge.mtu, up=False))
    except KernelError as refused:
        if not refused.exists:  # another ADD may have been faster
            raise
    return links.present(host, plan.gateway_link)


def _finish(plan: Attachment, host: Handle, bridge: Link, link: Link) -> None:
    port = host.link(link.peer)
    if port is None:
        raise CniError(
            Code.CONFLICT, f'"{link.name}" has no other end on the host', f"delete it with ip link delete {link.name}"
        )
    for end in (link, port):
        links.ignore_router_advertisements(end)
    host.apply(SetLink(port.index, master=bridge.index))
    host.apply(*memberships(plan, bridge, port.index, vlans.gateway_port(plan.gateway_vlan)))
    host.apply(SetLink(port.index, up=True), SetLink(link.index, up=True))
