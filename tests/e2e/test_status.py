"""Claims about `tulle status` as it is built, on two pretend hosts: what it says of lease, book and tunnel is what is so.

- a tunnel that carries packets answers, one whose way was taken away is silent
- the settings come from the file that tulled's unit has
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.daemon import DIST
from tests.lab.hosts import DEVICE, Host, Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab({"host-a": 1, "host-b": 2}) as made:
        made.start_daemons()
        (made.workdir / "tulled").write_text(f"TULLED_STORE=sqlite:{made.workdir / 'net.db'}\nTULLED_IFACE=eth0\n")
        yield made


def status(lab: Lab, host: Host) -> dict[str, Any]:
    said = host.place.run(DIST / "bin" / "tulle", "status", "--json", "--settings-file", lab.workdir / "tulled")
    (network,) = json.loads(said)
    assert isinstance(network, dict)
    return network


def test_lease_book_and_tunnel_are_shown_as_they_are(lab: Lab) -> None:
    host, other = lab.hosts.values()
    host.add("one")
    told = status(lab, host)
    assert told["gateways"] == [host.lease()["FLANNEL_SUBNET"].partition("/")[0]]
    assert (told["book"]["held"], told["devices"], told["problems"]) == (1, [DEVICE], [])
    (peer,) = told["peers"]
    assert (peer["publicIP"], peer["problem"]) == (str(other.standing.address.ip), "")
    assert peer["seconds"] is not None


def test_a_tunnel_through_which_nothing_comes_back_is_silent(lab: Lab) -> None:
    host, other = lab.hosts.values()
    other.place.run("nft", "add table inet wall; add chain inet wall in { type filter hook input priority -400; }")
    other.place.run("nft", "add rule inet wall in udp dport 8472 drop")
    try:
        (peer,) = status(lab, host)["peers"]
    finally:
        other.place.run("nft", "delete table inet wall")
    assert (peer["seconds"], peer["problem"]) == (None, "")
