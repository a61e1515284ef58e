"""Claims about names of containers on networks of the Podman driver, with netavark and aardvark-dns of Debian's next suite:

- containers of a network find each other by name, alias and short id, in both families, and only while they are there
- a name is the network's: another network of the same lease may have it too, and who is on both knows both
- names of others are asked of the network's name servers, or of the host's; inside an internal network nobody is asked
- the last container takes the name server along, and nothing of names stays
- a server that was killed, an emptied /run, a name whose container is gone and a moved lease are made good by the next setup
- where there is no name server or its port is another's, and with --disable-dns, a container starts all the same and asks whom the host asks; why is said once

No daemon runs here: a lease file is all that the driver needs. Skipped only where netavark is not unpacked, and never in CI.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import netavark
from tests.lab.hosts import LAB, Host, Lab
from tests.lab.netavark import Container, Json

LEASE = """FLANNEL_NETWORK=10.{lan}.0.0/16
FLANNEL_SUBNET=10.{lan}.3.1/24
FLANNEL_IPV6_NETWORK=fd00:{lan}::/48
FLANNEL_IPV6_SUBNET=fd00:{lan}:0:3::1/64
FLANNEL_MTU=1400
FLANNEL_IPMASQ=false
"""
GATEWAYS = ["10.77.3.1", "fd00:77:0:3::1"]
OUTSIDE = "192.0.2.77"
"""What the name server outside says of every name."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    netavark.require("usr/lib/podman/netavark", "usr/lib/podman/aardvark-dns")
    with Lab({"host-a": 1, "host-b": 1}) as lab:
        yield lab


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    """A host with a lease of both families, and a name server beside it that it asks itself."""
    first, second = lab.hosts.values()
    lend(first, "/run/flannel/subnet.env")
    serve = second.place.start(
        sys.executable, "-IS", LAB / "names.py", "answer", server(lab), OUTSIDE, log=subprocess.PIPE
    )
    assert serve.stdout is not None
    assert serve.stdout.readline() == "ready\n"
    resolv = first.workdir / "resolv.conf"
    resolv.write_text(f"nameserver {server(lab)}\n")
    first.place.run("mount", "--bind", resolv, "/etc/resolv.conf")
    return first


def server(lab: Lab) -> str:
    """Return the address of the name server outside."""
    return str(lab.hosts["host-b"].standing.address.ip)


def lend(host: Host, path: str, lan: int = 77) -> None:
    host.place.run("mkdir", "-p", str(Path(path).parent))
    host.place.run("sh", "-c", f"cat > {path}", stdin=LEASE.format(lan=lan))


class Started:
    """A container that was set up, and what netavark said of it."""

    def __init__(self, host: Host, name: str, number: int, *networks: Json, **given: Any) -> None:
        host.make_namespace(name)
        self.host = host
        self.container = Container(name, f"{number:x}" * 64, {each["name"]: each for each in networks}, **given)
        self.told = netavark.run(host, "setup", self.container)

    def addresses(self, network: str = "web") -> list[str]:
        (interface,) = self.told[network]["interfaces"].values()
        return [entry["ipnet"].partition("/")[0] for entry in interface["subnets"]]

    def finds(self, said: dict[str, list[str]], kind: str = "A", at: str = GATEWAYS[0]) -> bool:
        """Tell whether the server, which reads its files in its own time, comes to say so of names."""
        place = self.host.place.inside(self.container.name)
        ask = (sys.executable, "-IS", str(LAB / "names.py"), "ask", at, kind, *said)
        self.host.wait(lambda: bool(json.loads(place.run(*ask)) == said), f"names: {said}")
        return True

    def stop(self) -> None:
        netavark.run(self.host, "teardown", self.container)
        self.host.place.ip(f"netns delete {self.container.name}")


@pytest.fixture
def start(host: Host) -> Iterator[Any]:
    """Start containers that go with the test."""
    started: list[Started] = []

    def make(name: str, *networks: Json, **given: Any) -> Started:
        started.append(Started(host, name, len(started) + 1, *networks or (netavark.create(host, "web"),), **given))
        return started[-1]

    yield make
    for each in started:
        each.stop()
    assert servers(host) == []
    assert host.place.attempt("find", "/run/tulle/names", "-type", "f").stdout == ""


def servers(host: Host) -> list[str]:
    """Return the pids of the name servers of a host."""
    return sorted(set(re.findall(r"pid=(\d+)", host.place.run("ss", "-Hlunp", "sport = 53"))))


def test_containers_find_each_other_by_name_alias_and_id_in_both_families(start: Any) -> None:
    one = start("one", wishes={"web": {"aliases": ["page", "1" * 12]}})
    two = start("two")

    assert [one.told["web"][key] for key in ("dns_server_ips", "dns_search_domains")] == [GATEWAYS, ["dns.podman"]]
    spellings = ("one", "page", "PAGE", "1" * 12, "one.dns.podman")
    assert two.finds({name: one.addresses()[:1] for name in spellings})
    assert two.finds({"page": one.addresses()[1:]}, "AAAA", GATEWAYS[1])
    assert one.finds({"two": two.addresses()[:1]}, at=GATEWAYS[1])


def test_a_container_that_is_gone_is_not_found(host: Host, start: Any) -> None:
    one, two = start("one"), start("two")

    netavark.run(host, "teardown", one.container)
    assert two.finds({"one.dns.podman": ["NXDOMAIN"]})
    told = netavark.run(host, "setup", one.container)
    assert two.finds({"one.dns.podman": [told["web"]["interfaces"]["eth0"]["subnets"][0]["ipnet"].partition("/")[0]]})


def test_a_name_is_the_networks_and_who_is_on_both_knows_both(host: Host, start: Any) -> None:
    web, shop = netavark.create(host, "web"), netavark.create(host, "shop")
    first = start("first", web, wishes={"web": {"aliases": ["db"]}})
    second = start("second", shop, wishes={"shop": {"aliases": ["db"]}})
    third = start("third", web, shop)

    assert [third.told[name]["dns_server_ips"] for name in ("web", "shop")].count(GATEWAYS) == 1
    assert third.finds({"first": first.addresses()[:1], "second": second.addresses("shop")[:1]})
    assert first.finds({"db": first.addresses()[:1]})
    assert second.finds({"db": second.addresses("shop")[:1], "first.dns.podman": ["NXDOMAIN"]})


def test_other_names_are_asked_outside_and_never_from_an_internal_network(host: Host, lab: Lab, start: Any) -> None:
    asking = netavark.create(host, "asking", network_dns_servers=[server(lab)])
    inner = start("inner", netavark.create(host, "inner", internal=True))

    assert start("open").finds({"example.test": [OUTSIDE]})
    assert start("asking", asking).finds({"example.test": [OUTSIDE]})
    assert inner.finds({"example.test": ["NXDOMAIN"], "inner": inner.addresses("inner")[:1]})


@pytest.mark.parametrize("loss", ["kill", "kill, then empty /run"])
def test_a_lost_server_is_there_again_with_the_next_container(host: Host, start: Any, loss: str) -> None:
    one = start("one")
    host.place.run("kill", "-9", *servers(host))
    if "empty" in loss:
        host.place.run("rm", "-r", "/run/tulle/names")

    two = start("two")
    assert one.finds({"two": two.addresses()[:1]})
    assert two.finds({"one.dns.podman": ["NXDOMAIN"] if "empty" in loss else one.addresses()[:1]})


def test_the_name_of_a_container_that_vanished_goes_with_the_next_one(host: Host, start: Any) -> None:
    start("vanished")
    host.place.ip("netns delete vanished", "netns add vanished")

    assert start("two").finds({"vanished.dns.podman": ["NXDOMAIN"]})


def test_a_moved_lease_is_listened_at_from_the_next_container_on(host: Host, start: Any) -> None:
    elsewhere = netavark.create(host, "web", options={"lease": "/run/moving.env"}, network_interface="moving0")
    lend(host, "/run/moving.env", 78)
    start("before", elsewhere)
    host.place.ip("netns delete before", "netns add before")
    lend(host, "/run/moving.env", 79)
    after = start("after", elsewhere)

    assert after.told["web"]["dns_server_ips"] == ["10.79.3.1", "fd00:79:0:3::1"]
    assert after.finds({"after": after.addresses()[:1]}, at="10.79.3.1")


def test_without_names_a_container_asks_whom_the_host_asks(host: Host, start: Any) -> None:
    plain = start("plain", netavark.create(host, "plain", dns_enabled=False))

    assert [plain.told["plain"][key] for key in ("dns_server_ips", "dns_search_domains")] == [[], []]
    assert servers(host) == []


def test_where_another_program_has_the_port_containers_start_and_learn_why(host: Host) -> None:
    job = host.place.start(sys.executable, "-IS", LAB / "names.py", "answer", "0.0.0.0", OUTSIDE, log=subprocess.PIPE)
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    host.make_namespace("unlucky")
    container = Container("unlucky", "7" * 64, {"web": netavark.create(host, "web")})
    done = netavark.attempt(host, "setup", container, netavark.name_server(host.workdir))

    assert netavark.answer(done)["web"]["dns_server_ips"] == []
    assert "aardvark-dns does not start: " in done.stderr
    assert "failed to bind udp listener on 10.77.3.1:53" in done.stderr
    job.kill()
    netavark.run(host, "teardown", container)


def test_without_a_name_server_containers_start_and_the_reason_is_said_once(lab: Lab) -> None:
    host = lab.hosts["host-b"]
    lend(host, "/run/flannel/subnet.env")
    host.place.run("mount", "-t", "tmpfs", "tmpfs", "/usr/lib/podman")
    said = []
    for name, number in (("one", 1), ("two", 2)):
        host.make_namespace(name)
        container = Container(name, f"{number}" * 64, {"web": netavark.create(host, "web")})
        done = netavark.attempt(host, "setup", container, Path("/none"))
        assert netavark.answer(done)["web"]["dns_server_ips"] == []
        said.append(done.stderr)

    reason = "aardvark-dns is not installed; Debian has it in the package aardvark-dns"
    assert said == [f"tulle: names of containers do not resolve on web: {reason}\n", ""]
