"""Writes the plan as iptables rules and finds an attachment's rules again (docs/reference/cni.md 4.2, "iptables").

Chains and rules are the reference's, so that each program can check and remove what the other made. Two things are
ours: a chain that no packet passes, with one rule per address whose comment names the attachment, so that DEL finds the
rules without prevResult; and packets to a published port of the host pass the policies.
"""

from __future__ import annotations

import re

from cni.attachment_id import network_mark
from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from cni.attachment_id import AttachmentID
    from meta.firewall.plan import Passage
    from system.ip import IPAddress

Rule = tuple[str, ...]

TABLE = "filter"
HOOK = "FORWARD"
OWN = "CNI-FORWARD"
OWNERS = "CNI-FORWARD-OWNERS"
"""A chain without a jump to it: one rule per address, whose comment names the attachment."""

FIRST, SECOND = "CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"
FRAME = "CNI firewall plugin rules"
ADMIN = "CNI firewall plugin admin overrides"
EITHER = "same-bridge|isolated"
SAME = "same-bridge"
PUBLISHED = "CNI firewall plugin rules (ingressPolicy: published ports pass)"

MARK = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}(?=, net: )")


def addition(plan: Passage, family: int, existing: Sequence[Rule]) -> list[Rule]:
    """Return the rules to add for one IP version. Rules are only deleted when the attachment has other ones."""
    present = {_meaning(rule) for rule in existing}
    own = own_rules(plan, family)
    through = {_source(rule) for rule in existing if rule[:2] == ("-A", OWN)}
    # the reference's DEL takes the rules of an address and not what says whose it is
    left = [rule for rule in _of(existing, lambda _: True) if rule[1] == OWNERS and _source(rule) not in through]
    stale = [rule for rule in _of(existing, plan.owner.mark.__eq__) if rule not in own and rule not in left]
    return [
        *_deletions([*left, *stale], (), existing),
        *(_isolation(plan, existing) if plan.bridge else ()),
        *_frame(plan, existing),
        *(rule for rule in own if rule in left or _meaning(rule) not in present),
    ]


def missing(plan: Passage, family: int, existing: Sequence[Rule]) -> list[Rule]:
    """Return the rules for one IP version that are missing, shared ones included.

    For an attachment that the reference made, only the reference's rules count.
    """
    told = _of(existing, plan.owner.mark.__eq__)
    present = {
        _meaning(rule) for rule in (*existing, *map(_without_remark, told))
    }  # an earlier version of ours wrote it in each rule
    policy = _policy_rules(plan) if plan.bridge else []
    if not told:
        policy = [rule for rule in policy if PUBLISHED not in rule]
        # before version 1.2 of the reference had the policy isolated, it named the other one in every comment
        present |= {_meaning(word.replace(SAME, EITHER) for word in rule) for rule in existing if rule[-1] != "ACCEPT"}
    own = [rule for rule in own_rules(plan, family) if rule[1] == OWN]
    return [rule for rule in (*_entries(plan), *own, *policy) if _meaning(rule) not in present]


def removal(owner: AttachmentID, family: int, known: Collection[IPAddress], existing: Sequence[Rule]) -> list[Rule]:
    """Return what removes the attachment's rules, and those that the reference made for the `known` addresses."""
    hosts = [_host(address) for address in known if address.version == family]
    return _deletions(_of(existing, owner.mark.__eq__), hosts, existing)


def strangers(network: str, known: Collection[AttachmentID], existing: Sequence[Rule]) -> list[Rule]:
    """Return what removes the rules of every attachment of `network` that is not among the `known`."""
    start, keep = f"{network_mark(network)}-", {owner.mark for owner in known}
    return _deletions(_of(existing, lambda mark: mark.startswith(start) and mark not in keep), (), existing)


def own_rules(plan: Passage, family: int) -> list[Rule]:
    """Return the rules for the attachment's addresses, and those that record whose addresses they are."""
    hosts = [_host(address) for address in plan.of_family(family)]
    return [
        *(("-A", OWNERS, "-s", host, *_remark(plan.owner.comment)) for host in hosts),
        *(rule for host in hosts for rule in _pair(host)),
    ]


def _deletions(told: Sequence[Rule], hosts: Iterable[str], existing: Sequence[Rule]) -> list[Rule]:
    """Return the deletion of the records in `told`, and of the rules for their addresses and for `hosts`.

    An address that another attachment has recorded, too, keeps its rules.
    """
    doomed = frozenset(told)
    shared = {_source(rule) for rule in _of(existing, lambda _: True) if rule not in doomed}
    hosts = {*hosts, *map(_source, told)} - shared
    bare = {_meaning(rule) for host in hosts for rule in _pair(host)}
    return [_deletion(rule) for rule in existing if rule in doomed or _meaning(rule) in bare]


def _source(rule: Rule) -> str:
    return rule[rule.index("-s") + 1] if "-s" in rule[:-1] else ""


def _host(address: IPAddress) -> str:
    return f"{address}/{address.max_prefixlen}"


def _pair(host: str) -> tuple[Rule, Rule]:
    answers = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    return ("-A", OWN, "-d", host, *answers, "-j", "ACCEPT"), ("-A", OWN, "-s", host, "-j", "ACCEPT")


def _entries(plan: Passage) -> tuple[Rule, Rule]:
    return ("-A", HOOK, *_remark(FRAME), "-j", OWN), ("-A", OWN, *_remark(ADMIN), "-j", plan.admin_chain)


def _frame(plan: Passage, existing: Sequence[Rule]) -> list[Rule]:
    """Return the shared rules and chains that are missing. They come after the policies."""
    hook, admin = _entries(plan)
    rules: list[Rule] = [("-N", chain) for chain in (OWN, OWNERS, plan.admin_chain) if ("-N", chain) not in existing]
    present = {_meaning(rule) for rule in existing}
    if _meaning(hook) not in present:
        jumps = [rule for rule in existing if rule[:2] == ("-A", HOOK)]
        fences = [place for place, rule in enumerate(jumps, 1) if rule[-1] == FIRST]
        place = fences[0] + 1 if fences else 2 if plan.bridge else 1
        rules.append(_inserted(hook, place))
    if _meaning(admin) not in present:
        rules.append(_inserted(admin, 1))
    return rules


def _isolation(plan: Passage, existing: Sequence[Rule]) -> list[Rule]:
    """Return what is missing of the rules that separate the plan's bridge. Each chain ends with its RETURN."""
    present = {_meaning(rule) for rule in existing}
    rules: list[Rule] = [("-N", chain) for chain in (FIRST, SECOND) if ("-N", chain) not in existing]
    hook, published, *bridge, first_end, second_end, drop = _policy_rules(plan)
    rules += [rule for rule in (first_end, second_end) if _meaning(rule) not in present]
    listed = [_meaning(rule) for rule in existing if rule[:2] == ("-A", FIRST)]
    place = listed.index(_meaning(published)) + 1 if _meaning(published) in listed else 0
    if not place:
        rules.append(_inserted(published, 1))
    rules += [_inserted(rule, (place or 1) + 1) for rule in bridge if _meaning(rule) not in present]
    rules += [_inserted(rule, 1) for rule in (drop, hook) if _meaning(rule) not in present]
    return rules


def _policy_rules(plan: Passage) -> list[Rule]:
    """Return the rules of the plan's policy.

    The jump, the exception, the bridge's own, the ends of the chains, the drop.

    The bridge's own rules are in the order in which they are inserted.
    """
    bridge = _link(plan.bridge)
    mine, shared = (_remark(f"{FRAME} (ingressPolicy: {policy})") for policy in (plan.policy, EITHER))
    same = [("-A", FIRST, "-i", bridge, "-o", bridge, *mine, "-j", "DROP")]
    return [
        ("-A", HOOK, *shared, "-j", FIRST),
        ("-A", FIRST, *_remark(PUBLISHED), "-m", "conntrack", "--ctstate", "DNAT", "-j", "RETURN"),
        ("-A", FIRST, "-i", bridge, "!", "-o", bridge, *mine, "-j", SECOND),
        *(same if plan.policy == "isolated" else []),
        ("-A", FIRST, *shared, "-j", "RETURN"),
        ("-A", SECOND, *shared, "-j", "RETURN"),
        ("-A", SECOND, "-o", bridge, *shared, "-j", "DROP"),
    ]


def _link(name: str) -> str:
    """Return the interface's name as a rule matches it.

    Raises CniError 7 for a name that ends in "+": iptables takes that as a wildcard.
    """
    if name.endswith("+"):
        raise CniError(
            Code.INVALID_CONFIG,
            f'iptables cannot name the interface "{name}" alone: a + at the end means every name that begins so',
            'choose "backend": "nftables", or another name for the bridge',
        )
    return name


def _of(existing: Sequence[Rule], is_meant: Callable[[str], bool]) -> list[Rule]:
    """Return the rules whose comment has a mark that `is_meant` accepts.

    These are the records of addresses, and the rules that an earlier version of ours marked.
    """
    rules = [rule for rule in existing if rule[0] == "-A" and rule[1] in (OWNERS, OWN) and "--comment" in rule[:-1]]
    found = ((rule, MARK.match(rule[rule.index("--comment") + 1])) for rule in rules)
    return [rule for rule, mark in found if mark and is_meant(mark.group())]


def _remark(text: str) -> Rule:
    return ("-m", "comment", "--comment", text)


def _without_remark(rule: Rule) -> Rule:
    at = rule.index("--comment")
    return *rule[: at - 2], *rule[at + 2 :]


def _inserted(rule: Rule, place: int) -> Rule:
    return ("-I", rule[1], str(place), *rule[2:])


def _deletion(rule: Rule) -> Rule:
    return ("-D", *rule[1:])


def _meaning(rule: Iterable[str]) -> Rule:
    """Return a rule's words in an order that does not depend on the version of iptables."""
    return tuple(sorted(rule))
