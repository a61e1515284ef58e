"""Claims about the shipped list of `bridge`, `portmap` and `firewall` under a real Podman 4 (CNI backend), whose libcni writes the cache:

- a port published with -p is reached from outside; after a firewall reload it is not
- `tulle repair` goes by Podman's own records, and the port is reached again; Podman removes the container as ever
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator

import pytest

from tests.lab import podman
from tests.lab.daemon import DIST
from tests.lab.hosts import FENCED, LAB, Lab
from tests.lab.podman import Podman
from tests.lab.world import PATH

pytestmark = pytest.mark.skipif(
    shutil.which("podman", path=PATH) is None and "CI" not in os.environ,
    reason="podman is not installed: make setup FOR=test",
)
PORT = 8080


@pytest.fixture
def published() -> Iterator[tuple[Lab, Podman]]:
    with Lab({"host-a": 1}) as lab:
        lab.start_daemons("--ip-masq")
        (host,) = lab.hosts.values()
        configs = lab.workdir / "net.d"
        configs.mkdir()
        shutil.copy(FENCED, configs)
        plugins = DIST / "cni"
        own = podman.make(
            host, f'network_backend = "cni"\nnetwork_config_dir = "{configs}"\ncni_plugin_dirs = ["{plugins}"]'
        )
        yield lab, own
        own.remove_containers()


def page(lab: Lab) -> str:
    """Return how the web server answered a visitor from outside, or what stopped it."""
    (host,) = lab.hosts.values()
    job = lab.outside.start(sys.executable, "-IS", LAB / "probe.py", str(PORT), str(host.standing.address.ip), log=-1)
    return str(json.loads(job.communicate(timeout=30)[0])["http"])


def test_a_port_of_podmans_is_reached_again_after_a_firewall_reload(published: tuple[Lab, Podman]) -> None:
    lab, own = published
    place = own.host.place
    own.start("web", "httpd", "-f", "-p", "80", "-h", "/www", options=("--publish", f"{PORT}:80"))
    assert "200 OK" in page(lab)
    place.run("nft", "flush", "ruleset")
    assert "200 OK" not in page(lab)
    said = place.attempt(DIST / "bin" / "tulle", "repair", "--cni-path", str(DIST / "cni"))
    assert (said.returncode, {f"{name} repaired" in said.stdout for name in ("portmap", "firewall")}) == (0, {True}), (
        said.stdout + said.stderr
    )
    assert "200 OK" in page(lab)
    own.run("rm", "--force", "--time", "0", "web")
    assert place.attempt(DIST / "bin" / "tulle", "repair").stdout == "no attachments\n"
    assert str(PORT) not in place.run("nft", "list", "ruleset")
