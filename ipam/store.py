"""What the allocator needs of a place that keeps claims, so that it can be handed the disk or a dictionary.

Only types: imported by type checkers, never on a program's path. An implementation holds the place's lock while it exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cni.types import IPAddress
    from ipam.claims import Claim, Reservation


class Store(Protocol):
    """A locked directory of claims. Every method may raise OSError, which the store's opener translates."""

    @property
    def location(self) -> str:
        """Where a person would look."""

    def reservations(self) -> tuple[Reservation, ...]:
        """Return everything that is reserved now."""

    def claimed(self, claim: Claim) -> tuple[Reservation, ...]:
        """Return at least what `claim` holds, its container's legacy reservations included (docs/reference/cni.md 3.4)."""

    def reserve(self, address: IPAddress, claim: Claim) -> Reservation | None:
        """Reserve `address`, exclusively and completely; None when somebody holds it."""

    def release(self, reservation: Reservation) -> None:
        """Take a reservation back; one that is gone already is fine."""

    def last(self, index: int) -> IPAddress | None:
        """Return the address given last from range set `index`: a hint, None when there is none."""

    def remember(self, index: int, address: IPAddress) -> None:
        """Note the address given last from range set `index`; a note that cannot be made is no failure."""
