"""The rules that let container traffic through and out: what they are, in order, for either tool.

docs/reference/flannel.md 6.1's rules, also where nftables mode (6.2) has them wrong: the mark is tested with its mask, and a host's
packet to a remote container is masqueraded. Several networks share the host's one set, also with other daemons (flanneld, another
tulled), whose rules are not touched: what is ours is known by its network. What spares comes before what translates. What must come
before other programs' rules is apart. overlay.firewall.nftables and overlay.firewall.iptables spell the rules. Nothing is removed at exit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from overlay.backends import IPNetwork

MARK = 0x4000
"""kube-proxy's masquerade mark: such a packet is translated already."""

MULTICAST = {4: ip_network("224.0.0.0/4"), 6: ip_network("ff00::/8")}

Verdict = Literal["return", "masquerade", "accept"]


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """What one network asks for in one family: `network` of all hosts, own `subnet`, and what to do.

    What containers send to a network of `excluded` keeps its source address. `native` asks for nftables, not iptables.
    `keep_source` holds that against other programs' masquerade, for the network and what is excluded.
    """

    network: IPNetwork
    subnet: IPNetwork
    masquerade: bool
    forward: bool
    fully_random: bool = True
    excluded: tuple[IPNetwork, ...] = ()
    native: bool = False
    keep_source: bool = False


@dataclass(frozen=True, slots=True)
class AddressMatch:
    """A source or destination a packet must have, or must not."""

    network: IPNetwork
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; a side that is None matches any, `marked` only what bears MARK."""

    verdict: Verdict
    source: AddressMatch | None = None
    target: AddressMatch | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a family in one tool, in order: what is translated, and what is let through."""

    version: int
    masquerade: tuple[Rule, ...] = ()
    forward: tuple[Rule, ...] = ()
    fully_random: bool = True
    first: tuple[Rule, ...] = ()
    """What is accepted before any other program translates it: in iptables, where those programs do."""
    networks: frozenset[IPNetwork] = frozenset()
    """The networks whose rules are this plan's to keep, also those that want none (any more)."""

    @property
    def empty(self) -> bool:
        """True when there is no rule of flannel's at all."""
        return not (self.masquerade or self.forward)


def plan(version: int, wanted: Sequence[NetworkRules], networks: Iterable[IPNetwork] = ()) -> RuleSet:
    """Return the rules that all networks of one family together come to; rules of `networks`, too, are ours, and go."""
    translating = [one for one in wanted if one.masquerade]
    masquerade = (
        Rule("return", marked=True),
        *(rule for one in translating for rule in _spared(one)),
        *(rule for one in translating for rule in _translated(one)),
    )
    return RuleSet(
        version,
        masquerade if translating else (),
        tuple(rule for one in wanted if one.forward for rule in _accepts(one)),
        all(one.fully_random for one in wanted),
        tuple(rule for one in wanted if one.keep_source for rule in _kept(one)),
        frozenset([*(one.network for one in wanted), *networks]),
    )


def _spared(rules: NetworkRules) -> Iterable[Rule]:
    everywhere, own = AddressMatch(rules.network), AddressMatch(rules.subnet)
    yield Rule("return", own, everywhere)
    yield Rule("return", everywhere, own)
    yield Rule("return", AddressMatch(rules.network, inside=False), own)
    yield from (Rule("return", everywhere, AddressMatch(one)) for one in rules.excluded)


def _kept(rules: NetworkRules) -> Iterable[Rule]:
    """Yield what leaves this host's containers untranslated, but not what stays here: a hairpin needs its masquerade."""
    own = AddressMatch(rules.subnet)
    yield Rule("return", own, own)
    yield from (Rule("accept", own, AddressMatch(one)) for one in (rules.network, *rules.excluded))


def _translated(rules: NetworkRules) -> Iterable[Rule]:
    everywhere = AddressMatch(rules.network)
    yield Rule("masquerade", everywhere, AddressMatch(MULTICAST[rules.network.version], inside=False))
    yield Rule("masquerade", AddressMatch(rules.network, inside=False), everywhere)


def _accepts(rules: NetworkRules) -> tuple[Rule, Rule]:
    return Rule("accept", source=AddressMatch(rules.network)), Rule("accept", target=AddressMatch(rules.network))
