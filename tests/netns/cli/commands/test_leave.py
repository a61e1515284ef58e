"""Claims about `tulle leave` on hosts with a real tulled:

- while tulled runs, or a container is attached, nothing is touched, and the reason says what to do
- afterwards links, routes, tables and rules are as before tulled, lease file and record are gone, and others may have the subnet
- --dry-run names everything and removes nothing; a second time there is nothing to do
- a process that carries packets outside of the kernel ends with its device
- the lease of a host that is gone for good is given back by its address; this host's own, and a line of a hosts file, are not
- the table that keeps ports from spoofing goes once it judges none
- the store is not asked to forget what a person wrote into it
"""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from cli.commands import leave
from kernel import netns
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.spaces import Space

BRIDGE = "tulle0"


def run(daemon: Tulled, store: tuple[str, str], *, dry: bool = False, host: str = "") -> int:
    words = ["--subnet-file", str(daemon.lease_file), *store, "--bridge", BRIDGE]
    with netns.inside(daemon.space.namespace):
        return leave.run(Namespace(dry_run=dry, settings=words, settings_file="/dev/null", host=host), {})


def kernel(space: Space) -> dict[str, str]:
    """Return all that a daemon could leave in the kernel."""
    lines = space.run("ip", "-o", "link", "show").splitlines()
    return {
        "links": " ".join(line.split(": ")[1] for line in lines),
        "routes": space.run("ip", "route"),
        "tables": space.run("nft", "list", "tables"),
        "rules": "\n".join(line for line in space.run("iptables-save").splitlines() if line.startswith("-A")),
    }


def test_a_host_that_left_is_as_it_was(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space, store = hosts[0], ("--store", f"sqlite:{tmp_path / 'net.db'}")
    before = kernel(space)
    daemon = start(space, "--ip-masq", "--bridge", BRIDGE).ready()
    held = kernel(space)
    assert (run(daemon, store), kernel(space)) == (1, held)
    assert (
        "stop it first: systemctl disable --now tulled tulle-agent, then tulle leave again" in capsys.readouterr().err
    )
    daemon.end()
    subnet = daemon.subnet

    assert run(daemon, store, dry=True) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.removeprefix("would remove ") for line in told[:-1]] == [
        f"the lease file {daemon.lease_file}",
        f"the bridge {BRIDGE}",
        "flannel.1, the guard of the tunnel 1",
        "tulled's rules in the firewall",
        f"the lease of {subnet} in {store[1]}",
    ]
    assert kernel(space) == held

    assert run(daemon, store) == 0
    capsys.readouterr()
    left = kernel(space)
    assert {name: left[name] for name in ("links", "routes", "rules")} == {
        name: before[name] for name in ("links", "routes", "rules")
    }
    assert "tulle" not in left["tables"]
    assert sorted(path.name for path in daemon.place.iterdir()) == ["log", "notify"]
    assert (run(daemon, store), capsys.readouterr().out) == (0, "this host has left\n")
    start(hosts[1]).ready().status(", 0 peers")


def test_the_lease_of_a_host_that_is_gone_is_given_back(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ("--store", f"sqlite:{tmp_path / 'net.db'}")
    here, gone = start(hosts[0]).ready(), start(hosts[1]).ready()
    gone.end()
    public = next(
        line.split()[3].partition("/")[0]
        for line in hosts[1].run("ip", "-o", "-4", "address", "show", "eth0").splitlines()
    )
    assert run(here, store, host="192.0.2.99") == 1
    assert "no host has the address 192.0.2.99; the hosts: " in capsys.readouterr().err
    assert (run(here, store, host=public, dry=True), run(here, store, host=public)) == (0, 0)
    assert f"removed the lease of {gone.subnet} at {public}" in capsys.readouterr().out
    here.status(", 0 peers")


def test_the_table_against_spoofing_goes_with_its_last_port(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    space, store = hosts[0], ("--store", f"sqlite:{tmp_path / 'net.db'}")
    daemon = start(space).ready()
    daemon.end()
    space.run("nft", "add table bridge tulle-spoofchk; add set bridge tulle-spoofchk ports { type ifname; }")
    space.run("nft", "add element bridge tulle-spoofchk ports { veth9 }")
    assert (run(daemon, store), "spoofchk" in space.run("nft", "list", "tables")) == (0, True)
    space.run("nft", "delete element bridge tulle-spoofchk ports { veth9 }")
    assert (run(daemon, store), "spoofchk" in space.run("nft", "list", "tables")) == (0, False)


def test_attached_containers_keep_everything(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space, store = hosts[0], ("--store", f"sqlite:{tmp_path / 'net.db'}")
    daemon = start(space, "--bridge", BRIDGE).ready()
    daemon.end()
    space.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "inside")
    space.run("ip", "link", "set", "port", "master", BRIDGE, "alias", "tulle/c1/eth0")
    before = kernel(space)

    assert run(daemon, store) == 1

    assert "still attached: tulle/c1/eth0; remove these containers first" in capsys.readouterr().err
    assert (kernel(space), daemon.lease_file.exists()) == (before, True)


def test_an_entry_that_a_person_wrote_is_theirs_to_remove(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {"Network": "10.42.0.0/16", "Backend": {"Type": "host-gw"}}
    names = [{"PublicIP": f"192.0.2.{number}", "Subnet": f"10.42.{number}.0/24"} for number in (1, 2)]
    (tmp_path / "hosts.json").write_text(json.dumps({"Network": network, "Hosts": names}))
    store = ("--store", f"file:{tmp_path / 'hosts.json'}")
    daemon = start(hosts[0], *store, "--ip-blackhole-route").ready()
    daemon.end()

    assert run(daemon, store) == 0

    said = capsys.readouterr().out
    assert "removed routes into 10.42.0.0/16, the blackhole 10.42.1.0/24\n" in said
    assert f"next: take this host out of {tmp_path / 'hosts.json'} on every other host" in said
    assert "10.42" not in hosts[0].run("ip", "route")


@pytest.mark.parametrize(("backend", "device"), [("udp", "flannel0"), ("wireguard", "flannel-wg")])
def test_what_carries_the_packets_outside_of_the_kernel_ends(
    hosts: tuple[Space, Space],
    start: Start,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    backend: str,
    device: str,
) -> None:
    space, store = hosts[0], ("--store", f"sqlite:{tmp_path / 'net.db'}")
    (tmp_path / "net.json").write_text(json.dumps({"Network": "10.42.0.0/16", "Backend": {"Type": backend}}))
    before = kernel(space)["links"]
    key = ("--wireguard-key-file", str(tmp_path / "key"))
    daemon = start(space, *store, "--net-config", str(tmp_path / "net.json"), "--iface", "eth0", *key).ready()
    daemon.end()

    assert run(daemon, store) == 0

    assert kernel(space)["links"] == before
    assert f"removed {device}" in capsys.readouterr().out
