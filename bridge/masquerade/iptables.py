"""Writes the plan's masquerade as iptables rules and finds an attachment's rules again.

See docs/reference/cni.md 2.5, iptables.

Chains, rules and comments are the reference's, so that each program can remove what the other added. The reference has
one chain for all interfaces of a container on a network: only the addresses tell which rule belongs to which interface.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha512

from bridge.plan import Masquerade
from cni.attachment_id import AttachmentID, spellings, written
from cni.errors import quoted
from system.ip import IPAddress

TABLE = "nat"
HOOK = "POSTROUTING"
MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}

Rule = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One input of `iptables-restore`."""

    chains: tuple[str, ...] = ()  # to make, or to empty when they exist
    rules: tuple[Rule, ...] = ()  # to add (`-A`), to delete (`-D`); `-X` deletes a chain


def chain_name(network: str, container_id: str) -> str:
    """Return the name of a container's chain on a network: 28 characters, the same for each of its interfaces."""
    return f"CNI-{sha512(f'{network}{container_id}'.encode()).hexdigest()[:24]}"


def comment(network: str, container_id: str) -> str:
    """Return the comment of every rule, at most 255 bytes."""
    return written(network, container_id, lambda name, identity: f"name: {quoted(name)} id: {quoted(identity)}")


def addition(owner: AttachmentID, wanted: Iterable[Masquerade], existing: Sequence[Rule]) -> Change:
    """Return the change after which each rule of `wanted` (all of one family) exists once among the `existing`."""
    chain = chain_name(owner.network, owner.container_id)
    there = _rules_in(chain, existing)
    rules = list(dict.fromkeys((*there, *(rule for each in wanted for rule in _chain_rules(owner, each)))))
    # ACCEPT before MASQUERADE: with several addresses, the reference's order would masquerade traffic inside a subnet.
    rules.sort(key=lambda rule: rule[-1] != "ACCEPT")
    jumps = [jump for each in wanted if (jump := _jump(owner, each.address)) not in existing]
    if not jumps and len(rules) == len(there):
        return Change()
    return Change((chain,), (*rules, *jumps))


def first(owner: AttachmentID, wanted: Iterable[Masquerade]) -> Change:
    """Return the addition for a container without rules, which needs no listing.

    It is refused as a whole when the chain exists.

    Without a chain there can be no jump to it either.
    """
    return Change((), (("-N", chain_name(owner.network, owner.container_id)), *addition(owner, wanted, ()).rules))


def complete(owner: AttachmentID, wanted: Iterable[Masquerade], existing: Sequence[Rule]) -> bool:
    """Return whether every rule of `wanted` exists."""
    return addition(owner, wanted, existing) == Change()


def present(owner: AttachmentID, existing: Sequence[Rule]) -> bool:
    """Return whether the container has a chain, without which there is nothing to remove."""
    return ("-N", chain_name(owner.network, owner.container_id)) in existing


def removal(owner: AttachmentID, existing: Sequence[Rule], addresses: Collection[IPAddress] | None) -> Change:
    """Return the change that removes the container's rules: all of them, or only the jumps from `addresses` if given.

    The chain is removed with its last jump, and with it the form of the jump that older versions of the reference
    wrote, from the whole prefix.
    """
    chain = chain_name(owner.network, owner.container_id)
    jumps = [rule for rule in existing if _jumps_to(rule, chain)]
    doomed = jumps if addresses is None else [rule for rule in jumps if rule[3] in {_host(each) for each in addresses}]
    if len(doomed) < len(jumps):
        return Change((), tuple(map(_undo, doomed)))
    return _drop(chain, existing, doomed)


def strangers(network: str, known: Collection[AttachmentID], existing: Sequence[Rule]) -> Change:
    """Return the change that removes every chain of `network` whose container is not among the `known`.

    A chain counts as a container's only if the comment in it leads to the chain's own name; no other chain is touched.
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
    """Return the rules of the container's chain as iptables prints them, to compare them with a listing."""
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
    """Return the chain that a rule is in or jumps to, if its comment names `network` and the chain's container."""
    if rule[0] != "-A" or "--comment" not in rule[:-1]:
        return None
    chain = rule[-1] if rule[1] == HOOK else rule[1]
    text = rule[rule.index("--comment") + 1]
    starts = (f'name: {quoted(name)} id: "' for name in spellings(network))
    start = next((each for each in starts if text.startswith(each) and text.endswith('"')), None)
    return chain if start and chain == chain_name(network, text[len(start) : -1]) else None
