"""Decides what publishing an attachment's ports consists of; ADD builds it, CHECK compares the kernel with it.

Pure: knows settings and the result so far; must not see a namespace, a socket or a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.attachment_id import AttachmentID
    from cni.types import IPAddress, IPInterface, Result
    from meta.portmap.config import PortMapping, Settings

LOOPBACK = ip_network("127.0.0.0/8")
FAMILIES = (4, 6)


@dataclass(frozen=True, slots=True)
class Side:
    """One IP version: the container's address with its prefix, and conditions on who may use the ports."""

    address: IPInterface
    conditions: tuple[str, ...] = ()

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.address.version

    @property
    def target(self) -> IPAddress:
        """Where packets are sent."""
        return self.address.ip


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything one ADD publishes; `sides` is empty for a container without address, whose ports lead nowhere.

    `mark_bit` is the bit that asks for masquerade, set by `set_mark_chain` or, when that is empty, by a chain of ours.
    """

    owner: AttachmentID
    sides: tuple[Side, ...]
    mappings: tuple[PortMapping, ...]
    snat: bool = True
    masquerade_all: bool = False
    mark_bit: int = 13
    set_mark_chain: str = ""

    def of_family(self, family: int) -> tuple[PortMapping, ...]:
        """Return the mappings that concern packets of IP version `family`, in their order."""
        return tuple(each for each in self.mappings if each.concerns(family))

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions that rules are needed for."""
        return tuple(side.family for side in self.sides)

    @property
    def from_loopback(self) -> bool:
        """Whether 127.0.0.0/8 of the host leads to the container: only then may packets for it cross a route (docs/reference/cni.md 7)."""
        chosen = [each.only_at for each in self.of_family(4)] if 4 in self.families and self.snat else []
        return any(address is None or address in LOOPBACK for address in chosen)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The host addresses that are named, each once."""
        named = (each.only_at for family in self.families for each in self.of_family(family))
        return tuple(dict.fromkeys(address for address in named if address is not None))


def publication(settings: Settings, owner: AttachmentID, earlier: Result) -> Publication:
    """Return what `settings` publish of the attachment whose result so far is `earlier`."""
    addresses = container_addresses(earlier, owner.ifname)
    return Publication(
        owner=owner,
        sides=tuple(Side(address, settings.conditions[address.version]) for address in addresses),
        mappings=settings.mappings,
        snat=settings.snat,
        masquerade_all=settings.masquerade_all,
        mark_bit=settings.mark_bit,
        set_mark_chain=settings.set_mark_chain,
    )


def container_addresses(earlier: Result, ifname: str) -> tuple[IPInterface, ...]:
    """Return the container's first address of each IP version (docs/reference/cni.md 4.1, "Container addresses")."""
    found: dict[int, IPInterface] = {}
    for entry in earlier.ips:
        if _in_container(earlier, entry.interface, ifname):
            found.setdefault(entry.address.version, entry.address)
    return tuple(found[family] for family in FAMILIES if family in found)


def _in_container(earlier: Result, index: int | None, ifname: str) -> bool:
    """Skip only what is known to be elsewhere: an index that leads nowhere says nothing."""
    if index is None or not 0 <= index < len(earlier.interfaces):
        return True
    entry = earlier.interfaces[index]
    return entry.name == ifname and bool(entry.sandbox)
