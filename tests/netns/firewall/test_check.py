"""Claims about CHECK of `firewall` (docs/reference/cni.md 4.2, CHECK).

* What nobody touched passes under every policy, in either family, beside other containers.
* Whatever is taken away is named: each rule, the shared ones, the flag of a port; CHECK makes nothing itself.
"""

from typing import Any

import pytest

from kernel import sysctl
from kernel.netlink.requests import SetLink
from tests.netns.firewall.conftest import Runtime


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
@pytest.mark.parametrize("family", ["10.", "fd00", ""], ids=["v4", "v6", "dual"])
def test_what_nobody_touched_passes(each: Runtime, policy: str, family: str) -> None:
    each.add(each.container(6))
    container = each.container()
    ips = [entry for entry in container.result["ips"] if entry["address"].startswith(family)]
    keys: dict[str, Any] = {"ingressPolicy": policy, "prevResult": {**container.result, "ips": ips}}
    each.add(container, **keys)
    assert each.call("CHECK", container, **keys) == {}


@pytest.mark.parametrize(
    ("backend", "command", "named"),
    [
        (
            "iptables",
            "iptables -F FORWARD",
            '-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD',
        ),
        ("iptables", "ip6tables -F CNI-FORWARD", "ip6tables -A CNI-FORWARD -s fd00:1::5/128"),
        ("iptables", "iptables -F CNI-FORWARD", "-j CNI-ADMIN"),
        ("iptables", "iptables -F CNI-ISOLATION-STAGE-1", "-i br1 -o br1"),
        ("iptables", "iptables -F CNI-ISOLATION-STAGE-1", "--ctstate DNAT -j RETURN"),
        ("iptables", "iptables -F CNI-ISOLATION-STAGE-2", "-o br1"),
        ("nftables", "nft flush chain inet cni_firewall containers", "containers: ip saddr 10.1.0.5 accept"),
        ("nftables", "nft flush chain inet cni_firewall containers", "containers: jump CNI-ADMIN"),
        ("nftables", "nft flush chain inet cni_firewall forward", "forward: jump isolation_stage_1"),
        ("nftables", "nft flush chain inet cni_firewall isolation_stage_1", "iifname br1 oifname != br1 jump"),
        ("nftables", "nft flush ruleset", "isolation_stage_2: oifname br1 drop"),
    ],
)
def test_what_is_missing_is_named_and_made_again_by_add(
    runtime: Runtime, backend: str, command: str, named: str
) -> None:
    container = runtime.container()
    keys: dict[str, Any] = {"backend": backend, "ingressPolicy": "isolated"}
    runtime.add(container, **keys)
    runtime.host.run(*command.split())
    answers = [runtime.call("CHECK", container, **keys) for _ in range(2)]
    assert (answers[0]["code"], answers[0]) == (102, answers[1])
    assert named in answers[0]["msg"]
    runtime.add(container, **keys)
    assert runtime.call("CHECK", container, **keys) == {}


def test_a_port_that_lost_its_flag_is_named(each: Runtime) -> None:
    for family in ("iptables", "ip6tables"):
        sysctl.write(f"net/bridge/bridge-nf-call-{family}", "0", each.host.namespace)
    container = each.container()
    each.add(container, ingressPolicy="isolated")
    each.host.network.apply(SetLink("veth5", isolated=False))
    assert "isolated on port veth5" in each.call("CHECK", container, ingressPolicy="isolated")["msg"]


def test_check_needs_prev_result(each: Runtime) -> None:
    answer = each.call("CHECK", each.container(), prevResult=None)
    assert answer["msg"] == "missing prevResult from earlier plugin"
