"""Puts the gateway addresses on the bridge, or on the gateway link of its VLAN, and allows one bridge per lease.

Repeating it changes nothing. An address that contradicts is refused with both addresses in the error, or replaced when
no container uses it. Without a lease, another bridge may carry the same subnet: the reference does not check that
either.
"""

from bridge import links
from bridge.plan import Attachment
from cni.errors import CniError, Code
from kernel import sysctl
from kernel.errors import KernelError
from kernel.netlink.handle import Address, Handle, Link
from kernel.netlink.requests import AddAddress, DeleteAddress, Request, SetLink
from kernel.sysctl import Parameter
from system.ip import IPInterface

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}


def ensure(plan: Attachment, host: Handle, bridge: Link, carrier: Link) -> None:
    """Put every gateway address of the plan on `carrier`, and let the host forward packets.

    `carrier` is the bridge itself, or the gateway link of a VLAN. IPv6 is enabled on it when one of the addresses is
    IPv6, and a strict reverse path filter becomes a loose one.

    Raises CniError 103 for an address that contradicts, or for a second bridge on the same lease.
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
    """Return the requests: delete `in_the_way`, add `missing`, and set the link's own MAC.

    See docs/reference/cni.md 2.2.
    """
    return [
        *(DeleteAddress(carrier.index, address) for address in in_the_way),
        *(AddAddress(carrier.index, address, nodad=True, replace=True) for address in missing),
        # Writing the MAC that the bridge has makes it permanent: otherwise the kernel changes it with the ports.
        SetLink(carrier.index, mac=carrier.mac),
    ]


def _in_the_way(plan: Attachment, missing: list[IPInterface], present: tuple[Address, ...]) -> list[IPInterface]:
    return [entry.address for entry in present if any(_contradict(plan, entry.address, wanted) for wanted in missing)]


def _in_use(host: Handle, bridge: Link, carrier: Link) -> bool:
    """Return whether containers are on the bridge: it has ports, not counting the one behind its gateway link."""
    return any(link.master == bridge.index and link.index != carrier.peer for link in host.links())


def _contradict(plan: Attachment, present: IPInterface, wanted: IPInterface) -> bool:
    """Return whether two addresses cannot be on one link (docs/reference/cni.md 2.2).

    These are two IPv4 addresses, or overlapping IPv6 prefixes. The bridge of a lease carries only that lease, so any
    other global address on it contradicts.
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
    """Return when the old addresses may be deleted, else raise CniError 103.

    They may when the configuration asks for it, or when the lease changed and no container is left.
    """
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
    """Raise CniError 103 when another bridge already carries an address of a leased subnet."""
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
    """Look for a second bridge again, and undo ours if there is one: two first ADDs may have run at the same moment."""
    try:
        refuse_second_bridge(plan, host)
    except CniError:
        for error in host.attempt([DeleteAddress(carrier.index, address) for address in added]):
            _unless_gone(error)
        raise


def _unless_gone(error: KernelError | None) -> None:
    if error is not None and not error.gone:
        raise error
