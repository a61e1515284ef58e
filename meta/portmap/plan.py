"""Decides which ports of an attachment are published.

ADD builds this plan, CHECK compares the kernel with the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.attachment_id import AttachmentID
    from cni.types import Result
    from meta.portmap.config import PortMapping, Settings
    from system.ip import IPAddress, IPInterface

LOOPBACK = ip_network("127.0.0.0/8")
FAMILIES = (4, 6)


@dataclass(frozen=True, slots=True)
class Side:
    """The container's side for one IP version."""

    address: IPInterface  # the container's, with its prefix
    conditions: tuple[str, ...] = ()  # on who may use the ports

    @property
    def family(self) -> int:
        """The IP version, 4 or 6."""
        return self.address.version

    @property
    def target(self) -> IPAddress:
        """The address to which packets are sent."""
        return self.address.ip


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that one ADD publishes."""

    owner: AttachmentID
    sides: tuple[Side, ...]  # one per IP version; empty for a container without address
    mappings: tuple[PortMapping, ...]
    snat: bool = True  # masquerade at all
    masquerade_all: bool = False  # masquerade every packet, not only those that need it
    mark_bit: int = 13  # bit of the packet mark that asks for masquerade
    set_mark_chain: str = ""  # chain of another program that sets the mark; empty: ours

    def of_family(self, family: int) -> tuple[PortMapping, ...]:
        """Return the mappings for packets of IP version `family`, in their order."""
        return tuple(each for each in self.mappings if each.concerns(family))

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions for which rules are needed."""
        return tuple(side.family for side in self.sides)

    @property
    def from_loopback(self) -> bool:
        """Whether 127.0.0.0/8 of the host leads to the container.

        Only then may packets for it be routed (docs/reference/cni.md 7).
        """
        chosen = [each.only_at for each in self.of_family(4)] if 4 in self.families and self.snat else []
        return any(address is None or address in LOOPBACK for address in chosen)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The host addresses that mappings name, each once."""
        named = (each.only_at for family in self.families for each in self.of_family(family))
        return tuple(dict.fromkeys(address for address in named if address is not None))


def publication(settings: Settings, owner: AttachmentID, earlier: Result) -> Publication:
    """Return the plan for the attachment whose prevResult is `earlier`."""
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
    """Return whether an address may be the container's. An interface index that does not exist excludes nothing."""
    if index is None or not 0 <= index < len(earlier.interfaces):
        return True
    entry = earlier.interfaces[index]
    return entry.name == ifname and bool(entry.sandbox)
