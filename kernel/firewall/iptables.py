"""Changes iptables, with one `iptables-restore --noflush` per change: all of it happens, or nothing.

There are two ways to use it. `listing` (or `Snapshot`, for several tables) and `restore` handle single rules as lists
of words, for the masquerade rules of the reference programs. A `Chain` is kept exactly as given, for a daemon that
keeps its rules. Rules in the other variant of iptables (legacy or nf_tables), which is not the host's default, are not
seen.
"""

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from kernel import spawn
from kernel.errors import KernelError
from kernel.netns import Namespace
from kernel.spawn import Outcome
from system import locks
from system.ip import IPNetwork

PROGRAMS = {4: "iptables", 6: "ip6tables"}
WORD = re.compile(r"[A-Za-z0-9_./:!,-]+")
COMMENT = re.compile(r"[A-Za-z0-9_./:, -]{1,255}")
COUNTERS = re.compile(r"^\[[0-9]+:[0-9]+\] ")
SUBJECT = re.compile(r"-A \S+ (?:! )?(?:-s ([0-9a-f.:/]+)|-d ([0-9a-f.:/]+))(?: |$)")
"""How a rule begins that is about a network: by source, which iptables lists first, or by destination."""
LOCKED = 4
"""The exit code for a resource problem: the lock is held."""

WAIT, LOCK = "--wait=50", "/run/xtables.lock"
"""How long iptables waits for its lock, in seconds (another run of iptables may hang with it); and the lock's file."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of ours, and the one jump to it from a built-in chain (`parent`): at its end, or `first` of all.

    `rules` are what follows `-A name` in iptables-save's spelling and order, without the comment, one word an entry,
    target last: `("-s", "10.42.0.0/16", "-j", "ACCEPT")`. Each gets the comment before its `-j`.

    With `networks` the chain is shared with other programs: ours are the rules about one of these networks, or a part
    of it, and nothing else is moved or removed. A rule about no network is everybody's: it has to stand before ours,
    whoever wrote it.
    """

    table: str
    """The table, like "nat"."""
    name: str
    """The name of the chain."""
    parent: str
    """The built-in chain with the jump."""
    comment: str
    """The comment of all rules and of the jump."""
    rules: tuple[tuple[str, ...], ...]
    """The rules, each as words."""
    first: bool = False
    """Whether the jump is the first rule of `parent`, not the last."""
    networks: frozenset[IPNetwork] | None = None
    """If given, only rules about one of these networks are ours."""

    def owns(self, line: str) -> bool:
        """Return whether a rule, as iptables lists it, is ours: by the source it is about, else by the destination."""
        if self.networks is None:
            return True
        subject = SUBJECT.match(line)
        network = ip_network(subject[1] or subject[2]) if subject and (subject[1] or subject[2]) else None
        return network is not None and any(_within(network, one) for one in self.networks)

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

LINE_END = re.compile(r"[\n\r\x00]")
"""What iptables-restore would end a line at, wherever it stands."""

QUOTED_OR_PLAIN = re.compile(r' *(?:"((?:[^"\\]|\\.)*)"(?= |$)|([^ ]+))', re.DOTALL)
PLAIN = re.compile(r" *()([^ ]+)")
INTERFACE = frozenset({"-i", "-o"})
"""Options whose value iptables-save writes as it is, quotes and backslashes included."""

LINE_STARTS = ("-", ":", "[", "*", "#", "COMMIT")
ESCAPED = re.compile(r"\\(.)", re.DOTALL)

ABSENT = ("does not exist", "can't initialize", "No such file or directory", "No chain/target/match by that name")
"""What iptables says where its table, chain or kernel half is not there, so that nothing of anybody's can be (8.10)."""


def installed(family: int) -> bool:
    """Return whether there is an iptables for IP version 4 or 6."""
    return spawn.find(PROGRAMS[family]) is not None


def usable(family: int, namespace: Namespace | None = None) -> bool:
    """Return whether iptables works here: it is installed and can be asked (docs/reference/cni.md 2.5); changes nothing."""
    if not installed(family):
        return False
    outcome = spawn.run([PROGRAMS[family], WAIT, "-t", "filter", "-S", "INPUT", "1"], "", namespace)
    return outcome.code in (0, 1)


def listing(family: int, table: str, namespace: Namespace | None = None) -> list[Rule]:
    """Return a whole table as words, chains (`-N name`) before rules (`-A name ...`); [] where iptables has no such table.

    Raises KernelError when iptables cannot be asked, for one because another program holds its lock.
    """
    if not installed(family):
        return []
    outcome = spawn.run([PROGRAMS[family], WAIT, "-t", table, "-S"], "", namespace)
    if outcome.code != 0:
        if outcome.code != LOCKED and any(words in outcome.stderr for words in ABSENT):
            return []
        raise _refusal(outcome, f"listing {PROGRAMS[family]} table {table}")
    return [_words(line) for line in _lines(outcome.stdout)]


class Snapshot:
    """All tables of one IP version with one program started; `rules` gives each as `listing` does.

    A table that iptables-save does not show is asked for by itself: iptables then says why.
    """

    def __init__(self, family: int, namespace: Namespace | None = None) -> None:
        self._family = family
        self._namespace = namespace
        try:
            self._tables = saved(family, namespace)
        except KernelError:
            self._tables = {}

    def rules(self, table: str) -> list[Rule]:
        """Return a whole table as words; [] where iptables has no such table. Raises KernelError like `listing`."""
        if table not in self._tables:
            return listing(self._family, table, self._namespace)
        return [_declared(line) if line.startswith(":") else _words(line) for line in self._tables[table]]


def restore(
    family: int, table: str, chains: Sequence[str], rules: Sequence[Rule], namespace: Namespace | None = None
) -> None:
    """Make or empty `chains`, then carry out `rules` (`-A`, `-D`, `-N`, `-X`, ... lines as words), all at once or not at all.

    Raises KernelError, EINVAL for a word that holds the end of a line; nothing is done for nothing.
    """
    if chains or rules:
        lines = [*(f":{_quoted(name)} - [0:0]" for name in chains), *(" ".join(map(_quoted, rule)) for rule in rules)]
        _restore(family, table, lines, f"table {table}", namespace)


def _declared(line: str) -> Rule:
    """Turn `:NAME POLICY` into what a listing has: `-N NAME`, or `-P NAME POLICY` for a built-in chain."""
    name, _, policy_ = line[1:].rpartition(" ")
    return ("-N", name) if policy_ == "-" else ("-P", name, policy_)


def _lines(text: str) -> list[str]:
    """Return the lines iptables wrote; what begins like none of them goes on with a comment that holds a line's end."""
    lines: list[str] = []
    for line in text.split("\n"):  # not splitlines: an interface's name may hold what that takes for an end
        if line.startswith(LINE_STARTS):
            lines.append(line)
        elif line and lines:
            lines[-1] += f"\n{line}"
    return lines


def _words(line: str) -> Rule:
    """Read a line of iptables-save: strings stand in double quotes with backslashes, interfaces always as they are called."""
    plain = COUNTERS.sub("", line)
    if '"' not in plain:
        return tuple(filter(None, plain.split(" ")))
    words: list[str] = []
    at, end = 0, len(plain.rstrip(" "))
    while at < end:
        raw = bool(words) and words[-1] in INTERFACE
        found = (PLAIN if raw else QUOTED_OR_PLAIN).match(plain, at)
        if found is None:  # nothing but blanks, which `end` rules out
            break
        string, word = found.groups()
        words.append(word or ESCAPED.sub(r"\1", string))
        at = found.end()
    return tuple(words)


def _quoted(word: str) -> str:
    """Write a word as iptables-restore reads it: quoted when it must be, with backslashes before quotes."""
    if WORD.fullmatch(word):
        return word
    if LINE_END.search(word):
        raise KernelError(errno.EINVAL, "writing iptables rules", f"not expressible: {word!r}")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


Tables = Mapping[str, Sequence[str]]
"""What iptables-save says by table: `:NAME POLICY` for every chain, then its rules, without counters."""


def saved(family: int, namespace: Namespace | None = None) -> Tables:
    """Return all tables of IP version 4 or 6 with one program started; {} when it is not installed. Raises KernelError."""
    if not installed(family):
        return {}
    outcome = spawn.run([f"{PROGRAMS[family]}-save"], "", namespace)
    if outcome.code != 0:
        raise _refusal(outcome, f"listing {PROGRAMS[family]}")
    tables: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _lines(outcome.stdout):
        if line.startswith("*"):
            lines = tables.setdefault(line[1:], [])
        elif line.startswith((":", "-", "[")):
            lines.append(COUNTERS.sub("", line.rpartition(" [")[0] if line.startswith(":") else line))
    return tables


def policy(tables: Tables, table: str, chain: str) -> str | None:
    """Return what happens to packets no rule of a built-in chain matched ("ACCEPT", "DROP"); None when it does not exist."""
    start = f":{chain} "
    return next((line.removeprefix(start) for line in tables.get(table, ()) if line.startswith(start)), None)


def legacy(family: int) -> bool:
    """Return whether this iptables has tables of its own instead of nftables', whose changes the kernel tells nobody."""
    return installed(family) and "legacy" in spawn.run([PROGRAMS[family], "--version"]).stdout


def settle(
    family: int,
    tables: Tables,
    kept: Sequence[Chain],
    gone: Sequence[Chain] = (),
    namespace: Namespace | None = None,
    *,
    change: bool = True,
) -> tuple[str, ...]:
    """Have the chains of `kept` hold exactly their rules and be jumped to once, and those of `gone` not be there.

    `tables` is what `saved` said just now. All changes are one iptables-restore; return the names of the chains that
    had to change, or would have with `change` False. Raises KernelError, ENOPKG when iptables is not installed.
    """
    changes: dict[str, list[str]] = {}
    names = []
    for chain in (*kept, *gone):
        chain.check()
        found = tables.get(chain.table, ())
        wanted = _repair(found, chain) if chain in kept else _removal(found, chain)
        if wanted:
            changes.setdefault(chain.table, []).extend(wanted)
            names.append(chain.name)
    if names and change:
        document = [line for table, lines in changes.items() for line in (f"*{table}", *lines, "COMMIT")]
        _run_restore(family, document, f"chain {' and '.join(names)}", namespace)
    return tuple(names)


def _repair(found: Sequence[str], chain: Chain) -> list[str]:
    jumps = [line for line in _jumps(found, chain) if chain.networks is None or line == chain.jump()]
    placed = jumps == [chain.jump()] and (not chain.first or _leads(found, chain))
    place = "-I" if chain.first else "-A"
    again = [] if placed else [*(_undone(line) for line in jumps), chain.jump().replace("-A", place, 1)]
    contents = _refilled(found, chain)
    if _present(found, chain) and not (again or contents):
        return []
    if chain.networks is not None:  # `:NAME` would empty what another one made meanwhile; `-N` is refused then
        return [*([] if _present(found, chain) else [f"-N {chain.name}"]), *contents, *again]
    return [*([_empty(chain)] if contents or not _present(found, chain) else []), *contents, *again]


def _refilled(found: Sequence[str], chain: Chain) -> list[str]:
    """Return what brings our rules of a chain to what is wanted: all of them again at its end, unless they are there, in order."""
    lines = _held(found, chain)
    if chain.networks is None:
        return [] if lines == chain.lines() else chain.lines()
    own, common = ([line for line in chain.lines() if chain.owns(line) is mine] for mine in (True, False))
    held = [line for line in lines if chain.owns(line)]
    before = lines[: lines.index(held[0])] if held else lines
    if held == own and all(line in before for line in common):
        return []
    return [*map(_undone, held), *(line for line in common if line not in lines), *own]


def _removal(found: Sequence[str], chain: Chain) -> list[str]:
    """Return what removes our rules of a chain, and if none of anybody else's is left, every jump to it and the chain."""
    if not _present(found, chain):
        return []
    if any(not chain.owns(line) and SUBJECT.match(line) for line in _held(found, chain)):
        return [_undone(line) for line in _held(found, chain) if chain.owns(line)]
    return [_empty(chain), *(_undone(line) for line in _jumps(found, chain)), f"-X {chain.name}"]


def _held(found: Sequence[str], chain: Chain) -> list[str]:
    return [line for line in found if line.startswith(f"-A {chain.name} ")]


def _empty(chain: Chain) -> str:
    """Return the line that makes a chain, or empties it."""
    return f":{chain.name} - [0:0]"


def _within(network: IPNetwork, other: IPNetwork) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]


def _present(found: Sequence[str], chain: Chain) -> bool:
    return f":{chain.name} -" in found


def _jumps(found: Sequence[str], chain: Chain) -> list[str]:
    start, end = f"-A {chain.parent} ", f" -j {chain.name}"
    return [line for line in found if line.startswith(start) and line.endswith(end)]


def _leads(found: Sequence[str], chain: Chain) -> bool:
    """Return whether the jump is what the built-in chain begins with."""
    return next((line for line in found if line.startswith(f"-A {chain.parent} ")), "") == chain.jump()


def _undone(line: str) -> str:
    return line.replace("-A ", "-D ", 1)


def _restore(family: int, table: str, lines: list[str], where: str, namespace: Namespace | None) -> None:
    _run_restore(family, [f"*{table}", *lines, "COMMIT"], where, namespace)


def _run_restore(family: int, lines: list[str], where: str, namespace: Namespace | None) -> None:
    outcome = spawn.run([f"{PROGRAMS[family]}-restore", "--noflush", WAIT], "\n".join([*lines, ""]), namespace)
    if outcome.code != 0:
        raise _refusal(outcome, f"changing {PROGRAMS[family]} {where}")


def _refusal(outcome: Outcome, what: str) -> KernelError:
    if outcome.code == LOCKED:
        return KernelError(errno.ETIMEDOUT, what, f"{LOCK}: held by {locks.lock_owner(LOCK)}")
    return spawn.error_from(outcome, what)
