"""What every store of leases can do, as one protocol.

A store has the network config and one entry per lease, counts every change with a revision, and tells what changed
since a revision. The methods are coroutines because a store may be on another machine.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All leases of the store; a lease that is not among them does not exist."""

    leases: tuple[Lease, ...]
    """The leases, in key order."""
    cursor: int
    """The revision they are of, for `watch`."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What has changed since an earlier revision."""

    written: tuple[Lease, ...]
    """Leases that were created or written again."""
    gone: tuple[Subnet, ...]
    """Subnets whose lease was deleted or has expired."""
    cursor: int
    """The revision reached, for the next `watch`."""


Update = Snapshot | Delta


class Store(Protocol):
    """A store of leases. Every method raises StoreError when it cannot answer now, Refused when a person must act."""

    exchanges: bool
    """Whether hosts read the attributes that others wrote; if not, backends derive everything from the subnet."""

    def moved(self) -> None:
        """Close connections: this host has another address, and connections from the old one may be dead."""
        ...

    @property
    def heard(self) -> float:
        """Return time.monotonic() of the store's last answer; before the first one, of when it was opened."""
        ...

    async def read_config(self) -> str:
        """Return the network config's JSON text; raises Refused when the store has none."""
        ...

    async def leases(self) -> Snapshot:
        """Return all leases; malformed entries are reported and left out."""
        ...

    async def create(self, subnet: Subnet, attributes: Attributes) -> Lease | None:
        """Create a lease for a subnet that no host has, and return it; None when another host was faster."""
        ...

    async def replace(self, lease: Lease, attributes: Attributes) -> Lease | None:
        """Write a lease again, for another TTL, if the store still has this version; None when it has not."""
        ...

    async def remove(self, lease: Lease) -> bool:
        """Delete a lease if the store still has this version; return whether it was deleted."""
        ...

    def watch(self, cursor: int) -> AsyncIterator[Update]:
        """Yield every change after the revision `cursor`, without end; a Snapshot when that revision is too old."""
        ...
