"""What the allocator needs from a place with reservations: the disk, or in tests a dictionary.

Only types, which type checkers import; a program never does. An implementation holds the lock as long as it exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ipam.claims import Claim, Reservation
    from system.ip import IPAddress


class Store(Protocol):
    """A locked directory of reservations.

    Every method may raise OSError, which the code that opened the store translates.
    """

    @property
    def location(self) -> str:
        """The path, for people."""

    def reservations(self) -> tuple[Reservation, ...]:
        """Return all reservations."""

    def claimed(self, claim: Claim) -> tuple[Reservation, ...]:
        """Return at least the reservations of `claim`, and old ones of its container (docs/reference/cni.md 3.4)."""

    def reserve(self, address: IPAddress, claim: Claim) -> Reservation | None:
        """Reserve `address`, in one step. Return None if it is taken."""

    def release(self, reservation: Reservation) -> None:
        """Remove a reservation. One that is gone counts as removed."""

    def last(self, index: int) -> IPAddress | None:
        """Return the address that was last given from range set `index`: a hint, or None."""

    def remember(self, index: int, address: IPAddress) -> None:
        """Store the address that was last given from range set `index`. A failure is ignored."""
