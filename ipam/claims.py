"""Who holds an address: what a reservation says, and which reservations an attachment's or a network's name reaches.

The text is the reference's (docs/reference/cni.md 3.4); in a lease's book, which several networks share, a third line names the network.
Must not know where reservations are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cni.types import IPAddress
    from cni.valid_attachments import Attachment

SEPARATOR = "\r\n"


@dataclass(frozen=True, slots=True)
class Claim:
    """An attachment that holds addresses; `network` is empty where the whole directory belongs to one network."""

    container_id: str
    ifname: str
    network: str = ""

    @property
    def text(self) -> str:
        """What its reservations say, with no line end after the last line."""
        lines = (self.container_id, self.ifname, self.network) if self.network else (self.container_id, self.ifname)
        return SEPARATOR.join(lines)


@dataclass(frozen=True, slots=True)
class Reservation:
    """One file of a directory of claims.

    `path` is relative to the directory; `address` is None when the name is none; `text` is trimmed, None when it could not
    be read. `vacant` means nobody's, so free for the lock's holder: of zero length or of null bytes, left by a full disk or a
    power failure (plugins#498), or known to be of an earlier boot where the configuration reclaims those (plugins#332).
    """

    path: str
    address: IPAddress | None
    text: str | None
    vacant: bool = False


def held(reservations: Collection[Reservation], claim: Claim) -> tuple[Reservation, ...]:
    """Return the reservations of `claim`, else the legacy ones that name its container alone (docs/reference/cni.md 3.4)."""
    exact = tuple(each for each in reservations if each.text == claim.text)
    if exact or claim.network:
        return exact
    return tuple(each for each in reservations if each.text == claim.container_id)


def duplicates(reservations: Iterable[Reservation], claim: Claim) -> tuple[IPAddress, ...]:
    """Return the addresses `claim` already holds, legacy ones included (docs/reference/cni.md 3.3, step 1)."""
    texts = {claim.text} if claim.network else {claim.text, claim.container_id}
    return tuple(
        each.address for each in reservations if each.address is not None and each.text in texts and not each.vacant
    )


def taken(reservations: Iterable[Reservation]) -> frozenset[IPAddress]:
    """Return the addresses somebody holds: all but vacant ones, so what cannot be read is nobody's to give."""
    return frozenset(each.address for each in reservations if each.address is not None and not each.vacant)


def stale(
    reservations: Iterable[Reservation], valid: Collection[Attachment], network: str = ""
) -> tuple[Reservation, ...]:
    """Return what GC may remove: claims of `network` whose attachment is not `valid`, and vacant files (docs/reference/cni.md 3.5).

    With an empty `network` the claims are of two lines, or of one (legacy), which stays while its container has any valid
    attachment. What says anything else belongs to somebody else and stays, as does every name that is no address.
    """
    containers = {container_id for container_id, _ in valid}
    return tuple(
        each
        for each in reservations
        if each.address is not None and (each.vacant or _is_stale(each.text, valid, containers, network))
    )


def _is_stale(text: str | None, valid: Collection[Attachment], containers: Collection[str], network: str) -> bool:
    match (text or "").split(SEPARATOR):
        case [container_id, ifname, owner] if network:
            return owner == network and (container_id, ifname) not in valid
        case [container_id, ifname] if not network:
            return (container_id, ifname) not in valid
        case [container_id] if container_id and not network:
            return container_id not in containers
    return False
