"""Claims about what makes a host a member of a network:

- the n-th host named has the n-th subnet, in a form that tulled reads
- hosts may be added; one that would be missing or get another subnet is refused, and so is a file somebody edited
- in a file that join itself wrote a mistyped host or network may be corrected
- a host may be named by its name; what is no address, named twice, no other host's to reach or too much for the network is refused
- settings are set behind the comment that shows them, or at the end; what decides another network is refused, what a person set besides
  stays, and what join itself wrote is taken back
"""

import json
from ipaddress import IPv4Address

import pytest

from build.programs import ROOT
from cli.setup import hosts_file
from cli.setup.hosts_file import Named, Wanted
from overlay.errors import Refused
from overlay.stores import file

ONE, TWO, THREE = (Named(IPv4Address(f"192.0.2.1{number}")) for number in (1, 2, 3))
WANTED = Wanted({"TULLED_STORE": "file:/h"}, {"TULLED_BRIDGE": "tulle0"}, ("TULLED_ETCD_ENDPOINTS",))
NETWORK = "10.42.0.0/16"
SAMPLE = (ROOT / "build" / "systemd" / "tulled.default").read_text()


def subnets(text: str) -> list[str]:
    return [str(host.subnet.ipv4) for host in file.parse(text, "here").hosts]


def test_each_host_has_a_subnet_in_the_order_named() -> None:
    text = hosts_file.hosts(NETWORK, (ONE, TWO))
    assert subnets(text) == ["10.42.1.0/24", "10.42.2.0/24"]
    assert [host["PublicIP"] for host in json.loads(text)["Hosts"]] == [str(ONE.address), str(TWO.address)]


def test_a_host_may_be_added_and_the_same_words_change_nothing() -> None:
    two = hosts_file.hosts(NETWORK, (ONE, TWO))
    assert hosts_file.hosts(NETWORK, (ONE, TWO), two) == two
    assert hosts_file.hosts(NETWORK, (ONE, TWO, THREE), two) == hosts_file.hosts(NETWORK, (ONE, TWO, THREE))


@pytest.mark.parametrize(
    ("cidr", "named", "ours", "why"),
    [
        (
            NETWORK,
            (ONE,),
            False,
            "has the host 192.0.2.12, which is not named; name all hosts: tulle join 192.0.2.11 192",
        ),
        (NETWORK, (ONE,), True, "has the host 192.0.2.12, which is not named"),
        (NETWORK, (TWO, ONE), False, "would get 10.42.2.0/24; keep the order: tulle join 192.0.2.11 192.0.2.12 "),
        (NETWORK, (TWO, ONE), True, "would get 10.42.2.0/24; keep the order: tulle join 192.0.2.11 192.0.2.12 "),
        (NETWORK, (THREE, ONE, TWO), True, "keep the order: tulle join 192.0.2.11 192.0.2.12 192.0.2.13 "),
        (NETWORK, (ONE, THREE), False, "has the host 192.0.2.12, which is not named"),
        ("10.50.0.0/16", (ONE, TWO), False, "was edited by hand: its network is not"),
    ],
)
def test_nobody_s_containers_lose_the_network(cidr: str, named: tuple[Named, ...], ours: bool, why: str) -> None:
    before = hosts_file.hosts(NETWORK, (ONE, TWO))
    with pytest.raises(Refused, match=why):
        hosts_file.hosts(cidr, named, before, ours=ours)


@pytest.mark.parametrize(("cidr", "named"), [(NETWORK, (ONE, THREE)), ("10.50.0.0/16", (ONE, TWO))])
def test_a_typing_mistake_in_join_s_own_file_may_be_corrected(cidr: str, named: tuple[Named, ...]) -> None:
    before = hosts_file.hosts(NETWORK, (ONE, TWO))
    assert hosts_file.hosts(cidr, named, before, ours=True) == hosts_file.hosts(cidr, named)


def test_the_hosts_own_network_is_no_network_of_containers() -> None:
    with pytest.raises(Refused, match=r"192.0.0.0/16 has the address of host 192.0.2.11 in it"):
        hosts_file.hosts("192.0.0.0/16", (ONE, TWO))


NAMES = {"host-a": "192.0.2.11", "here": "127.0.1.1"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["one,two"], "one,two is neither an IPv4 address nor a host name; name every host .* with blanks between"),
        (["192.0.2.11"] * 2, "192.0.2.11 is named twice"),
        (["host-a", "192.0.2.11"], "192.0.2.11 is named twice"),
        (["192.0.2.256"], "192.0.2.256 is no IPv4 address"),
        (["192.0.2"], "192.0.2 is no IPv4 address"),
        (["192.0.2.11/24"], "neither an IPv4 address nor a host name"),
        (["127.0.0.1"], "127.0.0.1, which no other host reaches"),
        (["here"], "here resolves to 127.0.1.1 here, which no other host reaches"),
        (["0.0.0.0"], "which no other host reaches"),
        (["a\x1b[31m"], "neither"),
    ],
)
def test_what_cannot_be_an_address_is_refused(words: list[str], why: str) -> None:
    with pytest.raises(Refused, match=why):
        hosts_file.addresses(words, NAMES.__getitem__)


def test_a_host_may_be_named_by_its_name_which_stands_beside_its_address() -> None:
    named = hosts_file.addresses(["host-a", "192.0.2.12"], NAMES.__getitem__)
    assert json.loads(hosts_file.hosts(NETWORK, named))["Hosts"] == [
        {"PublicIP": "192.0.2.11", "Subnet": "10.42.1.0/24", "Name": "host-a"},
        {"PublicIP": "192.0.2.12", "Subnet": "10.42.2.0/24"},
    ]


def test_a_network_that_is_too_small_is_refused() -> None:
    named = tuple(Named(ONE.address + number) for number in range(16))
    with pytest.raises(Refused, match=r"10.42.0.0/22 has no subnets for 16 hosts; give a larger one"):
        hosts_file.hosts("10.42.0.0/22", named)


def test_settings_go_behind_the_comment_that_shows_them_and_the_rest_to_the_end() -> None:
    text = hosts_file.settings("# a\n#B=1\n#C=2\n", Wanted({"B": "x"}, {"D": "y"}), "f", {})
    assert text == "# a\n#B=1\nB=x\n#C=2\nD=y\n"


def test_the_sample_shows_what_is_set() -> None:
    text = hosts_file.settings(SAMPLE, Wanted({}, {"TULLED_IP_MASQ": "true", "TULLED_BRIDGE": "tulle0"}), "f", {})
    assert "#TULLED_IP_MASQ=true\nTULLED_IP_MASQ=true\n" in text
    assert text.replace("\nTULLED_IP_MASQ=true", "").replace("\nTULLED_BRIDGE=tulle0", "") == SAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "TULLED_STORE=file:/h\nTULLED_BRIDGE=tulle0\n",
        'TULLED_STORE="file:/h"\nTULLED_BRIDGE=docker0\n',
        "TULLED_STORE=file:/h\nTULLED_BRIDGE=tulle0\nTULLED_BRIDGE=docker0\nTULLED_V=1\n",
    ],
)
def test_what_a_person_set_besides_stays(text: str) -> None:
    assert hosts_file.settings(text, WANTED, "f", {}) == text


@pytest.mark.parametrize("line", ["TULLED_STORE=sqlite:/n", "TULLED_ETCD_ENDPOINTS=http://192.0.2.1:2379"])
def test_what_decides_another_network_is_refused_unless_join_wrote_it(line: str) -> None:
    with pytest.raises(
        Refused, match=f"f: has {line}, which does not go with TULLED_STORE=file:/h; take that line out"
    ):
        hosts_file.settings(f"{line}\n", WANTED, "f", {})
    name, _, value = line.partition("=")
    fresh = "TULLED_STORE=file:/h\nTULLED_BRIDGE=tulle0\n"
    assert hosts_file.settings(f"{line}\n", WANTED, "f", {name: value}) == fresh
    assert hosts_file.settings(f"{line}\n", WANTED, "f", hosts_file.decisive(f"{line}\n", WANTED)) == fresh


def test_a_password_is_not_shown() -> None:
    wanted = Wanted({"TULLED_STORE": "file:/h"}, {}, ("TULLED_ETCD_PASSWORD",))
    with pytest.raises(Refused, match=r"f: has TULLED_ETCD_PASSWORD, which does not go with") as refused:
        hosts_file.settings("TULLED_ETCD_PASSWORD=hunter2\n", wanted, "f", {})
    assert "hunter2" not in str(refused.value)
