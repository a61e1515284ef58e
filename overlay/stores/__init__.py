"""What every store of leases can do, in one protocol.

A store keeps the network config and one entry per lease, counts every change with a revision, and tells what changed
since one. Methods are coroutines because an engine may live across the network.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All leases as of revision `cursor`, in key order; whatever was known before is superseded."""

    leases: tuple[Lease, ...]
    cursor: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed up to revision `cursor`: leases written, subnets that are nobody's any more."""

    written: tuple[Lease, ...]
    gone: tuple[Subnet, ...]
    cursor: int


Update = Snapshot | Delta


class Store(Protocol):
    """One engine. Every method raises StoreError when it cannot answer now, Refused when a person must act."""

    exchanges: bool
    """Whether hosts see each other's attributes as written; if not, backends derive everything from the subnet."""

    def moved(self) -> None:
        """Let go of connections: this host has another address, and those made from the old one may be dead."""
        ...

    @property
    def heard(self) -> float:
        """Return time.monotonic() of the engine's last answer, or of the opening before there is one."""
        ...

    async def read_config(self) -> str:
        """Return the network config's JSON text; raises Refused when the store has none."""
        ...

    async def leases(self) -> Snapshot:
        """List all leases; malformed entries are reported once and left out."""
        ...

    async def create(self, subnet: Subnet, attributes: Attributes) -> Lease | None:
        """Take a subnet nobody has; None when the race is lost."""
        ...

    async def replace(self, lease: Lease, attributes: Attributes) -> Lease | None:
        """Write a lease anew for another TTL if it is still the very one given; None when it is not."""
        ...

    async def remove(self, lease: Lease) -> bool:
        """Delete a lease if it is still the very one given."""
        ...

    def watch(self, cursor: int) -> AsyncIterator[Update]:
        """Tell every change after `cursor`, for ever; a Snapshot when that revision is too old to continue from."""
        ...
