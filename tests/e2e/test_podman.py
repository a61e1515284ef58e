"""Claims about Podman 4 on two pretend hosts: on CNI with our programs and conflist, on netavark with the network that `tulle init` writes.

- a container fetches a page from a container on the other host, whose log shows the visitor's own address
- a port published on one host serves the other host and its containers
- a container that is removed leaves no link, no claim and no rule
- Podman lists the network and finds no fault with it: no warning on any command

netavark masquerades whatever leaves a subnet; `tulled --keep-source` lets packets to the network out before that, as they are.
Images come from busybox, never from a registry. All state is private: storage in the lab's directory, /run, /var/lib and /dev/shm of the
pretend host, processes in the world. Skipped only where Podman is absent, and never in CI.
"""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.lab import podman
from tests.lab.daemon import DIST
from tests.lab.hosts import PORTS, Host, Lab
from tests.lab.image import PAGE
from tests.lab.podman import Podman
from tests.lab.traces import attachments
from tests.lab.visits import SERVE, WAIT, fetch, published
from tests.lab.waiting import until
from tests.lab.world import PATH

pytestmark = pytest.mark.skipif(
    shutil.which("podman", path=PATH) is None and "CI" not in os.environ,
    reason="podman is not installed: make setup FOR=test",
)

Pair = tuple[Podman, Podman]
BACKENDS = ("cni", "netavark")
PORT = 8080


def on_cni(host: Host) -> Podman:
    """Give a pretend host a Podman on CNI with our programs and conflist."""
    configs = host.workdir / f"networks-{host.name}"
    configs.mkdir()
    shutil.copy(PORTS, configs)
    return podman.make(
        host, f'network_backend = "cni"\nnetwork_config_dir = "{configs}"\ncni_plugin_dirs = ["{DIST / "cni"}"]'
    )


def on_netavark(host: Host) -> Podman:
    """Give a pretend host a Podman on netavark, and the network as an administrator gets it."""
    own = host.workdir / f"containers-{host.name}"
    host.place.run("sh", "-ec", f"cp -a /etc/containers {own}; mount --bind {own} /etc/containers")
    made = podman.make(host, 'network_backend = "netavark"')
    assert "wrote /etc/containers/networks/tulle.json" in host.place.run(DIST / "bin" / "tulle", "init", "netavark")
    return made


def keeps_source(host: Host) -> bool:
    """Tell whether what containers send to the network is let out before netavark masquerades it."""
    rules = host.place.run("iptables", "-t", "nat", "-S", "POSTROUTING").splitlines()
    return rules[1].endswith("-j TULLE-KEEP-SOURCE") and any("NETAVARK" in rule for rule in rules)


@pytest.fixture(scope="module", params=BACKENDS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Podman on two hosts: a server on the first, published, and a container that waits on the second."""
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq", *(("--keep-source",) if request.param == "netavark" else ()))
        make = on_cni if request.param == "cni" else on_netavark
        first, second = map(make, lab.hosts.values())
        first.start("web", *SERVE, options=("--publish", f"{PORT}:80"))
        second.start("visitor", *WAIT)
        if request.param == "netavark":
            until(lambda: keeps_source(second.host), "tulled is first in POSTROUTING again")
        yield first, second
        for one in (first, second):
            one.remove_containers()


def test_a_container_fetches_a_page_across_the_overlay_from_its_own_address(pair: Pair) -> None:
    first, second = pair
    own = second.address("visitor")

    def seen() -> bool:
        assert second.execute("visitor", *fetch(first.address("web"))) == PAGE
        said = first.attempt("logs", "web")
        return f"{own}]" in said.stdout + said.stderr or f"{own}:" in said.stdout + said.stderr

    until(seen, f"a visit from {own} in the server's log", within=15)


def test_a_published_port_serves_the_other_host_and_its_containers(pair: Pair) -> None:
    first, second = pair
    target = published(first.host, PORT)

    assert second.host.place.run("busybox", *fetch(target)) == PAGE
    assert second.execute("visitor", *fetch(target)) == PAGE


def test_a_removed_container_leaves_no_trace(pair: Pair) -> None:
    _, second = pair
    second.start("warm", *WAIT, options=("--publish", f"{PORT + 1}:80"))
    second.remove("warm")
    before = attachments(second.host.place)

    second.start("brief", *WAIT, options=("--publish", f"{PORT}:80"))
    assert attachments(second.host.place) != before
    second.remove("brief")

    assert attachments(second.host.place) == before


def test_podman_lists_the_network(pair: Pair) -> None:
    assert "tulle" in pair[0].run("network", "ls", "--format", "{{.Name}}").split()
