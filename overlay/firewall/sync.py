"""Keeps the firewall as overlay.firewall.rules says: compares what the tool lists, and changes in one transaction what differs.

iptables or nftables, as the network config chooses (docs/reference/flannel.md 6); the other one only where the chosen
one is absent, and its leftovers are removed (6.3). Of the tunnel's guard only the elements, if it is no more than
these. Also sees that the host forwards at all. Starts programs, so it runs beside the event loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kernel import sysctl
from kernel.errors import KernelError
from kernel.firewall import iptables, nft
from kernel.firewall.iptables import Chain
from overlay.backends import IPNetwork
from overlay.firewall import iptables as spelling
from overlay.firewall import nftables, tunnel_filter
from overlay.firewall import rules as firewall
from overlay.firewall.nftables import Json
from overlay.firewall.rules import NetworkRules, RuleSet

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
"""The sysctl that lets a family's packets through from one link to another."""

NFTABLES, IPTABLES = "nftables", "iptables"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What keeping the rules changed, and what could not be: of the rules, and of the tunnel's guard.

    `notice` says when another tool is used than the network config asks for; `exposed` which networks are not kept apart,
    and `contested` what somebody else changes again and again.
    """

    changed: tuple[str, ...]
    problem: str
    unguarded: str = ""
    notice: str = ""
    exposed: str = ""
    contested: str = ""


class FirewallSync:
    """Remembers between two looks what this host can do, and what has been cleaned."""

    def __init__(self) -> None:
        self._fully_random = True
        self._usable: dict[tuple[str, int], bool] = {}
        self._cleaned: set[IPNetwork] = set()
        self._legacy: dict[int, bool] = {}
        self._guards: dict[str, tuple[tunnel_filter.Shape, tuple[str, ...]]] = {}
        """By table: the shape of the guard that was put there, and the structure nft then listed."""

    @property
    def overhears(self) -> bool:
        """Return whether the kernel would tell of every change to our rules: not when they are in iptables' own tables."""
        return not any(self._legacy.values())

    def enforce(
        self,
        wanted: Sequence[NetworkRules],
        wish: tunnel_filter.TunnelFilter | None = None,
        gone: frozenset[IPNetwork] = frozenset(),
    ) -> SyncResult:
        """Bring all families and the guard in line, each whatever became of the others; take away the rules of `gone` networks."""
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
            changed += self._guard(wish) if wish else []
        except KernelError as problem:
            unguarded = _bare(wish, problem)
        return SyncResult(tuple(changed), "; ".join(problems), unguarded, "; ".join(notices))

    def follow(self, before: tunnel_filter.TunnelFilter | None, wish: tunnel_filter.TunnelFilter | None) -> SyncResult:
        """Bring the guard alone from what was last seen in place to a new wish, looking at it only if that is refused."""
        try:
            return SyncResult(tuple(self._follow(before, wish) if wish else []), "")
        except KernelError as problem:
            return SyncResult((), "", _bare(wish, problem))

    def _guard(self, wish: tunnel_filter.TunnelFilter) -> list[str]:
        """Have the table as wished: the first look replaces it, later ones compare with what nft listed after that."""
        if not wish.armed and not nft.installed():
            return []  # there cannot be one
        listing, shape = nft.listing(tunnel_filter.FAMILY, wish.table), tunnel_filter.shape(wish)
        if not wish.armed and not listing:
            return []
        if wish.armed and self._guards.get(wish.table) == (shape, tunnel_filter.structure(listing)):
            return _change(wish, tunnel_filter.full(wish, listing))
        nft.load(tunnel_filter.script(wish))
        self._guards.pop(wish.table, None)
        if not wish.armed:
            return ["taking the guard away"]
        self._guards[wish.table] = shape, tunnel_filter.structure(nft.listing(tunnel_filter.FAMILY, wish.table))
        return [_said(wish)]

    def _follow(self, before: tunnel_filter.TunnelFilter | None, wish: tunnel_filter.TunnelFilter) -> list[str]:
        commands = tunnel_filter.incremental(before, wish) if before else None
        if commands is None:
            return self._guard(wish)
        try:
            return _change(wish, commands)
        except KernelError:  # somebody changed the table since
            return self._guard(wish)

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
        except KernelError:  # perhaps another daemon was faster between our look and our change
            return [*changed, *self._in_iptables(chosen[IPTABLES], chosen[NFTABLES])]

    def _tool(self, version: int, rules: NetworkRules, notices: list[str]) -> str:
        """Choose as the network config does, unless only the other tool is there."""
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
        """Have the table hold the plan; where no network wants nftables, take what an earlier start left there away, once."""
        if not wanted and (plan.networks <= self._cleaned or not self._can(NFTABLES, plan.version)):
            return []
        family, name = nftables.family(plan.version), nftables.name(plan.version)
        if wanted and plan.empty and not self._can(NFTABLES, plan.version):
            return []  # nothing is wanted, and nothing can be there
        listing = nft.listing(family, name)
        if not wanted:
            self._cleaned |= plan.networks
            nft.run(commands := nftables.removal(plan, listing))
            return [f"removing our rules from table {family} {name}"] if commands else []
        self._cleaned -= plan.networks
        if not nftables.changes(plan, listing):
            return []
        self._whichever(plan, lambda one: nft.run(nftables.changes(one, listing)))
        return [f"setting table {family} {name}"]

    def _in_iptables(self, plan: RuleSet, native: RuleSet) -> list[str]:
        """Have flannel's chains hold the plan, and nothing where it is empty.

        What nftables lets through is accepted here, too, where iptables drops by policy (Docker does that): no accept
        there could help.
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

        return [f"setting {name} of IPv{version}'s iptables" for name in self._whichever(plan, settle)]

    def _whichever(self, plan: RuleSet, act: Callable[[RuleSet], T]) -> T:
        """Act, and without fully random ports where that is refused: an old kernel or tool chooses them in order."""
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


def _bare(wish: tunnel_filter.TunnelFilter | None, problem: KernelError) -> str:
    """Return what it means that the guard cannot be; nothing where this host has no nftables and a key proves who sends."""
    if wish and wish.tunnel.form == "sealed" and problem.unsupported:
        return ""
    return f"anybody may send to the tunnel: {_reason(problem)}, or switch the guard off with --tunnel-guard=false"


def _change(wish: tunnel_filter.TunnelFilter, commands: list[Json]) -> list[str]:
    if not commands:
        return []
    nft.run(commands)
    return [_said(wish)]


def _said(wish: tunnel_filter.TunnelFilter) -> str:
    return f"letting {len(wish.tunnel.peers)} peers send to the tunnel {wish.tunnel.name}"
