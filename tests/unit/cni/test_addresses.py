"""Claims: addresses are read as the reference reads them: no zones, masks or leading zeros, mapped ones become IPv4; MACs in three spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.addresses import parse_address, parse_interface, parse_mac
from system.ip import IPAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.1.0.5", "10.1.0.5"),
        ("0.0.0.0", "0.0.0.0"),
        ("FD00::0:5", "fd00::5"),
        ("::", "::"),
        ("::ffff:10.1.0.5", "10.1.0.5"),
        ("::ffff:a01:5", "10.1.0.5"),
        ("::10.1.0.5", "::a01:5"),
    ],
)
def test_addresses_come_back_in_canonical_form(text: str, expected: str) -> None:
    assert str(parse_address(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "10.1.0", "10.1.0.256", "010.1.0.5", "10.1.0.05", "10.1.0.5 ", "10.1.0.5\n", "10.1.0.5/24", "0x0a.1.0.5", "167837701",
        "fe80::1%eth0", "fe80::1%", "10.1.0.5%1", "::ffff:10.1.0.05", "fd00::1::2", "fd00:12345::", "[fd00::1]", "\u0661\u0660.1.0.5", "host",
    ],
)  # fmt: skip
def test_no_other_text_is_an_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.1.0.5/24", "10.1.0.5/24"),
        ("10.1.0.5/0", "10.1.0.5/0"),
        ("10.1.0.5/32", "10.1.0.5/32"),
        ("10.1.0.5/024", "10.1.0.5/24"),
        ("fd00::5/64", "fd00::5/64"),
        ("::/0", "::/0"),
        ("::ffff:10.1.0.5/120", "10.1.0.5/24"),
    ],
)
def test_a_cidr_keeps_its_host_bits(text: str, expected: str) -> None:
    assert str(parse_interface(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "/24", "10.1.0.5", "10.1.0.5/", "10.1.0.5/33", "10.1.0.5/-1", "10.1.0.5/+1", "10.1.0.5/24 ", "10.1.0.5/2\u0664",
        "10.1.0.5/255.255.255.0", "10.1.0.5/0.0.0.255", "10.1.0.5/24/24", "fd00::5/129", "fd00::5%1/64", "fd00::5/64%1",
        "::ffff:10.1.0.5/95", "10.1.0.5/99999999999999999999",
    ],
)  # fmt: skip
def test_no_other_text_is_a_cidr(text: str) -> None:
    with pytest.raises(ValueError):
        parse_interface(text)


@given(st.ip_addresses())
def test_what_is_printed_is_read_back(address: IPAddress) -> None:
    expected = getattr(address, "ipv4_mapped", None) or address
    assert parse_address(str(address)) == expected


@pytest.mark.parametrize("text", ["02:00:00:00:00:0A", "02-00-00-00-00-0a", "0200.0000.000a"])
def test_a_mac_is_read_as_the_kernel_prints_it(text: str) -> None:
    assert parse_mac(text) == "02:00:00:00:00:0a"


@pytest.mark.parametrize(
    "text", ["", "02:00:00:00:00", "02:00-00:00:00:0a", "0200:0000:000a", "02:00:00:00:00:0g", "02:00:00:00:00:0a\n"]
)
def test_what_is_no_mac_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no MAC address"):
        parse_mac(text)
