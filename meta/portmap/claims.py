"""Decides who may have a host port: a live container keeps what it has, a dead one's mapping makes room.

Dead needs positive evidence (issue containernetworking/plugins#683; docs/reference/cni.md 6, rows 12 and 13): the rules send packets to
an address that is the new container's own now, or what was remembered of their owner says so. Pure; must not know how
rules are written or where things are remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cni.types import IPAddress
    from meta.portmap.config import PortMapping
    from meta.portmap.plan import Publication


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose rules they are: `key` finds them in one backend (chain or comment), `name` is for people.

    `mark` is the owner's (cni.attachment_id), empty when the rules do not tell; `network` and `ifname` are its, where there is one.
    """

    key: str
    name: str
    mark: str = ""
    network: str = ""
    ifname: str = ""

    def is_of(self, container_id: str) -> bool:
        """Tell whether it is for certain an attachment of that container, on whatever network; ids in comments may be cut."""
        return bool(self.mark) and self.mark == AttachmentID(self.network, container_id, self.ifname).mark


@dataclass(frozen=True, slots=True)
class Published:
    """One port as the rules of one IP version publish it; `host_ip` None is every address."""

    holder: Holder
    protocol: str
    port: int
    host_ip: IPAddress | None
    target: IPAddress


def evicted(plan: Publication, present: Iterable[Published], is_dead: Callable[[str], bool]) -> frozenset[Holder]:
    """Return whose rules have to go before those of `plan` come: our own earlier ones, and those of the dead in the way.

    `is_dead` tells it of a mark. Raises CniError 103 when a mapping of `plan` is another container's, which nothing proves dead.
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
            elif not each.holder.is_of(plan.owner.container_id):  # runtimes publish on each network; the first serves
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
    """Return the wished mapping that packets for `present` would also match."""
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
