"""Claims about what Docker is given:

- the drop-in has docker.service's own command with the lease's three options, which are asked for at every start
- the settings are the options of the reference's mk-docker-opts: bip, mtu, and masquerade when the daemon has none
- whatever says already how Docker's bridge is to be is found, in daemon.json, docker.service and DOCKER_OPTS
"""

import json

import pytest

from cli.inspect.detect import Docker
from cli.setup import docker
from lease import file

LEASE = file.parse("FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n")
DEBIAN = "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS"


def test_the_drop_in_adds_the_leases_options_to_dockers_own_command() -> None:
    lines = docker.unit(Docker(DEBIAN), "/run/flannel/subnet.env").splitlines()
    assert "ExecStartPre=tulle docker-opts -i -f /run/flannel/subnet.env" in lines
    assert lines[-2:] == ["ExecStart=", f"ExecStart={DEBIAN} $DOCKER_OPT_BIP $DOCKER_OPT_IPMASQ $DOCKER_OPT_MTU"]
    assert "After=tulled.service" in lines


def test_the_settings_are_the_options_of_the_lease() -> None:
    assert json.loads(docker.settings(LEASE)) == {"bip": "10.42.7.1/24", "ip-masq": False, "mtu": 1450}
    assert docker.lines(LEASE) == '"bip": "10.42.7.1/24", "ip-masq": false, "mtu": 1450'


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (Docker(DEBIAN, settings={"log-driver": "journald"}, settled=True), []),
        (Docker(DEBIAN, settings={"mtu": 1400}, settled=True), ['/etc/docker/daemon.json has "mtu": 1400']),
        (Docker(f"{DEBIAN} --bip=10.0.0.1/24"), ["docker.service has --bip"]),
        (Docker(f"{DEBIAN} -b br0"), ["docker.service has -b"]),
        (Docker(DEBIAN, 'DOCKER_OPTS="--mtu 9000"'), ["DOCKER_OPTS in /etc/default/docker has --mtu"]),
        (Docker(f"{DEBIAN} --bridge-accept-fwmark=1 --label=a-b"), []),
    ],
)
def test_what_says_already_how_the_bridge_is_to_be_is_found(here: Docker, said: list[str]) -> None:
    assert list(docker.obstacles(here)) == said
