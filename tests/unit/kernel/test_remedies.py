"""Claims: every row of the table is the one that is taken for what it is about, said as the kernel package says it; what no row fits has none.

That the kernel answers so is tested where it can be brought to it (tests/netns/kernel/test_remedies.py).
"""

import errno
import os
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from kernel import remedies
from kernel.errors import KernelError
from kernel.netlink.objects import TokenBucket
from kernel.netlink.requests import (
    AddAddress,
    AddBridge,
    AddIfb,
    AddNeighbour,
    AddRedirect,
    AddRoute,
    AddTokenBucket,
    AddVeth,
    AddVxlan,
    AddWireguard,
    DeleteLink,
    SetLink,
)
from kernel.spawn import ERRNO_BY_TEXT, Outcome, error_from

ADDRESS6 = AddAddress(5, ip_interface("fd00::2/64")).what()
ADDRESS4 = AddAddress(5, ip_interface("10.1.0.2/24")).what()
ROUTE = AddRoute(ip_network("10.2.0.0/16"), link=5, gateway=ip_address("10.1.0.1")).what()
ROUTE6 = AddRoute(ip_network("fd01::/64"), link=5, gateway=ip_address("fd00::1")).what()
NEIGHBOUR6 = AddNeighbour(5, ip_address("fd00::2"), "02:00:00:00:00:01").what()
VETH = AddVeth("veth0", "eth0", None).what()
BRIDGE = AddBridge("cni0").what()
VXLAN = AddVxlan("flannel.1", 1, 2, ip_address("192.0.2.1")).what()
WIREGUARD = AddWireguard("flannel-wg").what()
IFB = AddIfb("bwp0").what()
TBF = AddTokenBucket(5, TokenBucket(1, 2, 3)).what()
REDIRECT = AddRedirect(5, 6).what()
MASTER = SetLink(5, master=3).what()
MAC = SetLink(5, mac="01:00:00:00:00:00").what()
MTU = SetLink(5, mtu=9).what()
UP = SetLink(5, up=True).what()
DELETE = DeleteLink(5).what()
SYSCTL = "setting sysctl net/ipv4/ip_forward to 1"
NFT, IPTABLES, RUN, NETNS = (
    "changing nftables",
    "changing iptables nat",
    "running iptables",
    'opening network namespace "/x"',
)

CASES = [
    ("EACCES", ADDRESS6, "IPv6 is switched off"),
    ("EACCES", NEIGHBOUR6, "IPv6 is switched off"),
    ("EACCES", f"{ROUTE6}: IPv6 is disabled on nexthop device", "IPv6 is switched off"),
    ("EPERM", f"{ROUTE6}: IPv6 is disabled on this device", "IPv6 is switched off"),
    ("EPERM", SYSCTL, "root of the host"),
    ("EACCES", SYSCTL, "root of the host"),
    ("EPERM", BRIDGE, "CAP_NET_ADMIN"),
    ("EACCES", ADDRESS4, "CAP_NET_ADMIN"),
    ("EROFS", SYSCTL, "/proc/sys is read-only"),
    ("EROFS", "waiting for a turn to change rules", "mount it read-write"),
    ("ENOPKG", RUN, "install the package"),
    ("EOPNOTSUPP", BRIDGE, "modprobe bridge"),
    ("EOPNOTSUPP", VETH, "modprobe veth"),
    ("EOPNOTSUPP", VXLAN, "modprobe vxlan"),
    ("EOPNOTSUPP", WIREGUARD, "install wireguard-go"),
    ("EOPNOTSUPP", IFB, "modprobe ifb"),
    ("ENOENT", TBF, "modprobe sch_tbf"),
    ("EOPNOTSUPP", TBF, "modprobe sch_tbf"),
    ("ENOENT", REDIRECT, "modprobe sch_ingress"),
    ("EOPNOTSUPP", REDIRECT, "modprobe sch_ingress"),
    ("EAFNOSUPPORT", ADDRESS6, "ipv6.disable=1"),
    ("EOPNOTSUPP", ADDRESS6, "IPv6 is switched off"),
    ("EOPNOTSUPP", NFT, "load its module"),
    ("EPROTONOSUPPORT", "opening a netlink socket", "load its module"),
    ("ENOPROTOOPT", IPTABLES, "load its module"),
    ("ENOSYS", RUN, "too old"),
    ("ENOENT", "setting sysctl net/ipv6/conf/all/forwarding to 1", "no such parameter"),
    ("ENOENT", f"{IPTABLES}: RULE_APPEND failed: missing kernel module?", "load its module"),
    ("ENOENT", NFT, "flushed the rules"),
    ("EXFULL", VETH, "1023 ports"),
    ("ENOSPC", 'making a network namespace "x"', "max_net_namespaces"),
    ("ENOSPC", RUN, "df -i"),
    ("EDQUOT", RUN, "quota"),
    ("ENOBUFS", "sending 5 requests", "rmem_max"),
    ("EMFILE", "opening a netlink socket", "LimitNOFILE"),
    ("ENFILE", NFT, "a set of the rules is full"),
    ("ENFILE", "opening a netlink socket", "fs.file-max"),
    ("ENOMEM", VETH, "memory limit"),
    ("EAGAIN", RUN, "pids.max"),
    ("EAGAIN", DELETE, "the kernel is busy"),
    ("EINTR", "sending 5 requests", "try again"),
    ("EEXIST", VXLAN, "that VNI"),
    ("EEXIST", BRIDGE, "ip link delete it"),
    ("EEXIST", ADDRESS4, "has that address already"),
    ("EEXIST", ROUTE, "ip route show"),
    ("EEXIST", NFT, "it is there already"),
    ("EBUSY", MASTER, "nomaster"),
    ("EBUSY", "creating TUN device flannel0", "another process has that device"),
    ("EBUSY", NFT, "another program uses those rules"),
    ("EBUSY", UP, "something uses it"),
    ("EADDRINUSE", UP, "ss -lunp"),
    ("ELOOP", MASTER, "cannot be a port of a bridge"),
    ("EMLINK", IPTABLES, "the chain still has rules"),
    ("EMLINK", MASTER, "stacked"),
    ("ENODEV", ADDRESS4, "the link is gone"),
    ("ENXIO", ADDRESS4, "the link is gone"),
    ("ESRCH", "deleting neighbour fd00::2 on link 5", "what it names is gone"),
    ("ENOENT", NETNS, "what it names is not there"),
    ("EADDRNOTAVAIL", MAC, "no such MAC"),
    ("EADDRNOTAVAIL", ADDRESS4, "not one of this host"),
    ("ENETUNREACH", ROUTE, "the gateway lies in no network"),
    ("EHOSTUNREACH", ROUTE, "cannot be reached"),
    ("ENETDOWN", ROUTE, "ip link set it up"),
    ("ENONET", ROUTE, "ip link set it up"),
    ("EINVAL", SYSCTL, "the parameter takes no such value"),
    ("ERANGE", SYSCTL, "the parameter takes no such value"),
    ("EINVAL", MTU, "minmtu"),
    ("EINVAL", NETNS, "no network namespace"),
    ("EINVAL", BRIDGE, "correct it in the configuration"),
    ("ERANGE", VETH, "correct it in the configuration"),
    ("ENAMETOOLONG", NETNS, "at most 15 bytes"),
    ("EBADMSG", "reading links", "cannot be read"),
]


@pytest.mark.parametrize(("name", "said", "fragment"), CASES)
def test_a_refusal_has_the_remedy_that_fits(name: str, said: str, fragment: str) -> None:
    assert fragment in KernelError(getattr(errno, name), said).hint


def test_every_row_is_taken_for_something() -> None:
    told = [str(KernelError(getattr(errno, name), said)) for name, said, _ in CASES]
    taken = [remedies.row(getattr(errno, case[0]), text) for case, text in zip(CASES, told, strict=True)]

    assert [row for row in remedies.TABLE if row not in taken] == []


def test_every_errno_a_program_may_say_in_words_has_a_remedy() -> None:
    said = [error_from(Outcome(1, "", f"nft: {os.strerror(number)}"), NFT) for number in ERRNO_BY_TEXT]

    assert [each.errno for each in said] == list(ERRNO_BY_TEXT)
    assert [each.errno for each in said if not each.hint] == []


def test_what_no_row_fits_has_none() -> None:
    assert KernelError(errno.EIO, IPTABLES).hint == ""
