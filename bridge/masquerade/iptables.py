"""Puts the plan's masquerade into iptables words and finds an attachment's rules again (docs/reference/cni.md 2.5, iptables).

Chains, rules and comments are the reference's, so that either program can remove what the other added. Its one chain
serves all interfaces of a container on a network: what belongs to one of them is told by addresses alone.
Pure: reads and builds rules as words; must not run iptables.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha512

from bridge.plan import Masquerade
from cni.attachment_id import AttachmentID, spellings, written
from cni.errors import quoted
from cni.types import IPAddress

TABLE = "nat"
HOOK = "POSTROUTING"
MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}

Rule = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One `iptables-restore`: chains to make or empty, then rules to add (`-A`), delete (`-D`) or chains to drop (`-X`)."""

    chains: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def chain_name(network: str, container_id: str) -> str:
    """Return the chain of a container on a network: 28 characters, whatever the interface is called."""
    return f"CNI-{sha512(f'{network}{container_id}'.encode()).hexdigest()[:24]}"


def comment(network: str, container_id: str) -> str:
    """Return the comment of every rule, at most 255 bytes."""
    return written(network, container_id, lambda name, identity: f"name: {quoted(name)} id: {quoted(identity)}")


def addition(owner: AttachmentID, wanted: Iterable[Masquerade], existing: Sequence[Rule]) -> Change:
    """Return what makes the rules of `wanted` (all of one family) stand, once each, beside those already there.

    Accepts come before the masquerade: with several addresses the reference's order would translate inside a subnet.
    """
    chain = chain_name(owner.network, owner.container_id)
    there = _rules_in(chain, existing)
    rules = list(dict.fromkeys((*there, *(rule for each in wanted for rule in _chain_rules(owner, each)))))
    rules.sort(key=lambda rule: rule[-1] != "ACCEPT")
    jumps = [jump for each in wanted if (jump := _jump(owner, each.address)) not in existing]
    if not jumps and len(rules) == len(there):
        return Change()
    return Change((chain,), (*rules, *jumps))


def first(owner: AttachmentID, wanted: Iterable[Masquerade]) -> Change:
    """Return the addition that needs no look at what is there: where the container has a chain, it is refused as a whole.

    Without a chain there can be no jump to it either.
    """
    return Change((), (("-N", chain_name(owner.network, owner.container_id)), *addition(owner, wanted, ()).rules))


def complete(owner: AttachmentID, wanted: Iterable[Masquerade], existing: Sequence[Rule]) -> bool:
    """Tell whether every rule of `wanted` stands."""
    return addition(owner, wanted, existing) == Change()


def present(owner: AttachmentID, existing: Sequence[Rule]) -> bool:
    """Tell whether the container has a chain, without which there is nothing to remove."""
    return ("-N", chain_name(owner.network, owner.container_id)) in existing


def removal(owner: AttachmentID, existing: Sequence[Rule], addresses: Collection[IPAddress] | None) -> Change:
    """Return what removes the container's rules: all of them, or (`addresses` given) only the jumps from those.

    The chain goes with its last jump. The jump's historic form, from the whole prefix, goes with the chain.
    """
    chain = chain_name(owner.network, owner.container_id)
    jumps = [rule for rule in existing if _jumps_to(rule, chain)]
    doomed = jumps if addresses is None else [rule for rule in jumps if rule[3] in {_host(each) for each in addresses}]
    if len(doomed) < len(jumps):
        return Change((), tuple(map(_undo, doomed)))
    return _drop(chain, existing, doomed)


def strangers(network: str, known: Collection[AttachmentID], existing: Sequence[Rule]) -> Change:
    """Return what removes every chain of `network` whose container is not among the `known`.

    A chain belongs to a container only when the comment in it gives the chain its name: nothing else is touched.
    """
    keep = {chain_name(owner.network, owner.container_id) for owner in known}
    chains: list[str] = []
    rules: list[Rule] = []
    for chain in dict.fromkeys(filter(None, (_owned(rule, network) for rule in existing))):
        if chain not in keep:
            change = _drop(chain, existing, [rule for rule in existing if _jumps_to(rule, chain)])
            chains.extend(change.chains)
            rules.extend(change.rules)
    return Change(tuple(chains), tuple(rules))


def _chain_rules(owner: AttachmentID, wanted: Masquerade) -> list[Rule]:
    """Return the container's chain in iptables' own spelling, so that it can be compared with a listing."""
    chain = chain_name(owner.network, owner.container_id)
    remark = ("-m", "comment", "--comment", comment(owner.network, owner.container_id))
    accepts = [("-A", chain, "-d", str(network), *remark, "-j", "ACCEPT") for network in wanted.inside]
    elsewhere = ("!", "-d", MULTICAST[wanted.address.version])
    return [*accepts, ("-A", chain, *elsewhere, *remark, "-j", "MASQUERADE")]


def _jump(owner: AttachmentID, address: IPAddress) -> Rule:
    remark = ("-m", "comment", "--comment", comment(owner.network, owner.container_id))
    return ("-A", HOOK, "-s", _host(address), *remark, "-j", chain_name(owner.network, owner.container_id))


def _host(address: IPAddress) -> str:
    return f"{address}/{address.max_prefixlen}"


def _rules_in(chain: str, existing: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in existing if rule[:2] == ("-A", chain)]


def _jumps_to(rule: Rule, chain: str) -> bool:
    return rule[:2] == ("-A", HOOK) and rule[-2:] == ("-j", chain)


def _undo(rule: Rule) -> Rule:
    return ("-D", *rule[1:])


def _drop(chain: str, existing: Sequence[Rule], jumps: Sequence[Rule]) -> Change:
    if ("-N", chain) not in existing:
        return Change()
    return Change((chain,), (*map(_undo, jumps), ("-X", chain)))


def _owned(rule: Rule, network: str) -> str | None:
    """Return the chain a rule stands in or jumps to, if its comment names `network` and the container of that chain."""
    if rule[0] != "-A" or "--comment" not in rule[:-1]:
        return None
    chain = rule[-1] if rule[1] == HOOK else rule[1]
    text = rule[rule.index("--comment") + 1]
    starts = (f'name: {quoted(name)} id: "' for name in spellings(network))
    start = next((each for each in starts if text.startswith(each) and text.endswith('"')), None)
    return chain if start and chain == chain_name(network, text[len(start) : -1]) else None
