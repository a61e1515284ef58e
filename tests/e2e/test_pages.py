"""Claims about the pages a newcomer types from, on two pretend hosts each, with the real runtimes:

- every command of a page does what the page says, in the page's order, and prints what it shows
- afterwards, with docs/remove.md, each host is as it was before: links, routes, rules, and every file but the runtimes' own

`make install` is run once, by the line all pages begin with; the other hosts get what it wrote. systemd does not run here: `systemctl` is
tests/lab/systemctl.py. Skipped only where a runtime is absent, and never in CI.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.lab import cgroups, machine, netavark, page, reference
from tests.lab.daemon import ROOT
from tests.lab.hosts import Lab
from tests.lab.machine import Machine
from tests.lab.world import PATH

DOCS = ROOT / "docs"
Machines = dict[str, Machine]
INSTALL = "git clone URL tulle && make -C tulle install"
SEGMENTS = {"first": 1, "second": 2}
REPLACED = {
    INSTALL: "tulle --version",
    "scp root@192.0.2.11:": "cp ",
    **{f"192.0.2.1{number}": f"192.168.{number}.11" for number in (1, 2, 3)},
    "192.0.2.1:": "192.168.1.11:",
}


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
        one.type(INSTALL.replace("git clone URL tulle", "[ -d tulle ]"))
        one.type(f"cd {one.layer}; cp -a usr etc opt {tree}")
    yield Installed(tree, bare)
    shutil.rmtree(tree)


def files(one: Machine) -> str:
    """Return every file and folder where ours are, but for what the lab and the runtimes put there."""
    places = "/usr/local /opt/cni /etc/default /etc/tulle /etc/cni/net.d /run/flannel /run/tulle /var/lib/tulle"
    hidden = "|".join(machine.RUNTIMES)
    return one.type(
        f"find {places} -printf '%p %y %m %l\\n' 2>/dev/null | grep -Ev '/bin/({hidden}) |default/etcd|cni.lock|-concurrency.lock|nerdctl|net.d/default' | sort"
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
def two_machines(
    installed: Installed, runtimes: tuple[str, ...] = (), below: tuple[Path, ...] = ()
) -> Iterator[Machines]:
    """Give two machines on which the line that installs was typed, and see at the end that they are as before it."""
    with ExitStack() as last, Lab(SEGMENTS) as lab:
        for host in lab.hosts.values():
            last.callback(cgroups.remove, cgroups.parent(host))
        made = {name: machine.furnish(host, runtimes, (*below, installed.tree)) for name, host in lab.hosts.items()}
        before = {name: kernel(one) for name, one in made.items()}
        yield made
        assert {name: kernel(one) for name, one in made.items()} == before
        for one in made.values():
            assert set(files(one).splitlines()) == set(installed.bare.splitlines())


def require(*programs: str) -> None:
    """Skip, or in CI fail, unless these are installed."""
    missing = [name for name in programs if shutil.which(name, path=PATH) is None]
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{missing[0]} is not installed: make setup FOR=test")


def each(act: Callable[[Machine], object], on: Iterable[Machine]) -> None:
    """Do something on machines at once."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(act, on))


def follow(name: str, on: Machines, kind: str) -> None:
    """Type a page's blocks for this kind of machine, on both hosts at once where the page says so."""
    for block in page.read(DOCS / name, REPLACED):
        if block.is_for(kind):
            each(partial(obey, name, block), (on[host] for host in block.hosts))


def obey(name: str, block: page.Block, one: Machine) -> None:
    """Type a block on a machine, and see that what comes of it is what the page says."""
    code, said = one.attempt(block.script)
    where = f"{name}:{block.line} on the {one.host.name} host"
    assert (code != 0) == block.fails, f"{where} ends with {code}:\n{block.script}{said}"
    assert block.agrees(said), f"{where} says:\n{said}instead of:\n{block.says}"


@pytest.mark.parametrize("backend", ["cni", "netavark"])
def test_podman_4(installed: Installed, backend: str) -> None:
    require("podman")
    version = subprocess.run(["podman", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    if not version.startswith("4."):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"podman 4 is absent: {version} is installed")
    with two_machines(installed, ("podman",)) as both:
        each(partial(machine.with_podman, backend=backend), both.values())
        follow("start-podman.md", both, backend)
        if backend == "netavark":
            follow("from-swarm.md", both, backend)
        follow("remove.md", both, backend)


def test_podman_5(installed: Installed) -> None:
    netavark.require("usr/bin/podman", "usr/lib/podman/netavark")
    with two_machines(installed, ("podman",), (netavark.TREE,)) as both:
        each(partial(machine.with_podman, backend="netavark"), both.values())
        follow("start-podman.md", both, "driver")
        follow("remove.md", both, "driver")


def test_containerd(installed: Installed) -> None:
    require("containerd")
    with two_machines(installed, ("containerd", "ctr")) as both:
        each(machine.with_containerd, both.values())
        follow("start-containerd.md", both, "containerd")
        follow("doctor.md", both, "containerd")
        follow("remove.md", both, "containerd")


def test_many_hosts_with_etcd(installed: Installed, tmp_path: Path) -> None:
    require("etcd", "etcdctl")
    with two_machines(installed) as both:
        for one in both.values():  # what scp brings is there already
            one.type(f"rm -f /etc/default/etcd; mkdir -p /etc/etcd; mount --bind {tmp_path} /etc/etcd")
        follow("start-etcd.md", both, "etcd")
        follow("remove.md", both, "etcd")
        both["first"].type("systemctl stop etcd")


def test_a_network_that_flannel_keeps(installed: Installed) -> None:
    require("etcd", "etcdctl")
    flanneld = f"{reference.program('flanneld')} --iface=eth0"
    etcd = "etcd --data-dir /run/etcd --listen-client-urls http://192.168.1.11:2379"
    with two_machines(installed) as both:
        first = both["first"]
        first.service("etcd", f"{etcd} --advertise-client-urls http://192.168.1.11:2379")
        first.service("flanneld", f"{flanneld} --etcd-endpoints=http://192.168.1.11:2379")
        first.type("systemctl start etcd")
        config = '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan"}}'
        first.type(
            f"ETCDCTL_API=3 etcdctl --endpoints http://192.168.1.11:2379 put /coreos.com/network/config '{config}'"
        )
        first.type("systemctl start flanneld")
        follow("join-flannel.md", both, "flannel")
        follow("remove.md", both, "flannel")
        first.type("systemctl stop etcd")
