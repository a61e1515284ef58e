"""Claims about bridge.links.

* Names fit a link, MACs are local and unicast, and no two are the same.
* Router advertisements are ignored, and a link that is gone is no reason to fail; one that must be there is asked for.
"""

from dataclasses import replace

import pytest

from bridge import links
from cni.errors import CniError
from kernel import netns, sysctl
from kernel.netlink.requests import AddBridge
from tests.netns.spaces import Space


def test_names_fit_and_differ() -> None:
    names = {links.random_name() for _ in range(100)}
    assert (len(names), {len(name) for name in names}) == (100, {15})


def test_macs_are_local_unicast_and_differ() -> None:
    macs = {links.random_mac() for _ in range(100)}
    assert len(macs) == 100
    assert {int(mac[:2], 16) & 0b11 for mac in macs} == {0b10}


def test_router_advertisements_are_ignored_where_the_link_is(host: Space) -> None:
    made = links.present(host.network, "br0", after=[AddBridge("br0")])
    with netns.inside(host.namespace):
        links.ignore_router_advertisements(made)
        links.ignore_router_advertisements(replace(made, name="gone0"))
    assert (made.advised, links.present(host.network, "br0").advised) == (True, False)
    assert sysctl.read("net/ipv6/conf/br0/accept_ra", host.namespace) == "0"


def test_a_link_that_vanished_is_a_reason_to_try_again(host: Space) -> None:
    with pytest.raises(CniError, match="gone0") as refused:
        links.present(host.network, "gone0")
    assert refused.value.code == 11
