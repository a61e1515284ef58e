"""Puts passages into iptables words and finds an attachment's rules again (contract 4.2, "iptables").

Chains and rules are the reference's. Beyond it, the rules of an address carry a comment that says whose they are, so that
they are found without prevResult and nobody else's are taken; and what the host itself translated to a container
(a published port) passes the policies. Pure: reads and builds rules as words; must not run iptables.
"""

from __future__ import annotations

import re

from cni.errors import CniError, Code
from cni.owner import network_mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from cni.owner import Owner
    from cni.types import IPAddress
    from meta.firewall.plan import Passage

Rule = tuple[str, ...]

TABLE = "filter"
HOOK = "FORWARD"
OWN = "CNI-FORWARD"
FIRST, SECOND = "CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"
FRAME = "CNI firewall plugin rules"
ADMIN = "CNI firewall plugin admin overrides"
EITHER = "same-bridge|isolated"
SAME = "same-bridge"
PUBLISHED = "CNI firewall plugin rules (ingressPolicy: published ports pass)"

MARK = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}(?=, net: )")


def addition(plan: Passage, family: int, existing: Sequence[Rule]) -> list[Rule]:
    """Return what has the rules of one family stand; pure additions unless the attachment has others there."""
    present = {_meaning(rule) for rule in existing}
    own = own_rules(plan, family)
    wanted = {_meaning(rule) for rule in own}
    stale = [rule for rule in _marked(existing, plan.owner.mark.__eq__) if _meaning(rule) not in wanted]
    return [
        *map(_deletion, stale),
        *(_isolation(plan, existing) if plan.bridge else ()),
        *_frame(plan, existing),
        *(rule for rule in own if _meaning(rule) not in present),
    ]


def missing(plan: Passage, family: int, existing: Sequence[Rule]) -> list[Rule]:
    """Return the rules of one family, shared ones included, that do not stand.

    An attachment whose rules the reference made is whole with those: what we do beyond it is not looked for.
    """
    present = {_meaning(rule) for rule in existing}
    own = own_rules(plan, family)
    policy = _policy_rules(plan) if plan.bridge else []
    bare = [rule for address in plan.of_family(family) for rule in _pair(address, ())]
    if not _marked(existing, plan.owner.mark.__eq__) and any(_meaning(rule) in present for rule in bare):
        own, policy = bare, [rule for rule in policy if PUBLISHED not in rule]
        # until it had the policy isolated (1.2), the reference named the other in every comment
        present |= {_meaning(word.replace(SAME, EITHER) for word in rule) for rule in existing if rule[-1] != "ACCEPT"}
    return [rule for rule in (*_entries(plan), *own, *policy) if _meaning(rule) not in present]


def removal(owner: Owner, family: int, known: Collection[IPAddress], existing: Sequence[Rule]) -> list[Rule]:
    """Return what removes the attachment's rules, also those the reference made for the `known` addresses."""
    bare = {_meaning(rule) for address in known if address.version == family for rule in _pair(address, ())}
    own = _marked(existing, owner.mark.__eq__)
    return [_deletion(rule) for rule in existing if rule in own or _meaning(rule) in bare]


def strangers(network: str, known: Collection[Owner], existing: Sequence[Rule]) -> list[Rule]:
    """Return what removes the rules of every attachment of `network` that is none of the `known`."""
    start, keep = f"{network_mark(network)}-", {owner.mark for owner in known}
    return [_deletion(rule) for rule in _marked(existing, lambda mark: mark.startswith(start) and mark not in keep)]


def own_rules(plan: Passage, family: int) -> list[Rule]:
    """Return the rules of the attachment's addresses."""
    return [rule for address in plan.of_family(family) for rule in _pair(address, _remark(plan.owner.comment))]


def _pair(address: IPAddress, remark: Rule) -> tuple[Rule, Rule]:
    host = f"{address}/{address.max_prefixlen}"
    answers = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    return ("-A", OWN, "-d", host, *remark, *answers, "-j", "ACCEPT"), ("-A", OWN, "-s", host, *remark, "-j", "ACCEPT")


def _entries(plan: Passage) -> tuple[Rule, Rule]:
    return ("-A", HOOK, *_remark(FRAME), "-j", OWN), ("-A", OWN, *_remark(ADMIN), "-j", plan.admin_chain)


def _frame(plan: Passage, existing: Sequence[Rule]) -> list[Rule]:
    """Return what all containers share, as far as it is not there; never in front of the policies."""
    hook, admin = _entries(plan)
    rules: list[Rule] = [("-N", chain) for chain in (OWN, plan.admin_chain) if ("-N", chain) not in existing]
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
    """Return what keeps the plan's bridge apart, as far as it is not there; each chain ends with its RETURN."""
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
    """Return the rules of the plan's policy: entry, exception, then the bridge's in the order they are inserted, ends, drop."""
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
    """Return the interface as a rule names it alone. Raises CniError 7 for one that ends in a plus, which stands for any ending."""
    if name.endswith("+"):
        raise CniError(
            Code.INVALID_CONFIG,
            f'iptables cannot name the interface "{name}" alone: a + at the end means every name that begins so',
            'choose "backend": "nftables", or another name for the bridge',
        )
    return name


def _marked(existing: Sequence[Rule], is_meant: Callable[[str], bool]) -> list[Rule]:
    """Return the rules of addresses whose mark is meant."""
    rules = [rule for rule in existing if rule[:2] == ("-A", OWN) and "--comment" in rule[:-1]]
    found = ((rule, MARK.match(rule[rule.index("--comment") + 1])) for rule in rules)
    return [rule for rule, mark in found if mark and is_meant(mark.group())]


def _remark(text: str) -> Rule:
    return ("-m", "comment", "--comment", text)


def _inserted(rule: Rule, place: int) -> Rule:
    return ("-I", rule[1], str(place), *rule[2:])


def _deletion(rule: Rule) -> Rule:
    return ("-D", *rule[1:])


def _meaning(rule: Iterable[str]) -> Rule:
    """Return a rule's words in an order that no version of iptables decides."""
    return tuple(sorted(rule))
