"""Claims about two pretend hosts in two underlay subnets with a router between, with the built programs and the shipped conflist:

- containers and hosts reach containers over there; the source address is never translated inside the overlay, always on the way out,
  whether the daemon masquerades (--ip-masq) or leaves it to the bridge
- the data path outlives a killed daemon and its restart: pings across the tunnel lose nothing
- a deleted device, route or forwarding entry comes back within 10 s
- an ADD killed at any moment, followed by DEL, leaves no link, no claimed address, no rule
- ADDs at once give no address twice; the bridge has its gateway address before the first container
- one lease, one book, one bridge: two conflist names never share an address, GC of one leaves the other's claims, and a second bridge
  name is refused with both names
- dual stack: ADD, CHECK and DEL carry both families; without a lease file ADD and STATUS say where it was expected
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from tests.lab import underlay
from tests.lab.daemon import BRIDGE, DIST
from tests.lab.hosts import CONFLIST, DEVICE, Container, Host, Lab, probe, serve
from tests.lab.runtime import Attachment, PluginError, Runtime
from tests.lab.world import LabError, Place, only_child, wait_for_end

OUTSIDE = str(underlay.OUTSIDE.ip)
DUAL = """FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.7.1/24
FLANNEL_IPV6_NETWORK=fd00:42::/48
FLANNEL_IPV6_SUBNET=fd00:42:0:7::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
"""


@contextlib.contextmanager
def two_hosts(*options: str) -> Iterator[Lab]:
    """Make a lab of two hosts with daemons, and a container that serves on each."""
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons(*options)
        for host in lab.hosts.values():
            host.add(host.name[-1]).serve()
        serve(lab.outside)
        yield lab


@pytest.fixture(scope="module", params=["true", "false"], ids=["daemon masquerades", "bridge masquerades"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with two_hosts(f"--ip-masq={request.param}") as made:
        yield made


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.hosts["host-a"]


@pytest.fixture(scope="module")
def lone() -> Iterator[Host]:
    """One host without a daemon: its lease file is the test's."""
    with Lab({"host-a": 1}) as made:
        yield made.hosts["host-a"]


def pair(lab: Lab) -> tuple[Container, Container]:
    return lab.hosts["host-a"].containers["a"], lab.hosts["host-b"].containers["b"]


def tried(place: Place, address: str) -> dict[str, str]:
    """Try one path and return the probe's answer: `ping` and `http` are empty when all is well."""
    said, _ = probe(place, [address]).communicate(timeout=30)
    answer: dict[str, str] = json.loads(said)
    return answer


def reached(address: str, seen: str) -> dict[str, str]:
    """Return the answer of a path that works, with the source address the server must have seen."""
    return {"target": address, "ping": "", "seen": seen, "http": ""}


def variant(**changes: Any) -> dict[str, Any]:
    """Return the shipped conflist with another name, version or bridge."""
    document: dict[str, Any] = json.loads(CONFLIST.read_text())
    bridge = changes.pop("bridge", BRIDGE)
    return {**document, **changes, "plugins": [{**document["plugins"][0], "bridge": bridge}]}


def footprint(host: Host) -> dict[str, object]:
    """Return everything an attachment could leave on a host, in a form that compares equal when nothing was left."""
    return {
        "links": sorted(link["ifname"] for link in host.show("link", "show")),
        "claims": sorted(host.place.run("find", "/run/tulle", "-type", "f").split()),
        "rules": host.place.run("nft", "--stateless", "list", "ruleset"),
        "routes": host.show("route", "show"),
    }


def test_containers_reach_each_other_with_their_own_addresses(lab: Lab) -> None:
    first, second = pair(lab)

    assert tried(first.place, second.address) == reached(second.address, first.address)
    assert tried(second.place, first.address) == reached(first.address, second.address)


def test_a_host_reaches_a_container_over_there_from_its_overlay_address(lab: Lab) -> None:
    _, second = pair(lab)
    answer = tried(lab.hosts["host-a"].place, second.address)

    assert (answer["ping"], answer["http"]) == ("", "")
    assert IPv4Address(answer["seen"]) in IPv4Network(lab.hosts["host-a"].lease()["FLANNEL_SUBNET"], strict=False)


def test_the_way_out_is_masqueraded_behind_the_host(lab: Lab) -> None:
    first, _ = pair(lab)

    assert tried(first.place, OUTSIDE) == reached(OUTSIDE, str(lab.hosts["host-a"].standing.address.ip))


def test_the_lease_file_says_who_masquerades(lab: Lab, request: pytest.FixtureRequest) -> None:
    by_daemon = "daemon" in request.node.name
    rules = lab.hosts["host-a"].place.run("iptables", "-t", "nat", "-S")

    assert lab.hosts["host-a"].lease()["FLANNEL_IPMASQ"] == str(by_daemon).lower()
    assert ("-j FLANNEL-POSTRTG" in rules and "-j MASQUERADE" in rules) == by_daemon


def test_the_bridge_has_its_gateway_address_before_the_first_container() -> None:
    with Lab({"host-a": 1}) as lab:
        lab.start_daemons()
        host = lab.hosts["host-a"]
        gateway = host.lease()["FLANNEL_SUBNET"].partition("/")[0]

        assert host.place.attempt("ping", "-c", "1", "-W", "2", gateway).returncode == 0
        assert gateway in json.dumps(host.show("address", "show", "dev", BRIDGE))


@contextlib.contextmanager
def steady_pings(source: Container, target: str, count: int = 60) -> Iterator[Callable[[], str]]:
    """Ping twenty times a second beside the block, once the first echo is back; the yielded call returns the summary."""
    job = source.place.start("ping", "-n", "-i", "0.05", "-c", str(count), "-W", "2", target, log=subprocess.PIPE)
    assert job.stdout is not None
    assert "PING" in job.stdout.readline()
    assert "bytes from" in job.stdout.readline()
    yield lambda: job.communicate(timeout=30)[0]


def test_a_killed_daemon_costs_no_packet(lab: Lab, host: Host) -> None:
    first, second = pair(lab)
    assert host.daemon is not None

    with steady_pings(first, second.address) as summary:
        host.daemon.end(signal.SIGKILL)
        said = summary()
    host.start_daemon(*last_options(lab)).wait_ready()

    assert " 0% packet loss" in said


def test_a_restarted_daemon_costs_no_packet_and_keeps_its_subnet(lab: Lab, host: Host) -> None:
    first, second = pair(lab)
    before = host.lease()["FLANNEL_SUBNET"]
    assert host.daemon is not None

    with steady_pings(first, second.address) as summary:
        host.daemon.end(signal.SIGTERM)
        host.start_daemon(*last_options(lab)).wait_ready()
        said = summary()

    assert " 0% packet loss" in said
    assert host.lease()["FLANNEL_SUBNET"] == before


def last_options(lab: Lab) -> tuple[str, ...]:
    """Return the options the lab's daemons were started with."""
    return (f"--ip-masq={lab.hosts['host-a'].lease()['FLANNEL_IPMASQ']}",)


@pytest.mark.parametrize(
    "damage",
    [
        f"ip link delete {DEVICE}",
        f"ip link set {DEVICE} down",
        f"ip route flush dev {DEVICE}",
        f"ip neigh flush all dev {DEVICE} nud permanent",
        f"bridge fdb show dev {DEVICE} | while read mac rest; do bridge fdb del $mac dev {DEVICE} $rest; done",
        f"ip address flush dev {DEVICE}",
    ],
    ids=["device deleted", "device down", "routes", "neighbours", "forwarding entries", "address"],
)
def test_what_was_damaged_is_repaired_within_ten_seconds(lab: Lab, host: Host, damage: str) -> None:
    first, second = pair(lab)
    assert host.daemon is not None
    before = tunnel(host)

    with host.daemon.paused():
        host.place.run("sh", "-c", damage)
        assert tunnel(host) != before

    host.wait(lambda: tunnel(host) == before, f"repair after {damage}", 10)
    assert tried(first.place, second.address) == reached(second.address, first.address)


def tunnel(host: Host) -> dict[str, list[str]]:
    """Return what a host's tunnel consists of: the device, its address, and the three tables."""
    links = [(link["mtu"], link["address"], "UP" in link["flags"]) for link in host.show("link", "show", "dev", DEVICE)]
    found = {
        "device": links,
        "addresses": [
            entry["local"] for link in host.show("-4", "address", "show", "dev", DEVICE) for entry in link["addr_info"]
        ],
        "routes": host.show("route", "show", "dev", DEVICE),
        "neighbours": host.show("neigh", "show", "dev", DEVICE),
        "forwarding": [
            (entry["mac"], entry["dst"]) for entry in host.show("fdb", "show", "dev", DEVICE) if "dst" in entry
        ],
    }
    return {kind: sorted(json.dumps(entry) for entry in entries) for kind, entries in found.items()}


def start_add(host: Host, runtime: Runtime, attachment: Attachment) -> "subprocess.Popen[str]":
    """Start the bridge's ADD as a runtime would, and return the job without waiting."""
    request = host.workdir / f"{attachment.container}.json"
    request.write_bytes(runtime.conflist.request(0, None, {}))
    command = ("sh", "-c", 'exec "$0" < "$1"', DIST / "cni" / "bridge", request)
    return host.place.start(*command, env=attachment.environment("ADD", DIST / "cni"))


def kill_after(job: "subprocess.Popen[str]", seconds: float, *, everything: bool) -> None:
    """Kill a job at a moment of its life: the program alone, or the whole process group as a cgroup's end would."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        job.wait(seconds)
        return
    with contextlib.suppress(LabError, FileNotFoundError, ProcessLookupError):
        if not everything:
            os.kill(only_child(job.pid), signal.SIGKILL)
    family = relatives(job.pid)
    if everything:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    for pid in family:
        wait_for_end(pid)
    job.wait(10)


def relatives(group: int) -> list[int]:
    """Return the processes of a process group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                found.append(int(entry.name))
    return found


def test_an_add_killed_at_any_moment_leaves_nothing_after_its_del(host: Host) -> None:
    whole = duration(host)
    before = footprint(host)
    dice = random.Random(20)  # the same twenty moments every time: a failure can be looked at again

    for turn in range(20):
        attachment = host.make_namespace(f"killed{turn}")
        moment = dice.uniform(0.0, whole)
        kill_after(start_add(host, host.runtime, attachment), moment, everything=turn % 2 == 0)
        host.runtime.delete(attachment)
        inside = host.place.inside(attachment.container).run("ip", "-brief", "link")
        host.place.ip(f"netns delete {attachment.container}")

        assert "eth0" not in inside, f"turn {turn}, killed after {moment * 1000:.0f} ms"
        assert footprint(host) == before, f"turn {turn}, killed after {moment * 1000:.0f} ms"


def duration(host: Host) -> float:
    """Return the seconds a whole ADD takes here."""
    attachment = host.make_namespace("timed")
    started = time.monotonic()
    start_add(host, host.runtime, attachment).wait(30)
    took = time.monotonic() - started
    host.runtime.delete(attachment)
    host.place.ip("netns delete timed")
    return took


def test_adds_at_once_give_no_address_twice(host: Host) -> None:
    before = footprint(host)
    attachments = [host.make_namespace(f"many{number}") for number in range(32)]

    with ThreadPoolExecutor(8) as pool:
        addresses = [result["ips"][0]["address"] for result in pool.map(host.runtime.add, attachments)]
        list(pool.map(host.runtime.delete, attachments))
    host.place.ip(*(f"netns delete {attachment.container}" for attachment in attachments))

    assert len(set(addresses)) == 32
    assert footprint(host) == before


def test_two_conflist_names_share_one_book_and_collect_only_their_own(host: Host) -> None:
    other = host.conflist(variant(name="other", cniVersion="1.1.0"))
    mine, theirs = host.add("mine"), host.add("theirs", other)
    assert mine.address != theirs.address

    other.collect([])
    newcomers = [host.add(f"new{number}") for number in range(3)]

    claims = host.place.run("find", "/run/tulle", "-type", "f")
    assert f"/{mine.address}" in claims
    assert f"/{theirs.address}" not in claims
    assert mine.address not in {newcomer.address for newcomer in newcomers}
    for container in (mine, *newcomers):
        host.remove(container.name)
    host.remove("theirs", other)


def test_a_second_bridge_name_on_the_lease_is_refused_with_both_names(host: Host) -> None:
    before = footprint(host)

    with pytest.raises(PluginError, match=r"tulle0.*other0|other0.*tulle0"):
        host.add("stranger", host.conflist(variant(name="second", bridge="other0")))
    assert footprint(host) == before


def test_without_a_lease_file_add_and_status_name_its_path(lone: Host) -> None:
    for code, refused in ((11, lambda: lone.add("early")), (50, lone.conflist(variant(cniVersion="1.1.0")).status)):
        with pytest.raises(PluginError, match=r"/run/flannel/subnet\.env") as caught:
            refused()
        assert caught.value.code == code


@pytest.fixture
def dual(lone: Host) -> Iterator[tuple[Container, Container]]:
    """Two containers of both families on a host with a dual-stack lease."""
    lone.place.run("sh", "-c", "mkdir -p /run/flannel && cat > /run/flannel/subnet.env", stdin=DUAL)
    yield lone.add("one"), lone.add("two")
    for name in tuple(lone.containers):
        lone.remove(name)


def test_dual_stack_containers_reach_each_other_in_both_families(dual: tuple[Container, Container]) -> None:
    first, second = dual
    second.serve()

    assert [len(container.addresses) for container in dual] == [2, 2]
    for own, target in zip(first.addresses, second.addresses, strict=True):
        assert tried(first.place, target) == reached(target, own)


def test_check_holds_until_either_family_is_gone(lone: Host, dual: tuple[Container, Container]) -> None:
    first, _ = dual
    lone.runtime.check(first.attachment)

    first.place.run("ip", "-6", "address", "flush", "dev", "eth0", "scope", "global")
    with pytest.raises(PluginError) as caught:
        lone.runtime.check(first.attachment)
    assert caught.value.code == 102


def test_a_dual_stack_delete_frees_both_addresses(lone: Host, dual: tuple[Container, Container]) -> None:
    first, _ = dual
    lone.remove(first.name)

    claims = lone.place.run("find", "/run/tulle", "-type", "f")
    assert not [address for address in first.addresses if f"/{address}\n" in claims]
