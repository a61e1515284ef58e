"""The figures of one network's daemon, as values; /metrics shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Bytes = Mapping[str, tuple[int, int]]
"""Bytes received and sent, by name."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts since the start, ages in seconds (None: never), and bytes by device and by peer's subnet."""

    leases: int = 0
    """Leases in the store, of all hosts."""
    peers: int = 0
    """Leases of other hosts that the backend can use."""
    programmed: int = 0
    """Peers that are in the kernel."""
    refused: int = 0
    """Leases of other hosts that had to be left out."""
    changes: int = 0
    """Changes made in the kernel since the start."""
    drift: int = 0
    """How many of them undid another program's change."""
    passes: int = 0
    """Passes of the reconciler since the start."""
    messages: int = 0
    """Netlink messages sent since the start."""
    contested: int = 0
    """1 while another program changes our rules in a loop, else 0."""
    store_age: float | None = None
    """Seconds since the store's last answer; None for never."""
    renewal_age: float | None = None
    """Seconds since the lease was acquired or renewed; None for never."""
    devices: Bytes = field(default_factory=dict)
    """Bytes by device."""
    bytes_of_peers: Bytes = field(default_factory=dict)
    """Bytes by peer's subnet."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Packets that the tunnel's guard dropped, by reason."""
