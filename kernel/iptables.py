"""Changes iptables, one `iptables-restore --noflush` a change: it happens wholly or not at all.

Two ways in: `listing` and `restore` speak rules as words, for the masquerade that reference programs keep there; a `Chain`
is held as it is for the accepts that hosts with a dropping FORWARD policy need (Docker's; nftables cannot overrule a drop
that iptables says). Must not know whose chains these are.
"""

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kernel import tools
from kernel.errors import KernelError
from kernel.namespaces import Namespace

PROGRAMS = {4: "iptables", 6: "ip6tables"}
WORD = re.compile(r"[A-Za-z0-9_./:!,-]+")
COMMENT = re.compile(r"[A-Za-z0-9_./:, -]{1,255}")
COUNTERS = re.compile(r"^\[[0-9]+:[0-9]+\] ")
LOCKED = 4
"""The exit code for a resource problem: the lock is held."""


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


Rule = tuple[str, ...]
"""One line of iptables-save as words, unquoted: `("-A", "POSTROUTING", "-s", "10.1.0.5/32", "-j", "CNI-...")`."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
ABSENT = ("does not exist", "can't initialize", "No such file or directory", "No chain/target/match by that name")
"""What iptables says where its table, chain or kernel half is not there, so that nothing of anybody's can be (8.10)."""


def installed(family: int) -> bool:
    """Tell whether there is an iptables for IP version 4 or 6."""
    return tools.find(PROGRAMS[family]) is not None


def usable(family: int, namespace: Namespace | None = None) -> bool:
    """Tell whether iptables works here: it is installed and can be asked (contract 2.5); changes nothing."""
    if not installed(family):
        return False
    outcome = tools.run([PROGRAMS[family], "-w", "-t", "filter", "-S", "INPUT", "1"], "", namespace)
    return outcome.code in (0, 1)


def listing(family: int, table: str, namespace: Namespace | None = None) -> list[Rule]:
    """Return a whole table as words, chains (`-N name`) before rules (`-A name ...`); [] where iptables has no such table.

    Raises KernelError when iptables cannot be asked, for one because another program holds its lock.
    """
    if not installed(family):
        return []
    outcome = tools.run([PROGRAMS[family], "-w", "-t", table, "-S"], "", namespace)
    if outcome.code != 0:
        if outcome.code != LOCKED and any(words in outcome.stderr for words in ABSENT):
            return []
        raise tools.refusal(outcome, f"listing {PROGRAMS[family]} table {table}")
    return [_words(line) for line in outcome.stdout.splitlines()]


def restore(
    family: int, table: str, chains: Sequence[str], rules: Sequence[Rule], namespace: Namespace | None = None
) -> None:
    """Make or empty `chains`, then carry out `rules` (`-A`, `-D`, `-X` lines as words), all at once or not at all.

    Raises KernelError, EINVAL for a word that holds a control character; nothing is done for nothing.
    """
    if chains or rules:
        lines = [*(f":{_quoted(name)} - [0:0]" for name in chains), *(" ".join(map(_quoted, rule)) for rule in rules)]
        _restore(family, table, lines, f"table {table}", namespace)


def _words(line: str) -> Rule:
    import shlex  # noqa: PLC0415 - only when there is a listing to read

    return tuple(shlex.split(COUNTERS.sub("", line)))


def _quoted(word: str) -> str:
    """Write a word as iptables-restore reads it: quoted when it must be, with backslashes before quotes."""
    if WORD.fullmatch(word):
        return word
    if CONTROL.search(word):
        raise KernelError(errno.EINVAL, "writing iptables rules", f"not expressible: {word!r}")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


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
    lines = [f":{chain.name} - [0:0]", *chain.lines(), *jump]
    _restore(family, chain.table, lines, f"chain {chain.name}", namespace)
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
    lines = [f":{chain.name} - [0:0]", *unlink, f"-X {chain.name}"]
    _restore(family, chain.table, lines, f"chain {chain.name}", namespace)
    return True


def _jumps(lines: list[str], chain: Chain) -> list[str]:
    start, end = f"-A {chain.parent} ", f" -j {chain.name}"
    return [line for line in lines if line.startswith(start) and line.endswith(end)]


def _listing(family: int, table: str, chain: list[str], namespace: Namespace | None) -> list[str]:
    """List one chain or, without a name, the whole table: naming an absent chain is reported in many ways."""
    outcome = tools.run([PROGRAMS[family], "-w", "-t", table, "-S", *chain], "", namespace)
    if outcome.code != 0:
        raise tools.refusal(outcome, f"listing {PROGRAMS[family]} table {table}")
    return [COUNTERS.sub("", line) for line in outcome.stdout.splitlines()]


def _restore(family: int, table: str, lines: list[str], where: str, namespace: Namespace | None) -> None:
    program = f"{PROGRAMS[family]}-restore"
    document = "\n".join([f"*{table}", *lines, "COMMIT", ""])
    outcome = tools.run([program, "--noflush", "--wait"], document, namespace)
    if outcome.code != 0:
        raise tools.refusal(outcome, f"changing {PROGRAMS[family]} {where}")
