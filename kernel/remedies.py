"""What to do about an error of the kernel, or of a program that asks it: a table with one row per errno and request.

The same errno means different things for different requests: EACCES is a missing privilege, but for an IPv6 address it
says that IPv6 is turned off. So a row may name how the request begins, or words of the answer, in the words of
kernel.errors. The first row that matches is taken; without one there is no advice.
"""

import errno
import re
from dataclasses import dataclass

PRIVILEGE = "run this as root, or with CAP_NET_ADMIN in the user namespace that owns the network namespace"
MODULE = "the running kernel lacks this feature: load its module or enable it in the kernel's configuration"
IPV6 = "IPv6 is switched off there: set net.ipv6.conf.all.disable_ipv6 and that of the link to 0 in that namespace, or configure IPv4 alone"
AGAIN = "something else changed it at the same moment: try again"


@dataclass(frozen=True, slots=True)
class Row:
    """A remedy for an errno; `asked` is a regular expression that the question with its answer has to hold."""

    number: int
    """The errno."""
    asked: str
    """A regular expression that must be found in the text of the error."""
    remedy: str
    """What to do."""


def _module(name: str) -> str:
    return f"the running kernel has no {name}: modprobe {name} on the host, or boot a kernel that has it"


SYSCTL = "^setting sysctl"
PROGRAM = "^(running|listing|changing|adding nftables|starting)"
ADDRESS = "^adding address"

TABLE: tuple[Row, ...] = (
    # What is switched off, or may not be done by us.
    Row(errno.EACCES, "^adding (address|route|blackhole route|neighbour) [0-9a-f]*:|IPv6 is disabled", IPV6),
    Row(errno.EPERM, "IPv6 is disabled", IPV6),
    Row(errno.EPERM, SYSCTL, "only root of the host may set it, or something protects it: set it on the host"),
    Row(errno.EACCES, SYSCTL, "only root of the host may set it, or something protects it: set it on the host"),
    Row(errno.EPERM, "", PRIVILEGE),
    Row(errno.EACCES, "", PRIVILEGE),
    Row(
        errno.EROFS, SYSCTL, "/proc/sys is read-only here: set the value outside this container, or mount it read-write"
    ),
    Row(errno.EROFS, "", "the file system is mounted read-only: mount it read-write"),
    # What this kernel or this host has not.
    Row(errno.ENOPKG, "", "install the package that provides this program"),
    Row(errno.EOPNOTSUPP, "^creating bridge", _module("bridge")),
    Row(errno.EOPNOTSUPP, "^creating veth", _module("veth")),
    Row(errno.EOPNOTSUPP, "^creating vxlan", _module("vxlan")),
    Row(errno.EOPNOTSUPP, "^creating WireGuard", f"{_module('wireguard')}, or install wireguard-go"),
    Row(errno.EOPNOTSUPP, "^creating ifb", _module("ifb")),
    Row(errno.ENOENT, "^limiting link", _module("sch_tbf")),
    Row(errno.EOPNOTSUPP, "^limiting link", _module("sch_tbf")),
    Row(errno.ENOENT, "^redirecting", _module("sch_ingress")),
    Row(errno.EOPNOTSUPP, "^redirecting", _module("sch_ingress")),
    Row(
        errno.EAFNOSUPPORT,
        "",
        "this kernel was started without that address family: remove ipv6.disable=1 from its command line",
    ),
    Row(errno.EOPNOTSUPP, "^(adding|deleting) (address|route|blackhole route|neighbour) [0-9a-f]*:", IPV6),
    Row(errno.EOPNOTSUPP, "", MODULE),
    Row(errno.EPROTONOSUPPORT, "", MODULE),
    Row(errno.ENOPROTOOPT, "", MODULE),
    Row(errno.ENOSYS, "", "the running kernel is too old, or a seccomp filter forbids the call"),
    Row(errno.ENOENT, SYSCTL, "this kernel has no such parameter: load the module it belongs to, or correct its name"),
    Row(errno.ENOENT, "insmod|missing kernel module", MODULE),
    Row(
        errno.ENOENT,
        PROGRAM,
        "what it names is not there: another program flushed the rules meanwhile, or a module is not loaded; try again",
    ),
    # What is full or used up.
    Row(errno.EXFULL, "", "the bridge has 1023 ports, and takes no more: put the container on another bridge or host"),
    Row(errno.ENOSPC, "namespace", "as many namespaces as allowed are there: raise sysctl user.max_net_namespaces"),
    Row(errno.ENOSPC, "", "a disk or a limit of the kernel is full: df, df -i and dmesg tell which"),
    Row(errno.EDQUOT, "", "a quota is used up: free space, or raise it"),
    Row(
        errno.ENOBUFS,
        "",
        "a buffer of the kernel was full: try again; where it stays so, raise net.core.rmem_max and wmem_max",
    ),
    Row(
        errno.EMFILE,
        "",
        "this process has as many files open as it may: raise the runtime's limit (LimitNOFILE, ulimit -n)",
    ),
    Row(
        errno.ENFILE,
        "^(adding nftables|changing|running)",
        "a set of the rules is full: remove elements, or make it larger",
    ),
    Row(errno.ENFILE, "", "the host has as many files open as it may: raise sysctl fs.file-max"),
    Row(errno.ENOMEM, "", "no memory is left: free some, or raise the memory limit of the runtime's control group"),
    Row(
        errno.EAGAIN,
        PROGRAM,
        "no process can be started, or another program holds the lock: raise pids.max and ulimit -u, or try again",
    ),
    Row(errno.EAGAIN, "", "the kernel is busy: try again"),
    Row(errno.EINTR, "", "a signal came in between: try again"),
    # What is in the way.
    Row(
        errno.EEXIST,
        "^creating vxlan",
        "a device of that name, or with that VNI and port, is there: ip -d link show type vxlan; delete it or choose another VNI",
    ),
    Row(
        errno.EEXIST,
        "^(creating|setting name)",
        "a link of that name is there: ip link delete it, or choose another name",
    ),
    Row(errno.EEXIST, ADDRESS, "the link has that address already: ip address del it, or leave it"),
    Row(
        errno.EEXIST,
        "^adding (blackhole )?route",
        "a route there stands already: ip route show; delete it, or change its metric",
    ),
    Row(errno.EEXIST, "", "it is there already: delete it, or choose another"),
    Row(
        errno.EBUSY,
        "^setting .*master",
        "it belongs to another bridge, bond or macvlan: take it out with ip link set LINK nomaster",
    ),
    Row(errno.EBUSY, "^creating TUN", "another process has that device: end it, or choose another name"),
    Row(errno.EBUSY, PROGRAM, "another program uses those rules, or holds their lock: try again"),
    Row(errno.EBUSY, "", "something uses it: take it away there first, or try again"),
    Row(
        errno.EADDRINUSE,
        "",
        "another program listens on that port: ss -lunp tells which; end it, or choose another port",
    ),
    Row(errno.ELOOP, "", "a bridge cannot be a port of a bridge: choose another link"),
    Row(errno.EMLINK, PROGRAM, "the chain still has rules or is jumped to: remove those first"),
    Row(errno.EMLINK, "", "too many devices are stacked on each other: attach to one further below"),
    # What is no longer there.
    Row(errno.ENODEV, "", "the link is gone, removed meanwhile: try again"),
    Row(errno.ENXIO, "", "the link is gone, removed meanwhile: try again"),
    Row(errno.ESRCH, "", "what it names is gone, removed meanwhile: try again"),
    Row(errno.ENOENT, "", "what it names is not there: try again, or correct its name"),
    # What cannot be.
    Row(
        errno.EADDRNOTAVAIL,
        "^(creating|setting .*mac)",
        "the kernel takes no such MAC: one is neither all zeros nor of a group, like 02:00:00:00:00:01",
    ),
    Row(errno.EADDRNOTAVAIL, "", "the address is not one of this host: give it to a link first, or correct it"),
    Row(
        errno.ENETUNREACH,
        "",
        "the gateway lies in no network of the link: correct it, or give the link an address beside it",
    ),
    Row(errno.EHOSTUNREACH, "", "the gateway cannot be reached by the link: correct it, or set the link up"),
    Row(errno.ENETDOWN, "", "the link is down: ip link set it up"),
    Row(errno.ENONET, "", "the link is down: ip link set it up"),
    Row(errno.EINVAL, SYSCTL, "the parameter takes no such value: correct it in the configuration"),
    Row(errno.ERANGE, SYSCTL, "the parameter takes no such value: correct it in the configuration"),
    Row(
        errno.EINVAL,
        "mtu|MTU",
        "the link takes no such MTU: ip -d link show tells the least and the most (minmtu, maxmtu)",
    ),
    Row(errno.EINVAL, "^opening network namespace", "it is no network namespace: pass one, like /run/netns/NAME"),
    Row(errno.EINVAL, "", "the kernel takes no such value: correct it in the configuration"),
    Row(errno.ERANGE, "", "the value is outside what the kernel takes: correct it in the configuration"),
    Row(errno.ENAMETOOLONG, "", "a name is too long: an interface's has at most 15 bytes, a file's 255"),
    Row(errno.EBADMSG, "", f"the kernel's answer cannot be read: {AGAIN}"),
)
"""More particular rows stand before more general ones of the same errno."""


def row(number: int, said: str) -> Row | None:
    """Return the row about a refusal with errno `number` whose text is `said`; None when there is no advice that fits."""
    return next((row for row in TABLE if row.number == number and re.search(row.asked, said)), None)
