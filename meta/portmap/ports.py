"""Adds, finds and removes the rules that publish ports (docs/reference/cni.md 4.1).

Writers of ours hold a lock of the network namespace, so that no two take the same port. When another program changes
the rules in between, they are read again. meta.portmap.claims decides who may have a port, meta.portmap.rules what the
rules say.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from cni.errors import CniError, Code
from kernel import sysctl
from kernel.firewall import choose as backends
from kernel.firewall import iptables, lock, nft
from kernel.netlink import conntrack
from kernel.netlink.conntrack import FlowFilter
from meta import rule_update
from meta.portmap import claims, state
from meta.portmap.plan import FAMILIES
from meta.portmap.rules import iptables as legacy
from meta.portmap.rules import nftables as modern
from meta.portmap.state import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import Any

    from cni.attachment_id import AttachmentID
    from cni.types import Result
    from kernel.netlink.handle import Handle
    from meta.portmap.claims import Holder, Published
    from meta.portmap.plan import Publication
    from meta.portmap.state import Memories
    from system.ip import IPAddress

BACKENDS = ("iptables", "nftables")


@dataclass(frozen=True, slots=True)
class Found:
    """The rules in both backends for some IP versions. A backend that does not work here has none."""

    legacy: dict[int, list[legacy.Rule]]  # iptables rules by IP version
    modern: dict[int, list[dict[str, Any]]]  # nftables objects by IP version
    snapshots: dict[int, iptables.Snapshot]
    """The listings from which `legacy` was taken; they also contain iptables' other tables."""

    def published(self) -> Iterator[Published]:
        """Yield every published port, with its attachment."""
        for rules in self.legacy.values():
            yield from legacy.published(rules)
        for objects in self.modern.values():
            yield from modern.published(objects)


def choose(configured: str, answered: Collection[int] = ()) -> str:
    """Return the backend: the configured one, else one that works.

    iptables has just `answered` for these IP versions.
    """
    return backends.choose(configured, (4,), answered)


def publish(plan: Publication, backend: str, memories: Memories, earlier: Result, host: Handle) -> list[Published]:
    """Add the plan's rules and remove those of others that may be removed; return what these published.

    When a step fails, nothing of the plan stays. `backend` is the configured one, or empty: take the one that works.
    Raises CniError 103 for a port that another container has, 11 for a missing external chain, and KernelError.
    """
    device = localnet_device(plan, host)
    evicted: list[Published] = []
    with ExitStack() as undo:
        with lock.rules_lock():
            rule_update.repeat(lambda: evicted.extend(_publish(plan, backend, memories, earlier, host, undo)))
        if device:
            sysctl.ensure(localnet_key(device), "1")
        undo.pop_all()
    return evicted


def _publish(
    plan: Publication, configured: str, memories: Memories, earlier: Result, host: Handle, undo: ExitStack
) -> list[Published]:
    found = read(plan.families)
    gone = claims.evicted(plan, found.published(), lambda mark: _is_dead(mark, memories, host))
    _require_chain(plan, found)
    backend = choose(configured, [family for family, rules in found.legacy.items() if rules])
    undo.callback(withdraw, plan.owner, backend, None, [])
    undo.callback(memories.forget, plan.owner)
    named = any(_is_own(plan.owner, host, entry.name) for entry in earlier.interfaces if not entry.sandbox)
    memories.remember(plan.owner, Memory(plan.owner.alias, state.current_boot(), backend, named))
    (_write_modern if backend == "nftables" else _write_legacy)(plan, found, gone)
    return [each for each in found.published() if each.holder in gone] if gone else []


def _require_chain(plan: Publication, found: Found) -> None:
    for side in plan.sides:
        if plan.set_mark_chain and ("-N", plan.set_mark_chain) not in found.legacy[side.family]:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                f'there is no chain "{plan.set_mark_chain}" in the nat table for IPv{side.family}',
                'start what makes it (kube-proxy makes KUBE-MARK-MASQ), or correct "externalSetMarkChain"',
            )


def _write_modern(plan: Publication, found: Found, gone: Collection[Holder]) -> None:
    for family, rules in found.legacy.items():
        iptables.restore(family, legacy.TABLE, (), legacy.eviction(gone, rules))
    for side in plan.sides:
        if not found.modern[side.family]:
            nft.add_table(modern.FAMILIES[side.family], modern.TABLE, modern.TABLE_COMMENT)
    nft.run([each for side in plan.sides for each in modern.addition(plan, side, found.modern[side.family], gone)])


def _write_legacy(plan: Publication, found: Found, gone: Collection[Holder]) -> None:
    nft.run([each for family, objects in found.modern.items() for each in modern.eviction(gone, family, objects)])
    for side in plan.sides:
        if side.family == 4 and plan.from_loopback and not _has_guard(found.snapshots[4].rules(legacy.MARTIANS_TABLE)):
            iptables.restore(4, legacy.MARTIANS_TABLE, (), [legacy.MARTIANS])
        rules = legacy.addition(plan, side, found.legacy[side.family], gone)
        iptables.restore(side.family, legacy.TABLE, (), rules)


def guarded() -> bool:
    """Return whether iptables drops packets for 127.0.0.0/8 that come from other hosts."""
    return _has_guard(iptables.listing(4, legacy.MARTIANS_TABLE))


def _has_guard(present: Sequence[legacy.Rule]) -> bool:
    return any(sorted(rule) == sorted(legacy.MARTIANS) for rule in present)


def withdraw(owner: AttachmentID, backend: str, known: Collection[IPAddress] | None, gone: list[Published]) -> None:
    """Remove the attachment's rules from `backend` (empty: from both) in one commit each. No rules is success.

    What they published is added to `gone`, also when something fails. Raises an ExceptionGroup of KernelErrors.
    """
    _remove(
        backend,
        gone,
        lambda _, existing: legacy.removal(owner, existing, known),
        lambda family, existing: modern.removal(owner, family, existing, known),
    )


def withdraw_strangers(network: str, known: Collection[AttachmentID], gone: list[Published]) -> None:
    """Remove from both backends the rules of every attachment of `network` that is not among the `known`.

    What they published is added to `gone`, also when something fails.
    """
    _remove(
        "",
        gone,
        lambda _, existing: legacy.strangers(network, known, existing),
        lambda family, existing: modern.strangers(network, known, family, existing),
    )


def _remove(
    backend: str,
    gone: list[Published],
    from_legacy: Callable[[int, list[legacy.Rule]], list[legacy.Rule]],
    from_modern: Callable[[int, list[dict[str, Any]]], list[modern.Command]],
) -> None:
    def in_legacy(family: int) -> None:
        existing = read_legacy(family)
        rules = from_legacy(family, existing)
        gone.extend(legacy.removed(rules, existing))
        iptables.restore(family, legacy.TABLE, (), rules)

    def in_modern() -> None:
        commands = []
        for family in FAMILIES:
            existing = read_modern(family)
            deletions = from_modern(family, existing)
            gone.extend(modern.removed(deletions, existing))
            commands += deletions
        nft.run(commands)

    rule_update.remove(backend, in_legacy, in_modern)


def read(families: Collection[int]) -> Found:
    """Return the rules for these IP versions."""
    snapshots = {family: iptables.Snapshot(family) for family in families}
    return Found(
        {family: snapshot.rules(legacy.TABLE) for family, snapshot in snapshots.items()},
        {family: read_modern(family) for family in families},
        snapshots,
    )


def read_legacy(family: int) -> list[legacy.Rule]:
    """Return the rules in iptables' nat table for one IP version."""
    return iptables.listing(family, legacy.TABLE)


def read_modern(family: int) -> list[dict[str, Any]]:
    """Return the objects of our nftables table for one IP version; empty where nftables does not work."""
    return rule_update.objects(modern.FAMILIES[family], modern.TABLE)


def absent(addresses: Iterable[IPAddress], host: Handle) -> list[str]:
    """Return, for each address that the host lacks now, the command that adds it.

    The rules work as soon as the address exists: a stand-by host publishes before the address moves to it, a booting
    host before DHCP.
    """
    return [_command(address, host) for address in addresses if not _is_local(address, host)]


def waiting(host: Handle) -> list[tuple[Published, str]]:
    """Return every published port whose host address does not exist now, with the command that adds it."""
    found = read(FAMILIES).published()
    return [
        (each, _command(each.host_ip, host))
        for each in dict.fromkeys(found)
        if each.host_ip is not None and not _is_local(each.host_ip, host)
    ]


def _is_local(address: IPAddress, host: Handle) -> bool:
    if address.is_unspecified:
        return True
    way = host.route_to(address)
    return way is not None and way.kind == "local"


def _command(address: IPAddress, host: Handle) -> str:
    way = host.route_to(address)
    link = host.link(way.link) if way and way.link else None
    return f"ip address add {address}/{address.max_prefixlen} dev {link.name if link else 'LINK'}"


def forget_flows(plan: Publication) -> None:
    """Delete UDP flows to the ports: otherwise they would go on to their old destination. Raises KernelError."""
    for family in plan.families:
        udp = [each for each in plan.of_family(family) if each.protocol == "udp"]
        conntrack.delete_flows(family, "udp", [FlowFilter(each.host_port, each.only_at) for each in udp])


def forget_flows_to(gone: Collection[Published]) -> None:
    """Delete UDP flows that `gone` led to containers. Raises KernelError."""
    for family in FAMILIES:
        aims = {
            FlowFilter(each.port, each.host_ip, each.target)
            for each in gone
            if each.protocol == "udp" and each.target.version == family
        }
        conntrack.delete_flows(family, "udp", aims)


def localnet_device(plan: Publication, host: Handle) -> str:
    """Return the link to the container that packets for 127.0.0.0/8 use, or empty (docs/reference/cni.md 4.1, ADD)."""
    if not plan.from_loopback:
        return ""
    side = next(side for side in plan.sides if side.family == 4)
    way = host.route_to(side.target)
    link = host.link(way.link) if way and way.link else None
    return link.name if link else ""


def localnet_key(device: str) -> str:
    """Return the kernel parameter that lets a link route 127.0.0.0/8."""
    return f"net/ipv4/conf/{device}/route_localnet"


def _is_own(owner: AttachmentID, host: Handle, name: str) -> bool:
    link = host.link(name)
    return link is not None and link.alias == owner.alias


def _is_dead(mark: str, memories: Memories, host: Handle) -> bool:
    """Return whether the attachment is certainly gone.

    It was recorded in another boot, or its link had our alias and is gone.
    """
    remembered = memories.recall(mark)
    if remembered is None:
        return False
    now = state.current_boot()
    if now and remembered.boot and remembered.boot != now:
        return True
    return remembered.named_link and all(link.alias != remembered.alias for link in host.links())
