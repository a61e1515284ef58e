"""Keeps the firewall as overlay.firewall says: compares what nft lists, replaces a table in one transaction when it differs.

Also sees that the host forwards at all, and that its own iptables FORWARD policy does not drop what we accept. Starts
programs, so it runs beside the event loop. Must not decide what the rules are.
"""

from collections.abc import Sequence
from dataclasses import replace

from kernel import iptables, nft, sysctl
from kernel.errors import KernelError
from kernel.iptables import Chain
from overlay import firewall
from overlay.firewall import Rules

FORWARDING = {"ip": "net/ipv4/ip_forward", "ip6": "net/ipv6/conf/all/forwarding"}
"""The sysctl that lets a family's packets through from one link to another."""


class Enforcer:
    """Remembers between two looks whether this kernel knows fully random port choice."""

    def __init__(self) -> None:
        self._fully_random = True

    def enforce(self, wanted: Sequence[Rules]) -> tuple[tuple[str, ...], str]:
        """Bring all families in line; give what was changed and, when not everything could be, the problem."""
        changed: list[str] = []
        for rules in wanted:
            try:
                changed += self._family(rules)
            except KernelError as problem:
                return tuple(changed), f"{problem}; {problem.hint}" if problem.hint else str(problem)
        return tuple(changed), ""

    def _family(self, rules: Rules) -> list[str]:
        changed = []
        if sysctl.ensure(FORWARDING[rules.family], "1"):
            changed.append(f"turning on {FORWARDING[rules.family]}")
        if self._table(replace(rules, fully_random=rules.fully_random and self._fully_random)):
            changed.append(f"replacing table {rules.family} {rules.table}")
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
