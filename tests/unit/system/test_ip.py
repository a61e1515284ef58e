"""Claims: both families are one type each of address, interface and network, and no other module of the product defines them."""

import re
from ipaddress import ip_address, ip_interface, ip_network

from build.programs import PACKAGES, ROOT
from system.ip import IPAddress, IPInterface, IPNetwork

DEFINED = re.compile(r"^\s*(?:\w+) = IPv4(Address|Interface|Network) \| IPv6\1$", re.MULTILINE)


def test_both_families_are_one_type() -> None:
    for address in ("10.1.0.1", "fd00::1"):
        assert isinstance(ip_address(address), IPAddress)
        assert isinstance(ip_interface(address), IPInterface)
        assert isinstance(ip_network(address), IPNetwork)


def test_they_are_defined_once() -> None:
    paths = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))

    assert [str(path.relative_to(ROOT)) for path in paths if DEFINED.search(path.read_text())] == ["system/ip.py"]
