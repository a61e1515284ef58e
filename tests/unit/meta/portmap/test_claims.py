"""Claims about meta.portmap.claims (docs/reference/cni.md 6, rows 12 and 13).

* Same protocol, port and an address in common make a clash; any of them different does not.
* A clash with what is not proved dead is refused with both names; with the dead it evicts them.
* Another attachment of the same container is no clash, as long as it lives; what the rules do not tell for certain proves nothing.
* Our own earlier rules, and whatever sends packets to our address, go.
"""

from ipaddress import ip_address, ip_interface

import pytest

from cni.attachment_id import AttachmentID
from cni.errors import CniError
from meta.portmap import claims
from meta.portmap.claims import Holder, Published
from meta.portmap.config import PortMapping
from meta.portmap.plan import Publication, Side

ME = AttachmentID("net", "me", "eth0")
OTHER = Holder("key", "net/other", "mark")


def wanting(host: str = "", port: int = 80, protocol: str = "tcp") -> Publication:
    mapping = PortMapping(protocol, port, 8080, ip_address(host) if host else None)
    return Publication(ME, (Side(ip_interface("10.1.0.5/24")),), (mapping,))


def held(host: str = "", holder: Holder = OTHER, target: str = "10.1.0.9") -> Published:
    return Published(holder, "tcp", 80, ip_address(host) if host else None, ip_address(target))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [("", ""), ("10.0.0.1", ""), ("", "10.0.0.1"), ("10.0.0.1", "10.0.0.1"), ("0.0.0.0", "10.0.0.1")],
)
def test_an_address_in_common_is_a_clash(mine: str, theirs: str) -> None:
    with pytest.raises(CniError, match="wanted by net/me, is published by net/other") as refused:
        claims.evicted(wanting(mine), [held(theirs)], lambda _: False)
    assert refused.value.code == 103


@pytest.mark.parametrize(
    ("wanted", "present"),
    [
        (wanting("10.0.0.1"), held("10.0.0.2")),
        (wanting(port=81), held()),
        (wanting(protocol="udp"), held()),
        (wanting(), held(target="fd00::9")),
        (wanting("::"), held()),
    ],
)
def test_what_is_different_is_free(wanted: Publication, present: Published) -> None:
    assert claims.evicted(wanted, [present], lambda _: False) == frozenset()


def test_the_dead_make_room() -> None:
    assert claims.evicted(wanting(), [held()], lambda mark: mark == "mark") == {OTHER}


def test_who_cannot_be_looked_up_is_alive() -> None:
    nameless = Holder("key", "container x")
    with pytest.raises(CniError, match="container x"):
        claims.evicted(wanting(), [held(holder=nameless)], lambda _: True)


def test_another_network_of_the_container_may_publish_it_too() -> None:
    other = Holder("key", "other/me", AttachmentID("other", "me", "eth1").mark, "other", "eth1")

    assert claims.evicted(wanting(), [held(holder=other)], lambda _: False) == frozenset()
    assert claims.evicted(wanting(), [held(holder=other)], lambda _: True) == {other}


@pytest.mark.parametrize("mark", ["", AttachmentID("other", "me2", "eth1").mark], ids=["unknown", "cut"])
def test_what_may_be_another_container_is_a_clash(mark: str) -> None:
    with pytest.raises(CniError, match="is published by other/me"):
        claims.evicted(wanting(), [held(holder=Holder("key", "other/me", mark, "other", "eth1"))], lambda _: False)


def test_our_own_rules_and_those_to_our_address_go() -> None:
    mine = Holder("mine", "net/me", ME.mark)
    stale = Holder("stale", "container y")
    assert claims.evicted(wanting(), [held(holder=mine), held(holder=stale, target="10.1.0.5")], lambda _: False) == {
        mine,
        stale,
    }
