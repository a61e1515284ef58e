"""Decides who may have a host port: a living container keeps its ports, a dead one's are given away.

A container counts as dead only with evidence (containernetworking/plugins issue 683; docs/reference/cni.md 6, rows 12
and 13): its rules lead to an address that the new container has now, or the record of its attachment shows that it is
gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meta.portmap.config import PortMapping
    from meta.portmap.plan import Publication
    from system.ip import IPAddress


@dataclass(frozen=True, slots=True)
class Holder:
    """The attachment whose rules these are."""

    key: str  # finds them in one backend (chain or comment)
    name: str  # for people
    mark: str = ""  # the attachment's (cni.attachment_id); empty when the rules do not tell
    network: str = ""  # empty when the rules do not tell
    ifname: str = ""  # empty when the rules do not tell

    def is_of(self, container_id: str) -> bool:
        """Return whether it is certainly an attachment of that container, on any network.

        Ids in comments may be cut.
        """
        return bool(self.mark) and self.mark == AttachmentID(self.network, container_id, self.ifname).mark


@dataclass(frozen=True, slots=True)
class Published:
    """One published port as the rules of one IP version say it."""

    holder: Holder
    protocol: str
    port: int  # of the host
    host_ip: IPAddress | None  # None: every address
    target: IPAddress  # where packets are sent


def evicted(plan: Publication, present: Iterable[Published], is_dead: Callable[[str], bool]) -> frozenset[Holder]:
    """Return whose rules must be removed before those of `plan` are added.

    Its own old ones, and those of dead containers.

    `is_dead` tells that for a mark. Raises CniError 103 when another container has the port and nothing proves it dead.
    """
    targets = {side.target for side in plan.sides}
    wished = _by_port(plan)
    gone: set[Holder] = set()
    for each in present:
        if each.holder in gone:
            continue
        if each.holder.mark == plan.owner.mark or each.target in targets:
            gone.add(each.holder)
        elif wanted := _clash(wished, each):
            if each.holder.mark and is_dead(each.holder.mark):
                gone.add(each.holder)
            elif not each.holder.is_of(
                plan.owner.container_id
            ):  # runtimes publish on each network of a container; the first one's rules serve
                raise _conflict(plan.owner, wanted, each.holder)
    return frozenset(gone)


Ports = dict[tuple[int, str, int], list["PortMapping"]]
"""Mappings by IP version, protocol and port of the host."""


def _by_port(plan: Publication) -> Ports:
    found: Ports = {}
    for family in plan.families:
        for each in plan.of_family(family):
            found.setdefault((family, each.protocol, each.host_port), []).append(each)
    return found


def _clash(wished: Ports, present: Published) -> PortMapping | None:
    """Return the requested mapping that would also match packets for `present`."""
    for wanted in wished.get((present.target.version, present.protocol, present.port), ()):
        if None in (wanted.only_at, present.host_ip) or wanted.only_at == present.host_ip:
            return wanted
    return None


def _conflict(owner: AttachmentID, wanted: PortMapping, holder: Holder) -> CniError:
    where = f"{wanted.host_port}/{wanted.protocol}" + (f" on {wanted.only_at}" if wanted.only_at else "")
    return CniError(
        Code.CONFLICT,
        f"host port {where}, wanted by {owner.network}/{owner.container_id}, is published by {holder.name}",
        "publish another port or host address, or remove that container; if it is gone already, DEL of its attachment "
        "or GC of its network takes its mapping away",
    )
