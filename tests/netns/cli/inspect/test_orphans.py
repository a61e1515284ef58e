"""Claims about what attachments left: what has a link lives, what lost it is dead where our bridge makes the links, else unknown."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from cli.inspect import orphans
from cli.inspect.cni_configs import Conflist
from cli.inspect.network_state import AddressBook, NetworkState
from cli.inspect.orphans import DEAD, UNKNOWN, Orphan
from cni.attachment_id import AttachmentID
from cni.attachment_lock import AttachmentLock
from ipam.claims import Claim, Reservation
from kernel import netns
from kernel.netlink.requests import AddVeth, SetLink
from lease import file as lease_file
from overlay.config import settings
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from tests.netns.spaces import Space

LEASE = lease_file.parse(
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
)
STORED = Lease(Subnet(IPv4Network("10.42.7.0/24")), Attributes(IPv4Address("192.0.2.1")))
OWNER = AttachmentID("net", "id", "eth0")
BRIDGE = Conflist("x", "net", plugins=({"type": "bridge", "subnetFile": "/run/flannel/subnet.env"},))
MACVLAN = Conflist("x", "net", plugins=({"type": "macvlan", "ipam": {"type": "host-local"}},))
HELD = Reservation("10.42.7.2", IPv4Address("10.42.7.2"), Claim("id", "eth0", "net").text)
RULE = f'add rule inet cni_plugins_masquerade masq_checks ip saddr 10.42.7.2 masquerade comment "{OWNER.comment}"'


@pytest.fixture
def space(make_space: Callable[[str], Space]) -> Iterator[Space]:
    made = make_space("one")
    with netns.inside(made.namespace):
        yield made


def found(space: Space, conflist: Conflist, *reservations: Reservation) -> tuple[Orphan, ...]:
    survey = NetworkState(
        settings.parse([], {}, sys.stderr),
        LEASE,
        leases=(STORED,),
        links=space.network.links(),
        book=AddressBook("/no/book", reservations),
    )
    return orphans.find(survey, [conflist])


def link(space: Space) -> None:
    space.network.apply(AddVeth("veth1", "veth2", space.namespace), SetLink("veth1", alias=OWNER.alias))


def test_an_attachment_with_its_link_lives(space: Space) -> None:
    link(space)
    assert found(space, BRIDGE, HELD) == ()


def test_an_address_whose_link_is_gone_is_dead(space: Space) -> None:
    (one,) = found(space, BRIDGE, HELD)
    assert (one.what, one.owner, one.verdict) == ("address 10.42.7.2", OWNER, DEAD)


@pytest.mark.parametrize("conflist", [MACVLAN, Conflist("x", "other")], ids=["another program", "no configuration"])
def test_where_links_are_not_known_to_be_made_nothing_is_dead(space: Space, conflist: Conflist) -> None:
    (one,) = found(space, conflist, HELD)
    assert one.verdict == UNKNOWN


def test_an_attachment_whose_request_is_under_way_is_left_alone(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = str(tmp_path / "lock")
    monkeypatch.setattr(orphans, "AttachmentLock", partial(AttachmentLock, folder=lock))
    with AttachmentLock("bridge", "net", "id", "eth0", folder=lock):
        assert found(space, BRIDGE, HELD) == ()


def test_a_claim_of_an_earlier_boot_is_dead_whoever_made_it(space: Space) -> None:
    (one,) = found(space, MACVLAN, Reservation(HELD.path, HELD.address, HELD.text, vacant=True))
    assert (one.verdict, one.reason, one.path) == (DEAD, "it is of an earlier boot", "10.42.7.2")


def test_a_link_without_an_address_is_unknown(space: Space) -> None:
    link(space)
    (one,) = found(space, BRIDGE)
    assert (one.what, one.verdict) == ("link veth1", UNKNOWN)


def test_a_rule_in_nftables_is_found_by_its_comment(space: Space) -> None:
    space.run("nft", "add table inet cni_plugins_masquerade; add chain inet cni_plugins_masquerade masq_checks")
    space.run("nft", RULE)
    (one,) = found(space, BRIDGE)
    assert (one.what, one.owner, one.verdict) == ("rule in nftables inet cni_plugins_masquerade", OWNER, DEAD)


def test_a_rule_in_iptables_is_found_by_its_comment(space: Space) -> None:
    words = ("-t", "nat", "-A", "POSTROUTING", "-s", "10.42.7.2", "-m", "comment", "--comment")
    space.run("iptables", *words, 'name: "net" id: "id"', "-j", "RETURN")
    (one,) = found(space, BRIDGE)
    assert (one.what, one.owner, one.verdict) == ("rule in iptables nat, IPv4", AttachmentID("net", "id", ""), DEAD)
