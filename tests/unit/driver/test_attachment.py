"""Claims about what netavark tells of a container:

- names, wishes and ports are read as Podman wrote them; ranges and lists of protocols become single ports
- the network's name is kept apart from that of a conflist
- names are read from a document whose network setup would refuse
"""

from typing import Any

import pytest

from cni.errors import CniError
from cni.json_object import JsonObject
from driver import attachment
from driver.attachment import Names, Port
from tests.unit.driver.recorded import CONTAINER, PLAIN, SETUP


def test_wishes_and_ports_are_what_the_user_typed() -> None:
    read = attachment.parse(JsonObject(SETUP))

    assert read.names == Names("podman-tulle", CONTAINER, "lan0", is_mapped=True)
    assert (read.ips, read.mac, read.aliases) == (("10.42.7.9",), "02:00:00:00:00:09", ("page", "757a57d3817b"))
    assert read.ports == (
        Port("", 8080, 80, "tcp"),
        Port("127.0.0.1", 9000, 9000, "udp"),
        Port("127.0.0.1", 9001, 9001, "udp"),
        Port("127.0.0.1", 9002, 9002, "udp"),
    )


def test_a_container_without_wishes_has_none() -> None:
    read = attachment.parse(JsonObject(PLAIN))

    assert (read.names.is_mapped, read.ips, read.mac, read.ports) == (False, (), "", ())


@pytest.mark.parametrize(("length", "count"), [(0, 1), (1, 1), (2, 2)])
def test_a_length_of_zero_is_a_single_port(length: int, count: int) -> None:
    mapping = {"container_port": 80, "host_port": 8080, "protocol": "tcp,udp", "range": length}

    ports = attachment.parse(JsonObject({**SETUP, "port_mappings": [mapping]})).ports

    assert [port.protocol for port in ports] == ["tcp"] * count + ["udp"] * count


def test_names_are_read_where_setup_would_refuse() -> None:
    edited: dict[str, Any] = {**SETUP, "network": {**SETUP["network"], "options": {"isolate": "true"}}}

    assert attachment.parse_names(JsonObject(edited)).container_id == CONTAINER
    with pytest.raises(CniError, match="isolate"):
        attachment.parse(JsonObject(edited))


@pytest.mark.parametrize("key", ["network", "network_options"])
def test_a_missing_part_is_named(key: str) -> None:
    with pytest.raises(CniError, match=f'missing "{key}"'):
        attachment.parse_names(JsonObject({name: value for name, value in SETUP.items() if name != key}))
