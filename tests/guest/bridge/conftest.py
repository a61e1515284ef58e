"""The runtime of tests/netns/bridge, and a look at VLAN memberships as iproute2 sees them."""

import json

from tests.netns.bridge.conftest import Runtime, lease, runtime
from tests.netns.conftest import container, host, host_untouched, make_space, root_only
from tests.netns.spaces import Space

__all__ = [
    "Runtime",
    "container",
    "host",
    "host_untouched",
    "lease",
    "make_space",
    "members",
    "port",
    "root_only",
    "runtime",
]

NATIVE = {"PVID", "Egress Untagged"}


def members(host: Space, name: str) -> dict[int, set[str]]:
    """The VLANs of a port with their flags."""
    shown = json.loads(host.run("bridge", "-j", "vlan", "show", "dev", name))
    return {
        vid: set(entry.get("flags", ()))
        for each in shown
        for entry in each["vlans"]
        for vid in range(entry["vlan"], entry.get("vlanEnd", entry["vlan"]) + 1)
    }


def port(result: dict[str, object]) -> str:
    """The name of the host end in a result."""
    interfaces: list[dict[str, str]] = result["interfaces"]  # type: ignore[assignment]
    return interfaces[1]["name"]
