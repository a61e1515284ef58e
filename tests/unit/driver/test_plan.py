"""Claims about what the programs and Podman are told:

- `bridge` gets the lease, the bridge, the wishes, and a default route unless the network is internal; `bridge` and `host-local` read it
- ports are published behind what `bridge` answered, and never inside an internal network
- a removal needs names only, ports first
- the status has the addresses of the container's own interface, and a domain only with a name server
- a container goes by its name, its aliases and its short id, at every address of its own
"""

import json
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

import bridge.config
import ipam.config
import meta.portmap.config
from cni import request
from cni.json_object import JsonObject
from cni.types import Address, Interface, Result
from driver import attachment, plan
from tests.unit.driver.recorded import CONTAINER, PLAIN, SETUP

ASKED = attachment.parse(JsonObject(SETUP))
NETNS = "/run/netns/one"
ATTACHED = Result(
    interfaces=(
        Interface("tulle0", "02:00:00:00:00:01"),
        Interface("veth1", "02:00:00:00:00:02"),
        Interface("lan0", "02:00:00:00:00:09", sandbox=NETNS),
    ),
    ips=(
        Address(ip_interface("10.42.7.9/24"), ip_address("10.42.7.1"), 2),
        Address(ip_interface("fd00:42::9/64"), None, 2),
    ),
)


def asked(document: bytes) -> request.Request:
    """Return the request a program makes of it, and so prove that it is one."""
    environ = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": NETNS, "CNI_IFNAME": "lan0", "CNI_PATH": "/"}
    request.check_environment(environ)
    return request.compose(environ, document, print)


def test_bridge_and_host_local_understand_what_they_are_told() -> None:
    told = asked(plan.bridge(ASKED))
    settings, pool = bridge.config.parse(told), ipam.config.parse(told)

    assert (settings.bridge, settings.subnet_file) == ("tulle0", "/run/flannel/subnet.env")
    assert (settings.is_default_gateway, settings.ip_masq, settings.mtu) == (True, None, None)
    assert (settings.mac, ipam.config.requested(told)) == ("02:00:00:00:00:09", (ip_address("10.42.7.9"),))
    assert (pool.subnet_file, [(str(route.dst), route.priority) for route in pool.routes]) == (
        "/run/flannel/subnet.env",
        [("10.9.0.0/16", 7)],
    )


def test_an_internal_network_leads_nowhere_else() -> None:
    internal = replace(ASKED, network=replace(ASKED.network, internal=True, mtu=1400))
    settings = bridge.config.parse(asked(plan.bridge(internal)))

    assert (settings.is_gateway, settings.is_default_gateway, settings.ip_masq) == (True, False, False)
    assert settings.mtu == 1400
    assert plan.portmap(internal, ATTACHED) is None


def test_ports_are_published_behind_what_bridge_answered() -> None:
    document = plan.portmap(ASKED, ATTACHED)
    assert document is not None
    told = asked(document)
    mappings = meta.portmap.config.parse(told).mappings

    assert [(each.protocol, each.host_port, str(each.host_ip)) for each in mappings] == [
        ("tcp", 8080, "None"),
        *(("udp", number, "127.0.0.1") for number in (9000, 9001, 9002)),
    ]
    assert told.prev_result == ATTACHED


def test_without_ports_nothing_is_published() -> None:
    assert plan.portmap(attachment.parse(JsonObject(PLAIN)), ATTACHED) is None


@pytest.mark.parametrize("document", [SETUP, PLAIN], ids=["ports", "no ports"])
def test_a_removal_takes_ports_away_first_and_needs_names_only(document: dict[str, Any]) -> None:
    (first, ports), (second, attached) = plan.removals(attachment.parse_names(JsonObject(document)))

    assert (first, second) == ("portmap", "bridge")
    assert meta.portmap.config.parse_leftovers(asked(ports)).maybe_mapped == (document is SETUP)
    assert bridge.config.parse_leftovers(asked(attached)).ipam_type == "host-local"
    assert bridge.config.parse_leftovers(asked(attached)).may_masquerade


def test_podman_is_told_the_addresses_of_the_containers_interface() -> None:
    assert json.loads(json.dumps(plan.status(ATTACHED, ASKED.names, NETNS))) == {
        "interfaces": {
            "lan0": {
                "mac_address": "02:00:00:00:00:09",
                "subnets": [{"ipnet": "10.42.7.9/24", "gateway": "10.42.7.1"}, {"ipnet": "fd00:42::9/64"}],
            }
        },
        "dns_server_ips": [],
        "dns_search_domains": [],
    }


def test_a_container_has_its_name_its_aliases_and_its_short_id_at_every_address() -> None:
    zone, entry = plan.named(ASKED, ATTACHED, NETNS)

    assert (zone.network, zone.gateways, zone.internal) == ("podman-tulle", (ip_address("10.42.7.1"),), False)
    assert entry.names == ("web", "page", CONTAINER[:12])
    assert entry.alias == f"podman-tulle/{CONTAINER}/lan0"
    assert entry.addresses == (ip_address("10.42.7.9"), ip_address("fd00:42::9"))


def test_podman_is_told_the_domain_of_names_where_there_is_a_server() -> None:
    assert plan.resolver([ip_address("10.42.7.1"), ip_address("fd00:42::1")]) == {
        "dns_server_ips": ["10.42.7.1", "fd00:42::1"],
        "dns_search_domains": ["dns.podman"],
    }
