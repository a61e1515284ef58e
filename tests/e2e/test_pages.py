"""Claims about the pages a newcomer types from, on two pretend hosts each, with the real runtimes:

- every command of a page does what the page says, in the page's order, and prints what it shows
- afterwards, with docs/remove.md, each host is as it was before: links, routes, rules, and every file but the runtimes' own

`make install` is run once, by the line all pages begin with; the other hosts get what it wrote. systemd does not run here: `systemctl` is
tests/lab/systemctl.py. Skipped only where a runtime is absent, and never in CI.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import cgroups, machine, netavark, page
from tests.lab.daemon import ROOT
from tests.lab.hosts import Lab
from tests.lab.machine import Machine

DOCS = ROOT / "docs"
Machines = dict[str, Machine]
INSTALL = "git clone URL tulle && make -C tulle install"
SEGMENTS = {"first": 1, "second": 2}
NAMES = {f"192.0.2.1{number}": f"192.168.{number}.11" for number in (1, 2, 3)}


@dataclass(frozen=True)
class Installed:
    """What the line that installs wrote, as a tree, and the files there were before."""

    tree: Path
    bare: str


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Type the line that installs, once."""
    tree = tmp_path_factory.mktemp("installed")
    with Lab({"first": 1}) as lab:
        one = machine.furnish(lab.hosts["first"], machine.RUNTIMES)
        bare = files(one)
        one.type(INSTALL.replace("git clone URL", f"ln -s {ROOT}"))
        one.type(f"cd {one.layer}; cp -a usr etc opt {tree}")
    yield Installed(tree, bare)
    shutil.rmtree(tree)


def files(one: Machine) -> str:
    """Return every file and folder where ours are, but for what the lab and the runtimes put there."""
    places = "/usr/local /opt/cni /etc/default /etc/tulle /etc/cni/net.d /run/flannel /run/tulle /var/lib/tulle"
    hidden = "|".join(machine.RUNTIMES)
    return one.type(
        f"find {places} -printf '%p %y %m %l\\n' 2>/dev/null | grep -Ev '/bin/({hidden}) |cni.lock|-concurrency.lock|nerdctl|net.d/default' | sort"
    )


def kernel(one: Machine) -> tuple[str, ...]:
    """Return links, routes and rules, but for the chains that runtimes and reference programs share and never remove (docs/remove.md)."""
    return (
        one.type("ip -o link show | cut -d: -f2 | cut -d@ -f1"),
        one.type("ip route show; ip -6 route show"),
        one.type(
            "iptables-save | grep ^-A | grep -Ev 'CNI-HOSTPORT|CNI portfwd|NETAVARK' || true; nft list tables | grep -Ev ' ip6? (nat|filter|mangle|raw)' || true"
        ),
    )


@contextmanager
def two_machines(installed: Installed, runtimes: tuple[str, ...], below: tuple[Path, ...] = ()) -> Iterator[Machines]:
    """Give two machines on which the line that installs was typed, and see at the end that they are as before it."""
    with Lab(SEGMENTS) as lab:
        made = {name: machine.furnish(host, runtimes, (*below, installed.tree)) for name, host in lab.hosts.items()}
        before = {name: kernel(one) for name, one in made.items()}
        yield made
        assert {name: kernel(one) for name, one in made.items()} == before
        for one in made.values():
            assert set(files(one).splitlines()) == set(installed.bare.splitlines())
    for host in lab.hosts.values():
        cgroups.remove(cgroups.parent(host))


def follow(name: str, on: Machines, kind: str) -> None:
    """Type a page's blocks for this kind of machine."""
    for block in page.read(DOCS / name, {INSTALL: f"[ -e tulle ] || ln -s {ROOT} tulle", **NAMES}):
        for host in block.hosts if block.is_for(kind) else ():
            code, said = on[host].attempt(block.script)
            where = f"{name}:{block.line} on the {host} host"
            assert (code != 0) == block.fails, f"{where} ends with {code}:\n{block.script}{said}"
            assert block.agrees(said), f"{where} says:\n{said}instead of:\n{block.says}"


@pytest.mark.parametrize("backend", ["cni", "netavark"])
def test_podman_4(installed: Installed, backend: str) -> None:
    with two_machines(installed, ("podman",)) as both:
        for one in both.values():
            machine.with_podman(one, backend)
        follow("start-podman.md", both, backend)
        follow("remove.md", both, backend)


def test_podman_5(installed: Installed) -> None:
    netavark.require("usr/bin/podman", "usr/lib/podman/netavark")
    with two_machines(installed, ("podman",), (netavark.TREE,)) as both:
        for one in both.values():
            machine.with_podman(one, "netavark")
        follow("start-podman.md", both, "driver")
        follow("remove.md", both, "driver")


def test_containerd(installed: Installed) -> None:
    with two_machines(installed, ("containerd", "ctr")) as both:
        for one in both.values():
            machine.with_containerd(one)
        follow("start-containerd.md", both, "containerd")
        follow("remove.md", both, "containerd")
