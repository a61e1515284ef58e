"""Claims: a container's network is opened by its path; a path that is none, and an interface that is absent, are refused by name; so is the program's own."""

import pytest

from cni.errors import CniError
from cni.request import Request, compose
from meta import namespace
from tests.netns.spaces import Space


def asked(netns: str, override: str = "") -> Request:
    environ = {"CNI_COMMAND": "ADD", "CNI_NETNS": netns, "CNI_NETNS_OVERRIDE": override}
    return compose(environ, b'{"name": "net"}', print)


def test_the_containers_interface_is_found(container: Space) -> None:
    with namespace.container(asked(container.path)) as network:
        assert namespace.interface(network, "lo", container.path).index == 1
        with pytest.raises(CniError, match='no interface "eth0"') as refused:
            namespace.interface(network, "eth0", container.path)
    assert refused.value.code == 7


def test_the_programs_own_namespace_is_opened_only_when_that_is_allowed() -> None:
    own = "/proc/thread-self/ns/net"
    with pytest.raises(CniError, match="it is this program's own"), namespace.container(asked(own)):
        pass
    with namespace.container(asked(own, override="1")) as network:
        assert namespace.interface(network, "lo", own).index == 1


@pytest.mark.parametrize("path", ["/run/netns/absent", "/etc/hostname"])
def test_a_path_that_is_no_namespace_is_refused(path: str) -> None:
    with pytest.raises(CniError, match=f'^failed to open netns "{path}"') as refused, namespace.container(asked(path)):
        pass
    assert refused.value.code == 8
