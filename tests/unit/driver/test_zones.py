"""Claims about what the name server of a host knows:

- a zone's text says where to listen, whom to ask, and a line a container with id, both families and names
- of two zones of one lease the first listens at the gateway; what is no address of this host is nobody's place
- a container on two networks of a lease is told of the gateway once
- names that the form cannot carry are left out
- a container that comes again, and one whose address is another's now, is known once; what is said of its network is replaced
- a zone goes with its last container, and what has no host link is gone
- what is written is read back the same
"""

import json
from dataclasses import replace
from ipaddress import ip_address

import pytest

from driver import zones
from driver.zones import Entry, Zone

GATEWAY, SIXTH = ip_address("10.42.7.1"), ip_address("fd00:42::1")
WEB = Zone("podman-web", (GATEWAY, SIXTH))
ONE = Entry("1" * 64, "podman-web/1/eth0", (ip_address("10.42.7.2"), ip_address("fd00:42::2")), ("one", "page"))
TWO = Entry("2" * 64, "podman-web/2/eth0", (ip_address("10.42.7.3"),), ("two",))
INNER = Entry("1" * 64, "podman-inner/1/eth1", (ip_address("10.42.7.4"),), ("one",))
LOCAL = {GATEWAY, SIXTH, ip_address("127.0.0.1")}
BOTH = zones.entered(zones.entered((), WEB, ONE), replace(WEB, network="podman-inner", internal=True), INNER)


def test_a_zone_says_where_to_listen_and_a_line_a_container() -> None:
    known = zones.entered(zones.entered((), WEB, ONE), WEB, TWO)

    assert zones.files(known, LOCAL) == {
        "podman-web": f"10.42.7.1,fd00:42::1\n{'1' * 64} 10.42.7.2 fd00:42::2 one,page\n{'2' * 64} 10.42.7.3  two\n"
    }


def test_name_servers_of_the_network_stand_behind_where_to_listen() -> None:
    asking = replace(WEB, forwarders=(ip_address("192.0.2.53"), ip_address("192.0.2.54")))

    text = zones.files(zones.entered((), asking, TWO), LOCAL)["podman-web"]
    assert text.startswith("10.42.7.1,fd00:42::1 192.0.2.53,192.0.2.54\n")


def test_two_zones_of_one_lease_do_not_listen_at_one_place() -> None:
    texts = zones.files(BOTH, LOCAL)

    assert [(name, text.split("\n")[0]) for name, text in texts.items()] == [
        ("podman-web", "10.42.7.1,fd00:42::1"),
        ("podman-inner%int", "127.83.0.2"),
    ]


def test_a_container_on_two_networks_of_a_lease_is_told_of_the_gateway_once() -> None:
    web, inner = BOTH
    told = zones.entered((), WEB, replace(ONE, told=(GATEWAY,)))

    assert zones.untold((), web, ONE.container_id, LOCAL) == (GATEWAY, SIXTH)
    assert zones.untold((), web, ONE.container_id, {SIXTH}) == (SIXTH,)
    assert zones.untold(told, inner, ONE.container_id, LOCAL) == (SIXTH,)
    assert zones.untold(told, inner, TWO.container_id, LOCAL) == (GATEWAY, SIXTH)
    assert zones.untold(told, web, ONE.container_id, LOCAL) == (GATEWAY, SIXTH)


def test_the_next_zone_listens_when_the_first_is_gone() -> None:
    left = zones.struck(BOTH, ONE.alias)

    assert zones.listened(left, LOCAL) == {"podman-inner": (GATEWAY, SIXTH)}


def test_the_gateway_of_a_lease_that_was_lost_is_nobodys_place() -> None:
    assert zones.listened(BOTH, {SIXTH}) == {"podman-web": (SIXTH,), "podman-inner": (ip_address("127.83.0.2"),)}


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a\nb", "a\tb", "\ud800"])
def test_a_name_that_would_break_the_line_is_left_out(name: str) -> None:
    assert zones.names(["web", name, "web", "Büro_1.x"]) == ("web", "Büro_1.x")


def test_a_container_that_comes_again_is_known_once() -> None:
    again = replace(ONE, addresses=(ip_address("10.42.7.9"),))
    (zone,) = zones.entered(zones.entered((), WEB, ONE), WEB, again)

    assert zone.entries == (again,)


def test_whoever_had_the_address_before_is_gone() -> None:
    left, inner = zones.entered(zones.entered(BOTH, WEB, TWO), WEB, replace(TWO, alias="x", addresses=ONE.addresses))

    assert [entry.alias for entry in (*left.entries, *inner.entries)] == [TWO.alias, "x", INNER.alias]


def test_a_changed_lease_is_known_from_the_next_container_on() -> None:
    moved = Zone("podman-web", (ip_address("10.42.9.1"),))
    (zone,) = zones.entered(zones.entered((), WEB, ONE), moved, TWO)

    assert (zone.gateways, zone.entries) == (moved.gateways, (ONE, TWO))


def test_a_zone_goes_with_its_last_container() -> None:
    assert [zone.network for zone in zones.struck(BOTH, INNER.alias)] == ["podman-web"]


def test_what_has_no_host_link_is_gone() -> None:
    assert zones.living(BOTH, {INNER.alias, "podman-other/1/eth0"}) == BOTH[1:]


def test_what_is_written_is_read_back_the_same() -> None:
    told = zones.entered(BOTH, WEB, replace(TWO, told=(GATEWAY, SIXTH)))

    assert zones.load(json.loads(json.dumps(zones.dump(told)))) == told


@pytest.mark.parametrize("members", [None, [{}], [{"network": 1, "gateways": ["x"]}]])
def test_what_nobody_wrote_is_refused(members: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        zones.load(members)
