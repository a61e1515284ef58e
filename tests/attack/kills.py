"""Kills what people and runtimes start at one system call at a time, by strace, and looks at what becomes of the next attempt.

A first run is traced, so that every occurrence of every call that changes something, or waits, is known; a later one gets SIGKILL there.
What has to hold, wherever it was:

- the same command again ends well, and leaves just what it leaves when nothing happened
- what takes it back (`--undo`, `leave`, teardown, DEL) ends well and leaves nothing: no file, link, rule, process, lock
- of an agent that was killed no worker stays, and the next one serves on the same socket

Must not know what a command does. Blind spot: the programs that ours start, threads beside the first one, two kills in a row.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

from tests.attack.figures import Budget, Figures
from tests.attack.inject import CALL
from tests.lab import machine, netavark, warm
from tests.lab.daemon import DIST, ROOT
from tests.lab.hosts import Host, Lab
from tests.lab.waiting import until
from tests.lab.world import PATH, LabError, Place, tool

PATIENCE = 60
CALLS = frozenset(
    [
        "openat",
        "open",
        "creat",
        "write",
        "pwrite64",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "rmdir",
        "chmod",
        "fchmod",
        "fchmodat",
        "chown",
        "fchown",
        "ftruncate",
        "fsync",
        "fdatasync",
        "flock",
        "fcntl",
        "fsetxattr",
        "setxattr",
        "mount",
        "umount2",
        "setns",
        "unshare",
        "socket",
        "bind",
        "listen",
        "connect",
        "sendto",
        "sendmsg",
        "recvmsg",
        "recvfrom",
        "vfork",
        "clone",
        "clone3",
        "wait4",
        "memfd_create",
        "kill",
        "close",
    ]
)
RUNTIMES = (("podman", "netavark"), ("containerd",), ("docker",))
READING = ("O_RDONLY", "O_PATH")
STATE = """
{ ip -o link; for name in $(ls /run/netns); do ip -n $name -o link; done; } | sed 's/^[0-9]*: //; s/[@:].*//; s/^veth.*/veth/'
nft --stateless list ruleset 2>/dev/null | grep -c . || :
iptables-save 2>/dev/null | grep -c '^-A' || :
for folder in FOLDERS; do
    [ ! -e $folder ] || find $folder ! -type d ! -name '*lock*' ! -name last_reserved_ip* ! -name '.*' ! -name '*.log' ! -name '*.pid' |
        sed 's,/locks/.*,/locks,; s/[.][0-9]*$/.N/' | grep -v '/locks$' || :
done
"""
"""Names of links and files but for what is drawn or taken in turn in them, and how many rules there are."""


@dataclass(frozen=True, slots=True)
class Act:
    """A command on a pretend host: how it is run behind some words, what takes it back, and where what it leaves can be seen."""

    name: str
    place: Place
    run: Callable[..., "CompletedProcess[str]"]
    undo: Callable[[], "CompletedProcess[str]"]
    folders: Sequence[str]

    def state(self) -> list[str]:
        """Return what stands on the host."""
        return sorted(self.place.run("sh", "-c", STATE.replace("FOLDERS", " ".join(self.folders))).splitlines())


@dataclass(frozen=True, slots=True)
class Blow:
    """An occurrence of a system call at which an act is killed."""

    call: str
    number: int
    about: str

    def words(self, trace: Path) -> tuple[str, ...]:
        """Return what is put before a command line to have it killed there."""
        inject = f"inject={self.call}:signal=KILL:when={self.number}"
        return (tool("strace"), "-o", str(trace), "-e", f"trace={self.call}", "-e", inject)


def blows(trace: Path) -> list[Blow]:
    """Return the occurrences in a trace at which something may be half done."""
    seen: dict[str, int] = {}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        if (told := CALL.match(line)) is None:
            continue
        call, about = told.groups()
        seen[call] = seen.get(call, 0) + 1
        if call in CALLS and not (call in {"open", "openat"} and any(word in about for word in READING)):
            found.append(Blow(call, seen[call], about[:100]))
    return found


def struck(act: Act, blow: Blow, trace: Path, clean: Sequence[str], whole: Sequence[str]) -> str:
    """Kill an act once, do it again and take it back; return what did not hold, empty when all did."""
    problems = []
    try:
        act.run(*blow.words(trace))
        again = act.run()
        if again.returncode:
            problems.append(f"again: exit {again.returncode}: {again.stdout[-200:]}{again.stderr[-200:]}")
        elif (stands := act.state()) != whole:
            problems.append(f"again left {_unlike(stands, whole)}")
        undone = act.undo()
        if undone.returncode:
            problems.append(f"taken back: exit {undone.returncode}: {undone.stdout[-200:]}{undone.stderr[-200:]}")
        if (stands := act.state()) != clean:
            problems.append(f"taken back, but left {_unlike(stands, clean)}")
    except subprocess.TimeoutExpired as late:
        problems.append(f"no end after {PATIENCE} s: {late.cmd}")
    return "; ".join(problems)


def _unlike(stands: Sequence[str], wanted: Sequence[str]) -> str:
    """Return what is there too much, and what is missing."""
    more, less = Counter(stands) - Counter(wanted), Counter(wanted) - Counter(stands)
    return f"{sorted(more.elements())} too much, {sorted(less.elements())} too little"


def of_agent(blow: Blow, folder: Path) -> str:
    """Kill an agent at its start, and start another; return what did not hold."""
    path, trace = folder / "agent.sock", folder / "trace"
    _begun(blow.words(trace), path)
    try:
        with warm.agent(folder, "--workers", "2") as agent:
            serving = agent.listens()
    except AssertionError as refused:
        return f"the next agent: {refused}"
    left = sorted(file.name for file in folder.iterdir() if file.name not in {"trace", "agent.log"})
    with suppress(AssertionError):
        until(lambda: not _of(path), "no process is left", within=10)
    return "; ".join(
        [*([] if serving else ["the next agent does not serve"]), *(f"left {name}" for name in [*left, *_of(path)])]
    )


def _begun(words: Sequence[str], path: Path) -> None:
    """Start an agent behind some words, and return when it is dead: by what they do or, once it answers, by us."""
    command: list[str | Path] = [*words, warm.TULLE, "agent", "--socket", path, "--workers", "2"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={}) as job:
        asked = (warm.TULLE, "agent", "status", "--socket", path)

        def settled() -> bool:
            return (
                job.poll() is not None or not subprocess.run(asked, capture_output=True, env={}, check=False).returncode
            )

        until(settled, "the agent answers or is dead", within=PATIENCE)
        if job.poll() is None:
            (child, *_) = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
            os.kill(int(child), signal.SIGKILL)


def _of(path: Path) -> list[str]:
    """Return the processes that were started with a socket."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(path).encode() in file.read_bytes().split(b"\0"):
                found.append(file.parent.name)
    return found


def init(host: Host, *runtimes: str) -> Act:
    """Return `tulle init` for runtimes that can share a host."""

    def run(*within: str, undo: bool = False) -> "CompletedProcess[str]":
        words = ("--undo",) if undo else runtimes
        command: tuple[str | Path, ...] = (*within, DIST / "bin" / "tulle", "init", *words)
        return host.place.attempt(*command, env={"PATH": PATH, "HOME": "/root"}, within=PATIENCE)

    return Act(
        f"init {' '.join(runtimes)}",
        host.place,
        run,
        lambda: run(undo=True),
        ("/etc", "/opt", "/usr/lib/cni", "/var/lib/tulle"),
    )


def join(host: Host) -> Act:
    """Return `tulle join --now` of a host with its neighbour, by a list of hosts."""

    def run(*within: str) -> "CompletedProcess[str]":
        words = ("join", "--now", str(host.standing.address.ip), "192.168.1.99")
        return host.place.attempt(*within, DIST / "bin" / "tulle", *words, env={"PATH": PATH}, within=PATIENCE)

    def leave() -> "CompletedProcess[str]":
        script = "systemctl disable --now tulled tulle-agent && tulle leave"
        return host.place.attempt("sh", "-ec", script, env={"PATH": f"{DIST / 'bin'}:{PATH}"}, within=PATIENCE)

    return Act("join", host.place, run, leave, ("/etc", "/var/lib/tulle", "/run/flannel", "/run/tulle"))


def driver(host: Host) -> Act:
    """Return the set-up of a container by Podman's driver."""
    network = netavark.create(host, "web")
    document = {
        "container_id": "1" * 64,
        "container_name": "one",
        "network": network | {"dns_enabled": False},
        "network_options": {"interface_name": "eth0", "aliases": ["one"]},
        "port_mappings": [netavark.port(8081, 80)],
    }
    host.place.ip("netns add d1")

    def run(*within: str, verb: str = "setup") -> "CompletedProcess[str]":
        command: tuple[str | Path, ...] = (*within, DIST / "netavark" / "tulle", verb, "/run/netns/d1")
        return host.place.attempt(*command, stdin=json.dumps(document), env={"PATH": PATH}, within=PATIENCE)

    def setup(*within: str) -> "CompletedProcess[str]":
        """Netavark tears down what failed before somebody tries again."""
        done = run(*within)
        if done.returncode:
            run(verb="teardown")
        return done

    return Act(
        "driver setup",
        host.place,
        setup,
        lambda: run(verb="teardown"),
        ("/run/tulle", "/var/lib/cni", "/var/lib/tulle"),
    )


def creation(host: Host) -> Act:
    """Return the creation of a network by Podman's driver, which leaves nothing but its answer."""
    network = json.dumps({"name": "web", "id": "0" * 64, "driver": "tulle", "created": "0001-01-01T00:00:00Z",
                          "ipv6_enabled": False, "internal": False, "dns_enabled": True})  # fmt: skip

    def run(*within: str) -> "CompletedProcess[str]":
        command: tuple[str | Path, ...] = (*within, DIST / "netavark" / "tulle", "create")
        return host.place.attempt(*command, stdin=network, env={"PATH": PATH}, within=PATIENCE)

    return Act(
        "driver create",
        host.place,
        run,
        lambda: CompletedProcess((), 0),
        ("/run/tulle", "/var/lib/cni", "/var/lib/tulle"),
    )


def attachment(host: Host, verb: str) -> Act:
    """Return an ADD or a DEL of the shipped conflist's bridge; a DEL is preceded by its ADD and is taken back by another."""
    host.place.attempt("ip", "netns", "add", "k1")
    plugin = {**host.runtime.conflist.plugins[0], "name": "killed", "cniVersion": "1.0.0"}

    def call(what: str, *within: str) -> "CompletedProcess[str]":
        environ = {"CNI_COMMAND": what, "CNI_CONTAINERID": "killed", "CNI_NETNS": "/run/netns/k1", "CNI_IFNAME": "eth0"}
        environ |= {"CNI_PATH": str(DIST / "cni"), "TULLE_AGENT": "/none", "PATH": PATH}
        return host.place.attempt(
            *within, DIST / "cni" / "bridge", stdin=json.dumps(plugin), env=environ, within=PATIENCE
        )

    def add(*within: str) -> "CompletedProcess[str]":
        """A runtime follows an ADD that failed with a DEL."""
        done = call("ADD", *within)
        if done.returncode:
            call("DEL")
        return done

    def delete(*within: str) -> "CompletedProcess[str]":
        call("ADD")
        return call("DEL", *within)

    run: Mapping[str, Callable[..., CompletedProcess[str]]] = {"ADD": add, "DEL": delete}
    return Act(
        f"bridge {verb}", host.place, run[verb], lambda: call("DEL"), ("/run/tulle", "/var/lib/cni", "/var/lib/tulle")
    )


@contextmanager
def staged() -> Iterator[tuple[list[Act], Path]]:
    """Make a host with a lease and runtimes, and one that is no member yet, and yield all acts with a folder for traces."""
    with Lab({"host-a": 1, "host-b": 1}) as lab:
        first, second = lab.hosts.values()
        machine.furnish(first, ("podman", "containerd", "docker", "dockerd"))
        newcomer = machine.furnish(second)
        units = f"cd {ROOT}/build/systemd; for unit in tulled.service tulle-agent.service; do sed s,/usr/local/bin,{DIST}/bin,"
        newcomer.type(f"mkdir -p /etc/systemd/system; {units} $unit >/etc/systemd/system/$unit; done")
        newcomer.type("rm -rf /etc/tulle /etc/default/tulled /var/lib/tulle")
        first.start_daemon("--ip-masq", "--keep-source").wait_ready()
        first.add("kept")  # what the first container of a host leaves is there already
        yield (
            [
                *(init(first, *runtimes) for runtimes in RUNTIMES),
                creation(first),
                driver(first),
                attachment(first, "ADD"),
                attachment(first, "DEL"),
                join(second),
            ],
            lab.workdir,
        )


def campaign(budget: Budget) -> Figures:
    """Kill acts one after the other, each once in turn, and agents."""
    figures = Figures()
    end = time.monotonic() + budget.seconds
    with ExitStack() as opened:
        acts, folder = opened.enter_context(staged())
        home = Path(opened.enter_context(TemporaryDirectory(prefix="attack-")))
        for act in acts:  # what only the first of its kind leaves is there from now on
            _well(act.run())
            _well(act.undo())
        decks = [(act.name, *prepared(act, folder / "trace")) for act in acts]
        _begun((tool("strace"), "-o", str(home / "trace")), home / "agent.sock")
        at_start = blows(home / "trace")
        of_agent(at_start[0], home)
        decks.append(("agent", at_start, lambda blow: of_agent(blow, home)))
        for _, deck, _ in decks:
            random.Random(budget.seed).shuffle(deck)
        for number in range(max(len(deck) for _, deck, _ in decks)):
            for name, deck, strike in decks:
                spent = time.monotonic() >= end or figures.tried >= (budget.cases or figures.tried + 1)
                if spent:
                    return figures
                if number < len(deck):
                    blow = deck[number]
                    figures.tried += 1
                    if said := strike(blow):
                        figures.broken.append(f"{name} killed at {blow.call} {blow.number} ({blow.about}): {said}")
    return figures


def prepared(act: Act, trace: Path) -> tuple[list[Blow], Callable[[Blow], str]]:
    """Run an act undisturbed, and return where it may be killed, and what kills it there."""
    clean = act.state()
    _well(act.run(tool("strace"), "-o", str(trace)))
    whole = act.state()
    _well(act.undo())
    if act.state() != clean:
        raise LabError(f"{act.name}, undisturbed, leaves {_unlike(act.state(), clean)}")
    return blows(trace), lambda blow: struck(act, blow, trace, clean, whole)


def _well(done: "CompletedProcess[str]") -> None:
    if done.returncode:
        raise LabError(f"{done.args}: exit {done.returncode}: {done.stdout}{done.stderr}")
