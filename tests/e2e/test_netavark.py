"""Claims about the Podman driver under a real netavark of Debian's next suite, on two pretend hosts:

- a container fetches a page across the overlay and the server sees its own address; a published port leads to it from everywhere
- an address and a MAC that were asked for are the container's, and a reload keeps them
- a refused setup and a teardown, repeated or not, leave no link, no claim and no rule of the container's
- traces of a setup that was killed are not in the way of the next one
- containers of a conflist of the same name share book and bridge, and its GC leaves the driver's alone
- an internal network reaches the overlay and nothing else; a second network is a second interface; -o lease picks another overlay
- both families, where the lease has both

Skipped only where netavark is not unpacked, and never in CI.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import netavark
from tests.lab.hosts import Host, Lab, serve
from tests.lab.netavark import Container, Json, RefusedError

OTHER = """FLANNEL_NETWORK=10.77.0.0/16
FLANNEL_SUBNET=10.77.3.1/24
FLANNEL_IPV6_NETWORK=fd00:77::/48
FLANNEL_IPV6_SUBNET=fd00:77:0:3::1/64
FLANNEL_MTU=1400
FLANNEL_IPMASQ=false
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    netavark.require("usr/lib/podman/netavark")
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq")
        first, second = lab.hosts.values()
        yield first, second


def made(host: Host, name: str, number: int, *networks: Json, **given: Any) -> Container:
    """Return a container with a network namespace; its id is a digit 64 times."""
    host.make_namespace(name)
    return Container(name, f"{number:x}" * 64, {each["name"]: each for each in networks}, **given)


def address(told: Json, network: str = "web", ifname: str = "eth0") -> str:
    return str(told[network]["interfaces"][ifname]["subnets"][0]["ipnet"]).partition("/")[0]


def fetched(host: Host, target: str, *, within: str = "") -> str:
    """Return what a web server says: the address it sees its visitor at; empty where nobody answers."""
    place = host.place.inside(within) if within else host.place
    return place.attempt("curl", "--silent", "--max-time", "5", f"http://{target}/").stdout


def traces(host: Host, identity: str) -> str:
    """Return every line of links, claims, memories and rules that names a container."""
    script = "ip link; grep -rH . /run/tulle/books /var/lib/tulle; nft list ruleset; iptables-save"
    return "\n".join(line for line in host.place.attempt("sh", "-c", script).stdout.splitlines() if identity in line)


@pytest.fixture(scope="module")
def web(hosts: tuple[Host, Host]) -> Iterator[tuple[Container, str]]:
    """Run a web server on the first host with port 8088 published; return it with its address."""
    host, _ = hosts
    container = made(host, "web", 1, netavark.create(host, "web"), ports=(netavark.port(8088, 8080),))
    told = netavark.run(host, "setup", container)
    serve(host.place.inside("web"))
    yield container, address(told)
    netavark.run(host, "teardown", container)


@pytest.fixture(scope="module")
def visitor(hosts: tuple[Host, Host]) -> Iterator[str]:
    """Run a container on the second host and return its address."""
    _, host = hosts
    container = made(host, "visitor", 2, netavark.create(host, "web"))
    yield address(netavark.run(host, "setup", container))
    netavark.run(host, "teardown", container)


def test_the_server_sees_the_containers_own_address(
    hosts: tuple[Host, Host], web: tuple[Container, str], visitor: str
) -> None:
    assert fetched(hosts[1], f"{web[1]}:8080", within="visitor") == visitor


@pytest.mark.usefixtures("visitor")
def test_a_published_port_leads_to_it_from_everywhere(hosts: tuple[Host, Host], web: tuple[Container, str]) -> None:
    first, second = hosts
    published = f"{first.standing.address.ip}:8088"

    assert fetched(second, published) == str(second.standing.address.ip)
    assert fetched(second, published, within="visitor")
    assert fetched(first, published)
    assert fetched(first, "127.0.0.1:8088")


@pytest.mark.usefixtures("web")
def test_the_container_has_the_mtu_of_the_lease(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts

    assert f"mtu {host.lease()['FLANNEL_MTU']} " in host.place.inside("web").run("ip", "link", "show", "eth0")


def test_an_address_and_a_mac_asked_for_survive_a_reload(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    wanted = host.lease()["FLANNEL_SUBNET"].rpartition(".")[0] + ".77"
    wishes = {"web": {"static_ips": [wanted], "static_mac": "02:00:00:00:00:77", "aliases": ["page"]}}
    container = made(host, "wishful", 3, netavark.create(host, "web"), wishes=wishes)

    for _ in range(2):
        told = netavark.run(host, "setup", container)
        assert (address(told), told["web"]["interfaces"]["eth0"]["mac_address"]) == (wanted, "02:00:00:00:00:77")
        assert traces(host, container.identity)
        netavark.run(host, "teardown", container)
        assert traces(host, container.identity) == ""
    netavark.run(host, "teardown", container)


@pytest.mark.usefixtures("web")
def test_a_refused_setup_leaves_nothing(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    greedy = made(host, "greedy", 4, netavark.create(host, "web"), ports=(netavark.port(8088, 80),))

    with pytest.raises(RefusedError, match=r'plugin "tulle" failed: exit code 1, message: host port 8088/tcp') as said:
        netavark.run(host, "setup", greedy)
    assert "podman-web" in str(said.value)
    assert traces(host, greedy.identity) == ""
    assert "eth0" not in host.place.inside("greedy").run("ip", "link")
    assert fetched(host, "127.0.0.1:8088")


def test_traces_of_a_killed_setup_are_not_in_the_way(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    container = made(host, "phoenix", 5, netavark.create(host, "web"), ports=(netavark.port(8090, 80),))
    before = address(netavark.run(host, "setup", container))
    host.place.ip("netns delete phoenix")
    host.make_namespace("phoenix")

    assert address(netavark.run(host, "setup", container)) != before
    with pytest.raises(RefusedError, match="eth0 of this container was added before"):
        netavark.run(host, "setup", container)
    assert "eth0" in host.place.inside("phoenix").run("ip", "link")
    netavark.run(host, "teardown", container)
    assert traces(host, container.identity) == ""


def test_a_conflist_of_that_name_shares_the_book_and_its_gc_spares_the_drivers(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    shared = made(host, "shared", 6, netavark.create(host, "tulle"))
    told = netavark.run(host, "setup", shared)
    other = host.add("of-the-conflist")
    modern = {"cniVersion": "1.1.0", "name": "tulle", "plugins": list(host.runtime.conflist.plugins)}

    assert other.address != address(told, "tulle")
    host.conflist(modern).collect([])
    assert traces(host, other.name) == ""
    assert shared.identity in traces(host, shared.identity)
    netavark.run(host, "teardown", shared)
    host.remove(other.name)


def test_an_internal_network_reaches_the_overlay_and_nothing_else(hosts: tuple[Host, Host], visitor: str) -> None:
    host, other = hosts
    serve(other.place.inside("visitor"))
    inner = made(host, "inner", 7, netavark.create(host, "inner", internal=True), ports=(netavark.port(8091, 80),))
    own = address(netavark.run(host, "setup", inner), "inner")

    assert "default" not in host.place.inside("inner").run("ip", "route")
    assert fetched(host, f"{visitor}:8080", within="inner") == own
    assert "8091" not in host.place.run("nft", "list", "ruleset")
    netavark.run(host, "teardown", inner)


def test_another_lease_is_another_overlay_with_both_families(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    host.place.run("sh", "-c", "cat > /run/other.env", stdin=OTHER)
    first = netavark.create(host, "web")
    second = netavark.create(
        host, "other", network_interface="other0", options={"lease": "/run/other.env"}, ipv6_enabled=True
    )
    both = made(host, "both", 8, first, second)
    told = netavark.run(host, "setup", both)

    subnets = told["other"]["interfaces"]["eth1"]["subnets"]
    assert [entry["gateway"] for entry in subnets] == ["10.77.3.1", "fd00:77:0:3::1"]
    inside = host.place.inside("both").run("ip", "address", "show", "eth1")
    assert all(entry["ipnet"] in inside for entry in subnets)
    assert "mtu 1400" in inside
    assert address(told) in host.place.inside("both").run("ip", "address", "show", "eth0")
    host.place.inside("both").run("ping", "-c1", "-W5", "fd00:77:0:3::1")
    netavark.run(host, "teardown", both)
    assert traces(host, both.identity) == ""


def test_without_a_lease_the_refusal_names_the_file(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    lost = made(host, "lost", 9, netavark.create(host, "lost", options={"lease": "/run/none.env"}))

    with pytest.raises(RefusedError, match=r"message: lease file /run/none\.env: there is none: run tulle join"):
        netavark.run(host, "setup", lost)
    assert traces(host, lost.identity) == ""
