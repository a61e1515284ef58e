"""Applies the rules of overlay.firewall.rules: compares with what the tool lists, changes what differs at once.

The network config chooses iptables or nftables (docs/reference/flannel.md 6). The other tool is used only where the
chosen one is absent; rules left in it are removed (6.3). Of the tunnel filter only set elements are changed, when
nothing else differs. IP forwarding is turned on, too. It starts programs, so it must not run in the event loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kernel import sysctl
from kernel.errors import KernelError
from kernel.firewall import iptables, nft
from kernel.firewall.iptables import Chain
from overlay.firewall import iptables as spelling
from overlay.firewall import nftables, tunnel_filter
from overlay.firewall import rules as firewall
from overlay.firewall.nftables import Json
from overlay.firewall.rules import NetworkRules, RuleSet
from system.ip import IPNetwork

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
"""The sysctl that lets a family's packets through from one link to another."""

NFTABLES, IPTABLES = "nftables", "iptables"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a sync of the rules, or of the tunnel filter, changed, and what it could not change."""

    changed: tuple[str, ...]
    """What was changed."""
    problem: str
    """Why the rules are not as wanted; empty when they are."""
    unguarded: str = ""
    """Why the tunnel filter is not as wanted; empty when it is."""
    notice: str = ""
    """That another tool is used than the network config asks for; empty when it is not."""
    exposed: str = ""
    """Which networks are not isolated from each other; empty for none."""
    contested: str = ""
    """What another program changes again and again; empty for nothing."""


class FirewallSync:
    """Syncs rules and tunnel filter; remembers what this host's tools can do, and which rules were removed already."""

    def __init__(self) -> None:
        self._fully_random = True
        self._usable: dict[tuple[str, int], bool] = {}
        self._cleaned: set[IPNetwork] = set()
        self._legacy: dict[int, bool] = {}
        self._guards: dict[str, tuple[tunnel_filter.Shape, tuple[str, ...]]] = {}
        """By table: the shape of the filter that was loaded, and the structure nft listed after that."""

    @property
    def sees_all_changes(self) -> bool:
        """Return whether the kernel tells of every change to our rules: not when they are in iptables' own tables."""
        return not any(self._legacy.values())

    def enforce(
        self,
        wanted: Sequence[NetworkRules],
        packet_filter: tunnel_filter.TunnelFilter | None = None,
        gone: frozenset[IPNetwork] = frozenset(),
    ) -> SyncResult:
        """Sync the rules of all families and the tunnel filter, and remove the rules of the networks in `gone`.

        Each part is tried whatever happened to the others.
        """
        changed: list[str] = []
        problems: list[str] = []
        notices: list[str] = []
        for version in sorted({one.network.version for one in wanted} | {one.version for one in gone}):
            try:
                mine = [one for one in wanted if one.network.version == version]
                changed += self._family(version, mine, notices, [one for one in gone if one.version == version])
            except KernelError as problem:
                problems.append(_reason(problem))
                self._usable.clear()  # whatever was true of the tools may not be any more
        unguarded = ""
        try:
            changed += self._guard(packet_filter) if packet_filter else []
        except KernelError as problem:
            unguarded = _unguarded(packet_filter, problem)
        return SyncResult(tuple(changed), "; ".join(problems), unguarded, "; ".join(notices))

    def follow(
        self, before: tunnel_filter.TunnelFilter | None, packet_filter: tunnel_filter.TunnelFilter | None
    ) -> SyncResult:
        """Change the tunnel filter from `before`, as it was last seen, to `packet_filter`; it is listed only after a refusal."""
        try:
            return SyncResult(tuple(self._follow(before, packet_filter) if packet_filter else []), "")
        except KernelError as problem:
            return SyncResult((), "", _unguarded(packet_filter, problem))

    def _guard(self, packet_filter: tunnel_filter.TunnelFilter) -> list[str]:
        """Sync the filter's table: the first time it is replaced, later compared with what nft listed after that.

        nft lists a table in other words than it was given, so only two listings can be compared.
        """
        if not packet_filter.enabled and not nft.installed():
            return []  # without nft there is no table to delete
        listing, shape = nft.listing(tunnel_filter.FAMILY, packet_filter.table), tunnel_filter.shape(packet_filter)
        if not packet_filter.enabled and not listing:
            return []
        if packet_filter.enabled and self._guards.get(packet_filter.table) == (shape, tunnel_filter.structure(listing)):
            return _change(packet_filter, tunnel_filter.full(packet_filter, listing))
        nft.load(tunnel_filter.script(packet_filter))
        self._guards.pop(packet_filter.table, None)
        if not packet_filter.enabled:
            return ["taking the guard away"]
        self._guards[packet_filter.table] = (
            shape,
            tunnel_filter.structure(nft.listing(tunnel_filter.FAMILY, packet_filter.table)),
        )
        return [_said(packet_filter)]

    def _follow(
        self, before: tunnel_filter.TunnelFilter | None, packet_filter: tunnel_filter.TunnelFilter
    ) -> list[str]:
        commands = tunnel_filter.incremental(before, packet_filter) if before else None
        if commands is None:
            return self._guard(packet_filter)
        try:
            return _change(packet_filter, commands)
        except KernelError:  # somebody changed the table since
            return self._guard(packet_filter)

    def _family(
        self, version: int, wanted: Sequence[NetworkRules], notices: list[str], gone: Sequence[IPNetwork]
    ) -> list[str]:
        changed = []
        if wanted and sysctl.ensure(FORWARDING[version], "1"):
            changed.append(f"turning on {FORWARDING[version]}")
        tools = [self._tool(version, one, notices) for one in wanted]
        ours = [*(one.network for one in wanted), *gone]  # a network that has the other tool now left rules in this one
        chosen = {
            tool: firewall.plan(version, [one for one, its in zip(wanted, tools, strict=True) if its == tool], ours)
            for tool in (NFTABLES, IPTABLES)
        }
        chosen = {
            tool: replace(one, fully_random=one.fully_random and self._fully_random) for tool, one in chosen.items()
        }
        changed += self._in_nftables(chosen[NFTABLES], wanted=NFTABLES in tools)
        try:
            return [*changed, *self._in_iptables(chosen[IPTABLES], chosen[NFTABLES])]
        except KernelError:  # another daemon may have changed the chains between our listing and our change
            return [*changed, *self._in_iptables(chosen[IPTABLES], chosen[NFTABLES])]

    def _tool(self, version: int, rules: NetworkRules, notices: list[str]) -> str:
        """Return the tool of the network config, unless only the other one can be used."""
        first, second = (NFTABLES, IPTABLES) if rules.native else (IPTABLES, NFTABLES)
        if self._can(first, version) or not self._can(second, version):
            return first
        said = "on" if rules.native else "off"
        notices.append(
            f"EnableNFTables is {said}, but IPv{version} has no usable {first} here: {second} is used instead"
        )
        return second

    def _can(self, tool: str, version: int) -> bool:
        key = (tool, version)
        if key not in self._usable:
            self._usable[key] = nft.usable() if tool == NFTABLES else iptables.usable(version)
        return self._usable[key]

    def _in_nftables(self, plan: RuleSet, *, wanted: bool) -> list[str]:
        """Sync nftables with the plan; where no network wants nftables, remove, once, what an earlier start left there."""
        if not wanted and (plan.networks <= self._cleaned or not self._can(NFTABLES, plan.version)):
            return []
        family, name = nftables.family(plan.version), nftables.name(plan.version)
        if wanted and plan.empty and not self._can(NFTABLES, plan.version):
            return []  # nothing is wanted, and without nft nothing can be there
        listing = nft.listing(family, name)
        if not wanted:
            self._cleaned |= plan.networks
            nft.run(commands := nftables.removal(plan, listing))
            return [f"removing our rules from table {family} {name}"] if commands else []
        self._cleaned -= plan.networks
        if not nftables.changes(plan, listing):
            return []
        self._with_random_fallback(plan, lambda one: nft.run(nftables.changes(one, listing)))
        return [f"setting table {family} {name}"]

    def _in_iptables(self, plan: RuleSet, native: RuleSet) -> list[str]:
        """Sync flannel's chains with the plan; an empty plan removes them.

        Where iptables' FORWARD drops by policy (Docker sets that), what nftables accepts is accepted here, too: a
        packet that one of the two drops is lost, whatever the other accepts.
        """
        version = plan.version
        needed = bool(not plan.empty or plan.first or native.first)
        try:
            tables = iptables.saved(version)
        except KernelError:
            if needed:
                raise
            return []  # an iptables that cannot list neither drops nor translates anything
        plans = [plan, native] if iptables.policy(tables, "filter", "FORWARD") == "DROP" else [plan]
        if version not in self._legacy and needed:
            self._legacy[version] = iptables.legacy(version)

        def settle(one: RuleSet) -> tuple[str, ...]:
            chains = (
                Chain(
                    "nat",
                    "FLANNEL-POSTRTG",
                    "POSTROUTING",
                    "flanneld masq",
                    spelling.masquerading(one),
                    networks=plan.networks,
                ),
                Chain(
                    "filter",
                    "FLANNEL-FWD",
                    "FORWARD",
                    "flanneld forward",
                    spelling.forwarding(plans),
                    networks=plan.networks,
                ),
                Chain(
                    *("nat", "TULLE-KEEP-SOURCE", "POSTROUTING", "tulled keep-source"),
                    *(spelling.keeping([one, native]), True, plan.networks),
                ),
            )
            kept = [chain for chain in chains if chain.rules]
            return iptables.settle(version, tables, kept, [chain for chain in chains if not chain.rules])

        return [f"setting {name} of IPv{version}'s iptables" for name in self._with_random_fallback(plan, settle)]

    def _with_random_fallback(self, plan: RuleSet, act: Callable[[RuleSet], T]) -> T:
        """Call `act`, and again without fully random ports if that is refused: an old kernel or tool lacks them."""
        try:
            return act(plan)
        except KernelError:
            if not (plan.fully_random and plan.masquerade):
                raise
        done = act(replace(plan, fully_random=False))
        self._fully_random = False
        return done


def _reason(problem: KernelError) -> str:
    return f"{problem}; {problem.hint}" if problem.hint else str(problem)


def _unguarded(packet_filter: tunnel_filter.TunnelFilter | None, problem: KernelError) -> str:
    """Return what a missing tunnel filter means; empty without nftables where WireGuard's keys prove the senders."""
    if packet_filter and packet_filter.tunnel.form == "sealed" and problem.unsupported:
        return ""
    return f"anybody may send to the tunnel: {_reason(problem)}, or switch the guard off with --tunnel-guard=false"


def _change(packet_filter: tunnel_filter.TunnelFilter, commands: list[Json]) -> list[str]:
    if not commands:
        return []
    nft.run(commands)
    return [_said(packet_filter)]


def _said(packet_filter: tunnel_filter.TunnelFilter) -> str:
    return f"letting {len(packet_filter.tunnel.peers)} peers send to the tunnel {packet_filter.tunnel.name}"
