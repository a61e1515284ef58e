"""Keeps a chain of accepts in iptables, for hosts whose FORWARD policy drops (Docker's hosts).

nftables cannot overrule a drop that iptables says, whichever of its two kernels it writes to; so the exception has to
stand there. One `iptables-restore --noflush` a change: it happens wholly or not at all. Must not know whose chain it is.
"""

import errno
import re
from dataclasses import dataclass

from kernel import tools
from kernel.errors import KernelError
from kernel.namespaces import Namespace

PROGRAMS = {4: "iptables", 6: "ip6tables"}
WORD = re.compile(r"[A-Za-z0-9_./:!,-]+")
COMMENT = re.compile(r"[A-Za-z0-9_./:, -]{1,255}")


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of ours, and the one jump to it at the end of a built-in chain (`parent`).

    `rules` are what follows `-A name` in iptables-save's spelling and order, without the comment, one word an entry,
    target last: `("-s", "10.42.0.0/16", "-j", "ACCEPT")`. Each gets the comment before its `-j`.
    """

    table: str
    name: str
    parent: str
    comment: str
    rules: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """Return the rules as iptables lists them."""
        return [f"-A {self.name} {self._commented(rule)}" for rule in self.rules]

    def jump(self) -> str:
        """Return the jump as iptables lists it."""
        return f"-A {self.parent} {self._commented(('-j', self.name))}"

    def _commented(self, rule: tuple[str, ...]) -> str:
        at = rule.index("-j")
        return " ".join([*rule[:at], "-m comment --comment", f'"{self.comment}"', *rule[at:]])

    def check(self) -> None:
        """Raise KernelError EINVAL unless every word is one that cannot change the meaning of its line."""
        words = [self.table, self.name, self.parent, *(word for rule in self.rules for word in rule)]
        bad = [word for word in words if not WORD.fullmatch(word)]
        bad += [] if COMMENT.fullmatch(self.comment) else [self.comment]
        bad += [" ".join(rule) for rule in self.rules if "-j" not in rule]
        if bad:
            raise KernelError(errno.EINVAL, f"writing iptables chain {self.name}", f"not expressible: {bad[0]!r}")


def forward_policy(family: int, namespace: Namespace | None = None) -> str | None:
    """Return what iptables does with forwarded packets no rule matched ("ACCEPT", "DROP"), for IP version 4 or 6.

    None when that iptables is not installed, so says nothing. Raises KernelError when it cannot tell.
    """
    if tools.find(PROGRAMS[family]) is None:
        return None
    lines = _listing(family, "filter", ["FORWARD"], namespace)
    return next((line.split()[2] for line in lines if line.startswith("-P FORWARD ")), None)


def ensure_rules(family: int, chain: Chain, namespace: Namespace | None = None) -> bool:
    """Have the chain hold exactly its rules and be jumped to; return whether anything had to change.

    Raises KernelError, ENOPKG when iptables is not installed.
    """
    chain.check()
    lines = _listing(family, chain.table, [], namespace)
    jump = [] if _jumps(lines, chain) else [chain.jump()]
    if not jump and [line for line in lines if line.startswith(f"-A {chain.name} ")] == chain.lines():
        return False
    _restore(family, chain, [f":{chain.name} - [0:0]", *chain.lines(), *jump], namespace)
    return True


def remove_rules(family: int, chain: Chain, namespace: Namespace | None = None) -> bool:
    """Remove every jump to the chain, and the chain with whatever it holds; return whether there was anything."""
    chain.check()
    if tools.find(PROGRAMS[family]) is None:
        return False
    lines = _listing(family, chain.table, [], namespace)
    if f"-N {chain.name}" not in lines:
        return False
    unlink = [line.replace("-A ", "-D ", 1) for line in _jumps(lines, chain)]
    _restore(family, chain, [f":{chain.name} - [0:0]", *unlink, f"-X {chain.name}"], namespace)
    return True


def _jumps(lines: list[str], chain: Chain) -> list[str]:
    start, end = f"-A {chain.parent} ", f" -j {chain.name}"
    return [line for line in lines if line.startswith(start) and line.endswith(end)]


def _listing(family: int, table: str, chain: list[str], namespace: Namespace | None) -> list[str]:
    """List one chain or, without a name, the whole table: naming an absent chain is reported in many ways."""
    outcome = tools.run([PROGRAMS[family], "-w", "-t", table, "-S", *chain], "", namespace)
    if outcome.code != 0:
        raise tools.refusal(outcome, f"listing {PROGRAMS[family]} table {table}")
    return [re.sub(r"^\[[0-9]+:[0-9]+\] ", "", line) for line in outcome.stdout.splitlines()]


def _restore(family: int, chain: Chain, lines: list[str], namespace: Namespace | None) -> None:
    program = f"{PROGRAMS[family]}-restore"
    document = "\n".join([f"*{chain.table}", *lines, "COMMIT", ""])
    outcome = tools.run([program, "--noflush", "--wait"], document, namespace)
    if outcome.code != 0:
        raise tools.refusal(outcome, f"changing {PROGRAMS[family]} chain {chain.name}")
