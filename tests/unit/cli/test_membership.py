"""Claims about what makes a host a member of a network:

- the n-th host named has the n-th subnet, in a form that tulled reads
- hosts may be added; one that would be missing or get another subnet is refused, and so is a file somebody edited
- what is no address, named twice, or too much for the network is refused
- settings are set behind the comment that shows them, or at the end; what is set already stays, and another value is refused
"""

import json
from ipaddress import IPv4Address

import pytest

from build.programs import ROOT
from cli import membership
from overlay.errors import Refused
from overlay.stores import file

ONE, TWO, THREE = (IPv4Address(f"192.0.2.1{number}") for number in (1, 2, 3))
NETWORK = "10.42.0.0/16"
SAMPLE = (ROOT / "build" / "systemd" / "tulled.default").read_text()


def subnets(text: str) -> list[str]:
    return [str(host.subnet.ipv4) for host in file.parse(text, "here").hosts]


def test_each_host_has_a_subnet_in_the_order_named() -> None:
    text = membership.hosts(NETWORK, (ONE, TWO))
    assert subnets(text) == ["10.42.1.0/24", "10.42.2.0/24"]
    assert [host["PublicIP"] for host in json.loads(text)["Hosts"]] == [str(ONE), str(TWO)]


def test_a_host_may_be_added_and_the_same_words_change_nothing() -> None:
    two = membership.hosts(NETWORK, (ONE, TWO))
    assert membership.hosts(NETWORK, (ONE, TWO), two) == two
    assert membership.hosts(NETWORK, (ONE, TWO, THREE), two) == membership.hosts(NETWORK, (ONE, TWO, THREE))


@pytest.mark.parametrize(
    ("cidr", "named", "why"),
    [
        (NETWORK, (ONE,), "has the host 192.0.2.12, which is not named"),
        (NETWORK, (TWO, ONE), r"192.0.2.11 has 10.42.1.0/24 and would get 10.42.2.0/24; name the hosts in the order"),
        ("10.50.0.0/16", (ONE, TWO), "another network"),
    ],
)
def test_nobody_s_containers_lose_the_network(cidr: str, named: tuple[IPv4Address, ...], why: str) -> None:
    before = membership.hosts(NETWORK, (ONE, TWO))
    with pytest.raises(Refused, match=why):
        membership.hosts(cidr, named, before)


@pytest.mark.parametrize(
    ("words", "why"), [(["one"], "name every host by the IPv4 address"), (["192.0.2.11"] * 2, "named twice")]
)
def test_what_cannot_be_an_address_is_refused(words: list[str], why: str) -> None:
    with pytest.raises(Refused, match=why):
        membership.addresses(words)


def test_a_network_that_is_too_small_is_refused() -> None:
    named = tuple(ONE + number for number in range(16))
    with pytest.raises(Refused, match=r"10.42.0.0/22 has no subnets for 16 hosts; give a larger one"):
        membership.hosts("10.42.0.0/22", named)


def test_settings_go_behind_the_comment_that_shows_them_and_the_rest_to_the_end() -> None:
    text = membership.settings("# a\n#B=1\n#C=2\n", {"B": "x", "D": "y"}, "f")
    assert text == "# a\n#B=1\nB=x\n#C=2\nD=y\n"


def test_the_sample_shows_what_is_set() -> None:
    text = membership.settings(SAMPLE, {"TULLED_IP_MASQ": "true", "TULLED_BRIDGE": "tulle0"}, "f")
    assert "#TULLED_IP_MASQ=true\nTULLED_IP_MASQ=true\n" in text
    assert text.replace("\nTULLED_IP_MASQ=true", "").replace("\nTULLED_BRIDGE=tulle0", "") == SAMPLE


def test_settings_that_stand_are_kept_and_others_are_a_person_s() -> None:
    assert membership.settings("B=x\n", {"B": "x"}, "f") == "B=x\n"
    with pytest.raises(Refused, match="f: has B=z, not B=x; change it there yourself"):
        membership.settings("B=z\n", {"B": "x"}, "f")
