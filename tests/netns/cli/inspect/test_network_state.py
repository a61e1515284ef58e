"""Claims about what a survey sees of a real tulled: lease, peers, what is wanted of the kernel and what of it is missing.

- the commands that stand for a lease make exactly what tulled wants of it
- what cannot be read is a sentence in the survey, and a store that is absent is not made
"""

import json
import shlex
import sys
from ipaddress import IPv4Address
from pathlib import Path

from cli.inspect import ip_commands, network_state
from cli.inspect.network_state import NetworkState
from kernel import netns
from overlay.config import settings
from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import DEVICE, Tulled
from tests.netns.spaces import Space


def seen(daemon: Tulled, *flags: str) -> NetworkState:
    words = ["--subnet-file", str(daemon.lease_file), *flags]
    with netns.inside(daemon.space.namespace):
        return network_state.read(settings.parse(words, {}, sys.stderr))


def test_a_host_that_is_well_lacks_nothing_and_one_without_a_daemon_what_was_taken_away(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    store = ("--store", f"sqlite:{tmp_path / 'net.db'}")
    one, two = (start(space) for space in hosts)
    for daemon in (one, two):
        daemon.ready()
    waiting.until(lambda: one.knows(two) and two.knows(one), "each knows the other", namespace=one.space.namespace)
    well = seen(one, *store)
    assert well.own is not None
    assert (well.own.attributes.public_ip, [str(peer.subnet) for peer in well.peers]) == (
        IPv4Address("192.0.2.1"),
        [str(two.subnet)],
    )
    assert well.plan is not None
    assert (well.plan.underlay.interface, well.plan.differences) == ("eth0", ())
    assert (well.devices, well.sysctls["net/ipv4/ip_forward"]) == ((DEVICE,), "1")
    one.end()
    for words in (("neighbour", "flush", "dev", DEVICE, "nud", "permanent"), ("route", "flush", "dev", DEVICE)):
        one.space.run("ip", *words)
    one.space.run("bridge", "fdb", "del", two.mac, "dev", DEVICE, "dst", "192.0.2.2")
    poor = seen(one, *store)
    assert poor.plan is not None
    assert [words.split()[:2] for words in poor.plan.differences] == [
        ["adding", "neighbour"],
        ["adding", "forwarding"],
        ["adding", "route"],
    ]
    assert all(words.endswith(DEVICE) for words in poor.plan.differences)
    for command in ip_commands.commands(poor.plan.desired, poor.peers[0]):
        one.space.run(*shlex.split(command))
    mended = seen(one, *store)
    assert mended.plan is not None
    assert mended.plan.differences == ()


def test_a_file_store_names_the_interface_by_its_own_address(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    names = [{"PublicIP": f"192.0.2.{number}", "Subnet": f"10.42.{number}.0/24"} for number in (1, 2)]
    network = {"Network": "10.42.0.0/16", "Backend": {"Type": "host-gw"}}
    (tmp_path / "hosts.json").write_text(json.dumps({"Network": network, "Hosts": names}))
    store = ("--store", f"file:{tmp_path / 'hosts.json'}")
    found = seen(start(hosts[0], *store).ready(), *store)
    assert found.plan is not None
    assert (found.plan.underlay.interface, found.plan.differences, found.devices) == ("eth0", (), ())


def test_what_cannot_be_read_is_said_and_nothing_is_made(hosts: tuple[Space, Space], tmp_path: Path) -> None:
    words = ["--store", f"sqlite:{tmp_path / 'none.db'}", "--subnet-file", str(tmp_path / "none.env")]
    with netns.inside(hosts[0].namespace):
        found = network_state.read(settings.parse(words, {}, sys.stderr))
    assert "there is none" in found.lease_problem
    assert "there is no such file" in found.store_problem
    assert (found.own, found.plan, list(tmp_path.iterdir())) == (None, None, [])
