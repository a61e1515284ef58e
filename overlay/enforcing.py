"""Keeps the firewall as overlay.firewall says: compares what nft lists, replaces a table in one transaction when it differs.

Of the tunnel's guard only the elements, if it is no more than these. Also sees that the host forwards at all, and that its own iptables FORWARD policy does not drop what we accept. Starts
programs, so it runs beside the event loop. Must not decide what the rules are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kernel import iptables, nft, sysctl
from kernel.errors import KernelError
from kernel.iptables import Chain
from overlay import firewall, guard
from overlay.firewall import Json, Rules

FORWARDING = {"ip": "net/ipv4/ip_forward", "ip6": "net/ipv6/conf/all/forwarding"}
"""The sysctl that lets a family's packets through from one link to another."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What keeping the rules changed, and what could not be: of the rules, and of the tunnel's guard."""

    changed: tuple[str, ...]
    problem: str
    unguarded: str = ""


class Enforcer:
    """Remembers between two looks whether this kernel knows fully random port choice."""

    def __init__(self) -> None:
        self._fully_random = True
        self._cleaned: set[str] = set()

    def enforce(self, wanted: Sequence[Rules], wish: guard.Wish | None = None) -> Outcome:
        """Bring all families and the guard in line, each whatever became of the others."""
        changed: list[str] = []
        problems: list[str] = []
        for rules in wanted:
            try:
                changed += self._family(rules)
            except KernelError as problem:
                problems.append(_reason(problem))
        unguarded = ""
        try:
            changed += _guard(wish) if wish else []
        except KernelError as problem:
            unguarded = _reason(problem)
        return Outcome(tuple(changed), "; ".join(problems), unguarded)

    def follow(self, before: guard.Wish | None, wish: guard.Wish | None) -> Outcome:
        """Bring the guard alone from what was last seen in place to a new wish, looking at it only if that is refused."""
        try:
            return Outcome(tuple(_follow(before, wish) if wish else []), "")
        except KernelError as problem:
            return Outcome((), "", _reason(problem))

    def _family(self, rules: Rules) -> list[str]:
        changed = []
        if sysctl.ensure(FORWARDING[rules.family], "1"):
            changed.append(f"turning on {FORWARDING[rules.family]}")
        if self._table(replace(rules, fully_random=rules.fully_random and self._fully_random)):
            changed.append(f"replacing table {rules.family} {rules.table}")
        if rules.masquerade and rules.family not in self._cleaned:
            changed += _clean(rules.network.version)
            self._cleaned.add(rules.family)
        if rules.forward and _accept_where_policy_drops(rules):
            changed.append(f"accepting {rules.network} in FLANNEL-FWD")
        return changed

    def _table(self, rules: Rules) -> bool:
        if not firewall.differs(rules, nft.listing(rules.family, rules.table)):
            return False
        try:
            nft.run(firewall.transaction(rules))
        except KernelError:
            if not (rules.fully_random and rules.masquerade):
                raise
            nft.run(firewall.transaction(replace(rules, fully_random=False)))
            self._fully_random = False  # an old kernel: the source port is then chosen in order
        return True


def _reason(problem: KernelError) -> str:
    return f"{problem}; {problem.hint}" if problem.hint else str(problem)


def _guard(wish: guard.Wish) -> list[str]:
    return _change(wish, guard.changes(wish, nft.listing(guard.FAMILY, wish.table)))


def _follow(before: guard.Wish | None, wish: guard.Wish) -> list[str]:
    commands = guard.step(before, wish) if before else None
    if commands is None:
        return _guard(wish)
    try:
        return _change(wish, commands)
    except KernelError:  # somebody changed the table since
        return _guard(wish)


def _change(wish: guard.Wish, commands: list[Json]) -> list[str]:
    if not commands:
        return []
    nft.run(commands)
    if not wish.armed:
        return ["taking the guard away"]
    return [f"letting {len(wish.tunnel.peers)} peers send to VNI {wish.tunnel.vni}"]


def _clean(version: int) -> list[str]:
    """Take away what a flanneld in iptables mode left: its rules would translate what ours spare. Once a start is enough."""
    old = Chain("nat", "FLANNEL-POSTRTG", "POSTROUTING", "flanneld masq", ())
    try:
        removed = iptables.remove_rules(version, old)
    except KernelError:
        return []  # an iptables that cannot list translates nothing either
    return [f"removing {old.name} of IPv{version}'s iptables"] if removed else []


def _accept_where_policy_drops(rules: Rules) -> bool:
    """Put the accepts into flannel's iptables chain (contract 6.1) if the host drops by policy; tell whether it changed."""
    version = rules.network.version
    try:
        if iptables.forward_policy(version) != "DROP":
            return False
    except KernelError:
        return False  # an iptables that cannot list drops nothing either
    accepts = tuple((side, str(rules.network), "-j", "ACCEPT") for side in ("-s", "-d"))
    return iptables.ensure_rules(version, Chain("filter", "FLANNEL-FWD", "FORWARD", "flanneld forward", accepts))
