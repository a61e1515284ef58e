"""Claims about Docker on two pretend hosts, its own bridge given the overlay by `tulle init docker` (Debian's Docker, story of flannel):

- docker0 has the lease's gateway and containers its MTU; one fetches a page across the overlay, and the server sees its own address
- a published port serves the other host and its containers
- a Docker that is started anew has the lease that there is then; after --undo it has a network of its own again
- where no service starts Docker, dockerd takes the settings that are written for it

Skipped only where Docker is absent, and never in CI.
"""

import json
import os
import shutil
from collections.abc import Iterator

import pytest

from tests.lab import docker
from tests.lab.daemon import DIST, SUBNET_FILE
from tests.lab.docker import Docker
from tests.lab.hosts import Host, Lab
from tests.lab.image import IMAGE, PAGE
from tests.lab.visits import SERVE, WAIT, fetch, published
from tests.lab.waiting import until
from tests.lab.world import PATH

pytestmark = pytest.mark.skipif(
    shutil.which("dockerd", path=PATH) is None and "CI" not in os.environ,
    reason="docker.io is not installed: make setup FOR=test",
)

Pair = tuple[Docker, Docker]
PORT = 8080


def init(host: Host, *words: str) -> str:
    return host.place.run(DIST / "bin" / "tulle", "init", *words)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Docker on two hosts: a server on the first, published, and a container that waits on the second."""
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq")
        first, second = map(docker.make, lab.hosts.values())
        try:
            for one, name, command in ((first, "web", SERVE), (second, "visitor", WAIT)):
                hand_over(one)
                one.run("load", "--input", str(one.home / "image.tar"))
                ports = ("--publish", f"{PORT}:80") if one is first else ()
                one.run("run", "--detach", "--stop-signal=KILL", "--name", name, *ports, IMAGE, *command)
            yield first, second
        finally:
            for one in (first, second):
                one.close()


def hand_over(one: Docker) -> None:
    """Give Docker the subnet, by the commands that are printed, on a host whose tulled keeps `tulle0` up as `tulle join` has it."""
    host, said = one.host, init(one.host, "docker")
    steps = [line.partition("next: ")[2].partition("    ")[0] for line in said.splitlines() if "next: " in line]
    bridge, restart, delete, start, _ = steps
    assert (restart, start) == ("systemctl restart tulled", "systemctl daemon-reload && systemctl restart docker")
    assert host.daemon is not None
    host.daemon.end()
    name = bridge.partition(" >> ")[0].rpartition("TULLED_BRIDGE=")[2]
    host.start_daemon("--ip-masq", "--bridge", name).wait_ready()
    host.place.run(*delete.split())
    one.start()


def address(one: Docker, name: str) -> str:
    return one.run("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)


def gateway(host: Host) -> list[str]:
    (bridge,) = host.show("-4", "address", "show", "docker0")
    return [f"{each['local']}/{each['prefixlen']}" for each in bridge["addr_info"]]


def test_dockers_bridge_is_the_leases(pair: Pair) -> None:
    for one in pair:
        lease = one.host.lease()
        assert gateway(one.host) == [lease["FLANNEL_SUBNET"]]
    said = pair[1].run("exec", "visitor", "ip", "link", "show", "eth0")
    assert f"mtu {pair[1].host.lease()['FLANNEL_MTU']} " in said


def test_a_container_fetches_a_page_across_the_overlay_from_its_own_address(pair: Pair) -> None:
    first, second = pair
    own = address(second, "visitor")
    assert second.run("exec", "visitor", *fetch(address(first, "web"))) == PAGE

    def seen() -> bool:
        done = first.host.place.attempt(docker.CLIENT, "logs", "web")
        return any(f"{own}{mark}" in done.stdout + done.stderr for mark in "]:")

    until(seen, f"a visit from {own} in the server's log")


def test_a_published_port_serves_the_other_host_and_its_containers(pair: Pair) -> None:
    first, second = pair
    target = published(first.host, PORT)
    assert second.host.place.run("busybox", *fetch(target)) == PAGE
    assert second.run("exec", "visitor", *fetch(target)) == PAGE


def test_a_docker_that_is_started_anew_has_the_lease_there_is_then(pair: Pair) -> None:
    _, second = pair
    second.stop()
    assert second.host.daemon is not None
    second.host.daemon.end()
    place = second.host.place
    place.run("cp", SUBNET_FILE, "/run/kept.env")
    place.run("sed", "-i", r"s/^\(FLANNEL_SUBNET=\).*/\110.42.251.1\/24/", SUBNET_FILE)
    second.start()
    assert gateway(second.host) == ["10.42.251.1/24"]

    second.stop()
    place.run("mv", "/run/kept.env", SUBNET_FILE)
    assert "systemctl daemon-reload" in init(second.host, "--undo")
    assert place.run("find", "/etc", "-name", "*tulle*") == ""


def test_dockerd_takes_the_settings_where_no_service_starts_it(pair: Pair) -> None:
    _, second = pair
    second.stop()
    place = second.host.place
    place.run("mount", "-t", "tmpfs", "tmpfs", "/lib/systemd/system")
    place.run("mv", f"{docker.FOLDER}/docker.service", "/run/docker.service")
    said = init(second.host, "docker")
    place.run("mv", "/run/docker.service", f"{docker.FOLDER}/docker.service")
    assert "wrote /etc/docker/daemon.json" in said
    assert json.loads(place.run("cat", "/etc/docker/daemon.json"))["bip"] == second.host.lease()["FLANNEL_SUBNET"]
    second.start()
    assert gateway(second.host) == [second.host.lease()["FLANNEL_SUBNET"]]
