"""The rules that let container traffic through and out: which they are, and in which order, for either tool.

They are those of docs/reference/flannel.md 6.1, also in two places where flannel's nftables mode (6.2) is wrong: the
mark is tested with its mask, and a host's packet to a remote container is masqueraded.

Several networks share the host's one set of rules, also with other daemons (flanneld, another tulled). A rule belongs
to the network it names; rules of other networks are not touched. Rules that exempt packets from masquerading come
before those that masquerade. Nothing is removed when the daemon ends. overlay.firewall.nftables and
overlay.firewall.iptables write the rules down for their tools.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from system.ip import IPNetwork

MARK = 0x4000
"""kube-proxy's masquerade mark: kube-proxy masquerades such a packet itself."""

MULTICAST = {4: ip_network("224.0.0.0/4"), 6: ip_network("ff00::/8")}

Verdict = Literal["return", "masquerade", "accept"]


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """What one network wants of the firewall in one family."""

    network: IPNetwork
    """The range of all hosts."""
    subnet: IPNetwork
    """The part of it that this host has."""
    masquerade: bool
    """Whether to masquerade what containers send out of the network."""
    forward: bool
    """Whether to accept the network's traffic in the forward chain."""
    fully_random: bool = True
    """Whether masquerading chooses source ports at random."""
    excluded: tuple[IPNetwork, ...] = ()
    """Networks to which containers' packets keep their source address."""
    native: bool = False
    """Whether the network config asks for nftables instead of iptables."""
    keep_source: bool = False
    """Whether to keep other programs from masquerading traffic to the network and to `excluded`."""


@dataclass(frozen=True, slots=True)
class AddressMatch:
    """A condition on a packet's source or destination address."""

    network: IPNetwork
    """The network to compare with."""
    inside: bool = True
    """Whether the address must be in the network, or must not."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    verdict: Verdict
    """What happens to a packet that matches."""
    source: AddressMatch | None = None
    """What its source must be; None for any."""
    target: AddressMatch | None = None
    """What its destination must be; None for any."""
    marked: bool = False
    """Whether the packet must have the mark MARK."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of one family in one tool."""

    version: int
    """The IP version, 4 or 6."""
    masquerade: tuple[Rule, ...] = ()
    """The rules behind POSTROUTING, in order."""
    forward: tuple[Rule, ...] = ()
    """The rules behind FORWARD, in order."""
    fully_random: bool = True
    """Whether masquerading chooses source ports at random."""
    first: tuple[Rule, ...] = ()
    """What is accepted before any other program masquerades it; always in iptables, because those programs use it."""
    networks: frozenset[IPNetwork] = frozenset()
    """The networks whose rules are ours, also those that want none now: rules of any other network are not touched."""

    @property
    def empty(self) -> bool:
        """True when there is no rule of flannel's at all."""
        return not (self.masquerade or self.forward)


def plan(version: int, wanted: Sequence[NetworkRules], networks: Iterable[IPNetwork] = ()) -> RuleSet:
    """Return the rules of all networks of one family; rules of `networks` that are not wanted will be removed."""
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
    """Yield the rules that keep containers' source addresses, except on this host: a hairpin needs its masquerade."""
    own = AddressMatch(rules.subnet)
    yield Rule("return", own, own)
    yield from (Rule("accept", own, AddressMatch(one)) for one in (rules.network, *rules.excluded))


def _translated(rules: NetworkRules) -> Iterable[Rule]:
    everywhere = AddressMatch(rules.network)
    yield Rule("masquerade", everywhere, AddressMatch(MULTICAST[rules.network.version], inside=False))
    yield Rule("masquerade", AddressMatch(rules.network, inside=False), everywhere)


def _accepts(rules: NetworkRules) -> tuple[Rule, Rule]:
    return Rule("accept", source=AddressMatch(rules.network)), Rule("accept", target=AddressMatch(rules.network))
