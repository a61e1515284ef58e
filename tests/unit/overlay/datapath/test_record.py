"""Claims: what is recorded is read back in the same boot and nothing in another; whatever else the file holds counts as nothing; what
is wanted is no leftover, nor is a link that came again under the same name.
"""

from ipaddress import ip_network
from pathlib import Path

import pytest

from lease.tunnel import Tunnel
from overlay.datapath.record import CreatedObjects, CreatedObjectsFile

NET, OWN = ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24")
FULL = CreatedObjects(
    links=frozenset([("flannel.1", 7), ("flannel-v6.1", 8)]),
    guards=frozenset(["1", "udp"]),
    gateways=frozenset([NET, ip_network("fd00:42::/48")]),
    blackholes=frozenset([OWN]),
    rules=frozenset([(NET, OWN, True)]),
    tunnels=(Tunnel("tulle-guard-1", (8472,), 1, underlay="eth0"),),
)


@pytest.fixture
def record(tmp_path: Path) -> CreatedObjectsFile:
    return CreatedObjectsFile(str(tmp_path / "subnet.env"), "this boot")


def test_what_is_recorded_is_read_back(record: CreatedObjectsFile) -> None:
    record.write(FULL)
    assert record.read() == FULL


def test_a_record_of_an_earlier_boot_is_void(record: CreatedObjectsFile, tmp_path: Path) -> None:
    CreatedObjectsFile(str(tmp_path / "subnet.env"), "yesterday").write(FULL)
    assert record.read() == CreatedObjects()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", "\x00", '{"boot": "this boot"}', '{"boot": "this boot", "links": 3}'),
        *("[" * 100_000, '{"boot":' * 100_000, "9" * 10_000, '{"boot": "this boot", "links": [["x", 1e999]]}'),
        *(
            '{"boot": "this boot", "links": [["x", NaN]]}',
            '{"boot": "this boot", "links": [["x", ' + "9" * 5000 + "]]}",
        ),
    ],
)
def test_anything_else_counts_as_nothing(record: CreatedObjectsFile, text: str) -> None:
    Path(record.path).write_text(text)
    assert record.read() == CreatedObjects()


def test_nothing_is_recorded_before_the_first_time(record: CreatedObjectsFile) -> None:
    assert record.read() == CreatedObjects()


def test_the_subnets_of_the_boot_are_remembered(record: CreatedObjectsFile) -> None:
    assert record.subnets() == ()
    record.write(FULL)
    assert record.subnets() == (OWN,)


def test_what_is_not_wanted_any_more_is_left_over() -> None:
    wanted = CreatedObjects(links=frozenset([("flannel.1", 0)]), gateways=frozenset([NET]))
    left = FULL.without(wanted)
    assert (left.links, left.gateways) == (frozenset([("flannel-v6.1", 8)]), frozenset([ip_network("fd00:42::/48")]))
    assert (left.guards, left.blackholes, left.rules) == (FULL.guards, FULL.blackholes, FULL.rules)
    assert FULL.without(FULL) == CreatedObjects()
