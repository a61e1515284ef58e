"""What the tunnel's guard dropped: how many packets for which reason, and from whom lately. Asks nft; changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from kernel.firewall import nft
from lease import tunnel


@dataclass(frozen=True, slots=True)
class Drops:
    """Packets by reason since the guard was set, and the last senders, the latest first."""

    packets: Mapping[str, int]
    senders: tuple[str, ...]


def read(table: str) -> Drops | None:
    """Return what the guard with this table dropped; None where it does not stand. Raises KernelError."""
    packets = counted(table)
    noted = [one["elem"] for name in tunnel.LAST for one in nft.elements(tunnel.FAMILY, table, name)] if packets else []
    return (
        Drops(packets, tuple(one["val"] for one in sorted(noted, key=lambda one: -one["expires"]))) if packets else None
    )


def counted(table: str) -> Mapping[str, int]:
    """Return the packets the guard with this table dropped, by reason; empty where it does not stand. Raises KernelError."""
    return nft.counters(tunnel.FAMILY, table) if nft.exists(tunnel.FAMILY, table) else {}
