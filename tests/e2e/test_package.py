"""Claims about the Debian packages that `make deb` builds, each on a clean Debian of its own under a real systemd, without a Python:

- lintian finds no error and gives no warning
- the agent runs at once; tulled, which nobody has told a network, does when `tulle join --now` has
- the commands answer, and a container comes and goes by the programs of tulle-cni, warm and cold
- with tulle-cni, Podman needs no containernetworking-plugins; the two never are there together
- an upgrade keeps lease, edited settings and the container's link, no request fails during it, and daemon and agent are the new ones
- a removal keeps settings and data, and takes back what `tulle init` wrote; after a purge every file is as before
- a purge while a container is attached keeps what its removal needs, and says so

Skipped only where root or Debian's tools are missing, and never in CI.
"""

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.lab.builds import renumber
from tests.lab.daemon import ROOT, SUBNET_FILE
from tests.lab.debian import Debian, booted, bootstrap, dependencies, release
from tests.lab.runtime import Attachment, Conflist, Runtime

pytestmark = pytest.mark.skipif(
    (os.geteuid() != 0 or not all(map(shutil.which, ("dh", "lintian", "mmdebstrap")))) and "CI" not in os.environ,
    reason="no root, or debhelper, lintian or mmdebstrap is absent",
)

SETTINGS = "/etc/default/tulled"
UNITS = ("tulle-agent.socket", "tulle-agent.service", "tulled.service")
PROGRAMS = Path("/usr/lib/cni")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CONTAINER = Attachment("c1", "/run/netns/c1")


@dataclass(frozen=True, slots=True)
class Packages:
    """The packages of this checkout, and the same as an older version of another build."""

    new: tuple[Path, ...]
    old: tuple[Path, ...]


@pytest.fixture(scope="module")
def built() -> tuple[Path, ...]:
    subprocess.run(["make", "-s", "-C", ROOT, "deb"], check=True, capture_output=True, timeout=300)
    return tuple(sorted((ROOT / "dist" / "deb").glob("*.deb")))


@pytest.fixture(scope="module")
def bootstrapping(built: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Path]]:
    """Make the clean system beside what else is to do; what it is for has to wait for it."""
    place = tmp_path_factory.mktemp("debian") / "root"
    needed = dependencies(next(one for one in built if one.name.startswith("tulle_")))
    with ThreadPoolExecutor() as beside:
        yield beside.submit(bootstrap, place, [*needed, "iproute2"])
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def packages(built: tuple[Path, ...], bootstrapping: object, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(built, tuple(older(one, tmp_path_factory.mktemp("older")) for one in built))


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


@pytest.fixture
def debian(bootstrapping: Future[Path]) -> Iterator[Debian]:
    """Return a clean system with one network interface and a container's namespace."""
    with booted(bootstrapping.result(300), f"tulle-lab-{os.getpid()}") as system:
        system.place.ip("link add eth0 type veth peer name wire", "link set wire up", "link set eth0 up")
        system.place.ip("address add 192.0.2.1/24 dev eth0", "netns add c1")
        system.place.run("iptables", "--list")  # leaves a lock file, whoever calls it first
        system.place.run("mkdir", "-p", "/etc/cni/net.d")
        yield system


def join(debian: Debian) -> None:
    """Give this host a network as a person does, which starts tulled and the agent."""
    debian.place.run("tulle", "join", "--now", "192.0.2.1", "192.0.2.2")


def runtime(debian: Debian) -> Runtime:
    return Runtime(debian.place, Conflist.read(ROOT / "conf" / "20-tulle-ports.conflist"), PROGRAMS)


def agent(debian: Debian) -> dict[str, Any]:
    """Return what the agent says of itself, nothing while it does not answer."""
    done = debian.place.attempt("tulle", "agent", "status", "--json")
    said: dict[str, Any] = {} if done.returncode else json.loads(done.stdout)
    return said


def main_process(debian: Debian) -> str:
    return debian.place.run("systemctl", "show", "--property=MainPID", "--value", "tulled")


def test_lintian_has_nothing_to_say(packages: Packages) -> None:
    changes = packages.new[0].parent.glob("*.changes")
    done = subprocess.run(["lintian", "--fail-on=error,warning", *changes], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("", 0)


def test_a_container_comes_and_goes_where_there_is_no_python(debian: Debian, packages: Packages) -> None:
    debian.install(*packages.new)
    run, attempt = debian.place.run, debian.place.attempt
    assert attempt("sh", "-c", "command -v python3").returncode
    assert [debian.state(unit) for unit in UNITS] == ["enabled active", "enabled active", "disabled inactive"]

    assert run("tulle", "--version") == f"tulle {VERSION}\n"
    assert VERSION in attempt("tulled", "--version").stderr
    assert run("tulle", "status", "--help").startswith("usage: tulle status")
    assert "would write /etc/cni/net.d/10-tulle.conflist" in run("tulle", "init", "nerdctl", "--dry-run")
    assert "is not tulle's" not in run("tulle", "init", "containerd", "--dry-run")
    assert "checks failed" in attempt("tulle", "doctor").stdout
    assert json.loads(run("/usr/libexec/netavark/tulle", "info"))["api_version"] == "1.0.0"

    join(debian)
    assert debian.state("tulled.service") == "enabled active"
    for served in ("warm", "cold"):
        if served == "cold":
            run("systemctl", "stop", "tulle-agent.socket", "tulle-agent.service")
        address = runtime(debian).add(CONTAINER)["ips"][0]["address"]
        assert address in run("ip", "-n", "c1", "address", "show", "eth0")
        runtime(debian).delete(CONTAINER)
        assert served == "cold" or agent(debian)["warm"] >= 4


def test_tulle_cni_stands_in_for_the_programs_podman_needs(debian: Debian, packages: Packages) -> None:
    debian.install(*packages.new)

    planned = debian.apt("install", "--simulate", "podman")
    assert "Inst podman " in planned
    assert "Inst containernetworking-plugins " not in planned
    if release() == "bookworm":  # since Debian 13 podman depends on netavark, whatever programs there are
        assert "Inst netavark " not in planned
    assert "Remv tulle-cni " in debian.apt("install", "--simulate", "containernetworking-plugins")


def test_an_upgrade_keeps_lease_settings_and_containers_and_fails_no_request(
    debian: Debian, packages: Packages
) -> None:
    debian.install(*packages.old)
    join(debian)
    daemon, build, lease, settings = (
        main_process(debian),
        agent(debian)["build"],
        debian.read(SUBNET_FILE),
        debian.read(SETTINGS),
    )
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

    assert [debian.state(unit) for unit in UNITS] == ["enabled active"] * 3
    assert main_process(debian) != daemon
    assert agent(debian)["build"] != build
    assert (debian.read(SETTINGS), debian.read(SUBNET_FILE)) == (settings, lease)
    assert debian.place.run("ip", "-n", "c1", "link", "show", "eth0") == link
    rest.delete(CONTAINER)
    assert "eth0" not in debian.place.run("ip", "-n", "c1", "link", "show")


def test_a_purge_leaves_every_file_as_it_was(debian: Debian, packages: Packages) -> None:
    before = debian.everything()
    debian.install(*packages.new)
    join(debian)
    runtime(debian).add(CONTAINER)
    runtime(debian).delete(CONTAINER)
    debian.place.run("tulle", "init", "nerdctl")
    settings = debian.read(SETTINGS)

    said = debian.apt("remove", "tulle")
    kept = [line.partition(" ")[0] for line in debian.everything()]
    assert "removed /etc/cni/net.d/10-tulle.conflist" in said
    assert debian.read(SETTINGS) == settings
    assert {"/etc/tulle/hosts.json", "/var/lib/tulle", SUBNET_FILE} <= set(kept)
    assert [
        path for path in kept if path.startswith(("/usr/lib/tulle", "/usr/bin/tulle", "/lib/systemd/system/tulle"))
    ] == []
    assert [debian.state(unit).split()[-1] for unit in UNITS] == ["inactive"] * 3

    debian.apt("purge", "tulle", "tulle-cni")
    assert debian.everything() == before


def test_a_purge_keeps_what_the_removal_of_a_container_needs(debian: Debian, packages: Packages) -> None:
    debian.install(*packages.new)
    join(debian)
    rest = runtime(debian)
    address = rest.add(CONTAINER)["ips"][0]["address"].partition("/")[0]

    assert "containers are attached still" in debian.apt("purge", "tulle")
    assert address in debian.place.run("find", "/run/tulle/books", "-type", "f")
    assert "eth0" in debian.place.run("ip", "-n", "c1", "link", "show")

    debian.install(*packages.new)
    rest.delete(CONTAINER)
    assert "attached" not in debian.apt("purge", "tulle")
    assert debian.place.attempt("ls", "/run/tulle", "/var/lib/tulle", "/run/flannel").stdout == ""
