"""Claims about how `firewall` keeps rules in the kernel.

* What cannot be granted whole leaves nothing of the attachment.
* Eight at once, with either backend, lose no rule and leave none; shared rules stand once.
* A port is kept apart only where rules do not see what stays on the bridge, and only under isolated.
"""

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest

from cni.attachment_id import AttachmentID
from kernel import netns, sysctl
from kernel.errors import KernelError
from meta.firewall import forward_rules
from meta.firewall.plan import Passage
from tests.netns.firewall.conftest import Runtime

ADDRESSES = (ip_address("10.1.0.5"), ip_address("fd00:1::5"))


def test_what_cannot_be_granted_whole_leaves_nothing(each: Runtime) -> None:
    bad = Passage(
        AttachmentID("net", "c1", "eth0"), ADDRESSES, "CNI-ADMIN", "isolated", "a-bridge-with-too-long-a-name"
    )
    with netns.inside(each.host.namespace), pytest.raises(KernelError):
        forward_rules.grant(bad, each.config["backend"])
    assert each.left() == []


def test_eight_at_once(each: Runtime) -> None:
    plans = [
        Passage(AttachmentID("net", f"c{n}", "eth0"), (ip_address(f"10.1.0.{n}"),), "CNI-ADMIN", "isolated", "br1")
        for n in range(2, 18)
    ]

    def serve(plan: Passage) -> None:
        with netns.inside(each.host.namespace):
            forward_rules.grant(plan, each.config["backend"])

    def end(plan: Passage) -> None:
        with netns.inside(each.host.namespace):
            forward_rules.withdraw(plan.owner, each.config["backend"], ())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(serve, plans))
        assert len(each.left()) == (3 if each.config["backend"] == "iptables" else 2) * len(plans)
        shared = [*each.legacy(), *(str(item["rule"]["expr"]) for item in each.modern() if "rule" in item)]
        assert len(shared) == len(set(shared))
        list(pool.map(end, plans))
    assert each.left() == []


@pytest.mark.parametrize(
    ("bridged", "policy", "apart"), [("0", "isolated", True), ("1", "isolated", False), ("0", "same-bridge", False)]
)
def test_a_port_is_kept_apart_where_rules_do_not_see_it(each: Runtime, bridged: str, policy: str, apart: bool) -> None:
    for family in ("iptables", "ip6tables"):
        sysctl.write(f"net/bridge/bridge-nf-call-{family}", bridged, each.host.namespace)
    each.add(each.container(), ingressPolicy=policy)
    link = each.host.network.link("veth5")
    assert link is not None
    assert link.isolated is apart
