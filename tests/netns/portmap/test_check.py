"""Claims about CHECK of `portmap` (docs/reference/cni.md 4.1, CHECK; issue containernetworking/plugins#819).

* What nobody touched passes, in either family, with conditions, with and without snat, beside other containers.
* Thousands of ports are checked, published beside others and removed in seconds: no verb's time grows with their square.
* Whatever is taken away is named, twenty rules and how many more: each rule, the shared ones, the sysctl, the drop of martians.
"""

import time
from typing import Any

import pytest

from kernel import sysctl
from tests.netns.portmap.conftest import Runtime, tcp, udp

CONDITIONS = {"iptables": ["!", "-s", "192.0.2.0/24"], "nftables": ["ip saddr != 192.0.2.0/24"]}


@pytest.mark.parametrize(
    "keys",
    [{}, {"snat": False}, {"masqAll": True}, {"conditionsV4": True}],
    ids=["plain", "no snat", "masqAll", "conditions"],
)
@pytest.mark.parametrize("families", [("10.",), ("fd00",), ("10.", "fd00")], ids=["v4", "v6", "dual"])
def test_what_nobody_touched_passes(each: Runtime, keys: dict[str, Any], families: tuple[str, ...]) -> None:
    keys = {**keys, "conditionsV4": CONDITIONS[each.config["backend"]]} if "conditionsV4" in keys else keys
    each.add(each.container(6), tcp(9999))
    container = each.container()
    ips = [entry for entry in container.result["ips"] if entry["address"].startswith(families)]
    mappings = (tcp(8080), udp(53), *(tcp(9000 + number) for number in range(20)), tcp(81, host_ip="0.0.0.0"))
    result = each.add(container, *mappings, prevResult={**container.result, "ips": ips}, **keys)
    assert each.call("CHECK", container, *mappings, prevResult=result, **keys) == {}
    assert each.call("CHECK", container, *mappings, prevResult=result, **keys, backend=None) == {}


@pytest.mark.parametrize(
    ("backend", "command", "named"),
    [
        ("iptables", "iptables -t nat -F CNI-HOSTPORT-DNAT", "--dports 8080 -j CNI-DN-"),
        ("iptables", "iptables -t nat -F PREROUTING", "iptables -t nat -A PREROUTING -m addrtype"),
        ("iptables", "iptables -t nat -F CNI-HOSTPORT-MASQ", "--mark 0x2000/0x2000 -j MASQUERADE"),
        ("iptables", "iptables -t nat -F POSTROUTING", "-I POSTROUTING"),
        ("iptables", "ip6tables -t nat -F CNI-DN-623e1c388032b20529218", "--to-destination [fd00:1::5]:80"),
        ("iptables", "iptables -t raw -F", "iptables -t raw -A PREROUTING -d 127.0.0.0/8 ! -i lo"),
        ("nftables", "nft flush chain ip cni_hostport hostports", "hostports: tcp dport 8080 dnat to 10.1.0.5:80"),
        ("nftables", "nft flush chain ip6 cni_hostport hostports", "dnat to [fd00:1::5]:80"),
        ("nftables", "nft flush chain ip cni_hostport masquerading", "ip saddr 10.1.0.5 ip daddr 10.1.0.5 masquerade"),
        ("nftables", "nft flush chain ip cni_hostport prerouting", "fib daddr type local jump hostports_all"),
        ("nftables", "nft flush chain ip cni_hostport martians", "iifname != lo ip daddr 127.0.0.0/8 drop"),
        ("nftables", "nft flush ruleset", "hostports: tcp dport 8080"),
    ],
)
def test_what_is_missing_is_named(runtime: Runtime, backend: str, command: str, named: str) -> None:
    container = runtime.container()
    runtime.add(container, tcp(8080), backend=backend)
    runtime.host.run(*command.split())
    answer = runtime.call("CHECK", container, tcp(8080), backend=backend)
    assert (answer["code"], "port mappings of net/c1/eth0 are incomplete" in answer["msg"]) == (102, True)
    assert named in answer["msg"]


def test_a_sysctl_that_was_put_back_is_named(each: Runtime) -> None:
    container = each.container()
    each.add(container, tcp(8080))
    sysctl.write("net/ipv4/conf/br0/route_localnet", "0", each.host.namespace)
    assert "net/ipv4/conf/br0/route_localnet = 1" in each.call("CHECK", container, tcp(8080))["msg"]


def test_check_needs_prev_result(each: Runtime) -> None:
    answer = each.call("CHECK", each.container(), tcp(8080), prevResult=None)
    assert answer["msg"] == "Required prevResult missing"


def test_no_verb_takes_a_time_that_grows_with_the_square_of_the_ports(each: Runtime) -> None:
    container, other = each.container(), each.container(6)
    mappings = [tcp(port, port) for port in range(2000, 7000)]
    for verb in ("ADD", "CHECK", "ADD", "DEL"):
        began = time.process_time()
        answer = each.call(verb, container, *mappings)
        assert "code" not in answer, answer
        assert time.process_time() - began < 3  # about 0.5; comparing each with each takes minutes
        if verb == "CHECK":
            short = each.call("CHECK", container, *mappings, *(tcp(port, port) for port in range(7000, 8000)))
            assert (short["code"], len(short["msg"]) < 6000, short["msg"].endswith(" more")) == (102, True, True)
            refused = each.call("ADD", other, *mappings)
            assert (refused["code"], "host port 2000/tcp" in refused["msg"]) == (103, True)
