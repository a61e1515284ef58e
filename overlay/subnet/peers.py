"""The leases of all hosts as last heard of, kept current from a store's updates.

An update becomes the events that overlay.subnet.state_machine takes. Every well-formed lease is kept here; which of
them can be programmed is decided by the backends.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from overlay.stores import Delta, Snapshot, Update
from overlay.subnet.allocation import Subnet
from overlay.subnet.lease import Lease
from overlay.subnet.state_machine import Event, LeaseGone, LeaseSeen


class Peers:
    """All leases by subnet; `known` is False until the first full listing: until then an absent lease means nothing."""

    def __init__(self) -> None:
        self._leases: dict[Subnet, Lease] = {}
        self.known = False

    def apply(self, update: Update) -> tuple[Event, ...]:
        """Apply an update and return its events, those of deleted leases first; an unchanged lease gives none."""
        match update:
            case Snapshot(leases, _):
                stays = {lease.subnet for lease in leases}
                gone = tuple(subnet for subnet in self._leases if subnet not in stays)
                self.known = True
                return (*self._forget(gone), *self._learn(leases))
            case Delta(written, gone, _):
                return (*self._forget(gone), *self._learn(written))

    def __len__(self) -> int:
        """Count the leases of all hosts."""
        return len(self._leases)

    def others(self, own: Subnet, public_ip: IPv4Address) -> tuple[Lease, ...]:
        """Return the leases of other hosts, by IPv4 subnet; this host's, also earlier ones, are left out."""
        theirs = (one for one in self._leases.values() if one.subnet != own and one.attributes.public_ip != public_ip)
        return tuple(sorted(theirs, key=_place))

    def _forget(self, subnets: tuple[Subnet, ...]) -> Iterator[Event]:
        for subnet in subnets:
            if self._leases.pop(subnet, None) is not None:
                yield LeaseGone(subnet)

    def _learn(self, leases: tuple[Lease, ...]) -> Iterator[Event]:
        for lease in leases:
            if self._leases.get(lease.subnet) != lease:
                self._leases[lease.subnet] = lease
                yield LeaseSeen(lease)


def _place(lease: Lease) -> tuple[int, int]:
    return int(lease.subnet.ipv4.network_address), lease.subnet.ipv4.prefixlen
