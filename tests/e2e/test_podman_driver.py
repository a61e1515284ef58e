"""Claims about the driver under a real Podman 5 with netavark, out of Debian's next suite, on two pretend hosts:

- `podman network create -d tulle` makes a network that is listed, and says what it is; a wrong one is refused in Podman's own words
- a container fetches a page across the overlay and through a published port of the other host
- --ip, --mac-address and aliases are kept; reload keeps the address too
- connect and disconnect add and take away an interface; a published port stays as long as one of the networks does
- after a firewall reload `tulle repair` names Podman's own command, which opens the published port again
- containers find each other by name and by alias, after a reload too, and no longer when disconnected
- a removed container leaves no link and no claimed address

Podman's files lie over the pretend host's /usr, whose other programs go on with the newer libc. Skipped only where they are not
unpacked, and never in CI.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.lab import netavark, podman
from tests.lab.daemon import DIST
from tests.lab.hosts import Host, Lab
from tests.lab.image import PAGE
from tests.lab.podman import Podman


def make_podman(host: Host) -> Podman:
    """Give a pretend host a Podman 5 that finds the driver, and the network `tulle`."""
    host.place.run("mount", "-t", "overlay", "newer", "-o", f"lowerdir={netavark.TREE}/usr:/usr", "/usr")
    networks = host.workdir / f"networks-{host.name}"
    networks.mkdir()
    plugins = f'netavark_plugin_dirs = ["{netavark.PLUGINS}"]'
    made = podman.make(host, f'network_backend = "netavark"\nnetwork_config_dir = "{networks}"\n{plugins}')
    made.run("network", "create", "--driver", "tulle", "tulle")
    return made


@pytest.fixture(scope="module")
def podmans() -> Iterator[tuple[Podman, Podman]]:
    netavark.require("usr/bin/podman", "usr/lib/podman/netavark", "usr/lib/podman/aardvark-dns")
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq")
        first, second = (make_podman(host) for host in lab.hosts.values())
        yield first, second
        for each in (first, second):
            each.remove_containers()


@pytest.fixture(scope="module")
def web(podmans: tuple[Podman, Podman]) -> str:
    """Start a web server on the first host, with port 8080 published, and return its address."""
    podmans[0].start("web", "httpd", "-f", "-p", "80", "-h", "/www", options=("--publish", "8080:80"))
    return podmans[0].address("web")


def wished(own: Podman) -> str:
    """Return a high address of the host's subnet."""
    return own.host.lease()["FLANNEL_SUBNET"].rpartition(".")[0] + ".77"


def test_podman_lists_the_driver_and_keeps_its_network(podmans: tuple[Podman, Podman]) -> None:
    drivers = podmans[0].run("info", "--format", "{{.Plugins.Network}}")
    network = json.loads(podmans[0].run("network", "inspect", "tulle"))[0]

    assert "tulle" in drivers
    assert (network["options"], network["ipam_options"]) == (
        {"lease": "/run/flannel/subnet.env"},
        {"driver": "none"},
    )
    assert network.get("subnets") is None


def test_the_creator_is_told_that_networks_on_a_lease_are_not_isolated(podmans: tuple[Podman, Podman]) -> None:
    own = podmans[0]
    done = own.attempt("network", "create", "--driver", "tulle", "second")

    assert (done.returncode, "two of them are not isolated from each other" in done.stderr) == (0, True)
    own.run("network", "rm", "second")


def test_a_wrong_network_is_refused_in_our_words(podmans: tuple[Podman, Podman]) -> None:
    done = podmans[0].attempt("network", "create", "--driver", "tulle", "--subnet", "10.9.0.0/24", "wrong")

    assert done.returncode
    assert "failed: netavark: a network of this driver has no subnet of its own: leave --subnet" in done.stderr


def test_a_page_comes_across_the_overlay(podmans: tuple[Podman, Podman], web: str) -> None:
    assert podmans[1].once("visitor", "wget", "-q", "-O", "-", f"http://{web}/") == PAGE


@pytest.mark.usefixtures("web")
def test_a_page_comes_through_a_published_port(podmans: tuple[Podman, Podman]) -> None:
    published = f"http://{podmans[0].host.standing.address.ip}:8080/"

    assert podmans[1].once("client", "wget", "-q", "-O", "-", published) == PAGE


def test_a_reload_keeps_address_and_port(podmans: tuple[Podman, Podman], web: str) -> None:
    podmans[0].run("network", "reload", "web")

    assert podmans[0].address("web") == web
    published = f"http://{podmans[0].host.standing.address.ip}:8080/"
    assert podmans[1].once("again", "wget", "-q", "-O", "-", published) == PAGE


def test_an_address_a_mac_and_an_alias_are_what_was_asked_for(podmans: tuple[Podman, Podman]) -> None:
    own = podmans[0]
    options = ("--ip", wished(own), "--mac-address", "02:00:00:00:00:77", "--network-alias", "page")
    own.start("wishful", "httpd", "-f", options=options)
    inside = own.run("exec", "wishful", "ip", "address", "show", "eth0")

    assert own.address("wishful") == wished(own)
    assert f"inet {wished(own)}/24" in inside
    assert "02:00:00:00:00:77" in inside
    assert '"page"' in own.run("inspect", "--format", "{{json .NetworkSettings.Networks}}", "wishful")
    own.run("rm", "--force", "--time", "0", "wishful")


def test_connect_and_disconnect_add_and_take_away_an_interface(podmans: tuple[Podman, Podman]) -> None:
    own = podmans[1]
    own.run("network", "create", "--driver", "tulle", "--internal", "inner")
    own.start("joiner", "httpd", "-f")

    own.run("network", "connect", "inner", "joiner")
    assert f"inet {own.address('joiner', 'inner')}/24" in own.run("exec", "joiner", "ip", "address", "show", "eth1")
    own.run("network", "disconnect", "inner", "joiner")
    assert "eth1" not in own.run("exec", "joiner", "ip", "link")
    own.run("rm", "--force", "--time", "0", "joiner")


def test_a_second_network_goes_on_serving_the_published_port(podmans: tuple[Podman, Podman]) -> None:
    caller, own = podmans
    published = f"http://{own.host.standing.address.ip}:8083/"
    own.run("network", "create", "--driver", "tulle", "spare")
    own.start("moved", "httpd", "-f", "-p", "80", "-h", "/www", options=("--publish", "8083:80"))

    own.run("network", "connect", "spare", "moved")
    assert caller.once("before", "wget", "-q", "-O", "-", published) == PAGE
    own.run("network", "disconnect", "tulle", "moved")
    assert caller.once("after", "wget", "-q", "-O", "-", published) == PAGE
    own.run("rm", "--force", "--time", "0", "moved")


def test_after_a_firewall_reload_repair_names_the_command_that_mends(podmans: tuple[Podman, Podman]) -> None:
    caller, own = podmans
    published = f"http://{own.host.standing.address.ip}:8084/"
    identity = own.start("flushed", "httpd", "-f", "-p", "80", "-h", "/www", options=("--publish", "8084:80"))
    own.host.place.run("nft", "flush", "ruleset")
    said = own.host.place.run(DIST / "bin" / "tulle", "repair", "--container", identity)
    assert said.rstrip().endswith(f"run: podman network reload {identity[:12]}")

    own.run(*said.rstrip().rpartition("podman ")[2].split())

    assert caller.once("mended", "wget", "-q", "-O", "-", published) == PAGE
    own.run("rm", "--force", "--time", "0", "flushed")


def test_containers_find_each_other_by_name_and_alias(podmans: tuple[Podman, Podman]) -> None:
    own = podmans[1]
    own.run("network", "create", "--driver", "tulle", "named")
    page = replace(own, network="named")
    page.start("server", "httpd", "-f", "-p", "80", "-h", "/www", options=("--network-alias", "page"))
    page.start("asker", "sleep", "100000")

    assert f"nameserver {own.host.lease()['FLANNEL_SUBNET'].partition('/')[0]}" in own.execute(
        "asker", "cat", "/etc/resolv.conf"
    )
    assert [own.execute("asker", "wget", "-q", "-O", "-", f"http://{name}/") for name in ("server", "page")] == [
        PAGE
    ] * 2
    own.run("network", "reload", "server")
    assert own.execute("asker", "wget", "-q", "-O", "-", "http://page.dns.podman/") == PAGE
    own.run("network", "disconnect", "named", "server")
    refused = own.attempt("exec", "asker", "wget", "-q", "-O", "-", "http://page.dns.podman/")
    assert (refused.returncode, "bad address 'page.dns.podman'" in refused.stderr) == (1, True)
    for name in ("server", "asker"):
        own.remove(name)


def test_a_removed_container_leaves_no_link_and_no_claim(podmans: tuple[Podman, Podman]) -> None:
    own = podmans[1]
    identity = own.start("brief", "httpd", "-f", options=("--publish", "8082:80"))
    place = own.host.place
    assert identity in place.run("grep", "-r", identity, "/run/tulle")
    assert f"podman-tulle/{identity}/eth0" in place.run("ip", "link", "show")

    own.run("rm", "--force", "--time", "0", "brief")

    assert place.attempt("grep", "-r", identity, "/run/tulle", "/var/lib/tulle").stdout == ""
    assert identity not in place.run("ip", "link", "show")
    assert identity not in place.run("nft", "list", "ruleset")
