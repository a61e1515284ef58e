"""Claims about bridge.spoofchk_ports.

* A port has one key in each set: for its name, its MAC, and every address it was given, and the link-local one its MAC makes.
* What is remembered of a port is read back as it was; anything else is refused.
"""

from ipaddress import ip_address

import pytest

from bridge import spoofchk_ports
from bridge.spoofchk_ports import Port

PORT = Port("veth0123456789a", "02:00:00:00:00:05", (ip_address("10.42.7.5"), ip_address("fd00::5")))


def test_a_port_has_a_key_for_each_thing_it_may_send() -> None:
    name, mac = b"veth0123456789a\0", bytes.fromhex("0200000000050000")
    assert PORT.keys == (
        ("ports", name),
        ("macs", name + mac),
        ("own4", name + mac + bytes([10, 42, 7, 5])),
        ("own6", name + mac + ip_address("fd00::5").packed),
        ("own6", name + mac + ip_address("fe80::ff:fe00:5").packed),
        ("about6", name + mac + ip_address("fd00::5").packed),
        ("about6", name + mac + ip_address("fe80::ff:fe00:5").packed),
    )


def test_a_link_local_address_that_was_given_has_one_key() -> None:
    assert len(Port("veth1", PORT.mac, (spoofchk_ports.link_local(PORT.mac),)).keys) == 4


@pytest.mark.parametrize(
    ("mac", "address"), [("02:00:00:00:00:05", "fe80::ff:fe00:5"), ("52:54:00:12:34:56", "fe80::5054:ff:fe12:3456")]
)
def test_a_mac_makes_its_link_local_address(mac: str, address: str) -> None:
    assert spoofchk_ports.link_local(mac) == ip_address(address)


@pytest.mark.parametrize("port", [PORT, Port("v", "02:00:00:00:00:05", ())])
def test_what_is_remembered_is_read_back(port: Port) -> None:
    assert spoofchk_ports.read(port.text) == port


@pytest.mark.parametrize(
    "text", ["", "veth1", "veth1 nonsense", "veth1 02:00", f"{'v' * 16} {PORT.mac}", f"veth1 {PORT.mac} 10.0.0"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        spoofchk_ports.read(text)
