"""Claims about `tulle init` beside the runtimes it writes for, each the real one reading with its own parser (docs/reference/runtimes.md):

- Podman on CNI lists the network without a warning, with tulle's programs before others of the same names
- Podman on netavark reads the lease out of the network; a container that netavark wires reaches another host with its own address,
  and still does after netavark has put its rules first again, within 10 seconds
- containerd notices the file, and takes no fault with it
- nothing of it is left after --undo

Everything is private to a pretend host: /etc, /opt, /run, storage. Skipped only where a runtime is absent, and never in CI.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import waiting
from tests.lab.daemon import DIST
from tests.lab.hosts import PORT, Host, Lab
from tests.lab.world import PATH

NETAVARK = Path("/usr/lib/podman/netavark")
MISSING = [
    name
    for name, path in (
        ("podman", shutil.which("podman", path=PATH)),
        ("containerd", shutil.which("containerd", path=PATH)),
    )
    if path is None
]
pytestmark = pytest.mark.skipif(
    bool(MISSING) and "CI" not in os.environ, reason=f"{', '.join(MISSING)} not installed: make setup FOR=test"
)

CONTAINERD = """
version = 2
root = "{home}/root"
state = "{home}/state"
oom_score = 0
[debug]
level = "debug"
[grpc]
address = "{home}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{home}/opt"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--keep-source")
        host = lab.hosts["host-a"]
        for folder in ("/etc/containers", "/etc/cni", "/opt"):
            host.place.run("mkdir", "-p", folder)
            host.place.run("mount", "-t", "tmpfs", "tmpfs", folder)
        host.place.run("mkdir", "-p", "/etc/cni/net.d", "/opt/cni/bin")
        host.place.run("ln", "-s", str(DIST / "lib"), "/opt/tulle")
        for name in ("bridge", "host-local", "portmap"):
            host.place.run("ln", "-s", "/opt/tulle/launcher", f"/opt/cni/bin/{name}")
        yield lab


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """Give the first host, with nothing of tulle init on it before and after."""
    host = lab.hosts["host-a"]
    yield host
    assert "stays" not in host.place.run(DIST / "bin" / "tulle", "init", "--undo")
    left = host.place.run("find", "/etc/cni", "/etc/containers", "-name", "*tulle*")
    assert (left, host.place.attempt("test", "-e", "/var/lib/tulle/init.json").returncode) == ("", 1)


def podman(host: Host, backend: str, *words: str) -> str:
    """Run a podman command that reads networks; its settings are the pretend host's."""
    host.place.run(
        "sh", "-c", f"printf '[network]\\nnetwork_backend = \"{backend}\"\\n' >/etc/containers/containers.conf"
    )
    home = host.workdir / "storage"
    storage = ("--root", home / "root", "--runroot", home / "run", "--storage-driver", "vfs")
    done = host.place.attempt("podman", *storage, *words)
    assert (done.returncode, "level=warning" in done.stderr) == (0, False), done.stderr
    return done.stdout


def init(host: Host, *words: str) -> str:
    return host.place.run(DIST / "bin" / "tulle", "init", *words)


def test_podman_on_cni_lists_the_network_with_our_programs_first(host: Host) -> None:
    podman(host, "cni", "network", "ls")
    said = init(host, "podman")
    assert "next: podman run --rm -it --network tulle IMAGE" in said
    drop_in = "/etc/containers/containers.conf.d/50-tulle.conf" in said
    assert drop_in == Path("/usr/lib/cni/bridge").exists()

    assert "tulle" in podman(host, "cni", "network", "ls", "--format", "{{.Name}}").split()


def test_netavark_gives_the_leases_addresses_and_keeps_them_across_the_overlay(lab: Lab, host: Host) -> None:
    lease = host.lease()
    podman(host, "netavark", "network", "ls")
    init(host, "podman")
    (network,) = json.loads(podman(host, "netavark", "network", "inspect", "tulle"))
    assert (network["subnets"][0]["gateway"], network["options"]["mtu"]) == (
        lease["FLANNEL_SUBNET"].partition("/")[0],
        lease["FLANNEL_MTU"],
    )
    web = lab.hosts["host-b"].add("web")
    web.serve()
    address = f"{network['subnets'][0]['gateway'].rpartition('.')[0]}.77"
    host.make_namespace("visitor")
    wire(host, "setup", network, address)
    try:
        waiting.until(lambda: leads(host), "tulled is first in POSTROUTING again", within=10)
        page = host.place.inside("visitor").run("curl", "-s", "-m", "5", f"http://{web.address}:{PORT}/")
        assert page.strip() == address
    finally:
        wire(host, "teardown", network, address)


def wire(host: Host, verb: str, network: dict[str, object], address: str) -> None:
    """Have netavark attach or detach the container `visitor`, as Podman would."""
    options = {
        "container_id": "f" * 64,
        "container_name": "visitor",
        "networks": {"tulle": {"interface_name": "eth0", "static_ips": [address]}},
        "network_info": {"tulle": network},
    }
    host.place.run("mkdir", "-p", "/run/containers/networks")
    host.place.run(
        NETAVARK, "--config", "/run/containers/networks", verb, "/run/netns/visitor", stdin=json.dumps(options)
    )


def leads(host: Host) -> bool:
    """Tell whether the chain that keeps sources is the first of POSTROUTING, and netavark's there too."""
    listed = host.place.run("iptables", "-t", "nat", "-S", "POSTROUTING").splitlines()
    return listed[1].endswith("-j TULLE-KEEP-SOURCE") and any("NETAVARK" in line for line in listed)


def test_containerd_notices_the_file_and_finds_no_fault(host: Host) -> None:
    home = host.workdir / "containerd"
    home.mkdir()
    (home / "config.toml").write_text(CONTAINERD.format(home=home))
    log = home / "log"
    with log.open("w") as said:
        job = host.place.start("containerd", "-c", home / "config.toml", log=said)
    waiting.until(lambda: "containerd successfully booted" in log.read_text(), "containerd is up", within=20)
    waiting.until(lambda: "Start cni network conf syncer" in log.read_text(), "containerd watches", within=20)
    before = log.read_text()
    assert "no network config found in /etc/cni/net.d" in before

    init(host, "containerd")

    def noticed() -> bool:
        return "10-tulle.conflist" in log.read_text()[len(before) :]

    waiting.until(noticed, "containerd was told of the file")
    assert "failed to reload cni configuration" not in log.read_text()[len(before) :].rpartition("tulle-kick")[2]
    job.terminate()
