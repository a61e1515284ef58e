"""Who has an address: the text of a reservation, and which reservations belong to an attachment or a network.

The text is the reference's (docs/reference/cni.md 3.4). In a lease's address book, which several networks share, a
third line names the network.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cni.valid_attachments import Attachment
    from system.ip import IPAddress

SEPARATOR = "\r\n"


@dataclass(frozen=True, slots=True)
class Claim:
    """An attachment that has addresses."""

    container_id: str
    ifname: str
    network: str = ""  # empty where the whole directory belongs to one network

    @property
    def text(self) -> str:
        """The text of its reservations. The last line has no newline."""
        lines = (self.container_id, self.ifname, self.network) if self.network else (self.container_id, self.ifname)
        return SEPARATOR.join(lines)


@dataclass(frozen=True, slots=True)
class Reservation:
    """One file of a directory of reservations.

    `vacant` means that nobody has the address, so whoever has the lock may take it. The file is empty or full of null
    bytes, left by a full disk or a power failure (containernetworking/plugins issue 498), or known to be of an earlier
    boot, where the configuration frees those (issue 332).
    """

    path: str  # relative to the directory
    address: IPAddress | None  # None: the name is no address
    text: str | None  # without blanks around it; None: it could not be read
    vacant: bool = False  # nobody has the address


def held(reservations: Collection[Reservation], claim: Claim) -> tuple[Reservation, ...]:
    """Return the reservations of `claim`, else old ones that name only its container (docs/reference/cni.md 3.4)."""
    exact = tuple(each for each in reservations if each.text == claim.text)
    if exact or claim.network:
        return exact
    return tuple(each for each in reservations if each.text == claim.container_id)


def duplicates(reservations: Iterable[Reservation], claim: Claim) -> tuple[IPAddress, ...]:
    """Return the addresses that `claim` already has, old reservations included (docs/reference/cni.md 3.3, step 1)."""
    texts = {claim.text} if claim.network else {claim.text, claim.container_id}
    return tuple(
        each.address for each in reservations if each.address is not None and each.text in texts and not each.vacant
    )


def taken(reservations: Iterable[Reservation]) -> frozenset[IPAddress]:
    """Return the addresses that are not free: all but vacant ones. What cannot be read counts as taken."""
    return frozenset(each.address for each in reservations if each.address is not None and not each.vacant)


def stale(
    reservations: Iterable[Reservation], valid: Collection[Attachment], network: str = ""
) -> tuple[Reservation, ...]:
    """Return what GC may remove: vacant files, and reservations of `network` whose attachment is not `valid`.

    See docs/reference/cni.md 3.5. With an empty `network`, reservations have two lines, or one (old), which stays while
    its container has any valid attachment. Files with other text, or whose name is no address, stay.
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
