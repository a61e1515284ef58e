"""Claims about an upgrade as docs/upgrade.md tells it, on a pretend host with 20 running containers and a ping through the tunnel:

- `make install` of another build beside the running daemon and agent, then a restart of the daemon: no packet is lost, the subnet stays
- until it is restarted the old daemon does its work, though its files are gone; after it the daemon runs from the new ones
- the agent takes the new build by itself
- containers of the old build are removed by the new programs without a trace

The other build is this one with one file more, so that its id differs. Skipped only where root is missing, and never in CI.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from build import install
from tests.lab.builds import renumber
from tests.lab.daemon import DIST
from tests.lab.hosts import PORTS, Container, Host, Lab
from tests.lab.runtime import Conflist, Runtime
from tests.lab.traces import attachments
from tests.lab.waiting import until
from tests.lab.world import only_child

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ, reason="an agent needs root, which this is not"
)

CONTAINERS = 20
TULLE = Path("/usr/local/bin/tulle")
TULLED = Path("/usr/local/bin/tulled")
TREE = Path("/usr/local/lib/tulle")


def give_directories(host: Host) -> install.Target:
    """Put the host's /usr/local and /opt into its work directory, and return the target that installs there."""
    root = host.workdir / "root"
    for folder in ("usr/local", "opt"):
        (root / folder).mkdir(parents=True)
        host.place.run("mount", "--bind", str(root / folder), f"/{folder}")
    return install.Target(Path("/usr/local"), Path("/opt/cni/bin"), root)


def put(target: install.Target, tree: Path) -> None:
    """Install a tree of programs as `make install` does."""
    install.make_tree(target, tree)
    install.make_links(target)


def build_served(host: Host) -> str:
    """Return the id of the build the agent serves, "" while it does not answer."""
    done = host.place.attempt(TULLE, "agent", "status", "--json")
    return "" if done.returncode else done.stdout.partition('"build": "')[2].partition('"')[0]


@contextmanager
def pinging(source: Container, target: str) -> Iterator[list[str]]:
    """Ping fifty times a second beside the block; the yielded list holds the summary after it."""
    summary: list[str] = []
    job = source.place.start("ping", "-n", "-i", "0.02", target, log=subprocess.PIPE)
    assert job.stdout is not None
    until(lambda: "bytes from" in str(job.stdout and job.stdout.readline()), "the first echo")
    yield summary
    os.kill(only_child(job.pid), signal.SIGINT)
    summary.append(job.communicate(timeout=30)[0])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        yield lab


def test_an_upgrade_loses_no_packet_and_the_new_programs_remove_old_containers(lab: Lab, tmp_path: Path) -> None:
    host, other = lab.hosts.values()
    target = give_directories(host)
    put(target, DIST / "lib")
    for daemon in (host.start_daemon("--ip-masq", program=TULLED), other.start_daemon("--ip-masq")):
        daemon.wait_ready()
    host.wait(lambda: lab.joined(host) and lab.joined(other), "a tunnel each way")
    host.place.start(TULLE, "agent")
    old = (DIST / "lib" / "build-id").read_text().strip()
    until(lambda: build_served(host) == old, "the agent serves", within=30)
    runtime = Runtime(host.place, Conflist.read(PORTS), Path("/opt/cni/bin"))
    peer = other.add("peer")
    host.add("first", runtime)
    host.remove("first", runtime)
    before, subnet = attachments(host.place), host.lease()["FLANNEL_SUBNET"]
    containers = [host.add(f"c{number}", runtime) for number in range(CONTAINERS)]
    new = renumber(Path(shutil.copytree(DIST / "lib", tmp_path / "lib", symlinks=True)))

    with pinging(containers[0], peer.address) as summary:
        put(target, tmp_path / "lib")
        until(lambda: build_served(host) == new, "the agent serves the new build", within=30)
        host.place.run("iptables", "-t", "nat", "-F", "FLANNEL-POSTRTG")
        host.wait(lambda: "MASQUERADE" in host.place.run("iptables", "-t", "nat", "-S"), "repair by the old daemon")
        assert host.daemon is not None
        host.daemon.end(signal.SIGTERM)
        host.start_daemon("--ip-masq", program=TULLED).wait_ready()
        assert Path(f"/proc/{host.daemon.pid}/exe").readlink() == TREE / "tulle"
        host.add("young", runtime)
        for container in containers[1:]:
            host.remove(container.name, runtime)

    assert " 0% packet loss" in summary[0]
    assert host.lease()["FLANNEL_SUBNET"] == subnet
    for name in ("c0", "young"):
        host.remove(name, runtime)
    assert attachments(host.place) == before
