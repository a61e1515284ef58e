"""Claims: the words are those flannel's own tests compare (docs/reference/flannel.md 6.1), for both families, with and without random ports;
what keeps its source is spelled the same way.
"""

from dataclasses import replace
from ipaddress import ip_network

from overlay.firewall import iptables, rules
from overlay.firewall.rules import NetworkRules

RULES = NetworkRules(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"), masquerade=True, forward=True)
RULES6 = NetworkRules(ip_network("fd00:42::/48"), ip_network("fd00:42:0:1::/64"), masquerade=True, forward=True)


def test_masquerading_is_flannels() -> None:
    assert [" ".join(rule) for rule in iptables.masquerading(rules.plan(4, [RULES]))] == [
        "-m mark --mark 0x4000/0x4000 -j RETURN",
        "-s 10.42.1.0/24 -d 10.42.0.0/16 -j RETURN",
        "-s 10.42.0.0/16 -d 10.42.1.0/24 -j RETURN",
        "! -s 10.42.0.0/16 -d 10.42.1.0/24 -j RETURN",
        "-s 10.42.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
        "! -s 10.42.0.0/16 -d 10.42.0.0/16 -j MASQUERADE --random-fully",
    ]


def test_ipv6_has_its_own_multicast() -> None:
    plan = rules.plan(6, [replace(RULES6, fully_random=False)])
    assert " ".join(iptables.masquerading(plan)[4]) == "-s fd00:42::/48 ! -d ff00::/8 -j MASQUERADE"


def test_forwarding_is_flannels() -> None:
    assert iptables.forwarding([rules.plan(4, [RULES])]) == (
        ("-s", "10.42.0.0/16", "-j", "ACCEPT"),
        ("-d", "10.42.0.0/16", "-j", "ACCEPT"),
    )


def test_keeping_is_spelled_as_listed() -> None:
    assert iptables.keeping([rules.plan(4, [replace(RULES, keep_source=True)])]) == (
        ("-s", "10.42.1.0/24", "-d", "10.42.1.0/24", "-j", "RETURN"),
        ("-s", "10.42.1.0/24", "-d", "10.42.0.0/16", "-j", "ACCEPT"),
    )
