"""Keeps the gateway addresses on the bridge, or on the gateway link of its VLAN, and one bridge to a lease.

Adding is cheap to repeat; what contradicts is refused with both names or, where nobody can be hurt, replaced.
Blind spot: without a lease another bridge may carry the same subnet, as with the reference.
"""

from bridge import links
from bridge.plan import Attachment
from cni.errors import CniError, Code
from cni.types import IPInterface
from kernel import sysctl
from kernel.errors import KernelError
from kernel.netlink.handle import Address, Handle, Link
from kernel.netlink.requests import AddAddress, DeleteAddress, Request, SetLink
from kernel.sysctl import Parameter

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}


def ensure(plan: Attachment, host: Handle, bridge: Link, carrier: Link) -> None:
    """Put every gateway address of the plan on `carrier`, which is the bridge or a port's other end; let the host forward.

    IPv6 is switched on there where an address of it is wanted, and a strict filter of reverse paths made loose.

    Raises CniError 103 for a contradicting address or a second bridge on the lease.
    """
    sysctl.write_all([links.loose(carrier.name)])
    if not plan.gateways:
        return
    versions = sorted({wanted.version for wanted in plan.gateways})
    present = host.addresses(carrier.index, versions[0] if len(versions) == 1 else 0)
    missing = [wanted for wanted in plan.gateways if wanted not in {entry.address for entry in present}]
    if missing:
        refuse_second_bridge(plan, host)
        in_the_way = _in_the_way(plan, missing, present)
        if in_the_way:
            _allow_replacing(plan, _in_use(host, bridge, carrier), in_the_way, missing)
        if any(wanted.version == 6 for wanted in missing):
            sysctl.write_all([Parameter(f"net/ipv6/conf/{carrier.name}/disable_ipv6", "0", compare=True)])
        host.apply(*_requests(carrier, in_the_way, missing))
        _yield_to_faster(plan, host, carrier, missing)
    for version in versions:
        sysctl.ensure(FORWARDING[version], "1")


def _requests(carrier: Link, in_the_way: list[IPInterface], missing: list[IPInterface]) -> list[Request]:
    """Return removals, additions and the link's own MAC, which becomes permanent by being written (docs/reference/cni.md 2.2)."""
    return [
        *(DeleteAddress(carrier.index, address) for address in in_the_way),
        *(AddAddress(carrier.index, address, nodad=True, replace=True) for address in missing),
        SetLink(carrier.index, mac=carrier.mac),
    ]


def _in_the_way(plan: Attachment, missing: list[IPInterface], present: tuple[Address, ...]) -> list[IPInterface]:
    return [entry.address for entry in present if any(_contradict(plan, entry.address, wanted) for wanted in missing)]


def _in_use(host: Handle, bridge: Link, carrier: Link) -> bool:
    """Tell whether containers are on the bridge: it has ports, not counting the one behind its gateway link."""
    return any(link.master == bridge.index and link.index != carrier.peer for link in host.links())


def _contradict(plan: Attachment, present: IPInterface, wanted: IPInterface) -> bool:
    """Tell whether both cannot stand on one link: any two of IPv4, overlapping prefixes of IPv6 (docs/reference/cni.md 2.2).

    The bridge of a lease carries that lease alone, so there any other global address contradicts.
    """
    if present.version != wanted.version or present in plan.gateways or present.ip.is_link_local:
        return False
    overlap = present.ip in wanted.network or wanted.ip in present.network
    return present.version == 4 or overlap or bool(plan.leased)


def _allow_replacing(
    plan: Attachment,
    in_use: bool,  # noqa: FBT001 - private, always named by its producer
    present: list[IPInterface],
    missing: list[IPInterface],
) -> None:
    """Return when the old addresses may go: on demand, or when the lease changed and no container is left behind."""
    if plan.replace_gateways:
        return
    wanted = [address for address in missing if any(_contradict(plan, other, address) for other in present)]
    if not plan.leased:
        raise CniError(
            Code.CONFLICT,
            f'"{plan.gateway_link}" already has an IP address different from {", ".join(map(str, wanted))}',
            f"it has {', '.join(map(str, present))}: use another bridge name, or forceAddress to replace it",
        )
    if in_use:
        raise CniError(
            Code.CONFLICT,
            f'the lease changed: bridge "{plan.bridge}" serves {_subnets(present)}, the lease file says {_subnets(wanted)}',
            f"containers still use the old subnet: stop those on {plan.bridge}, then start them again",
        )


def _subnets(addresses: list[IPInterface]) -> str:
    return ", ".join(str(address.network) for address in addresses)


def refuse_second_bridge(plan: Attachment, host: Handle) -> None:
    """One lease, one bridge: refuse when another bridge already carries an address of a leased subnet."""
    other = _other_bridge(plan, host)
    if other is not None:
        raise CniError(
            Code.CONFLICT,
            f'the lease {", ".join(map(str, plan.leased))} is already on bridge "{other}", not on "{plan.bridge}"',
            f'use "bridge": "{other}" in every configuration that names this lease',
        )


def _other_bridge(plan: Attachment, host: Handle) -> str | None:
    if not plan.leased:
        return None
    carriers = {entry.link for entry in host.addresses() if any(entry.address.ip in subnet for subnet in plan.leased)}
    bridges = (link for link in map(host.link, carriers) if link is not None and link.kind == "bridge")
    return next((link.name for link in bridges if link.name != plan.bridge), None)


def _yield_to_faster(plan: Attachment, host: Handle, carrier: Link, added: list[IPInterface]) -> None:
    """Look again: two first ADDs with different bridge names may have passed each other unseen."""
    try:
        refuse_second_bridge(plan, host)
    except CniError:
        for error in host.attempt([DeleteAddress(carrier.index, address) for address in added]):
            _unless_gone(error)
        raise


def _unless_gone(error: KernelError | None) -> None:
    if error is not None and not error.gone:
        raise error
