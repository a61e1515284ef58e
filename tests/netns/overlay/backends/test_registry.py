"""Claims about a backend that is one file and one entry in the registry, run by tulled itself:

- its hosts take subnets, publish what it says, count one another as peers, and have its MTU in the lease file
- a hosts file gives its hosts what they publish
- an option it refuses ends the start, with its own words
- a tulled without it names the backends there are
"""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import pretend_backend, waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import START, Tulled
from tests.netns.spaces import Space

Pretending = Callable[..., Tulled]


def network(**backend: str) -> dict[str, object]:
    return {"Network": "10.42.0.0/16", "Backend": {"Type": "Pretend", **backend}}


@pytest.fixture
def pretending(start: Start, tmp_path: Path) -> Pretending:
    """Start a tulled on a host, with the pretend backend unless told otherwise."""

    def begin(host: Space, *flags: str, program: str = pretend_backend.PROGRAM, **backend: str) -> Tulled:
        (tmp_path / "net.json").write_text(json.dumps(network(**backend)))
        store = ("--store", f"sqlite:{tmp_path / 'net.db'}", "--net-config", str(tmp_path / "net.json"))
        return start(host, *store, "--iface", "eth0", "--healthz-port", "8471", *flags, program=program)

    return begin


def test_its_hosts_take_subnets_and_count_one_another(
    hosts: tuple[Space, Space], pretending: Pretending, tmp_path: Path
) -> None:
    one, two = (pretending(host, Colour="blue").ready() for host in hosts)
    waiting.until(lambda: all(each.health("/readyz")[1]["peers"] == 1 for each in (one, two)), "each knows the other")
    assert one.health("/readyz")[1]["backend"] == "pretend"
    assert (one.lease.mtu, one.subnet != two.subnet) == (1500 - pretend_backend.OVERHEAD, True)
    with sqlite3.connect(tmp_path / "net.db") as store:
        values = [json.loads(value) for (value,) in store.execute("SELECT value FROM leases")]
    assert [(one["BackendType"], one["BackendData"]) for one in values] == [("pretend", {"Colour": "blue"})] * 2


def test_a_hosts_file_gives_its_hosts_what_they_publish(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    listed = [{"PublicIP": f"192.0.2.{number}", "Subnet": f"10.42.{number}.0/24"} for number in (1, 2)]
    (tmp_path / "hosts.json").write_text(json.dumps({"Network": network(), "Hosts": listed}))
    store = f"file:{tmp_path / 'hosts.json'}"
    daemon = start(hosts[0], "--store", store, "--healthz-port", "8471", program=pretend_backend.PROGRAM).ready()
    waiting.until(lambda: daemon.health("/readyz")[1]["peers"] == 1, "the other host is a peer")
    assert str(daemon.subnet) == "10.42.1.0/24"


def test_an_option_it_refuses_ends_the_start_with_its_own_words(
    hosts: tuple[Space, Space], pretending: Pretending
) -> None:
    daemon = pretending(hosts[0], Colour="mauve")
    assert daemon.finished() == 2
    said = 'Backend.Colour is "mauve": no colour there is; choose one of: red, blue'
    assert said in daemon.log.read_text().replace('\\"', '"')


def test_a_tulled_without_it_names_the_backends_there_are(hosts: tuple[Space, Space], pretending: Pretending) -> None:
    daemon = pretending(hosts[0], program=START)
    assert daemon.finished() == 2
    assert "choose one of: vxlan, host-gw, wireguard, udp, alloc" in daemon.log.read_text()
