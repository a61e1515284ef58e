"""Claims about VLAN requests on a kernel without bridge VLAN filtering; with it, see tests/guest/kernel.

- an id that is no VLAN is refused before the kernel sees it
- a kernel that lacks the feature says so, and ports there are in no VLAN
"""

import errno

import pytest

from kernel.errors import KernelError
from kernel.netlink.requests import AddBridge, AddVeth, AddVlans, DeleteVlans, Vlan
from tests.netns.spaces import Space


@pytest.mark.parametrize("request_", [AddVlans(1, (Vlan(0),)), AddVlans(1, (Vlan(4095),)), DeleteVlans(1, (-1,))])
def test_an_id_that_is_no_vlan_never_reaches_the_kernel(host: Space, request_: AddVlans | DeleteVlans) -> None:
    with pytest.raises(KernelError, match="is no VLAN") as refused:
        host.network.apply(request_)
    assert refused.value.errno == errno.EINVAL


def test_a_kernel_that_lacks_filtering_says_so(host: Space) -> None:
    host.network.apply(AddBridge("br0"))
    bridge = host.network.link("br0")
    assert bridge is not None
    if bridge.bridge is None or bridge.bridge.default_pvid is not None:
        pytest.skip("this kernel has bridge VLAN filtering: tests/guest/kernel covers it")
    host.network.apply(AddVeth("v0", "v1", None, master=bridge.index))
    (error,) = host.network.attempt([AddVlans(host.index("v0"), (Vlan(100, pvid=True, untagged=True),))])
    assert error is not None
    assert error.unsupported
    assert host.network.port_vlans(host.index("v0")) == ()
