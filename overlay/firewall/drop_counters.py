"""What the tunnel filter dropped: how many packets for which reason, and from which addresses lately."""

from collections.abc import Mapping
from dataclasses import dataclass

from kernel.firewall import nft
from lease import tunnel


@dataclass(frozen=True, slots=True)
class Drops:
    """What one tunnel filter dropped."""

    packets: Mapping[str, int]
    """Dropped packets since the filter was set, by reason."""
    senders: tuple[str, ...]
    """The addresses of the last senders, the latest first."""


def read(table: str) -> Drops | None:
    """Return what the filter with this table dropped; None where there is none. Raises KernelError."""
    packets = counted(table)
    noted = [one["elem"] for name in tunnel.LAST for one in nft.elements(tunnel.FAMILY, table, name)] if packets else []
    return (
        Drops(packets, tuple(one["val"] for one in sorted(noted, key=lambda one: -one["expires"]))) if packets else None
    )


def counted(table: str) -> Mapping[str, int]:
    """Return the packets the filter with this table dropped, by reason; empty where there is none. Raises KernelError."""
    return nft.counters(tunnel.FAMILY, table) if nft.exists(tunnel.FAMILY, table) else {}
