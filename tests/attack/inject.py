"""Has the kernel fail one system call of a cold ADD or DEL at a time, by strace, and looks at what becomes of it.

A first run of each request is traced, so that every occurrence of every call is known with the file or message it was about; each is
then failed once with errnos that it can really have. A later run may make another call in its place, so the trace of that run says which it was.
What has to hold, whatever failed:

- stdout has one document or, where stdout itself is broken, nothing, with the answer on stderr; the exit code goes with it
- there is no traceback, no code 999, no death by a signal, and nothing waits for ever
- an installed file that could not be read is named as one
- after an ADD, its DEL finishes and leaves nothing; after a DEL, another one does

What the interpreter needs before it runs a line of ours may end it without a document, and without a change.
Must not know what a program does. Blind spot: the programs that ours start, and two faults at once.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from tests.attack.figures import Budget, Figures
from tests.lab.daemon import DIST
from tests.lab.world import PATH, Place, World, tool

PROGRAMS = DIST / "cni"
PATIENCE = 60
OURS = re.compile(r"/_internal/(cni|bridge|ipam|meta)/")
INSTALLED = re.compile(r"/_internal/[^<>\"]*\.(pyc|so)\b")
STDOUT = re.compile(r"^1(<[^>]*>)?, ")
CALL = re.compile(r"^(?:\[pid +\d+\] )?(\w+)\((.*)")
LEFT_OUT = frozenset(
    {
        *(
            "execve",
            "exit_group",
            "arch_prctl",
            "set_tid_address",
            "rseq",
            "set_robust_list",
            "rt_sigreturn",
            "brk",
            "futex",
        ),
        *(
            "rt_sigprocmask",
            "rt_sigaction",
            "munmap",
            "gettid",
            "getpid",
            "prlimit64",
            "sysinfo",
            "getuid",
            "geteuid",
            "umask",
        ),
    }
)
"""Calls that cannot fail, or whose failure no program survives."""

FAULTS = {
    "openat": ("EMFILE", "ENFILE", "EIO", "EACCES", "ENOENT", "ENOMEM"),
    "open": ("EMFILE", "EIO", "ENOENT"),
    "read": ("EIO", "ENOMEM"),
    "pread64": ("EIO",),
    "newfstatat": ("EIO", "EACCES", "ENOENT"),
    "stat": ("EIO", "EACCES"),
    "getdents64": ("EIO", "ENOMEM"),
    "lseek": ("EINVAL",),
    "mmap": ("ENOMEM",),
    "mprotect": ("ENOMEM",),
    "write": ("EIO", "ENOSPC", "EPIPE"),
    "pwrite64": ("EIO", "ENOSPC"),
    "socket": ("EMFILE", "ENOBUFS", "EPERM", "EAFNOSUPPORT"),
    "setsockopt": ("ENOMEM", "EPERM"),
    "bind": ("EADDRINUSE", "ENOMEM"),
    "connect": ("ECONNREFUSED", "EACCES"),
    "sendmsg": ("ENOBUFS", "ENOMEM", "EPERM"),
    "sendto": ("ENOBUFS", "EPERM"),
    "recvfrom": ("ENOBUFS", "ENOMEM"),
    "recvmsg": ("ENOBUFS", "ENOMEM"),
    "setns": ("EPERM", "ENOMEM"),
    "memfd_create": ("EMFILE", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM"),
    "vfork": ("EAGAIN", "ENOMEM"),
    "wait4": ("ECHILD",),
    "mkdir": ("ENOSPC", "EROFS", "EACCES"),
    "unlinkat": ("EIO", "EROFS"),
    "unlink": ("EIO", "EROFS"),
    "linkat": ("ENOSPC", "EROFS", "EIO"),
    "rename": ("ENOSPC", "EROFS", "EIO"),
    "renameat": ("ENOSPC", "EROFS"),
    "ftruncate": ("EIO", "ENOSPC"),
    "fsync": ("EIO",),
    "flock": ("ENOLCK", "EINTR"),
    "fcntl": ("ENOLCK", "EMFILE"),
    "fsetxattr": ("ENOSPC", "EOPNOTSUPP", "EPERM"),
    "dup2": ("EMFILE",),
    "close": ("EIO",),
    "ioctl": ("EPERM", "ENOTTY"),
    "getrandom": ("ENOSYS",),
    "readlink": ("EACCES", "ENOENT"),
    "getcwd": ("ENOENT",),
    "poll": ("ENOMEM",),
    "epoll_create1": ("EMFILE",),
    "pidfd_open": ("EMFILE",),
}
"""What each call can really fail with; others fail with EIO."""

STATE = """
{ ip -o link; ip -n c1 -o link; ip -n c2 -o link; } | sed 's/^[0-9]*: //; s/[@:].*//'
nft list ruleset 2>/dev/null | grep -F inj || :
iptables-save 2>/dev/null | grep -F inj || :
find /var/lib/cni /run/cni /run/tulle /var/lib/tulle -type f 2>/dev/null |
    grep -v '/locks/\\|lock$\\|last_reserved_ip\\|/\\.index\\|/\\.boot_id\\|/\\.cursor' || :
"""
"""Every trace of an attachment: links, rules that name it, files."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a program is asked: the backend it is to use, the container's namespace, and the keys of its configuration."""

    program: str
    backend: str
    netns: str
    keys: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A request whose calls are failed: a program, a backend, the container's namespace, what it reads, and the verb."""

    program: str
    backend: str
    netns: str
    config: str
    verb: str

    @classmethod
    def of(cls, request: Request, verb: str, network: str = "injnet") -> Self:
        """Return the subject that asks `request` with `verb`."""
        document = {"cniVersion": "1.0.0", "name": network, "type": request.program, **request.keys}
        return cls(request.program, request.backend, request.netns, json.dumps(document), verb)


@dataclass(frozen=True, slots=True)
class Fault:
    """One occurrence of a system call of a subject, what it was about, and what it fails with; `ours` once a line of ours has run."""

    subject: Subject
    call: str
    number: int
    about: str
    error: str
    ours: bool

    def __str__(self) -> str:
        words = f"{self.call}:error={self.error}:when={self.number}"
        return f"{self.subject.program} {self.subject.verb} ({self.subject.backend}) with {words} ({self.about[:100]})"


@dataclass(frozen=True, slots=True)
class Host:
    """A pretend host with a container's namespace, and the file that calls are traced to."""

    place: Place
    trace: Path

    def call(self, subject: Subject, verb: str, *within: str) -> "subprocess.CompletedProcess[str]":
        """Run a request as a runtime does, `within` put before its command line."""
        ifname = "lo" if subject.program == "loopback" else "eth0"
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "inj", "CNI_IFNAME": ifname}
        environ |= {"CNI_NETNS": f"/run/netns/{subject.netns}"}
        environ |= {"CNI_PATH": str(PROGRAMS), "TULLE_AGENT": "/none", "PATH": PATH}
        command = (*within, str(PROGRAMS / subject.program))
        return self.place.attempt(*command, stdin=subject.config, env=environ, within=PATIENCE)

    def state(self) -> list[str]:
        """Return every trace of attachments there is."""
        return sorted(self.place.run("sh", "-c", STATE).splitlines())

    def traced(self, subject: Subject) -> list[str]:
        """Return a line for every system call of one request that succeeds."""
        done = self.call(subject, subject.verb, tool("strace"), "-y", "-s", "512", "-o", str(self.trace))
        assert done.returncode == 0, done
        return self.trace.read_text(errors="replace").splitlines()


LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
SUBNET_FILE = "/run/flannel/subnet.env"


def bridge(name: str, backend: str, number: int) -> dict[str, Any]:
    """Return the configuration of a network with both families on a bridge of its own."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": f"10.{number}.0.0/24"}], [{"subnet": f"fd0{number}::/64"}]]}
    return {"bridge": name, "isGateway": True, "ipMasq": True, "ipMasqBackend": backend, "ipam": ipam}


def requests(prev_result: dict[str, Any]) -> Iterator[Request]:
    """Yield a request of every program, those that filter with either backend; what is chained gets the result of a bridge.

    But for bandwidth: like the reference's its DEL leaves the limit to the link it is on, which goes with the bridge's DEL.
    """
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    chained: dict[str, Any] = {"prevResult": prev_result}
    for backend in ("iptables", "nftables"):
        yield Request("bridge", backend, "c1", bridge("br0", backend, 9))
        yield Request("portmap", backend, "c2", {**chained, "backend": backend, "runtimeConfig": ports})
        yield Request("firewall", backend, "c2", {**chained, "backend": backend})
    yield Request(
        "tuning", "", "c2", {**chained, "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}, "mtu": 1400, "promisc": True}
    )
    yield Request(
        "flannel", "", "c1", {"subnetFile": SUBNET_FILE, "delegate": {"bridge": "br2", "isDefaultGateway": True}}
    )
    yield Request("host-local", "", "c1", {"ipam": {"type": "host-local", "subnetFile": SUBNET_FILE}})
    yield Request("static", "", "c1", {"ipam": {"type": "static", "addresses": [{"address": "10.7.0.2/24"}]}})
    yield Request("loopback", "", "c1", {})


def faults(host: Host, subject: Subject) -> Iterator[Fault]:
    """Yield every fault for every call that a request makes, in order."""
    seen: dict[str, int] = {}
    ours = False
    for line in host.traced(subject):
        found = CALL.match(line)
        if found is None:
            continue
        call, about = found.groups()
        seen[call] = seen.get(call, 0) + 1
        ours = ours or bool(OURS.search(about))
        if call not in LEFT_OUT:
            for error in FAULTS.get(call, ("EIO",)):
                yield Fault(subject, call, seen[call], about, error, ours)


@contextmanager
def pretended() -> Iterator[tuple[Host, list[Subject]]]:
    """Make a host with a lease and an attached container for what is chained, and yield it with all that can be asked of it."""
    with World() as world, TemporaryDirectory(prefix="attack-") as folder:
        host = Host(world.add_host("host"), Path(folder) / "trace")
        host.place.ip("netns add c1", "netns add c2")
        host.place.run("sh", "-c", f"mkdir -p /run/flannel && cat >{SUBNET_FILE}", stdin=LEASE)
        kept = Subject.of(Request("bridge", "nftables", "c2", bridge("br1", "nftables", 8)), "ADD", "keptnet")
        result = json.loads(host.call(kept, "ADD").stdout)
        yield host, [Subject.of(request, verb) for request in requests(result) for verb in ("ADD", "DEL")]


def flaw(fault: Fault, done: "subprocess.CompletedProcess[str]") -> str:
    """Return what is wrong with an answer; empty for one that is right."""
    if done.returncode not in (0, 1) and fault.ours:
        return f"exit {done.returncode}: {done.stderr[-200:]}"
    if fault.ours and "Traceback" in done.stderr:
        return f"a traceback: {done.stderr[-300:]}"
    if not done.stdout:
        untold = STDOUT.match(fault.about) is not None and "cannot deliver the answer" in done.stderr
        silent = done.returncode == 0 and fault.subject.verb == "DEL"
        return (
            "" if silent or (done.returncode and (untold or not fault.ours)) else f"no document: {done.stderr[-200:]}"
        )
    try:
        document = json.loads(done.stdout)
    except ValueError:
        return f"no document but {done.stdout[:200]}"
    if done.returncode == 0:
        return "" if "cniVersion" in document and "code" not in document else f"no result but {done.stdout[:200]}"
    if document.get("code", 999) == 999 or not document.get("msg"):
        return f"a bug of ours: {done.stdout[:300]}"
    if INSTALLED.search(fault.about) and "an installed file cannot be read" not in document["msg"]:
        return f"an installed file is not named: {done.stdout[:300]}"
    return ""


def tried(host: Host, fault: Fault, clean: Sequence[str]) -> str:
    """Fail one call and take everything back; return what did not hold, empty when all did."""
    subject = fault.subject
    if subject.verb == "DEL":
        host.call(subject, "ADD")
    inject = f"inject={fault.call}:error={fault.error}:when={fault.number}"
    strace = (tool("strace"), "-y", "-s", "512", "-o", str(host.trace), "-e", f"trace={fault.call}", "-e", inject)
    try:
        done = host.call(subject, subject.verb, *strace)
    except subprocess.TimeoutExpired:
        return f"no end after {PATIENCE} s"
    failed = next((line for line in host.trace.read_text(errors="replace").splitlines() if "(INJECTED)" in line), "")
    found = CALL.match(failed)
    problems = [flaw(replace(fault, about=found.group(2) if found else ""), done)]
    if (
        not (done.stdout and subject.verb == "ADD")
        and done.returncode
        and subject.verb == "ADD"
        and host.state() != clean
    ):
        problems.append(f"an ADD that was not told is not undone: {_surplus(host, clean)}")
    undone = host.call(subject, "DEL")
    if undone.returncode or undone.stdout:
        problems.append(f"DEL afterwards: {undone.stdout or undone.stderr}")
    if host.state() != clean:
        problems.append(f"left: {_surplus(host, clean)}")
    return "; ".join(filter(None, problems))


def _surplus(host: Host, clean: Sequence[str]) -> list[str]:
    return sorted(set(host.state()) ^ set(clean))


def sample(every: Sequence[Fault], seed: int) -> list[Fault]:
    """Return all faults in an order drawn from `seed` and what each is: one of each kind of call of each subject first, then the others."""

    def drawn(fault: Fault) -> str:
        subject = fault.subject
        told = f"{seed} {subject.program} {subject.verb} {subject.backend} {fault.call} {fault.number} {fault.error}"
        return sha256(told.encode()).hexdigest()

    kinds: dict[tuple[Subject, str, bool], Fault] = {}
    ordered = sorted(every, key=drawn)
    for fault in ordered:
        kinds.setdefault((fault.subject, fault.call, fault.ours), fault)
    first = [fault for fault in kinds.values() if fault.ours]
    return [*first, *(fault for fault in ordered if fault not in set(first))]


def campaign(budget: Budget) -> Figures:
    """Fail calls until the budget is spent; a host on which something was left is made anew."""
    figures = Figures()
    with pretended() as (host, subjects):
        for subject in subjects:
            host.call(subject, "ADD")
            host.call(subject, "DEL")
        clean = host.state()
        found = [fault for subject in subjects for fault in prepared(host, subject)]
        for fault in budget.until_spent(sample(found, budget.seed)):
            figures.tried += 1
            if problem := tried(host, fault, clean):
                figures.broken.append(f"{fault}: {problem}")
                clean = host.state()
    return figures


def prepared(host: Host, subject: Subject) -> list[Fault]:
    """Return every fault of a subject, with the attachment there that a DEL needs, and gone afterwards."""
    if subject.verb == "DEL":
        host.call(subject, "ADD")
    found = list(faults(host, subject))
    host.call(subject, "DEL")
    return found
