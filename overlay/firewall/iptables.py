"""Writes the rules of overlay.firewall.rules as iptables-save does: wanted and present rules compare as equal.

They are those of docs/reference/flannel.md 6.1; the order of the words is that of iptables-save.
"""

from collections.abc import Sequence

from overlay.firewall.rules import MARK, AddressMatch, Rule, RuleSet

Words = tuple[str, ...]

_TARGETS = {"return": "RETURN", "accept": "ACCEPT", "masquerade": "MASQUERADE"}


def masquerading(plan: RuleSet) -> tuple[Words, ...]:
    """Return the rules of the chain FLANNEL-POSTRTG, without their comments."""
    return tuple(_words(rule, fully_random=plan.fully_random) for rule in plan.masquerade)


def forwarding(plans: Sequence[RuleSet]) -> tuple[Words, ...]:
    """Return the rules of the chain FLANNEL-FWD for these plans."""
    return tuple(_words(rule) for plan in plans for rule in plan.forward)


def keeping(plans: Sequence[RuleSet]) -> tuple[Words, ...]:
    """Return the rules of the chain TULLE-KEEP-SOURCE for these plans."""
    return tuple(_words(rule) for plan in plans for rule in plan.first)


def _words(rule: Rule, *, fully_random: bool = False) -> Words:
    mark = ("-m", "mark", "--mark", f"{MARK:#x}/{MARK:#x}") if rule.marked else ()
    random = ("--random-fully",) if rule.verdict == "masquerade" and fully_random else ()
    return (*_side("-s", rule.source), *_side("-d", rule.target), *mark, "-j", _TARGETS[rule.verdict], *random)


def _side(flag: str, side: AddressMatch | None) -> Words:
    if side is None:
        return ()
    return (*(() if side.inside else ("!",)), flag, str(side.network))
