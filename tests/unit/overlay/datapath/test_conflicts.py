"""Claims: two networks with one VNI, device, UDP port or with addresses in common are refused by both names; VXLAN networks may share
their port; what one has left another may take.
"""

import json
from typing import Any

import pytest

from overlay.backends import registry
from overlay.backends.entry import HostResources
from overlay.config import network
from overlay.datapath import conflicts
from overlay.datapath.conflicts import ConflictChecker
from overlay.errors import Refused


def claim(net: str, **backend: Any) -> HostResources:
    config = network.parse(json.dumps({"Network": net, "Backend": backend}), "test")
    return registry.require_known(config).resources(config)


RED = claim("10.42.0.0/16", Type="vxlan")


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (claim("10.43.0.0/16", Type="vxlan"), "VNI 1"),
        (claim("10.42.8.0/21", Type="vxlan", VNI=2), "addresses of 10.42.8.0/21 and 10.42.0.0/16"),
        (claim("10.43.0.0/16", Type="udp", Port=8472), "UDP port 8472"),
        (claim("10.43.0.0/16", Type="wireguard", ListenPort=8472), "UDP port 8472"),
        (claim("10.42.0.0/16", Type="host-gw"), "addresses of 10.42.0.0/16 and 10.42.0.0/16"),
    ],
)
def test_what_both_need_is_refused_by_both_names(other: HostResources, what: str) -> None:
    register = ConflictChecker()
    register.enter("/red", RED)
    with pytest.raises(Refused, match=f"^/blue: /blue and /red both have {what}; give one"):
        register.enter("/blue", other)


@pytest.mark.parametrize("kind", ["udp", "wireguard"])
def test_a_backend_with_one_device_serves_one_network(kind: str) -> None:
    other = {"udp": {"Port": 8286}, "wireguard": {"ListenPort": 9}}[kind]
    found = conflicts.clash(claim("10.1.0.0/16", Type=kind), claim("10.2.0.0/16", Type=kind, **other))
    assert found in ("the device flannel0", "the device flannel-wg")


@pytest.mark.parametrize(
    "other",
    [
        claim("10.43.0.0/16", Type="vxlan", VNI=2),
        claim("10.43.0.0/16", Type="udp"),
        claim("10.43.0.0/16", Type="alloc"),
        claim("10.43.0.0/16", Type="wireguard"),
    ],
)
def test_others_live_together(other: HostResources) -> None:
    assert conflicts.clash(RED, other) == ""


def test_a_network_may_come_again_and_another_take_what_it_left() -> None:
    register = ConflictChecker()
    register.enter("/red", RED)
    register.enter("/red", RED)
    register.leave("/red")
    register.leave("/red")
    register.enter("/blue", RED)
