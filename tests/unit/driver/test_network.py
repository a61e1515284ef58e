"""Claims about a network of Podman's:

- what Podman keeps says everything it told but subnets, and has the bridge, the lease file and an address book that is not Podman's
- what was kept reads as what was created
- a subnet, an address book of Podman's, what is no name server and an unknown option are refused with what to do instead
- names resolve unless --disable-dns was given; name servers that were given are asked about all others
- whoever creates a network learns that it is not isolated from others on its lease
"""

import json
from ipaddress import ip_address
from typing import Any

import pytest

from cni.errors import CniError
from cni.json_object import JsonObject
from driver import network
from tests.unit.driver.recorded import CREATE, SETUP


def kept(**given: Any) -> dict[str, Any]:
    document = JsonObject({**CREATE, **given})
    return json.loads(json.dumps(network.kept(network.parse(document), document)))  # type: ignore[no-any-return]


def test_podman_keeps_what_it_told_with_what_was_decided() -> None:
    assert kept() == {
        **CREATE,
        "network_interface": "tulle0",
        "ipam_options": {"driver": "none"},
        "options": {"lease": "/run/flannel/subnet.env"},
    }


def test_what_was_kept_is_read_back_the_same() -> None:
    given = kept(network_interface="br9", options={"lease": "/run/other.env", "mtu": "1400"}, internal=True)

    assert network.parse(JsonObject(given)) == network.parse(JsonObject({**given, "created": "2026-11-21T08:39:31Z"}))
    assert (given["network_interface"], given["options"]) == ("br9", {"lease": "/run/other.env", "mtu": "1400"})


def test_netavark_hands_back_the_network_that_was_created() -> None:
    assert network.parse(JsonObject(SETUP["network"])) == network.parse(JsonObject(CREATE))


def test_names_resolve_unless_podman_was_told_otherwise() -> None:
    by_podman = {"dns_enabled": False}  # which says so of every network with our ipam_options

    assert network.parse(JsonObject(kept() | by_podman)).names
    assert not network.parse(JsonObject(kept(dns_enabled=False) | by_podman)).names
    assert not network.parse(JsonObject(kept(options={"disable_dns": "true"}) | by_podman)).names


def test_name_servers_for_all_other_names_are_kept() -> None:
    given = kept(network_dns_servers=["192.0.2.53", "2001:db8::53"])

    assert "network_dns_servers" not in given  # Podman refuses them where it gives no addresses
    assert network.parse(JsonObject(given)).name_servers == (ip_address("192.0.2.53"), ip_address("2001:db8::53"))


def test_an_empty_list_of_subnets_is_none() -> None:
    assert "subnets" not in kept(subnets=[])


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"subnets": [{"subnet": "10.9.0.0/24"}]}, "leave --subnet"),
        ({"ipam_options": {"driver": "host-local"}}, "leave --ipam-driver out"),
        ({"network_dns_servers": ["dns.example"]}, "the IP address of a name server"),
        ({"options": {"isolate": "true"}}, "-o takes lease, mtu, disable_dns, dns"),
        ({"options": {"dns": "192.0.2.53,here"}}, 'got "here": expected the IP address of a name server'),
        ({"options": {"disable_dns": "yes"}}, "true or false"),
        ({"options": {"lease": "subnet.env"}}, "an absolute path"),
        ({"options": {"mtu": "big"}}, "a number of bytes between 68 and 65535"),
        ({"options": {"mtu": "67"}}, "a number of bytes between 68 and 65535"),
        ({"routes": [{"destination": "10.9.0.0/16", "route_type": "blackhole"}]}, "unicast"),
        ({"routes": [{"gateway": "10.42.7.1"}]}, "expected an address/length"),
    ],
)
def test_what_no_host_could_do_is_refused_with_a_remedy(given: dict[str, Any], remedy: str) -> None:
    with pytest.raises(CniError, match=remedy) as refused:
        kept(**given)
    assert refused.value.code == 7


def test_the_creator_learns_that_nothing_isolates_networks_on_a_lease() -> None:
    said = network.notice(network.parse(JsonObject(CREATE)))

    assert "network tulle is a door to the overlay network of /run/flannel/subnet.env" in said
    assert "two of them are not isolated from each other" in said
