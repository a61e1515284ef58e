"""Claims about what `tulle status` says of a survey: every part of it to people and to programs, and what is missing as missing."""

import json
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from cli.commands import status
from cli.commands.status import Peer
from cli.inspect.network_state import AddressBook, NetworkState
from cli.main import main
from ipam.claims import Reservation
from lease import file as lease_file
from overlay.config import network, settings
from overlay.firewall.drop_counters import Drops
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

SETTINGS = settings.parse([], {}, sys.stderr)
LEASE = lease_file.parse(
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
)
OWN = Lease(Subnet(IPv4Network("10.42.7.0/24")), Attributes(IPv4Address("192.0.2.1")), ttl=7200.0)
OTHER = Lease(Subnet(IPv4Network("10.42.8.0/24")), Attributes(IPv4Address("192.0.2.2")))
HELD = Reservation("10.42.7.2", IPv4Address("10.42.7.2"), "id\r\neth0\r\nnet")
FULL = NetworkState(
    SETTINGS,
    LEASE,
    config=network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}', "test"),
    leases=(OWN, OTHER),
    book=AddressBook("/run/tulle/books/10.42.7.0-24", (HELD, replace(HELD, vacant=True))),
)
WELL, SILENT = Peer("10.42.8.0/24", "192.0.2.2", "", 0.0012), Peer("10.42.9.0/24", "192.0.2.3", "", None)


def test_the_lease_of_this_host_is_the_one_in_the_lease_file() -> None:
    assert (FULL.own, FULL.peers) == (OWN, (OTHER,))


def test_people_see_network_lease_book_and_peers() -> None:
    shown = status.table(FULL, (WELL, SILENT))
    for part in (
        "10.42.0.0/16",
        "vxlan",
        "10.42.7.0/24",
        "for another 2.0 h",
        "1450",
        "1 of 253",
        "2, 1 of them answer",
    ):
        assert part in shown


def test_the_map_has_a_line_a_tunnel_and_shows_which_one_is_silent() -> None:
    *_, here, well, silent = status.table(FULL, (WELL, SILENT)).splitlines()
    assert here == "this host  192.0.2.1  10.42.7.0/24"
    assert ("├──" in well, "answers in 1.2 ms" in well) == (True, True)
    assert ("└╌╌" in silent, silent.endswith("silent")) == (True, True)


def test_programs_see_the_same() -> None:
    told = status.members(FULL, (WELL,))
    assert (told["subnets"], told["book"]["held"], told["leaseSeconds"]) == (["10.42.7.0/24"], 1, 7200.0)
    assert told["peers"] == [{"subnet": "10.42.8.0/24", "publicIP": "192.0.2.2", "problem": "", "seconds": 0.0012}]
    json.dumps(told)


DROPS = Drops({"inside": 2, "stranger": 5, "forged": 0}, ("192.0.2.77", "10.42.7.4", "192.0.2.78", "192.0.2.79"))


def test_what_the_guard_dropped_is_told_with_the_last_senders() -> None:
    seen = replace(FULL, drops=DROPS)
    assert "7 packets (2 inside, 5 stranger); last from 192.0.2.77, 10.42.7.4, 192.0.2.78\n" in status.table(seen, ())
    assert status.members(seen, ())["guard"] == {"dropped": DROPS.packets, "lastSenders": list(DROPS.senders)}


def test_without_a_guard_nothing_is_said_to_be_dropped() -> None:
    assert ("dropped" in status.table(FULL, ()), status.members(FULL, ())["guard"]) == (False, None)
    assert "dropped at the tunnel nothing" in status.table(replace(FULL, drops=Drops({"inside": 0}, ())), ())


def test_a_peer_that_is_left_out_is_shown_with_the_reason() -> None:
    assert Peer("10.42.8.0/24", "192.0.2.2", "no MAC", None).health == "left out: no MAC"


@pytest.mark.parametrize(
    ("seconds", "seconds6", "health", "answers"),
    [
        (0.0012, 0.002, "answers in 1.2 ms", True),
        (0.0012, None, "answers in 1.2 ms over IPv4, silent over IPv6", False),
        (None, 0.002, "silent over IPv4, answers in 2.0 ms over IPv6", False),
        (None, None, "silent", False),
    ],
)
def test_a_dual_peer_answers_when_it_does_in_both_families(
    seconds: float | None, seconds6: float | None, health: str, answers: bool
) -> None:
    peer = replace(WELL, seconds=seconds, dual=True, seconds6=seconds6)
    assert (peer.health, peer.answers) == (health, answers)
    assert status.members(FULL, (peer,))["peers"][0]["seconds6"] == seconds6


def test_without_lease_and_store_the_table_still_stands() -> None:
    shown = status.table(NetworkState(SETTINGS, lease_problem="no file", store_problem="no store"), ())
    assert "subnet of this host   none" in shown


def test_what_is_missing_is_named_and_ends_in_1(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "status",
        "--settings-file",
        "/dev/null",
        "--",
        "--store",
        "sqlite:/no/such/file",
        "--subnet-file",
        "/no/env",
    ]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "lease file /no/env: there is none" in said
    assert "sqlite:/no/such/file: there is no such file" in said


def test_a_setting_that_tulled_would_refuse_is_refused_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--settings-file", "/dev/null", "--", "--store", "paper"]) == 1
    assert "write etcd, sqlite:PATH or file:PATH" in capsys.readouterr().err


def test_a_host_that_is_left_out_does_not_count_as_one_that_answers() -> None:
    routed = replace(WELL, problem="its PublicIP is not on the wire")
    assert (WELL.answers, routed.answers) == (True, False)
    assert "peers                 2, 1 of them answer" in status.table(FULL, (WELL, routed))
