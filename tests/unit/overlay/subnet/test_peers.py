"""Claims: updates leave exactly the store's leases; an event is told once for each real change, gone ones first; this host's own
leases are nobody's peers; nothing is known before the first listing.
"""

from ipaddress import IPv4Address

from overlay.stores import Delta, Snapshot
from overlay.subnet import allocation
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from overlay.subnet.peers import Peers
from overlay.subnet.state_machine import LeaseGone, LeaseSeen

A, B, C = (allocation.parse_key(f"10.42.{number}.0-24") for number in (1, 2, 3))
ME = IPv4Address("192.0.2.1")


def lease(number: int, version: int = 1) -> Lease:
    return Lease((A, B, C)[number - 1], Attributes(IPv4Address(f"192.0.2.{number}")), version)


def test_nothing_is_known_before_the_first_listing() -> None:
    peers = Peers()
    peers.apply(Delta((lease(2),), (), 1))
    assert not peers.known
    peers.apply(Snapshot((), 2))
    assert peers.known


def test_a_snapshot_supersedes_what_was_known() -> None:
    peers = Peers()
    peers.apply(Snapshot((lease(2), lease(3)), 1))
    assert peers.apply(Snapshot((lease(3),), 2)) == (LeaseGone(B),)
    assert peers.others(A, ME) == (lease(3),)


def test_a_change_is_told_once_and_gone_ones_first() -> None:
    peers = Peers()
    peers.apply(Snapshot((lease(2),), 1))
    update = Delta((lease(3),), (B,), 2)
    assert peers.apply(update) == (LeaseGone(B), LeaseSeen(lease(3)))
    assert peers.apply(update) == ()


def test_a_renewed_lease_is_told_with_its_new_version() -> None:
    peers = Peers()
    peers.apply(Snapshot((lease(2),), 1))
    assert peers.apply(Snapshot((lease(2, version=5),), 2)) == (LeaseSeen(lease(2, version=5)),)


def test_own_leases_are_nobodys_peers() -> None:
    peers = Peers()
    stale = Lease(C, Attributes(ME))
    peers.apply(Snapshot((lease(1), lease(2), stale), 1))
    assert peers.others(A, ME) == (lease(2),)
