"""Claims, each by the whole table of who reaches whom: two hosts, the networks red and blue, a container of each on both hosts and one on
both networks; both families; one daemon for two networks and two daemons, with every store; with and without a FORWARD that drops. Red
reaches red, blue reaches blue, the one on both reaches all, and a published port everybody; so it is after a flush, which the daemon repairs,
and after the daemon's death, and `tulle repair` puts it back then. With one network there is no table. Without nft the same is done in
iptables, and without both a second network is refused before its device is made.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Interface
from pathlib import Path

import pytest

from kernel import netns
from kernel.firewall import nft_owner
from kernel.netlink.requests import AddBridge, AddVeth, SetLink
from lease import file
from tests.lab import waiting
from tests.lab.etcd import Etcd
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.spaces import Space

Make = Callable[[str], Space]
RANGES: dict[str, tuple[str, str, int]] = {
    "red": ("10.50.0.0/16", "fd00:50::/48", 1),
    "blue": ("10.60.0.0/16", "fd00:60::/48", 2),
}
TABLE = ("list", "table", "inet", "tulle-networks")
PUBLISHED = 8080
HIDDEN = 'for each in $HIDDEN; do mount --bind /dev/null "$(readlink -f "$each")" || exit 9; done; exec "$@"'


def config(name: str) -> dict[str, object]:
    four, six, vni = RANGES[name]
    return {"Network": four, "EnableIPv6": True, "IPv6Network": six, "Backend": {"Type": "vxlan", "VNI": vni}}


@dataclass
class World:
    """Two hosts with both networks, and the containers on them."""

    make: Make
    start: Start
    place: Path
    store: str
    hosts: tuple[Space, Space]
    etcd: str
    daemons: list[Tulled] = field(default_factory=list)
    containers: dict[str, tuple[Space, dict[str, list[str]]]] = field(default_factory=dict)
    publish: tuple[str, ...] = ()

    def lease_file(self, host: Space, name: str) -> Path:
        return self.place / f"{host.name}-{name}.env"

    def begin(self, host: Space, *names: str, within: tuple[str, ...] = ()) -> list[Tulled]:
        """Start what keeps these networks on a host."""
        common = ("--iface", "eth0", "--ip-masq")
        if self.store == "etcd":
            prefixes = [word for each in names for word in ("--etcd-prefix", f"/{each}={self.lease_file(host, each)}")]
            endpoint = ("--store", "etcd", "--etcd-endpoints", self.etcd)
            started = [self.start(host, *endpoint, *prefixes, *common, within=within)]
        else:
            started = []
            for each in names:
                own = ("--subnet-file", str(self.lease_file(host, each)))
                daemon = Tulled(host, self.place / each, *self._flags(each), *own, *common, within=within)
                started.append(daemon)
        self.daemons += started
        return started

    def _flags(self, name: str) -> tuple[str, ...]:
        (self.place / name).mkdir(exist_ok=True)
        path = self.place / name / "net.json"
        if self.store == "file":
            subnets = ({"Subnet": RANGES[name][0].replace("0.0/16", f"{n}.0/24")} for n in (1, 2))
            sixes = ({"IPv6Subnet": RANGES[name][1].replace("::/48", f":0:{n}::/64")} for n in (1, 2))
            listed = [
                {"PublicIP": f"192.0.2.{n}", "PublicIPv6": f"2001:db8::{n}", **four, **six}
                for n, (four, six) in enumerate(zip(subnets, sixes, strict=True), start=1)
            ]
            path.write_text(json.dumps({"Network": config(name), "Hosts": listed}))
            return ("--store", f"file:{path}")
        path.write_text(json.dumps(config(name)))
        return ("--store", f"sqlite:{path.with_suffix('.db')}", "--net-config", str(path))

    def attach(self, title: str, host: Space, number: int, *names: str) -> None:
        """Have a pretend container with address `number` in each of these networks of a host."""
        space, addresses = self.make(title), dict[str, list[str]]()
        for each in names:
            lease = file.read(str(self.lease_file(host, each)))
            if host.network.link(f"{each}0") is None:
                host.network.apply(AddBridge(f"{each}0"))
                host.network.apply(SetLink(f"{each}0", up=True))
                for gateway in (lease.subnet, lease.ipv6_subnet):
                    nodad = ["nodad"] if isinstance(gateway, IPv6Interface) else []
                    host.run("ip", "address", "add", str(gateway), "dev", f"{each}0", *nodad)
            host.network.apply(AddVeth(f"{title}-{each}", each, space.namespace, master=host.index(f"{each}0")))
            host.network.apply(SetLink(f"{title}-{each}", up=True))
            space.network.apply(SetLink(each, up=True))
            for gateway in (lease.subnet, lease.ipv6_subnet):
                assert gateway is not None
                nodad, family = (["nodad"], "-6") if isinstance(gateway, IPv6Interface) else ([], "-4")
                address = str(gateway.ip + number)
                addresses.setdefault(each, []).append(address)
                space.run("ip", "address", "add", f"{address}/{gateway.network.prefixlen}", "dev", each, *nodad)
                network = RANGES[each][1] if family == "-6" else RANGES[each][0]
                space.run("ip", family, "route", "add", network, "via", str(gateway.ip))
                if each == names[0]:
                    space.run("ip", family, "route", "add", "default", "via", str(gateway.ip))
        self.containers[title] = (space, addresses)

    def populate(self) -> None:
        """Attach everybody, and publish a port of blue's on the second host."""
        one, two = self.hosts
        for host in (one, two):
            for each in RANGES:
                self.attach(f"{each}{host.name}", host, 5, each)
        self.attach("all", one, 6, "red", "blue")
        target = self.containers["bluetwo"][1]["blue"][0]
        rule = ["-p", "tcp", "-d", "192.0.2.2", "--dport", str(PUBLISHED), "-j", "DNAT", "--to", f"{target}:80"]
        self.publish = ("iptables", "-t", "nat", "-A", "PREROUTING", *rule)
        two.run(*self.publish)

    def table(self) -> set[tuple[str, str]]:
        """Return who gets an answer from which address of whom, sender and receiver; all pairs are asked at once."""
        asked: dict[tuple[str, str], list[subprocess.Popen[bytes]]] = {}
        for sender, (space, _) in self.containers.items():
            for receiver, (_, addresses) in self.containers.items():
                for network, each in addresses.items() if receiver != sender else ():
                    key = (sender, f"{receiver}/{network}")
                    asked[key] = [_asking(space, "ping", "-c2", "-i0.2", "-W1", address) for address in each]
        answers = {key: {child.wait(20) == 0 for child in each} for key, each in asked.items()}
        assert all(len(both) == 1 for both in answers.values()), f"families differ: {answers}"
        return {key for key, both in answers.items() if both == {True}}

    def reaches_published(self, sender: str) -> bool:
        """Tell whether a connection to the published port is answered."""
        with netns.inside(self.containers["bluetwo"][0].namespace):
            ear = socket.create_server(("0.0.0.0", 80))
        with netns.inside(self.containers[sender][0].namespace):
            mouth = socket.socket()
        with ear, mouth:
            mouth.settimeout(3)
            try:
                mouth.connect(("192.0.2.2", PUBLISHED))
            except TimeoutError:
                return False
            return True

    def whole(self) -> None:
        """Hold the whole table to what it should be."""
        assert self.table() == EXPECTED
        assert [self.reaches_published(one) for one in ("redone", "redtwo", "blueone", "all")] == [True] * 4


EVERYBODY = ("redone", "redtwo", "blueone", "bluetwo")
EXPECTED = {
    *((a, f"{b}/{n}") for n in RANGES for a in EVERYBODY for b in EVERYBODY if a != b and a[:3] == b[:3] == n[:3]),
    *((a, f"all/{n}") for n in RANGES for a in EVERYBODY if a[:3] == n[:3]),
    *(("all", f"{b}/{n}") for n in RANGES for b in EVERYBODY if b[:3] == n[:3]),
}


def _asking(space: Space, *words: str) -> "subprocess.Popen[bytes]":
    with netns.inside(space.namespace):
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def make_world(
    hosts: tuple[Space, Space], make_space: Make, start: Start, tmp_path: Path
) -> Iterator[Callable[[str], World]]:
    engine = Etcd(tmp_path / "etcd", host="192.0.2.1")
    worlds: list[World] = []

    def make(store: str) -> World:
        for number, space in enumerate(hosts, start=1):
            space.run("ip", "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
        world = World(make_space, start, tmp_path, store, hosts, engine.url)
        worlds.append(world)
        if store == "etcd":
            with netns.inside(hosts[0].namespace):
                engine.start()
                for name in RANGES:
                    engine.put(f"/{name}/config", json.dumps(config(name)))
        return world

    yield make
    for world in worlds:
        for daemon in world.daemons:
            daemon.close()
    engine.stop()


def settled(world: World) -> World:
    """Start everything, and return when every host knows the other in both networks."""
    for host in world.hosts:
        world.begin(host, *RANGES)
    for daemon in world.daemons:
        daemon.ready()
    for host in world.hosts:
        for each in RANGES:
            for device, family in ((f"flannel.{RANGES[each][2]}", "-4"), (f"flannel-v6.{RANGES[each][2]}", "-6")):
                way = partial(host.run, "ip", family, "route", "show", "dev", device)
                waiting.until(lambda: "onlink" in way() or " via " in way(), "peers")  # noqa: B023 - asked within this round
    world.populate()
    return world


def isolated(host: Space) -> bool:
    try:
        return "drop" in host.run("nft", *TABLE)
    except subprocess.CalledProcessError:
        return False


def _repair(host: Space, place: Path, *words: str) -> dict[str, str]:
    """Run `tulle repair` on a host without containers of its own, and give what it says of the networks."""
    (place / "cache").mkdir(exist_ok=True)
    start = "import sys; from cli.main import main; main(sys.argv[1:]); sys.exit(0)"
    said = host.run(sys.executable, "-c", start, "repair", "--json", "--cache", str(place / "cache"), *words)
    isolation: dict[str, str] = json.loads(said)["isolation"]
    return isolation


@pytest.mark.parametrize("store", ["etcd", "sqlite", "file"])
@pytest.mark.parametrize("policy", ["ACCEPT", "DROP"])
def test_nobody_reaches_another_network(make_world: Callable[[str], World], store: str, policy: str) -> None:
    world = make_world(store)
    for host in world.hosts:
        for tool in ("iptables", "ip6tables"):
            host.run(tool, "-P", "FORWARD", policy)
    settled(world).whole()
    for host in world.hosts:
        host.run("nft", "flush", "ruleset")
    waiting.until(lambda: all(map(isolated, world.hosts)), "the tables are back", namespace=world.hosts[0].namespace)
    world.hosts[1].run(*world.publish)
    waiting.until(
        lambda: all("FLANNEL-FWD" in host.run("iptables", "-S") for host in world.hosts), "flannel's rules are back"
    )
    world.whole()
    for daemon in world.daemons:
        daemon.process.kill()
        daemon.process.wait(15)
    assert world.table() == EXPECTED
    for host in world.hosts:
        host.run("nft", "delete", "table", "inet", "tulle-networks")
    assert world.table() > EXPECTED  # what the table is for
    for host in world.hosts:
        said = [_repair(host, world.place, *words) for words in (("--dry-run",), (), ())]
        assert [(one["state"], "apart by table inet tulle-networks" in one["said"]) for one in said] == [
            *(("missing", True), ("repaired", True), ("stands", False)),
        ]
    assert world.table() == EXPECTED


def test_one_network_has_no_table_and_the_second_brings_it(make_world: Callable[[str], World]) -> None:
    world = make_world("sqlite")
    one, two = world.hosts[0], world.hosts[1]
    world.begin(one, "red")[0].ready()
    assert not isolated(one)
    world.begin(one, "blue")[0].ready()
    assert (isolated(one), isolated(two)) == (True, False)


def test_the_table_stands_before_the_second_device(make_world: Callable[[str], World]) -> None:
    world = make_world("etcd")
    host = world.hosts[0]
    with netns.inside(host.namespace):
        monitor = subprocess.Popen(["ip", "monitor", "link"], stdout=subprocess.PIPE, text=True)
    with monitor:
        world.begin(host, *RANGES)
        seen = set[str]()
        assert monitor.stdout is not None
        while len(seen) < 2:
            line = monitor.stdout.readline()
            seen |= {name for name in ("flannel.1", "flannel.2") if name in line}
        assert isolated(host)  # asked as soon as the second one was announced
        monitor.kill()


def hiding(*programs: str) -> tuple[str, ...]:
    """Give what runs a daemon on a host without these programs."""
    paths = " ".join(f"/usr/sbin/{each}" for each in programs)
    return ("env", f"HIDDEN={paths}", "unshare", "--mount", "sh", "-c", HIDDEN, "-")


def test_without_nft_iptables_keeps_them_apart(make_world: Callable[[str], World]) -> None:
    world = make_world("sqlite")
    host = world.hosts[0]
    for each in RANGES:
        world.begin(host, each, within=hiding("nft"))
        waiting.until(world.lease_file(host, each).exists, "the lease file")
        world.attach(f"{each}one", host, 5, each)
    world.attach("all", host, 6, "red", "blue")
    assert world.table() == {both for both in EXPECTED if not any("two" in word for word in both)}
    host.run("iptables", "-t", "mangle", "-F")
    host.run("ip6tables", "-t", "mangle", "-F")
    waiting.until(
        lambda: "TULLE-NETWORKS" in host.run("ip6tables", "-t", "mangle", "-S", "FORWARD"), "the jump is back"
    )


def test_without_nft_and_iptables_a_second_network_gets_no_device(make_world: Callable[[str], World]) -> None:
    world = make_world("sqlite")
    host, hidden = world.hosts[0], hiding("nft", "iptables", "ip6tables")
    world.begin(host, "red", within=hidden)
    waiting.until(lambda: host.network.link("flannel.1"), "the first network's device")
    (second,) = world.begin(host, "blue", within=hidden)
    said = "are not kept apart: neither nft nor iptables can be used here; install nft"
    waiting.until(lambda: said in second.log.read_text(), "the refusal", namespace=host.namespace)
    assert (host.network.link("flannel.2"), world.lease_file(host, "blue").exists()) == (None, False)


@pytest.fixture
def holds(host: Space) -> bool:
    """Tell whether this kernel lets a table be held (Linux 6.9)."""
    return nft_owner.make("inet", "trial", host.namespace)


def test_a_flush_does_not_take_the_table_where_the_kernel_can_hold_it(
    make_world: Callable[[str], World], holds: bool
) -> None:
    world = make_world("etcd")
    host = world.hosts[0]
    world.begin(host, *RANGES)[0].ready()
    host.run("nft", "flush", "ruleset")
    there = isolated(host)  # at once: no time for a repair
    assert there == holds
    assert waiting.until(lambda: isolated(host), "the table is there", within=2) < 2


def test_a_daemon_that_comes_later_has_who_holds_the_table_take_its_network_in(
    make_world: Callable[[str], World],
) -> None:
    world = make_world("etcd")
    host = world.hosts[0]
    world.begin(host, *RANGES)[0].ready()
    place = world.place / "green"
    place.mkdir()
    store = ("--store", f"sqlite:{place / 'net.db'}", "--network", "10.70.0.0/16", "--vni", "3", "--iface", "eth0")
    green = world.start(host, *store, "--subnet-file", str(place / "subnet.env"))
    world.daemons.append(green)
    green.ready()
    assert "10.70.0.0/16 . 10.70.0.0/16" in host.run("nft", *TABLE)
    assert host.network.link("flannel.3")


def test_after_its_death_the_table_is_anothers_to_hold_and_change(make_world: Callable[[str], World]) -> None:
    world = make_world("sqlite")
    host = world.hosts[0]
    first, second = (world.begin(host, each)[0].ready() for each in RANGES)
    for daemon in (first, second):
        daemon.process.kill()
        daemon.process.wait(15)
    assert isolated(host)
    host.run("nft", "delete", "table", "inet", "tulle-networks")
    (again,) = world.begin(host, "red")
    again.ready()
    assert isolated(host)


def test_a_flush_is_repaired_at_once(make_world: Callable[[str], World]) -> None:
    world = make_world("sqlite")
    host = world.hosts[0]
    for daemon in world.begin(host, *RANGES):
        daemon.ready()
    waiting.until(lambda: isolated(host), "the table")
    with suppress(subprocess.CalledProcessError):  # refused where a daemon holds it
        host.run("nft", "delete", "table", "inet", "tulle-networks")
    assert waiting.until(lambda: isolated(host), "the table is back", within=2) < 2
