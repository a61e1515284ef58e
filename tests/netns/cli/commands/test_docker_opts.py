"""Claims: a route to exactly the lease's subnet through another host is warned of after the file is written, with exit code 1;
a route to the whole network, or to the subnet on a link, is not.
"""

from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from cli.main import main
from kernel import netns
from kernel.netlink.requests import AddAddress, AddRoute
from tests.netns.spaces import Space, cable

TEXT = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.74.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"


def written(host: Space, folder: Path) -> int:
    (folder / "subnet.env").write_text(TEXT)
    with netns.inside(host.namespace):
        return main(["docker-opts", "-f", f"{folder}/subnet.env", "-d", f"{folder}/out"])


def test_a_route_through_another_host_is_warned_of(
    host: Space, container: Space, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cable(host, "eth0=192.0.2.1/24", container, "eth0")
    host.network.apply(AddRoute(ip_network("10.1.74.0/24"), gateway=ip_address("192.0.2.9")))
    assert written(host, tmp_path) == 1
    assert "10.1.74.0/24 is already routed via 192.0.2.9" in capsys.readouterr().err
    assert (tmp_path / "out").read_text().startswith("DOCKER_OPT_BIP=")


def test_other_routes_are_not(
    host: Space, container: Space, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cable(host, "eth0=192.0.2.1/24", container, "eth0")
    host.network.apply(AddRoute(ip_network("10.1.0.0/16"), gateway=ip_address("192.0.2.9")))
    host.network.apply(AddAddress(host.index("eth0"), ip_interface("10.1.74.1/24")))
    assert (written(host, tmp_path), capsys.readouterr().err) == (0, "")
