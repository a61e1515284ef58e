"""The figures of one network's daemon, as values: what /metrics shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Bytes = Mapping[str, tuple[int, int]]
"""Bytes received and sent, by name."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts since the start, ages in seconds (None: never), and bytes by device and by peer's subnet."""

    leases: int = 0
    peers: int = 0
    programmed: int = 0
    refused: int = 0
    changes: int = 0
    drift: int = 0
    passes: int = 0
    messages: int = 0
    contested: int = 0
    store_age: float | None = None
    renewal_age: float | None = None
    devices: Bytes = field(default_factory=dict)
    bytes_of_peers: Bytes = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Packets that the tunnel's guard dropped, by reason."""
