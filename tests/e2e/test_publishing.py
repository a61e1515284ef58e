"""Claims about a service published on a second host address, on two pretend hosts with the shipped list `bridge`, `portmap` and
`firewall`, whose policy is same-bridge (story 2):

- it is reached from outside the overlay, from the other host, from a container there, from its own host and its neighbours, and
  by itself; the stranger's own address arrives
- two containers own the same port, each on an address of its own, one through each backend
- DEL leaves neither rule nor memory; the port is closed
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab import underlay
from tests.lab.daemon import ROOT
from tests.lab.hosts import LAB, Host, Lab
from tests.lab.runtime import Runtime
from tests.lab.world import Place

OUTSIDE = str(underlay.OUTSIDE.ip)
ADDRESSES = {"iptables": "192.168.1.50", "nftables": "192.168.1.51"}
PORT = 1234


@dataclass
class Published:
    lab: Lab
    here: Host
    there: Host
    runtimes: dict[str, Runtime]


@pytest.fixture(scope="module")
def published() -> Iterator[Published]:
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons()
        here, there = lab.hosts.values()
        made = Published(lab, here, there, {})
        for backend, address in ADDRESSES.items():
            here.place.ip(f"address add {address}/24 dev eth0")
            document = json.loads((ROOT / "conf" / "30-tulle-fenced.conflist").read_text())
            mapping = {"hostPort": PORT, "containerPort": 8080, "protocol": "tcp", "hostIP": address}
            keys = {
                "backend": backend,
                "dataDir": str(lab.workdir / "portmap"),
                "runtimeConfig": {"portMappings": [mapping]},
            }
            document["plugins"][1] |= keys
            document["plugins"][2] |= {"backend": backend}
            made.runtimes[backend] = here.conflist(document)
            here.add(backend, made.runtimes[backend]).serve()
        here.add("neighbour")
        there.add("peer")
        yield made


def seen(place: Place, address: str) -> str:
    """Return the address a page fetched from `place` was asked from, empty when there was no page."""
    job = place.start(sys.executable, "-IS", LAB / "probe.py", str(PORT), address, log=-1)
    said, _ = job.communicate(timeout=30)
    return str(json.loads(said)["seen"])


@pytest.mark.parametrize(("backend", "address"), ADDRESSES.items())
def test_a_service_on_a_second_address_is_reached_from_everywhere(
    published: Published, backend: str, address: str
) -> None:
    here, there = published.here, published.there
    assert seen(published.lab.outside, address) == OUTSIDE
    assert seen(there.place, address) == str(there.standing.address.ip)
    assert seen(there.containers["peer"].place, address) != ""
    assert seen(here.place, address) != ""
    assert seen(here.containers["neighbour"].place, address) != ""
    assert seen(here.containers[backend].place, address) != ""
    here.runtime.check(here.containers["neighbour"].attachment)
    published.runtimes[backend].check(here.containers[backend].attachment)


def test_another_address_has_no_such_port(published: Published) -> None:
    assert seen(published.lab.outside, str(published.here.standing.address.ip)) == ""


def test_del_closes_the_port_and_leaves_nothing(published: Published) -> None:
    for backend, runtime in published.runtimes.items():
        published.here.remove(backend, runtime)
    assert [seen(published.lab.outside, address) for address in ADDRESSES.values()] == ["", ""]
    ruleset = published.here.place.run("nft", "list", "ruleset")
    named = [backend for backend in published.runtimes if f"id: {backend}" in ruleset]
    assert (str(PORT) in ruleset, "CNI-DN-" in ruleset, named) == (False, False, [])
    assert list((published.lab.workdir / "portmap").iterdir()) == []
