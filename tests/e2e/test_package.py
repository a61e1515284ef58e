"""Claims about the Debian packages that `make deb` builds, each on a clean Debian system of its own, without a Python:

- the agent is enabled; tulled, which nobody has told a network, is not
- the commands answer, and a container comes and goes by the programs of tulle-cni, warm and cold
- with tulle-cni, Podman needs no containernetworking-plugins; the two never are there together
- an upgrade keeps the lease, edited settings and the container's link; a request during it never fails; the agent takes the new build
- a removal keeps settings and data, and takes back what `tulle init` wrote; after a purge every file is as before
- a purge while a container is attached keeps what its removal needs, and says so

Skipped only where root or Debian's tools are missing, and never in CI.
"""

import json
import os
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from tests.lab.builds import renumber
from tests.lab.daemon import ROOT, SUBNET_FILE
from tests.lab.debian import Debian, bootstrap, dependencies, system
from tests.lab.runtime import Attachment, Conflist, Runtime
from tests.lab.waiting import until
from tests.lab.world import World, only_child

pytestmark = pytest.mark.skipif(
    (os.geteuid() != 0 or not all(map(shutil.which, ("dh", "mmdebstrap")))) and "CI" not in os.environ,
    reason="no root, or debhelper or mmdebstrap is absent",
)

SETTINGS = "/etc/default/tulled"
EDITED = "TULLED_NETWORK=10.42.0.0/16\nTULLED_IFACE=eth0\nTULLED_BRIDGE=tulle0\n"
PROGRAMS = Path("/usr/lib/cni")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CONTAINER = Attachment("c1", "/run/netns/c1")


@dataclass(frozen=True, slots=True)
class Packages:
    """The packages of this checkout, and the same as an older version of another build."""

    new: tuple[Path, ...]
    old: tuple[Path, ...]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    subprocess.run(["make", "-s", "-C", ROOT, "deb"], check=True, capture_output=True, timeout=300)
    new = tuple(sorted((ROOT / "dist" / "deb").glob("*.deb")))
    return Packages(new, tuple(older(one, tmp_path_factory.mktemp("older")) for one in new))


def older(package: Path, folder: Path) -> Path:
    """Pack a .deb anew as version 0.0.9, its programs as another build, its settings as somebody wrote them then."""
    tree, result = folder / "tree", folder / package.name
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(VERSION, "0.0.9"))
    if (tree / "usr/lib/tulle").is_dir():
        renumber(tree / "usr/lib/tulle")
        (tree / SETTINGS[1:]).write_text("# as it was\n")
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--build", tree, result], check=True, capture_output=True)
    return result


@pytest.fixture(scope="module")
def root(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("debian") / "root"
    needed = dependencies(next(one for one in packages.new if one.name.startswith("tulle_")))
    bootstrap(place, [*needed, "iproute2"])
    return place


@pytest.fixture
def debian(root: Path) -> Iterator[Debian]:
    """Return a clean system with one network interface and a container's namespace."""
    with World() as world:
        system_ = system(world, "debian", root)
        system_.place.ip("link add eth0 type veth peer name wire", "link set wire up", "link set eth0 up")
        system_.place.ip("address add 192.0.2.1/24 dev eth0", "netns add c1")
        system_.place.run("iptables", "--list")  # leaves a lock file, whoever calls it first
        yield system_


def start_daemon(debian: Debian) -> "subprocess.Popen[str]":
    """Start tulled with its settings as systemd would, and wait for the lease file."""
    debian.place.attempt("rm", SUBNET_FILE)
    job = debian.place.start("sh", "-c", f"set -a; . {SETTINGS}; exec tulled")
    until(lambda: debian.place.attempt("test", "-e", SUBNET_FILE).returncode == 0, "the lease file", within=20)
    return job


def end(job: "subprocess.Popen[str]") -> None:
    os.kill(only_child(job.pid), signal.SIGTERM)
    job.wait(20)


def runtime(debian: Debian) -> Runtime:
    return Runtime(debian.place, Conflist.read(ROOT / "conf" / "20-tulle-ports.conflist"), PROGRAMS)


def build_served(debian: Debian) -> str:
    """Return the number of the build the agent serves, "" while it does not answer."""
    done = debian.place.attempt("tulle", "agent", "status", "--json")
    return "" if done.returncode else str(json.loads(done.stdout)["build"])


def start_agent(debian: Debian) -> None:
    debian.place.start("tulle", "agent")
    until(lambda: build_served(debian), "the agent serves", within=30)


def test_a_container_comes_and_goes_where_there_is_no_python(debian: Debian, packages: Packages) -> None:
    debian.install(*packages.new)
    run, attempt = debian.place.run, debian.place.attempt
    enabled = run("ls", "/etc/systemd/system/multi-user.target.wants", "/etc/systemd/system/sockets.target.wants")
    assert ("tulle-agent.service" in enabled, "tulle-agent.socket" in enabled, "tulled" in enabled) == (
        True,
        True,
        False,
    )
    assert attempt("sh", "-c", "command -v python3").returncode

    assert run("tulle", "--version") == f"tulle {VERSION}\n"
    assert VERSION in attempt("tulled", "--version").stderr
    assert run("tulle", "status", "--help").startswith("usage: tulle status")
    assert "would write /etc/cni/net.d/10-tulle.conflist" in run("tulle", "init", "nerdctl", "--dry-run")
    assert "is not tulle's" not in run("tulle", "init", "containerd", "--dry-run")
    assert "checks failed" in attempt("tulle", "doctor").stdout
    assert json.loads(run("/usr/libexec/netavark/tulle", "info"))["api_version"] == "1.0.0"

    debian.write(SETTINGS, EDITED)
    start_daemon(debian)
    for warm in (False, True):
        if warm:
            start_agent(debian)
        address = runtime(debian).add(CONTAINER)["ips"][0]["address"]
        assert address.startswith("10.42.")
        assert address in run("ip", "-n", "c1", "address", "show", "eth0")
        runtime(debian).delete(CONTAINER)


def test_tulle_cni_stands_in_for_the_programs_podman_needs(debian: Debian, packages: Packages) -> None:
    debian.install(*packages.new)

    planned = debian.apt("install", "--simulate", "podman")
    assert "Inst podman " in planned
    assert "Inst containernetworking-plugins " not in planned
    assert "Inst netavark " not in planned
    assert "Remv tulle-cni " in debian.apt("install", "--simulate", "containernetworking-plugins")


def test_an_upgrade_keeps_lease_settings_and_containers_and_fails_no_request(
    debian: Debian, packages: Packages
) -> None:
    debian.install(*packages.old)
    debian.write(SETTINGS, EDITED)
    daemon = start_daemon(debian)
    start_agent(debian)
    old, lease = build_served(debian), debian.read(SUBNET_FILE)
    rest = runtime(debian)
    rest.add(CONTAINER)
    debian.place.ip("netns add c2")
    link = debian.place.run("ip", "-n", "c1", "link", "show", "eth0")
    done = Event()

    def attach_and_detach() -> int:
        """Do so until the upgrade is over, and a few times more; the first refusal ends it."""
        each, times = runtime(debian), 0
        while not done.is_set() or times < 20:
            each.add(Attachment("c2", "/run/netns/c2"))
            each.delete(Attachment("c2", "/run/netns/c2"))
            times += 1
        return times

    with ThreadPoolExecutor() as beside:
        requests = beside.submit(attach_and_detach)
        try:
            debian.install(*packages.new)
        finally:
            done.set()
        assert requests.result() >= 20
    until(lambda: build_served(debian) not in ("", old), "the agent serves the new build", within=30)
    end(daemon)
    start_daemon(debian)

    assert debian.read(SETTINGS) == EDITED
    assert debian.read(SUBNET_FILE) == lease
    assert debian.place.run("ip", "-n", "c1", "link", "show", "eth0") == link
    rest.delete(CONTAINER)
    assert "eth0" not in debian.place.run("ip", "-n", "c1", "link", "show")


def test_a_purge_leaves_every_file_as_it_was(debian: Debian, packages: Packages) -> None:
    debian.place.run("mkdir", "-p", "/etc/cni/net.d")
    before = debian.everything()
    debian.install(*packages.new)
    debian.write(SETTINGS, EDITED)
    daemon = start_daemon(debian)
    runtime(debian).add(CONTAINER)
    runtime(debian).delete(CONTAINER)
    debian.place.run("tulle", "init", "nerdctl")
    end(daemon)
    debian.write(SETTINGS, "")
    debian.place.run("tulle", "join", "192.0.2.1", "192.0.2.2")
    edited = debian.read(SETTINGS)

    said = debian.apt("remove", "tulle")
    kept = [line.partition(" ")[0] for line in debian.everything()]
    assert "removed /etc/cni/net.d/10-tulle.conflist" in said
    assert debian.read(SETTINGS) == edited
    assert {"/etc/tulle/hosts.json", "/var/lib/tulle/network.db", SUBNET_FILE} <= set(kept)
    assert [
        path for path in kept if path.startswith(("/usr/lib/tulle", "/usr/bin/tulle", "/lib/systemd/system/tulle"))
    ] == []

    debian.apt("purge", "tulle", "tulle-cni")
    assert debian.everything() == before


def test_a_purge_keeps_what_the_removal_of_a_container_needs(debian: Debian, packages: Packages) -> None:
    debian.install(*packages.new)
    debian.write(SETTINGS, EDITED)
    end(start_daemon(debian))
    rest = runtime(debian)
    address = rest.add(CONTAINER)["ips"][0]["address"].partition("/")[0]

    assert "containers are attached still" in debian.apt("purge", "tulle")
    assert address in debian.place.run("find", "/run/tulle/books", "-type", "f")
    assert "eth0" in debian.place.run("ip", "-n", "c1", "link", "show")

    debian.install(*packages.new)
    rest.delete(CONTAINER)
    assert "attached" not in debian.apt("purge", "tulle")
    assert debian.place.attempt("ls", "/run/tulle", "/var/lib/tulle", "/run/flannel").stdout == ""
