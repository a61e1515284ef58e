"""Claims about a real runtime: Podman 4 with its CNI backend, our plugins and our conflist on two pretend hosts (runtimes.md A.1 to A.4).

- a container on one host fetches a page from a container on the other, and the server's log shows the container's own address
- a container that is removed leaves no link and no claimed address
- Podman finds no fault with the conflist: no warning on any command

Images come from busybox, never from a registry; all state is private (tests.lab.podman). Skipped only where Podman is absent, and never in CI.
"""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.lab import podman
from tests.lab.daemon import DIST
from tests.lab.hosts import CONFLIST, Host, Lab
from tests.lab.podman import PAGE, Podman
from tests.lab.world import PATH

pytestmark = pytest.mark.skipif(
    shutil.which("podman", path=PATH) is None and "CI" not in os.environ,
    reason="podman is not installed: make setup FOR=test",
)


def make_podman(host: Host) -> Podman:
    """Give a pretend host a podman with our conflist and our plugins."""
    configs = host.workdir / f"net.d-{host.name}"
    configs.mkdir()
    shutil.copy(CONFLIST, configs)
    plugins = DIST / "cni"
    network = f'network_backend = "cni"\nnetwork_config_dir = "{configs}"\ncni_plugin_dirs = ["{plugins}"]'
    return podman.make(host, network)


@pytest.fixture(scope="module")
def podmans() -> Iterator[tuple[Podman, Podman]]:
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq")
        first, second = (make_podman(host) for host in lab.hosts.values())
        yield first, second
        for each in (first, second):
            each.remove_containers()


@pytest.fixture(scope="module")
def web(podmans: tuple[Podman, Podman]) -> str:
    """Start a web server on the first host and return its address."""
    podmans[0].start("web", "httpd", "-f", "-vv", "-p", "80", "-h", "/www")
    return podmans[0].address("web")


def test_a_container_fetches_a_page_across_the_overlay(podmans: tuple[Podman, Podman], web: str) -> None:
    page = podmans[1].once("visitor", "wget", "-q", "-O", "-", f"http://{web}/")

    assert page == PAGE


def test_the_server_sees_the_containers_own_address(podmans: tuple[Podman, Podman], web: str) -> None:
    script = f"ip -4 -o address show eth0 && wget -q -O /dev/null http://{web}/"
    said = podmans[1].once("named", "sh", "-c", script)

    own = said.split("inet ")[1].partition("/")[0]
    log = podmans[0].attempt("logs", "web")
    assert f"{own}]" in log.stdout + log.stderr or f"{own}:" in log.stdout + log.stderr


def test_a_removed_container_leaves_no_link_and_no_claim(podmans: tuple[Podman, Podman]) -> None:
    own = podmans[1]
    identity = own.start("brief", "httpd", "-f", "-p", "80")
    place = own.host.place
    assert identity in place.run("grep", "-r", identity, "/run/tulle")
    assert identity in place.run("ip", "link", "show")

    own.run("rm", "--force", "--time", "0", "brief")

    assert place.attempt("grep", "-r", identity, "/run/tulle").stdout == ""
    assert identity not in place.run("ip", "link", "show")


def test_podman_lists_the_network(podmans: tuple[Podman, Podman]) -> None:
    assert "tulle" in podmans[0].run("network", "ls", "--format", "{{.Name}}").split()
