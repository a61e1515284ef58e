"""Claims about `tulle doctor` as it is built, on two pretend hosts with real daemons, IPv4 and IPv6: each check finds exactly what it is for.

- two hosts that are well have no finding, and the exit code says so
- each thing that is broken is found by its check, and by no other but those it breaks as well; mended, all is well again
- which direction of which family is blocked is told, be it here or there; where only one host's word would do, that is told
"""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab import waiting
from tests.lab.daemon import BRIDGE, DIST, SUBNET_FILE
from tests.lab.hosts import CONFLIST, DEVICE, Lab
from tests.lab.world import Place

DUAL = {"Network": "10.42.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}}
Break = Callable[[Lab], AbstractContextManager[object]]
WALL = "add table inet {hook}; add chain inet {hook} wall {{ type filter hook {hook} priority -400; }}; add rule inet {hook} wall {rule}"


@pytest.fixture(scope="module")
def well() -> Iterator[Lab]:
    """Two hosts with a container each; the runtime's directories are the lab's own."""
    with Lab({"host-a": 1, "host-b": 2}, dual=True) as lab:
        (lab.workdir / "net.json").write_text(json.dumps(DUAL))
        lab.start_daemons("--net-config", str(lab.workdir / "net.json"), "--network", "")
        (lab.workdir / "net.d").mkdir()
        shutil.copy(CONFLIST, lab.workdir / "net.d")
        for host in lab.hosts.values():
            host.add(f"on-{host.name}")
        ends = [host.standing.address6 for host in lab.hosts.values()]
        first = lab.hosts["host-a"].place
        waiting.until(lambda: all(pings(first, str(end.ip)) for end in ends if end), "the underlay carries IPv6")
        yield lab


def pings(place: Place, address: str) -> bool:
    return place.attempt("ping", "-c1", "-W1", address).returncode == 0


@pytest.fixture
def still(well: Lab) -> Iterator[Lab]:
    """The same with the first host's daemon stopped in its tracks, so that it does not mend what a test breaks.

    It is stopped while the store is locked for everybody, or it might have the store locked as long as it is stopped.
    """
    daemon = well.hosts["host-a"].daemon
    assert daemon is not None
    with ExitStack() as stopped:
        with contextlib.closing(sqlite3.connect(well.workdir / "net.db", timeout=20)) as base:
            base.execute("BEGIN EXCLUSIVE")
            stopped.enter_context(daemon.paused())
            base.rollback()
        yield well


def doctor(lab: Lab, host: str = "host-a", store: str = "", **directories: Path) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the verdicts on one host."""
    words = {"conf": lab.workdir / "net.d", "bin": DIST / "cni", **directories}
    store = store or f"sqlite:{lab.workdir / 'net.db'}"
    options = [word for name, value in words.items() for word in (f"--{name}-dir", str(value))]
    command: list[str | Path] = [
        DIST / "bin" / "tulle",
        "doctor",
        "--json",
        *options,
        "--",
        "--store",
        store,
        "--iface",
        "eth0",
    ]
    done = lab.hosts[host].place.attempt(*command)
    assert done.stderr == ""
    (verdicts,) = json.loads(done.stdout).values()
    return done.returncode, verdicts


def failed(verdicts: list[dict[str, Any]]) -> dict[str, str]:
    """Return what each failed check saw, in one text."""
    return {one["check"]: "\n".join(each["saw"] for each in one["findings"]) for one in verdicts if one["ok"] is False}


def commands(done: tuple[str, ...], undone: tuple[str, ...], host: str = "host-a") -> Break:
    """Break something by commands, and mend it by others."""

    @contextlib.contextmanager
    def breaking(lab: Lab) -> Iterator[None]:
        place = lab.hosts[host].place
        for line in done:
            place.run("sh", "-ec", line)
        try:
            yield
        finally:
            for line in undone:
                place.run("sh", "-ec", line)

    return breaking


def wall(rule: str, hook: str, host: str) -> Break:
    """Put a firewall's rule before everything else on a host."""
    return commands((f"nft '{WALL.format(hook=hook, rule=rule)}'",), (f"nft delete table inet {hook}",), host)


@contextlib.contextmanager
def stored(lab: Lab) -> Iterator[None]:
    """Put a second lease with the first host's address into the store."""
    with contextlib.closing(sqlite3.connect(lab.workdir / "net.db")) as base, base:
        public = lab.hosts["host-a"].standing.address.ip
        value = json.dumps({"PublicIP": str(public), "PublicIPv6": None, "BackendType": "vxlan"})
        base.execute("INSERT INTO leases VALUES ('10.42.250.0-24', ?, 1, 'x', 1e12)", (value,))
        base.commit()
        try:
            yield
        finally:
            base.execute("DELETE FROM leases WHERE key = '10.42.250.0-24'")
            base.commit()


@contextlib.contextmanager
def cut_off(lab: Lab) -> Iterator[None]:
    """Take a container's link away, as a reboot of half a host would; the runtime knows nothing of it."""
    host = lab.hosts["host-a"]
    container = host.add("cut-off")
    link = next(one["name"] for one in container.result["interfaces"] if one["name"].startswith("veth"))
    host.place.ip(f"link delete {link}")
    try:
        yield
    finally:
        host.remove("cut-off")


@contextlib.contextmanager
def nameless(lab: Lab) -> Iterator[None]:
    """Start a container on a network of the Podman driver where no name server is installed."""
    host, driver = lab.hosts["host-a"], DIST / "netavark" / "tulle"
    told = json.dumps(
        {
            "container_id": "nameless",
            "container_name": "nameless",
            "network": {"name": "web", "options": {}},
            "network_options": {"interface_name": "eth0"},
        }
    )
    attachment = host.make_namespace("nameless")
    host.place.run("mount", "-t", "tmpfs", "tmpfs", "/usr/lib/podman")
    try:
        host.place.run(driver, "setup", attachment.netns, stdin=told)
        yield
    finally:
        host.place.run("umount", "/usr/lib/podman")
        host.place.run(driver, "teardown", attachment.netns, stdin=told)
        host.place.ip("netns delete nameless")


@contextlib.contextmanager
def unbooked(lab: Lab) -> Iterator[None]:
    """Take a container's addresses out of the book."""
    host = lab.hosts["host-a"]
    container = host.add("unbooked")
    for address in container.addresses:
        host.place.run("sh", "-ec", f"rm /run/tulle/books/*/{address}")
    try:
        yield
    finally:
        host.remove("unbooked")


DROP = "iptables -P FORWARD DROP; iptables-save | grep -- '-A FLANNEL-FWD' > /run/kept; iptables -F FLANNEL-FWD"
BACK = "iptables -P FORWARD ACCEPT; (echo '*filter'; cat /run/kept; echo COMMIT) | iptables-restore --noflush"
FIX_LEASE = f"mv /run/kept.env {SUBNET_FILE}"
BROKEN: dict[str, tuple[set[str], str, Break]] = {
    "lease file of an earlier subnet": (
        {"lease-file", "bridge-address"},
        "which is no lease",
        commands(
            (
                f"cp {SUBNET_FILE} /run/kept.env; sed -i 's/^\\(FLANNEL_SUBNET=\\).*/\\110.42.251.1\\/24/' {SUBNET_FILE}",
            ),
            (FIX_LEASE,),
        ),
    ),
    "no name server": ({"names"}, "names do not resolve: aardvark-dns is not installed", nameless),
    "no lease file": (
        {"lease-file"},
        "there is none",
        commands((f"mv {SUBNET_FILE} /run/kept.env",), (FIX_LEASE,)),
    ),
    "bridge with an earlier gateway": (
        {"bridge-address"},
        f"{BRIDGE} has 10.42.251.1/24",
        commands((f"ip address add 10.42.251.1/24 dev {BRIDGE}",), (f"ip address delete 10.42.251.1/24 dev {BRIDGE}",)),
    ),
    "two leases for one address": ({"rivals"}, "10.42.250.0/24 for this host's address", stored),
    "another device of the VNI": (
        {"rivals"},
        "rival also has VNI 1",
        commands(("ip link add rival type vxlan id 1 dev eth0 dstport 4789",), ("ip link delete rival",)),
    ),
    "no forwarding": (
        {"forwarding"},
        "net.ipv4.ip_forward is 0",
        commands(("echo 0 > /proc/sys/net/ipv4/ip_forward",), ("echo 1 > /proc/sys/net/ipv4/ip_forward",)),
    ),
    "FORWARD drops": (
        {"forwarding", "br-netfilter"},
        "br_netfilter hands bridged frames to iptables",
        commands((DROP,), (BACK,)),
    ),
    "strict reverse path, another way out": (
        {"rp-filter", "routes", "tunnel"},
        f"rp_filter is strict on {DEVICE}",
        commands(
            (
                f"echo 1 > /proc/sys/net/ipv4/conf/{DEVICE}/rp_filter",
                "ip route add $(ip route show dev flannel.1 | sed 's/.0\\/24.*/.0\\/30/') dev eth0",
            ),
            (
                f"echo 0 > /proc/sys/net/ipv4/conf/{DEVICE}/rp_filter",
                "ip route flush dev eth0 scope link root 10.42.0.0/16",
            ),
        ),
    ),
    "a route into the network": (
        {"routes"},
        "10.42.252.0/24 dev eth0 leads into the network",
        commands(("ip route add 10.42.252.0/24 dev eth0",), ("ip route delete 10.42.252.0/24 dev eth0",)),
    ),
    "no forwarding entry": (
        {"entries", "tunnel"},
        "missing in the kernel: forwarding entry",
        commands(
            (
                f"bridge fdb show dev {DEVICE} | grep dst > /run/kept; set -- $(cat /run/kept); bridge fdb delete $1 dev {DEVICE} dst $3",
            ),
            (f"set -- $(cat /run/kept); bridge fdb append $1 dev {DEVICE} dst $3 self permanent",),
        ),
    ),
    "another MAC": (  # the kernel forgets a device's neighbours when its address changes
        {"mac", "entries", "tunnel"},
        f"{DEVICE} has the MAC 02:00:00:00:00:99",
        commands(
            (
                f"ip -o link show {DEVICE} | sed 's/.*ether //; s/ .*//' > /run/kept",
                f"ip neighbour show dev {DEVICE} nud permanent > /run/neighbour",
                f"ip link set {DEVICE} address 02:00:00:00:00:99",
            ),
            (
                f"ip link set {DEVICE} address $(cat /run/kept)",
                f"set -- $(cat /run/neighbour); ip neighbour replace $1 lladdr $3 dev {DEVICE} nud permanent",
            ),
        ),
    ),
    "the other host is away": (
        {"tunnel"},
        "neither through the tunnel nor beside it",
        wall("iifname eth0 drop", "input", "host-b"),
    ),
    "large packets lost": (
        {"mtu"},
        "those of 1430 bytes do not",
        wall("udp dport 8472 udp length > 1300 drop", "input", "host-b"),
    ),
    "a lease file with too large an MTU": (
        {"mtu"},
        "the lease file allows 1500 bytes",
        commands((f"cp {SUBNET_FILE} /run/kept.env; sed -i s/MTU=1430/MTU=1500/ {SUBNET_FILE}",), (FIX_LEASE,)),
    ),
    "TCP lost in the tunnel": (
        {"checksums"},
        "TCP does not",
        wall("iifname { flannel.1, flannel-v6.1 } meta l4proto tcp drop", "prerouting", "host-b"),
    ),
    "a container's link is gone": ({"reservations", "leaks"}, "its link on the host is gone", cut_off),
    "a link without an address": ({"leaks"}, "it has no address in the book", unbooked),
}


@pytest.mark.parametrize("host", ["host-a", "host-b"])
def test_a_host_that_is_well_has_no_finding(well: Lab, host: str) -> None:
    code, verdicts = doctor(well, host)
    assert (code, failed(verdicts)) == (0, {})
    assert sum(one["ok"] is True for one in verdicts) >= 15  # br_netfilter may be absent here


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_broken_is_found_by_its_check_alone(still: Lab, broken: str) -> None:
    checks, words, breaking = BROKEN[broken]
    with breaking(still):
        code, verdicts = doctor(still)
    found = failed(verdicts)
    assert (code, set(found)) == (1, checks), found
    assert "\n".join(found.values()).count(words) >= (2 if broken in BOTH else 1)
    assert all(one["why"] and each["remedy"] for one in verdicts for each in one["findings"])


BOTH = {"large packets lost", "TCP lost in the tunnel", "the other host is away"}
"""What is broken in both families, and found in both."""


def test_the_direction_and_family_that_is_blocked_is_told_on_either_host(still: Lab) -> None:
    with (
        wall("meta nfproto ipv4 udp dport 8472 drop", "input", "host-b")(still),
        wall("meta nfproto ipv6 udp dport 8472 drop", "output", "host-b")(still),
        ThreadPoolExecutor() as both,
    ):
        (_, here), (_, there) = both.map(partial(doctor, still), ("host-a", "host-b"))
    assert directions(here) == {4: "we hear it, it does not hear us", 6: "it hears us, we do not hear it"}
    assert directions(there) == {4: "it hears us, we do not hear it", 6: "we hear it, it does not hear us"}


def directions(verdicts: list[dict[str, Any]]) -> dict[int, str]:
    """Return what is said of the tunnel in each family; nothing else may have failed."""
    found = failed(verdicts)
    assert list(found) == ["tunnel"], found
    lines = found["tunnel"].splitlines()
    return {6 if ":" in line.partition(" at ")[0] else 4: line.rpartition("; ")[2] for line in lines}


def test_where_neither_direction_can_be_proved_alone_that_is_told(still: Lab) -> None:
    with (
        wall("udp dport 8472 drop", "input", "host-b")(still),
        wall("udp dport 8472 drop", "output", "host-b")(still),
    ):
        _, verdicts = doctor(still)
    assert "which direction is blocked cannot be told from here" in failed(verdicts)["tunnel"]


def test_a_store_that_is_away_is_found_and_what_hangs_on_it_is_skipped(still: Lab) -> None:
    code, verdicts = doctor(still, store="etcd")
    assert (code, set(failed(verdicts))) == (1, {"store"})
    assert {one["check"] for one in verdicts if one["ok"] is None} >= {"lease-file", "entries", "tunnel", "mtu"}


def test_a_program_that_is_missing_is_found_by_the_name_the_configuration_has(still: Lab, tmp_path: Path) -> None:
    code, verdicts = doctor(still, bin=tmp_path)
    found = failed(verdicts)
    assert (code, set(found)) == (1, {"programs"})
    assert ("does not find the program bridge" in found["programs"], "host-local" in found["programs"]) == (True, True)


def test_a_runtime_without_our_configuration_is_found(still: Lab, tmp_path: Path) -> None:
    code, verdicts = doctor(still, conf=tmp_path)
    found = failed(verdicts)
    assert code == 1
    assert f"has no configuration in {tmp_path}" in found["programs"]


def test_people_read_what_was_seen_why_it_matters_and_what_to_do(still: Lab) -> None:
    host = still.hosts["host-a"]
    host.place.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    store = f"sqlite:{still.workdir / 'net.db'}"
    said = host.place.attempt(DIST / "bin" / "tulle", "doctor", "--", "--store", store, "--iface", "eth0").stdout
    host.place.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    assert "FAILED   forwarding       ip_forward, for IPv6 too; the policy of iptables' FORWARD" in said
    assert "why: a host that does not forward keeps the packets of its containers" in said
    assert "saw: net.ipv4.ip_forward is 0" in said
    assert "do:  sysctl -w net.ipv4.ip_forward=1" in said
