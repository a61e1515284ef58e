"""Claims about bridge.vlan_ports on a kernel without bridge VLAN filtering; with it, see tests/guest/bridge.

* A VLAN is refused with the name of what the kernel lacks, on a new bridge and on an existing one; nothing is left.
* Without VLANs, nothing of this is asked of the kernel.
"""

from typing import Any

import pytest

from kernel.errors import KernelError
from kernel.netlink.requests import AddBridge
from tests.netns.bridge.conftest import Runtime, add
from tests.netns.spaces import Space


@pytest.fixture(autouse=True)
def kernel_without_filtering(host: Space) -> None:
    """Skip where the kernel can do it: there tests/guest/bridge holds."""
    try:
        host.network.apply(AddBridge("probe0", vlan_filtering=True))
    except KernelError as refused:
        assert refused.unsupported  # noqa: PT017 - which refusal it is decides
    else:
        pytest.skip("this kernel has bridge VLAN filtering: tests/guest/bridge covers it")


@pytest.mark.parametrize("keys", [{"vlan": 100}, {"vlanTrunk": [{"id": 5}]}, {"vlanTrunk": []}])
@pytest.mark.parametrize("existing", [False, True])
def test_a_vlan_is_refused_with_what_the_kernel_lacks(
    runtime: Runtime, container: Space, keys: dict[str, Any], existing: bool
) -> None:
    if existing:
        runtime.host.network.apply(AddBridge("br0"))
    answer = runtime.call("ADD", container.path, **keys)
    assert (answer["code"], answer["msg"]) == (
        100,
        'bridge "br0" cannot filter VLANs: the kernel lacks bridge VLAN filtering',
    )
    assert "CONFIG_BRIDGE_VLAN_FILTERING" in answer["remedy"]
    assert (runtime.veths(), container.network.link("eth0"), runtime.ipam_calls()[-1]) == ([], None, "DEL c1")
    assert (runtime.host.network.link("br0") is not None) is existing


def test_status_says_so_before_add_does(runtime: Runtime) -> None:
    runtime.host.network.apply(AddBridge("br0"))
    answer = runtime.call("STATUS", "", cniVersion="1.1.0", vlan=100)
    assert (answer["code"], "VLAN filtering" in answer["msg"]) == (50, True)


def test_without_vlans_no_filtering_is_asked_for(runtime: Runtime, container: Space) -> None:
    add(runtime, container, vlan=0)
    bridge = runtime.host.network.link("br0")
    assert bridge is not None
    assert bridge.bridge is not None
    assert (bridge.bridge.vlan_filtering, bridge.bridge.default_pvid) == (False, None)
