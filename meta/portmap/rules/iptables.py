"""Writes published ports as iptables rules and finds an attachment's rules again.

See docs/reference/cni.md 4.1, "iptables shape".

Chains, rules and comments are the reference's, so that each program can remove what the other added, and nerdctl can
read which ports are taken. The reference has one chain for all interfaces of a container on a network. Here that is the
chain of eth0; any other interface has its own chain, whose comment names it.

The words of a rule are in the order in which iptables lists them.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from hashlib import sha512

from cni import addresses
from cni.attachment_id import AttachmentID, spellings, written
from cni.errors import quoted
from meta.portmap.claims import Holder, Published

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from meta.portmap.config import PortMapping
    from meta.portmap.plan import Publication, Side
    from system.ip import IPAddress

Rule = tuple[str, ...]

TABLE = "nat"
DNAT = "CNI-HOSTPORT-DNAT"
SETMARK = "CNI-HOSTPORT-SETMARK"
MASQ = "CNI-HOSTPORT-MASQ"
OWN = "CNI-DN-"
HISTORIC = "CNI-SN-"
"""Chains for masquerade that the reference made until 0.7; CNI-HOSTPORT-SNAT jumps to them."""

FIRST = "eth0"
"""The interface whose chain has the reference's name."""

GROUP = 15
"""How many ports one multiport match takes."""

COMMENT = re.compile(r'dnat name: "([^"]+)" id: "([^"]+)"(?: if: (".*"))?')
ESCAPED = re.compile(r"\\(.)")

MARTIANS_TABLE = "raw"
MARTIANS: Rule = (
    *("-A", "PREROUTING", "-d", "127.0.0.0/8", "!", "-i", "lo"),
    *("-m", "comment", "--comment", "CNI portfwd: 127.0.0.0/8 belongs to lo", "-j", "DROP"),
)
"""Drops packets of other hosts for 127.0.0.0/8, which route_localnet would let in.

See docs/reference/cni.md 7, CVE-2020-8558.
"""


def chain_name(owner: AttachmentID) -> str:
    """Return the name of the attachment's chain."""
    own = "" if owner.ifname == FIRST else f":{owner.ifname}"
    return f"{OWN}{_digest(owner, own)}"


def shared_chain_name(owner: AttachmentID) -> str:
    """Return the name of the reference's chain for the container on this network, the same for all interfaces."""
    return f"{OWN}{_digest(owner, '')}"


def _digest(owner: AttachmentID, own: str) -> str:
    return sha512(f"{owner.network}{owner.container_id}{own}".encode()).hexdigest()[:21]


def comment(owner: AttachmentID) -> str:
    """Return the comment of the entry rules, at most 255 bytes."""
    own = "" if owner.ifname == FIRST else f" if: {quoted(owner.ifname)}"
    return written(
        owner.network,
        owner.container_id,
        lambda network, container: f"dnat name: {quoted(network)} id: {quoted(container)}{own}",
    )


def addition(plan: Publication, side: Side, existing: Sequence[Rule], gone: Collection[Holder] = ()) -> list[Rule]:
    """Return one transaction after which the rules of `side` exist and those of `gone` do not.

    It only adds if that suffices.
    """
    own = chain_name(plan.owner)
    removed = _removal([own, *(holder.key for holder in gone)], existing)
    present = _meanings(existing)
    return [
        *removed,
        *(rule for rule in _shared(plan, existing) if _meaning(rule) not in present),
        ("-N", own),
        *container_rules(plan, side),
        *entry_rules(plan, side),
    ]


def missing(plan: Publication, side: Side, existing: Sequence[Rule]) -> list[Rule]:
    """Return the rules of `side` that are missing, shared ones included.

    For an interface other than eth0, rules in the reference's chain count as well.
    """
    present = _meanings(existing)
    declared = {rule[1] for rule in existing if rule[0] == "-N"}
    if chain_name(plan.owner) not in declared and shared_chain_name(plan.owner) in declared:
        plan = replace(plan, owner=replace(plan.owner, ifname=FIRST))
    shared = [rule for rule in _shared(plan, ()) if rule[0] != "-N"]
    plain = [rule for rule in (*shared, *container_rules(plan, side)) if _meaning(rule) not in present]
    entries: dict[tuple[str, str], list[Rule]] = {}
    for rule in existing:
        if rule[:2] == ("-A", DNAT) and "--dports" in rule[:-1]:
            entries.setdefault(_entry(rule), []).append(rule)
    return plain + [
        rule
        for rule in entry_rules(plan, side)
        if not any(_within(rule, each) for each in entries.get(_entry(rule), ()))
    ]


def removal(owner: AttachmentID, existing: Sequence[Rule], known: Collection[IPAddress] | None) -> list[Rule]:
    """Return what removes the attachment's rules, also those that the reference made, and its old chain for masquerade.

    If the reference's chain is for another interface than eth0, the container's `known` addresses identify it.
    """
    chains = [chain_name(owner)]
    shared = shared_chain_name(owner)
    if shared not in chains and known:
        targets = {each.target for each in published(existing) if each.holder.key == shared}
        chains += [shared] if targets and targets <= set(known) else []
    historic = f"{HISTORIC}{_digest(owner, '')}"
    return _removal([*chains, *([historic] if owner.ifname == FIRST else [])], existing)


def strangers(network: str, known: Collection[AttachmentID], existing: Sequence[Rule]) -> list[Rule]:
    """Return what removes every chain of `network` that belongs to none of the `known` attachments."""
    keep = {chain(owner) for owner in known for chain in (chain_name, shared_chain_name)}
    named = _named_chains(existing)
    starts = tuple(f"dnat name: {quoted(name)} id: " for name in spellings(network))
    return _removal([chain for chain, text in named.items() if text.startswith(starts) and chain not in keep], existing)


def eviction(gone: Iterable[Holder], existing: Sequence[Rule]) -> list[Rule]:
    """Return what removes the rules of these attachments."""
    return _removal([holder.key for holder in gone], existing)


def published(existing: Sequence[Rule]) -> Iterator[Published]:
    """Yield every port that the containers' chains publish, with its attachment."""
    holders = {chain: _holder(chain, text) for chain, text in _named_chains(existing).items()}
    for rule in existing:
        if rule[0] == "-A" and rule[1] in holders and "--to-destination" in rule and "--dport" in rule:
            values = dict(itertools.pairwise(rule))
            target, _, _ = values["--to-destination"].rpartition(":")
            address = values.get("-d")
            yield Published(
                holder=holders[rule[1]],
                protocol=values.get("-p", ""),
                port=int(values["--dport"]),
                host_ip=addresses.parse_interface(address).ip if address else None,
                target=addresses.parse_address(target.strip("[]")),
            )


def removed(removal: Sequence[Rule], existing: Sequence[Rule]) -> list[Published]:
    """Return what `existing` publishes, and no longer does after `removal`."""
    chains = {rule[1] for rule in removal if rule[0] == "-X"}
    return (
        list(published([rule for rule in existing if rule[1] in chains or _target(rule) in chains])) if chains else []
    )


def container_rules(plan: Publication, side: Side) -> list[Rule]:
    """Return the rules in the container's own chain."""
    return [rule for each in plan.of_family(side.family) for rule in _mapping_rules(plan, side, each)]


def entry_rules(plan: Publication, side: Side) -> list[Rule]:
    """Return the rules that lead to the container's chain, for the mappings of both families."""
    rules: list[Rule] = []
    for protocol in sorted({each.protocol for each in plan.mappings}):
        ports = [str(each.host_port) for each in plan.mappings if each.protocol == protocol]
        for start in range(0, len(ports), GROUP):
            remark = ("-p", protocol, "-m", "comment", "--comment", comment(plan.owner))
            match = ("-m", "multiport", "--dports", ",".join(ports[start : start + GROUP]), *side.conditions)
            rules.append(("-A", DNAT, *remark, *match, "-j", chain_name(plan.owner)))
    return rules


def _mapping_rules(plan: Publication, side: Side, mapping: PortMapping) -> Iterator[Rule]:
    own = chain_name(plan.owner)
    there = ("-d", _host(mapping.only_at)) if mapping.only_at else ()
    base = (*there, "-p", mapping.protocol, "-m", mapping.protocol, "--dport", str(mapping.host_port))
    mark = plan.set_mark_chain or SETMARK
    if plan.snat and plan.masquerade_all:
        yield ("-A", own, *base, "-j", mark)
    elif plan.snat:
        yield ("-A", own, "-s", str(side.address.network), *base, "-j", mark)
        if side.family == 4:
            yield ("-A", own, "-s", "127.0.0.1/32", *base, "-j", mark)
    target = f"[{side.target}]" if side.family == 6 else str(side.target)
    yield ("-A", own, *base, "-j", "DNAT", "--to-destination", f"{target}:{mapping.container_port}")


def _shared(plan: Publication, existing: Sequence[Rule]) -> list[Rule]:
    """Return what is missing of the shared rules, in the reference's order. An existing chain is not declared again.

    Rules are appended to PREROUTING and OUTPUT: inserted, they would win over other programs' (docs/reference/cni.md 7,
    CVE-2019-9946).
    """
    chains = {rule[1] for rule in existing if rule[0] == "-N"}
    rules: list[Rule] = []
    if plan.snat and not plan.set_mark_chain:
        mark = f"{1 << plan.mark_bit:#x}"
        note, need = "CNI portfwd masquerade mark", "CNI portfwd requiring masquerade"
        rules += [
            ("-N", SETMARK),
            ("-A", SETMARK, "-m", "comment", "--comment", note, "-j", "MARK", "--set-xmark", f"{mark}/{mark}"),
            ("-N", MASQ),
            ("-A", MASQ, "-m", "mark", "--mark", f"{mark}/{mark}", "-j", "MASQUERADE"),
            ("-I", "POSTROUTING", "-m", "comment", "--comment", need, "-j", MASQ),
        ]
    local = ("-m", "addrtype", "--dst-type", "LOCAL", "-j", DNAT)
    rules += [("-N", DNAT), *(("-A", hook, *local) for hook in ("PREROUTING", "OUTPUT"))]
    return [rule for rule in rules if rule[0] != "-N" or rule[1] not in chains]


def _removal(chains: Iterable[str], existing: Sequence[Rule]) -> list[Rule]:
    """Return the deletion of all jumps to the chains, then of the chains with their rules."""
    declared = {rule[1] for rule in existing if rule[0] == "-N"}
    there = {chain: None for chain in chains if chain in declared}
    jumps = [rule for rule in existing if rule[0] == "-A" and _target(rule) in there and rule[1] not in there]
    empty = (("-F", chain) for chain in there)
    return [*(("-D", *rule[1:]) for rule in jumps), *empty, *(("-X", chain) for chain in there)]


def _target(rule: Rule) -> str:
    return rule[rule.index("-j") + 1] if "-j" in rule[:-1] else ""


def _named_chains(existing: Sequence[Rule]) -> dict[str, str]:
    """Return the containers' chains, each with the comment of a rule that leads to it."""
    return {
        _target(rule): rule[rule.index("--comment") + 1]
        for rule in existing
        if rule[:2] == ("-A", DNAT) and "--comment" in rule[:-1] and _target(rule).startswith(OWN)
    }


def _holder(chain: str, text: str) -> Holder:
    found = COMMENT.fullmatch(text)
    if found is None:
        return Holder(chain, f"the owner of {chain} ({text})")
    network, container_id, ifname = found.groups()
    owner = AttachmentID(network, container_id, ESCAPED.sub(r"\1", ifname[1:-1]) if ifname else FIRST)
    mark = owner.mark if chain == chain_name(owner) else ""
    return Holder(chain, f"{network}/{container_id}", mark, network, owner.ifname)


def _host(address: IPAddress) -> str:
    return f"{address}/{address.max_prefixlen}"


def _meaning(rule: Rule) -> tuple[str, ...]:
    """Return a rule's words in an order that does not depend on the version of iptables. -A and -I are equal."""
    return tuple(sorted("-A" if word == "-I" else word for word in rule))


def _meanings(existing: Iterable[Rule]) -> frozenset[tuple[str, ...]]:
    return frozenset(_meaning(rule) for rule in existing if rule[0] == "-A")


def _entry(rule: Rule) -> tuple[str, str]:
    """Return what distinguishes entry rules in most cases: the ports, and the chain."""
    return rule[rule.index("--dports") + 1], _target(rule)


def _within(rule: Rule, listed: Rule) -> bool:
    """Return whether every word of `rule` is in `listed`.

    iptables may write conditions differently, so only ours are compared.
    """
    plain = rule[: rule.index("--dports") + 2] + rule[-2:]
    left = list(listed)
    for word in plain:
        if word not in left:
            return False
        left.remove(word)
    return True
