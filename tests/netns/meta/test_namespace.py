"""Claims: a container's network is opened by its path; a path that is none, and an interface that is absent, are refused by name."""

import pytest

from cni.errors import CniError
from meta import namespace
from tests.netns.spaces import Space


def test_the_containers_interface_is_found(container: Space) -> None:
    with namespace.container(container.path) as network:
        assert namespace.interface(network, "lo", container.path).index == 1
        with pytest.raises(CniError, match='no interface "eth0"') as refused:
            namespace.interface(network, "eth0", container.path)
    assert refused.value.code == 7


@pytest.mark.parametrize("path", ["/run/netns/absent", "/etc/hostname"])
def test_a_path_that_is_no_namespace_is_refused(path: str) -> None:
    with pytest.raises(CniError, match=f'^failed to open netns "{path}"') as refused, namespace.container(path):
        pass
    assert refused.value.code == 8
